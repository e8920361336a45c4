#include "vtl/service/impair/impair_core.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace vtl::service {
namespace {

constexpr Time kStart{10s};
constexpr std::size_t kFrame = 1500;

// Feeds a core numbered frames and keeps when each came out.
class Line {
 public:
  explicit Line(const ImpairSettings& settings, std::uint64_t seed = 1) : core_(settings, seed) {}
  ~Line() {
    Batch rest;
    core_.dequeue(kNever, rest, ~std::size_t{0});
  }

  std::optional<DropReason> send(std::uint32_t number, Time now, std::size_t size = kFrame) {
    Packet packet = pool_.allocate(size);
    std::fill(packet.mutable_bytes().begin(), packet.mutable_bytes().end(), std::uint8_t{0});
    store_be32(packet.mutable_bytes(), 12, number);
    return core_.enqueue(packet, now);
  }

  struct Arrival {
    std::uint32_t number;
    Time at;
  };
  /// Runs the clock to `until`, looking exactly when the core asks for it.
  std::vector<Arrival> run(Time until = kNever) {
    std::vector<Arrival> arrivals;
    Batch out;
    while (core_.poll_at() <= until && core_.held() > 0) {
      const Time now = core_.poll_at();
      EXPECT_GT(core_.dequeue(now, out, 64), 0U) << "poll_at said now";
      for (const auto& p : out) arrivals.push_back({load_be32(p.bytes(), 12), now});
      out.clear();
    }
    return arrivals;
  }

  PacketPool& pool() { return pool_; }
  ImpairCore& core() { return core_; }
  const ImpairCounters& counters() { return core_.counters(); }

 private:
  PacketPool pool_;
  ImpairCore core_;
};

// The standard deviation of how many of n independent events of probability p happen.
double deviation(double n, double p) {
  return std::sqrt(n * p * (1 - p));
}

TEST(ImpairCore, WithEverythingOffAFrameIsDueAtOnce) {
  Line line({});
  EXPECT_EQ(line.send(1, kStart), std::nullopt);
  EXPECT_EQ(line.core().poll_at(), kStart);
  EXPECT_EQ(line.run().size(), 1U);
  EXPECT_EQ(line.core().poll_at(), kNever);
  EXPECT_EQ(line.pool().bytes_in_use(), 0U);
}

TEST(ImpairCore, DelayIsExact) {
  Line line({.delay = 30ms});
  ASSERT_EQ(line.send(1, kStart), std::nullopt);
  ASSERT_EQ(line.send(2, kStart + 7us), std::nullopt);
  Batch early;
  EXPECT_EQ(line.core().dequeue(kStart + 30ms - 1ns, early, 64), 0U);
  const auto arrivals = line.run();
  ASSERT_EQ(arrivals.size(), 2U);
  EXPECT_EQ(arrivals[0].at, kStart + 30ms);
  EXPECT_EQ(arrivals[1].at, kStart + 30ms + 7us);
}

TEST(ImpairCore, RateIsExactHoweverSeldomAnyoneLooks) {
  // Frames of 66 octets at 3 Gbit/s: 176 ns each, so rounding per frame would show.
  Line line({.rate_bps = 3'000'000'000, .queue_time = 10s});
  constexpr std::uint32_t kFrames = 30000;
  for (std::uint32_t i = 0; i < kFrames; ++i) ASSERT_EQ(line.send(i, kStart, 66), std::nullopt);
  const auto arrivals = line.run();
  ASSERT_EQ(arrivals.size(), kFrames);
  EXPECT_EQ(arrivals.front().at, kStart + 176ns);
  EXPECT_EQ(arrivals.back().at, kStart + 176ns * kFrames);
}

TEST(ImpairCore, RateCountsTheFramesOctetsAndTheOverhead) {
  Line line({.rate_bps = 1'000'000, .overhead = 24});
  ASSERT_EQ(line.send(1, kStart, 101), std::nullopt);
  EXPECT_EQ(line.core().poll_at(), kStart + 1ms) << "125 octets at 1 Mbit/s";
}

TEST(ImpairCore, IdleLineSavesNoCapacity) {
  Line line({.rate_bps = 12'000'000});  // 1500 octets in 1 ms
  ASSERT_EQ(line.send(1, kStart), std::nullopt);
  ASSERT_EQ(line.send(2, kStart + 10ms), std::nullopt);
  ASSERT_EQ(line.send(3, kStart + 10ms), std::nullopt);
  const auto arrivals = line.run();
  ASSERT_EQ(arrivals.size(), 3U);
  EXPECT_EQ(arrivals[1].at, kStart + 11ms);
  EXPECT_EQ(arrivals[2].at, kStart + 12ms);
}

TEST(ImpairCore, QueueLimitInBytesDropsAtTheTail) {
  Line line({.rate_bps = 12'000'000, .queue_bytes = 4500});
  std::size_t taken = 0;
  for (std::uint32_t i = 0; i < 10; ++i) taken += line.send(i, kStart) == std::nullopt ? 1 : 0;
  EXPECT_EQ(taken, 3U);
  EXPECT_EQ(line.send(10, kStart), DropReason::kImpairQueueFull);
  EXPECT_EQ(line.counters().queue_full.value(), 8U);
  EXPECT_EQ(line.send(11, kStart + 1ms), std::nullopt) << "one has been sent since";
  const auto arrivals = line.run();
  ASSERT_EQ(arrivals.size(), 4U);
  EXPECT_EQ(arrivals[3].number, 11U);
}

TEST(ImpairCore, QueueLimitAsTimeIsThatTimeAtTheRate) {
  Line line({.rate_bps = 12'000'000, .queue_time = 20ms});
  std::size_t taken = 0;
  for (std::uint32_t i = 0; i < 100; ++i) taken += line.send(i, kStart) == std::nullopt ? 1 : 0;
  EXPECT_EQ(taken, 20U);
  EXPECT_EQ(line.run().back().at, kStart + 20ms);
}

TEST(ImpairCore, IdleLineTakesAFrameLargerThanTheQueue) {
  Line line({.rate_bps = 12'000'000, .queue_bytes = 0});
  EXPECT_EQ(line.send(1, kStart), std::nullopt);
  EXPECT_EQ(line.send(2, kStart), DropReason::kImpairQueueFull);
}

TEST(ImpairCore, DelayDoesNotFillTheQueue) {
  Line line({.delay = 1s, .rate_bps = 12'000'000, .queue_bytes = 1500});
  for (std::uint32_t i = 0; i < 100; ++i) {
    ASSERT_EQ(line.send(i, kStart + i * 1ms), std::nullopt) << i;
  }
  EXPECT_EQ(line.core().held(), 100U);
}

TEST(ImpairCore, LossIsInsideItsConfidenceInterval) {
  constexpr std::uint32_t kFrames = 200000;
  for (const double p : {0.001, 0.01, 0.3}) {
    Line line({.loss = p}, 42);
    std::uint32_t lost = 0;
    for (std::uint32_t i = 0; i < kFrames; ++i) {
      const auto dropped = line.send(i, kStart, 64);
      if (dropped) {
        EXPECT_EQ(*dropped, DropReason::kImpairLoss);
        ++lost;
      }
      line.run();
    }
    // 99.9 %: 3.29 deviations.
    EXPECT_NEAR(lost, kFrames * p, 3.29 * deviation(kFrames, p)) << p;
    EXPECT_EQ(line.counters().lost.value(), lost);
  }
}

TEST(ImpairCore, LossOfOneLosesEverything) {
  Line line({.loss = 1});
  for (std::uint32_t i = 0; i < 100; ++i) EXPECT_EQ(line.send(i, kStart), DropReason::kImpairLoss);
}

TEST(ImpairCore, GilbertElliottHasItsShareAndItsBurstLength) {
  constexpr std::uint32_t kFrames = 400000;
  const GilbertElliott model{.to_bad = 0.01, .to_good = 0.25};
  Line line({.burst = model}, 7);
  std::uint32_t lost = 0;
  std::uint32_t bursts = 0;
  bool before = false;
  for (std::uint32_t i = 0; i < kFrames; ++i) {
    const bool now = line.send(i, kStart, 64).has_value();
    lost += now ? 1 : 0;
    bursts += now && !before ? 1 : 0;
    before = now;
    line.run();
  }
  // Bursts are geometric with mean 1 / to_good = 4 and variance (1 - r) / r^2 = 12; there is one
  // every 1 / to_bad + 1 / to_good = 104 frames.
  const double mean = static_cast<double>(lost) / bursts;
  EXPECT_NEAR(mean, 4.0, 3.29 * std::sqrt(12.0 / bursts));
  EXPECT_NEAR(static_cast<double>(lost) / kFrames, 4.0 / 104.0, 0.1 * 4.0 / 104.0);
  EXPECT_EQ(line.counters().burst_lost.value(), lost);
  EXPECT_EQ(line.counters().lost.value(), 0U);
}

TEST(ImpairCore, GilbertElliottLosesWithinTheStatesByTheirOwnProbability) {
  constexpr std::uint32_t kFrames = 200000;
  // Half the time in each state on the mean, short stays.
  Line line({.burst = {.to_bad = 0.5, .to_good = 0.5, .loss_bad = 0.4, .loss_good = 0.1}}, 3);
  std::uint32_t lost = 0;
  for (std::uint32_t i = 0; i < kFrames; ++i) {
    lost += line.send(i, kStart, 64) ? 1 : 0;
    line.run();
  }
  EXPECT_NEAR(lost, kFrames * 0.25, 3.29 * deviation(kFrames, 0.25));
}

TEST(ImpairCore, JitterStaysWithinItsBoundsAndKeepsTheOrder) {
  Line line({.delay = 20ms, .jitter = 5ms}, 11);
  constexpr std::uint32_t kFrames = 20000;
  std::vector<Duration> delays;
  std::uint32_t expected = 0;
  Time now = kStart;
  std::vector<Time> sent;
  const auto collect = [&](const std::vector<Line::Arrival>& arrivals) {
    for (const auto& a : arrivals) {
      ASSERT_EQ(a.number, expected++);
      delays.push_back(a.at - sent[a.number]);
    }
  };
  for (std::uint32_t i = 0; i < kFrames; ++i, now += 100us) {
    sent.push_back(now);
    ASSERT_EQ(line.send(i, now), std::nullopt);
    collect(line.run(now));
  }
  collect(line.run());
  ASSERT_EQ(delays.size(), kFrames);
  const auto [least, most] = std::minmax_element(delays.begin(), delays.end());
  EXPECT_GE(*least, 15ms);
  EXPECT_LE(*most, 25ms);
  EXPECT_GT(*most - *least, 8ms) << "it does wander";
  double sum = 0;
  for (const auto d : delays) sum += static_cast<double>(d.count());
  EXPECT_NEAR(sum / kFrames, 20e6, 1e6);
}

TEST(ImpairCore, JitterAfterSilenceStaysWithinItsBoundsToo) {
  Line line({.delay = 20ms, .jitter = 20ms}, 5);
  Time now = kStart;
  for (std::uint32_t i = 0; i < 500; ++i, now += 1s + i * 3ms) {
    ASSERT_EQ(line.send(i, now), std::nullopt);
    const auto arrivals = line.run();
    ASSERT_EQ(arrivals.size(), 1U);
    EXPECT_GE(arrivals[0].at, now);
    EXPECT_LE(arrivals[0].at, now + 40ms);
  }
}

TEST(ImpairCore, ReorderedFramesComeLaterByTheirTime) {
  Line line({.delay = 10ms, .reorder = 0.05, .reorder_by = 1ms}, 9);
  constexpr std::uint32_t kFrames = 20000;
  std::uint32_t late = 0;
  std::uint32_t overtaken = 0;
  std::uint32_t highest = 0;
  std::vector<Line::Arrival> arrivals;
  for (std::uint32_t i = 0; i < kFrames; ++i) {
    const Time now = kStart + i * 100us;
    ASSERT_EQ(line.send(i, now, 64), std::nullopt);
    const auto some = line.run(now);
    arrivals.insert(arrivals.end(), some.begin(), some.end());
  }
  const auto rest = line.run();
  arrivals.insert(arrivals.end(), rest.begin(), rest.end());
  ASSERT_EQ(arrivals.size(), kFrames);
  for (const auto& a : arrivals) {
    const Duration took = a.at - (kStart + a.number * 100us);
    if (took == 11ms) {
      ++late;
    } else {
      ASSERT_EQ(took, 10ms);
    }
    overtaken += a.number < highest ? 1 : 0;
    highest = std::max(highest, a.number);
  }
  EXPECT_NEAR(late, kFrames * 0.05, 3.29 * deviation(kFrames, 0.05));
  EXPECT_EQ(line.counters().reordered.value(), late);
  EXPECT_GT(overtaken, late / 2);
}

TEST(ImpairCore, DuplicatesFollowTheirOriginal) {
  Line line({.duplicate = 0.1}, 13);
  constexpr std::uint32_t kFrames = 10000;
  std::vector<Line::Arrival> arrivals;
  for (std::uint32_t i = 0; i < kFrames; ++i) {
    ASSERT_EQ(line.send(i, kStart, 64), std::nullopt);
    const auto some = line.run();
    arrivals.insert(arrivals.end(), some.begin(), some.end());
  }
  const double twice = static_cast<double>(arrivals.size()) - kFrames;
  EXPECT_NEAR(twice, kFrames * 0.1, 3.29 * deviation(kFrames, 0.1));
  EXPECT_EQ(static_cast<double>(line.counters().duplicated.value()), twice);
  EXPECT_TRUE(std::is_sorted(arrivals.begin(), arrivals.end(),
                             [](const auto& a, const auto& b) { return a.number < b.number; }));
}

TEST(ImpairCore, CorruptionFlipsOneBitBehindTheAddressesAndClaimsNoChecksum) {
  Line line({.corrupt = 1}, 17);
  std::vector<bool> hit(64);
  for (int i = 0; i < 3000; ++i) {
    Packet packet = line.pool().allocate(64);
    std::fill(packet.mutable_bytes().begin(), packet.mutable_bytes().end(), std::uint8_t{0});
    packet.meta().checksum.kind = ChecksumKind::kVerified;
    ASSERT_EQ(line.core().enqueue(packet, kStart), std::nullopt);
    Batch out;
    ASSERT_EQ(line.core().dequeue(kStart, out, 1), 1U);
    int bits = 0;
    for (std::size_t at = 0; at < 64; ++at) {
      const int here = std::popcount(out[0].bytes()[at]);
      bits += here;
      if (here > 0) hit[at] = true;
    }
    ASSERT_EQ(bits, 1);
    EXPECT_EQ(out[0].meta().checksum.kind, ChecksumKind::kComplete);
  }
  EXPECT_EQ(std::count(hit.begin(), hit.begin() + 12, true), 0);
  EXPECT_EQ(std::count(hit.begin() + 12, hit.end(), true), 52);
}

TEST(ImpairCore, CorruptionLeavesFramesOfOnlyAddressesAlone) {
  Line line({.corrupt = 1});
  Packet packet = line.pool().allocate(12);
  EXPECT_EQ(line.core().enqueue(packet, kStart), std::nullopt);
  EXPECT_EQ(line.counters().corrupted.value(), 0U);
}

TEST(ImpairCore, MemoryBoundDropsAndCounts) {
  Line line({.delay = 1s, .max_frames = 10});
  for (std::uint32_t i = 0; i < 10; ++i) ASSERT_EQ(line.send(i, kStart), std::nullopt);
  EXPECT_EQ(line.send(10, kStart), DropReason::kMemoryBound);
  EXPECT_EQ(line.counters().bound.value(), 1U);
  EXPECT_EQ(line.run().size(), 10U);
  EXPECT_EQ(line.send(11, kStart + 2s), std::nullopt);
}

TEST(ImpairCore, HeldBytesCountTheBuffersAndReturnToZero) {
  Line line({.delay = 1s, .max_bytes = 10000});
  std::uint32_t taken = 0;
  while (line.send(taken, kStart, 100) == std::nullopt) ++taken;
  EXPECT_LT(taken, 10U) << "a frame of 100 octets holds a whole buffer";
  EXPECT_GT(taken, 1U);
  EXPECT_LE(line.counters().held_bytes.value(), 10000U);
  line.run();
  EXPECT_EQ(line.counters().held_bytes.value(), 0U);
  EXPECT_EQ(line.counters().held.value(), 0U);
}

// What everything together does to 20000 frames.
std::vector<std::pair<std::uint32_t, Time>> everything(std::uint64_t seed) {
  Line line({.delay = 10ms,
             .jitter = 3ms,
             .rate_bps = 100'000'000,
             .queue_time = 5ms,
             .loss = 0.01,
             .burst = {.to_bad = 0.001, .to_good = 0.2},
             .reorder = 0.01,
             .duplicate = 0.01,
             .corrupt = 0.01},
            seed);
  std::vector<std::pair<std::uint32_t, Time>> out;
  Time now = kStart;
  for (std::uint32_t i = 0; i < 20000; ++i) {
    now += (i % 100 == 0) ? 11ms : 10us;
    static_cast<void>(line.send(i, now));
    for (const auto& a : line.run(now)) out.emplace_back(a.number, a.at);
  }
  for (const auto& a : line.run()) out.emplace_back(a.number, a.at);
  return out;
}

TEST(ImpairCore, SameSeedGivesTheSameResult) {
  const auto first = everything(5);
  EXPECT_GT(first.size(), 5000U);
  EXPECT_EQ(first, everything(5));
  EXPECT_NE(first, everything(6));
}

TEST(ImpairCore, CheckNamesTheWrongSetting) {
  const auto wrong = [](const ImpairSettings& s) {
    const auto ok = check(s);
    return ok ? std::string() : ok.error().message;
  };
  EXPECT_EQ(wrong({}), "");
  EXPECT_EQ(wrong({.loss = 1.5}), "loss is a probability between 0 and 1, not 1.5");
  EXPECT_NE(wrong({.burst = {.to_bad = -1}}), "");
  EXPECT_NE(wrong({.loss = std::nan("")}), "");
  EXPECT_NE(wrong({.delay = -1ms}), "");
  EXPECT_NE(wrong({.delay = 1ms, .jitter = 2ms}), "");
  EXPECT_NE(wrong({.queue_time = 1ms}), "");
  EXPECT_NE(wrong({.rate_bps = 1, .queue_bytes = 1, .queue_time = 1ms}), "");
  EXPECT_NE(wrong({.max_frames = 0}), "");
}

}  // namespace
}  // namespace vtl::service
