// The rate control by itself: what it makes of single reports, and what becomes of streams that use
// it on a simulated bottleneck (rate_path.h).

#include "vtl/transport/rate_control.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/unit/transport/rate_path.h"

namespace vtl::transport::test {
namespace {

using State = RateControl::State;

/// A control that sends `count` packets, 100 us apart, from 1 s on; packet n arrives 10 ms later.
struct Sent {
  explicit Sent(std::uint64_t count) {
    for (std::uint64_t n = 0; n < count; ++n) control.on_sent(n, at(n));
  }
  static Time at(std::uint64_t number) { return Time{1s} + static_cast<int>(number) * 100us; }
  void acknowledge(std::uint64_t next) { control.on_acknowledged(next, at(next - 1) + 10ms); }
  RateControl control{1000, 0, Time{1s}};
};

TEST(RateControl, FirstReportTellsTheRoundTripAndARateThatWasReallyDelivered) {
  Sent sent(200);
  sent.acknowledge(100);
  EXPECT_EQ(sent.control.least_round_trip(), 10ms);
  sent.acknowledge(200);
  EXPECT_GT(sent.control.rate(), 0);
  EXPECT_LE(sent.control.rate(), 10'000);  // it was sent at this rate
}

TEST(RateControl, ALossReportIsNewsOfThePacketBehindTheHole) {
  Sent sent(200);
  sent.control.on_lost(40, 41, Sent::at(42) + 10ms);
  EXPECT_EQ(sent.control.least_round_trip(), 10ms);
  EXPECT_EQ(sent.control.lost(), 2);
  sent.control.on_lost(40, 41, Sent::at(42) + 11ms);  // told again: lost once
  EXPECT_EQ(sent.control.lost(), 2);
}

TEST(RateControl, ReportsOfWhatWasNeverSentAreIgnored) {
  Sent sent(10);
  const double window = sent.control.window();
  sent.control.on_acknowledged(11, Time{2s});
  sent.control.on_lost(3, 9, Time{2s});  // the packet behind it was not sent
  sent.control.on_lost(5, 4, Time{2s});
  sent.control.on_lost(0, ~std::uint64_t{0} - 2, Time{2s});
  EXPECT_EQ(sent.control.least_round_trip(), Duration::zero());
  EXPECT_EQ(sent.control.lost(), 0);
  EXPECT_EQ(sent.control.window(), window);
}

TEST(RateControl, AnAcknowledgementThatWaitedForAHoleTellsNoRoundTrip) {
  Sent sent(200);
  sent.control.on_lost(40, 40, Sent::at(41) + 10ms);
  sent.control.on_acknowledged(190, Sent::at(189) + 2ms);  // 8 ms before the path allows
  EXPECT_EQ(sent.control.least_round_trip(), 10ms);
}

TEST(RateControl, WindowAndIntervalKeepTheirBoundsWhateverHappens) {
  RateControl control(500, 1, Time{1s});
  Rng rng(3);
  Time now{1s};
  std::uint64_t next = 0;
  for (int i = 0; i < 100'000; ++i) {
    now += Duration(static_cast<std::int64_t>(rng.below(400'000)));
    const std::uint64_t number = rng.below(next + 8);
    switch (rng.below(8)) {
      case 0:
        control.on_acknowledged(number, now);
        break;
      case 1:
        control.on_lost(number, number + rng.below(4), now);
        break;
      case 2:
        if (rng.chance(0.01)) control.on_timeout(now);
        break;
      default:
        control.on_sent(next++, now);
    }
    ASSERT_GE(control.window(), RateControl::kLeastWindow);
    ASSERT_LE(control.window(), 500);
    ASSERT_GT(control.interval(), Duration::zero());
    ASSERT_LE(control.interval(), RateControl::kLongestInterval);
  }
}

TEST(RateControl, TheTimeOfSendingBoundsTheRateAWindowBack) {
  // A window is sent over 100 ms and stands somewhere for as long, then one is sent in a moment.
  RateControl control(64, 0, Time{1s});
  constexpr Duration kApart = 100ms / 64;
  for (std::uint64_t n = 0; n < 64; ++n)
    control.on_sent(n, Time{1s} + static_cast<int>(n) * kApart);
  control.on_acknowledged(64, Time{1s} + 200ms);
  for (std::uint64_t n = 64; n < 128; ++n)
    control.on_sent(n, Time{1s} + 201ms + static_cast<int>(n - 64) * 10us);
  control.on_acknowledged(128, Time{1s} + 205ms);
  EXPECT_LE(control.rate(), 64 / 0.1);
}

TEST(SentTimes, AreKeptForAsManyPacketsAsWereAskedFor) {
  SentTimes times(1000);
  for (std::uint64_t n = 0; n < 5000; ++n) times.note(n, Time{1s} + static_cast<int>(n) * 7us);
  times.note(10, Time{20s});  // sent again: its first time stays
  EXPECT_EQ(times.next(), 5000);
  for (std::uint64_t n = 4000; n < 5000; ++n)
    ASSERT_EQ(times.at(n, Time{2s}), Time{1s} + static_cast<int>(n) * 7us);
}

TEST(SequenceNumbers, GoOnBeyondTheirThirtyOneBits) {
  const std::int32_t first = 0x7ffffffe;
  EXPECT_EQ(packet_number(first, first, 0), 0);
  EXPECT_EQ(packet_number(0x7fffffff, first, 0), 1);
  EXPECT_EQ(packet_number(0, first, 1), 2);
  EXPECT_EQ(packet_number(5, first, 100), 7);
  EXPECT_EQ(packet_number(first, first, std::uint64_t{1} << 31), std::uint64_t{1} << 31);
  EXPECT_EQ(packet_number(0x7ffffffd, first, 3), 0);  // below the first: the first
}

// --- streams on a bottleneck ---

TEST(RatePath, RandomLossLeavesALongFatPathFull) {
  RatePath path({.round_trip = 60ms, .loss = 0.001});
  path.run(4s);
  path.mark();
  path.run(20s);
  EXPECT_GT(path.share(0), 0.85);
  EXPECT_LT(path.mean_queue(), 20ms);
}

TEST(RatePath, ACleanLongFatPathIsFullWithoutAQueue) {
  RatePath path({.round_trip = 60ms});
  path.run(4s);
  path.mark();
  path.run(10s);
  EXPECT_GT(path.share(0), 0.95);
  EXPECT_LT(path.mean_queue(), 10ms);
  EXPECT_LT(path.drop_share(), 0.001);
}

TEST(RatePath, AShortPathIsFull) {
  RatePath path({.round_trip = 200us, .queue = 10ms, .loss = 0.001});
  path.run(2s);
  path.mark();
  path.run(10s);
  EXPECT_GT(path.share(0), 0.85);
}

TEST(RatePath, ASlowBottleneckIsNotOverrun) {
  for (const Duration queue : {10ms, 50ms, 200ms}) {
    RatePath path({.rate_mbit = 50, .queue = queue, .loss = 0.001});
    path.run(3s);
    path.mark();
    path.run(20s);
    EXPECT_GT(path.share(0), 0.85) << queue.count();
    EXPECT_LT(path.drop_share(), 0.02) << queue.count();
    EXPECT_LT(path.mean_queue(), std::max<Duration>(queue / 2, 8ms)) << queue.count();
  }
}

TEST(RatePath, TheStartLosesLittleOfAShallowQueue) {
  RatePath path({.rate_mbit = 50, .queue = 10ms});
  path.run(2s);
  EXPECT_LT(path.drop_share(), 0.1);
  EXPECT_GT(path.share(0), 0.6);
}

TEST(RatePath, ABottleneckThatNarrowsIsFollowedDownAndUpAgain) {
  RatePath path({.rate_mbit = 400, .queue = 50ms});
  path.run(4s);
  path.set_rate(40);
  path.run(2s);
  EXPECT_LT(path.control(0).rate(), 1.1 * 40e6 / RatePath::kPacketBits);
  path.mark();
  path.run(20s);
  EXPECT_LT(path.drop_share(), 0.01);
  path.mark();
  path.run(6s);
  EXPECT_GT(path.share(0), 0.8);
  path.set_rate(400);
  path.run(10s);
  path.mark();
  path.run(6s);
  EXPECT_GT(path.share(0), 0.8);
}

TEST(RatePath, TwoStreamsShareAndTheirQueueDrains) {
  for (const double loss : {0.0, 0.001}) {
    RatePath path({.rate_mbit = 100, .queue = 50ms, .loss = loss, .senders = 2});
    path.active(1, 3s);
    path.run(12s);
    path.mark();
    path.run(20s);
    EXPECT_GT(path.share(0) + path.share(1), 0.85);
    EXPECT_GT(std::min(path.share(0), path.share(1)), 0.2);
    EXPECT_LT(path.mean_queue(), 25ms);
    EXPECT_LT(path.drop_share(), 0.02);
  }
}

TEST(RatePath, WhoIsLeftAloneTakesWhatTheOtherLeft) {
  RatePath path({.rate_mbit = 100, .queue = 50ms, .senders = 2});
  path.active(1, 0s, 8s);
  path.run(14s);
  path.mark();
  path.run(5s);
  EXPECT_GT(path.share(0), 0.85);
}

TEST(RatePath, APauseOfTheProgramIsNotTakenForASlowPath) {
  RatePath path({.rate_mbit = 100, .queue = 50ms});
  path.run(3s);
  const double rate = path.control(0).rate();
  const std::uint64_t reductions = path.control(0).reductions();
  path.active(0, 10s);
  path.run(8s);
  EXPECT_GT(path.control(0).rate(), 0.9 * rate);
  path.mark();
  path.run(2s);
  EXPECT_GT(path.share(0), 0.85);
  EXPECT_EQ(path.control(0).reductions(), reductions);
}

TEST(RatePath, LossBeyondWhatIsToleratedMakesItSlowerForAsLongAsItLasts) {
  RatePath path({.rate_mbit = 100, .loss = 0.05});
  path.run(5s);
  EXPECT_GT(path.control(0).reductions(), 0);
  EXPECT_LT(path.control(0).rate(), 100e6 / RatePath::kPacketBits);
  path.mark();
  path.run(20s);
  // What TCP would have: the root of 1.5 / loss packets in a round trip (RFC 5348 section 3.1,
  // without timeouts).
  EXPECT_GT(path.share(0), std::sqrt(1.5 / 0.05) / 0.06 * RatePath::kPacketBits / 100e6);
  path.set_loss(0);
  path.run(6s);
  path.mark();
  path.run(4s);
  EXPECT_GT(path.share(0), 0.85);
}

TEST(RatePath, AnOutageIsForgottenOnceItIsOver) {
  RatePath path({.rate_mbit = 100});
  path.run(4s);
  path.set_loss(1);
  path.run(2s);
  path.set_loss(0);
  path.run(5s);
  path.mark();
  path.run(4s);
  EXPECT_GT(path.share(0), 0.85);
}

TEST(RatePath, ABadBurstOfAStreamThatSendsLittleIsNotTakenForASlowPath) {
  RatePath path({.rate_mbit = 100, .queue = 50ms});
  path.run(3s);
  const double rate = path.control(0).rate();
  for (int burst = 0; burst < 8; ++burst) {
    path.active(0, path.elapsed() + 400ms, path.elapsed() + 430ms);
    path.set_loss(burst % 4 == 3 ? 0.2 : 0);
    path.run(600ms);
  }
  EXPECT_GT(path.control(0).reductions(), 0);
  EXPECT_GT(path.control(0).rate(), 0.6 * rate);
}

TEST(RatePath, ALongerRouteIsNotTakenForAQueueThatNeverEnds) {
  for (const Duration before : {5000ms, 5300ms, 5700ms}) {
    RatePath path({.rate_mbit = 100});
    path.run(before);
    path.set_round_trip(120ms);
    path.run(3s);
    path.mark();
    path.run(2s);
    EXPECT_GT(path.share(0), 0.8) << before.count();
    EXPECT_GE(path.control(0).least_round_trip(), 120ms);
  }
}

}  // namespace
}  // namespace vtl::transport::test
