#include "vtl/base/aging_map.h"

#include <gtest/gtest.h>

namespace vtl {
namespace {

TEST(AgingMap, NeverHoldsMoreThanItsBoundAndCountsWhatItLetGo) {
  AgingMap<int, int> map(10);
  for (int i = 0; i < 100; ++i) {
    map.put(i, i * i);
    ASSERT_LE(map.size(), 10U);
  }
  EXPECT_EQ(*map.use(99), 99 * 99);
  EXPECT_EQ(map.use(0), nullptr);
  EXPECT_EQ(map.evicted() + map.size(), 100U);
}

TEST(AgingMap, WhatIsUsedSurvivesWhatIsNot) {
  AgingMap<int, int> map(8);
  map.put(1, 11);
  for (int i = 100; i < 200; ++i) {
    map.put(i, i);
    ASSERT_NE(map.use(1), nullptr) << i;
  }
  EXPECT_EQ(*map.use(1), 11);
}

TEST(AgingMap, TwoRotationsWithoutUseForget) {
  AgingMap<int, int> map(8);
  map.put(1, 1);
  map.put(2, 2);
  map.rotate();
  EXPECT_NE(map.use(1), nullptr);
  map.rotate();
  EXPECT_NE(map.use(1), nullptr);
  EXPECT_EQ(map.use(2), nullptr);
}

TEST(AgingMap, PutReplacesAndEraseForgetsInBothGenerations) {
  AgingMap<int, int> map(8);
  map.put(1, 1);
  map.rotate();
  map.put(1, 2);
  EXPECT_EQ(*map.use(1), 2);
  EXPECT_EQ(map.size(), 1U);
  map.rotate();
  map.erase(1);
  EXPECT_EQ(map.use(1), nullptr);
}

}  // namespace
}  // namespace vtl
