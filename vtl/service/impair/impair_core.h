// ImpairCore: one direction of an emulated line. Pure: packets and times in, packets and times out.
//
// Theory of operation. A frame that arrives meets, in this order: loss (a lost frame takes no
// capacity), duplication (the copy follows its original), corruption, the bottleneck, the way. The
// bottleneck is a virtual clock: `next_free` is when the line has sent all it was given; a frame
// leaves it at max(next_free, now) + octets / rate, in exact integer arithmetic, so the rate does
// not depend on when anybody looks. What the line has not sent yet is the queue; a frame that would
// exceed the limit is dropped at the tail, but an idle line takes any one frame. The way adds the
// delay plus an offset that wanders within [-jitter, +jitter]: linear between random points that
// lie 4 * jitter apart, so its slope is at most 1/2 and frames never overtake each other. A
// reordered frame takes `reorder_by` longer, while those behind it pass.
//
// Departure times never fall within the ordinary frames, nor within the reordered ones, so each
// kind waits in a plain ring and the two are merged.
//
// Thread rule: one thread. Deterministic: the same seed, frames and times give the same result.
// Invariants: a frame departs no earlier than its time; held frames <= max_frames and their buffers
// <= max_bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "vtl/base/counter.h"
#include "vtl/base/result.h"
#include "vtl/base/rng.h"
#include "vtl/base/time.h"
#include "vtl/packet/packet.h"

namespace vtl::service {

/// Burst loss: a two-state Markov chain that moves once per frame (Gilbert 1960, Elliott 1963).
struct GilbertElliott {
  double to_bad = 0;     ///< probability of good to bad, per frame; 0: no burst loss
  double to_good = 1;    ///< probability of bad to good; the mean stay in bad is 1 / to_good frames
  double loss_bad = 1;   ///< probability of loss in the bad state
  double loss_good = 0;  ///< and in the good state
};

/// One direction. Everything off by default.
struct ImpairSettings {
  Duration delay = {};
  Duration jitter = {};        ///< at most delay
  std::uint64_t rate_bps = 0;  ///< bits per second; 0: unlimited
  /// Octets that every frame takes on the line beside its own (from the Ethernet header to the last
  /// octet, padding included). An Ethernet line has 24: preamble 8, FCS 4, gap 12.
  std::uint32_t overhead = 0;
  std::optional<std::uint64_t> queue_bytes =
      std::nullopt;                                   ///< the bottleneck's limit, with overhead
  std::optional<Duration> queue_time = std::nullopt;  ///< the same as time at the rate
  double loss = 0;                                    ///< independent loss, per frame
  GilbertElliott burst = {};                          ///< beside the independent loss
  double reorder = 0;
  Duration reorder_by = 2ms;
  double duplicate = 0;
  double corrupt = 0;  ///< one random bit behind the two MAC addresses flips
  std::size_t max_frames = std::size_t{1} << 17;
  std::size_t max_bytes = std::size_t{384} << 20;  ///< of buffer memory held

  static constexpr Duration kDefaultQueue = 100ms;
};

/// What is wrong with the settings, as a person should read it.
[[nodiscard]] Outcome<void> check(const ImpairSettings& settings);

struct ImpairCounters {
  Counter frames, bytes;     ///< that arrived
  Counter lost, burst_lost;  ///< independently, and by the burst model
  Counter queue_full;        ///< at the bottleneck
  Counter bound;             ///< at max_frames or max_bytes
  Counter duplicated, reordered, corrupted;
  Counter released, held, held_bytes;
};

class ImpairCore {
 public:
  /// `settings` have passed check().
  ImpairCore(const ImpairSettings& settings, std::uint64_t seed);
  ImpairCore(const ImpairCore&) = delete;
  ImpairCore& operator=(const ImpairCore&) = delete;

  /// Takes a wire packet: no super-frame, no partial checksum. Leaves it to the caller when it is
  /// to be dropped, and returns why: kImpairLoss, kImpairQueueFull, kMemoryBound.
  [[nodiscard]] std::optional<DropReason> enqueue(Packet& packet, Time now);

  /// When the next frame departs; kNever when none is held.
  [[nodiscard]] Time poll_at() const noexcept;
  /// Appends up to `limit` frames that are due, in order of departure; returns how many.
  std::size_t dequeue(Time now, Batch& out, std::size_t limit);

  [[nodiscard]] std::size_t held() const noexcept { return line_.size() + late_.size(); }
  [[nodiscard]] const ImpairCounters& counters() const noexcept { return counters_; }

 private:
  // A ring of packets with their departure times; grows by doubling up to the bound.
  class Ring {
   public:
    [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
    [[nodiscard]] std::size_t size() const noexcept { return count_; }
    [[nodiscard]] Time front_at() const noexcept { return empty() ? kNever : slots_[head_].at; }
    void push(Packet packet, Time at);
    [[nodiscard]] Packet pop();

   private:
    struct Slot {
      Packet packet;
      Time at;
    };
    void grow();
    std::vector<Slot> slots_;
    std::size_t head_ = 0;
    std::size_t count_ = 0;
  };

  [[nodiscard]] bool lost();
  [[nodiscard]] std::optional<DropReason> send(Packet& packet, Time now);
  [[nodiscard]] std::optional<Time> through_bottleneck(std::size_t octets, Time now);
  [[nodiscard]] Duration wander(Time at);
  void corrupt(Packet& packet);

  const ImpairSettings settings_;
  std::uint64_t queue_limit_ = 0;  // octets
  Rng rng_;
  bool bad_ = false;
  Time next_free_{};
  std::uint64_t remainder_ = 0;  // of next_free_, in 1 / rate nanoseconds
  Time knot_at_{};               // the jitter's last point, and its offsets there and at the next
  Duration knot_offset_{};
  Duration next_offset_{};
  bool wandering_ = false;
  Ring line_;
  Ring late_;
  std::size_t held_bytes_ = 0;
  ImpairCounters counters_;
};

}  // namespace vtl::service
