// Two gateways and real endpoints on both guest sides, on a virtual clock: what a client and a
// server see of each other through them. The same with real kernels: tests/netns/gateway_test.cc.

#include "vtl/service/gateway/gateway.h"

#include <gtest/gtest.h>

#include <numeric>

#include "tests/support/gateway_world.h"
#include "vtl/packet/checksum.h"

namespace vtl::test {
namespace {

using endpoint::Endpoint;
using endpoint::EndReason;
using endpoint::State;

class GatewayTransfer : public testing::TestWithParam<std::tuple<double, std::uint64_t>> {};

TEST_P(GatewayTransfer, BothDirectionsArriveWholeAndEndInOrder) {
  const auto [loss, seed] = GetParam();
  service::GatewayOptions options;
  options.buffer = 128 << 10;
  GatewayWorld world(options, loss, seed, 32 << 10);
  serve(world);
  world.connect(40000, {});
  Talker from_client(seed, 700'001);
  Talker from_server = Talker::answering(seed, 500'003);
  const bool done =
      world.run_until([&] { return converse(world, 40000, from_client, from_server); }, 600s);
  EXPECT_TRUE(done);
  EXPECT_TRUE(from_client.intact(500'003));
  EXPECT_TRUE(from_server.intact(700'001));
  EXPECT_TRUE(world.run_until(
      [&] {
        return metric(*world.gateway_a, "connections") == 0 &&
               metric(*world.gateway_b, "connections") == 0;
      },
      200s))
      << "the tables empty themselves";
  EXPECT_EQ(metric(*world.gateway_a, "buffer_bytes"), 0);
  EXPECT_EQ(metric(*world.gateway_b, "buffer_bytes"), 0);
  EXPECT_EQ(metric(*world.gateway_a, "half_open"), 0);
  EXPECT_EQ(metric(*world.gateway_b, "half_open"), 0);
}

INSTANTIATE_TEST_SUITE_P(Loss, GatewayTransfer,
                         testing::Combine(testing::Values(0.0, 0.01, 0.05),
                                          testing::Values(1U, 2U, 3U)));

TEST(Gateway, TheServerSeesTheClientsOwnAddressPortAndMac) {
  GatewayWorld world;
  serve(world);
  auto& client = world.connect(41234, {});
  ASSERT_TRUE(world.run_until([&] { return client.endpoint->state() == State::kEstablished; }, 5s));
  auto* server = server_side(world, 41234);
  ASSERT_NE(server, nullptr);
  EXPECT_EQ(server->path.key.destination.address, wire::IpAddress(world.client.ip));
  EXPECT_EQ(server->path.destination_mac, kClientMac);
}

TEST(Gateway, ATaggedConnectionKeepsItsTagOnBothSides) {
  GatewayWorld world;
  serve(world);
  world.connect(40000, {}, 7);
  Talker from_client(3, 100'000);
  Talker from_server = Talker::answering(3, 100'000);
  EXPECT_TRUE(
      world.run_until([&] { return converse(world, 40000, from_client, from_server); }, 60s));
  EXPECT_EQ(server_side(world, 40000)->path.key.vlan, 7);
  EXPECT_EQ(metric(*world.gateway_a, "established_total"), 1);
}

TEST(Gateway, ASynIsAnsweredOnlyWhenTheServerHasAnswered) {
  GatewayWorld world;
  world.server.on_syn = nullptr;
  world.server.silent = false;
  world.server.answers_arp = true;
  auto& client = world.connect(40000, {});
  ASSERT_TRUE(world.run_until([&] { return client.endpoint->finished(); }, 10s));
  EXPECT_EQ(client.endpoint->end_reason(), EndReason::kRefused);
  EXPECT_EQ(metric(*world.gateway_a, "established_total"), 0);
}

TEST(Gateway, AHostThatDoesNotExistIsReportedAsUnreachableByIcmp) {
  GatewayWorld world;
  world.server.answers_arp = false;
  world.server.silent = true;
  auto& client = world.connect(40000, {});
  ASSERT_TRUE(world.run_until([&] { return !world.client.strangers.empty(); }, 10s));
  const Layout& layout = world.client.strangers.front().layout();
  EXPECT_EQ(layout.transport, TransportKind::kIcmpv4);
  EXPECT_EQ(client.endpoint->state(), State::kSynSent) << "a soft error: the client goes on trying";
  EXPECT_EQ(metric(*world.gateway_b, "unresolved_total"), 1);
}

TEST(Gateway, ASilentServerIsSilenceForTheClient) {
  GatewayWorld world;
  // The server is known by MAC, but answers no SYN.
  serve(world);
  auto& first = world.connect(40000, {});
  ASSERT_TRUE(world.run_until([&] { return first.endpoint->state() == State::kEstablished; }, 5s));
  world.server.silent = true;
  auto& client = world.connect(40001, {});
  EXPECT_FALSE(world.run_until([&] { return client.endpoint->state() != State::kSynSent; }, 60s));
  EXPECT_TRUE(world.client.strangers.empty());
}

TEST(Gateway, AStalledReaderStopsTheSenderWithinTheBuffers) {
  service::GatewayOptions options;
  options.buffer = 64 << 10;
  constexpr std::size_t kStream = 32 << 10;
  GatewayWorld world(options, 0, 1, kStream);
  serve(world);
  endpoint::Config config;
  config.receive_buffer = config.send_buffer = 64 << 10;
  world.connect(40000, config);
  Talker from_client(1, 4 << 20);
  Talker from_server = Talker::answering(1, 0);
  from_server.paused = true;
  const auto step = [&] { return converse(world, 40000, from_client, from_server); };
  EXPECT_FALSE(world.run_until(step, 10s));
  // Client send buffer, A's receive buffer, the stream, B's send buffer, the server's 1 MiB.
  EXPECT_LE(from_client.sent(), 3 * (64U << 10) + kStream + (1U << 20) + (64U << 10));
  EXPECT_LE(metric(*world.gateway_a, "buffer_bytes"), 2.0 * ((64 << 10) + 2 * 16384));
  from_server.paused = false;
  EXPECT_TRUE(world.run_until(step, 120s));
  EXPECT_TRUE(from_server.intact(4 << 20));
  EXPECT_GT(world.context_b().gathered, 0U);
}

TEST(Gateway, PeerDownRefusesOrPassesAsConfigured) {
  {
    GatewayWorld world;
    serve(world);
    world.peer_up(false);
    auto& client = world.connect(40000, {});
    ASSERT_TRUE(world.run_until([&] { return client.endpoint->finished(); }, 10s));
    EXPECT_EQ(client.endpoint->end_reason(), EndReason::kRefused);
  }
  service::GatewayOptions options;
  options.on_peer_down = service::PeerDownPolicy::kPass;
  GatewayWorld world(options);
  serve(world);
  world.peer_up(false);
  world.connect(40000, {});
  Talker from_client(5, 100'000);
  Talker from_server = Talker::answering(5, 50'000);
  EXPECT_TRUE(
      world.run_until([&] { return converse(world, 40000, from_client, from_server); }, 60s));
  EXPECT_TRUE(from_server.intact(100'000));
  EXPECT_TRUE(from_client.intact(50'000));
  EXPECT_EQ(metric(*world.gateway_a, "passed_total"), 1);
  EXPECT_EQ(metric(*world.gateway_a, "connections"), 0);
}

TEST(Gateway, APortThatOncePassedIsTakenAgainWhenThePeerIsBack) {
  service::GatewayOptions options;
  options.on_peer_down = service::PeerDownPolicy::kPass;
  GatewayWorld world(options);
  serve(world);
  world.peer_up(false);
  auto& first = world.connect(40000, {});
  ASSERT_TRUE(world.run_until([&] { return first.endpoint->state() == State::kEstablished; }, 10s));
  EXPECT_EQ(metric(*world.gateway_a, "passed_total"), 1);
  world.peer_up(true);
  world.client.connections.clear();
  world.server.connections.clear();
  auto& second = world.connect(40000, {});
  ASSERT_TRUE(
      world.run_until([&] { return second.endpoint->state() == State::kEstablished; }, 10s));
  EXPECT_TRUE(
      world.run_until([&] { return metric(*world.gateway_a, "established_total") == 1; }, 1s));
}

TEST(Gateway, ASynThatTellsTheMacItsOwnConnectionWaitsForIsASimultaneousOpen) {
  GatewayWorld world;
  serve(world);
  world.server.answers_arp = false;
  world.connect(40000, {});
  // The stream has arrived at B, which asks for the server's MAC in vain.
  ASSERT_FALSE(world.run_until([] { return false; }, 500ms));
  ASSERT_EQ(metric(*world.gateway_b, "half_open"), 1);
  wire::FlowKey key;
  key.source = {world.server.ip, wire::Port(80)};
  key.destination = {world.client.ip, wire::Port(40000)};
  TestHost::Connection own;
  own.path = {.source_mac = kServerMac, .destination_mac = kClientMac, .key = key};
  own.endpoint = std::make_unique<Endpoint>(Endpoint::connect(
      {}, {key.source.port, key.destination.port}, wire::SeqNum(5), world.reactor.now()));
  world.server.connections[key] = std::move(own);
  EXPECT_TRUE(world.run_until(
      [&] { return world.server.connections[key].endpoint->state() == State::kEstablished; }, 10s));
  EXPECT_TRUE(world.run_until([&] { return metric(*world.gateway_b, "half_open") == 0; }, 10s));
  EXPECT_EQ(metric(*world.gateway_b, "connections"), 1);
}

TEST(Gateway, GuestThatAsksForEcnGetsItAndItsMarksAreEchoed) {
  GatewayWorld world;
  serve(world);
  endpoint::Config config;
  config.ecn = endpoint::Ecn::kRequest;
  auto& client = world.connect(40000, config);
  ASSERT_TRUE(world.run_until([&] { return client.endpoint->state() == State::kEstablished; }, 5s));
  const std::string text(10'000, 'x');
  std::size_t written = 0;
  world.mark_ce = true;  // every ECT frame from the client comes marked
  ASSERT_TRUE(world.run_until(
      [&] {
        if (written < 200'000) {
          const Bytes bytes{reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
          written += client.endpoint->write(bytes, world.reactor.now());
        }
        return client.endpoint->stats().ecn_reductions > 0;
      },
      5s));
  EXPECT_EQ(client.endpoint->stats().retransmissions, 0U);
}

TEST(Gateway, AFloodOfSynsPushesOutTheOldestWithoutAWord) {
  service::GatewayOptions options;
  options.max_half_open = 4;
  GatewayWorld world(options);
  const auto serve_slowly = [&world](bool hold) {
    world.server.on_syn = [&world, hold](const wire::FlowKey& key, const endpoint::Segment& syn) {
      return std::make_unique<Endpoint>(
          Endpoint::accept_syn({}, {key.source.port, key.destination.port}, wire::SeqNum(77), syn,
                               hold, world.reactor.now()));
    };
  };
  serve_slowly(/*hold=*/true);  // no SYN is answered, so all connections stay half-open
  for (std::uint16_t port = 40000; port < 40010; ++port) {
    world.connect(port, {});
    ASSERT_FALSE(world.run_until([] { return false; }, 1ms));
  }
  EXPECT_EQ(metric(*world.gateway_a, "half_open"), 4);
  EXPECT_EQ(metric(*world.gateway_a, "connections"), 4);
  EXPECT_EQ(metric(*world.gateway_a, "limit_half_open_total"), 6);
  EXPECT_EQ(metric(*world.gateway_b, "half_open"), 4) << "their streams went, too";
  for (auto& [key, connection] : world.client.connections) {
    EXPECT_EQ(connection.endpoint->state(), State::kSynSent) << "none was refused";
  }
  // The flood is over. Whoever was pushed out sends its SYN again, as all hosts do.
  std::erase_if(world.client.connections,
                [](const auto& entry) { return entry.first.source.port.value() != 40000; });
  world.server.connections.clear();
  serve_slowly(/*hold=*/false);
  EXPECT_TRUE(world.run_until(
      [&] { return client_side(world, 40000)->state() == State::kEstablished; }, 10s));
}

TEST(Gateway, ASpentMemoryBudgetHoldsUpConnectionsAndForgetsNone) {
  service::GatewayOptions options;
  options.buffer = 64 << 10;
  options.memory = 256 << 10;
  GatewayWorld world(options, 0, 1, 16 << 10);
  serve(world);
  constexpr std::uint16_t kConnections = 12;
  constexpr std::size_t kSize = 300'000;
  endpoint::Config small;
  small.receive_buffer = 32 << 10;
  std::vector<Talker> clients, servers;
  for (std::uint16_t i = 0; i < kConnections; ++i) {
    world.connect(static_cast<std::uint16_t>(40000 + i), small);
    clients.emplace_back(i, 10'000);
    servers.push_back(Talker::answering(i, kSize));
    clients.back().paused = i != 0;
  }
  const auto step = [&] {
    bool finished = true;
    for (std::uint16_t i = 0; i < kConnections; ++i) {
      const auto port = static_cast<std::uint16_t>(40000 + i);
      finished &= converse(world, port, clients[i], servers[i]);
    }
    return finished;
  };
  EXPECT_FALSE(world.run_until(step, 5s));
  EXPECT_LE(metric(*world.gateway_a, "buffer_bytes"), 256 << 10);
  for (auto& c : clients) c.paused = false;
  EXPECT_TRUE(world.run_until(step, 100s)) << "far less than a keep-alive's time";
  for (std::size_t i = 0; i < kConnections; ++i) {
    EXPECT_TRUE(clients[i].intact(kSize)) << i;
    EXPECT_TRUE(servers[i].intact(10'000)) << i;
  }
}

TEST(Gateway, WhatDoesNotMatchPassesAsBridged) {
  service::GatewayOptions options;
  options.match = "tcp and not port 80";
  GatewayWorld world(options);
  serve(world);
  auto& client = world.connect(40000, {});
  ASSERT_TRUE(world.run_until([&] { return client.endpoint->state() == State::kEstablished; }, 5s));
  EXPECT_EQ(metric(*world.gateway_a, "opened_total"), 0);
}

TEST(Gateway, AtTheBoundSynsAreDroppedAndCountedAndLaterOnesTaken) {
  service::GatewayOptions options;
  options.max_connections = 4;
  options.time_wait = 1s;
  GatewayWorld world(options);
  serve(world);
  std::vector<Endpoint*> clients;
  for (std::uint16_t i = 0; i < 6; ++i) {
    clients.push_back(world.connect(static_cast<std::uint16_t>(40000 + i), {}).endpoint.get());
  }
  const auto established = [&] {
    return std::ranges::count_if(clients,
                                 [](auto* e) { return e->state() == State::kEstablished; });
  };
  EXPECT_TRUE(world.run_until([&] { return established() == 4; }, 5s));
  EXPECT_GE(metric(*world.gateway_a, "limit_connections_total"), 2);
  EXPECT_GE(world.context_a().drops.value(DropReason::kFlowTableFull), 2U);
  for (auto* e : clients) {
    if (e->state() == State::kEstablished) e->abort(world.reactor.now());
  }
  EXPECT_TRUE(world.run_until([&] { return established() == 2; }, 60s));
}

TEST(Gateway, AtTheBoundOneThatOnlyWaitsOutTimeWaitMakesRoom) {
  service::GatewayOptions options;
  options.max_connections = 2;
  GatewayWorld world(options);
  serve(world);
  const auto opens = [&](std::uint16_t port) {
    auto* const client = world.connect(port, {}).endpoint.get();
    return world.run_until([=] { return client->state() == State::kEstablished; }, 5s);
  };
  ASSERT_TRUE(opens(40000));
  ASSERT_TRUE(opens(40001));
  // The server closes first, so it is the gateway's end toward the client that waits.
  server_side(world, 40000)->endpoint->shutdown(world.reactor.now());
  ASSERT_TRUE(world.run_until([&] { return client_side(world, 40000)->at_end(); }, 5s));
  client_side(world, 40000)->shutdown(world.reactor.now());
  ASSERT_TRUE(world.run_until([&] { return client_side(world, 40000)->finished(); }, 5s));
  EXPECT_EQ(metric(*world.gateway_a, "connections"), 2);
  EXPECT_TRUE(opens(40002));
  EXPECT_EQ(metric(*world.gateway_a, "connections"), 2);
  EXPECT_EQ(metric(*world.gateway_a, "evicted_total"), 1);
  EXPECT_EQ(metric(*world.gateway_a, "limit_connections_total"), 0);
  EXPECT_EQ(client_side(world, 40001)->state(), State::kEstablished);
}

TEST(Gateway, ASynWithABadChecksumIsDroppedAsThat) {
  GatewayWorld world;
  world.connect(40000, {});
  Batch batch = world.client.dispatch(world.pool, world.reactor.now());
  ASSERT_EQ(batch.size(), 1U);
  ASSERT_TRUE(finish_checksum(batch.front()));
  batch.front().mutable_bytes()[batch.front().layout().transport_offset + 4] ^=
      1;  // the sequence number
  world.gateway_a->process(engine::Direction::kOutbound, batch);
  EXPECT_FALSE(batch.front());
  EXPECT_EQ(world.context_a().drops.value(DropReason::kBadChecksum), 1U);
  EXPECT_EQ(metric(*world.gateway_a, "opened_total"), 0);
}

TEST(Gateway, StopWaitsForLiveConnectionsAndTakesNoNewOnes) {
  GatewayWorld world;
  serve(world);
  auto& client = world.connect(40000, {});
  ASSERT_TRUE(world.run_until([&] { return client.endpoint->state() == State::kEstablished; }, 5s));
  bool stopped = false;
  world.gateway_a->stop([&] { stopped = true; });
  auto& late = world.connect(40001, {});
  EXPECT_FALSE(
      world.run_until([&] { return stopped || late.endpoint->state() != State::kSynSent; }, 3s));
  Talker from_client(9, 1000);
  Talker from_server = Talker::answering(9, 1000);
  EXPECT_TRUE(world.run_until(
      [&] {
        static_cast<void>(converse(world, 40000, from_client, from_server));
        return stopped;
      },
      60s));
  EXPECT_TRUE(from_client.intact(1000));
  EXPECT_TRUE(from_server.intact(1000));
}

TEST(Gateway, DestructionResetsWhatIsStillOpen) {
  GatewayWorld world;
  serve(world);
  auto& client = world.connect(40000, {});
  ASSERT_TRUE(world.run_until([&] { return client.endpoint->state() == State::kEstablished; }, 5s));
  Batch& inbound = world.context_a().emitted[1];
  inbound.clear();
  world.gateway_a.reset();
  ASSERT_EQ(inbound.size(), 1U);
  const auto segment = service::to_segment(inbound.front());
  ASSERT_TRUE(segment.has_value());
  EXPECT_TRUE(segment->header.flags.rst());
  inbound.clear();
}

}  // namespace
}  // namespace vtl::test
