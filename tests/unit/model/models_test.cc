// The models below TCP: Ethernet with ARP, IP, UDP, echo.
#include <gtest/gtest.h>

#include "builder.h"
#include "vtl/model/arp_model.h"
#include "vtl/model/icmp_echo_model.h"
#include "vtl/model/udp_model.h"
#include "vtl/wire/arp.h"
#include "vtl/wire/icmpv4.h"
#include "vtl/wire/icmpv6.h"

namespace vtl::model {
namespace {

using test::Net;
using test::Octets;

constexpr End kA = End::kA, kB = End::kB;

Octets arp_frame(const wire::ArpFields& arp, wire::MacAddress destination) {
  Octets frame;
  Net net;
  net.put_front(frame, arp);
  wire::EthernetFields ethernet;
  ethernet.source = arp.sender_mac;
  ethernet.destination = destination;
  ethernet.ether_type = wire::EtherType::kArp;
  net.put_front(frame, ethernet);
  return frame;
}

const wire::Ipv4Address kIpA(192, 0, 2, 1);
const wire::Ipv4Address kIpB(192, 0, 2, 2);
const Octets kRequest = arp_frame({wire::ArpOperation::kRequest, Net::mac(kA), kIpA, {}, kIpB},
                                  wire::MacAddress::broadcast());
const Octets kReply =
    arp_frame({wire::ArpOperation::kReply, Net::mac(kB), kIpB, Net::mac(kA), kIpA}, Net::mac(kA));

TEST(ArpModel, request_seen_reply_is_learned) {
  auto model = ArpModel::initialise(kRequest);
  ASSERT_TRUE(model);
  EXPECT_EQ(model->mac(kA), Net::mac(kA));
  EXPECT_TRUE(model->mac(kB).is_zero());
  Octets out(64);
  EXPECT_EQ(model->create(kB, wire::ArpOperation::kReply, out).error(),
            CreateError::kNotSynchronised);
  EXPECT_EQ(model->match(kReply), kB);
  EXPECT_TRUE(model->sync(kReply));
  EXPECT_EQ(model->mac(kB), Net::mac(kB));
  for (const auto& [from, operation, expected] :
       {std::tuple{kA, wire::ArpOperation::kRequest, kRequest},
        std::tuple{kB, wire::ArpOperation::kReply, kReply}}) {
    const auto size = model->create(from, operation, out);
    ASSERT_TRUE(size);
    EXPECT_EQ(Octets(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(*size)), expected);
  }
}

TEST(ArpModel, other_pair_does_not_match) {
  auto model = *ArpModel::initialise(kRequest);
  const Octets stranger = arp_frame({wire::ArpOperation::kReply, Net::mac(kB),
                                     wire::Ipv4Address(192, 0, 2, 3), Net::mac(kA), kIpA},
                                    Net::mac(kA));
  EXPECT_FALSE(model.match(stranger));
  EXPECT_FALSE(model.sync(stranger));
  EXPECT_FALSE(model.match(Net{}.udp(kA, 4)));
}

TEST(ArpModel, swapped_ends_are_symmetric) {
  const auto model = *ArpModel::initialise(kRequest);
  EXPECT_EQ(model.swapped().match(kRequest), kB);
  EXPECT_EQ(model.swapped().swapped(), model);
}

TEST(UdpModel, met_frames_of_both_ends_match_with_their_direction) {
  for (const bool v6 : {false, true}) {
    const Net net{.v6 = v6};
    const auto model = UdpModel::initialise(net.udp(kA, 10));
    ASSERT_TRUE(model);
    EXPECT_EQ(model->match(net.udp(kA, 3)), kA);
    EXPECT_EQ(model->match(net.udp(kB, 3)), kB);
    EXPECT_EQ(model->swapped().match(net.udp(kB, 3)), kA);
  }
}

// A defect of the original: what did not match was reported as inbound.
TEST(UdpModelRegression, WhatDoesNotMatchHasNoDirection) {
  const Net net;
  auto model = *UdpModel::initialise(net.udp(kA, 10));
  const UdpModel before = model;
  for (int i = 0; i < 5; ++i) {
    Net stranger;
    if (i == 0) stranger.port[0] = 1;
    if (i == 1) stranger.port[1] = 1;
    if (i == 2) stranger.vlan = 4;
    if (i == 3) stranger.v6 = true;
    const Octets frame =
        i == 4 ? net.tcp(kA, test::segment(wire::TcpFlags::kSyn, 1)) : stranger.udp(kB, 3);
    EXPECT_FALSE(model.match(frame)) << i;
    EXPECT_FALSE(model.sync(frame)) << i;
  }
  EXPECT_EQ(model, before);
}

TEST(UdpModel, created_datagram_is_what_the_end_would_send) {
  for (const bool v6 : {false, true}) {
    const Net net{.v6 = v6, .vlan = 5};
    auto model = *UdpModel::initialise(net.udp(kA, 10));
    ASSERT_TRUE(model.sync(net.udp(kB, 1)));
    for (const End from : {kA, kB}) {
      Octets out(200);
      const auto size = model.create(from, Octets(7, 'u'), out);
      ASSERT_TRUE(size);
      out.resize(*size);
      EXPECT_EQ(model.match(out), from);
      const auto frame = parse_frame(out);
      EXPECT_EQ(frame->ttl, net.ttl[index(from)]);
      const auto udp = wire::UdpView::parse(frame->transport);
      EXPECT_EQ(udp->payload().size(), 7U);
      EXPECT_TRUE(udp->verify_checksum(frame->source, frame->destination));
      // But for the identification it is octet for octet what the end itself sends.
      Octets genuine = net.udp(from, 7);
      if (!v6) {
        EXPECT_EQ(load_be16(out, 22), load_be16(genuine, 22) + 1);
        for (Octets* f : {&out, &genuine}) {
          store_be16(*f, 22, 0);
          store_be16(*f, 28, 0);
        }
      }
      EXPECT_EQ(out, genuine);
    }
  }
}

TEST(UdpModel, create_tells_what_does_not_fit) {
  auto model = *UdpModel::initialise(Net{}.udp(kA, 10));
  Octets out(70000);
  EXPECT_EQ(model.create(kA, Octets(65508), out).error(), CreateError::kPayloadTooLarge);
  EXPECT_TRUE(model.create(kA, Octets(65507), out));
  EXPECT_EQ(model.create(kA, Octets(10), MutableBytes(out).first(51)).error(),
            CreateError::kNoRoom);
}

Octets echo(const Net& net, End from, bool reply, std::uint16_t identifier,
            std::uint16_t sequence) {
  Octets message(8, 'e');
  if (net.v6) {
    net.put_front(message, wire::Icmpv6Fields::echo(reply ? wire::Icmpv6Type::kEchoReply
                                                          : wire::Icmpv6Type::kEchoRequest,
                                                    identifier, sequence));
    return net.wrap(from, wire::IpProtocol::kIcmpv6, message, 2);
  }
  net.put_front(message, wire::Icmpv4Fields::echo(
                             reply ? wire::Icmpv4Type::kEchoReply : wire::Icmpv4Type::kEchoRequest,
                             identifier, sequence));
  return net.wrap(from, wire::IpProtocol::kIcmp, message, 2);
}

TEST(IcmpEchoModel, request_seen_reply_answers_it) {
  for (const bool v6 : {false, true}) {
    const Net net{.v6 = v6};
    auto model = *IcmpEchoModel::initialise(echo(net, kA, false, 7, 3));
    EXPECT_EQ(model.last_request(kA), 3);
    EXPECT_FALSE(model.answered(kA));
    EXPECT_TRUE(model.sync(echo(net, kB, true, 7, 2)));  // late
    EXPECT_FALSE(model.answered(kA));
    EXPECT_TRUE(model.sync(echo(net, kB, true, 7, 3)));
    EXPECT_TRUE(model.answered(kA));
    EXPECT_FALSE(model.match(echo(net, kB, true, 8, 3)));
    EXPECT_FALSE(model.match(net.udp(kB, 8)));
  }
}

TEST(IcmpEchoModel, created_messages_go_on_from_either_end) {
  for (const bool v6 : {false, true}) {
    const Net net{.v6 = v6};
    auto model = *IcmpEchoModel::initialise(echo(net, kA, false, 7, 65535));
    Octets out(200);
    EXPECT_EQ(model.create(kA, Echo::kReply, {}, out).error(), CreateError::kNotSynchronised);
    const auto reply = model.create(kB, Echo::kReply, Octets(8, 'e'), out);
    ASSERT_TRUE(reply);
    EXPECT_TRUE(model.answered(kA));
    EXPECT_EQ(parse_frame(Bytes(out).first(*reply))->transport[0], v6 ? 129 : 0);
    const auto request = model.create(kA, Echo::kRequest, Octets(8, 'e'), out);
    ASSERT_TRUE(request);
    EXPECT_EQ(model.last_request(kA), 0);  // 65535 and one
    EXPECT_EQ(model.match(Bytes(out).first(*request)), kA);
    const auto first_of_b = model.create(kB, Echo::kRequest, {}, out);
    ASSERT_TRUE(first_of_b);
    EXPECT_EQ(model.last_request(kB), 0);
    EXPECT_EQ(model.swapped().last_request(kA), 0);
  }
}

TEST(EthernetModel, routers_of_the_two_ways_may_differ) {
  wire::EthernetFields there{
      wire::MacAddress({0, 0, 0x5e, 0, 1, 1}), Net::mac(kA), 0, {}, wire::EtherType::kIpv4};
  wire::EthernetFields back{Net::mac(kA), Net::mac(kB), 0, {}, wire::EtherType::kIpv4};
  EthernetModel model(there);
  EXPECT_EQ(model.create(kB, wire::EtherType::kIpv4).source, there.destination);
  model.sync(kB, back);
  EXPECT_EQ(model.create(kA, wire::EtherType::kIpv4), there);
  EXPECT_EQ(model.create(kB, wire::EtherType::kIpv4), back);
}

}  // namespace
}  // namespace vtl::model
