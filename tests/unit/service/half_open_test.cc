#include "vtl/service/half_open.h"

#include <gtest/gtest.h>

#include <deque>
#include <vector>

#include "vtl/base/rng.h"

namespace vtl::service {
namespace {

struct Item {
  int name = 0;
  AgePlace<Item> half_open;
};

Item* enter(HalfOpenTable<Item>& table, Item& item) {
  Item* const evicted = table.make_room();
  table.enter(item);
  return evicted;
}

TEST(HalfOpenTable, AtTheBoundTheOldestGoes) {
  HalfOpenTable<Item> table(2);
  Item a, b, c, d;
  EXPECT_EQ(enter(table, a), nullptr);
  EXPECT_EQ(enter(table, b), nullptr);
  EXPECT_EQ(enter(table, c), &a);
  EXPECT_EQ(enter(table, d), &b);
  EXPECT_EQ(table.size(), 2U);
  EXPECT_EQ(table.evicted(), 2U);
  EXPECT_FALSE(table.leave(a)) << "it has no place any more";
}

TEST(HalfOpenTable, WhoseHandshakeIsDoneLosesNoPlace) {
  HalfOpenTable<Item> table(2);
  Item a, b, c;
  EXPECT_EQ(enter(table, a), nullptr);
  EXPECT_EQ(enter(table, b), nullptr);
  EXPECT_TRUE(table.leave(a));
  EXPECT_EQ(enter(table, c), nullptr);
  EXPECT_EQ(table.evicted(), 0U);
}

TEST(HalfOpenTable, BoundOfNothingIsOne) {
  HalfOpenTable<Item> table(0);
  Item a, b;
  EXPECT_EQ(enter(table, a), nullptr);
  EXPECT_EQ(enter(table, b), &a);
}

TEST(HalfOpenTable, IsAQueueWhateverComesAndGoes) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    Rng rng(seed);
    const std::size_t bound = 1 + rng.below(8);
    HalfOpenTable<Item> table(bound);
    std::vector<Item> items(20);
    std::deque<Item*> expected;
    for (int turn = 0; turn < 2000; ++turn) {
      Item& item = items[rng.below(items.size())];
      if (item.half_open.held) {
        EXPECT_TRUE(table.leave(item));
        std::erase(expected, &item);
      } else {
        Item* const evicted = enter(table, item);
        ASSERT_EQ(evicted, expected.size() == bound ? expected.front() : nullptr);
        if (evicted != nullptr) expected.pop_front();
        expected.push_back(&item);
      }
      ASSERT_EQ(table.size(), expected.size());
    }
  }
}

}  // namespace
}  // namespace vtl::service
