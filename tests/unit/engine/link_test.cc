#include "vtl/engine/link.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tests/unit/engine/fake.h"

namespace vtl::engine {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// A link between two wires on a worker that the test turns.
class LinkTest : public testing::Test {
 protected:
  TestService& add() {
    auto service = std::make_unique<TestService>();
    auto& reference = *service;
    services_.push_back(std::move(service));
    return reference;
  }

  void build(const PortLimits& limits = {}, bool with_network = true,
             std::unique_ptr<Observer> observer = nullptr) {
    guest_ = std::make_unique<Port>(*worker_, "guest",
                                    std::make_unique<FakeInterface>("g", guest_wire_), limits);
    network_ = std::make_unique<Port>(*worker_, "network",
                                      std::make_unique<FakeInterface>("n", network_wire_), limits);
    LinkSetup setup;
    setup.name = "l";
    setup.seed = 1;
    setup.guest = guest_.get();
    setup.guest_interface = &guest_->interface();
    if (with_network) {
      setup.network = network_.get();
      setup.network_interface = &network_->interface();
    }
    guest_->add_feeder(*network_);
    network_->add_feeder(*guest_);
    link_ = std::make_unique<Link>(*worker_, std::move(setup));
    if (observer != nullptr) link_->set_observer(std::move(observer));
    for (auto& service : services_) link_->add_service(std::move(service));
    link_->start();
    guest_->start(link_->entry(Direction::kOutbound), [this] { ++closed_; });
    network_->start(link_->entry(Direction::kInbound), [this] { ++closed_; });
  }

  ~LinkTest() override {
    link_.reset();  // before the ports, and before the worker's packets' pool
  }

  Packet made(std::uint8_t tag) { return worker_->pool().copy_of(frame(1, 2, tag)); }

  Wire guest_wire_;
  Wire network_wire_;
  HandWorker worker_;
  int closed_ = 0;
  std::vector<std::unique_ptr<TestService>> services_;
  std::unique_ptr<Port> guest_;
  std::unique_ptr<Port> network_;
  std::unique_ptr<Link> link_;
};

TEST_F(LinkTest, EmptyChainForwardsBothWays) {
  build();
  guest_wire_.send(1, 2, 10);
  guest_wire_.send(1, 2, 11);
  network_wire_.send(2, 1, 20);
  worker_.turns(2);
  EXPECT_THAT(network_wire_.out, ElementsAre(10, 11));
  EXPECT_THAT(guest_wire_.out, ElementsAre(20));
  EXPECT_EQ(link_->counters().way(Direction::kOutbound).frames.value(), 2U);
  EXPECT_EQ(link_->counters().way(Direction::kOutbound).bytes.value(), 120U);
  EXPECT_EQ(link_->counters().way(Direction::kInbound).frames.value(), 1U);
}

TEST_F(LinkTest, ChainIsPassedInOrderOutboundAndInReverseInbound) {
  std::vector<std::string> seen;
  for (const char* name : {"a", "b", "c"}) {
    add().on_process = [&seen, name](ServiceContext&, Direction d, Batch&) {
      seen.push_back(std::string(name) + (d == Direction::kOutbound ? ">" : "<"));
    };
  }
  build();
  guest_wire_.send(1, 2, 10);
  worker_.turns(2);
  EXPECT_THAT(seen, ElementsAre("a>", "b>", "c>"));
  seen.clear();
  network_wire_.send(2, 1, 20);
  worker_.turns(2);
  EXPECT_THAT(seen, ElementsAre("c<", "b<", "a<"));
}

TEST_F(LinkTest, EmitContinuesAtTheNextServiceInThatDirection) {
  std::vector<std::string> seen;
  const auto record = [&seen](const char* name) {
    return [&seen, name](ServiceContext&, Direction d, Batch& batch) {
      for (const auto& p : batch) {
        seen.push_back(name + std::string(d == Direction::kOutbound ? ">" : "<") +
                       std::to_string(p.bytes()[14]));
      }
    };
  };
  add().on_process = record("a");
  auto& middle = add();
  add().on_process = record("c");
  build();
  middle.context_->emit(Direction::kOutbound, made(1));
  middle.context_->emit(Direction::kInbound, made(2));
  worker_.turn();
  EXPECT_THAT(seen, testing::UnorderedElementsAre("c>1", "a<2"));
  EXPECT_THAT(network_wire_.out, ElementsAre(1));
  EXPECT_THAT(guest_wire_.out, ElementsAre(2));
}

TEST_F(LinkTest, WhatIsEmittedWhileProcessingFollowsTheBatch) {
  auto& service = add();
  service.on_process = [this](ServiceContext& c, Direction d, Batch& batch) {
    if (d == Direction::kOutbound) c.emit(d, made(static_cast<std::uint8_t>(batch.size() + 100)));
  };
  build();
  service.context_->emit(Direction::kOutbound, made(1));  // before the batch
  guest_wire_.send(1, 2, 10);
  guest_wire_.send(1, 2, 11);
  worker_.turn();
  EXPECT_THAT(network_wire_.out, ElementsAre(1, 10, 11, 102));
}

// Two of these do not wait for the end of the turn.
Packet large(HandWorker& worker, std::uint8_t tag) {
  const std::vector<std::uint8_t> some = frame(1, 2, tag);
  Packet packet = worker->pool().allocate(65'536);
  std::ranges::copy(some, packet.mutable_bytes().begin());
  return packet;
}

TEST_F(LinkTest, MuchIsEmitted_GoesOnBeforeTheEndOfTheTurn_InOrder) {
  std::vector<std::uint8_t> passed;
  add().on_process = [&passed](ServiceContext&, Direction, Batch& batch) {
    for (const Packet& p : batch) passed.push_back(p.bytes()[14]);
  };
  auto& service = add();
  build();
  service.context_->emit(Direction::kInbound, made(1));
  service.context_->emit(Direction::kInbound, large(worker_, 2));
  EXPECT_THAT(guest_wire_.out, IsEmpty());
  service.context_->emit(Direction::kInbound, large(worker_, 3));
  EXPECT_THAT(guest_wire_.out, ElementsAre(1, 2, 3));
  service.context_->emit(Direction::kInbound, made(4));
  EXPECT_THAT(guest_wire_.out, ElementsAre(1, 2, 3));
  worker_.turn();
  EXPECT_THAT(guest_wire_.out, ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(passed, guest_wire_.out);
}

TEST_F(LinkTest, MuchIsEmittedInsideABatch_StaysBehindTheBatch) {
  auto& service = add();
  service.on_process = [this](ServiceContext& c, Direction d, Batch&) {
    for (std::uint8_t tag = 100; tag < 104; ++tag) c.emit(d, large(worker_, tag));
  };
  build();
  guest_wire_.send(1, 2, 10);
  worker_.turn();
  EXPECT_THAT(network_wire_.out, ElementsAre(10, 100, 101, 102, 103));
}

// The first answers what the second emits by itself (a timer's work) with much the other way.
TEST_F(LinkTest, MuchIsEmittedBothWays_NobodyIsCalledInsideItsOwnWork) {
  add().on_process = [&](ServiceContext& c, Direction d, Batch& batch) {
    if (d == Direction::kOutbound) return;
    for (std::size_t i = 0; i < 2 * batch.size(); ++i)
      c.emit(Direction::kOutbound, large(worker_, static_cast<std::uint8_t>(50 + i)));
  };
  bool at_work = false, called_inside = false;
  auto& second = add();
  second.on_process = [&](ServiceContext&, Direction, Batch&) { called_inside |= at_work; };
  build();
  at_work = true;
  for (std::uint8_t tag = 1; tag < 5; ++tag)
    second.context_->emit(Direction::kInbound, large(worker_, tag));
  at_work = false;
  EXPECT_THAT(guest_wire_.out, ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(network_wire_.out, IsEmpty());
  worker_.turn();
  EXPECT_FALSE(called_inside);
  EXPECT_EQ(network_wire_.out.size(), 8U);
}

TEST_F(LinkTest, Gathered_GoesAtOnce_BehindWhatWasEmittedBefore) {
  guest_wire_.gathers = true;
  auto& service = add();
  build();
  service.context_->emit(Direction::kInbound, made(1));
  EXPECT_TRUE(service.context_->gathers(Direction::kInbound));
  EXPECT_FALSE(service.context_->gathers(Direction::kOutbound));
  const std::vector<std::uint8_t> octets{1, 2, 3, 4, 5};
  const std::array<Bytes, 2> payload{Bytes(octets).first(2), Bytes(octets).subspan(2)};
  EXPECT_TRUE(service.context_->emit_gathered(Direction::kInbound, made(2), payload));
  EXPECT_THAT(guest_wire_.out, ElementsAre(1, 2));
  std::vector<std::uint8_t> whole = frame(1, 2, 2);
  whole.insert(whole.end(), octets.begin(), octets.end());
  EXPECT_THAT(guest_wire_.gathered, ElementsAre(whole));
}

TEST_F(LinkTest, Gathered_WithoutRoom_IsTheCallersStill_AndNothingOvertakesTheBacklog) {
  guest_wire_.gathers = true;
  auto& service = add();
  build();
  guest_wire_.room = 1;
  EXPECT_TRUE(service.context_->emit_gathered(Direction::kInbound, made(1), {}));
  EXPECT_FALSE(service.context_->emit_gathered(Direction::kInbound, made(2), {}));
  service.context_->emit(Direction::kInbound, made(2));
  worker_.turn();
  EXPECT_FALSE(service.context_->gathers(Direction::kInbound));
  guest_wire_.room = 10;
  EXPECT_FALSE(service.context_->emit_gathered(Direction::kInbound, made(3), {}));
  service.context_->emit(Direction::kInbound, made(3));
  ASSERT_TRUE(worker_.until([&] { return guest_wire_.out.size() == 3; }));
  EXPECT_THAT(guest_wire_.out, ElementsAre(1, 2, 3));
}

TEST_F(LinkTest, Gathered_NotPastAServiceATapOrABatchOfItsDirection) {
  guest_wire_.gathers = network_wire_.gathers = true;
  auto& first = add();
  auto& second = add();
  bool inside = true, against = false;
  first.on_process = [&](ServiceContext& c, Direction, Batch&) {
    inside = c.gathers(Direction::kInbound);
  };
  second.on_process = [&](ServiceContext& c, Direction d, Batch&) {
    if (d == Direction::kInbound) against = c.gathers(Direction::kOutbound);
  };
  build();
  EXPECT_FALSE(second.context_->gathers(Direction::kInbound));
  EXPECT_FALSE(second.context_->emit_gathered(Direction::kInbound, made(1), {}));
  EXPECT_TRUE(second.context_->gathers(Direction::kOutbound));
  network_wire_.send(2, 1, 20);
  worker_.turns(2);
  EXPECT_FALSE(inside);
  EXPECT_TRUE(against);
  EXPECT_TRUE(first.context_->gathers(Direction::kInbound));
  const auto tap = link_->add_tap(0, [](Direction, std::uint32_t, std::span<const Packet>) {});
  EXPECT_FALSE(first.context_->emit_gathered(Direction::kInbound, made(1), {}));
  link_->remove_tap(tap);
  EXPECT_TRUE(first.context_->emit_gathered(Direction::kInbound, made(1), {}));
}

TEST_F(LinkTest, Gathered_NotPastAnObserver) {
  struct Looks final : Observer {
    void observe(Direction, std::span<const Packet>, Time) override {}
  };
  guest_wire_.gathers = network_wire_.gathers = true;
  auto& service = add();
  build({}, true, std::make_unique<Looks>());
  EXPECT_FALSE(service.context_->gathers(Direction::kOutbound));
  EXPECT_FALSE(service.context_->emit_gathered(Direction::kOutbound, made(1), {}));
  EXPECT_TRUE(service.context_->gathers(Direction::kInbound)) << "it has seen those when they came";
}

TEST_F(LinkTest, Gathered_NotWhileTheLinkCloses) {
  guest_wire_.gathers = true;
  bool sent = true;
  add().on_destroy = [&](ServiceContext& c) {
    sent = c.emit_gathered(Direction::kInbound, made(1), {});
  };
  build();
  link_->close();
  EXPECT_FALSE(sent);
}

TEST_F(LinkTest, TakenPacketsAreRemovedAndTheRestKeepsItsOrder) {
  auto& service = add();
  service.on_process = [](ServiceContext& c, Direction, Batch& batch) {
    c.drop(std::move(batch[0]), DropReason::kImpairLoss);
    const Packet consumed = std::move(batch[2]);
  };
  std::size_t after = 0;
  add().on_process = [&after](ServiceContext&, Direction, Batch& batch) { after = batch.size(); };
  build();
  for (std::uint8_t tag = 0; tag < 5; ++tag) guest_wire_.send(1, 2, tag);
  worker_.turn();
  EXPECT_EQ(after, 3U);
  EXPECT_THAT(network_wire_.out, ElementsAre(1, 3, 4));
  EXPECT_EQ(link_->service_drops(0).value(DropReason::kImpairLoss), 1U);
  EXPECT_EQ(link_->service_drops(0).total(), 1U);
  EXPECT_EQ(link_->service_drops(1).total(), 0U);
}

TEST_F(LinkTest, FullyConsumedBatchGoesNoFurther) {
  add().on_process = [](ServiceContext&, Direction, Batch& batch) { batch.clear(); };
  int called = 0;
  add().on_process = [&called](ServiceContext&, Direction, Batch&) { ++called; };
  build();
  guest_wire_.send(1, 2, 10);
  worker_.turns(2);
  EXPECT_EQ(called, 0);
  EXPECT_THAT(network_wire_.out, IsEmpty());
}

TEST_F(LinkTest, ServicesThatAnswerEachOtherDoNotHoldTheWorker) {
  const auto echo = [](ServiceContext& c, Direction d, Batch& batch) {
    for (auto& p : batch) c.emit(opposite(d), std::move(p));
  };
  add().on_process = echo;
  auto& second = add();
  second.on_process = echo;
  build();
  second.context_->emit(Direction::kInbound, made(1));
  worker_.turns(3);  // returns
  EXPECT_EQ(worker_->pool().bytes_in_use() > 0, true);
  EXPECT_THAT(network_wire_.out, IsEmpty());
}

TEST_F(LinkTest, WithoutANetworkSideOutboundFramesAreCountedDrops) {
  build({}, false);
  guest_wire_.send(1, 2, 10);
  worker_.turns(2);
  EXPECT_EQ(link_->counters().drops.value(DropReason::kNoRoute), 1U);
}

TEST_F(LinkTest, TapsSeeFramesAtTheirBoundaryUntilRemoved) {
  add().on_process = [](ServiceContext&, Direction, Batch& batch) { batch[0].reset(); };
  build();
  std::vector<int> guest_edge;
  std::vector<int> network_edge;
  const auto into = [](std::vector<int>& out) {
    return [&out](Direction, std::uint32_t, std::span<const Packet> frames) {
      for (const auto& f : frames) out.push_back(f.bytes()[14]);
    };
  };
  const auto id = link_->add_tap(0, into(guest_edge));
  link_->add_tap(1, into(network_edge));
  guest_wire_.send(1, 2, 10);
  guest_wire_.send(1, 2, 11);
  worker_.turn();
  EXPECT_THAT(guest_edge, ElementsAre(10, 11));
  EXPECT_THAT(network_edge, ElementsAre(11));
  link_->remove_tap(id);
  guest_wire_.send(1, 2, 12);
  guest_wire_.send(1, 2, 13);
  worker_.turns(2);
  EXPECT_THAT(guest_edge, ElementsAre(10, 11));
  EXPECT_THAT(network_edge, ElementsAre(11, 13));
}

TEST_F(LinkTest, FullTransmitQueue_PausesTheOtherSidesReading_AndLosesNothing) {
  build();
  network_wire_.room = 3;
  for (int i = 0; i < 200; ++i) guest_wire_.send(1, 2, static_cast<std::uint8_t>(i));
  worker_.turns(20);
  EXPECT_EQ(network_wire_.out.size(), 3U);
  EXPECT_TRUE(network_->blocked());
  EXPECT_EQ(guest_wire_.in.size(), 200U - kMaxBatch) << "one batch was read, then no more";
  EXPECT_EQ(guest_->counters().paused.value(), 1U);
  network_wire_.send(2, 1, 99);
  ASSERT_TRUE(worker_.until([&] { return guest_wire_.out.size() == 1; }))
      << "the other direction goes on";
  network_wire_.room = ~std::size_t{0};
  ASSERT_TRUE(worker_.until([&] { return network_wire_.out.size() == 200; }));
  for (std::size_t i = 0; i < 200; ++i) EXPECT_EQ(network_wire_.out[i], i);
  EXPECT_FALSE(network_->blocked());
  EXPECT_EQ(network_->counters().drops.total(), 0U);
  EXPECT_EQ(network_->counters().blocked.value(), 1U);
}

TEST_F(LinkTest, BacklogAtItsBound_DropsAndCounts) {
  auto& service = add();
  build({.frames = 8});
  network_wire_.room = 0;
  for (std::uint8_t i = 0; i < 20; ++i) service.context_->emit(Direction::kOutbound, made(i));
  worker_.turn();
  EXPECT_EQ(network_->counters().backlog.value(), 8U);
  EXPECT_EQ(network_->counters().drops.value(DropReason::kTxQueueFull), 12U);
  network_wire_.room = 100;
  ASSERT_TRUE(worker_.until([&] { return !network_->blocked(); }));
  EXPECT_THAT(network_wire_.out, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
}

TEST_F(LinkTest, BacklogInBytesIsBoundedToo) {
  auto& service = add();
  build({.frames = 100, .bytes = 200});
  network_wire_.room = 0;
  for (std::uint8_t i = 0; i < 5; ++i) service.context_->emit(Direction::kOutbound, made(i));
  worker_.turn();
  EXPECT_EQ(network_->counters().backlog.value(), 3U) << "3 of 60 octets fit into 200";
}

TEST_F(LinkTest, FrameThatWaitedTooLong_IsDroppedAndReadingGoesOn) {
  build({.max_wait = 5ms});
  network_wire_.room = 0;
  guest_wire_.send(1, 2, 1);
  worker_.turn();
  ASSERT_TRUE(network_->blocked());
  ASSERT_TRUE(worker_.until([&] { return !network_->blocked(); }));
  EXPECT_EQ(network_->counters().drops.value(DropReason::kTxQueueFull), 1U);
  network_wire_.room = 10;
  guest_wire_.send(1, 2, 2);
  ASSERT_TRUE(worker_.until([&] { return !network_wire_.out.empty(); }));
  EXPECT_THAT(network_wire_.out, ElementsAre(2));
}

TEST_F(LinkTest, FrameTakenInPart_DoesNotExpire_AndItsRestIsAskedFor) {
  auto& service = add();
  build({.max_wait = 5ms});
  network_wire_.room = 0;
  network_wire_.in_part = true;
  service.context_->emit(Direction::kOutbound, made(1));
  worker_.turn();
  ASSERT_EQ(network_->counters().backlog.value(), 1U);
  service.context_->emit(Direction::kOutbound, made(2));
  worker_.turn();
  ASSERT_EQ(network_->counters().backlog.value(), 2U);
  ASSERT_TRUE(worker_.until([&] { return network_->counters().backlog.value() == 1; }));
  EXPECT_EQ(network_->counters().drops.value(DropReason::kTxQueueFull), 1U) << "the second one";
  guest_wire_.send(1, 2, 3);
  ASSERT_TRUE(worker_.until([&] { return guest_wire_.in.empty(); }))
      << "a part alone pauses nobody for longer than a frame may wait";
  network_wire_.room = 10;
  ASSERT_TRUE(worker_.until([&] { return !network_->blocked(); }));
  EXPECT_EQ(network_wire_.rests, 1U);
  EXPECT_THAT(network_wire_.out, ElementsAre(3));
  EXPECT_EQ(network_->counters().drops.total(), 1U);
}

TEST_F(LinkTest, BacklogIsTriedThoughMoreFramesArriveEveryTurn) {
  auto& service = add();
  build({.retry = 5ms});  // much longer than a turn
  network_wire_.room = 0;
  service.context_->emit(Direction::kOutbound, made(1));
  worker_.turn();
  ASSERT_TRUE(network_->blocked());
  network_wire_.room = ~std::size_t{0};
  const auto emit_and_look = [&] {
    service.context_->emit(Direction::kOutbound, made(2));
    return !network_wire_.out.empty();
  };
  EXPECT_TRUE(worker_.until(emit_and_look, 2'000'000));
}

TEST_F(LinkTest, EndedInterface_IsReadNoMore_AndTheOtherDirectionGoesOn) {
  build();
  guest_wire_.send(1, 2, 7);
  guest_wire_.ended = true;
  worker_.turns(2);
  EXPECT_THAT(network_wire_.out, ElementsAre(7)) << "the last frames still pass";
  EXPECT_EQ(closed_, 1);
  EXPECT_TRUE(guest_->closed());
  const auto reads = guest_wire_.reads;
  network_wire_.send(2, 1, 8);
  worker_.turns(3);
  EXPECT_EQ(guest_wire_.reads, reads);
  EXPECT_THAT(guest_wire_.out, ElementsAre(8));
}

TEST(Port, EndedPolledInterface_WakesTheWorkerNoMore) {
  HandWorker worker(true);
  Wire wire;
  wire.ended = true;
  struct Nowhere final : FrameSink {
    void push(Batch& batch) override { batch.clear(); }
  } nowhere;
  Port port(*worker, "file", std::make_unique<FakeInterface>("f", wire));
  bool closed = false;
  port.start(nowhere, [&] { closed = true; });
  ASSERT_TRUE(worker.until([&] { return closed; }));

  bool fired = false;
  Timer timer([&] { fired = true; });
  worker->timers().arm(timer, worker->now() + 50ms);
  int turns = 0;
  EXPECT_TRUE(worker.until([&] { return fired || ++turns > 20; }));
  EXPECT_TRUE(fired) << "polling would have turned the loop a thousand times until the timer";
}

TEST(Port, AnInterfaceWithNewsIsAttendedTo_AlsoWhenItsFramesHaveEnded) {
  HandWorker worker;
  Wire wire;
  wire.ended = true;
  wire.events_fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  ASSERT_GE(wire.events_fd, 0);
  struct Nowhere final : FrameSink {
    void push(Batch& batch) override { batch.clear(); }
  } nowhere;
  {
    Port port(*worker, "file", std::make_unique<FakeInterface>("f", wire));
    port.start(nowhere);
    ASSERT_TRUE(worker.until([&] { return port.closed(); }));
    EXPECT_EQ(wire.attended, 0U) << "nothing has happened yet";
    const std::uint64_t one = 1;
    ASSERT_EQ(::write(wire.events_fd, &one, sizeof one), ssize_t{sizeof one});
    EXPECT_TRUE(worker.until([&] { return wire.attended == 1; }));
    port.stop_reading();
    ASSERT_EQ(::write(wire.events_fd, &one, sizeof one), ssize_t{sizeof one});
    worker.turns(10);
    EXPECT_EQ(wire.attended, 1U) << "it is over";
  }
  ::close(wire.events_fd);
}

TEST_F(LinkTest, ReadingIsBoundedPerTurn) {
  build();
  for (int i = 0; i < 1000; ++i) guest_wire_.send(1, 2, 0);
  worker_.turn();
  EXPECT_EQ(network_wire_.out.size(), 4 * kMaxBatch);
  ASSERT_TRUE(worker_.until([&] { return network_wire_.out.size() == 1000; }, 10));
}

TEST_F(LinkTest, StopWaitsForEveryService) {
  std::vector<std::function<void()>> pending;
  add().on_stop = [&](std::function<void()> done) { pending.push_back(std::move(done)); };
  add();
  add().on_stop = [&](std::function<void()> done) { pending.push_back(std::move(done)); };
  build();
  int done = 0;
  link_->stop([&] { ++done; });
  ASSERT_EQ(pending.size(), 2U);
  EXPECT_EQ(done, 0);
  pending[1]();
  EXPECT_EQ(done, 0);
  pending[0]();
  EXPECT_EQ(done, 1);
}

TEST_F(LinkTest, StopOfAnEmptyChainIsDoneAtOnce) {
  build();
  int done = 0;
  link_->stop([&] { ++done; });
  EXPECT_EQ(done, 1);
}

TEST_F(LinkTest, Close_SendsWhatIsPending_AndWhatDestructorsEmit) {
  int processed = 0;
  add().on_process = [&](ServiceContext&, Direction, Batch&) { ++processed; };
  auto& second = add();
  second.on_destroy = [this](ServiceContext& c) { c.emit(Direction::kInbound, made(9)); };
  build();
  second.context_->emit(Direction::kInbound, made(8));
  link_->close();
  EXPECT_EQ(processed, 1) << "the pending frame passed the chain; the last words went straight out";
  EXPECT_THAT(guest_wire_.out, ElementsAre(8, 9));
}

TEST_F(LinkTest, ServicesHaveDifferentRandomNumbersThatRepeatWithTheSeed) {
  std::vector<std::uint64_t> numbers;
  for (int i = 0; i < 2; ++i) {
    add().on_start = [&](ServiceContext& c) { numbers.push_back(c.rng().next()); };
  }
  build();
  ASSERT_EQ(numbers.size(), 2U);
  EXPECT_NE(numbers[0], numbers[1]);
}

}  // namespace
}  // namespace vtl::engine
