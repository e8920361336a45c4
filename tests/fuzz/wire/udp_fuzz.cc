#include "vtl/wire/udp.h"

#include "fuzz.h"

using namespace vtl;
using namespace vtl::wire;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes input(data, size);
  for (const auto& view : {UdpView::parse(input), UdpView::parse_super_frame(input)}) {
    if (!view) continue;
    FUZZ_CHECK(view->payload().size() + UdpView::kSize <= size);
    fuzz::touch(view->payload());
    auto out = fuzz::emitted(view->fields());
    out.insert(out.end(), view->payload().begin(), view->payload().end());
    FUZZ_CHECK(UdpView::parse(out)->fields() == view->fields());
    (void)view->verify_checksum(Ipv4Address{}, Ipv4Address{});
  }
  return 0;
}
