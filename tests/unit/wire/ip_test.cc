// IPv4 and IPv6.
#include <gtest/gtest.h>

#include "frames.h"
#include "vtl/wire/ipv4.h"
#include "vtl/wire/ipv6.h"

namespace vtl::wire {
namespace {

using test::emitted;
using test::hex;
using test::join;
using test::Octets;

// The header of RFC 791's kind that textbooks check by hand: checksum b861.
const Octets kIpv4 = hex("4500 0073 0000 4000 4011 b861 c0a80001 c0a800c7");

Octets ipv4_packet() {
  return join(kIpv4, Octets(0x73 - 20, 0x55));
}

TEST(Ipv4View, ReadsAHeaderAndCutsThePadding) {
  const Octets frame = join(ipv4_packet(), Octets(9));
  const auto ip = Ipv4View::parse(frame);
  ASSERT_TRUE(ip);
  EXPECT_TRUE(ip->verify_checksum());
  EXPECT_EQ(ip->payload().size(), 0x73U - 20);
  EXPECT_EQ(to_string(ip->fields()), "192.168.0.1 > 192.168.0.199 udp ttl 64 id 0 DF length 95");
  EXPECT_EQ(emitted(ip->fields(), 0xaa), kIpv4);
}

TEST(Ipv4View, EveryTruncationIsRefused) {
  const Octets packet = ipv4_packet();
  for (std::size_t size = 0; size < packet.size(); ++size) {
    EXPECT_EQ(Ipv4View::parse(Bytes(packet).first(size)).error(), WireError::kTruncated) << size;
  }
}

TEST(Ipv4View, HeaderLengthBelowTwentyIsRefused) {
  Octets packet = ipv4_packet();
  for (int words = 0; words < 5; ++words) {
    packet[0] = static_cast<std::uint8_t>(0x40 | words);
    EXPECT_EQ(Ipv4View::parse(packet).error(), WireError::kBadHeaderLength) << words;
    EXPECT_EQ(Ipv4View::parse_super_frame(packet).error(), WireError::kBadHeaderLength);
    EXPECT_EQ(Ipv4View::parse_quoted(packet).error(), WireError::kBadHeaderLength);
  }
}

TEST(Ipv4View, LyingLengthsAreRefused) {
  Octets packet = ipv4_packet();
  store_be16(packet, Ipv4View::kTotalLengthOffset, 19);
  EXPECT_EQ(Ipv4View::parse(packet).error(), WireError::kBadLength);
  EXPECT_EQ(Ipv4View::parse_super_frame(packet).error(), WireError::kBadLength);
  store_be16(packet, Ipv4View::kTotalLengthOffset, 0x74);
  EXPECT_EQ(Ipv4View::parse(packet).error(), WireError::kTruncated);
  EXPECT_EQ(Ipv4View::parse_super_frame(packet).error(), WireError::kTruncated);
  packet[0] = 0x65;
  EXPECT_EQ(Ipv4View::parse(packet).error(), WireError::kBadVersion);
}

TEST(Ipv4View, SuperFrameGoesToTheEndOfTheBytes) {
  Octets packet = ipv4_packet();
  for (const std::uint16_t claimed : std::initializer_list<std::uint16_t>{0, 40, 0x73}) {
    store_be16(packet, Ipv4View::kTotalLengthOffset, claimed);
    const auto ip = Ipv4View::parse_super_frame(packet);
    ASSERT_TRUE(ip) << claimed;
    EXPECT_EQ(ip->payload().size(), 0x73U - 20);
  }
  EXPECT_FALSE(Ipv4View::parse_super_frame(Octets(65536, 0x45)));
}

Octets ipv4_with_options(std::string_view options) {
  Octets packet = join(kIpv4, hex(options));
  packet[0] = static_cast<std::uint8_t>(0x40 | packet.size() / 4);
  store_be16(packet, Ipv4View::kTotalLengthOffset, static_cast<std::uint16_t>(packet.size()));
  return packet;
}

TEST(Ipv4View, OptionsAreWalked) {
  const Octets good = ipv4_with_options("01 94040000 01 8804beef 00ffff ffffff");
  const auto fine = Ipv4View::parse(good);
  ASSERT_TRUE(fine);
  auto options = fine->options();
  const auto router_alert = options.next();
  ASSERT_TRUE(router_alert);
  EXPECT_EQ(router_alert->type, 0x94);
  EXPECT_EQ(router_alert->data.size(), 2U);
  EXPECT_EQ(options.next()->type, 0x88);
  EXPECT_FALSE(options.next());
  EXPECT_EQ(emitted(fine->fields()).size(), good.size());
}

TEST(Ipv4View, MalformedOptionsAreRefused) {
  for (const char* options : {"94000000", "94010000", "94050000", "01010194"}) {
    EXPECT_EQ(Ipv4View::parse(ipv4_with_options(options)).error(), WireError::kBadOption)
        << options;
  }
}

TEST(Ipv4View, FragmentsTellTheirPlace) {
  Octets packet = ipv4_packet();
  store_be16(packet, 6, 0x2000);
  EXPECT_TRUE(Ipv4View::parse(packet)->is_fragment());
  EXPECT_EQ(Ipv4View::parse(packet)->fragment_offset(), 0);
  store_be16(packet, 6, 0x00b9);
  EXPECT_TRUE(Ipv4View::parse(packet)->is_fragment());
  EXPECT_EQ(Ipv4View::parse(packet)->fragment_offset(), 1480);
  store_be16(packet, 6, 0x4000);
  EXPECT_FALSE(Ipv4View::parse(packet)->is_fragment());
}

TEST(Ipv4View, QuotedPacketMayBeCutBehindItsHeader) {
  const Octets packet = ipv4_packet();
  EXPECT_EQ(Ipv4View::parse_quoted(Bytes(packet).first(28))->payload().size(), 8U);
  EXPECT_FALSE(Ipv4View::parse_quoted(Bytes(packet).first(19)));
}

Ipv6Fields ipv6_fields(IpProtocol next, std::size_t payload) {
  Ipv6Fields f;
  f.source = *Ipv6Address::parse("2001:db8::1");
  f.destination = *Ipv6Address::parse("2001:db8::2");
  f.next_header = next;
  f.payload_length = static_cast<std::uint16_t>(payload);
  return f;
}

Octets ipv6(IpProtocol next, const Octets& payload) {
  return join(emitted(ipv6_fields(next, payload.size())), payload);
}

TEST(Ipv6View, ReadsTheFixedHeader) {
  const Octets packet =
      hex("6b3abcde 0002 06 40 20010db8000000000000000000000001"
          "20010db8000000000000000000000002 aabb cc");
  const auto ip = Ipv6View::parse(packet);
  ASSERT_TRUE(ip);
  EXPECT_EQ(ip->dscp(), 0x2c);
  EXPECT_EQ(ip->ecn(), Ecn::kCe);
  EXPECT_EQ(ip->flow_label(), 0xabcdeU);
  EXPECT_EQ(ip->payload().size(), 2U);
  EXPECT_EQ(emitted(ip->fields(), 0xaa), Octets(packet.begin(), packet.begin() + 40));
  EXPECT_EQ(to_string(ip->fields()),
            "2001:db8::1 > 2001:db8::2 tcp hlim 64 dscp 44 ecn 3 flow 0xabcde length 2");
}

TEST(Ipv6View, TruncationAndLyingLengthsAreRefused) {
  const Octets packet = ipv6(IpProtocol::kTcp, Octets(5));
  for (std::size_t size = 0; size < packet.size(); ++size) {
    EXPECT_EQ(Ipv6View::parse(Bytes(packet).first(size)).error(), WireError::kTruncated) << size;
  }
  EXPECT_EQ(Ipv6View::parse(ipv4_packet()).error(), WireError::kBadVersion);
}

TEST(Ipv6View, SuperFrameGoesToTheEndOfTheBytes) {
  Octets packet = ipv6(IpProtocol::kTcp, Octets(50));
  for (const std::uint16_t claimed : std::initializer_list<std::uint16_t>{0, 20, 50}) {
    store_be16(packet, Ipv6View::kPayloadLengthOffset, claimed);
    EXPECT_EQ(Ipv6View::parse_super_frame(packet)->payload().size(), 50U);
  }
  store_be16(packet, Ipv6View::kPayloadLengthOffset, 51);
  EXPECT_EQ(Ipv6View::parse_super_frame(packet).error(), WireError::kTruncated);
}

TEST(Ipv6View, WalksEveryHeaderItKnows) {
  // hop-by-hop, destination options, routing, fragment (atomic), authentication, then TCP.
  const Octets chain =
      hex("3c 00 010400000000"
          "2b 00 010400000000"
          "2c 00 000000000000"
          "33 00 0000 00000007"
          "06 04 0000 00000001 00000002 000000000000000000000000");
  const Octets packet = ipv6(IpProtocol::kHopByHop, join(chain, Octets(20)));
  const auto ip = Ipv6View::parse(packet);
  ASSERT_TRUE(ip);
  std::vector<IpProtocol> seen;
  const auto walked = ip->walk([&](const Ipv6Extension& e) { seen.push_back(e.kind); });
  ASSERT_TRUE(walked);
  EXPECT_EQ(walked->protocol, IpProtocol::kTcp);
  EXPECT_EQ(walked->offset, 40 + chain.size());
  EXPECT_FALSE(walked->is_fragment());
  EXPECT_TRUE(walked->has_transport());
  EXPECT_EQ(walked->fragment->identification, 7U);
  EXPECT_EQ(seen, (std::vector{IpProtocol::kHopByHop, IpProtocol::kDestinationOptions,
                               IpProtocol::kRouting, IpProtocol::kFragment,
                               IpProtocol::kAuthentication}));
}

TEST(Ipv6View, EveryTruncationOfTheChainIsRefused) {
  const Octets chain = hex("2b 01 0104000000000000000000000000 06 00 000000000000");
  for (std::size_t size = 0; size < chain.size(); ++size) {
    const Octets packet = ipv6(IpProtocol::kHopByHop, Octets(chain.begin(), chain.begin() + size));
    EXPECT_EQ(Ipv6View::parse(packet)->walk().error(), WireError::kTruncated) << size;
  }
}

TEST(Ipv6View, WalkFailsClosed) {
  const auto error = [](IpProtocol first, std::string_view chain) {
    const Octets packet = ipv6(first, hex(chain));
    const auto walked = Ipv6View::parse(packet)->walk();
    EXPECT_FALSE(walked) << chain;
    return walked ? WireError::kBadChecksum : walked.error();
  };
  EXPECT_EQ(error(IpProtocol{135}, "0600000000000000"), WireError::kUnsupported);
  EXPECT_EQ(error(IpProtocol{253}, "0600000000000000"), WireError::kUnsupported);
  // hop-by-hop in second place, and a fragment within a fragment
  EXPECT_EQ(error(IpProtocol::kDestinationOptions, "0000000000000000 0600000000000000"),
            WireError::kUnsupported);
  EXPECT_EQ(error(IpProtocol::kFragment, "2c00000000000001 0600000000000001"),
            WireError::kUnsupported);
  EXPECT_EQ(error(IpProtocol::kAuthentication, "0600000000000000"), WireError::kBadHeaderLength);
}

TEST(Ipv6View, WalkIsBounded) {
  Octets chain;
  for (int i = 0; i < 9; ++i) chain = join(chain, hex("3c00010400000000"));
  const Octets packet = ipv6(IpProtocol::kDestinationOptions, chain);
  EXPECT_EQ(Ipv6View::parse(packet)->walk().error(), WireError::kTooManyHeaders);
}

TEST(Ipv6View, LaterFragmentHasNoTransportWhateverItsNumberSays) {
  for (const std::uint8_t next : std::initializer_list<std::uint8_t>{6, 0, 44, 60}) {
    Ipv6Fragment fragment{IpProtocol{next}, 1480, true, 9};
    const Octets packet = ipv6(IpProtocol::kFragment, join(emitted(fragment, 0xaa), Octets(16)));
    const auto chain = Ipv6View::parse(packet)->walk();
    ASSERT_TRUE(chain) << int{next};
    EXPECT_TRUE(chain->is_fragment());
    EXPECT_FALSE(chain->has_transport());
    EXPECT_EQ(chain->offset, 48U);
    EXPECT_EQ(chain->fragment, fragment);
  }
}

TEST(Ipv6View, NoNextHeaderAndUnknownProtocolsEndTheWalk) {
  EXPECT_FALSE(Ipv6View::parse(ipv6(IpProtocol::kNoNext, {}))->walk()->has_transport());
  const Octets packet = ipv6(IpProtocol{132}, Octets(12));
  const auto chain = Ipv6View::parse(packet)->walk();
  ASSERT_TRUE(chain);
  EXPECT_EQ(static_cast<int>(chain->protocol), 132);
  EXPECT_TRUE(chain->has_transport());
}

}  // namespace
}  // namespace vtl::wire
