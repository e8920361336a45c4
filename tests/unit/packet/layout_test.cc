#include "vtl/packet/layout.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "tests/unit/packet/frames.h"

namespace vtl {
namespace {

using test::FrameSpec;
using test::make_frame;
using test::Octets;

// An IPv6 extension header of 8 * units octets.
Octets extension(std::uint8_t next, std::size_t units = 1) {
  Octets out(8 * units);
  out[0] = next;
  out[1] = static_cast<std::uint8_t>(units - 1);
  return out;
}

TEST(Layout, PlainTcpOverIpv4) {
  const Octets frame = make_frame({.payload = {1, 2, 3}});
  const Layout l = parse_layout(frame, false);
  EXPECT_FALSE(l.error);
  EXPECT_EQ(l.network, NetworkKind::kIpv4);
  EXPECT_EQ(l.transport, TransportKind::kTcp);
  EXPECT_EQ(l.network_offset, 14);
  EXPECT_EQ(l.transport_offset, 34);
  EXPECT_EQ(l.payload_offset, 54);
  EXPECT_EQ(l.end, 57U);
  EXPECT_EQ(l.ip_protocol, 6);
}

TEST(Layout, OptionsTagsAndPaddingAreStepped) {
  Octets frame = make_frame({.vlans = {0x2123, 7},
                             .ip_options = Octets(8, 1),
                             .tcp_options = Octets(12, 1),
                             .payload = {9}});
  const std::size_t size = frame.size();
  frame.resize(size + 6);
  const Layout l = parse_layout(frame, false);
  EXPECT_FALSE(l.error);
  EXPECT_EQ(l.vlan_tags, 2);
  EXPECT_EQ(l.vlan, 0x123);
  EXPECT_EQ(l.ether_type, 0x0800);
  EXPECT_EQ(l.network_offset, 22);
  EXPECT_EQ(l.transport_offset, 50);
  EXPECT_EQ(l.payload_offset, 82);
  EXPECT_EQ(l.end, size);
}

TEST(Layout, AThirdTagIsAnUnknownEtherType) {
  const Layout l = parse_layout(make_frame({.vlans = {1, 2, 3}}), false);
  EXPECT_FALSE(l.error);
  EXPECT_EQ(l.network, NetworkKind::kOther);
  EXPECT_EQ(l.ether_type, 0x8100);
}

TEST(Layout, Ipv6ExtensionsAreWalkedToTheTransport) {
  Octets chain = extension(60);
  test::append(chain, extension(43, 3));
  test::append(chain, extension(51));  // next: authentication
  Octets authentication(12);
  authentication[0] = 17;
  authentication[1] = 1;  // (1 + 2) * 4 = 12
  test::append(chain, authentication);
  const Layout l = parse_layout(
      make_frame({.v6 = true, .protocol = 17, .extensions = chain, .first_extension = 0}), false);
  EXPECT_FALSE(l.error);
  EXPECT_EQ(l.transport, TransportKind::kUdp);
  EXPECT_EQ(l.transport_offset, 14 + 40 + 8 + 24 + 8 + 12);
}

TEST(Layout, AnUnreadIpv6ExtensionFailsClosed) {
  for (const int kind : {135, 139, 140, 253, 254}) {
    const Layout l = parse_layout(make_frame({.v6 = true,
                                              .extensions = extension(6),
                                              .first_extension = static_cast<std::uint8_t>(kind)}),
                                  false);
    EXPECT_EQ(l.error, DropReason::kUnsupportedIpv6Header) << kind;
    EXPECT_EQ(l.transport, TransportKind::kNone);
  }
}

TEST(Layout, AHopByHopHeaderElsewhereThanFirstIsMalformed) {
  Octets chain = extension(0);
  test::append(chain, extension(6));
  const Layout l =
      parse_layout(make_frame({.v6 = true, .extensions = chain, .first_extension = 60}), false);
  EXPECT_EQ(l.error, DropReason::kMalformedIp);
}

TEST(Layout, TooManyIpv6ExtensionsAreMalformed) {
  for (const unsigned count : {kMaxIpv6Extensions, kMaxIpv6Extensions + 1}) {
    Octets chain;
    for (unsigned i = 1; i < count; ++i) test::append(chain, extension(60));
    test::append(chain, extension(6));
    const Layout l =
        parse_layout(make_frame({.v6 = true, .extensions = chain, .first_extension = 60}), false);
    EXPECT_EQ(l.error.has_value(), count > kMaxIpv6Extensions);
  }
}

TEST(Layout, FragmentsAreToldApart) {
  const auto v4 = [](std::uint16_t word) {
    return parse_layout(make_frame({.fragment = word, .payload = {1}}), false);
  };
  EXPECT_FALSE(v4(0x4000).is_fragment);
  EXPECT_TRUE(v4(0x2000).is_first_fragment);
  EXPECT_EQ(v4(0x2000).transport, TransportKind::kTcp);
  EXPECT_TRUE(v4(0x0003).is_fragment);
  EXPECT_EQ(v4(0x0003).transport, TransportKind::kNone);
  const auto v6 = [](std::uint16_t word) {
    Octets header = {6, 0, 0, 0, 0, 0, 0, 9};
    store_be16(header, 2, word);
    return parse_layout(
        make_frame({.v6 = true, .extensions = header, .first_extension = 44, .payload = {1}}),
        false);
  };
  EXPECT_FALSE(v6(0).is_fragment) << "atomic, RFC 6946";
  EXPECT_TRUE(v6(1).is_first_fragment);
  EXPECT_TRUE(v6(0x0100).is_fragment);
  EXPECT_EQ(v6(0x0100).transport, TransportKind::kNone);
  EXPECT_EQ(v6(0x0100).ip_protocol, 6);
}

TEST(Layout, AFirstFragmentsUdpLengthMayExceedIt) {
  Octets frame = make_frame({.protocol = 17, .fragment = 0x2000, .payload = Octets(32)});
  store_be16(frame, 14 + 20 + 4, 3000);
  EXPECT_FALSE(parse_layout(frame, false).error);
  store_be16(frame, 14 + 6, 0);
  EXPECT_EQ(parse_layout(frame, false).error, DropReason::kMalformedTransport);
}

TEST(Layout, LyingLengthsAreMalformed) {
  const auto broken = [](std::size_t at, std::uint8_t value, bool v6 = false) {
    Octets frame = make_frame({.v6 = v6, .payload = {1, 2, 3, 4}});
    frame[at] = value;
    return parse_layout(frame, false).error;
  };
  EXPECT_EQ(broken(14, 0x44), DropReason::kMalformedIp) << "IHL below 5";
  EXPECT_EQ(broken(14, 0x4f), DropReason::kMalformedIp) << "header beyond its total length";
  EXPECT_EQ(broken(14, 0x65), DropReason::kMalformedIp) << "version";
  EXPECT_EQ(broken(16, 0xff), DropReason::kMalformedIp) << "total length beyond the frame";
  EXPECT_EQ(broken(17, 19), DropReason::kMalformedIp) << "total length below the header's";
  EXPECT_EQ(broken(46, 0x40), DropReason::kMalformedTransport) << "data offset below 5";
  EXPECT_EQ(broken(46, 0xf0), DropReason::kMalformedTransport) << "data offset beyond the packet";
  EXPECT_EQ(broken(14, 0x45, true), DropReason::kMalformedIp);
  EXPECT_EQ(broken(18, 0xff, true), DropReason::kMalformedIp);
}

TEST(Layout, AnIpv4OptionOfLengthZeroIsMalformed) {
  EXPECT_EQ(parse_layout(make_frame({.ip_options = {7, 0, 4, 0}}), false).error,
            DropReason::kMalformedIp);
  EXPECT_FALSE(parse_layout(make_frame({.ip_options = {7, 3, 4, 0}}), false).error);
}

TEST(Layout, ASuperFramesEndIsTheFramesEnd) {
  for (const bool v6 : {false, true}) {
    Octets frame = make_frame({.v6 = v6, .payload = Octets(3000)});
    store_be16(frame, v6 ? 18 : 16, 0);
    const Layout l = parse_layout(frame, true);
    EXPECT_FALSE(l.error);
    EXPECT_EQ(l.end, frame.size());
    EXPECT_EQ(l.transport, TransportKind::kTcp);
    EXPECT_TRUE(parse_layout(frame, false).error);
  }
}

TEST(Layout, ArpIsReadAndItsLiesAreNot) {
  Octets frame = {255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1};
  frame.resize(42);
  EXPECT_EQ(parse_layout(frame, false).network, NetworkKind::kArp);
  EXPECT_FALSE(parse_layout(frame, false).error);
  frame[18] = 7;
  EXPECT_EQ(parse_layout(frame, false).error, DropReason::kMalformedArp);
}

TEST(Layout, EveryTruncationIsAnErrorNeverACrash) {
  for (const FrameSpec& spec :
       {FrameSpec{.vlans = {5}, .ip_options = Octets(4), .payload = Octets(9)},
        FrameSpec{.v6 = true, .protocol = 17, .payload = Octets(9)},
        FrameSpec{.v6 = true, .extensions = extension(6), .first_extension = 60},
        FrameSpec{.protocol = 1}}) {
    const Octets frame = make_frame(spec);
    EXPECT_FALSE(parse_layout(frame, false).error);
    for (std::size_t n = 0; n < frame.size(); ++n) {
      EXPECT_TRUE(parse_layout(Bytes(frame).first(n), false).error) << n;
    }
  }
}

RC_GTEST_PROP(Layout, OffsetsNeverLeaveTheFrame, (bool super, std::uint64_t seed)) {
  Rng rng(seed);
  Octets frame = make_frame({.v6 = rng.chance(0.5),
                             .protocol = static_cast<std::uint8_t>(rng.chance(0.5) ? 6 : 17),
                             .extensions = rng.chance(0.5) ? extension(6) : Octets{},
                             .first_extension = 60,
                             .payload = test::pattern(rng.below(100), seed)});
  frame.resize(rng.below(frame.size() + 1));
  for (std::uint64_t flips = rng.below(5); flips > 0 && !frame.empty(); --flips) {
    frame[rng.below(frame.size())] = static_cast<std::uint8_t>(rng.next());
  }
  const Layout l = parse_layout(frame, super);
  RC_ASSERT(l.end <= frame.size());
  if (l.transport != TransportKind::kNone) {
    RC_ASSERT(l.network_offset < l.transport_offset);
    RC_ASSERT(l.transport_offset <= l.payload_offset);
    RC_ASSERT(l.payload_offset <= l.end);
    RC_ASSERT(!l.error);
  }
}

TEST(FlowKey, NamesBothEndsAndTheVlan) {
  const Octets frame = make_frame({.protocol = 17, .vlans = {42}});
  const auto key = flow_key(frame, parse_layout(frame, false));
  ASSERT_TRUE(key);
  EXPECT_EQ(key->source, *wire::SocketAddress::parse("192.0.2.1:4000"));
  EXPECT_EQ(key->destination, *wire::SocketAddress::parse("198.51.100.2:80"));
  EXPECT_EQ(key->protocol, wire::IpProtocol::kUdp);
  EXPECT_EQ(key->vlan, 42);
}

TEST(FlowKey, IsAbsentForFragmentsIcmpAndMalformedFrames) {
  for (const FrameSpec& spec :
       {FrameSpec{.fragment = 0x2000}, FrameSpec{.protocol = 1}, FrameSpec{.protocol = 47}}) {
    const Octets frame = make_frame(spec);
    EXPECT_FALSE(flow_key(frame, parse_layout(frame, false)));
  }
  const Octets frame = make_frame({});
  EXPECT_FALSE(flow_key(frame, parse_layout(Bytes(frame).first(40), false)));
}

}  // namespace
}  // namespace vtl
