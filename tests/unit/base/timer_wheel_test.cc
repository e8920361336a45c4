#include "vtl/base/timer_wheel.h"

#include <gtest/gtest.h>

#include <algorithm>

#include <map>
#include <memory>
#include <vector>

#include "vtl/base/rng.h"

namespace vtl {
namespace {

constexpr Time kStart{Duration{5s}};

TEST(TimerWheel, FiresAtTheFirstTickAtOrAfterTheDeadline) {
  TimerWheel wheel(1ms, kStart);
  int fired = 0;
  Timer timer([&] { ++fired; });
  wheel.arm(timer, kStart + 2500us);
  EXPECT_EQ(wheel.advance(kStart + 2999us), 0U);
  EXPECT_EQ(wheel.advance(kStart + 3ms), 1U);
  EXPECT_EQ(fired, 1);
  EXPECT_FALSE(timer.armed());
  EXPECT_EQ(wheel.next_deadline(), kNever);
}

TEST(TimerWheel, ACallbackMayArmItselfAndCancelAnother) {
  TimerWheel wheel(1ms, kStart);
  int fired = 0;
  Timer victim([&] { FAIL() << "cancelled timer fired"; });
  Timer* self = nullptr;
  Timer again([&] {
    victim.cancel();
    if (++fired < 3) wheel.arm(*self, kStart);
  });
  self = &again;
  wheel.arm(again, kStart + 1ms);
  wheel.arm(victim, kStart + 2ms);
  wheel.advance(kStart + 1s);
  EXPECT_EQ(fired, 3);
  EXPECT_EQ(wheel.size(), 0U);
}

TEST(TimerWheel, NoMoreThanAskedFor_TheRestIsDueAtOnce) {
  TimerWheel wheel(1ms, kStart);
  std::vector<int> fired;
  std::vector<std::unique_ptr<Timer>> timers;
  for (int i = 0; i < 10; ++i) {
    timers.push_back(std::make_unique<Timer>([&fired, i] { fired.push_back(i / 5); }));
    wheel.arm(*timers.back(), kStart + (i < 5 ? 3ms : 200ms));
  }
  const Time late = kStart + 300ms;
  EXPECT_EQ(wheel.advance(late, 3), 3U);
  EXPECT_LE(wheel.next_deadline(), late);
  Timer again([&] { fired.push_back(9); });
  wheel.arm(again, kStart);  // behind what is left, though it was due before
  EXPECT_EQ(wheel.advance(late, 2), 2U);
  EXPECT_EQ(wheel.advance(late, 4), 4U);
  EXPECT_EQ(wheel.advance(late, 4), 2U);
  EXPECT_EQ(fired, (std::vector<int>{0, 0, 0, 0, 0, 9, 1, 1, 1, 1, 1}));
  EXPECT_EQ(wheel.next_deadline(), kNever);
  EXPECT_EQ(wheel.advance(late), 0U);
}

TEST(TimerWheel, DestroyedTimersAreOffTheWheel) {
  TimerWheel wheel(1ms, kStart);
  {
    Timer timer([] { FAIL(); });
    wheel.arm(timer, kStart + 5ms);
  }
  EXPECT_EQ(wheel.size(), 0U);
  EXPECT_EQ(wheel.advance(kStart + 10ms), 0U);
}

// Against a sorted map as the oracle: same timers, in the same tick, over every level of the wheel.
TEST(TimerWheel, AgreesWithASortedMapOverAllLevels) {
  Rng rng(7);
  TimerWheel wheel(1ms, kStart);
  std::multimap<Time, int> oracle;
  std::vector<std::unique_ptr<Timer>> timers;
  std::vector<int> fired;
  Time now = kStart;
  for (int i = 0; i < 3000; ++i) {
    const Duration delay =
        1ms * static_cast<std::int64_t>(1 + rng.below(1ULL << (1 + rng.below(28))));
    timers.push_back(std::make_unique<Timer>([&fired, i] { fired.push_back(i); }));
    wheel.arm(*timers.back(), now + delay);
    oracle.emplace(now + delay, i);
    if (rng.chance(0.3)) {
      now = std::max(now, std::min(wheel.next_deadline(),
                                   now + 1ms * static_cast<std::int64_t>(rng.below(1000))));
      wheel.advance(now);
      std::vector<int> due;
      while (!oracle.empty() && oracle.begin()->first <= now) {
        due.push_back(oracle.begin()->second);
        oracle.erase(oracle.begin());
      }
      std::sort(due.begin(), due.end());
      std::sort(fired.begin(), fired.end());
      ASSERT_EQ(fired, due) << "at step " << i;
      fired.clear();
    }
  }
  while (!oracle.empty()) {
    ASSERT_LE(wheel.next_deadline(), oracle.begin()->first);
    now = wheel.next_deadline();
    wheel.advance(now);
    for (const int id : fired) {
      const auto it =
          std::find_if(oracle.begin(), oracle.end(), [&](auto& e) { return e.second == id; });
      ASSERT_NE(it, oracle.end());
      ASSERT_EQ(it->first, now);
      oracle.erase(it);
    }
    fired.clear();
    ASSERT_TRUE(oracle.empty() || oracle.begin()->first > now);
  }
  EXPECT_EQ(wheel.size(), 0U);
}

}  // namespace
}  // namespace vtl
