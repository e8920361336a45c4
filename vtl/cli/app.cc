#include "vtl/cli/app.h"

#include <CLI/CLI.hpp>

namespace vtl::cli {

int run(int argc, char** argv) {
  CLI::App app{"VTL, the Virtual Traffic Layer: transparent network services under a guest"};
  app.set_version_flag("--version", "vtl " VTL_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kSuccess : kUsage;
  }
  return kSuccess;
}

}  // namespace vtl::cli
