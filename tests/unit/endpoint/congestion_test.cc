// NewReno and CUBIC by their formulas: RFC 5681 section 3.1, RFC 6928, RFC 9438 section 4.
#include "vtl/endpoint/congestion.h"

#include <gtest/gtest.h>

#include <cmath>

#include "vtl/endpoint/rtt.h"

namespace vtl::endpoint {
namespace {

constexpr std::uint32_t kMss = 1000;
constexpr Time kStart{Duration{10s}};

// A window in flight is acknowledged, segment by segment.
void round_trip(CongestionControl& control, Time now, Duration rtt = 100ms) {
  for (std::uint32_t left = control.window(); left >= kMss; left -= kMss) {
    control.on_ack(kMss, rtt, now);
  }
}

TEST(Congestion, InitialWindow_TenSegmentsOr14600Octets) {
  EXPECT_EQ(CongestionControl(Congestion::kNewReno, 1000).window(), 10'000U);
  EXPECT_EQ(CongestionControl(Congestion::kNewReno, 1460).window(), 14'600U);
  EXPECT_EQ(CongestionControl(Congestion::kNewReno, 4000).window(), 14'600U);
  EXPECT_EQ(CongestionControl(Congestion::kNewReno, 9000).window(), 18'000U);
}

TEST(Congestion, SlowStart_DoublesEachRoundTripAlsoForOneAckOfAll) {
  CongestionControl control(Congestion::kNewReno, kMss);
  EXPECT_TRUE(control.in_slow_start());
  round_trip(control, kStart);
  EXPECT_EQ(control.window(), 20'000U);
  control.on_ack(20'000, 100ms, kStart);
  EXPECT_EQ(control.window(), 40'000U);
}

TEST(NewReno, Loss_HalfTheFlightThenOneSegmentARoundTrip) {
  CongestionControl control(Congestion::kNewReno, kMss);
  control.on_ack(90'000, 100ms, kStart);
  control.on_loss(100'000);
  EXPECT_EQ(control.window(), 50'000U);
  EXPECT_EQ(control.threshold(), 50'000U);
  for (int i = 1; i <= 10; ++i) {
    round_trip(control, kStart);
    EXPECT_NEAR(control.window(), 50'000 + i * 1000, 25 * i);
  }
}

TEST(NewReno, LossOfASmallWindow_TwoSegmentsRemain) {
  CongestionControl control(Congestion::kNewReno, kMss);
  control.on_loss(1000);
  EXPECT_EQ(control.window(), 2 * kMss);
}

// A mark that is echoed after a timeout (RFC 3168 section 6.1.2).
TEST(Congestion, LossAtAWindowOfOneSegment_NotRaisedToTheThreshold) {
  CongestionControl control(Congestion::kNewReno, kMss);
  control.on_timeout(10'000, true);
  ASSERT_EQ(control.window(), kMss);
  control.on_loss(kMss);
  EXPECT_EQ(control.window(), kMss);
  EXPECT_EQ(control.threshold(), 2 * kMss);
}

TEST(Congestion, Timeout_OneSegmentAndTheThresholdOnlyOnce) {
  CongestionControl control(Congestion::kNewReno, kMss);
  control.on_timeout(100'000, true);
  EXPECT_EQ(control.window(), kMss);
  EXPECT_EQ(control.threshold(), 50'000U);
  control.on_timeout(1000, false);
  EXPECT_EQ(control.threshold(), 50'000U);
}

TEST(Congestion, Idle_BackToTheInitialWindow) {
  CongestionControl control(Congestion::kCubic, kMss);
  control.on_ack(90'000, 100ms, kStart);
  control.on_idle();
  EXPECT_EQ(control.window(), 10'000U);
}

TEST(Cubic, Loss_SevenTenthsOfTheFlight) {
  CongestionControl control(Congestion::kCubic, kMss);
  control.on_ack(90'000, 100ms, kStart);
  control.on_loss(100'000);
  EXPECT_EQ(control.window(), 70'000U);
}

TEST(Cubic, AfterALoss_TheWindowFollowsTheCubicBackToWmax) {
  CongestionControl control(Congestion::kCubic, kMss);
  control.on_ack(990'000, 100ms, kStart);
  ASSERT_EQ(control.window(), 1'000'000U);
  control.on_loss(1'000'000);
  const double w_max = 1000;
  const double k = std::cbrt((w_max - 700) / 0.4);
  Time now = kStart;
  for (int i = 0; i < 200; ++i) {
    now += 100ms;
    round_trip(control, now);
    const double t = i * 0.1;
    const double want = 0.4 * std::pow(t - k, 3) + w_max;
    // W_cubic(t + RTT) is the target at the end of the round that began at t.
    EXPECT_NEAR(control.window() / 1000.0, want, 0.02 * want + 4) << "after " << t << " s";
  }
}

TEST(Cubic, ShortRoundTripAndSmallWindow_AtLeastAsFastAsReno) {
  CongestionControl control(Congestion::kCubic, kMss);
  control.on_ack(10'000, 1ms, kStart);
  control.on_loss(20'000);
  const std::uint32_t before = control.window();
  Time now = kStart;
  for (int i = 0; i < 20; ++i) round_trip(control, now += 1ms, 1ms);
  // Reno with beta 0.7 grows by 3 * 0.3 / 1.7 segments a round trip.
  EXPECT_GE(control.window(), before + 20 * 0.5 * kMss);
}

TEST(Cubic, LossBeforeWmaxIsReachedAgain_WmaxIsLowered) {
  CongestionControl control(Congestion::kCubic, kMss);
  control.on_ack(990'000, 100ms, kStart);
  control.on_loss(1'000'000);         // W_max 1000
  control.on_loss(control.window());  // 700 < 1000: W_max 700 * 0.85 = 595
  EXPECT_NEAR(control.window(), 490'000, 1);
  // K = cbrt((595 - 490) / 0.4) = 6.4 s: then it stands at 595.
  Time now = kStart;
  round_trip(control, now);
  for (int i = 0; i < 63; ++i) round_trip(control, now += 100ms);
  EXPECT_NEAR(control.window(), 595'000, 4000);
}

TEST(Congestion, Window_NeverBeyond1GiB) {
  CongestionControl control(Congestion::kNewReno, 1460);
  for (int i = 0; i < 40; ++i) control.on_ack(control.window(), 1ms, kStart);
  EXPECT_EQ(control.window(), 1U << 30);
}

TEST(Rtt, FirstSample_ByTheFormulaOfSection2) {
  RttEstimator rtt(1s, 200ms, 120s);
  EXPECT_EQ(rtt.timeout(), 1s);
  rtt.sample(100ms);
  EXPECT_EQ(rtt.smoothed(), 100ms);
  EXPECT_EQ(rtt.timeout(), 300ms);  // RTTVAR 50 ms, 4 * 50 = the floor
  rtt.sample(200ms);
  EXPECT_EQ(rtt.smoothed(), 112'500us);
  EXPECT_EQ(rtt.timeout(), 112'500us + 4 * 62'500us);
}

TEST(Rtt, Backoff_DoublesToTheCeilingAndEndsWithASample) {
  RttEstimator rtt(1s, 200ms, 10s);
  for (const Duration want : {2s, 4s, 8s, 10s, 10s}) {
    rtt.back_off();
    EXPECT_EQ(rtt.timeout(), want);
  }
  rtt.sample(10ms);
  EXPECT_EQ(rtt.timeout(), 210ms);
}

// Section 4.2: the curve does not run on while the window is not in use.
TEST(Cubic, SmallTalk_TheCurveStandsStill) {
  const auto grown_by_bulk_after = [](Duration pause) {
    CongestionControl control(Congestion::kCubic, kMss);
    control.on_ack(90'000, 100ms, kStart);
    control.on_loss(control.window());
    Time now = kStart;
    for (int i = 0; i < 20; ++i) round_trip(control, now += 100ms);
    now += pause;
    const std::uint32_t before = control.window();
    for (int i = 0; i < 5; ++i) round_trip(control, now += 100ms);
    return control.window() - before;
  };
  EXPECT_NEAR(grown_by_bulk_after(60s), grown_by_bulk_after(0s), kMss);
}

TEST(Cubic, SmallerSegments_TheCurveIsTheSameInOctets) {
  CongestionControl control(Congestion::kCubic, kMss);
  control.on_ack(90'000, 100ms, kStart);
  control.on_loss(control.window());
  Time now = kStart;
  for (int i = 0; i < 20; ++i) round_trip(control, now += 100ms);
  const std::uint32_t before = control.window();
  control.set_mss(kMss / 2);
  round_trip(control, now += 100ms);
  EXPECT_LT(control.window(), before + 5 * kMss);
  EXPECT_GE(control.window(), before);
}

TEST(Congestion, Restore_TheThresholdComesBackAlsoWhereTheWindowGrewAgain) {
  CongestionControl control(Congestion::kNewReno, kMss);
  const CongestionControl before = control;
  control.on_loss(10'000);
  control.set_window(20'000);
  control.restore(before);
  EXPECT_EQ(control.window(), 20'000U);
  EXPECT_TRUE(control.in_slow_start());
}

}  // namespace
}  // namespace vtl::endpoint
