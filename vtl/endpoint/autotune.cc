// How much a connection may buffer: as much as it makes use of, within the memory that all share.
//
// Theory of operation. Receiving: what the reader took in the last round trip is what the path and
// the reader can carry, so twice that much keeps the sender from ever waiting for the window
// (dynamic right-sizing), and while it still grows (the sender is in slow start) four times: its
// window doubles before the news of ours reaches it. A reader that takes little is never given
// more, and what it was given it keeps. Sending: twice the congestion window, one half in flight
// and the other to follow it.
//
// The budget is the ChunkPool. Where more than half of it is in use no receive window grows. Where
// more than three quarters are, every connection does with its initial buffers: the window's right
// edge stands still until the window is that small (what was promised is never taken back), and
// write() takes nothing more. Where more than seven eighths are, a send queue is as long as the
// chunks that a modest buffer may have, and the window is what the pool has left for one
// (chunk_pool.h). All that ends by itself, at once, when others give memory back.
#include <algorithm>

#include "vtl/endpoint/connection.h"

namespace vtl::endpoint {
namespace {

constexpr Duration kRoundUnknown = 100ms;  // where the handshake gave no round trip

}  // namespace

std::size_t Connection::receive_limit() const noexcept {
  const bool scarce = config().pool != nullptr && config().pool->scarce();
  return scarce ? std::min<std::size_t>(receive_limit_, config().receive_buffer_initial)
                : receive_limit_;
}

std::size_t Connection::send_limit() const noexcept {
  const bool scarce = config().pool != nullptr && config().pool->scarce();
  const std::size_t twice = scarce ? 0 : std::size_t{2} * congestion_.window();
  const std::size_t limit = std::clamp(twice, config().send_buffer_initial, config().send_buffer);
  return scarce && config().pool->tight() ? std::min(limit, ChunkPool::kModest * ChunkPool::kChunk)
                                          : limit;
}

// Called when data arrives: what came in the last round trip is read by now, as far as it will be.
void Connection::follow_reader(Time now) noexcept {
  const Duration round = rtt_.smoothed() > Duration::zero() ? rtt_.smoothed() : kRoundUnknown;
  if (now - round_at_ < round) return;
  const std::size_t read = read_now_;
  const std::size_t more = read > read_before_ ? read - read_before_ : 0;
  read_before_ = read_now_;
  read_now_ = 0;
  round_at_ = now;
  if (config().pool != nullptr && config().pool->strained()) return;
  const std::size_t wanted = std::min(2 * read + 4 * more, 4 * read);
  receive_limit_ = static_cast<std::uint32_t>(
      std::clamp<std::size_t>(wanted, receive_limit_, config().receive_buffer));
}

}  // namespace vtl::endpoint
