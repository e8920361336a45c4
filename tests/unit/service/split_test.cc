// A split and real endpoints on both of its sides, on a virtual clock: what a client and a server
// see of each other through it. What strangers send: split_hostile_test.cc. The same with real
// kernels: tests/netns/split.cc.

#include "vtl/service/split/split.h"

#include <gtest/gtest.h>

#include "tests/support/split_world.h"

namespace vtl::test {
namespace {

using endpoint::Endpoint;
using endpoint::EndReason;
using endpoint::State;
using engine::Direction;

constexpr Duration kDay = 24h;
using Ports = std::initializer_list<std::uint16_t>;

/// Both ends of the client's connection from `port` say what they can; true when all was said.
bool converse(SplitWorld& world, std::uint16_t port, Talker& from_client, Talker& from_server,
              std::uint16_t vlan = 0) {
  const Time now = world.reactor.now();
  const bool said =
      from_client.step(*world.client.connections.at(world.key_of(port, vlan)).endpoint, now);
  auto* const server = world.server_side(port, vlan);
  return server != nullptr && from_server.step(*server->endpoint, now) && said;
}

[[nodiscard]] testing::AssertionResult opens(SplitWorld& world, std::uint16_t port,
                                             const endpoint::Config& config = {}) {
  world.connect(port, config);
  if (world.run_until([&] { return world.established(port); }, 10s)) {
    world.wait(1ms);  // the handshake's last segment
    return testing::AssertionSuccess();
  }
  return testing::AssertionFailure() << "port " << port << " did not open";
}

/// The server ends first, so that the split's end toward the client has TIME-WAIT to wait out.
[[nodiscard]] testing::AssertionResult closes(SplitWorld& world, std::uint16_t port) {
  world.server_end(port).shutdown(world.reactor.now());
  if (!world.run_until([&] { return world.client_end(port).at_end(); }, 10s)) {
    return testing::AssertionFailure() << "the server's FIN did not reach the client";
  }
  world.client_end(port).shutdown(world.reactor.now());
  if (!world.run_until([&] { return world.client_end(port).finished(); }, 10s)) {
    return testing::AssertionFailure() << "the client did not close";
  }
  return testing::AssertionSuccess();
}

struct Losses {
  double client, server;
};
class SplitTransfer : public testing::TestWithParam<std::tuple<Losses, std::uint64_t>> {};

TEST_P(SplitTransfer, BothDirectionsArriveWholeAndEndInOrder) {
  const auto [loss, seed] = GetParam();
  service::SplitOptions options;
  options.buffer = 128 << 10;
  SplitWorld world(options, seed);
  world.client_loss = loss.client;
  world.server_loss = loss.server;
  endpoint::Config config;
  config.max_super_frame = 1448;  // many frames, so that some are lost
  world.serve(config);
  world.connect(40000, config);
  Talker from_client(seed, 700'001);
  Talker from_server = Talker::answering(seed, 500'003);
  EXPECT_TRUE(
      world.run_until([&] { return converse(world, 40000, from_client, from_server); }, 600s));
  EXPECT_TRUE(from_client.intact(500'003));
  EXPECT_TRUE(from_server.intact(700'001));
  EXPECT_GT(world.context.gathered, 0U);
  EXPECT_TRUE(world.run_until([&] { return world.metric("connections") == 0; }, 200s));
  EXPECT_EQ(world.metric("buffer_bytes"), 0);
  EXPECT_EQ(world.metric("half_open"), 0);
  EXPECT_EQ(world.metric("established_total"), 1);
  EXPECT_EQ(world.metric("retransmissions_total") + world.metric("out_of_order_total") > 0,
            loss.client + loss.server > 0);
  EXPECT_EQ(world.metric("reset_total"), 0);
}

INSTANTIATE_TEST_SUITE_P(Loss, SplitTransfer,
                         testing::Combine(testing::Values(Losses{0, 0}, Losses{0.05, 0},
                                                          Losses{0, 0.05}, Losses{0.03, 0.03}),
                                          testing::Values(1U, 2U, 3U)));

TEST(Split, EachSideSeesTheOthersOwnAddressPortAndMac) {
  SplitWorld world;
  world.serve();
  ASSERT_TRUE(opens(world, 41234));
  const auto* const server = world.server_side(41234);
  EXPECT_EQ(server->path.key, world.key_of(41234).reversed());
  EXPECT_EQ(server->path.destination_mac, kClientMac);
  EXPECT_EQ(world.metric("established_total"), 1);
}

TEST(Split, ATaggedConnectionKeepsItsTagOnBothSides) {
  SplitWorld world;
  world.serve();
  world.connect(40000, {}, 7);
  Talker from_client(3, 100'000);
  Talker from_server = Talker::answering(3, 100'000);
  EXPECT_TRUE(
      world.run_until([&] { return converse(world, 40000, from_client, from_server, 7); }, 60s));
  EXPECT_TRUE(from_server.intact(100'000));
  EXPECT_EQ(world.metric("established_total"), 1);
}

TEST(Split, RefusedIsRefused) {
  SplitWorld world;  // the server resets every SYN
  auto& client = world.connect(40000);
  ASSERT_TRUE(world.run_until([&] { return client.endpoint->finished(); }, 10s));
  EXPECT_EQ(client.endpoint->end_reason(), EndReason::kRefused);
  EXPECT_EQ(world.metric("refused_total"), 1);
  EXPECT_EQ(world.metric("connections"), 0);
}

TEST(Split, ASilentServerIsSilenceAndIsForgotten) {
  SplitWorld world;
  world.server.silent = true;
  auto& client = world.connect(40000);
  ASSERT_TRUE(world.run_until([&] { return client.endpoint->finished(); }, 200s));
  EXPECT_EQ(client.endpoint->end_reason(), EndReason::kTimedOut);
  world.wait(10s);
  EXPECT_EQ(world.metric("connections"), 0);
  EXPECT_EQ(world.metric("half_open"), 0);
  EXPECT_EQ(world.metric("silent_total"), 1);
}

TEST(Split, AClientThatVanishesIsFoundOutByWhatItDoesNotAcknowledge) {
  service::SplitOptions options;
  options.keep_alive = 0s;
  SplitWorld world(options);
  world.serve();
  ASSERT_TRUE(opens(world, 40000));
  world.client.silent = true;
  EXPECT_EQ(world.server_end(40000).write(std::vector<std::uint8_t>(1000, 1), world.reactor.now()),
            1000U);
  world.wait(kDay);
  EXPECT_EQ(world.metric("connections"), 0);
  EXPECT_EQ(world.server_end(40000).end_reason(), EndReason::kReset);
  EXPECT_EQ(world.metric("timed_out_total"), 1);
}

TEST(Split, AServerThatVanishesIsFoundOutByKeepAlives) {
  SplitWorld world;
  world.serve();
  ASSERT_TRUE(opens(world, 40000));
  world.server.silent = true;
  world.wait(kDay);
  EXPECT_EQ(world.metric("connections"), 0);
  EXPECT_EQ(world.client_end(40000).end_reason(), EndReason::kReset);
}

TEST(Split, AClientThatNeverCompletesItsHandshakeIsGivenUpAndItsServerReset) {
  SplitWorld world;
  world.serve();
  world.connect(40000);
  ASSERT_TRUE(world.run_until([&] { return world.server_side(40000) != nullptr; }, 1s));
  world.client.silent = true;
  ASSERT_TRUE(
      world.run_until([&] { return world.server_end(40000).state() == State::kEstablished; }, 1s));
  EXPECT_EQ(world.metric("half_open"), 1);
  world.wait(60s);
  EXPECT_EQ(world.metric("half_open"), 0);
  EXPECT_EQ(world.metric("connections"), 0);
  EXPECT_EQ(world.server_end(40000).end_reason(), EndReason::kReset);
}

TEST(Split, AResetInTheMiddleReachesTheOtherEnd) {
  for (const bool by_client : {true, false}) {
    SplitWorld world;
    world.serve();
    ASSERT_TRUE(opens(world, 40000));
    Endpoint& from = by_client ? world.client_end(40000) : world.server_end(40000);
    Endpoint& to = by_client ? world.server_end(40000) : world.client_end(40000);
    from.abort(world.reactor.now());
    ASSERT_TRUE(world.run_until([&] { return to.finished(); }, 5s)) << by_client;
    EXPECT_EQ(to.end_reason(), EndReason::kReset);
    world.wait(1s);
    EXPECT_EQ(world.metric("connections"), 0);
    EXPECT_EQ(world.metric("reset_total"), 1);
  }
}

// The client has closed in order, the server resets, and what the client sent before lies in
// between: nobody will take it any more.
TEST(Split, OctetsThatNobodyWillTakeDoNotKeepAClosedConnection) {
  service::SplitOptions options;
  options.buffer = 64 << 10;
  SplitWorld world(options);
  endpoint::Config small;
  small.receive_buffer = small.receive_buffer_initial = 16 << 10;
  world.serve(small);
  ASSERT_TRUE(opens(world, 40000));
  Endpoint& client = world.client_end(40000);
  Endpoint& server = world.server_end(40000);
  std::size_t left = 120'000;
  ASSERT_TRUE(world.run_until(
      [&] {
        left -= client.write(std::vector<std::uint8_t>(left, 7), world.reactor.now());
        return left == 0 && client.unacknowledged() == 0;
      },
      20s));
  client.shutdown(world.reactor.now());
  ASSERT_TRUE(world.run_until([&] { return client.state() == State::kFinWait2; }, 5s));
  server.shutdown(world.reactor.now());
  ASSERT_TRUE(world.run_until([&] { return client.state() == State::kTimeWait; }, 5s));
  world.wait(1s);
  server.abort(world.reactor.now());
  world.wait(5s);
  EXPECT_EQ(world.metric("connections"), 0);
  EXPECT_EQ(world.metric("buffer_bytes"), 0);
  EXPECT_TRUE(world.run_until([&] { return client.finished(); }, 100s));
  EXPECT_TRUE(opens(world, 40000)) << "the port pair is free again";
}

TEST(Split, WhatCameBeforeAResetIsDeliveredBeforeIt) {
  SplitWorld world;
  world.serve();
  endpoint::Config small;
  small.receive_buffer = small.receive_buffer_initial = 16 << 10;
  ASSERT_TRUE(opens(world, 40000, small));
  Endpoint& client = world.client_end(40000);
  Endpoint& server = world.server_end(40000);
  ASSERT_EQ(server.write(std::vector<std::uint8_t>(120'000), world.reactor.now()), 120'000U);
  ASSERT_TRUE(world.run_until([&] { return server.all_acknowledged(); }, 10s));
  server.abort(world.reactor.now());
  EXPECT_FALSE(world.run_until([&] { return client.finished(); }, 20s)) << "data stands before";
  std::size_t received = 0;
  EXPECT_TRUE(world.run_until(
      [&] {
        received += drain(client, world.reactor.now());
        return client.finished();
      },
      10s));
  EXPECT_EQ(received, 120'000U);
  EXPECT_EQ(client.end_reason(), EndReason::kReset);
}

TEST(Split, AReaderThatStandsStillDoesNotHoldUpAResetForEver) {
  SplitWorld world;
  world.serve();
  endpoint::Config small;
  small.receive_buffer = small.receive_buffer_initial = 16 << 10;
  ASSERT_TRUE(opens(world, 40000, small));
  Endpoint& server = world.server_end(40000);
  ASSERT_EQ(server.write(std::vector<std::uint8_t>(100'000), world.reactor.now()), 100'000U);
  ASSERT_TRUE(world.run_until([&] { return server.all_acknowledged(); }, 10s));
  server.abort(world.reactor.now());
  world.wait(50s);
  EXPECT_EQ(world.metric("connections"), 1);
  EXPECT_TRUE(world.run_until([&] { return world.metric("connections") == 0; }, 30s));
  EXPECT_TRUE(world.run_until([&] { return world.client_end(40000).finished(); }, 1s));
  EXPECT_EQ(world.client_end(40000).end_reason(), EndReason::kReset);
  EXPECT_EQ(world.metric("buffer_bytes"), 0);
}

TEST(Split, HalfCloseTravelsAndTheOtherDirectionGoesOn) {
  SplitWorld world;
  world.serve();
  ASSERT_TRUE(opens(world, 40000));
  Endpoint& client = world.client_end(40000);
  Endpoint& server = world.server_end(40000);
  client.shutdown(world.reactor.now());
  ASSERT_TRUE(world.run_until([&] { return server.at_end(); }, 5s));
  world.wait(100s);
  ASSERT_EQ(server.write(std::vector<std::uint8_t>(100'000), world.reactor.now()), 100'000U);
  server.shutdown(world.reactor.now());
  std::size_t received = 0;
  ASSERT_TRUE(world.run_until(
      [&] {
        received += drain(client, world.reactor.now());
        return client.at_end();
      },
      10s));
  EXPECT_EQ(received, 100'000U);
}

TEST(Split, AClientInTimeWaitsPlaceOpensTheSamePortAtOnce) {
  SplitWorld world;
  world.serve();
  for (std::uint16_t port = 40000; port < 40005; ++port) {
    for (int round = 0; round < 3; ++round) {
      ASSERT_TRUE(opens(world, port)) << round;
      ASSERT_TRUE(closes(world, port)) << round;
      world.wait(10ms);  // no two in the same tick of the timestamps' clock
    }
  }
  EXPECT_EQ(world.metric("opened_total"), 15);
  EXPECT_EQ(world.metric("established_total"), 15);
  EXPECT_EQ(world.metric("retransmissions_total"), 0) << "no SYN had to go twice";
  EXPECT_EQ(world.metric("connections"), 5);
  EXPECT_GT(world.metric("memory_bytes"), 5 * sizeof(service::SplitConnection));
  world.wait(20s);
  EXPECT_EQ(world.metric("connections"), 0);
  EXPECT_LT(world.metric("memory_bytes"), sizeof(service::SplitConnection)) << "the table's own";
}

TEST(Split, AtTheBoundTheOldestThatLingersMakesRoomAndElseTheSynIsDropped) {
  service::SplitOptions options;
  options.max_connections = 4;
  SplitWorld world(options);
  world.serve();
  for (const std::uint16_t port : Ports{40000, 40001, 40002}) ASSERT_TRUE(opens(world, port));
  for (const std::uint16_t port : Ports{40001, 40000}) {
    ASSERT_TRUE(closes(world, port));
    world.wait(100ms);
  }
  ASSERT_TRUE(opens(world, 40003));
  EXPECT_EQ(world.metric("connections"), 4);
  ASSERT_TRUE(opens(world, 40004)) << "in the place of 40001";
  EXPECT_EQ(world.metric("evicted_total"), 1);
  EXPECT_FALSE(world.split->plays(world.key_of(40001)));
  EXPECT_TRUE(world.split->plays(world.key_of(40000)));
  ASSERT_TRUE(opens(world, 40005));
  EXPECT_EQ(world.metric("evicted_total"), 2);
  auto& late = world.connect(40006);
  world.wait(2500ms);
  EXPECT_EQ(late.endpoint->state(), State::kSynSent);
  EXPECT_EQ(world.metric("limit_connections_total"), 2) << "its SYN came twice";
  EXPECT_EQ(world.context.drops.value(DropReason::kFlowTableFull), 2U);
  world.client_end(40005).abort(world.reactor.now());
  EXPECT_TRUE(world.run_until([&] { return world.established(40006); }, 10s));
}

TEST(Split, ASpentMemoryBudgetHoldsUpConnectionsAndForgetsNone) {
  service::SplitOptions options;
  options.buffer = 64 << 10;
  options.memory = 256 << 10;
  SplitWorld world(options);
  world.serve();
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
      finished &= converse(world, static_cast<std::uint16_t>(40000 + i), clients[i], servers[i]);
    }
    return finished;
  };
  EXPECT_FALSE(world.run_until(step, 5s));
  EXPECT_LE(world.metric("buffer_bytes"), 256 << 10);
  EXPECT_GT(world.metric("memory_bytes"), world.metric("buffer_bytes"));
  for (auto& c : clients) c.paused = false;
  EXPECT_TRUE(world.run_until(step, 100s)) << "far less than a keep-alive's time";
  for (std::size_t i = 0; i < kConnections; ++i) {
    EXPECT_TRUE(clients[i].intact(kSize)) << i;
    EXPECT_TRUE(servers[i].intact(10'000)) << i;
  }
}

TEST(Split, OnlyTheSideOfTheClientsOpens) {
  using service::OpenedFrom;
  for (const auto from : {OpenedFrom::kGuest, OpenedFrom::kNetwork, OpenedFrom::kBoth}) {
    service::SplitOptions options;
    options.from = from;
    SplitWorld world(options);
    world.serve();
    ASSERT_TRUE(opens(world, 40000));
    EXPECT_EQ(world.metric("opened_total"), from == OpenedFrom::kNetwork ? 0 : 1);
  }
}

TEST(Split, WhatDoesNotMatchPasses) {
  service::SplitOptions options;
  options.match = "tcp and not port 80";
  SplitWorld world(options);
  world.serve();
  ASSERT_TRUE(opens(world, 40000));
  EXPECT_EQ(world.metric("opened_total"), 0);
}

TEST(Split, StopWaitsForLiveConnectionsAndTakesNoNewOnes) {
  SplitWorld world;
  world.serve();
  ASSERT_TRUE(opens(world, 40000));
  ASSERT_TRUE(opens(world, 40001));
  ASSERT_TRUE(closes(world, 40001));
  bool stopped = false;
  world.split->stop([&] { stopped = true; });
  auto& late = world.connect(40002);
  EXPECT_FALSE(
      world.run_until([&] { return stopped || late.endpoint->state() != State::kSynSent; }, 3s));
  EXPECT_GE(world.context.drops.value(DropReason::kLinkStopping), 1U);
  Talker from_client(9, 1000);
  Talker from_server = Talker::answering(9, 1000);
  EXPECT_TRUE(world.run_until(
      [&] {
        static_cast<void>(converse(world, 40000, from_client, from_server));
        return stopped;
      },
      9s))
      << "TIME-WAIT is not waited for";
  EXPECT_TRUE(from_client.intact(1000));
  EXPECT_TRUE(from_server.intact(1000));
}

TEST(Split, StopWithNothingToWaitForIsDoneAtOnce) {
  SplitWorld world;
  bool stopped = false;
  world.split->stop([&] { stopped = true; });
  EXPECT_TRUE(stopped);
}

TEST(Split, DestructionResetsBothSidesOfWhatIsStillOpen) {
  SplitWorld world;
  world.serve();
  ASSERT_TRUE(opens(world, 40000));
  ASSERT_TRUE(opens(world, 40001));
  ASSERT_TRUE(closes(world, 40001)) << "what lingers has nobody left to tell";
  world.wait(100ms);
  world.split.reset();
  for (const Batch& batch : world.context.emitted) {
    ASSERT_EQ(batch.size(), 1U);
    const auto segment = service::to_segment(batch.front());
    ASSERT_TRUE(segment.has_value());
    EXPECT_TRUE(segment->header.flags.rst());
  }
  world.context.emitted = {};
}

TEST(Split, NumbersOfTheEndsAreSummedWhenTheyAreOver) {
  SplitWorld world;
  world.serve();
  ASSERT_TRUE(opens(world, 40000));
  EXPECT_EQ(world.metric("segments_in_total"), 0);
  ASSERT_TRUE(closes(world, 40000));
  world.wait(20s);
  ASSERT_EQ(world.metric("connections"), 0);
  // The client's SYN begins its end and is not received by it.
  EXPECT_GE(world.metric("segments_in_total"), 5) << "SYN,ACK and ACK, two FINs and an ACK";
  EXPECT_GE(world.metric("segments_out_total"), 7);
}

}  // namespace
}  // namespace vtl::test
