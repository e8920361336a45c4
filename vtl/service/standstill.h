// Standstill: one direction of a stream that holds memory and does not move.
//
// Theory of operation. While chunks are held, what the reader has taken is watched. A direction
// moves when at least kPace octets, and at least a quarter of the memory that it holds, were taken
// within kPatience, or when it came to hold nothing. One that does not move is as good as dead to
// whoever waits for that memory, however politely its peer answers probes: when the pool has fewer
// first chunks left than are waited for (Starved::short_of()), its connection is reset and counted.
// Who holds memory for long must therefore make use of it, at a rate that turns the whole pool over
// within minutes.
//
// Thread rule: a value.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "vtl/base/chunk_pool.h"
#include "vtl/base/time.h"

namespace vtl::service {

class Standstill {
 public:
  static constexpr std::size_t kPace = 4096;
  static constexpr Duration kPatience = 60s;

  /// True: it has stood still for kPatience. `held`: chunks; `taken`: octets since the beginning.
  bool observe(std::size_t held, std::uint64_t taken, Time now) noexcept {
    if (held == 0) {
      since_ = kNever;
      return false;
    }
    const std::size_t pace = std::max(kPace, held * ChunkPool::kChunk / 4);
    const auto mark = static_cast<std::uint32_t>(taken);
    if (since_ == kNever || mark - mark_ >= pace) {
      mark_ = mark;
      since_ = now;
    }
    return now - since_ >= kPatience;
  }
  /// When it must be looked at again; kNever while nothing is held.
  [[nodiscard]] Time until(Time now) const noexcept {
    if (since_ == kNever) return kNever;
    return now < since_ + kPatience ? since_ + kPatience : now + kPatience;
  }

 private:
  Time since_ = kNever;  // when it last moved
  std::uint32_t mark_ = 0;
};

}  // namespace vtl::service
