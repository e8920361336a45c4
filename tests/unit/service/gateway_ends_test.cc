// How connections through two gateways end, in order and otherwise, on a virtual clock.

#include <gtest/gtest.h>

#include <set>

#include "tests/support/gateway_world.h"
#include "vtl/packet/access.h"

namespace vtl::test {
namespace {

using endpoint::Endpoint;
using endpoint::EndReason;
using endpoint::State;
using engine::Direction;
using wire::TcpFlags;

TEST(Gateway, AResetInTheMiddleReachesTheOtherEnd) {
  for (const bool by_client : {true, false}) {
    GatewayWorld world;
    serve(world);
    auto& client = world.connect(40000, {});
    ASSERT_TRUE(world.run_until(
        [&] {
          return server_side(world, 40000) != nullptr &&
                 client.endpoint->state() == State::kEstablished;
        },
        5s));
    auto* server = server_side(world, 40000);
    Endpoint& from = by_client ? *client.endpoint : *server->endpoint;
    Endpoint& to = by_client ? *server->endpoint : *client.endpoint;
    from.abort(world.reactor.now());
    ASSERT_TRUE(world.run_until([&] { return to.finished(); }, 5s)) << by_client;
    EXPECT_EQ(to.end_reason(), EndReason::kReset);
  }
}

TEST(Gateway, WhatCameBeforeAResetIsDeliveredBeforeIt) {
  for (const std::size_t stream : {std::size_t{32} << 10, std::size_t{256} << 10}) {
    service::GatewayOptions options;
    options.buffer = 64 << 10;
    GatewayWorld world(options, 0, 1, stream);
    serve(world);
    Endpoint* server = stalled_client(world, 40000);
    ASSERT_NE(server, nullptr);
    Endpoint& client = *world.client.connections.begin()->second.endpoint;
    const std::vector<std::uint8_t> answer(120'000, 0x5a);
    ASSERT_EQ(server->write(answer, world.reactor.now()), answer.size());
    ASSERT_TRUE(world.run_until([&] { return server->all_acknowledged(); }, 10s));
    server->abort(world.reactor.now());
    EXPECT_FALSE(world.run_until([&] { return client.finished(); }, 20s)) << "data stands before";
    std::size_t received = 0;
    EXPECT_TRUE(world.run_until(
        [&] {
          received += drain(client, world.reactor.now());
          return client.finished();
        },
        10s));
    EXPECT_EQ(received, answer.size()) << stream;
    EXPECT_EQ(client.end_reason(), EndReason::kReset);
    EXPECT_TRUE(world.run_until([&] { return metric(*world.gateway_b, "connections") == 0; }, 10s));
  }
}

TEST(Gateway, AReaderThatStandsStillDoesNotHoldUpAResetForEver) {
  GatewayWorld world;
  serve(world);
  Endpoint* server = stalled_client(world, 40000);
  ASSERT_NE(server, nullptr);
  ASSERT_EQ(server->write(std::vector<std::uint8_t>(100'000), world.reactor.now()), 100'000U);
  ASSERT_TRUE(world.run_until([&] { return server->all_acknowledged(); }, 10s));
  server->abort(world.reactor.now());
  EXPECT_FALSE(world.run_until([&] { return metric(*world.gateway_a, "connections") == 0; }, 50s));
  EXPECT_TRUE(world.run_until([&] { return metric(*world.gateway_a, "connections") == 0; }, 30s));
  const Endpoint& client = *world.client.connections.begin()->second.endpoint;
  EXPECT_TRUE(world.run_until([&] { return client.finished(); }, 1s));
  EXPECT_EQ(client.end_reason(), EndReason::kReset);
  EXPECT_EQ(metric(*world.gateway_a, "buffer_bytes"), 0);
}

TEST(Gateway, APortThatWasResetIsTakenAgainThoughItsRestIsStillOnTheWay) {
  service::GatewayOptions options;
  options.buffer = 64 << 10;
  GatewayWorld world(options, 0, 1, 16 << 10);
  world.server.on_syn = [&world](const wire::FlowKey& key, const endpoint::Segment& syn) {
    endpoint::Config small;
    small.receive_buffer = 16 << 10;
    return std::make_unique<Endpoint>(
        Endpoint::accept_syn(small, {key.source.port, key.destination.port}, wire::SeqNum(77), syn,
                             false, world.reactor.now()));
  };
  auto& first = world.connect(40000, {});
  ASSERT_TRUE(world.run_until([&] { return first.endpoint->state() == State::kEstablished; }, 5s));
  static_cast<void>(first.endpoint->write(std::vector<std::uint8_t>(400'000), world.reactor.now()));
  EXPECT_FALSE(world.run_until([&] { return first.endpoint->all_acknowledged(); }, 5s));
  first.endpoint->abort(world.reactor.now());
  EXPECT_FALSE(world.run_until([&] { return metric(*world.gateway_a, "connections") == 0; }, 5s))
      << "what was acknowledged waits for the server";
  auto& second = world.connect(40000, {});
  EXPECT_TRUE(
      world.run_until([&] { return second.endpoint->state() == State::kEstablished; }, 10s));
}

TEST(Gateway, AGuestThatVanishesIsFoundOutByWhatItDoesNotAcknowledge) {
  service::GatewayOptions options;
  options.keep_alive = 0s;
  GatewayWorld world(options);
  serve(world);
  Endpoint* const server = stalled_client(world, 40000);
  ASSERT_NE(server, nullptr);
  world.client.silent = true;
  ASSERT_EQ(server->write(std::vector<std::uint8_t>(1000), world.reactor.now()), 1000U);
  world.wait(24h);
  EXPECT_EQ(metric(*world.gateway_a, "connections"), 0);
  EXPECT_EQ(metric(*world.gateway_b, "connections"), 0);
  EXPECT_EQ(metric(*world.gateway_a, "timed_out_total"), 1);
  EXPECT_EQ(server->end_reason(), EndReason::kReset);
}

TEST(Gateway, AServerThatNeverAnswersIsForgotten) {
  GatewayWorld world;
  serve(world);
  ASSERT_NE(stalled_client(world, 40000), nullptr);
  world.server.silent = true;
  world.connect(40001, {});
  world.wait(300s);
  EXPECT_EQ(metric(*world.gateway_a, "half_open"), 0);
  EXPECT_EQ(metric(*world.gateway_b, "half_open"), 0);
}

TEST(Gateway, AGuestThatNeverCompletesItsHandshakeIsGivenUpAndTheServerReset) {
  GatewayWorld world;
  serve(world);
  world.connect(40000, {});
  ASSERT_TRUE(world.run_until([&] { return server_side(world, 40000) != nullptr; }, 5s));
  world.client.silent = true;
  world.wait(60s);
  EXPECT_EQ(metric(*world.gateway_a, "connections"), 0);
  EXPECT_EQ(metric(*world.gateway_b, "connections"), 0);
  EXPECT_EQ(server_side(world, 40000)->endpoint->end_reason(), EndReason::kReset);
}

// The guest has closed in order, the server resets, and what the guest sent before lies in between:
// nobody will take it any more.
TEST(Gateway, OctetsThatNobodyWillTakeDoNotKeepAClosedConnection) {
  service::GatewayOptions options;
  options.buffer = 64 << 10;
  GatewayWorld world(options, 0, 1, 16 << 10);
  world.server.on_syn = [&world](const wire::FlowKey& key, const endpoint::Segment& syn) {
    endpoint::Config small;
    small.receive_buffer = small.receive_buffer_initial = 16 << 10;
    return std::make_unique<Endpoint>(
        Endpoint::accept_syn(small, {key.source.port, key.destination.port}, wire::SeqNum(77), syn,
                             false, world.reactor.now()));
  };
  auto& connection = world.connect(40000, {});
  Endpoint& client = *connection.endpoint;
  ASSERT_TRUE(world.run_until([&] { return client.state() == State::kEstablished; }, 5s));
  world.wait(1s);
  Endpoint& server = *server_side(world, 40000)->endpoint;
  std::size_t left = 150'000;
  ASSERT_TRUE(world.run_until(
      [&] {
        left -= client.write(std::vector<std::uint8_t>(left), world.reactor.now());
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
  EXPECT_EQ(metric(*world.gateway_a, "connections"), 0);
  EXPECT_EQ(metric(*world.gateway_b, "connections"), 0);
  EXPECT_EQ(metric(*world.gateway_a, "buffer_bytes"), 0);
}

TEST(Gateway, HalfCloseTravelsAndTheOtherDirectionGoesOn) {
  GatewayWorld world;
  serve(world);
  auto& client = world.connect(40000, {});
  ASSERT_TRUE(world.run_until(
      [&] {
        return server_side(world, 40000) != nullptr &&
               client.endpoint->state() == State::kEstablished;
      },
      5s));
  Endpoint& server = *server_side(world, 40000)->endpoint;
  client.endpoint->shutdown(world.reactor.now());
  ASSERT_TRUE(world.run_until([&] { return server.at_end(); }, 5s));
  const std::vector<std::uint8_t> answer(100'000, 0x5a);
  ASSERT_EQ(server.write(answer, world.reactor.now()), answer.size());
  server.shutdown(world.reactor.now());
  std::size_t received = 0;
  ASSERT_TRUE(world.run_until(
      [&] {
        while (client.endpoint->readable() > 0) {
          const std::size_t n = client.endpoint->peek().size();
          received += n;
          client.endpoint->consume(n, world.reactor.now());
        }
        return client.endpoint->at_end();
      },
      10s));
  EXPECT_EQ(received, answer.size());
}

TEST(Gateway, AServerInTimeWaitTakesTheSamePortAgainAtOnce) {
  GatewayWorld world;
  std::vector<endpoint::Segment> syns;
  world.server.on_syn = [&](const wire::FlowKey& key, const endpoint::Segment& syn) {
    syns.push_back(syn);
    return std::make_unique<Endpoint>(
        Endpoint::accept_syn({}, {key.source.port, key.destination.port}, wire::SeqNum(77), syn,
                             false, world.reactor.now()));
  };
  const endpoint::Config config;
  for (std::uint16_t port = 40000; port < 40010; ++port) {
    for (int round = 0; round < 2; ++round) {
      auto& client = world.connect(port, config);
      ASSERT_TRUE(world.run_until(
          [&] {
            return server_side(world, port) != nullptr &&
                   client.endpoint->state() == State::kEstablished;
          },
          5s))
          << port << " " << round;
      Endpoint& server = *server_side(world, port)->endpoint;
      server.shutdown(world.reactor.now());
      ASSERT_TRUE(world.run_until([&] { return client.endpoint->at_end(); }, 5s));
      client.endpoint->shutdown(world.reactor.now());
      ASSERT_TRUE(world.run_until(
          [&] { return client.endpoint->finished() && server.state() == State::kTimeWait; }, 5s));
      EXPECT_FALSE(world.run_until([] { return false; }, 10ms));  // no two in the same tick
    }
  }
  ASSERT_EQ(syns.size(), 20U) << "no SYN had to go twice";
  for (std::size_t i = 0; i < syns.size(); i += 2) {
    EXPECT_GT(syns[i + 1].header.seq, syns[i].header.seq) << "RFC 6528";
    EXPECT_GT(syns[i + 1].header.options.timestamps->value,
              syns[i].header.options.timestamps->value)
        << "RFC 7323 section 5.4";
  }
}

/// A frame that claims to be the client's.
Packet claimed(GatewayWorld& world, std::uint16_t port, std::uint8_t flags, std::uint32_t seq,
               const wire::MacAddress& source) {
  service::FramePath path{.source_mac = source,
                          .destination_mac = kServerMac,
                          .key = {.source = {world.client.ip, wire::Port(port)},
                                  .destination = {world.server.ip, wire::Port(80)}}};
  endpoint::OutSegment out;
  out.header.source = path.key.source.port;
  out.header.destination = path.key.destination.port;
  out.header.seq = wire::SeqNum(seq);
  out.header.ack = wire::SeqNum(99);
  out.header.flags.bits = flags;
  return service::make_tcp_frame(world.pool, path, out);
}

bool passes(GatewayWorld& world, Packet packet) {
  Batch batch;
  batch.push_back(std::move(packet));
  world.gateway_a->process(Direction::kOutbound, batch);
  return static_cast<bool>(batch.front());
}

TEST(GatewayHostile, OnlyASynTakesThePlaceOfWhatIsOver) {
  GatewayWorld world;
  serve(world);
  Endpoint* const server = stalled_client(world, 40000);
  ASSERT_NE(server, nullptr);
  Endpoint& client = *client_side(world, 40000);
  server->shutdown(world.reactor.now());
  ASSERT_TRUE(world.run_until([&] { return client.at_end(); }, 5s));
  client.shutdown(world.reactor.now());
  world.wait(1s);
  ASSERT_EQ(metric(*world.gateway_a, "connections"), 1) << "TIME-WAIT";
  world.client.silent = true;
  using Flags = std::initializer_list<std::uint8_t>;
  for (const std::uint8_t flags :
       Flags{TcpFlags::kSyn | TcpFlags::kAck, TcpFlags::kSyn | TcpFlags::kRst}) {
    EXPECT_FALSE(passes(world, claimed(world, 40000, flags, 3'000'000'000, kClientMac)));
    world.wait(10ms);
    EXPECT_EQ(metric(*world.gateway_a, "opened_total"), 1) << int{flags};
  }
}

TEST(GatewayHostile, AForgedFrameDoesNotRedirectAnything) {
  const wire::MacAddress stranger({2, 0, 0, 0, 0, 0x66});
  GatewayWorld world;
  serve(world);
  Endpoint* const server = stalled_client(world, 40000);
  ASSERT_NE(server, nullptr);
  world.wait(1s);
  for (const std::uint32_t seq : {1U, 1'000'000'000U, 2'000'000'000U, 4'000'000'000U}) {
    EXPECT_FALSE(passes(world, claimed(world, 40000, TcpFlags::kAck, seq, stranger)));
  }
  ASSERT_EQ(server->write(std::vector<std::uint8_t>(5000), world.reactor.now()), 5000U);
  world.wait(1s);
  EXPECT_EQ(client_side(world, 40000)->readable(), 5000U);
}

}  // namespace
}  // namespace vtl::test
