#include "vtl/engine/flow_table.h"

#include <gtest/gtest.h>

#include <string>

namespace vtl::engine {
namespace {

wire::FlowKey key(std::uint16_t port) {
  return {{wire::Ipv4Address(10, 0, 0, 1), wire::Port(port)},
          {wire::Ipv4Address(10, 0, 0, 2), wire::Port(80)},
          wire::IpProtocol::kTcp,
          0};
}

constexpr Time kStart{1s};

TEST(FlowTable, FindsAFlowByEitherDirection) {
  FlowTable<std::string> table(4);
  ASSERT_NE(table.insert(key(1), "one", kStart), nullptr);
  const auto forward = table.find(key(1), kStart);
  const auto reverse = table.find(key(1).reversed(), kStart);
  ASSERT_TRUE(forward);
  ASSERT_TRUE(reverse);
  EXPECT_EQ(forward.entry, reverse.entry);
  EXPECT_FALSE(forward.reversed);
  EXPECT_TRUE(reverse.reversed);
  EXPECT_EQ(forward->value, "one");
  EXPECT_FALSE(table.find(key(2), kStart));
}

TEST(FlowTable, VlanAndProtocolTellFlowsApart) {
  FlowTable<int> table(4);
  auto tagged = key(1);
  tagged.vlan = 7;
  auto udp = key(1);
  udp.protocol = wire::IpProtocol::kUdp;
  ASSERT_NE(table.insert(key(1), 1, kStart), nullptr);
  ASSERT_NE(table.insert(tagged, 2, kStart), nullptr);
  ASSERT_NE(table.insert(udp, 3, kStart), nullptr);
  EXPECT_EQ(table.find(tagged, kStart)->value, 2);
  EXPECT_EQ(table.find(udp.reversed(), kStart)->value, 3);
}

TEST(FlowTable, AtTheBoundTheLeastRecentlyUsedGoes) {
  FlowTable<int> table(3);
  for (std::uint16_t i = 1; i <= 3; ++i)
    ASSERT_NE(table.insert(key(i), i, kStart + i * 1s), nullptr);
  ASSERT_TRUE(table.find(key(1).reversed(), kStart + 10s));
  ASSERT_NE(table.insert(key(4), 4, kStart + 11s), nullptr);
  EXPECT_TRUE(table.peek(key(1)));
  EXPECT_FALSE(table.peek(key(2)));
  EXPECT_EQ(table.size(), 3U);
  EXPECT_EQ(table.counters().evicted.value(), 1U);
}

TEST(FlowTable, EntriesThatMayNotGoAreKept) {
  FlowTable<int> table(3, [](const auto& entry) { return entry.value != 1; });
  for (std::uint16_t i = 1; i <= 3; ++i) ASSERT_NE(table.insert(key(i), i, kStart), nullptr);
  ASSERT_NE(table.insert(key(4), 1, kStart), nullptr);
  EXPECT_TRUE(table.peek(key(1)));
  EXPECT_FALSE(table.peek(key(2)));
  ASSERT_NE(table.insert(key(5), 1, kStart), nullptr);
  EXPECT_EQ(table.insert(key(6), 1, kStart), nullptr) << "all three may not go";
  EXPECT_EQ(table.counters().full.value(), 1U);
  EXPECT_EQ(table.size(), 3U);
}

TEST(FlowTable, EvictionLooksAtFewOnly) {
  FlowTable<int> table(20, [](const auto& entry) { return entry.value == 20; });
  for (std::uint16_t i = 1; i <= 20; ++i) ASSERT_NE(table.insert(key(i), i, kStart), nullptr);
  EXPECT_EQ(table.insert(key(21), 0, kStart), nullptr) << "the only one that may go is the newest";
}

TEST(FlowTable, IdleFlowsExpireInBoundedSteps) {
  int removed = 0;
  FlowTable<int> table(10, [](const auto&) { return true; }, [&](auto&) { ++removed; });
  for (std::uint16_t i = 1; i <= 6; ++i) ASSERT_NE(table.insert(key(i), i, kStart), nullptr);
  ASSERT_TRUE(table.find(key(1), kStart + 5s));
  EXPECT_EQ(table.expire(kStart + 6s, 5s, 3), 3U);
  EXPECT_EQ(table.expire(kStart + 6s, 5s, 3), 2U);
  EXPECT_EQ(table.expire(kStart + 6s, 5s, 3), 0U);
  EXPECT_TRUE(table.peek(key(1)));
  EXPECT_EQ(removed, 5);
}

TEST(FlowTable, EntriesKeepTheirAddressWhileOthersComeAndGo) {
  FlowTable<int> table(1000);
  auto* first = table.insert(key(1), 1, kStart);
  for (std::uint16_t i = 2; i <= 900; ++i) ASSERT_NE(table.insert(key(i), i, kStart + 1s), nullptr);
  for (std::uint16_t i = 2; i <= 900; i = static_cast<std::uint16_t>(i + 2)) {
    table.erase(table.peek(key(i)).entry);
  }
  EXPECT_EQ(table.peek(key(1)).entry, first);
  EXPECT_EQ(first->value, 1);
  int visited = 0;
  table.for_each([&](const auto&) { ++visited; });
  EXPECT_EQ(static_cast<std::size_t>(visited), table.size());
}

}  // namespace
}  // namespace vtl::engine
