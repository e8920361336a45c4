#include "vtl/transport/rate_control.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>

namespace vtl::transport {
namespace {

using Seconds = std::chrono::duration<double>;
using Micros = std::chrono::duration<std::uint32_t, std::micro>;

// Gains: of the pace over the known rate.
constexpr double kStartGain = 2.3;
constexpr double kDrainGain = 0.5;
constexpr double kQueueGain = 0.9;
constexpr double kProbeGain = 1.1;
constexpr double kProbeExtra =
    0.75;  // over the root of the packets on the path: small streams gain
constexpr double kProbeGrowth = 1.25;  // of the gain after a probe that found more
constexpr double kGentleGain = 1.01;   // where more has been lost before
constexpr double kYieldGain = 0.75;

constexpr double kWindowGain = 1.25;
constexpr double kStartGrowth = 1.25;  // a round that brought less did not grow
constexpr int kStartFlat = 3;          // so many of those, and the path is full
constexpr double kLossGain = 0.85;     // what loss leaves of the rate
constexpr double kLeastShare = 0.1;    // what more of it leaves at least
constexpr double kTimeoutGain = 0.5;
constexpr double kHeavyLoss = 0.1;  // answered again before the next probe
constexpr double kLimited = 0.8;    // less than this share of what was allowed: nobody had more

constexpr double kLeastSample = 256;  // packets over which loss is judged
constexpr double kLeastLost = 8;

constexpr Duration kShortestSample = 2ms;
constexpr Duration kShortestTurn = 12ms;  // an acknowledgement must come in it
constexpr Duration kHostSlack = 4ms;      // a host's scheduling, in the window
constexpr Duration kQueueFloor = 5ms;
constexpr int kQueueShare = 8;  // of the round trip: a queue longer than this is too long
constexpr int kCruiseTurns = 6;
constexpr int kStanding = 2;  // cruises at whose end a queue stands: it may be the path that grew
constexpr Duration kLeastStale = 10s;
constexpr Duration kMeasure = 200ms;
constexpr Duration kRefresh = 200us;  // a round trip this near to the least confirms it

double seconds(Duration d) {
  return Seconds(d).count();
}

/// The longest queue that does not count as standing.
Duration queue_bound(Duration round_trip) {
  return std::max<Duration>(kQueueFloor, round_trip / kQueueShare);
}

}  // namespace

// --- SentTimes ---

SentTimes::SentTimes(std::size_t packets)
    : mask_(std::bit_ceil(std::max<std::size_t>(packets, 64)) - 1),
      micros_(std::make_unique<std::atomic<std::uint32_t>[]>(mask_ + 1)) {}

void SentTimes::note(std::uint64_t number, Time now) noexcept {
  total_.store(total_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  if (number < next_.load(std::memory_order_relaxed)) return;
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch());
  micros_[number & mask_].store(static_cast<std::uint32_t>(micros.count()),
                                std::memory_order_relaxed);
  next_.store(number + 1, std::memory_order_release);
}

Time SentTimes::at(std::uint64_t number, Time now) const noexcept {
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch());
  const std::uint32_t age = static_cast<std::uint32_t>(micros.count()) -
                            micros_[number & mask_].load(std::memory_order_relaxed);
  return now - Micros(age);
}

// --- RateControl ---

std::uint64_t packet_number(std::int32_t sequence, std::int32_t first,
                            std::uint64_t near) noexcept {
  constexpr std::uint32_t kSequences = std::uint32_t{1} << 31;
  const std::uint32_t distance =
      (static_cast<std::uint32_t>(sequence) - static_cast<std::uint32_t>(first) -
       static_cast<std::uint32_t>(near)) %
      kSequences;
  if (distance < kSequences / 2) return near + distance;
  const std::uint64_t back = kSequences - distance;
  return near >= back ? near - back : 0;
}

RateControl::RateControl(std::size_t max_window, std::uint32_t phase, Time now)
    : sent_(2 * max_window),  // a sample begins a window before what it ends with
      max_window_(std::max(kLeastWindow, static_cast<double>(max_window))),
      phase_(phase),
      clock_(now),
      least_rtt_at_(now),
      state_since_(now),
      window_(kFirstWindow),
      interval_(1us) {
  remember(now);
  set_pace();
}

void RateControl::on_acknowledged(std::uint64_t next, Time now) {
  if (next <= acknowledged_ || next > sent_.next()) return;
  advance_clock(now);
  const bool prompt = highest_lost_ <= acknowledged_;  // else it waited for a hole to be mended
  acknowledged_ = next;
  repair_from_ = now;
  if (next > edge_) on_edge(next, prompt, now);
  next_state(now);
  set_pace();
}

void RateControl::on_lost(std::uint64_t first, std::uint64_t last, Time now) {
  const std::uint64_t edge = last + 2;  // the packet behind the hole is what reported it
  if (first > last || edge > sent_.next()) return;
  advance_clock(now);
  const std::uint64_t news = std::max({first, highest_lost_, acknowledged_});
  if (news <= last) {
    lost_ += last + 1 - news;
    highest_lost_ = last + 1;
    if (news < forgiven_) judged_lost_ += std::min(last + 1, forgiven_) - news;
  }
  if (edge > edge_) on_edge(edge, true, now);
  judge_loss(now);
  next_state(now);
  set_pace();
}

// libudt sends all again that is not acknowledged, which is not answered before it has filled the
// first hole. What is silent for longer than that takes is lost, too.
void RateControl::on_timeout(Time now) {
  advance_clock(now);
  forgiven_ = sent_.next();
  const Duration again = interval_ * static_cast<int>(std::min<std::uint64_t>(
                                         forgiven_ - acknowledged_, std::uint64_t{1} << 20));
  if (!repairing_) {
    repairing_ = true;
    repair_from_ = now;
  } else if (now - repair_from_ > again + 2 * turn()) {
    scale_rate(kTimeoutGain);
    repair_from_ = now;
  }
  set_pace();
}

void RateControl::scale_rate(double by) noexcept {
  for (double& rate : round_rates_) rate *= by;
  rate_ *= by;
}

void RateControl::advance_clock(Time now) noexcept {
  if (now <= clock_) return;
  allowed_ += seconds(now - clock_) / seconds(interval_);
  clock_ = now;
}

void RateControl::on_edge(std::uint64_t edge, bool prompt, Time now) {
  edge_ = edge;
  if (prompt) take_round_trip(now - sent_.at(edge - 1, now), now);
  take_rate(edge, now);
  remember(now);
  if (edge >= round_end_ && now - round_began_ >= kAckInterval) end_round(now);
}

void RateControl::take_round_trip(Duration rtt, Time now) noexcept {
  round_rtt_ = std::min(round_rtt_, rtt);
  if (least_rtt_ == Duration::zero() || rtt <= least_rtt_) {
    least_rtt_ = std::max<Duration>(rtt, 1us);
    least_rtt_at_ = now;
  } else if (rtt <= least_rtt_ + least_rtt_ / 32 + kRefresh) {
    least_rtt_at_ = now;
  }
}

// Over what arrived since the newest packet was sent: the interval is at least a round trip. Taken
// over the longer of sending and arriving, neither a stall nor what catches up after it counts as
// speed.
void RateControl::take_rate(std::uint64_t edge, Time now) noexcept {
  const Time sent = sent_.at(edge - 1, now);
  const Point* then = known_when(std::min(sent, now - kShortestSample));
  if (then == nullptr || edge <= then->edge) return;
  const Time first = sent_.at(then->edge > 0 ? then->edge - 1 : 0, now);
  const double span = seconds(std::max(now - then->at, sent - first));
  const double arrived = static_cast<double>(edge - lost_) - static_cast<double>(then->delivered);
  if (span <= 0 || arrived <= 0) return;
  const bool limited =
      static_cast<double>(sent_.next() - then->sent) < kLimited * (allowed_ - then->allowed) &&
      on_the_way() < kLimited * target();
  const double rate = arrived / span;
  if (!limited) round_limited_ = false;
  if (limited && rate <= rate_) return;
  latest_rate_ = rate;
  if (edge <= muted_) return;
  round_rates_[round_slot_] = std::max(round_rates_[round_slot_], rate);
  rate_ = *std::ranges::max_element(round_rates_);
}

void RateControl::remember(Time now) noexcept {
  const Duration apart = std::max<Duration>(500us, least_rtt_ / 64);
  if (points_used_ > 0 && now - points_[(points_used_ - 1) % kPoints].at < apart) return;
  points_[points_used_++ % kPoints] = {now, edge_, edge_ - lost_, sent_.next(), allowed_};
}

const RateControl::Point* RateControl::known_when(Time at) const noexcept {
  const std::size_t kept = std::min(points_used_, kPoints);
  for (std::size_t back = 1; back <= kept; ++back) {
    const Point& point = points_[(points_used_ - back) % kPoints];
    if (point.at <= at) return &point;
  }
  return nullptr;
}

void RateControl::end_round(Time now) {
  round_end_ = sent_.next();
  repairing_ = false;
  round_began_ = now;
  last_rtt_ = round_rtt_;
  round_rtt_ = Duration::max();
  if (state_ == State::kCruising && !contended_ && now - state_since_ >= 2 * turn() &&
      queue_stands()) {
    contended_ = true;  // not our own probe: others need room
    scale_rate(kQueueGain);
  }
  if (!round_limited_) {
    if (state_ == State::kStarting) judge_start(now);
    round_slot_ = (round_slot_ + 1) % kRounds;
    round_rates_[round_slot_] = 0;
    round_limited_ = true;
  }
  if (static_cast<double>(edge_ - judged_edge_) >= std::max(kLeastSample, path())) {
    judged_edge_ = edge_;
    judged_lost_ = lost_;
  }
}

void RateControl::judge_start(Time now) noexcept {
  if (rate_ >= start_rate_ * kStartGrowth) {
    start_rate_ = rate_;
    start_flat_ = 0;
  } else {
    ++start_flat_;
  }
  if (start_flat_ >= kStartFlat || queue_stands()) enter(State::kDraining, now);
}

void RateControl::judge_loss(Time now) {
  const double lost = static_cast<double>(lost_ - judged_lost_);
  const double of = std::max({static_cast<double>(edge_ - judged_edge_), kLeastSample, path()});
  if (lost < kLeastLost || lost <= kToleratedLoss * of) return;
  give_way(lost / static_cast<double>(std::max<std::uint64_t>(edge_ - judged_edge_, 1)), now);
}

void RateControl::give_way(double share, Time now) {
  if (reduced_ && share < kHeavyLoss) return;
  ++reductions_;
  reduced_ = true;
  forgiven_ = sent_.next();  // what was sent until now was sent too fast; it is answered once
  judged_edge_ = edge_;
  judged_lost_ = lost_;
  if (state_ == State::kStarting) {
    enter(State::kDraining, now);
    return;
  }
  muted_ = forgiven_;
  ceiling_ = rate_;
  const bool heavy = share >= kHeavyLoss && rate_ > 0;
  scale_rate(heavy ? std::clamp(latest_rate_ / rate_, kLeastShare, kLossGain) : kLossGain);
  enter(State::kYielding, now);
}

void RateControl::enter(State state, Time now) noexcept {
  state_ = state;
  state_since_ = now;
  if (state == State::kCruising) {
    probe_gain_ = kProbeGain + kProbeExtra / std::sqrt(std::max(path(), 16.0));
    phase_ = phase_ * 1664525 + 1013904223;  // any sequence that differs between streams
    contended_ = false;
    cruise_turns_ = kCruiseTurns + static_cast<int>((phase_ >> 16) % 4);
  } else if (state == State::kProbing) {
    probe_base_ = rate_;
    const double gentle = kGentleGain + kProbeExtra / std::sqrt(std::max(path(), 16.0));
    if (ceiling_ > 0 && probe_gain_ * rate_ > ceiling_)
      probe_gain_ = std::clamp(ceiling_ / rate_, std::min(gentle, probe_gain_), probe_gain_);
    reduced_ = false;
  } else if (state == State::kMeasuring) {
    measured_path_ = path();
    known_rtt_ = least_rtt_;
    least_rtt_ = Duration::zero();
    standing_ = 0;
  }
}

void RateControl::next_state(Time now) noexcept {
  const Duration since = now - state_since_;
  switch (state_) {
    case State::kStarting:
      return;
    case State::kDraining:
    case State::kYielding:
      if (on_the_way() <= path() || since >= (state_ == State::kDraining ? 3 : 1) * turn())
        enter(State::kCruising, now);
      return;
    case State::kCruising:
      if (since >= cruise_turns_ * turn()) {
        standing_ = queue_stands() ? standing_ + 1 : 0;
        enter(State::kProbing, now);
      }
      if (now - least_rtt_at_ > kLeastStale || standing_ >= kStanding)
        enter(State::kMeasuring, now);
      return;
    case State::kProbing:
      if (since < 2 * turn()) return;  // one to send more, one to hear of it
      if (rate_ < probe_base_ * (1 + (probe_gain_ - 1) / 2) || queue_stands()) {
        enter(State::kYielding, now);
      } else {
        if (rate_ > ceiling_) ceiling_ = 0;
        probe_gain_ = std::min(kStartGain, probe_gain_ * kProbeGrowth);
        enter(State::kProbing, now);
      }
      return;
    case State::kMeasuring:
      if (least_rtt_ == Duration::zero() || since < std::max(kMeasure, turn())) return;
      enter(State::kCruising, now);
      // What looked like a queue made the window too small for the path, and the rate with it.
      if (least_rtt_ > known_rtt_ + queue_bound(known_rtt_)) enter(State::kProbing, now);
      return;
  }
}

void RateControl::set_pace() noexcept {
  double gain = 1;
  if (state_ == State::kStarting) gain = kStartGain;
  if (state_ == State::kDraining) gain = kDrainGain;
  if (state_ == State::kYielding) gain = kYieldGain;
  if (state_ == State::kCruising && queue_stands()) gain = kQueueGain;
  if (state_ == State::kProbing && clock_ - state_since_ < turn()) gain = probe_gain_;
  const double floor =
      (rate_ == 0 ? kFirstWindow : kLeastWindow) / seconds(std::max(least_rtt_, kAckInterval));
  const double pace = gain * std::max(rate_, floor);
  interval_ = std::clamp<Duration>(std::chrono::duration_cast<Duration>(Seconds(1 / pace)), 100ns,
                                   kLongestInterval);
  // A hole keeps the acknowledgement back for a round trip; what arrives meanwhile is guessed.
  const double late =
      (state_ == State::kStarting ? kStartGain : 1) * path() + rate_ * seconds(2 * kAckInterval);
  double out = std::min(static_cast<double>(edge_ - acknowledged_), 2 * late) + target();
  if (highest_lost_ > acknowledged_) out += late;
  window_ = std::clamp(out, kLeastWindow, max_window_);
}

double RateControl::on_the_way() const noexcept {
  return static_cast<double>(sent_.next() - edge_);
}

double RateControl::path() const noexcept {
  return rate_ * seconds(least_rtt_);
}

double RateControl::target() const noexcept {
  if (state_ == State::kMeasuring)
    return std::max(kLeastWindow, (measured_path_ + rate_ * seconds(kAckInterval)) / 2);
  const bool starting = state_ == State::kStarting;
  const double gain = starting ? kStartGain : kWindowGain;
  return std::max(starting ? kFirstWindow : kLeastWindow,
                  gain * path() + rate_ * seconds(kAckInterval + kHostSlack));
}

bool RateControl::queue_stands() const noexcept {
  return last_rtt_ != Duration::max() && last_rtt_ > least_rtt_ + queue_bound(least_rtt_);
}

Duration RateControl::turn() const noexcept {
  return std::max(least_rtt_, kShortestTurn);
}

}  // namespace vtl::transport
