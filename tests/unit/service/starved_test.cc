#include "vtl/service/starved.h"

#include <gtest/gtest.h>

#include <deque>
#include <vector>

#include "tests/support/virtual_reactor.h"
#include "vtl/service/standstill.h"

namespace vtl::service {
namespace {

constexpr Lacks kReceiving{.received = true, .to_send = false, .packets = false};
constexpr Lacks kSending{.received = false, .to_send = true, .packets = false};
constexpr Lacks kFrames{.received = false, .to_send = false, .packets = true};

class StarvedTest : public testing::Test {
 protected:
  struct Waiter {
    int id = 0;
    AgePlace<Waiter> starving;
    Lacks lacking;
  };

  StarvedTest() : list_(reactor_, pool_, [this](Waiter& w) { woken_.push_back(w.id); }) {}
  ~StarvedTest() override {
    for (Waiter& w : waiters_) list_.leave(w);
    release(ChunkPool::Use::kReceived, taken_.size());
  }
  Waiter& wait(Lacks lacks) {
    waiters_.push_back({static_cast<int>(waiters_.size()), {}, {}});
    list_.set(waiters_.back(), lacks);
    return waiters_.back();
  }
  void spend() {
    while (auto* chunk = pool_.allocate(ChunkPool::Use::kReceived)) taken_.push_back(chunk);
  }
  void release(ChunkPool::Use use, std::size_t n) {
    for (; n > 0; --n, taken_.pop_back()) pool_.release(taken_.back(), use);
  }
  void pass(Duration duration) {
    reactor_.run_until([] { return false; }, duration);
  }

  test::VirtualReactor reactor_;
  ChunkPool pool_{64 * ChunkPool::kChunk};
  std::vector<std::uint8_t*> taken_;
  std::vector<int> woken_;
  std::deque<Waiter> waiters_;
  Starved<Waiter> list_;
};

TEST_F(StarvedTest, NobodyIsWokenWhileThePoolIsSpent_ThenTheFirstAsFarAsItGoes) {
  spend();
  for (int i = 0; i < 8000; ++i) wait(kReceiving);
  pass(10s);
  EXPECT_TRUE(woken_.empty());
  EXPECT_EQ(list_.size(), 8000U);
  release(ChunkPool::Use::kReceived, 8 + 2);  // the share of sending, and two
  reactor_.run_until([&] { return !woken_.empty(); }, 10s);
  EXPECT_EQ(woken_, (std::vector<int>{0, 1}));
  EXPECT_EQ(list_.size(), 7998U);
}

TEST_F(StarvedTest, EveryoneIsWokenOnceBeforeAnyoneTwice) {
  for (int i = 0; i < 1000; ++i) wait(kSending);
  std::size_t seen = 0;
  EXPECT_TRUE(reactor_.run_until(
      [&] {
        for (; seen < woken_.size(); ++seen) {
          EXPECT_EQ(woken_[seen], static_cast<int>(seen % 1000));
          list_.set(waiters_[static_cast<std::size_t>(woken_[seen])], kSending);
        }
        return seen >= 2000;
      },
      10s));
}

TEST_F(StarvedTest, WhoeverLacksAPacketTriesAgainAFewATurn) {
  spend();
  for (int i = 0; i < 1000; ++i) wait(kFrames);
  pass(Starved<Waiter>::kRetry);
  EXPECT_EQ(woken_.size(), Starved<Waiter>::kTurn);
  pass(10 * Starved<Waiter>::kRetry);
  EXPECT_EQ(woken_.size(), 1000U);
}

TEST_F(StarvedTest, WhoeverLeavesIsNotWoken) {
  Waiter& first = wait(kSending);
  Waiter& second = wait(kSending);
  Waiter& third = wait(kReceiving);
  list_.leave(second);
  list_.set(first, Lacks{});
  list_.leave(first);  // once more
  pass(1s);
  EXPECT_EQ(woken_, std::vector<int>{third.id});
  EXPECT_EQ(list_.size(), 0U);
}

TEST(Standstill, HoldsForAsLongAsEnoughIsTaken) {
  constexpr std::size_t kChunks = 8;
  constexpr std::uint64_t kQuarter = kChunks * ChunkPool::kChunk / 4;
  Standstill still;
  const Time begin{1h};
  EXPECT_EQ(still.until(begin), kNever);
  EXPECT_FALSE(still.observe(kChunks, 1000, begin));
  EXPECT_EQ(still.until(begin), begin + Standstill::kPatience);
  EXPECT_FALSE(still.observe(kChunks, 1000 + kQuarter, begin + 59s));
  EXPECT_FALSE(still.observe(kChunks, 1000 + 2 * kQuarter - 1, begin + 118s));
  EXPECT_TRUE(still.observe(kChunks, 1000 + 2 * kQuarter - 1, begin + 119s));
  EXPECT_GT(still.until(begin + 119s), begin + 119s);
  EXPECT_FALSE(still.observe(kChunks, 1000 + 2 * kQuarter, begin + 120s));
  EXPECT_FALSE(still.observe(0, 1000 + 2 * kQuarter, begin + 1h));
  EXPECT_FALSE(still.observe(1, 1000 + 2 * kQuarter, begin + 2h));  // held anew
  EXPECT_FALSE(still.observe(1, 1000 + 2 * kQuarter + Standstill::kPace, begin + 2h + 1min));
  EXPECT_TRUE(still.observe(1, 1000 + 2 * kQuarter + Standstill::kPace + 1, begin + 2h + 2min));
}

}  // namespace
}  // namespace vtl::service
