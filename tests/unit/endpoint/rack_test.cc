#include "vtl/endpoint/rack.h"

#include <gtest/gtest.h>

namespace vtl::endpoint {
namespace {

using wire::SeqNum;

constexpr Time at(int ms) {
  return Time{Duration{std::chrono::milliseconds(1000 + ms)}};
}

// Ten segments of 100 octets, one each ms from 0 on; the round trip is 40 ms.
class RackTest : public testing::Test {
 protected:
  RackTest() {
    board_.reset(SeqNum(0));
    rack_.reset(SeqNum(0));
    for (int i = 0; i < 10; ++i) {
      board_.sent(SeqNum(0) + 100U * static_cast<unsigned>(i),
                  SeqNum(0) + 100U * static_cast<unsigned>(i + 1), at(i), Duration::zero());
    }
  }
  // Segment i is reported delivered.
  void sack(unsigned i, int ms) {
    board_.deliver(SeqNum(100 * i), SeqNum(100 * i + 100), [&](const Scoreboard::Run& run) {
      rack_.delivered(run, false, view_.min_rtt, at(ms));
    });
  }
  Rack::Verdict detect(int ms) { return rack_.detect(board_, view_, at(ms)); }

  Scoreboard board_;
  Rack rack_;
  Rack::View view_{.min_rtt = 40ms, .smoothed_rtt = 44ms};
};

TEST_F(RackTest, BeforeAnythingIsDeliveredNothingIsLost) {
  EXPECT_EQ(detect(500).lost, 0U);
  EXPECT_EQ(detect(500).check_at, kNever);
}

TEST_F(RackTest, OvertakenByOne_WaitsForAQuarterOfTheRoundTrip) {
  sack(1, 41);
  const auto verdict = detect(41);
  EXPECT_EQ(verdict.lost, 0U);
  // Sent at 0, and the segment that overtook it took 40 ms.
  EXPECT_EQ(verdict.check_at, at(50));
  EXPECT_EQ(detect(49).lost, 0U);
  EXPECT_EQ(detect(50).lost, 100U);
}

TEST_F(RackTest, Eager_WithoutReorderingTheOvertakenIsLostAtOnce) {
  view_.eager = true;
  sack(3, 43);
  EXPECT_EQ(detect(43).lost, 300U) << "what was sent later is not";
}

TEST_F(RackTest, ReorderingSeen_EagernessEnds) {
  sack(3, 43);
  sack(2, 44);  // sent once, and arrived after one that was sent later
  EXPECT_TRUE(rack_.reordering_seen());
  view_.eager = true;
  EXPECT_EQ(detect(44).lost, 0U);
}

TEST_F(RackTest, EveryReportOfDuplicatesWidensTheWindowOncePerRound) {
  sack(1, 41);
  EXPECT_EQ(rack_.reordering_window(view_), 10ms);
  rack_.duplicate_reported(SeqNum(1000));
  rack_.duplicate_reported(SeqNum(1000));
  EXPECT_EQ(rack_.reordering_window(view_), 20ms);
  rack_.acknowledged(SeqNum(1000));
  rack_.duplicate_reported(SeqNum(2000));
  EXPECT_EQ(rack_.reordering_window(view_), 30ms);
  for (int i = 0; i < 16; ++i) rack_.recovery_ended();
  EXPECT_EQ(rack_.reordering_window(view_), 10ms) << "after sixteen recoveries without a report";
}

TEST_F(RackTest, TheWindowIsBoundedByTheSmoothedRoundTrip) {
  for (unsigned i = 0; i < 100; ++i) {
    rack_.duplicate_reported(SeqNum(1000 * i + 1000));
    rack_.acknowledged(SeqNum(1000 * i + 1000));
  }
  EXPECT_EQ(rack_.reordering_window(view_), 44ms);
}

TEST_F(RackTest, ALostRetransmissionIsFoundByWhatWasSentAfterIt) {
  view_.eager = true;
  sack(3, 43);
  ASSERT_EQ(detect(43).lost, 300U);
  board_.sent(SeqNum(0), SeqNum(100), at(43), Duration::zero());
  board_.sent(SeqNum(100), SeqNum(200), at(44), Duration::zero());
  sack(1, 84);  // the second of them arrived, the first did not
  EXPECT_EQ(detect(84).lost, 100U + 600U);
  EXPECT_EQ(board_.first_lost()->begin, SeqNum(0));
}

TEST_F(RackTest, ADeliveryTooFastForTheRetransmissionSaysNothingOfItsTime) {
  view_.eager = true;
  sack(3, 43);
  ASSERT_EQ(detect(43).lost, 300U);
  board_.sent(SeqNum(0), SeqNum(100), at(43), Duration::zero());
  sack(0, 50);  // seven ms after: it was the first sending that arrived
  EXPECT_EQ(detect(50).lost, 0U) << "segments 4 to 9 were sent after what is known to have arrived";
}

// A path without length: the segment that goes again leaves at the time at which a later one was
// reported.
TEST_F(RackTest, WhatLeavesNowIsNotLostNow) {
  view_ = {.min_rtt = Duration{1}, .smoothed_rtt = Duration{1}, .eager = true};
  sack(9, 9);
  ASSERT_EQ(detect(9).lost, 900U);
  board_.sent(SeqNum(0), SeqNum(100), at(9), Duration::zero());
  EXPECT_EQ(detect(9).lost, 0U);
}

}  // namespace
}  // namespace vtl::endpoint
