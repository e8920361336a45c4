// DHCP messages.
#include "fuzz.h"
#include "vtl/wire/dhcpv4.h"

using namespace vtl;
using namespace vtl::wire;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto view = DhcpView::parse(Bytes(data, size));
  if (!view) return 0;
  const DhcpFields fields = view->fields();
  const auto written = fuzz::emitted(fields);
  FUZZ_CHECK(DhcpView::parse(written)->fields() == fields);
  FUZZ_CHECK(!to_string(fields).empty());
  if (const auto id = view->option(DhcpOption::kClientId)) fuzz::touch(*id);
  return 0;
}
