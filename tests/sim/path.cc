#include "tests/sim/path.h"

#include <algorithm>

namespace vtl::endpoint::sim {

void Link::push(const OutSegment& out, Time now) {
  cut(out, [&](WireSegment one) { send_one(std::move(one), now); });
}

void Link::send_one(WireSegment segment, Time now) {
  if (rng_.chance(config_.loss)) {
    ++dropped_;
    return;
  }
  Time leaves = now;
  if (config_.rate > 0) {
    const std::uint64_t bits = (segment.data.size() + kFrameOverhead) * 8;
    const Duration each{static_cast<std::int64_t>(bits * 1'000'000'000 / config_.rate)};
    const Time begins = std::max(now, free_at_);
    const Duration full_frame{
        static_cast<std::int64_t>((1460 + kFrameOverhead) * 8 * 1'000'000'000 / config_.rate)};
    if (begins - now > full_frame * static_cast<std::int64_t>(config_.queue)) {
      ++dropped_;
      return;
    }
    free_at_ = begins + each;
    leaves = free_at_;
  }
  Time at = leaves + config_.delay;
  if (config_.jitter > Duration::zero()) {
    at += Duration{
        static_cast<std::int64_t>(rng_.below(static_cast<std::uint64_t>(config_.jitter.count())))};
  }
  if (rng_.chance(config_.reorder)) {
    at += config_.reorder_by > Duration::zero() ? config_.reorder_by : 2 * config_.delay;
  }
  if (rng_.chance(config_.duplicate)) arrive(segment, at + config_.delay / 3);
  arrive(std::move(segment), at);
}

void Link::arrive(WireSegment segment, Time at) {
  if (config_.merge && !segment.data.empty()) {
    // The last of those that arrive at the same time, when this one follows it.
    auto [first, last] = under_way_.equal_range(at);
    if (first != last) {
      WireSegment& before = std::prev(last)->second;
      const auto length = static_cast<std::uint32_t>(before.data.size());
      if (length > 0 && before.header.seq + length == segment.header.seq &&
          before.header.ack == segment.header.ack && !before.header.flags.fin() &&
          before.data.size() + segment.data.size() <= 65000) {
        before.data += segment.data;
        before.header.flags = before.header.flags | segment.header.flags;
        before.header.window = segment.header.window;
        ++before.segments;
        return;
      }
    }
  }
  under_way_.emplace(at, std::move(segment));
}

Time Link::next() const noexcept {
  return under_way_.empty() ? kNever : under_way_.begin()->first;
}

std::optional<WireSegment> Link::pop(Time now) {
  if (next() > now) return std::nullopt;
  WireSegment out = std::move(under_way_.begin()->second);
  under_way_.erase(under_way_.begin());
  return out;
}

}  // namespace vtl::endpoint::sim
