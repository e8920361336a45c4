#include "vtl/cli/app.h"

int main(int argc, char** argv) {
  return vtl::cli::run(argc, argv);
}
