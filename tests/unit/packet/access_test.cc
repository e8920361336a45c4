#include "vtl/packet/access.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>

#include "tests/unit/packet/frames.h"
#include "vtl/packet/checksum.h"

namespace vtl {
namespace {

using test::FrameSpec;
using test::make_frame;
using test::Octets;

Packet make(PacketPool& pool, const FrameSpec& spec) {
  Packet p = pool.copy_of(make_frame(spec));
  if (!spec.finish) {
    p.meta().checksum = {.kind = ChecksumKind::kPartial,
                         .start = p.layout().transport_offset,
                         .offset = static_cast<std::uint16_t>(test::checksum_at(spec.protocol))};
  }
  return p;
}

TEST(Access, ClassQueriesTellWhatAFrameIs) {
  PacketPool pool;
  const Packet syn = make(pool, {.flags = 0x02});
  EXPECT_TRUE(is_ip(syn) && is_ipv4(syn) && is_tcp(syn) && is_syn(syn));
  EXPECT_FALSE(is_syn_ack(syn) || is_rst(syn) || is_fin(syn) || is_pure_ack(syn) || is_udp(syn));
  EXPECT_TRUE(is_syn_ack(make(pool, {.flags = 0x12})));
  EXPECT_TRUE(is_rst(make(pool, {.flags = 0x14})));
  EXPECT_TRUE(is_fin(make(pool, {.flags = 0x11})));
  EXPECT_TRUE(is_pure_ack(make(pool, {.flags = 0x10})));
  EXPECT_FALSE(is_pure_ack(make(pool, {.flags = 0x10, .payload = {1}})));
  EXPECT_TRUE(is_dns(make(pool, {.protocol = 17, .destination_port = 53})));
  EXPECT_TRUE(is_dns(make(pool, {.source_port = 53})));
  EXPECT_FALSE(is_dns(make(pool, {.protocol = 1})));
  EXPECT_TRUE(is_dhcp(make(pool, {.protocol = 17, .source_port = 68, .destination_port = 67})));
  EXPECT_TRUE(is_dhcp(make(pool, {.v6 = true, .protocol = 17, .destination_port = 547})));
  EXPECT_TRUE(is_echo_request(make(pool, {.protocol = 1})));
  EXPECT_TRUE(is_echo_request(make(pool, {.v6 = true, .protocol = 58})));
  EXPECT_TRUE(is_tagged(make(pool, {.vlans = {3}})));
  EXPECT_TRUE(is_fragment(make(pool, {.fragment = 0x2000})));
}

TEST(Access, AMalformedFrameIsOfNoDeeperClass) {
  PacketPool pool;
  const Octets frame = make_frame({.flags = 0x02});
  const Packet p = pool.copy_of(Bytes(frame).first(40));
  EXPECT_TRUE(is_malformed(p));
  EXPECT_FALSE(is_ip(p) || is_tcp(p) || is_syn(p) || is_dns(p));
  EXPECT_TRUE(payload(p).empty());
}

TEST(Access, GettersReadAndPayloadLeavesThePaddingOut) {
  PacketPool pool;
  Octets frame = make_frame({.v6 = true, .payload = {5, 6, 7}});
  frame.resize(frame.size() + 9);
  const Packet p = pool.copy_of(frame);
  EXPECT_EQ(Octets(payload(p).begin(), payload(p).end()), (Octets{5, 6, 7}));
  EXPECT_EQ(to_string(source_address(p)), "2001:db8::1");
  EXPECT_EQ(destination_port(p), wire::Port(80));
  EXPECT_EQ(hop_limit(p), 64);
  EXPECT_EQ(tcp_seq(p), wire::SeqNum(1000));
  EXPECT_EQ(tcp_window(p), 0x2000);
}

RC_GTEST_PROP(Access, SettersKeepEveryChecksumAsAWholeRecalculationWouldMakeIt,
              (bool v6, bool partial, std::uint64_t seed)) {
  Rng rng(seed);
  PacketPool pool;
  constexpr std::uint8_t kProtocols[] = {6, 17, 1};
  FrameSpec spec{.v6 = v6,
                 .protocol = kProtocols[rng.below(3)],
                 .payload = test::pattern(rng.below(50), seed),
                 .finish = !partial};
  if (spec.protocol == 1 && v6) spec.protocol = 58;
  if (spec.protocol == 1 || spec.protocol == 58) spec.finish = true;
  Packet p = make(pool, spec);
  RC_ASSERT(!is_malformed(p));
  for (int i = 0; i < 4; ++i) {
    const auto value = static_cast<std::uint32_t>(rng.next());
    std::array<std::uint8_t, 16> octets{};
    for (auto& octet : octets) octet = static_cast<std::uint8_t>(rng.next());
    const wire::IpAddress address =
        v6 ? wire::IpAddress(wire::Ipv6Address(octets)) : wire::IpAddress(wire::Ipv4Address(value));
    switch (rng.below(6)) {
      case 0:
        set_source_address(p, address);
        RC_ASSERT(source_address(p) == address);
        break;
      case 1:
        set_destination_address(p, address);
        RC_ASSERT(destination_address(p) == address);
        break;
      case 2:
        if (is_icmp(p)) break;
        set_source_port(p, wire::Port(static_cast<std::uint16_t>(value)));
        set_destination_port(p, wire::Port(static_cast<std::uint16_t>(value >> 16)));
        RC_ASSERT(source_port(p).value() == (value & 0xffff));
        break;
      case 3:
        set_hop_limit(p, static_cast<std::uint8_t>(value));
        set_dscp(p, value >> 8 & 63);
        set_ecn(p, value >> 16 & 3);
        RC_ASSERT(hop_limit(p) == (value & 0xff));
        RC_ASSERT(dscp(p) == (value >> 8 & 63));
        RC_ASSERT(ecn(p) == (value >> 16 & 3));
        break;
      case 4:
        if (!is_tcp(p)) break;
        set_tcp_seq(p, wire::SeqNum(value));
        set_tcp_ack(p, wire::SeqNum(~value));
        set_tcp_window(p, static_cast<std::uint16_t>(value));
        set_tcp_flags(p, {static_cast<std::uint8_t>(value)});
        RC_ASSERT(tcp_seq(p).value() == value);
        RC_ASSERT(tcp_flags(p).bits == (value & 0xff));
        break;
      default:
        swap_macs(p);
        swap_addresses(p);
        if (!is_icmp(p)) swap_ports(p);
    }
  }
  RC_ASSERT(finish_checksum(p));
  RC_ASSERT(verify_checksums(p));
  // And the same octets as a whole recalculation, but for the two zeros of ones' complement.
  Packet whole = pool.clone(p);
  compute_checksums(whole);
  RC_ASSERT(verify_checksums(whole));
}

TEST(Access, AnAbsentUdpChecksumStaysAbsent) {
  PacketPool pool;
  Packet p = make(pool, {.protocol = 17});
  store_be16(p.mutable_bytes(), 40, 0);
  set_source_address(p, wire::Ipv4Address(10, 0, 0, 1));
  set_source_port(p, wire::Port(9));
  EXPECT_EQ(load_be16(p.bytes(), 40), 0);
  EXPECT_TRUE(verify_checksums(p));
}

TEST(Access, ATagPushedIsATagPoppedAndPartialOffsetsFollow) {
  PacketPool pool;
  Packet p = make(pool, {.payload = {1}, .finish = false});
  const Octets before(p.bytes().begin(), p.bytes().end());
  ASSERT_TRUE(push_vlan(p, 0x6042));
  EXPECT_EQ(p.layout().vlan, 0x42);
  EXPECT_EQ(p.layout().network_offset, 18);
  EXPECT_EQ(p.meta().checksum.start, 38);
  pop_vlan(p);
  EXPECT_EQ(Octets(p.bytes().begin(), p.bytes().end()), before);
  EXPECT_EQ(p.meta().checksum.start, 34);
}

TEST(Access, NoHeadroomNoTag) {
  PacketPool pool;
  Packet p = make(pool, {});
  p.push_front(p.headroom());
  EXPECT_FALSE(push_vlan(p, 1));
}

TEST(Checksum, PartialIsFinishedAsTheWholeOneWouldBe) {
  PacketPool pool;
  for (const bool v6 : {false, true}) {
    for (const std::uint8_t protocol : {std::uint8_t{6}, std::uint8_t{17}}) {
      FrameSpec spec{.v6 = v6, .protocol = protocol, .payload = test::pattern(1001)};
      const Octets whole = make_frame(spec);
      spec.finish = false;
      Packet p = make(pool, spec);
      EXPECT_TRUE(verify_checksums(p)) << "partial counts as right";
      ASSERT_TRUE(finish_checksum(p));
      EXPECT_TRUE(std::ranges::equal(p.bytes(), whole));
      leave_checksum_partial(p);
      EXPECT_EQ(p.meta().checksum.kind, ChecksumKind::kPartial);
      EXPECT_TRUE(std::ranges::equal(p.bytes(), make_frame(spec)));
      compute_checksums(p);
      EXPECT_TRUE(std::ranges::equal(p.bytes(), whole));
      store_u8(p.mutable_bytes(), p.size() - 1, static_cast<std::uint8_t>(~p.bytes().back()));
      EXPECT_FALSE(verify_checksums(p));
    }
  }
}

TEST(Checksum, MetadataThatPointsOutsideTheFrameIsRefused) {
  PacketPool pool;
  Packet p = make(pool, {});
  for (const auto& [start, offset] : {std::pair{54, 0}, {34, 19}, {65535, 65535}, {53, 0}}) {
    p.meta().checksum = {.kind = ChecksumKind::kPartial,
                         .start = static_cast<std::uint16_t>(start),
                         .offset = static_cast<std::uint16_t>(offset)};
    EXPECT_FALSE(finish_checksum(p)) << start;
  }
}

TEST(Checksum, LengthsFollowTheSize) {
  PacketPool pool;
  for (const bool v6 : {false, true}) {
    Packet p = make(pool, {.v6 = v6, .protocol = 17, .payload = test::pattern(10)});
    p.resize(p.size() + 5);
    std::fill(p.mutable_bytes().end() - 5, p.mutable_bytes().end(), std::uint8_t{0});
    set_lengths(p);
    EXPECT_EQ(p.layout().end, p.size());
    EXPECT_EQ(payload(p).size(), 15U);
    compute_checksums(p);
    EXPECT_TRUE(verify_checksums(p));
  }
}

}  // namespace
}  // namespace vtl
