#include "vtl/endpoint/scoreboard.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

namespace vtl::endpoint {
namespace {

using wire::SeqNum;
using Fate = Scoreboard::Fate;

constexpr Time at(int ms) {
  return Time{Duration{std::chrono::milliseconds(ms)}};
}

void nothing(const Scoreboard::Run& /*run*/) {}

// "10s 5d 20l": sizes and fates, in order; "+" behind what was sent again.
std::string picture(const Scoreboard& board) {
  std::string out;
  for (const auto& run : board.runs()) {
    if (!out.empty()) out += ' ';
    out += std::to_string(run.size()) + "sdl"[static_cast<int>(run.fate)];
    if (run.again) out += '+';
  }
  return out;
}

class ScoreboardTest : public testing::Test {
 protected:
  // Near the wrap, so that every comparison is one of sequence numbers.
  static constexpr std::uint32_t kBase = 0xffffff00U;
  static SeqNum seq(std::uint32_t n) { return SeqNum(kBase) + n; }

  ScoreboardTest() { board_.reset(seq(0)); }
  void sent(std::uint32_t begin, std::uint32_t end, int ms) {
    board_.sent(seq(begin), seq(end), at(ms), 1ms);
  }

  Scoreboard board_;
};

TEST_F(ScoreboardTest, WhatLeavesWithinAGrainIsOneRunWithItsFirstTime) {
  sent(0, 100, 10);
  sent(100, 300, 11);
  sent(300, 400, 12);
  EXPECT_EQ(picture(board_), "300s 100s");
  EXPECT_EQ(board_.runs()[0].sent_at, at(10));
  EXPECT_EQ(board_.in_flight(), 400U);
}

TEST_F(ScoreboardTest, ABlockCutsARunAndLeavesTheFlight) {
  sent(0, 400, 1);
  std::vector<std::uint32_t> news;
  const auto note = [&](const Scoreboard::Run& run) { news.push_back(run.size()); };
  EXPECT_EQ(board_.deliver(seq(100), seq(200), note), 100U);
  EXPECT_EQ(picture(board_), "100s 100d 200s");
  EXPECT_EQ(board_.in_flight(), 300U);
  EXPECT_EQ(board_.deliver(seq(50), seq(250), note), 100U) << "half of it was known";
  EXPECT_EQ(picture(board_), "50s 200d 150s");
  EXPECT_EQ(news, (std::vector<std::uint32_t>{100, 50, 50}));
}

TEST_F(ScoreboardTest, ABlockOutsideOfWhatIsOutstandingIsCutToIt) {
  sent(0, 400, 1);
  board_.acknowledge(seq(100), nothing);
  EXPECT_EQ(board_.deliver(seq(0), seq(150), nothing), 50U);
  EXPECT_EQ(board_.deliver(seq(350), seq(1000), nothing), 50U);
  EXPECT_EQ(board_.deliver(seq(500), seq(600), nothing), 0U);
  EXPECT_EQ(picture(board_), "50d 200s 50d");
}

TEST_F(ScoreboardTest, LostIsSentAgainInPiecesAndLostAgain) {
  sent(0, 400, 1);
  EXPECT_EQ(board_.lose(seq(100), seq(300)), 200U);
  EXPECT_EQ(board_.in_flight(), 200U);
  ASSERT_TRUE(board_.first_lost());
  EXPECT_EQ(board_.first_lost()->begin, seq(100));
  sent(100, 150, 9);
  EXPECT_EQ(picture(board_), "100s 50s+ 150l 100s");
  EXPECT_EQ(board_.first_lost()->begin, seq(150));
  EXPECT_EQ(board_.lose(seq(0), seq(400)), 250U);
  EXPECT_EQ(picture(board_), "100l 50l+ 250l");
}

TEST_F(ScoreboardTest, AnAcknowledgementTellsOnlyWhatIsNews) {
  sent(0, 400, 1);
  board_.deliver(seq(100), seq(200), nothing);
  board_.lose(seq(0), seq(100));
  EXPECT_EQ(board_.acknowledge(seq(250), nothing), 150U);
  EXPECT_EQ(picture(board_), "150s");
  EXPECT_EQ(board_.lost(), 0U);
  EXPECT_EQ(board_.delivered(), 0U);
}

TEST_F(ScoreboardTest, AProbeBeyondTheEndMovesBothEnds) {
  sent(0, 100, 1);
  EXPECT_EQ(board_.acknowledge(seq(101), nothing), 100U);
  EXPECT_EQ(board_.begin(), seq(101));
  EXPECT_EQ(board_.end(), seq(101));
  sent(101, 200, 2);
  EXPECT_EQ(board_.in_flight(), 99U);
}

TEST_F(ScoreboardTest, EmptyHoldsNoMemory) {
  for (std::uint32_t i = 0; i < 50; ++i) sent(i * 10, i * 10 + 10, static_cast<int>(i) * 5);
  EXPECT_GT(board_.memory(), 0U);
  board_.acknowledge(seq(500), nothing);
  EXPECT_EQ(board_.memory(), 0U);
}

TEST_F(ScoreboardTest, ASpuriousTimeoutIsTakenBackExceptWhatWentAgain) {
  sent(0, 400, 1);
  board_.lose(seq(0), seq(400));
  sent(0, 100, 5);
  board_.find_again();
  EXPECT_EQ(picture(board_), "100s+ 300s");
}

TEST_F(ScoreboardTest, AReceiverThatRenegesIsNoticedAtTheFront) {
  sent(0, 400, 1);
  board_.deliver(seq(100), seq(400), nothing);
  EXPECT_FALSE(board_.reneged());
  board_.acknowledge(seq(100), nothing);
  EXPECT_TRUE(board_.reneged());
  board_.doubt_deliveries();
  EXPECT_EQ(picture(board_), "300s");
  EXPECT_EQ(board_.in_flight(), 300U);
}

TEST_F(ScoreboardTest, AtTheBoundBlocksThatCutAreIgnoredAndCounted) {
  constexpr std::uint32_t kAll = 100'000;
  sent(0, kAll, 1);
  std::uint32_t told = 0;
  for (std::uint32_t i = 1; i < kAll; i += 2) {
    told += board_.deliver(seq(i), seq(i + 1), nothing);
    ASSERT_LE(board_.runs().size(), Scoreboard::kMaxRuns);
  }
  EXPECT_LT(told, Scoreboard::kMaxRuns);
  EXPECT_GT(board_.ignored(), 0U);
  // What is in order still counts, and new data still finds its place.
  sent(kAll, kAll + 10, 50);
  EXPECT_EQ(board_.end(), seq(kAll + 10));
  EXPECT_EQ(board_.acknowledge(seq(kAll + 10), nothing), kAll + 10 - told);
  EXPECT_EQ(board_.in_flight(), 0U);
}

// Against one fate for each octet.
RC_GTEST_PROP(ScoreboardProperty, IsWhatOneFateForEachOctetWouldBe, ()) {
  constexpr std::uint32_t kSize = 120;
  const auto base = SeqNum(*rc::gen::arbitrary<std::uint32_t>());
  Scoreboard board;
  board.reset(base);
  std::string model(kSize, ' ');  // ' ' not sent, s, d, l; 'a' acknowledged
  std::uint32_t una = 0, nxt = 0;
  const auto count = [&](char c) {
    return static_cast<std::uint32_t>(std::count(model.begin(), model.end(), c));
  };
  const int steps = *rc::gen::inRange(1, 60);
  for (int step = 1; step <= steps; ++step) {
    const std::uint32_t a = *rc::gen::inRange<std::uint32_t>(0, kSize);
    const std::uint32_t b = *rc::gen::inRange<std::uint32_t>(a, kSize + 1);
    std::uint32_t told = 0;
    const auto sum = [&](const Scoreboard::Run& run) { told += run.size(); };
    const auto set = [&](std::string_view from, char to, std::uint32_t begin, std::uint32_t end) {
      std::uint32_t changed = 0;
      for (std::uint32_t i = std::max(begin, una); i < std::min(end, nxt); ++i) {
        if (from.find(model[i]) == std::string_view::npos) continue;
        model[i] = to;
        ++changed;
      }
      return changed;
    };
    switch (*rc::gen::inRange(0, 6)) {
      case 0: {
        const std::uint32_t end = std::min(kSize, nxt + a % 20);
        board.sent(base + nxt, base + end, at(step), 2ms);
        std::fill(model.begin() + nxt, model.begin() + end, 's');
        nxt = end;
        break;
      }
      case 1:
        RC_ASSERT(board.deliver(base + a, base + b, sum) == set("sl", 'd', a, b));
        break;
      case 2:
        RC_ASSERT(board.lose(base + a, base + b) == set("s", 'l', a, b));
        break;
      case 3: {
        if (const auto lost = board.first_lost()) {
          const auto begin = static_cast<std::uint32_t>(lost->begin - base);
          const std::uint32_t end = begin + std::max<std::uint32_t>(1, lost->size() / 2);
          board.sent(base + begin, base + end, at(step), 2ms);
          set("l", 's', begin, end);
        } else {
          RC_ASSERT(count('l') == 0U);
        }
        break;
      }
      case 4: {
        const std::uint32_t ack = std::min(std::max(a, una), nxt);
        std::uint32_t news = 0;
        for (std::uint32_t i = una; i < ack; ++i) news += model[i] != 'd' ? 1 : 0;
        RC_ASSERT(board.acknowledge(base + ack, sum) == news);
        RC_ASSERT(told == news);
        std::fill(model.begin() + una, model.begin() + ack, 'a');
        una = ack;
        break;
      }
      default:
        board.find_again();
        set("l", 's', una, nxt);
    }
    RC_ASSERT(board.in_flight() == count('s'));
    RC_ASSERT(board.delivered() == count('d'));
    RC_ASSERT(board.lost() == count('l'));
    std::uint32_t expected = una;
    for (const auto& run : board.runs()) {
      RC_ASSERT(run.begin == base + expected);
      RC_ASSERT(run.size() > 0U);
      for (std::uint32_t i = 0; i < run.size(); ++i) {
        RC_ASSERT(model[expected + i] == "sdl"[static_cast<int>(run.fate)]);
      }
      expected += run.size();
    }
    RC_ASSERT(expected == nxt);
  }
}

TEST_F(ScoreboardTest, NewDataBehindARepetition_BeginsARunOfItsOwn) {
  board_.sent(seq(0), seq(10), at(0), 10ms);
  board_.sent(seq(10), seq(20), at(2), 10ms);
  EXPECT_EQ(picture(board_), "20s");
  (void)board_.lose(seq(0), seq(5));
  board_.sent(seq(0), seq(5), at(3), 0ms);
  board_.sent(seq(20), seq(30), at(3), 10ms);
  board_.sent(seq(30), seq(40), at(4), 10ms);
  EXPECT_EQ(picture(board_), "5s+ 15s 20s");
}

TEST_F(ScoreboardTest, LostCrumbs_ReachOverWhatWasDelivered) {
  board_.sent(seq(0), seq(40), at(0), 0ms);
  (void)board_.deliver(seq(2), seq(4), nothing);
  (void)board_.deliver(seq(6), seq(20), nothing);
  (void)board_.lose(seq(0), seq(30));
  EXPECT_EQ(picture(board_), "2l 2d 2l 14d 10l 10s");
  EXPECT_EQ(board_.lost_reach(seq(0), 1), seq(1));
  EXPECT_EQ(board_.lost_reach(seq(0), 10), seq(6));
  EXPECT_EQ(board_.lost_reach(seq(0), 25), seq(25));
  EXPECT_EQ(board_.lost_reach(seq(0), 40), seq(30));
  board_.sent(seq(0), seq(6), at(1), 0ms);
  EXPECT_EQ(picture(board_), "2s+ 2d 2s+ 14d 10l 10s");
  EXPECT_EQ(board_.lost_reach(seq(20), 40), seq(30));
  EXPECT_TRUE(board_.any_again(seq(4), seq(40)));
  EXPECT_FALSE(board_.any_again(seq(6), seq(40)));
}

}  // namespace
}  // namespace vtl::endpoint
