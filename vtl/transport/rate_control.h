// RateControl: how fast a UDT stream sends, from how fast its packets arrive and how long they
// take.
//
// Theory of operation. A model of the path in the manner of BBR (draft-ietf-ccwg-bbr): the
// bottleneck's rate is the greatest rate of delivery of the last ten round trips, the path's length
// the least round trip of the last ten seconds. Packets are paced at the bottleneck's rate, and a
// window a little above rate times round trip bounds what is on the way. A lost packet says nothing
// by itself: only when more than kToleratedLoss of what was sent in a round is lost does the model
// give way, to the rate that really arrived. A queue that stands does the same more gently.
//
//   starting   2.3 times the known rate, until it grows no more, or a queue or loss shows
//   draining   half the rate, until the queue of the start is gone
//   cruising   the rate; a tenth less while a queue stands
//   probing    a tenth more for a round trip, up to three tenths for a small stream; while that is
//              delivered, again and by more
//   yielding   a quarter less for a round trip, which empties what probing has left
//   measuring  half a window, to see the path's length: after ten seconds without a short round
//              trip, and when a queue stands at the end of two cruises, which may be a longer path
//
// UDT's acknowledgements are cumulative and come every 10 ms, so while a hole is being mended they
// tell nothing. Its loss reports do: each is sent at once by the packet behind the hole, so that
// one has arrived. What is measured is therefore the edge, the newest packet known to have arrived,
// less the packets reported lost. Packets sent again are not counted: a rate is never told too
// great.
//
// Packets are told by number, 0 for the first of a connection. Rates are packets per second.
// Thread rule: on_sent() by one thread, everything else by another, without a lock between.
// Invariants: window() >= kLeastWindow; interval() > 0 and at most kLongestInterval.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include "vtl/base/time.h"

namespace vtl::transport {

/// When each of the last packets was sent first. Thread rule: note() by one thread, the rest by
/// any.
class SentTimes {
 public:
  /// `packets`: how many are remembered at least.
  explicit SentTimes(std::size_t packets);
  void note(std::uint64_t number, Time now) noexcept;
  /// One past the newest packet that was sent.
  [[nodiscard]] std::uint64_t next() const noexcept {
    return next_.load(std::memory_order_acquire);
  }
  /// Packets sent, those sent again too.
  [[nodiscard]] std::uint64_t total() const noexcept {
    return total_.load(std::memory_order_relaxed);
  }
  /// When `number` was sent, to a microsecond; `number` is one of the last ones, `now` at most an
  /// hour later.
  [[nodiscard]] Time at(std::uint64_t number, Time now) const noexcept;

 private:
  std::size_t mask_;
  std::unique_ptr<std::atomic<std::uint32_t>[]> micros_;
  std::atomic<std::uint64_t> next_{0};
  std::atomic<std::uint64_t> total_{0};
};

/// The number of the packet with this 31-bit sequence number that is nearest to packet `near`;
/// `first` is the sequence number of packet 0, and nothing is below it.
[[nodiscard]] std::uint64_t packet_number(std::int32_t sequence, std::int32_t first,
                                          std::uint64_t near) noexcept;

class RateControl {
 public:
  enum class State : std::uint8_t {
    kStarting,
    kDraining,
    kCruising,
    kProbing,
    kYielding,
    kMeasuring
  };

  static constexpr double kToleratedLoss = 0.02;  ///< of the packets of a round
  static constexpr double kFirstWindow = 32;      ///< packets
  static constexpr double kLeastWindow = 4;       ///< packets
  static constexpr Duration kLongestInterval = 100ms;
  /// Between two acknowledgements of libudt.
  static constexpr Duration kAckInterval = 10ms;

  /// `max_window`: packets that the protocol's own window lets out at most. `phase`: any number;
  /// different ones keep streams from probing at the same moment.
  RateControl(std::size_t max_window, std::uint32_t phase, Time now);

  /// Packet `number` goes out, for the first time or again.
  void on_sent(std::uint64_t number, Time now) noexcept { sent_.note(number, now); }

  /// All packets below `next` have arrived.
  void on_acknowledged(std::uint64_t next, Time now);
  /// The packets from `first` up to and with `last` are missing, the one behind `last` has arrived.
  void on_lost(std::uint64_t first, std::uint64_t last, Time now);
  /// Nothing was heard for a time; everything unacknowledged is sent again.
  void on_timeout(Time now);

  /// Packets that may be out beyond the first that is not acknowledged.
  [[nodiscard]] double window() const noexcept { return window_; }
  /// From one packet to the next.
  [[nodiscard]] Duration interval() const noexcept { return interval_; }

  [[nodiscard]] State state() const noexcept { return state_; }
  /// The bottleneck's rate as known; 0 before anything was measured.
  [[nodiscard]] double rate() const noexcept { return rate_; }
  /// The least round trip; zero before anything was measured.
  [[nodiscard]] Duration least_round_trip() const noexcept { return least_rtt_; }
  [[nodiscard]] std::uint64_t next_sent() const noexcept { return sent_.next(); }
  [[nodiscard]] std::uint64_t lost() const noexcept { return lost_; }
  /// How often loss beyond what is tolerated made it give way.
  [[nodiscard]] std::uint64_t reductions() const noexcept { return reductions_; }

 private:
  /// What was known at a moment.
  struct Point {
    Time at{};
    std::uint64_t edge = 0;       // one past the newest packet known to have arrived
    std::uint64_t delivered = 0;  // edge less what was lost
    std::uint64_t sent = 0;       // one past the newest packet that was sent
    double allowed = 0;           // packets that pacing allowed so far
  };
  static constexpr std::size_t kPoints = 256;
  static constexpr std::size_t kRounds = 10;

  void advance_clock(Time now) noexcept;
  void on_edge(std::uint64_t edge, bool prompt, Time now);
  void take_round_trip(Duration rtt, Time now) noexcept;
  void take_rate(std::uint64_t edge, Time now) noexcept;
  void remember(Time now) noexcept;
  [[nodiscard]] const Point* known_when(Time at) const noexcept;
  void end_round(Time now);
  void judge_start(Time now) noexcept;
  void judge_loss(Time now);
  void give_way(double share, Time now);
  void scale_rate(double by) noexcept;
  void enter(State state, Time now) noexcept;
  void next_state(Time now) noexcept;
  void set_pace() noexcept;
  [[nodiscard]] double on_the_way() const noexcept;
  [[nodiscard]] double path() const noexcept;    // packets that fill the path without a queue
  [[nodiscard]] double target() const noexcept;  // packets that may be on the way
  [[nodiscard]] bool queue_stands() const noexcept;
  [[nodiscard]] Duration turn() const noexcept;

  SentTimes sent_;
  double max_window_;
  std::uint32_t phase_;
  Time clock_;
  double allowed_ = 0;

  std::uint64_t acknowledged_ = 0;
  std::uint64_t edge_ = 0;
  std::uint64_t lost_ = 0;
  std::uint64_t highest_lost_ = 0;  // one past it

  std::array<Point, kPoints> points_{};
  std::size_t points_used_ = 0;  // ever; the newest is at (points_used_ - 1) % kPoints

  std::array<double, kRounds> round_rates_{};
  std::size_t round_slot_ = 0;
  double rate_ = 0;
  double latest_rate_ = 0;  // of a sample that the path bounded, not the program

  std::uint64_t round_end_ = 0;
  Time round_began_{};
  bool round_limited_ = true;  // nothing of this round was sent as fast as it was allowed to
  Duration round_rtt_ = Duration::max();  // the least of this round
  Duration last_rtt_{0};                  // the least of the round before
  Duration least_rtt_{0};
  Time least_rtt_at_{};

  std::uint64_t judged_edge_ = 0;  // loss is judged from here on
  std::uint64_t judged_lost_ = 0;
  std::uint64_t forgiven_ = 0;  // losses below this number were answered already
  std::uint64_t muted_ = 0;     // packets below this number raise the rate no more
  std::uint64_t reductions_ = 0;
  bool repairing_ = false;  // nothing new has arrived since the last timeout
  Time repair_from_{};

  State state_ = State::kStarting;
  Time state_since_{};
  double start_rate_ = 0;  // when it last grew by a quarter
  int start_flat_ = 0;     // rounds since
  double probe_gain_ = 0;
  double probe_base_ = 0;  // the rate before the probe
  double ceiling_ = 0;     // the rate at which too much was lost; 0: none known
  int cruise_turns_ = 0;
  bool contended_ = false;    // gave way to a queue in this cruise
  bool reduced_ = false;      // gave way to loss since the last probe
  double measured_path_ = 0;  // path() before measuring
  Duration known_rtt_{0};     // least_rtt_ before measuring
  int standing_ = 0;          // cruises one after another at whose end a queue stood
  double window_;
  Duration interval_;
};

}  // namespace vtl::transport
