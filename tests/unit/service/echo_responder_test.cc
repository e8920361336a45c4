#include "vtl/service/anonymizer/echo_responder.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "tests/support/guest_frame.h"
#include "vtl/packet/access.h"
#include "vtl/wire/checksum.h"
#include "vtl/wire/icmpv4.h"
#include "vtl/wire/icmpv6.h"

namespace vtl::service {
namespace {

using wire::IpAddress;

constexpr wire::MacAddress kOurs({2, 0, 0, 0, 0, 1});

struct Ping {
  const char* from = "10.0.0.5";
  const char* to = "1.1.1.1";
  test::GuestFrame frame{.destination = kOurs};
  std::vector<std::uint8_t> data = {1, 2, 3, 4, 5};
  std::uint8_t type = 0;  // 0: an echo request
};

Packet ping(PacketPool& pool, const Ping& p) {
  const bool v6 = IpAddress::parse(p.to)->is_v6();
  std::vector<std::uint8_t> message(8);
  if (v6) {
    wire::Icmpv6Fields::echo(wire::Icmpv6Type::kEchoRequest, 7, 9).emit(message);
  } else {
    wire::Icmpv4Fields::echo(wire::Icmpv4Type::kEchoRequest, 7, 9).emit(message);
  }
  if (p.type != 0) message[0] = p.type;
  message.insert(message.end(), p.data.begin(), p.data.end());
  return test::ip_frame(pool, p.frame, *IpAddress::parse(p.from), *IpAddress::parse(p.to),
                        v6 ? wire::IpProtocol::kIcmpv6 : wire::IpProtocol::kIcmp, message);
}

const Ping kSix{.from = "fd00::5", .to = "2606:4700::1111"};

void expect_reply(const Packet& reply, const Packet& request, const Ping& p) {
  ASSERT_TRUE(reply);
  EXPECT_TRUE(is_echo_reply(reply));
  EXPECT_TRUE(verify_checksums(reply));
  EXPECT_EQ(reply.meta().checksum.kind, ChecksumKind::kComplete);
  EXPECT_EQ(source_address(reply), *IpAddress::parse(p.to));
  EXPECT_EQ(destination_address(reply), *IpAddress::parse(p.from));
  EXPECT_EQ(source_mac(reply), p.frame.destination);
  EXPECT_EQ(destination_mac(reply), p.frame.source);
  EXPECT_TRUE(std::ranges::equal(payload(reply), payload(request)));
  const std::size_t at = reply.layout().transport_offset;
  EXPECT_EQ(load_be32(reply.bytes(), at + 4), 7U << 16 | 9U);
  EXPECT_EQ(reply.layout().vlan, request.layout().vlan);
  EXPECT_EQ(reply.layout().vlan_tags, request.layout().vlan_tags);
}

TEST(EchoResponder, AnswersForAnyAddressInTheSameVlan) {
  PacketPool pool;
  for (Ping p : {Ping{}, kSix}) {
    for (const auto& vlans : {std::vector<std::uint16_t>{}, {5}, {5, 7}}) {
      p.frame.vlans = vlans;
      const Packet request = ping(pool, p);
      expect_reply(echo_reply_for(request), request, p);
    }
  }
}

TEST(EchoResponder, PartialChecksum_ReplyIsWhole) {
  PacketPool pool;
  for (const Ping& p : {Ping{}, kSix}) {
    Packet request = ping(pool, p);
    const std::size_t at = request.layout().transport_offset;
    const std::uint16_t pseudo =
        is_ipv4(request)
            ? std::uint16_t{0}
            : wire::pseudo_header_sum(source_address(request), destination_address(request),
                                      wire::IpProtocol::kIcmpv6, 8 + 5)
                  .folded();
    store_be16(request.mutable_bytes(), at + 2, pseudo);
    request.meta().checksum = {ChecksumKind::kPartial, static_cast<std::uint16_t>(at), 2};
    expect_reply(echo_reply_for(request), request, p);
  }
}

TEST(EchoResponder, WhatHasNoAnswer) {
  PacketPool pool;
  Ping group{.to = "224.0.0.1"}, all{.to = "255.255.255.255"}, nobody{.from = "0.0.0.0"};
  Ping nodes = kSix, reply{}, other{.type = 13}, broadcast{};
  nodes.to = "ff02::1";
  broadcast.frame.destination = wire::MacAddress::broadcast();
  EXPECT_FALSE(echo_reply_for(ping(pool, group)));
  EXPECT_FALSE(echo_reply_for(ping(pool, all)));
  EXPECT_FALSE(echo_reply_for(ping(pool, nobody)));
  EXPECT_FALSE(echo_reply_for(ping(pool, nodes)));
  EXPECT_FALSE(echo_reply_for(ping(pool, other)));
  EXPECT_FALSE(echo_reply_for(ping(pool, broadcast)));
  EXPECT_FALSE(echo_reply_for(echo_reply_for(ping(pool, reply))));
  Packet broken = ping(pool, {});
  broken.mutable_bytes()[broken.size() - 1] ^= 1;
  EXPECT_FALSE(echo_reply_for(broken));
}

TEST(EchoResponder, NoBuffer_NoReply) {
  PacketPool pool({.max_bytes = 8192});
  const Packet request = ping(pool, {});
  std::vector<Packet> rest;
  while (Packet more = pool.allocate(64)) rest.push_back(std::move(more));
  EXPECT_FALSE(echo_reply_for(request));
}

RC_GTEST_PROP(EchoResponderProperty, AnyData_ComesBack, (bool six)) {
  PacketPool pool;
  Ping p = six ? kSix : Ping{};
  p.data = *rc::gen::container<std::vector<std::uint8_t>>(*rc::gen::inRange<std::size_t>(0, 3000),
                                                          rc::gen::arbitrary<std::uint8_t>());
  const Packet request = ping(pool, p);
  const Packet reply = echo_reply_for(request);
  RC_ASSERT(static_cast<bool>(reply));
  RC_ASSERT(verify_checksums(reply));
  RC_ASSERT(std::ranges::equal(payload(reply), p.data));
}

}  // namespace
}  // namespace vtl::service
