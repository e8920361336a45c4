#include "vtl/service/flow_observer/flow_observer.h"

#include <gtest/gtest.h>

#include <array>

namespace vtl::service {
namespace {

using engine::Direction;
using model::End;
using model::TcpModel;

constexpr auto kSyn = wire::TcpFlags{wire::TcpFlags::kSyn};
constexpr auto kFin = wire::TcpFlags{wire::TcpFlags::kFin};
constexpr auto kRst = wire::TcpFlags{wire::TcpFlags::kRst};

// A connection whose frames pass the observer; `client_side` is where end A stands.
class FlowObserverTest : public testing::Test {
 protected:
  void say(End from, const model::TcpOutline& what) {
    std::array<std::uint8_t, 2048> frame;
    const auto size = connection_.create(from, what, frame);
    ASSERT_TRUE(size) << to_string(size.error());
    pass(from, Bytes(frame).first(*size));
  }
  void pass(End from, Bytes frame) {
    const auto direction = from == End::kA ? client_direction_ : opposite(client_direction_);
    const Packet packet = pool_.copy_of(frame);
    observer_.observe(direction, std::span(&packet, 1), clock_.now());
  }
  void handshake() {
    say(End::kA, {.flags = kSyn});
    clock_.advance(30ms);
    say(End::kB, {.flags = kSyn});
    clock_.advance(1ms);
    say(End::kA, {});
  }
  [[nodiscard]] std::vector<engine::FlowInfo> flows() const {
    std::vector<engine::FlowInfo> out;
    observer_.list_flows(out);
    return out;
  }
  static TcpModel connection() {
    model::TcpEndSetup a;
    a.mac = wire::MacAddress({2, 0, 0, 0, 0, 1});
    a.address = *wire::SocketAddress::parse("192.0.2.1:4000");
    a.next = wire::SeqNum(0xffffff00);  // the streams cross zero
    auto b = a;
    b.mac = wire::MacAddress({2, 0, 0, 0, 0, 2});
    b.address = *wire::SocketAddress::parse("198.51.100.2:80");
    return TcpModel::initialise(a, b, false);
  }

  PacketPool pool_;
  ManualClock clock_;
  FlowObserver observer_{FlowObserverOptions{}, clock_};
  TcpModel connection_ = connection();
  Direction client_direction_ = Direction::kOutbound;
  std::array<std::uint8_t, 1000> data_{};
};

TEST_F(FlowObserverTest, AHandshakeIsListedWithBothEndsStateAndRoundTrips) {
  handshake();
  ASSERT_EQ(flows().size(), 1U);
  const auto flow = flows().front();
  EXPECT_EQ(to_string(flow.key), "tcp 192.0.2.1:4000 > 198.51.100.2:80");
  EXPECT_EQ(flow.state, "established");
  EXPECT_EQ(flow.transform, "no (bridged)");
  EXPECT_EQ(flow.rtt_network, Duration{30ms});
  EXPECT_EQ(flow.rtt_guest, Duration{1ms});
  EXPECT_EQ(flow.age, Duration{31ms});
}

TEST_F(FlowObserverTest, AnInboundConnectionIsTheSameFromTheOtherSide) {
  client_direction_ = Direction::kInbound;
  handshake();
  say(End::kA, {.payload = data_});
  const auto flow = flows().front();
  EXPECT_EQ(to_string(flow.key), "tcp 192.0.2.1:4000 > 198.51.100.2:80");
  EXPECT_EQ(flow.rtt_guest, Duration{30ms});
  EXPECT_EQ(flow.rtt_network, Duration{1ms});
  EXPECT_EQ(flow.bytes_in, data_.size());
  EXPECT_EQ(flow.bytes_out, 0U);
}

TEST_F(FlowObserverTest, PayloadIsCountedByDirection) {
  handshake();
  say(End::kA, {.payload = data_});
  say(End::kB, {.payload = Bytes(data_).first(10)});
  say(End::kB, {.payload = Bytes(data_).first(10)});
  EXPECT_EQ(flows().front().bytes_out, data_.size());
  EXPECT_EQ(flows().front().bytes_in, 20U);
}

TEST_F(FlowObserverTest, AConnectionFirstSeenAtItsAnswerKnowsItsOpener) {
  std::array<std::uint8_t, 2048> unseen;
  ASSERT_TRUE(connection_.create(End::kA, {.flags = kSyn}, unseen));
  say(End::kB, {.flags = kSyn});
  EXPECT_EQ(to_string(flows().front().key), "tcp 192.0.2.1:4000 > 198.51.100.2:80");
}

TEST_F(FlowObserverTest, HalfCloseNamesBothStatesAndTheEndIsListedForAWhile) {
  handshake();
  say(End::kA, {.flags = kFin});
  say(End::kB, {.acknowledge_all = true});
  EXPECT_EQ(flows().front().state, "fin-wait-2/close-wait");
  say(End::kB, {.flags = kRst});
  EXPECT_EQ(flows().front().state, "closed");
  clock_.advance(FlowObserver::kLinger + 1ms);
  EXPECT_TRUE(flows().empty());
}

TEST_F(FlowObserverTest, ASegmentSentAgainIsNotTimed) {
  handshake();
  std::array<std::uint8_t, 2048> frame;
  const auto size = connection_.create(End::kA, {.payload = data_}, frame);
  ASSERT_TRUE(size);
  pass(End::kA, Bytes(frame).first(*size));
  clock_.advance(1s);
  pass(End::kA, Bytes(frame).first(*size));
  clock_.advance(30ms);
  say(End::kB, {.acknowledge_all = true});
  EXPECT_EQ(flows().front().rtt_network, Duration{30ms}) << "of the handshake, unchanged";
}

TEST_F(FlowObserverTest, ANewConnectionOnTheSamePortsStartsAnew) {
  handshake();
  say(End::kA, {.payload = data_});
  say(End::kA, {.flags = kRst});
  clock_.advance(5s);
  connection_ = connection();
  say(End::kA, {.flags = kSyn});
  ASSERT_EQ(flows().size(), 1U);
  EXPECT_EQ(flows().front().bytes_out, 0U);
  EXPECT_EQ(flows().front().age, Duration{});
}

TEST_F(FlowObserverTest, TheTableIsBoundedAndTheSilentFlowGoes) {
  FlowObserver small({.max_flows = 4}, clock_);
  for (std::uint16_t port = 1; port <= 6; ++port) {
    model::TcpEndSetup a;
    a.address = {wire::Ipv4Address(192, 0, 2, 1), wire::Port(port)};
    model::TcpEndSetup b;
    b.address = *wire::SocketAddress::parse("198.51.100.2:80");
    auto tcp = TcpModel::initialise(a, b, false);
    std::array<std::uint8_t, 2048> frame;
    const auto size = tcp.create(End::kA, {.flags = kSyn}, frame);
    ASSERT_TRUE(size);
    const Packet packet = pool_.copy_of(Bytes(frame).first(*size));
    small.observe(Direction::kOutbound, std::span(&packet, 1), clock_.now());
    clock_.advance(1ms);
  }
  std::vector<engine::FlowInfo> listed;
  small.list_flows(listed);
  ASSERT_EQ(listed.size(), 4U);
  EXPECT_EQ(listed.front().key.source.port, wire::Port(3));
  std::vector<engine::ServiceMetric> metrics;
  small.list_metrics(metrics);
  EXPECT_EQ(metrics.at(1).name, "flows_evicted_total");
  EXPECT_EQ(metrics.at(1).value, 2);
}

TEST_F(FlowObserverTest, WhatIsNoFlowIsNotListed) {
  const Packet packet = pool_.copy_of(std::array<std::uint8_t, 60>{});
  observer_.observe(Direction::kOutbound, std::span(&packet, 1), clock_.now());
  EXPECT_TRUE(flows().empty());
}

}  // namespace
}  // namespace vtl::service
