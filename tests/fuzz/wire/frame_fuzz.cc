// A whole frame through every parser, by way of the printer.
#include "fuzz.h"
#include "vtl/wire/print.h"

using namespace vtl;
using namespace vtl::wire;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  for (const bool super_frame : {false, true}) {
    const std::string line =
        print_frame({data, size}, {.checksums = true, .super_frame = super_frame});
    FUZZ_CHECK(!line.empty() && line.find('\n') == std::string::npos);
  }
  return 0;
}
