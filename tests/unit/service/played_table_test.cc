#include "vtl/service/played_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "tests/support/virtual_hosts.h"

namespace vtl::service {
namespace {

using Flow = wire::FlowKey;

/// What has happened to the items, in order: "1 pumped".
struct Record {
  std::vector<std::string> lines;
  void add(int id, const char* what) { lines.push_back(std::to_string(id) + " " + what); }
  std::vector<std::string> take() { return std::exchange(lines, {}); }
};

template <bool kBoth>
struct Item {
  using Owner = Record;
  using Table = PlayedTable<Item>;
  static constexpr bool kFoundByBothDirections = kBoth;

  Item(Table& t, int number, const Flow& flow) : table(t), id(number), flow_key(flow) {}
  ~Item() { table.owner().add(id, "destroyed"); }
  Item(const Item&) = delete;
  Item& operator=(const Item&) = delete;

  [[nodiscard]] const Flow& key() const { return flow_key; }
  void pump() {
    if (gone) return;
    table.owner().add(id, "pumped");
    if (again-- > 0) table.schedule(*this);
  }
  void end(const char* what) {
    table.owner().add(id, what);
    gone = true;
    table.over(*this);
  }
  void give_up() { end("given up"); }
  void abort() { end("aborted"); }
  void leave() noexcept { gone = true; }
  [[nodiscard]] bool is_over() const { return gone; }
  void count_into(PlayedTotals&) const { table.owner().add(id, "counted"); }
  [[nodiscard]] engine::FlowInfo info(Time) const {
    engine::FlowInfo out;
    out.key = flow_key;
    return out;
  }

  AgePlace<Item> half_open, lingering, starving;
  Lacks lacking;
  bool scheduled = false;
  Table& table;
  int id;
  Flow flow_key;
  bool gone = false;
  int again = 0;
};

Flow flow(std::uint16_t port) {
  Flow key;
  key.source = {wire::Ipv4Address(10, 0, 0, 1), wire::Port(port)};
  key.destination = {wire::Ipv4Address(10, 0, 0, 2), wire::Port(80)};
  return key;
}

using Lines = std::vector<std::string>;

template <bool kBoth>
class World {
 public:
  using TableItem = Item<kBoth>;
  explicit World(std::size_t connections = 100, std::size_t half_open = 100)
      : table(context, record,
              PlayedOptions{.max_connections = connections,
                            .max_half_open = half_open,
                            .memory = std::size_t{1} << 20,
                            .ends = {}}) {}

  TableItem& open(int id) {
    table.make_half_open_room();
    auto item = std::make_unique<TableItem>(table, id, flow(static_cast<std::uint16_t>(id)));
    TableItem& out = *item;
    table.insert(std::move(item));
    return out;
  }
  [[nodiscard]] double metric(std::string_view name) const {
    std::vector<engine::ServiceMetric> all;
    table.list_metrics(all, arriving);
    const auto it = std::ranges::find(all, name, &engine::ServiceMetric::name);
    return it == all.end() ? -1 : it->value;
  }

  PacketPool pool;
  test::VirtualReactor reactor;
  test::TestContext context{reactor, pool};
  Record record;
  std::size_t arriving = 0;
  PlayedTable<TableItem> table;
};

TEST(PlayedTable, FindsByOneDirectionOrByBoth) {
  World<false> one;
  World<true> both;
  auto& of_one = one.open(1);
  auto& of_both = both.open(1);
  EXPECT_EQ(one.table.find(flow(1)), &of_one);
  EXPECT_EQ(one.table.find(flow(1).reversed()), nullptr);
  EXPECT_EQ(both.table.find(flow(1)), &of_both);
  EXPECT_EQ(both.table.find(flow(1).reversed()), &of_both);
  EXPECT_EQ(both.table.find(flow(2)), nullptr);
}

TEST(PlayedTable, ABatchPumpsWhatItTouchesOnceAndWhatWantsMoreInTheNextTurn) {
  World<true> world;
  auto& item = world.open(1);
  world.open(2);
  world.reactor.run_tasks();
  EXPECT_EQ(world.record.take(), (Lines{"1 pumped", "2 pumped"}));
  item.again = 1;
  Batch batch;
  for (int i = 0; i < 3; ++i) batch.push_back(world.pool.allocate(64));
  world.table.process(batch, [&](Packet&) { world.table.schedule(item); });
  EXPECT_EQ(world.record.take(), (Lines{"1 pumped"}));
  world.reactor.run_tasks();
  EXPECT_EQ(world.record.take(), (Lines{"1 pumped"}));
}

TEST(PlayedTable, WhatIsOverLeavesAtTheEndOfTheTurnAndIsDestroyedThen) {
  World<true> world;
  auto& item = world.open(1);
  world.reactor.run_tasks();
  world.table.established(item);
  world.record.take();
  item.abort();
  EXPECT_EQ(world.table.size(), 1U);
  EXPECT_EQ(world.record.take(), (Lines{"1 aborted"}));
  world.reactor.run_tasks();
  EXPECT_EQ(world.table.size(), 0U);
  EXPECT_EQ(world.record.take(), (Lines{"1 counted", "1 destroyed"}));
  EXPECT_EQ(world.metric("established_total"), 1);
  EXPECT_EQ(world.metric("half_open"), 0);
}

TEST(PlayedTable, WhoTakesThePlaceOfOneThatEndedInTheSameTurnKeepsIt) {
  World<true> world;
  auto& old = world.open(1);
  old.abort();
  world.table.retire(old);
  auto& young = world.open(1);
  world.record.take();
  world.reactor.run_tasks();
  EXPECT_EQ(world.table.find(flow(1)), &young);
  EXPECT_EQ(world.record.take(), (Lines{"1 pumped", "1 destroyed"}));
}

TEST(PlayedTable, AtMaxConnectionsTheOldestThatLingersGoesAndElseThereIsNoRoom) {
  World<true> world(3);
  for (const int id : {1, 2, 3}) {
    ASSERT_TRUE(world.table.has_room());
    world.open(id);
  }
  EXPECT_FALSE(world.table.has_room());
  EXPECT_EQ(world.metric("limit_connections_total"), 1);
  world.table.lingers(*world.table.find(flow(2)));
  world.table.lingers(*world.table.find(flow(1)));
  EXPECT_TRUE(world.table.has_room());
  EXPECT_EQ(world.table.find(flow(2)), nullptr);
  EXPECT_NE(world.table.find(flow(1)), nullptr);
  EXPECT_EQ(world.metric("evicted_total"), 1);
  EXPECT_EQ(world.metric("limit_connections_total"), 1);
}

TEST(PlayedTable, WhoArrivesHasItsPlacePromised) {
  World<true> world(3);
  world.open(1);
  world.arriving = 1;
  EXPECT_EQ(world.metric("half_open"), 2);
  EXPECT_TRUE(world.table.has_room(world.arriving));
  world.arriving = 2;
  EXPECT_FALSE(world.table.has_room(world.arriving));
}

TEST(PlayedTable, AtMaxHalfOpenTheOldestOfThemIsGivenUp) {
  World<true> world(100, 2);
  world.table.established(world.open(1));
  world.open(2);
  world.open(3);
  world.reactor.run_tasks();
  world.record.take();
  world.open(4);
  EXPECT_EQ(world.record.take(), (Lines{"2 given up", "2 counted"}));
  EXPECT_EQ(world.table.find(flow(2)), nullptr);
  EXPECT_EQ(world.metric("half_open"), 2);
  EXPECT_EQ(world.metric("limit_half_open_total"), 1);
  EXPECT_EQ(world.table.size(), 3U);
  world.reactor.run_tasks();
  EXPECT_EQ(world.record.take(), (Lines{"4 pumped", "2 destroyed"}));
}

TEST(PlayedTable, OneThatStarvesAndGoesIsNotWokenAgain) {
  World<true> world;
  auto& item = world.open(1);
  world.reactor.run_tasks();
  world.table.starved().set(item, {.received = false, .to_send = false, .packets = true});
  item.abort();
  world.reactor.run_tasks();
  world.record.take();
  world.reactor.run_until([] { return false; }, 1s);
  EXPECT_EQ(world.table.starved().size(), 0U);
  EXPECT_TRUE(world.record.take().empty());
}

TEST(PlayedTable, StopWaitsForAllThatDoesNotLinger) {
  World<true> world;
  auto& lingers = world.open(1);
  auto& ends = world.open(2);
  world.table.lingers(lingers);
  bool stopped = false;
  EXPECT_TRUE(world.table.running());
  world.table.stop([&] { stopped = true; });
  EXPECT_FALSE(world.table.running());
  world.reactor.run_tasks();
  EXPECT_FALSE(stopped);
  ends.abort();
  world.reactor.run_tasks();
  EXPECT_TRUE(stopped);
}

TEST(PlayedTable, AnEmptyOneStopsAtOnce) {
  World<true> world;
  bool stopped = false;
  world.table.stop([&] { stopped = true; });
  EXPECT_TRUE(stopped);
}

TEST(PlayedTable, ItsEndAbortsWhatIsThereAndWhatWasPostedDoesNothing) {
  PacketPool pool;
  test::VirtualReactor reactor;
  test::TestContext context{reactor, pool};
  Record record;
  {
    PlayedTable<Item<true>> table(context, record, {});
    table.insert(std::make_unique<Item<true>>(table, 1, flow(1)));
    table.starved().set(*table.find(flow(1)), {.received = true, .to_send = true, .packets = true});
  }
  EXPECT_EQ(record.take(), (Lines{"1 aborted", "1 destroyed"}));
  reactor.run_until([] { return false; }, 1s);
  EXPECT_TRUE(record.take().empty());
}

TEST(PlayedTable, ListsTheFlowsThatItHas) {
  World<false> world;
  world.open(1);
  world.open(2);
  std::vector<engine::FlowInfo> flows;
  world.table.list_flows(flows);
  ASSERT_EQ(flows.size(), 2U);
  EXPECT_TRUE(std::ranges::any_of(flows, [](const auto& f) { return f.key == flow(1); }));
  EXPECT_TRUE(std::ranges::any_of(flows, [](const auto& f) { return f.key == flow(2); }));
}

}  // namespace
}  // namespace vtl::service
