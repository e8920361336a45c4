// First octet: bit 0 says super-frame. Then the frame.
#include "vtl/packet/layout.h"

#include "fuzz.h"
#include "vtl/wire/ipv4.h"
#include "vtl/wire/ipv6.h"
#include "vtl/wire/tcp.h"

using namespace vtl;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  const bool super = (data[0] & 1) != 0;
  const Bytes frame(data + 1, size - 1);
  const Layout l = parse_layout(frame, super);
  FUZZ_CHECK(l.end <= frame.size());
  FUZZ_CHECK(l.vlan_tags <= 2);
  if (l.network != NetworkKind::kOther) {
    FUZZ_CHECK(l.network_offset == 14 + 4 * l.vlan_tags);
    FUZZ_CHECK(l.network_offset < l.end);
  }
  const auto key = flow_key(frame, l);
  if (l.transport == TransportKind::kNone) {
    FUZZ_CHECK(!key);
    return 0;
  }
  FUZZ_CHECK(!l.error);
  FUZZ_CHECK(l.is_ip());
  FUZZ_CHECK(l.network_offset < l.transport_offset);
  FUZZ_CHECK(l.transport_offset <= l.payload_offset && l.payload_offset <= l.end);
  fuzz::touch(frame.subspan(l.transport_offset, l.end - l.transport_offset));
  if (key) FUZZ_CHECK(wire::symmetric_hash(*key) == wire::symmetric_hash(key->reversed()));
  // The checked views agree with what the walk says.
  const Bytes packet = frame.subspan(l.network_offset, l.end - l.network_offset);
  if (l.network == NetworkKind::kIpv4 && !super) FUZZ_CHECK(wire::Ipv4View::parse(packet));
  if (l.network == NetworkKind::kIpv6 && !super) FUZZ_CHECK(wire::Ipv6View::parse(packet));
  if (l.transport == TransportKind::kTcp) {
    const auto tcp =
        wire::TcpView::parse(frame.subspan(l.transport_offset, l.end - l.transport_offset));
    if (tcp) FUZZ_CHECK(l.transport_offset + tcp->header_size() == l.payload_offset);
  }
  return 0;
}
