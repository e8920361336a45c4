#include "vtl/engine/hub.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "tests/unit/engine/fake.h"

namespace vtl::engine {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::uint8_t kAll = 0xff;

// Three guests (MAC ends 1, 2, 3) on one uplink, behind which stations 10 and 11 are.
class HubTest : public testing::Test {
 protected:
  static constexpr std::size_t kGuests = 3;

  HubTest() {
    uplink_ = std::make_unique<Port>(*worker_, "uplink",
                                     std::make_unique<FakeInterface>("u", uplink_wire_),
                                     PortLimits{.frames = 16});
    hub_ = std::make_unique<Hub>(*worker_, *uplink_);
    for (std::size_t i = 0; i < kGuests; ++i) {
      ports_[i] =
          std::make_unique<Port>(*worker_, "guest", std::make_unique<FakeInterface>("g", wires_[i]),
                                 PortLimits{.frames = 16});
      uplink_->add_feeder(*ports_[i]);
      auto& place = hub_->add_place();
      links_[i] =
          std::make_unique<Link>(*worker_, LinkSetup{.name = "l" + std::to_string(i),
                                                     .guest = ports_[i].get(),
                                                     .network = &place,
                                                     .guest_interface = &ports_[i]->interface(),
                                                     .network_interface = &uplink_->interface(),
                                                     .find_peer = {},
                                                     .find_proxy = {}});
      auto service = std::make_unique<TestService>();
      services_[i] = service.get();
      links_[i]->add_service(std::move(service));
      hub_->attach(place, *links_[i]);
      links_[i]->start();
      ports_[i]->start(links_[i]->entry(Direction::kOutbound));
    }
    uplink_->start(hub_->from_uplink());
  }

  // Every station has spoken once, so that its place is known.
  void introduce() {
    for (std::uint8_t i = 0; i < kGuests; ++i)
      wires_[i].send(kAll, static_cast<std::uint8_t>(i + 1), 0);
    uplink_wire_.send(kAll, 10, 0);
    worker_.turns(3);
    forget_output();
  }
  void forget_output() {
    uplink_wire_.out.clear();
    for (auto& wire : wires_) wire.out.clear();
  }

  Wire uplink_wire_;
  std::array<Wire, kGuests> wires_;
  HandWorker worker_;
  std::unique_ptr<Port> uplink_;
  std::unique_ptr<Hub> hub_;
  std::array<std::unique_ptr<Port>, kGuests> ports_;
  std::array<TestService*, kGuests> services_{};
  std::array<std::unique_ptr<Link>, kGuests> links_;
};

// As much as would go on before the end of the turn if the link's edge were an interface.
void emit_much(HandWorker& worker, ServiceContext& context, std::uint8_t to, std::uint8_t from,
               std::uint8_t tag) {
  for (int i = 0; i < 3; ++i) {
    Packet packet = worker->pool().allocate(65'000);
    std::ranges::copy(frame(to, from, tag), packet.mutable_bytes().begin());
    context.emit(Direction::kOutbound, std::move(packet));
  }
}

TEST_F(HubTest, MuchIsSentWhileFramesComeIn_NoneIsSeenTwice) {
  introduce();
  std::size_t seen = 0;
  services_[0]->on_process = [&](ServiceContext& context, Direction direction, Batch& batch) {
    if (direction != Direction::kInbound) return;
    seen += batch.size();
    emit_much(worker_, context, 10, 1, 9);
  };
  uplink_wire_.send(1, 10, 5);
  worker_.turns(3);
  EXPECT_EQ(seen, 1U);
  EXPECT_THAT(wires_[0].out, ElementsAre(5));
  EXPECT_THAT(uplink_wire_.out, ElementsAre(9, 9, 9));
}

// The second guest's service answers the first's at once, and much: the first is not called inside
// its own work.
TEST_F(HubTest, MuchGoesFromGuestToGuestAndBack_NobodyIsCalledInsideItsOwnWork) {
  introduce();
  bool at_work = false, called_inside = false;
  services_[0]->on_process = [&](ServiceContext&, Direction, Batch&) { called_inside |= at_work; };
  services_[1]->on_process = [&](ServiceContext& context, Direction direction, Batch&) {
    if (direction == Direction::kInbound) emit_much(worker_, context, 1, 2, 8);
  };
  at_work = true;
  emit_much(worker_, *services_[0]->context_, 2, 1, 7);
  at_work = false;
  worker_.turns(5);
  EXPECT_FALSE(called_inside);
  EXPECT_THAT(wires_[1].out, ElementsAre(7, 7, 7));
  EXPECT_FALSE(wires_[0].out.empty());
}

TEST_F(HubTest, InboundFrameFindsItsGuestByMac) {
  introduce();
  uplink_wire_.send(2, 10, 5);
  worker_.turns(2);
  EXPECT_THAT(wires_[0].out, IsEmpty());
  EXPECT_THAT(wires_[1].out, ElementsAre(5));
  EXPECT_THAT(wires_[2].out, IsEmpty());
  EXPECT_THAT(uplink_wire_.out, IsEmpty());
}

TEST_F(HubTest, OutboundFrameToAStationOnTheNetworkGoesThereOnly) {
  introduce();
  wires_[0].send(10, 1, 6);
  worker_.turns(2);
  EXPECT_THAT(uplink_wire_.out, ElementsAre(6));
  EXPECT_THAT(wires_[1].out, IsEmpty());
}

TEST_F(HubTest, GuestReachesItsNeighbourThroughBothChains) {
  introduce();
  std::vector<std::string> seen;
  services_[0]->on_process = [&](ServiceContext&, Direction d, Batch&) {
    seen.push_back(d == Direction::kOutbound ? "0>" : "0<");
  };
  services_[2]->on_process = [&](ServiceContext&, Direction d, Batch&) {
    seen.push_back(d == Direction::kOutbound ? "2>" : "2<");
  };
  wires_[0].send(3, 1, 7);
  worker_.turns(2);
  EXPECT_THAT(seen, ElementsAre("0>", "2<"));
  EXPECT_THAT(wires_[2].out, ElementsAre(7));
  EXPECT_THAT(uplink_wire_.out, IsEmpty());
  EXPECT_EQ(hub_->counters().hairpin.value(), 1U);
}

TEST_F(HubTest, BroadcastGoesEverywhereButBack) {
  wires_[1].send(kAll, 2, 8);
  worker_.turns(2);
  EXPECT_THAT(uplink_wire_.out, ElementsAre(8));
  EXPECT_THAT(wires_[0].out, ElementsAre(8));
  EXPECT_THAT(wires_[1].out, IsEmpty());
  EXPECT_THAT(wires_[2].out, ElementsAre(8));
  forget_output();
  uplink_wire_.send(kAll, 10, 9);
  worker_.turns(2);
  EXPECT_THAT(uplink_wire_.out, IsEmpty());
  for (const auto& wire : wires_) EXPECT_THAT(wire.out, ElementsAre(9));
  EXPECT_EQ(hub_->counters().group.value(), 2U);
}

TEST_F(HubTest, UnknownUnicastIsFloodedAndCounted) {
  uplink_wire_.send(77, 10, 5);
  worker_.turns(2);
  for (const auto& wire : wires_) EXPECT_THAT(wire.out, ElementsAre(5));
  EXPECT_EQ(hub_->counters().flooded.value(), 1U);
}

TEST_F(HubTest, FrameWhoseDestinationIsWhereItCameFromStaysThere) {
  introduce();
  uplink_wire_.send(10, 11, 5);
  worker_.turns(2);
  for (const auto& wire : wires_) EXPECT_THAT(wire.out, IsEmpty());
  EXPECT_THAT(uplink_wire_.out, IsEmpty());
  EXPECT_EQ(hub_->counters().same_port.value(), 1U);
}

TEST_F(HubTest, GuestCannotTakeOverTheAddressOfATalkingNeighbour) {
  introduce();
  wires_[0].send(10, 2, 6);  // guest 1 pretends to be guest 2
  worker_.turns(2);
  uplink_wire_.send(2, 10, 5);
  worker_.turns(2);
  EXPECT_THAT(wires_[1].out, ElementsAre(5));
  EXPECT_THAT(wires_[0].out, IsEmpty());
  EXPECT_EQ(hub_->macs().counters().move_refused.value(), 1U);
}

TEST_F(HubTest, FrameShorterThanTwoAddressesIsACountedDrop) {
  uplink_wire_.in.push_back(std::vector<std::uint8_t>(11));
  worker_.turns(2);
  EXPECT_EQ(hub_->counters().drops.value(DropReason::kMalformedEthernet), 1U);
}

TEST_F(HubTest, FullGuest_DoesNotStopItsNeighbours) {
  introduce();
  wires_[0].room = 0;
  for (int i = 0; i < 100; ++i) {
    uplink_wire_.send(1, 10, 5);
    uplink_wire_.send(2, 10, 6);
  }
  ASSERT_TRUE(worker_.until([&] { return wires_[1].out.size() == 100; }));
  EXPECT_EQ(ports_[0]->counters().drops.value(DropReason::kTxQueueFull), 100U - 16U);
}

TEST_F(HubTest, FullUplink_PausesTheGuests_AndLosesNothing) {
  introduce();
  uplink_wire_.room = 0;
  for (int i = 0; i < 10; ++i) wires_[0].send(10, 1, 5);
  worker_.turns(3);
  for (int i = 0; i < 100; ++i) wires_[0].send(10, 1, 5);
  worker_.turns(3);
  EXPECT_EQ(wires_[0].in.size(), 100U);
  uplink_wire_.room = ~std::size_t{0};
  ASSERT_TRUE(worker_.until([&] { return uplink_wire_.out.size() == 110; }));
  EXPECT_EQ(uplink_->counters().drops.total(), 0U);
}

wire::MacAddress mac(std::uint8_t last) {
  return wire::MacAddress({0x02, 0, 0, 0, static_cast<std::uint8_t>(last >> 4), last});
}

TEST(MacTable, ForgetsWhatWasNotSeenForMaxAge) {
  MacTable table({.max_age = 10s});
  const Time start{1s};
  table.learn(mac(1), 1, start);
  EXPECT_EQ(table.find(mac(1), start + 10s), 1U);
  EXPECT_EQ(table.find(mac(1), start + 11s), std::nullopt);
  table.expire(start + 11s);
  EXPECT_EQ(table.counters().entries.value(), 0U);
}

TEST(MacTable, AddressMovesOnceItsOldPlaceIsSilent) {
  MacTable table({.move_hold = 1s});
  const Time start{1s};
  table.learn(mac(1), 1, start);
  table.learn(mac(1), 2, start + 999ms);
  EXPECT_EQ(table.find(mac(1), start + 999ms), 1U);
  table.learn(mac(1), 2, start + 1s);
  EXPECT_EQ(table.find(mac(1), start + 1s), 2U);
  EXPECT_EQ(table.counters().moved.value(), 1U);
}

TEST(MacTable, GuestThatInventsAddressesFillsItsOwnShareOnly) {
  MacTable table({.per_place = 4});
  const Time now{1s};
  for (std::uint8_t i = 0; i < 10; ++i) table.learn(mac(i), 1, now);
  EXPECT_EQ(table.counters().entries.value(), 4U);
  EXPECT_EQ(table.counters().full.value(), 6U);
  table.learn(mac(100), 2, now);
  EXPECT_EQ(table.find(mac(100), now), 2U);
}

TEST(MacTable, GroupAndZeroSourcesAreNotLearned) {
  MacTable table;
  table.learn(wire::MacAddress::broadcast(), 1, Time{1s});
  table.learn(wire::MacAddress{}, 1, Time{1s});
  EXPECT_EQ(table.counters().entries.value(), 0U);
}

TEST(MacTable, ShareIsGivenBackWhenAnAddressMovesOrAges) {
  MacTable table({.per_place = 1, .max_age = 10s, .move_hold = 1s});
  const Time start{1s};
  table.learn(mac(1), 1, start);
  table.learn(mac(1), 2, start + 2s);
  table.learn(mac(2), 1, start + 2s);
  EXPECT_EQ(table.find(mac(2), start + 2s), 1U);
  table.expire(start + 20s);
  table.learn(mac(3), 1, start + 20s);
  EXPECT_EQ(table.find(mac(3), start + 20s), 1U);
}

}  // namespace
}  // namespace vtl::engine
