#include "vtl/service/impair/impair_core.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <utility>

namespace vtl::service {
namespace {

constexpr std::uint64_t kNanosecondsPerSecond = 1'000'000'000;
constexpr std::size_t kFirstRing = 256;
// Corruption leaves the two MAC addresses alone: the frame still arrives where it would.
constexpr std::size_t kAddresses = 12;

std::size_t memory(const Packet& packet) {
  return packet.headroom() + packet.size() + packet.tailroom();
}

Outcome<void> check_probability(const char* key, double p) {
  if (p >= 0 && p <= 1) return {};
  return fail(fmt::format("{} is a probability between 0 and 1, not {}", key, p));
}

}  // namespace

Outcome<void> check(const ImpairSettings& s) {
  const std::pair<const char*, double> probabilities[] = {
      {"loss", s.loss},
      {"burst.to_bad", s.burst.to_bad},
      {"burst.to_good", s.burst.to_good},
      {"burst.loss_bad", s.burst.loss_bad},
      {"burst.loss_good", s.burst.loss_good},
      {"reorder", s.reorder},
      {"duplicate", s.duplicate},
      {"corrupt", s.corrupt},
  };
  for (const auto& [key, p] : probabilities) {
    if (auto ok = check_probability(key, p); !ok) return ok;
  }
  if (s.delay < Duration::zero()) return fail("delay cannot be negative");
  if (s.jitter < Duration::zero()) return fail("jitter cannot be negative");
  if (s.jitter > s.delay) return fail("jitter cannot be larger than delay");
  if (s.reorder_by < Duration::zero()) return fail("reorder_by cannot be negative");
  if (s.queue_bytes && s.queue_time) return fail("give the queue in bytes or as time, not both");
  if ((s.queue_bytes || s.queue_time) && s.rate_bps == 0) {
    return fail("a queue limit needs a rate: without one nothing queues");
  }
  if (s.queue_time && *s.queue_time < Duration::zero()) return fail("queue cannot be negative");
  if (s.max_frames == 0) return fail("max_frames must be at least 1");
  return {};
}

void ImpairCore::Ring::push(Packet packet, Time at) {
  if (count_ == slots_.size()) grow();
  auto& slot = slots_[(head_ + count_) & (slots_.size() - 1)];
  slot.packet = std::move(packet);
  slot.at = at;
  ++count_;
}

Packet ImpairCore::Ring::pop() {
  Packet packet = std::move(slots_[head_].packet);
  head_ = (head_ + 1) & (slots_.size() - 1);
  --count_;
  return packet;
}

void ImpairCore::Ring::grow() {
  std::vector<Slot> larger(std::max(kFirstRing, slots_.size() * 2));
  for (std::size_t i = 0; i < count_; ++i) {
    larger[i] = std::move(slots_[(head_ + i) & (slots_.size() - 1)]);
  }
  slots_ = std::move(larger);
  head_ = 0;
}

ImpairCore::ImpairCore(const ImpairSettings& settings, std::uint64_t seed)
    : settings_(settings), rng_(seed) {
  assert(check(settings));
  const auto of_time = [&](Duration d) {
    const auto bits = static_cast<Wide>(d.count()) * settings_.rate_bps / kNanosecondsPerSecond;
    return static_cast<std::uint64_t>(bits / 8);
  };
  queue_limit_ = settings_.queue_bytes
                     ? *settings_.queue_bytes
                     : of_time(settings_.queue_time.value_or(ImpairSettings::kDefaultQueue));
}

bool ImpairCore::lost() {
  const auto& burst = settings_.burst;
  if (burst.to_bad > 0) {
    if (rng_.chance(bad_ ? burst.to_good : burst.to_bad)) bad_ = !bad_;
    if (rng_.chance(bad_ ? burst.loss_bad : burst.loss_good)) {
      counters_.burst_lost.add();
      return true;
    }
  }
  if (!rng_.chance(settings_.loss)) return false;
  counters_.lost.add();
  return true;
}

std::optional<DropReason> ImpairCore::enqueue(Packet& packet, Time now) {
  assert(packet && !packet.meta().gso.is_super());
  assert(packet.meta().checksum.kind != ChecksumKind::kPartial);
  counters_.frames.add();
  counters_.bytes.add(packet.size());
  if (lost()) return DropReason::kImpairLoss;
  Packet copy;
  if (rng_.chance(settings_.duplicate)) copy = packet.pool().clone(packet);
  auto dropped = send(packet, now);
  if (copy && !send(copy, now)) counters_.duplicated.add();
  return dropped;
}

// Onto the line; what is not taken stays with the caller.
std::optional<DropReason> ImpairCore::send(Packet& packet, Time now) {
  const std::size_t size = memory(packet);
  if (held() >= settings_.max_frames || held_bytes_ + size > settings_.max_bytes) {
    counters_.bound.add();
    return DropReason::kMemoryBound;
  }
  const auto sent = through_bottleneck(packet.size() + settings_.overhead, now);
  if (!sent) {
    counters_.queue_full.add();
    return DropReason::kImpairQueueFull;
  }
  if (rng_.chance(settings_.corrupt)) corrupt(packet);
  const Time arrives = *sent + settings_.delay + wander(*sent);
  if (rng_.chance(settings_.reorder)) {
    counters_.reordered.add();
    late_.push(std::move(packet), arrives + settings_.reorder_by);
  } else {
    line_.push(std::move(packet), arrives);
  }
  held_bytes_ += size;
  counters_.held.set(held());
  counters_.held_bytes.set(held_bytes_);
  return std::nullopt;
}

// When the frame's last octet has left the bottleneck; nullopt when the queue is full.
std::optional<Time> ImpairCore::through_bottleneck(std::size_t octets, Time now) {
  const std::uint64_t rate = settings_.rate_bps;
  if (rate == 0) return now;
  if (next_free_ <= now) {
    next_free_ = now;
    remainder_ = 0;
  } else {
    const auto wait = static_cast<Wide>((next_free_ - now).count());
    const auto waiting = static_cast<std::uint64_t>(wait * rate / (8 * kNanosecondsPerSecond));
    if (waiting + octets > queue_limit_) return std::nullopt;
  }
  const std::uint64_t scaled = octets * 8 * kNanosecondsPerSecond + remainder_;
  next_free_ += Duration{static_cast<Duration::rep>(scaled / rate)};
  remainder_ = scaled % rate;
  return next_free_;
}

// The jitter's offset at a time that never falls.
Duration ImpairCore::wander(Time at) {
  const Duration jitter = settings_.jitter;
  if (jitter == Duration::zero()) return Duration::zero();
  const Duration apart = 4 * jitter;
  const auto draw = [&] {
    const auto width = static_cast<std::uint64_t>(2 * jitter.count() + 1);
    return Duration{static_cast<Duration::rep>(rng_.below(width))} - jitter;
  };
  if (!wandering_ || at - knot_at_ >= 2 * apart) {
    // First, or silent for so long that the old points do not matter.
    wandering_ = true;
    knot_at_ = at;
    knot_offset_ = draw();
    next_offset_ = draw();
  } else if (at - knot_at_ >= apart) {
    knot_at_ += apart;
    knot_offset_ = std::exchange(next_offset_, draw());
  }
  const auto along = static_cast<Wide>((at - knot_at_).count());
  const bool rising = next_offset_ >= knot_offset_;
  const Duration span = rising ? next_offset_ - knot_offset_ : knot_offset_ - next_offset_;
  const auto part = static_cast<Duration::rep>(along * static_cast<Wide>(span.count()) /
                                               static_cast<Wide>(apart.count()));
  return rising ? knot_offset_ + Duration{part} : knot_offset_ - Duration{part};
}

void ImpairCore::corrupt(Packet& packet) {
  if (packet.size() <= kAddresses) return;
  const std::uint64_t bit = rng_.below((packet.size() - kAddresses) * 8);
  packet.mutable_bytes()[kAddresses + bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
  // No device has verified what the frame now says.
  packet.meta().checksum = ChecksumState{};
  packet.headers_changed();
  counters_.corrupted.add();
}

Time ImpairCore::poll_at() const noexcept {
  return std::min(line_.front_at(), late_.front_at());
}

std::size_t ImpairCore::dequeue(Time now, Batch& out, std::size_t limit) {
  std::size_t n = 0;
  for (; n < limit; ++n) {
    Ring& next = late_.front_at() < line_.front_at() ? late_ : line_;
    if (next.empty() || next.front_at() > now) break;
    out.push_back(next.pop());
    held_bytes_ -= memory(out.back());
  }
  if (n > 0) {
    counters_.released.add(n);
    counters_.held.set(held());
    counters_.held_bytes.set(held_bytes_);
  }
  return n;
}

}  // namespace vtl::service
