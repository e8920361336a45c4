// The anonymizer between a guest and a proxy in memory, on a virtual clock: what reaches the proxy,
// what the guest is told, and that nothing else goes anywhere.

#include "vtl/service/anonymizer/anonymizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/support/anonymizer_world.h"
#include "tests/support/malformed_frames.h"
#include "vtl/packet/access.h"

namespace vtl::service {
namespace {

using endpoint::EndReason;
using endpoint::State;
using test::AnonymizerWorld;
using test::FarEnd;
using transport::StreamError;

constexpr const char* kServer = "203.0.114.5:80";  // globally reachable

void write(endpoint::Endpoint& end, std::string_view text, Time now) {
  ASSERT_EQ(end.write({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}, now),
            text.size());
}

std::string read(endpoint::Endpoint& end, Time now) {
  std::string out;
  while (end.readable() > 0) {
    const Bytes bytes = end.peek();
    out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    end.consume(bytes.size(), now);
  }
  return out;
}

/// A UDP datagram of the guest's.
Packet datagram(AnonymizerWorld& world, const std::string& to, Bytes payload,
                std::uint16_t port = 5353) {
  const auto destination = *wire::SocketAddress::parse(to);
  test::FrameSpec spec{.protocol = 17,
                       .source_port = port,
                       .destination_port = destination.port.value(),
                       .payload = {payload.begin(), payload.end()}};
  Packet packet = world.pool.copy_of(test::make_frame(spec));
  set_source_address(packet, world.guest.ip);
  set_destination_address(packet, destination.address);
  set_source_mac(packet, world.guest.mac);
  return packet;
}

test::Octets query(const std::string& name, wire::DnsType type = wire::DnsType::kA) {
  test::Octets out(512);
  wire::DnsWriter writer(out, {.id = 7, .recursion_desired = true});
  EXPECT_TRUE(writer.question(
      {.name = *wire::DnsName::parse(name), .type = static_cast<std::uint16_t>(type)}));
  out.resize(writer.message().size());
  return out;
}

/// One that no small buffer holds, for EDNS pads it (RFC 7830).
test::Octets large_query() {
  constexpr std::uint16_t kPadding = 12, kSize = 2996;
  test::Octets out = query("large.example");
  out[11] = 1;  // additional records
  const std::uint8_t opt[] = {0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  const std::size_t at = out.size() + 9;
  out.insert(out.end(), std::begin(opt), std::end(opt));
  store_be16(out, at, kSize + 4);
  store_be16(out, at + 2, kPadding);
  store_be16(out, at + 4, kSize);
  out.resize(out.size() + kSize);
  return out;
}

/// What the guest is told of `name` by the resolver at `at`; nothing: no address.
std::optional<wire::IpAddress> look_up(AnonymizerWorld& world, const std::string& name,
                                       const std::string& at = "10.137.0.1:53") {
  EXPECT_TRUE(world.inject(datagram(world, at, query(name))));
  world.run_until([&] { return !world.guest.strangers.empty(); }, 1s);
  if (world.guest.strangers.empty()) return std::nullopt;
  const Packet answer = std::move(world.guest.strangers.back());
  world.guest.strangers.clear();
  EXPECT_EQ(source_port(answer).value(), 53);
  EXPECT_EQ(to_string(wire::SocketAddress{source_address(answer), source_port(answer)}), at);
  EXPECT_EQ(destination_mac(answer), world.guest.mac);
  const auto message = wire::DnsMessageView::parse(payload(answer));
  if (!message) return std::nullopt;
  auto records = message->records();
  while (const auto record = records.next()) {
    if (record->section() == wire::DnsSection::kAnswer) return record->address();
  }
  return std::nullopt;
}

TEST(Anonymizer, TheSynIsAnsweredOnlyWhenTheProxyHasConnected) {
  AnonymizerWorld world;
  std::unique_ptr<transport::IncomingStream> waiting;
  world.proxy.on_stream = [&](auto incoming) { waiting = std::move(incoming); };
  world.connect(4000, kServer);
  world.wait(2s);
  ASSERT_TRUE(waiting);
  EXPECT_EQ(world.proxy.asked.at(0).destination, kServer);
  EXPECT_EQ(world.end(4000, kServer).state(), State::kSynSent);
  EXPECT_EQ(world.proxy.asked.size(), 1U) << "SYNs that came again are the same connection";
  FarEnd server(std::move(waiting));
  EXPECT_TRUE(
      world.run_until([&] { return world.end(4000, kServer).state() == State::kEstablished; }));
}

TEST(Anonymizer, OctetsAndTheirEndsGoBothWays) {
  AnonymizerWorld world;
  world.serve();
  world.connect(4000, kServer);
  auto& end = world.end(4000, kServer);
  ASSERT_TRUE(world.run_until([&] { return end.state() == State::kEstablished; }));
  write(end, "question", world.reactor.now());
  end.shutdown(world.reactor.now());
  FarEnd& server = *world.servers.at(0);
  ASSERT_TRUE(world.run_until([&] { return server.ended; }));
  EXPECT_EQ(server.got, "question");
  server.send("answer");
  server.shutdown();
  ASSERT_TRUE(world.run_until([&] { return end.readable() == 6; }));
  EXPECT_EQ(read(end, world.reactor.now()), "answer");
  ASSERT_TRUE(world.run_until([&] { return end.at_end(); }));
  EXPECT_TRUE(world.run_until([&] { return world.metric("connections") == 0; }, 60s));
  EXPECT_EQ(world.leaked, 0U);
}

TEST(Anonymizer, ResetsGoBothWays) {
  AnonymizerWorld world;
  world.serve();
  for (const std::uint16_t port : {std::uint16_t{4000}, std::uint16_t{4001}}) {
    world.connect(port, kServer);
    ASSERT_TRUE(
        world.run_until([&] { return world.end(port, kServer).state() == State::kEstablished; }));
  }
  world.end(4000, kServer).abort(world.reactor.now());
  EXPECT_TRUE(world.run_until([&] { return world.servers[0]->reset.has_value(); }));
  world.servers[1]->abort();
  EXPECT_TRUE(
      world.run_until([&] { return world.end(4001, kServer).end_reason() == EndReason::kReset; }));
}

struct Refusal {
  StreamError reason;
  EndReason guest_sees;
  const char* how;
};
class AnonymizerRefusal : public testing::TestWithParam<Refusal> {};
TEST_P(AnonymizerRefusal, ReachesTheGuestAsWhatItIs) {
  AnonymizerWorld world;
  world.proxy.on_stream = [](auto incoming) { incoming->refuse(GetParam().reason); };
  world.connect(4000, kServer);
  world.run_until(
      [&] { return world.end(4000, kServer).finished() || !world.guest.strangers.empty(); }, 3s);
  const bool by_icmp = !world.guest.strangers.empty() && is_icmp_error(world.guest.strangers[0]);
  EXPECT_EQ(by_icmp, std::string(GetParam().how) == "icmp");
  EXPECT_EQ(world.end(4000, kServer).end_reason(), GetParam().guest_sees);
}
INSTANTIATE_TEST_SUITE_P(
    Every, AnonymizerRefusal,
    testing::Values(Refusal{StreamError::kRefused, EndReason::kRefused, "reset"},
                    Refusal{StreamError::kPeerDown, EndReason::kRefused, "reset"},
                    Refusal{StreamError::kProtocol, EndReason::kRefused, "reset"},
                    Refusal{StreamError::kHostUnreachable, EndReason::kNone, "icmp"},
                    Refusal{StreamError::kNetworkUnreachable, EndReason::kNone, "icmp"},
                    Refusal{StreamError::kTimedOut, EndReason::kNone, "silence"}));

TEST(Anonymizer, ProxyAway_GuestsAreRefusedUntilItIsBack) {
  AnonymizerWorld world;
  world.serve();
  world.proxy.is_up = false;
  world.connect(4000, kServer);
  ASSERT_TRUE(world.run_until(
      [&] { return world.end(4000, kServer).end_reason() == EndReason::kRefused; }));
  EXPECT_EQ(world.metric("proxy_down_total"), 1);
  EXPECT_EQ(world.leaked, 0U);
  world.proxy.is_up = true;
  world.connect(4001, kServer);
  EXPECT_TRUE(
      world.run_until([&] { return world.end(4001, kServer).state() == State::kEstablished; }));
}

// Names.

TEST(Anonymizer, AName_IsToldToTheProxyAndToNobodyElse) {
  AnonymizerWorld world;
  world.serve();
  const auto address = look_up(world, "Www.Example.org", "8.8.8.8:53");
  ASSERT_TRUE(address);
  EXPECT_TRUE(wire::IpNetwork::parse("198.18.0.0/15")->contains(*address));
  EXPECT_TRUE(world.proxy.asked.empty()) << "a look-up alone tells nobody";
  const std::string to = to_string(wire::SocketAddress{*address, wire::Port(443)});
  world.connect(4000, to);
  ASSERT_TRUE(world.run_until([&] { return world.end(4000, to).state() == State::kEstablished; }));
  EXPECT_EQ(world.proxy.asked.at(0).destination, "www.example.org:443");
  std::vector<engine::FlowInfo> flows;
  world.anonymizer->list_flows(flows);
  ASSERT_EQ(flows.size(), 1U);
  EXPECT_THAT(flows[0].transform, testing::HasSubstr("www.example.org:443"));
}

TEST(Anonymizer, AnAddressThatStandsForNoName_IsAnUnreachableHost) {
  AnonymizerWorld world;
  world.serve();
  world.connect(4000, "198.18.3.4:80");
  ASSERT_TRUE(world.run_until([&] { return !world.guest.strangers.empty(); }));
  EXPECT_TRUE(is_icmp_error(world.guest.strangers[0]));
  EXPECT_TRUE(world.proxy.asked.empty());
  EXPECT_EQ(world.metric("unnamed_total"), 1);
}

// Who has another's IP address, or its MAC address, is another guest all the same.
TEST(Anonymizer, TheNameOfAnAddress_IsToldToTheGuestThatAsked) {
  AnonymizerWorld world;
  const auto address = look_up(world, "private.example");
  ASSERT_TRUE(address);
  const std::string reverse = to_string(wire::DnsName::reverse_of(*address));
  const auto records = [&] {
    EXPECT_TRUE(
        world.inject(datagram(world, "10.137.0.1:53", query(reverse, wire::DnsType::kPtr))));
    EXPECT_TRUE(world.run_until([&] { return !world.guest.strangers.empty(); }, 1s));
    const Packet answer = std::move(world.guest.strangers.back());
    world.guest.strangers.clear();
    const auto message = wire::DnsMessageView::parse(payload(answer));
    const auto record = message->records().next();
    return record && record->section() == wire::DnsSection::kAnswer ? 1 : 0;
  };
  EXPECT_EQ(records(), 1);
  const wire::MacAddress mac = std::exchange(world.guest.mac, wire::MacAddress({2, 9, 9, 9, 9, 9}));
  EXPECT_EQ(records(), 0);
  world.guest.mac = mac;
  world.guest.ip = wire::Ipv4Address(10, 137, 0, 10);
  EXPECT_EQ(records(), 0);
}

// The address stays the name's for as long as a connection uses it, however long that is.
TEST(Anonymizer, AConnectionKeepsItsName) {
  AnonymizerOptions options;
  options.names.max_names = 1;
  options.names.ttl = 1s;
  options.names.lifetime = 2s;
  AnonymizerWorld world(options);
  world.serve();
  const auto address = look_up(world, "kept.example");
  ASSERT_TRUE(address);
  const std::string to = to_string(wire::SocketAddress{*address, wire::Port(80)});
  world.connect(4000, to);
  ASSERT_TRUE(world.run_until([&] { return world.end(4000, to).state() == State::kEstablished; }));
  world.wait(60s);
  EXPECT_FALSE(look_up(world, "other.example")) << "the only place is taken";
  world.connect(4001, to);
  ASSERT_TRUE(world.run_until([&] { return world.end(4001, to).state() == State::kEstablished; }));
  EXPECT_EQ(world.proxy.asked.back().destination, "kept.example:80");
  world.end(4000, to).abort(world.reactor.now());
  world.end(4001, to).abort(world.reactor.now());
  ASSERT_TRUE(world.run_until([&] { return world.metric("connections") == 0; }));
  world.wait(5s);
  EXPECT_TRUE(look_up(world, "other.example"));
}

TEST(Anonymizer, DnsOverTcpToAnyAddress_IsAnsweredHere) {
  AnonymizerWorld world;
  const std::string to = "9.9.9.9:53";
  world.connect(4000, to);
  auto& end = world.end(4000, to);
  ASSERT_TRUE(world.run_until([&] { return end.state() == State::kEstablished; }));
  const auto message = query("tcp.example");
  std::string framed{'\0', static_cast<char>(message.size())};
  framed.append(message.begin(), message.end());
  write(end, framed + framed, world.reactor.now());
  end.shutdown(world.reactor.now());
  std::string got;
  ASSERT_TRUE(world.run_until([&] {
    got += read(end, world.reactor.now());
    return end.at_end();
  }));
  ASSERT_GT(got.size(), 2U);
  const std::size_t size =
      static_cast<std::uint8_t>(got[0]) * 256U + static_cast<std::uint8_t>(got[1]);
  EXPECT_EQ(got.size(), 2 * (size + 2)) << "both were answered";
  EXPECT_TRUE(world.proxy.asked.empty());
}

TEST(Anonymizer, Resolve_RealAddressesComeFromTheProxyOnly) {
  AnonymizerOptions options;
  options.dns = DnsMode::kResolve;
  AnonymizerWorld world(options);
  world.serve();
  world.proxy.on_look_up = [](const transport::Host&) {
    return transport::Host(*wire::IpAddress::parse("203.0.114.5"));
  };
  EXPECT_EQ(look_up(world, "real.example"), wire::IpAddress::parse("203.0.114.5"));
  EXPECT_EQ(world.proxy.asked.at(0).destination, "real.example:0");
  EXPECT_NE(world.proxy.asked.at(0).isolation, "");
}

// However a guest asks, its questions count together, and none holds more than its answer needs.
TEST(Anonymizer, Resolve_LookUpsOverUdpAndTcpHaveOneBound) {
  constexpr std::size_t kMost = GuestAnswers::kMaxLookUps;
  AnonymizerOptions options;
  options.dns = DnsMode::kResolve;
  AnonymizerWorld world(options);
  world.proxy.holds_look_ups = true;
  const auto framed = [](int i) {
    const auto message = query("tcp" + std::to_string(i) + ".example");
    return std::string{'\0', static_cast<char>(message.size())} +
           std::string(message.begin(), message.end());
  };
  const auto ask_over_tcp = [&](std::uint16_t port, int from, int count) {
    world.connect(port, "9.9.9.9:53");
    auto& end = world.end(port, "9.9.9.9:53");
    ASSERT_TRUE(world.run_until([&] { return end.state() == State::kEstablished; }));
    for (int i = from; i < from + count; ++i) write(end, framed(i), world.reactor.now());
  };
  ask_over_tcp(4000, 0, 16);
  ASSERT_TRUE(world.run_until([&] { return world.metric("dns_look_ups_waiting") == 16; }));
  const test::Octets large = large_query();
  const std::size_t before = world.pool.bytes_in_use();
  for (std::size_t i = 16; i < kMost; ++i) {
    ASSERT_TRUE(world.inject(datagram(world, "10.137.0.1:53", large)));
  }
  EXPECT_EQ(world.metric("dns_look_ups_waiting"), kMost);
  EXPECT_LE(world.pool.bytes_in_use() - before, kMost * 4096) << "the small buffers' size and more";
  ASSERT_TRUE(world.inject(datagram(world, "10.137.0.1:53", large)));
  EXPECT_EQ(world.drops(DropReason::kMemoryBound), 1U);
  ask_over_tcp(4001, 16, 1);
  auto& end = world.end(4001, "9.9.9.9:53");
  ASSERT_TRUE(world.run_until([&] { return end.readable() > 2 + 12; }));
  EXPECT_EQ(read(end, world.reactor.now())[2 + 3] & 15, 2) << "SERVFAIL";
  EXPECT_EQ(world.metric("dns_look_ups_limited_total"), 2);
  world.end(4000, "9.9.9.9:53").abort(world.reactor.now());
  EXPECT_TRUE(world.run_until([&] { return world.metric("dns_look_ups_waiting") == kMost - 16; }));
}

// What is left of a look-up is destroyed a turn after its answer, when the service may be gone.
TEST(Anonymizer, Resolve_ALookUpMayOutliveTheService) {
  AnonymizerOptions options;
  options.dns = DnsMode::kResolve;
  AnonymizerWorld world(options);
  bool ended = false;
  world.proxy.on_look_up = [&](const transport::Host&) {
    world.reactor.post([&] {
      world.reactor.post([&] {
        world.anonymizer.reset();
        ended = true;
      });
    });
    return transport::Host(*wire::IpAddress::parse("203.0.114.7"));
  };
  world.connect(4000, "9.9.9.9:53");
  auto& end = world.end(4000, "9.9.9.9:53");
  ASSERT_TRUE(world.run_until([&] { return end.state() == State::kEstablished; }));
  const auto message = query("late.example");
  write(end,
        std::string{'\0', static_cast<char>(message.size())} +
            std::string(message.begin(), message.end()),
        world.reactor.now());
  EXPECT_TRUE(world.run_until([&] { return ended; }));
  world.reactor.run_tasks();
}

TEST(Anonymizer, Resolve_ALargeQuestionIsAnsweredFromWhatWasKept) {
  AnonymizerOptions options;
  options.dns = DnsMode::kResolve;
  AnonymizerWorld world(options);
  world.proxy.on_look_up = [](const transport::Host&) {
    return transport::Host(*wire::IpAddress::parse("203.0.114.5"));
  };
  EXPECT_TRUE(world.inject(datagram(world, "10.137.0.1:53", large_query())));
  ASSERT_TRUE(world.run_until([&] { return !world.guest.strangers.empty(); }));
  const Packet answer = std::move(world.guest.strangers.back());
  world.guest.strangers.clear();
  EXPECT_EQ(source_port(answer).value(), 53);
  EXPECT_EQ(destination_port(answer).value(), 5353);
  EXPECT_EQ(source_address(answer), *wire::IpAddress::parse("10.137.0.1"));
  EXPECT_EQ(destination_mac(answer), world.guest.mac);
  const auto message = wire::DnsMessageView::parse(payload(answer));
  ASSERT_TRUE(message);
  EXPECT_EQ(message->records().next()->address(), wire::IpAddress::parse("203.0.114.5"));
}

// What is not allowed.

TEST(Anonymizer, PrivateAddressesAndTheGuestsOwnNetwork_AreRefusedBeforeTheProxyIsAsked) {
  AnonymizerWorld world;
  world.serve();
  std::uint16_t port = 4000;
  for (const char* to : {"127.0.0.1:9051", "10.0.0.1:22", "192.168.1.1:80", "169.254.169.254:80",
                         "10.137.0.1:80", "10.137.0.7:80"}) {
    world.connect(++port, to);
    EXPECT_TRUE(world.run_until([&] {
      return world.end(port, to).end_reason() == EndReason::kRefused;
    })) << to;
  }
  EXPECT_TRUE(world.proxy.asked.empty());
  EXPECT_EQ(world.metric("denied_total"), 6);
}

TEST(Anonymizer, AddressesOfTheHostItself_AreRefusedBeforeTheProxyIsAsked) {
  AnonymizerWorld world;
  world.serve();
  world.proxy.own = {*wire::IpAddress::parse("203.0.114.5")};
  world.connect(4000, "203.0.114.5:22");
  EXPECT_TRUE(world.run_until(
      [&] { return world.end(4000, "203.0.114.5:22").end_reason() == EndReason::kRefused; }));
  EXPECT_TRUE(world.proxy.asked.empty());
  world.connect(4001, "203.0.114.6:22");
  EXPECT_TRUE(world.run_until(
      [&] { return world.end(4001, "203.0.114.6:22").state() == State::kEstablished; }));
  world.proxy.own.push_back(*wire::IpAddress::parse("203.0.114.6"));
  world.connect(4002, "203.0.114.6:22");
  EXPECT_TRUE(world.run_until([&] {
    return world.end(4002, "203.0.114.6:22").end_reason() == EndReason::kRefused;
  })) << "asked again each time";
}

TEST(Anonymizer, TheEgressListCounts_ForAddressesAndNames) {
  AnonymizerOptions options;
  options.egress = {
      {.allow = true, .pattern = *EgressPattern::parse("10.0.0.0/8"), .ports = {}},
      {.allow = false, .pattern = *EgressPattern::parse("*.ads.example"), .ports = {}},
      {.allow = false, .pattern = *EgressPattern::parse("any"), .ports = {{25, 25}}}};
  AnonymizerWorld world(options);
  world.serve();
  world.connect(4000, "10.1.2.3:22");
  EXPECT_TRUE(world.run_until(
      [&] { return world.end(4000, "10.1.2.3:22").state() == State::kEstablished; }));
  world.connect(4001, "203.0.114.5:25");
  EXPECT_TRUE(world.run_until(
      [&] { return world.end(4001, "203.0.114.5:25").end_reason() == EndReason::kRefused; }));
  EXPECT_FALSE(look_up(world, "x.ads.example"));
  const auto mail = look_up(world, "mail.example");
  ASSERT_TRUE(mail);
  const std::string to = to_string(wire::SocketAddress{*mail, wire::Port(25)});
  world.connect(4002, to);
  EXPECT_TRUE(
      world.run_until([&] { return world.end(4002, to).end_reason() == EndReason::kRefused; }));
}

TEST(Anonymizer, OfAllOtherTrafficNothingLeaves_AndItIsCountedByItsKind) {
  AnonymizerWorld world;
  world.serve();
  const auto one = [&](Packet packet, DropReason reason) {
    const auto before = world.drops(reason);
    EXPECT_TRUE(world.inject(std::move(packet)));
    EXPECT_EQ(world.drops(reason), before + 1) << name(reason);
  };
  const test::Octets data = test::pattern(20);
  one(datagram(world, "203.0.114.5:9999", data), DropReason::kBlockedUdp);
  one(datagram(world, "203.0.114.5:443", data), DropReason::kBlockedQuic);
  Packet group = datagram(world, "224.0.0.251:5353", data);
  set_destination_mac(group, wire::MacAddress({1, 0, 0x5e, 0, 0, 0xfb}));
  one(std::move(group), DropReason::kBlockedGroup);
  one(world.pool.copy_of(test::make_frame({.protocol = 1})), DropReason::kBlockedIcmp);
  one(world.pool.copy_of(test::make_frame({.v6 = true})), DropReason::kBlockedIpv6);
  one(world.pool.copy_of(test::make_frame({.fragment = 0x2000})), DropReason::kBlockedFragment);
  one(world.pool.copy_of(test::make_frame({.protocol = 47})), DropReason::kBlockedProtocol);
  test::Octets other = test::make_frame({});
  other[12] = 0x88;
  other[13] = 0xcc;  // LLDP
  one(world.pool.copy_of(other), DropReason::kBlockedEtherType);
  EXPECT_TRUE(world.inject(world.pool.copy_of(test::make_frame({})), engine::Direction::kInbound));
  EXPECT_EQ(world.drops(DropReason::kBlockedInbound), 1U);
  EXPECT_EQ(world.context.emitted[0].size(), 0U);
  EXPECT_TRUE(world.proxy.asked.empty());
}

TEST(Anonymizer, WhateverAFrameSays_ItIsTakenAndNothingLeaves) {
  AnonymizerOptions options;
  options.ipv6 = true;
  options.guest_network_v6 = *wire::IpNetwork::parse("fd76:746c:0:1::/64");
  options.names.v6 = *wire::IpNetwork::parse("fd76:746c:0:2::/64");
  options.echo = true;
  AnonymizerWorld world(options);
  world.serve();
  for (const auto& frame : test::MalformedFrames::make(1)) {
    EXPECT_TRUE(world.inject(world.pool.copy_of(frame.octets))) << frame.what;
  }
  world.wait(1s);
  EXPECT_EQ(world.leaked, 0U);
}

TEST(Anonymizer, ASegmentOfNoConnection_IsAnsweredByAReset) {
  AnonymizerWorld world;
  Packet stray = world.pool.copy_of(test::make_frame({.flags = 0x10}));
  set_source_mac(stray, world.guest.mac);
  EXPECT_TRUE(world.inject(std::move(stray)));
  ASSERT_EQ(world.context.emitted[1].size(), 1U);
  EXPECT_TRUE(is_rst(world.context.emitted[1][0]));
  EXPECT_EQ(world.metric("resets_total"), 1);
}

// Who belongs together.

std::vector<std::string> isolations(IsolateBy by, bool renew = false) {
  AnonymizerOptions options;
  options.isolation = by;
  AnonymizerWorld world(options);
  world.serve();
  const auto open = [&](std::uint16_t port, const char* to) {
    world.connect(port, to);
    EXPECT_TRUE(
        world.run_until([&] { return world.end(port, to).state() == State::kEstablished; }));
  };
  open(4000, "203.0.114.5:80");
  open(4001, "203.0.114.5:443");
  if (renew) {
    EXPECT_TRUE(world.anonymizer->act("new-identity"));
  }
  open(4002, "203.0.114.6:80");
  world.guest.ip = wire::Ipv4Address(10, 137, 0, 10);
  open(4003, "203.0.114.5:80");
  std::vector<std::string> out;
  for (const auto& asked : world.proxy.asked) out.push_back(asked.isolation);
  return out;
}

/// Which of them are the same: "aaba".
std::string pattern_of(const std::vector<std::string>& values) {
  std::vector<std::string> seen;
  std::string out;
  for (const auto& value : values) {
    auto it = std::ranges::find(seen, value);
    if (it == seen.end()) it = seen.insert(seen.end(), value);
    out += static_cast<char>('a' + (it - seen.begin()));
  }
  return out;
}

TEST(Anonymizer, StreamsAreKeptApartByGuestAndDestination) {
  for (const auto& value : isolations(IsolateBy::kNothing)) EXPECT_EQ(value, "");
  EXPECT_EQ(pattern_of(isolations(IsolateBy::kGuest)), "aaab");
  EXPECT_EQ(pattern_of(isolations(IsolateBy::kDestination)), "aaba");
  EXPECT_EQ(pattern_of(isolations(IsolateBy::kBoth)), "aabc");
}

TEST(Anonymizer, ANewIdentity_SharesNothingWithTheOld) {
  for (const auto by : {IsolateBy::kGuest, IsolateBy::kDestination, IsolateBy::kBoth}) {
    const auto values = isolations(by, true);
    EXPECT_NE(values[0], values[2]);
    EXPECT_NE(values[0], values[3]);
  }
}

TEST(Anonymizer, AnUnknownAction_IsRefused) {
  AnonymizerWorld world;
  const auto refused = world.anonymizer->act("dance");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "anonymizer: there is no action 'dance'");
}

TEST(Anonymizer, WithoutIsolation_ThereIsNoIdentityToRenew) {
  AnonymizerOptions options;
  options.isolation = IsolateBy::kNothing;
  AnonymizerWorld world(options);
  EXPECT_FALSE(world.anonymizer->act("new-identity"));
}

// Bounds, and the end.

TEST(Anonymizer, MaxConnections_TheSynIsDroppedAndComesAgain) {
  AnonymizerOptions options;
  options.max_connections = 1;
  AnonymizerWorld world(options);
  world.serve();
  world.connect(4000, kServer);
  ASSERT_TRUE(
      world.run_until([&] { return world.end(4000, kServer).state() == State::kEstablished; }));
  world.connect(4001, kServer);
  world.wait(500ms);
  EXPECT_EQ(world.drops(DropReason::kFlowTableFull), 1U);
  world.end(4000, kServer).abort(world.reactor.now());
  EXPECT_TRUE(world.run_until(
      [&] { return world.end(4001, kServer).state() == State::kEstablished; }, 10s));
}

TEST(Anonymizer, MaxHalfOpen_TheOldestIsGivenUp) {
  AnonymizerOptions options;
  options.max_half_open = 2;
  AnonymizerWorld world(options);
  std::vector<std::unique_ptr<transport::IncomingStream>> waiting;
  world.proxy.on_stream = [&](auto incoming) { waiting.push_back(std::move(incoming)); };
  for (const std::uint16_t port : {std::uint16_t{4000}, std::uint16_t{4001}, std::uint16_t{4002}}) {
    world.connect(port, kServer);
    world.wait(10ms);
  }
  EXPECT_EQ(world.metric("limit_half_open_total"), 1);
  EXPECT_EQ(world.metric("half_open"), 2);
}

TEST(Anonymizer, APortUsedAgainAtOnce_IsANewConnection) {
  AnonymizerWorld world;
  world.serve();
  for (int i = 0; i < 5; ++i) {
    world.connect(4000, kServer);
    ASSERT_TRUE(world.run_until([&] {
      return world.end(4000, kServer).state() == State::kEstablished;
    })) << i;
    world.end(4000, kServer).abort(world.reactor.now());
    world.wait(10ms);
  }
  EXPECT_EQ(world.proxy.asked.size(), 5U);
}

TEST(Anonymizer, AGuestThatNeverReads_HoldsNoMoreThanItsBuffers) {
  AnonymizerOptions options;
  options.buffer = 64 << 10;
  AnonymizerWorld world(options);
  world.serve();
  world.connect(4000, kServer);
  ASSERT_TRUE(
      world.run_until([&] { return world.end(4000, kServer).state() == State::kEstablished; }));
  world.servers[0]->send(std::string(std::size_t{4} << 20, 'x'));
  world.wait(30s);
  EXPECT_LE(world.metric("buffer_bytes"), 2 * (64 << 10));
  const auto before = world.end(4000, kServer).readable();
  EXPECT_GT(before, 0U);
  std::size_t got = 0;
  EXPECT_TRUE(world.run_until(
      [&] {
        got += test::drain(world.end(4000, kServer), world.reactor.now());
        return got == std::size_t{4} << 20;
      },
      600s));
  EXPECT_GT(world.context.gathered, 0U);
}

TEST(Anonymizer, Stopping_ConnectionsEndInOrderAndNoneBegins) {
  AnonymizerWorld world;
  world.serve();
  world.connect(4000, kServer);
  ASSERT_TRUE(
      world.run_until([&] { return world.end(4000, kServer).state() == State::kEstablished; }));
  bool stopped = false;
  world.anonymizer->stop([&] { stopped = true; });
  world.connect(4001, kServer);
  world.wait(500ms);
  EXPECT_FALSE(stopped);
  EXPECT_EQ(world.drops(DropReason::kLinkStopping), 1U);
  world.servers[0]->shutdown();
  world.end(4000, kServer).shutdown(world.reactor.now());
  EXPECT_TRUE(world.run_until([&] { return stopped; }));
}

}  // namespace
}  // namespace vtl::service
