// Properties of the wire room: what is emitted parses back to itself and covers every octet, no
// prefix of garbage makes a view reach beyond its bytes, incremental checksums equal full ones.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "frames.h"
#include "vtl/wire/arp.h"
#include "vtl/wire/checksum.h"
#include "vtl/wire/ethernet.h"
#include "vtl/wire/icmpv4.h"
#include "vtl/wire/icmpv6.h"
#include "vtl/wire/ipv4.h"
#include "vtl/wire/ipv6.h"
#include "vtl/wire/ndp.h"
#include "vtl/wire/print.h"
#include "vtl/wire/tcp.h"
#include "vtl/wire/udp.h"

namespace vtl::wire {
namespace {

using test::emitted;
using test::join;
using test::Octets;

template <class T>
T any() {
  return *rc::gen::arbitrary<T>();
}
template <class T>
T below(T bound) {
  return *rc::gen::inRange<T>(0, bound);
}
MacAddress any_mac() {
  return MacAddress(any<std::array<std::uint8_t, 6>>());
}
Ipv4Address any_v4() {
  return Ipv4Address(any<std::uint32_t>());
}
Ipv6Address any_v6() {
  return Ipv6Address(any<std::array<std::uint8_t, 16>>());
}

// Emits into two differently poisoned buffers, which must come out equal: every octet is written.
template <class Fields>
Octets fully_written(const Fields& f) {
  const Octets out = emitted(f, 0x00);
  RC_ASSERT(out == emitted(f, 0xff));
  return out;
}

RC_GTEST_PROP(WireRoundTrip, Ethernet, ()) {
  EthernetFields f;
  f.destination = any_mac();
  f.source = any_mac();
  f.tag_count = below<std::uint8_t>(3);
  for (std::size_t i = 0; i < f.tag_count; ++i) {
    f.tags[i] = {any<bool>() ? EtherType::kVlan : EtherType::kQinQ, below<std::uint8_t>(8),
                 any<bool>(), below<std::uint16_t>(4096)};
  }
  f.ether_type = EtherType{any<std::uint16_t>()};
  RC_PRE(f.ether_type != EtherType::kVlan && f.ether_type != EtherType::kQinQ);
  RC_ASSERT(EthernetView::parse(fully_written(f))->fields() == f);
}

RC_GTEST_PROP(WireRoundTrip, Arp, ()) {
  const ArpFields f{ArpOperation{any<std::uint16_t>()}, any_mac(), any_v4(), any_mac(), any_v4()};
  RC_ASSERT(ArpView::parse(fully_written(f))->fields() == f);
}

RC_GTEST_PROP(WireRoundTrip, Ipv4, ()) {
  Ipv4Fields f;
  f.source = any_v4();
  f.destination = any_v4();
  f.protocol = IpProtocol{any<std::uint8_t>()};
  f.ttl = any<std::uint8_t>();
  f.dscp = below<std::uint8_t>(64);
  f.ecn = Ecn{below<std::uint8_t>(4)};
  f.identification = any<std::uint16_t>();
  f.dont_fragment = any<bool>();
  f.more_fragments = any<bool>();
  f.fragment_offset = static_cast<std::uint16_t>(below<std::uint16_t>(8192) * 8);
  f.payload_length = below<std::uint16_t>(2000);
  f.option_length = static_cast<std::uint8_t>(below<std::uint8_t>(11) * 4);
  for (std::size_t i = 0; i + 3 < f.option_length; i += 4) {
    f.options[i] = 0x94;
    f.options[i + 1] = 4;
    f.options[i + 2] = any<std::uint8_t>();
  }
  const Octets packet = join(fully_written(f), Octets(f.payload_length));
  const auto ip = Ipv4View::parse(packet);
  RC_ASSERT(ip->fields() == f);
  RC_ASSERT(ip->verify_checksum());
}

RC_GTEST_PROP(WireRoundTrip, Ipv6, ()) {
  const Ipv6Fields f{any_v6(),
                     any_v6(),
                     IpProtocol{any<std::uint8_t>()},
                     any<std::uint8_t>(),
                     below<std::uint8_t>(64),
                     Ecn{below<std::uint8_t>(4)},
                     below<std::uint32_t>(1 << 20),
                     below<std::uint16_t>(2000)};
  const Octets packet = join(fully_written(f), Octets(f.payload_length));
  RC_ASSERT(Ipv6View::parse(packet)->fields() == f);
}

RC_GTEST_PROP(WireRoundTrip, Udp, ()) {
  const UdpFields f{Port(any<std::uint16_t>()), Port(any<std::uint16_t>()),
                    below<std::uint16_t>(2000)};
  const Octets datagram = join(fully_written(f), Octets(f.payload_length));
  RC_ASSERT(UdpView::parse(datagram)->fields() == f);
}

TcpFields any_tcp() {
  TcpFields f{Port(any<std::uint16_t>()),   Port(any<std::uint16_t>()),
              SeqNum(any<std::uint32_t>()), SeqNum(any<std::uint32_t>()),
              {any<std::uint8_t>()},        any<std::uint16_t>(),
              any<std::uint16_t>(),         {}};
  if (any<bool>()) f.options.mss = any<std::uint16_t>();
  if (any<bool>()) f.options.window_scale = below<std::uint8_t>(15);
  if (any<bool>()) f.options.timestamps = TcpTimestamps{any<std::uint32_t>(), any<std::uint32_t>()};
  f.options.sack_permitted = any<bool>();
  // Two blocks always find room.
  f.options.sack_count = below<std::uint8_t>(3);
  for (std::size_t i = 0; i < f.options.sack_count; ++i) {
    f.options.sack[i] = {SeqNum(any<std::uint32_t>()), SeqNum(any<std::uint32_t>())};
  }
  return f;
}

RC_GTEST_PROP(WireRoundTrip, Tcp, ()) {
  const TcpFields f = any_tcp();
  RC_ASSERT(f.size() % 4 == 0 && f.size() <= TcpView::kMaxSize);
  RC_ASSERT(TcpView::parse(fully_written(f))->fields() == f);
}

RC_GTEST_PROP(WireRoundTrip, Icmp, ()) {
  const Icmpv4Fields v4{Icmpv4Type{any<std::uint8_t>()}, any<std::uint8_t>(), any<std::uint32_t>()};
  RC_ASSERT(Icmpv4View::parse(fully_written(v4))->fields() == v4);
  const Icmpv6Fields v6{Icmpv6Type{any<std::uint8_t>()}, any<std::uint8_t>(), any<std::uint32_t>()};
  RC_ASSERT(Icmpv6View::parse(fully_written(v6))->fields() == v6);
}

RC_GTEST_PROP(WireRoundTrip, Neighbour, ()) {
  NeighbourFields f;
  f.advertisement = any<bool>();
  if (f.advertisement) {
    f.router = any<bool>();
    f.solicited = any<bool>();
    f.override_ = any<bool>();
  }
  f.target = any_v6();
  if (any<bool>()) f.link_address = any_mac();
  RC_ASSERT(NeighbourView::parse(fully_written(f))->fields() == f);
}

RC_GTEST_PROP(WireChecksum, IncrementalEqualsFull, ()) {
  auto words = *rc::gen::nonEmpty(rc::gen::arbitrary<std::vector<std::uint16_t>>());
  words.push_back(0x4500);  // never all zero, as no header is (RFC 1624 section 3)
  Octets bytes(words.size() * 2);
  for (std::size_t i = 0; i < words.size(); ++i) store_be16(bytes, 2 * i, words[i]);
  const std::size_t at = below<std::size_t>(words.size() - 1) * 2;
  const std::uint16_t before = checksum(bytes);
  const std::uint16_t was = load_be16(bytes, at);
  const auto becomes = any<std::uint16_t>();
  store_be16(bytes, at, becomes);
  RC_ASSERT(checksum_update(before, was, becomes) == checksum(bytes));
}

RC_GTEST_PROP(WireChecksum, FinishedSegmentsSumToZero, ()) {
  TcpFields f = any_tcp();
  Octets segment = join(emitted(f), any<Octets>());
  const Ipv6Address a = any_v6();
  const Ipv6Address b = any_v6();
  store_be16(segment, TcpView::kChecksumOffset,
             transport_checksum(a, b, IpProtocol::kTcp, segment));
  RC_ASSERT(TcpView::parse(segment)->verify_checksum(a, b));
}

RC_GTEST_PROP(WirePrint, AnyBytesPrintInOneLine, ()) {
  // Mostly sane starts, so that the deeper layers are reached.
  static const Octets kStarts[] = {{},
                                   test::hex("020000000001 020000000002 0800 45"),
                                   test::hex("020000000001 020000000002 86dd 60"),
                                   test::hex("020000000001 020000000002 0806 0001 0800 06 04"),
                                   test::hex("020000000001 020000000002 8100 0005 0800 46")};
  const Octets frame = join(kStarts[below<std::size_t>(std::size(kStarts))], any<Octets>());
  const std::string line = print_frame(frame, {.super_frame = any<bool>()});
  RC_ASSERT(!line.empty() && line.find('\n') == std::string::npos);
}

}  // namespace
}  // namespace vtl::wire
