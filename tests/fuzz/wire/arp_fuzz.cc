#include "vtl/wire/arp.h"

#include "fuzz.h"

using namespace vtl;
using namespace vtl::wire;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto view = ArpView::parse({data, size});
  if (!view) return 0;
  const ArpFields fields = view->fields();
  const auto out = fuzz::emitted(fields);
  FUZZ_CHECK(std::memcmp(out.data(), data, out.size()) == 0);
  return 0;
}
