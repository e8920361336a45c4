#include "vtl/packet/derive.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/packet/frames.h"
#include "vtl/packet/access.h"
#include "vtl/packet/checksum.h"

namespace vtl {
namespace {

using test::FrameSpec;
using test::make_frame;
using test::Octets;

class Derive : public ::testing::Test {
 protected:
  Packet make(const FrameSpec& spec) { return pool_.copy_of(make_frame(spec)); }
  static void expect_back_to_sender(const Packet& reply, const Packet& original) {
    ASSERT_TRUE(reply);
    EXPECT_FALSE(is_malformed(reply));
    EXPECT_TRUE(verify_checksums(reply));
    EXPECT_EQ(reply.layout().end, reply.size());
    EXPECT_EQ(source_mac(reply), destination_mac(original));
    EXPECT_EQ(destination_mac(reply), source_mac(original));
    EXPECT_EQ(source_address(reply), destination_address(original));
    EXPECT_EQ(destination_address(reply), source_address(original));
    EXPECT_EQ(reply.layout().vlan, original.layout().vlan);
  }
  PacketPool pool_;
};

TEST_F(Derive, AnotherPayloadUnderTheSameHeaders) {
  for (const bool v6 : {false, true}) {
    for (const std::uint8_t protocol : {std::uint8_t{6}, std::uint8_t{17}}) {
      const Packet original = make({.v6 = v6, .protocol = protocol, .vlans = {9}, .payload = {1}});
      const Octets other = test::pattern(700);
      const Packet p = with_payload(original, other);
      ASSERT_TRUE(p);
      EXPECT_TRUE(verify_checksums(p));
      EXPECT_TRUE(std::ranges::equal(payload(p), other));
      EXPECT_TRUE(std::ranges::equal(
          p.bytes(), make_frame({.v6 = v6, .protocol = protocol, .vlans = {9}, .payload = other})));
    }
  }
  EXPECT_FALSE(with_payload(make({.fragment = 1}), {}));
  EXPECT_FALSE(with_payload(make({}), Octets(65535)));
}

TEST_F(Derive, AUdpReplyGoesBackWithPortsSwapped) {
  for (const bool v6 : {false, true}) {
    const Packet original = make({.v6 = v6, .protocol = 17, .vlans = {9}, .payload = {1, 2}});
    const Packet reply = reply_to(original, Octets{7, 8, 9});
    expect_back_to_sender(reply, original);
    EXPECT_EQ(source_port(reply), wire::Port(80));
    EXPECT_EQ(destination_port(reply), wire::Port(4000));
    EXPECT_TRUE(std::ranges::equal(payload(reply), Octets{7, 8, 9}));
  }
}

TEST_F(Derive, AnEchoRequestIsAnsweredWithItsIdentifierAndData) {
  for (const bool v6 : {false, true}) {
    const Packet original =
        make({.v6 = v6, .protocol = static_cast<std::uint8_t>(v6 ? 58 : 1), .payload = {1, 2, 3}});
    const Packet reply = reply_to(original, payload(original));
    expect_back_to_sender(reply, original);
    EXPECT_TRUE(is_echo_reply(reply));
    EXPECT_EQ(load_be32(reply.bytes(), reply.layout().transport_offset + 4U), 0x12340001U);
    EXPECT_FALSE(reply_to(reply, {})) << "a reply is not answered";
  }
}

TEST_F(Derive, AResetTakesItsNumbersFromTheSegment) {
  const Packet data = make({.seq = 10, .ack = 77, .flags = 0x18, .payload = {1, 2}});
  const Packet reset = tcp_reset_for(data);
  expect_back_to_sender(reset, data);
  EXPECT_EQ(tcp_flags(reset).bits, 0x04);
  EXPECT_EQ(tcp_seq(reset), wire::SeqNum(77));

  const Packet syn = make({.v6 = true, .seq = 0xffffffff, .flags = 0x02});
  const Packet refusal = tcp_reset_for(syn);
  expect_back_to_sender(refusal, syn);
  EXPECT_EQ(tcp_flags(refusal).bits, 0x14);
  EXPECT_EQ(tcp_seq(refusal), wire::SeqNum(0));
  EXPECT_EQ(tcp_ack(refusal), wire::SeqNum(0)) << "the SYN counts, across the wrap";
  EXPECT_FALSE(tcp_reset_for(reset));
}

TEST_F(Derive, AnUnreachableQuotesTheOriginalWithinItsBound) {
  for (const bool v6 : {false, true}) {
    const Packet original = make({.v6 = v6, .protocol = 17, .payload = test::pattern(1400)});
    const Packet error = icmp_error_for(original, IcmpError::kPortUnreachable);
    expect_back_to_sender(error, original);
    EXPECT_TRUE(is_icmp_error(error));
    EXPECT_EQ(error.size() - 14, v6 ? 1280U : 576U);
    EXPECT_TRUE(
        std::ranges::equal(payload(error), original.bytes().subspan(14, payload(error).size())));
    EXPECT_FALSE(icmp_error_for(error, IcmpError::kPortUnreachable)) << "no error about an error";
    const Packet too_big = icmp_error_for(original, IcmpError::kPacketTooBig, 1300);
    EXPECT_EQ(load_be16(too_big.bytes(), too_big.layout().transport_offset + 6U), 1300);
  }
}

TEST_F(Derive, NoErrorAboutGroupsOrLaterFragments) {
  Packet to_group = make({.protocol = 17});
  set_destination_mac(to_group, wire::MacAddress::broadcast());
  EXPECT_FALSE(icmp_error_for(to_group, IcmpError::kHostUnreachable));
  EXPECT_FALSE(icmp_error_for(make({.fragment = 5}), IcmpError::kHostUnreachable));
  Packet nobody = make({.protocol = 17});
  set_source_address(nobody, wire::Ipv4Address());
  EXPECT_FALSE(icmp_error_for(nobody, IcmpError::kHostUnreachable));
}

TEST_F(Derive, AnArpRequestIsAnsweredForTheAddressAsked) {
  Octets request = {255, 255, 255, 255, 255, 255, 2, 0,   0, 0, 0, 1, 8, 6, 0, 1, 8, 0,   6, 4, 0,
                    1,   2,   0,   0,   0,   0,   1, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 192, 0, 2, 9};
  const wire::MacAddress mac({2, 0, 0, 0, 0, 9});
  const Packet reply = arp_reply_for(pool_.copy_of(request), mac);
  ASSERT_TRUE(reply);
  const Octets expected = {2, 0, 0, 0, 0, 1, 2, 0,   0, 0, 0, 9, 8, 6, 0, 1, 8, 0,   6, 4, 0,
                           2, 2, 0, 0, 0, 0, 9, 192, 0, 2, 9, 2, 0, 0, 0, 0, 1, 192, 0, 2, 1};
  EXPECT_TRUE(std::ranges::equal(reply.bytes(), expected));
  EXPECT_FALSE(arp_reply_for(reply, mac));
}

}  // namespace
}  // namespace vtl
