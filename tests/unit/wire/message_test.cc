// UDP, ICMP of both versions, neighbour discovery, quoted packets, printing.
#include <gtest/gtest.h>

#include "frames.h"
#include "vtl/wire/checksum.h"
#include "vtl/wire/ethernet.h"
#include "vtl/wire/icmpv4.h"
#include "vtl/wire/icmpv6.h"
#include "vtl/wire/ipv4.h"
#include "vtl/wire/ipv6.h"
#include "vtl/wire/ndp.h"
#include "vtl/wire/print.h"
#include "vtl/wire/quoted.h"
#include "vtl/wire/tcp.h"
#include "vtl/wire/udp.h"

namespace vtl::wire {
namespace {

using test::emitted;
using test::hex;
using test::join;
using test::Octets;

const Ipv4Address kA(192, 0, 2, 1);
const Ipv4Address kB(198, 51, 100, 2);

TEST(UdpView, ReadsADatagramAndCutsWhatFollows) {
  const Octets datagram = hex("0fa0 0035 000b 0000 616263 0000");
  const auto udp = UdpView::parse(datagram);
  ASSERT_TRUE(udp);
  EXPECT_EQ(udp->payload().size(), 3U);
  EXPECT_EQ(to_string(udp->fields()), "4000 > 53 length 3");
  EXPECT_EQ(UdpView::parse_super_frame(datagram)->payload().size(), 5U);
}

TEST(UdpView, TruncationAndLyingLengthsAreRefused) {
  const Octets datagram = hex("0fa0 0035 000b 0000 616263");
  for (std::size_t size = 0; size < datagram.size(); ++size) {
    EXPECT_EQ(UdpView::parse(Bytes(datagram).first(size)).error(), WireError::kTruncated) << size;
  }
  for (const std::uint16_t claimed : std::initializer_list<std::uint16_t>{0, 7}) {
    Octets lying = datagram;
    store_be16(lying, UdpView::kLengthOffset, claimed);
    EXPECT_EQ(UdpView::parse(lying).error(), WireError::kBadLength);
  }
}

TEST(UdpView, AbsentChecksumIsFineOverIpv4Only) {
  const Octets datagram = hex("0fa0 0035 0008 0000");
  EXPECT_TRUE(UdpView::parse(datagram)->verify_checksum(kA, kB));
  EXPECT_FALSE(UdpView::parse(datagram)->verify_checksum(Ipv6Address{}, Ipv6Address{}));
}

TEST(UdpView, ChecksumOfAllOnesIsVerified) {
  Octets datagram = hex("0000 0000 0008 0000");
  store_be16(datagram, 0, 0xffff - 0x11 - 8 - 8);
  store_be16(datagram, UdpView::kChecksumOffset, 0xffff);
  EXPECT_TRUE(UdpView::parse(datagram)->verify_checksum(Ipv4Address{}, Ipv4Address{}));
}

Octets quoted_tcp() {
  Ipv4Fields ip;
  ip.source = kA;
  ip.destination = kB;
  ip.payload_length = 1000;
  return join(emitted(ip), hex("0fa0 0050 00000063"));
}

TEST(Icmpv4View, FragmentationNeededTellsMtuAndFlow) {
  Octets message = join(emitted(Icmpv4Fields::fragmentation_needed(1400), 0xaa), quoted_tcp());
  store_be16(message, Icmpv4View::kChecksumOffset, checksum(message));
  const auto icmp = Icmpv4View::parse(message);
  ASSERT_TRUE(icmp);
  EXPECT_TRUE(icmp->verify_checksum());
  EXPECT_TRUE(icmp->fields().is_error());
  EXPECT_TRUE(icmp->fields().is_fragmentation_needed());
  EXPECT_EQ(icmp->fields().mtu(), 1400);
  const auto flow = parse_quoted_flow(icmp->body());
  ASSERT_TRUE(flow);
  EXPECT_EQ(to_string(flow->key), "tcp 192.0.2.1:4000 > 198.51.100.2:80");
  EXPECT_EQ(flow->seq, SeqNum(99));
}

TEST(Icmpv4View, EchoTellsItsNumbers) {
  const Octets message = hex("0800 0000 0007 0001 6869");
  const auto icmp = Icmpv4View::parse(message);
  ASSERT_TRUE(icmp);
  EXPECT_TRUE(icmp->fields().is_echo());
  EXPECT_EQ(to_string(icmp->fields()), "echo request id 7 seq 1");
  EXPECT_EQ(icmp->body().size(), 2U);
  EXPECT_FALSE(Icmpv4View::parse(Bytes(message).first(7)));
}

TEST(QuotedFlow, EveryTruncationIsRefused) {
  const Octets packet = quoted_tcp();
  for (std::size_t size = 0; size < packet.size(); ++size) {
    EXPECT_FALSE(parse_quoted_flow(Bytes(packet).first(size))) << size;
  }
  EXPECT_TRUE(parse_quoted_flow(packet));
}

TEST(QuotedFlow, EchoOverIpv6TellsItsIdentifier) {
  Ipv6Fields ip;
  ip.next_header = IpProtocol::kIcmpv6;
  ip.payload_length = 64;
  const auto echo = Icmpv6Fields::echo(Icmpv6Type::kEchoRequest, 77, 1);
  const Octets packet = join(emitted(ip), emitted(echo));
  const auto flow = parse_quoted_flow(packet);
  ASSERT_TRUE(flow);
  EXPECT_EQ(flow->key.source.port, Port(77));
  EXPECT_EQ(flow->key.protocol, IpProtocol::kIcmpv6);
}

TEST(QuotedFlow, LaterFragmentsNameNoFlow) {
  Octets packet = quoted_tcp();
  store_be16(packet, 6, 0x0010);
  EXPECT_EQ(parse_quoted_flow(packet).error(), WireError::kUnsupported);
}

TEST(Icmpv6View, PacketTooBigTellsMtu) {
  const Octets message = emitted(Icmpv6Fields::packet_too_big(1280), 0xaa);
  const auto icmp = Icmpv6View::parse(message);
  ASSERT_TRUE(icmp);
  EXPECT_EQ(icmp->fields().mtu(), 1280U);
  EXPECT_EQ(to_string(icmp->fields()), "packet too big, mtu 1280");
}

TEST(NeighbourView, SolicitationAndAdvertisementGoBothWays) {
  NeighbourFields f;
  f.target = *Ipv6Address::parse("fe80::1");
  f.link_address = *MacAddress::parse("02:00:00:00:00:01");
  const Octets solicitation = emitted(f, 0xaa);
  EXPECT_EQ(NeighbourView::parse(solicitation)->fields(), f);
  EXPECT_EQ(to_string(f), "who has fe80::1 (from 02:00:00:00:00:01)");
  f.advertisement = f.solicited = f.override_ = true;
  const Octets advertisement = emitted(f, 0xaa);
  EXPECT_EQ(NeighbourView::parse(advertisement)->fields(), f);
  EXPECT_EQ(to_string(f), "fe80::1 is at 02:00:00:00:00:01, solicited, override");
  for (std::size_t size = 0; size < advertisement.size(); ++size) {
    EXPECT_EQ(NeighbourView::parse(Bytes(advertisement).first(size)).has_value(), size == 24)
        << size;
  }
}

TEST(NeighbourView, OptionOfLengthZeroIsRefused) {
  NeighbourFields f;
  f.link_address = MacAddress::broadcast();
  Octets message = emitted(f);
  message[25] = 0;
  EXPECT_EQ(NeighbourView::parse(message).error(), WireError::kBadOption);
  message[25] = 2;
  EXPECT_EQ(NeighbourView::parse(message).error(), WireError::kBadOption);
  message[0] = 128;
  message[25] = 1;
  EXPECT_EQ(NeighbourView::parse(message).error(), WireError::kUnsupported);
}

const Octets kRouter =
    hex("8600 0000 40c0 0708 00000000 00000000"
        "0101 020000000001"
        "0501 0000 000005dc"
        "0304 40c0 00015180 00003840 00000000 20010db8000000000000000000000000");

TEST(RouterAdvertisementFields, WhatIsWrittenReadsBack) {
  RouterAdvertisementFields f;
  EXPECT_EQ(RouterAdvertisementView::parse(emitted(f))->fields(), f);
  f.hop_limit = 64;
  f.other = true;
  f.lifetime_seconds = 1800;
  f.reachable_ms = 1;
  f.retransmit_ms = 2;
  f.source_link_address = MacAddress({2, 0, 0, 0, 0, 1});
  f.mtu = 1400;
  f.prefix = NdpPrefix{64, true, true, 86400, 14400, *Ipv6Address::parse("2001:db8::")};
  f.dns = *Ipv6Address::parse("fe80::53");
  f.dns_seconds = 600;
  const Octets bytes = emitted(f);
  EXPECT_EQ(bytes.size(), 16U + 8 + 8 + 32 + 24);
  const auto view = RouterAdvertisementView::parse(bytes);
  ASSERT_TRUE(view);
  EXPECT_EQ(view->fields(), f);
  EXPECT_EQ(
      to_string(*view),
      "router lifetime 1800 s, hop limit 64, mtu 1400, prefix 2001:db8::/64, resolver fe80::53");
}

TEST(NdpOption, ResolversWithoutAnAddressAreNone) {
  const Octets data = hex("0000 00000258");
  EXPECT_FALSE(resolvers({NdpOptionType::kRecursiveDns, data}));
  EXPECT_FALSE(
      resolvers({NdpOptionType::kMtu, hex("0000 00000258 00000000000000000000000000000001")}));
}

TEST(RouterAdvertisementView, TellsPrefixMtuAndRouter) {
  const auto router = RouterAdvertisementView::parse(kRouter);
  ASSERT_TRUE(router);
  EXPECT_TRUE(router->managed());
  EXPECT_TRUE(router->other());
  EXPECT_EQ(router->source_link_address(), MacAddress::parse("02:00:00:00:00:01"));
  EXPECT_EQ(to_string(*router),
            "router lifetime 1800 s, hop limit 64, mtu 1500, prefix 2001:db8::/64");
  auto options = router->options();
  (void)options.next();
  (void)options.next();
  EXPECT_EQ(prefix(*options.next()),
            (NdpPrefix{64, true, true, 86400, 14400, *Ipv6Address::parse("2001:db8::")}));
}

TEST(PrintFrame, TellsLayersInOneLine) {
  EthernetFields ethernet;
  ethernet.source = *MacAddress::parse("02:00:00:00:00:01");
  ethernet.destination = *MacAddress::parse("02:00:00:00:00:02");
  ethernet.tag_count = 1;
  ethernet.tags[0].vid = 7;
  TcpFields tcp{Port(4000), Port(80), SeqNum(1), SeqNum(0), {TcpFlags::kSyn}, 65535, 0, {}};
  tcp.options.mss = 1460;
  Ipv4Fields ip;
  ip.source = kA;
  ip.destination = kB;
  ip.payload_length = 24;
  const Octets frame = join(join(emitted(ethernet), emitted(ip)), emitted(tcp));
  EXPECT_EQ(print_frame(frame),
            "02:00:00:00:00:01 > 02:00:00:00:00:02 vlan 7 IPv4 192.0.2.1 > 198.51.100.2 "
            "tcp 4000 > 80 [SYN] seq 1 win 65535 <mss 1460> length 0");
  EXPECT_EQ(print_frame(frame, {.link_layer = false, .checksums = true}),
            "192.0.2.1 > 198.51.100.2 tcp 4000 > 80 [SYN] seq 1 win 65535 <mss 1460> length 0 "
            "[wrong TCP checksum]");
  // Cut anywhere it still prints one line, and says so.
  for (std::size_t size = 0; size < frame.size(); ++size) {
    const std::string line = print_frame(Bytes(frame).first(size));
    EXPECT_NE(line.find("[malformed"), std::string::npos) << size;
    EXPECT_EQ(line.find('\n'), std::string::npos);
  }
}

TEST(PrintFrame, TellsIcmpErrorsWithTheirFlow) {
  const Octets message = join(emitted(Icmpv4Fields::fragmentation_needed(1400)), quoted_tcp());
  Ipv4Fields ip;
  ip.source = kB;
  ip.destination = kA;
  ip.protocol = IpProtocol::kIcmp;
  ip.payload_length = static_cast<std::uint16_t>(message.size());
  const Octets frame = join(join(emitted(EthernetFields{}), emitted(ip)), message);
  EXPECT_EQ(print_frame(frame, {.link_layer = false}),
            "198.51.100.2 > 192.0.2.1 icmp unreachable: fragmentation needed, mtu 1400 "
            "(tcp 192.0.2.1:4000 > 198.51.100.2:80) length 28");
}

}  // namespace
}  // namespace vtl::wire
