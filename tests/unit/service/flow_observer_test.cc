#include "vtl/service/flow_observer/flow_observer.h"

#include <gtest/gtest.h>

#include <array>
#include <memory>

#include "tests/support/fake_cut_through.h"
#include "tests/support/virtual_reactor.h"

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
  static TcpModel connection(std::uint16_t port = 4000) {
    model::TcpEndSetup a;
    a.mac = wire::MacAddress({2, 0, 0, 0, 0, 1});
    a.address = {wire::Ipv4Address(192, 0, 2, 1), wire::Port(port)};
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

// The same with a kernel that takes flows.
class CutThroughFlows : public FlowObserverTest {
 protected:
  CutThroughFlows() { observer_.use(path_); }

  void exchange(std::uint32_t frames) {
    for (std::uint32_t i = 0; i < frames; ++i) say(End::kA, {.payload = Bytes(data_).first(10)});
  }

  test::VirtualReactor reactor_;
  std::shared_ptr<test::FakeCutThrough> kernel_ = std::make_shared<test::FakeCutThrough>();
  bool wanted_by_a_service_ = false;
  engine::FastPath path_{reactor_, kernel_,
                         [this](const wire::FlowKey&) { return !wanted_by_a_service_; }};
};

TEST_F(CutThroughFlows, AnEstablishedConnectionIsGivenAwayAfterSomeFrames) {
  handshake();
  exchange(FlowObserver::kCutAfter - 4);
  EXPECT_TRUE(kernel_->flows.empty());
  exchange(1);
  ASSERT_EQ(kernel_->flows.size(), 1U);
  const auto& given = kernel_->flows.front().flow;
  EXPECT_EQ(to_string(given.key), "tcp 192.0.2.1:4000 > 198.51.100.2:80");
  EXPECT_EQ(given.a, wire::MacAddress({2, 0, 0, 0, 0, 1}));
  EXPECT_EQ(given.b, wire::MacAddress({2, 0, 0, 0, 0, 2}));
  EXPECT_EQ(flows().front().transform, "no (cut through)");
}

TEST_F(CutThroughFlows, AnInboundConnectionIsGivenAwayAsTheOutboundFramesCarryIt) {
  client_direction_ = Direction::kInbound;
  handshake();
  exchange(FlowObserver::kCutAfter);
  ASSERT_EQ(kernel_->flows.size(), 1U);
  EXPECT_EQ(to_string(kernel_->flows.front().flow.key), "tcp 198.51.100.2:80 > 192.0.2.1:4000");
  EXPECT_EQ(kernel_->flows.front().flow.a, wire::MacAddress({2, 0, 0, 0, 0, 2}));
}

TEST_F(CutThroughFlows, AConnectionThatIsNotEstablishedIsKept) {
  std::array<std::uint8_t, 2048> frame;
  const auto size = connection_.create(End::kA, {.flags = kSyn}, frame);
  ASSERT_TRUE(size);
  for (std::uint32_t i = 0; i < 2 * FlowObserver::kCutAfter; ++i) {
    pass(End::kA, Bytes(frame).first(*size));
  }
  EXPECT_TRUE(kernel_->flows.empty());
}

TEST_F(CutThroughFlows, WhatAServiceWantsToSeeIsKept) {
  wanted_by_a_service_ = true;
  handshake();
  exchange(2 * FlowObserver::kCutAfter);
  EXPECT_TRUE(kernel_->flows.empty());
  EXPECT_EQ(flows().front().bytes_out, 20 * FlowObserver::kCutAfter);
}

TEST_F(CutThroughFlows, TheKernelsOctetsAreListedAndItsUseKeepsTheFlow) {
  handshake();
  exchange(FlowObserver::kCutAfter);
  const auto before = flows().front();
  kernel_->flows.front().usage = {.frames = {3, 2}, .octets = {3000, 200}, .last_use = {}};
  EXPECT_EQ(flows().front().bytes_out, before.bytes_out + 3000);
  EXPECT_EQ(flows().front().bytes_in, before.bytes_in + 200);

  clock_.advance(151min);
  kernel_->flows.front().usage.last_use = clock_.now() - 1s;
  observer_.observe(Direction::kOutbound, {}, clock_.now());
  EXPECT_EQ(flows().size(), 1U);
  clock_.advance(151min);
  observer_.observe(Direction::kOutbound, {}, clock_.now());
  EXPECT_TRUE(flows().empty());
  EXPECT_TRUE(kernel_->flows.empty());
}

TEST_F(CutThroughFlows, ManyBusyFlowsOfTheKernelsOutliveTheIdleBound) {
  constexpr std::uint16_t kFlows = 6;
  for (std::uint16_t i = 0; i < kFlows; ++i) {
    connection_ = connection(static_cast<std::uint16_t>(4000 + i));
    handshake();
    exchange(FlowObserver::kCutAfter);
  }
  ASSERT_EQ(kernel_->flows.size(), kFlows);
  clock_.advance(151min);
  for (auto& entry : kernel_->flows) entry.usage.last_use = clock_.now() - 1s;
  for (int i = 0; i < 3; ++i) observer_.observe(Direction::kOutbound, {}, clock_.now());
  EXPECT_EQ(kernel_->flows.size(), kFlows);
  EXPECT_EQ(flows().size(), kFlows);
}

TEST_F(CutThroughFlows, AtTheBoundTheBusyFlowOfTheKernelsIsNotTheOldest) {
  FlowObserver small({.max_flows = 2}, clock_);
  small.use(path_);
  const auto open = [&](std::uint16_t port, std::uint32_t frames) {
    connection_ = connection(port);
    std::array<std::uint8_t, 2048> frame;
    for (std::uint32_t i = 0; i < frames; ++i) {
      const auto from = i == 1 ? End::kB : End::kA;
      const auto size = connection_.create(from, {.flags = i < 2 ? kSyn : wire::TcpFlags{}}, frame);
      ASSERT_TRUE(size);
      const Packet packet = pool_.copy_of(Bytes(frame).first(*size));
      small.observe(from == End::kA ? Direction::kOutbound : Direction::kInbound,
                    std::span(&packet, 1), clock_.now());
    }
  };
  open(1, FlowObserver::kCutAfter + 3);
  ASSERT_EQ(kernel_->flows.size(), 1U);
  clock_.advance(5s);
  open(2, 3);
  clock_.advance(20s);
  kernel_->flows.front().usage.last_use = clock_.now() - 1s;
  small.observe(Direction::kOutbound, {}, clock_.now());
  open(3, 3);
  EXPECT_EQ(kernel_->flows.size(), 1U) << "the silent flow went, not the busy one";
}

TEST_F(CutThroughFlows, AFlowSeenFromOneSideOnlyIsKept) {
  std::array<std::uint8_t, 2048> unseen;
  ASSERT_TRUE(connection_.create(End::kA, {.flags = kSyn}, unseen));
  ASSERT_TRUE(connection_.create(End::kB, {.flags = kSyn}, unseen));
  exchange(2 * FlowObserver::kCutAfter);
  EXPECT_TRUE(kernel_->flows.empty());
}

TEST_F(CutThroughFlows, AFinBringsTheConnectionBackWithWhatTheKernelCounted) {
  handshake();
  exchange(FlowObserver::kCutAfter);
  const auto before = flows().front().bytes_out;
  kernel_->flows.front().usage.octets = {5000, 0};
  say(End::kA, {.flags = kFin});
  EXPECT_TRUE(kernel_->flows.empty());
  EXPECT_EQ(flows().front().bytes_out, before + 5000);
  EXPECT_EQ(flows().front().transform, "no (bridged)");
  say(End::kB, {.flags = kRst});
  clock_.advance(FlowObserver::kLinger + 1ms);
  EXPECT_TRUE(flows().empty());
}

TEST_F(CutThroughFlows, AResetEndsTheConnectionInTheListToo) {
  handshake();
  exchange(FlowObserver::kCutAfter);
  say(End::kB, {.flags = kRst});
  EXPECT_TRUE(kernel_->flows.empty());
  EXPECT_EQ(flows().front().state, "closed");
  clock_.advance(FlowObserver::kLinger + 1ms);
  EXPECT_TRUE(flows().empty());
}

TEST_F(CutThroughFlows, ANewConnectionOnTheSamePortsIsNotTheOneGivenAway) {
  handshake();
  exchange(FlowObserver::kCutAfter);
  kernel_->flows.front().usage.octets = {5000, 0};
  connection_ = connection();
  say(End::kA, {.flags = kSyn});
  EXPECT_TRUE(kernel_->flows.empty());
  EXPECT_EQ(flows().front().bytes_out, 0U);
}

TEST_F(CutThroughFlows, AFullTableIsAskedAgainLater) {
  kernel_->room = 0;
  handshake();
  exchange(FlowObserver::kCutAfter);
  kernel_->room = 1;
  EXPECT_EQ(path_.counters().refused.value(), 1U);
  exchange(FlowObserver::kCutAfter);
  EXPECT_EQ(kernel_->flows.size(), 1U);
}

TEST_F(CutThroughFlows, AFlowForgottenAtTheBoundIsTakenFromTheKernel) {
  FlowObserver small({.max_flows = 1}, clock_);
  small.use(path_);
  std::array<std::uint8_t, 2048> frame;
  for (std::uint32_t i = 0; i < FlowObserver::kCutAfter + 3; ++i) {
    const auto from = i == 1 ? End::kB : End::kA;
    const auto flags = i < 2 ? kSyn : wire::TcpFlags{};
    const auto size = connection_.create(from, {.flags = flags}, frame);
    ASSERT_TRUE(size);
    const Packet packet = pool_.copy_of(Bytes(frame).first(*size));
    small.observe(from == End::kA ? Direction::kOutbound : Direction::kInbound,
                  std::span(&packet, 1), clock_.now());
  }
  ASSERT_EQ(kernel_->flows.size(), 1U);
  auto other = model::TcpEndSetup{};
  other.address = *wire::SocketAddress::parse("192.0.2.9:9");
  model::TcpEndSetup server;
  server.address = *wire::SocketAddress::parse("198.51.100.2:80");
  const auto size =
      TcpModel::initialise(other, server, false).create(End::kA, {.flags = kSyn}, frame);
  ASSERT_TRUE(size);
  const Packet packet = pool_.copy_of(Bytes(frame).first(*size));
  small.observe(Direction::kOutbound, std::span(&packet, 1), clock_.now());
  EXPECT_TRUE(kernel_->flows.empty());
}

}  // namespace
}  // namespace vtl::service
