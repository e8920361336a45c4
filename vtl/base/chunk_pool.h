// ChunkPool: the memory of the buffers of all connections of a worker, in chunks of one size.
//
// Theory of operation. A chunk is either received (it holds what came from a peer and waits to go
// on) or to send (it holds what a peer has not acknowledged). With n chunks in all and e = n / 8:
//
//              a buffer with fewer than kModest chunks     any other, and what is out of order
//   received   received <= n - e,  all <= n                received <= n - 2e,  all <= n - e
//   to send    to send  <= n - e,  all <= n                to send  <= n - 2e,  all <= n - e
//
// and hand_over(), by which a received chunk becomes one to send, is never refused: it needs no
// memory. A pool of one chunk has no shares.
//
// Why something can always go on. Take a pool from which a buffer is refused a chunk.
// - Chunks to send wait for the peer that they are for, and for nothing of ours: its
//   acknowledgements need no memory. They leave when it takes them, or with their connection.
// - Received chunks, where both ends of the stream are connections of this pool (a split), are
//   handed over as soon as the other end's send queue is shorter than its limit, which is at least
//   one chunk at an empty queue: so they, too, wait for a peer only. What cannot be handed over
//   whole is copied, and waits only while its own send queue is not empty or a gap of its own
//   stream is open in that very chunk, which what the peer sends again closes in place.
// - Received chunks that go on through a transport (a gateway) wait until the far end reads, and
//   the far end reads as soon as it is given a chunk to send. It is given one unless its pool is
//   full of chunks to send, for received ones leave it e: and those wait for peers only.
// So memory that does not come back is held by peers that stand still. Who stands still while
// others are refused their first chunk is reset (service/standstill.h): nobody is kept waiting for
// ever by the count of chunks that others hold, however few octets lie in them. And the last e
// chunks are for buffers that hold next to nothing: many bulk transfers do not keep a small
// exchange from its memory.
//
// Chunks given back wait in a free list, the last used first; beyond kMostFree of them they go back
// to the heap.
//
// Thread rule: one thread per pool and its buffers, which it outlives. Bound: max_bytes in use, and
// at most kMostFree chunks beside that. Counters: bytes_in_use(), bytes_held(), left_out().
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace vtl {

class ChunkPool {
 public:
  static constexpr std::size_t kChunk = 16384;    ///< octets of payload in one chunk
  static constexpr std::size_t kModest = 2;       ///< a buffer with fewer has the last share, too
  static constexpr std::size_t kMostFree = 1024;  ///< chunks kept for later
  enum class Use : std::uint8_t { kReceived, kToSend };

  explicit ChunkPool(std::size_t max_bytes);
  ~ChunkPool();
  ChunkPool(const ChunkPool&) = delete;
  ChunkPool& operator=(const ChunkPool&) = delete;

  /// Chunks that a buffer which holds `held` of them may take for `use`.
  [[nodiscard]] std::size_t available(Use use, std::size_t held) const noexcept;
  /// Likewise for what arrived out of order.
  [[nodiscard]] std::size_t available_out_of_order() const noexcept {
    return available(Use::kReceived, kModest);
  }
  /// Not even a first chunk is left.
  [[nodiscard]] bool spent(Use use) const noexcept { return available(use, 0) == 0; }

  /// A chunk of kChunk octets, or null when max_bytes are in use: the shares are the caller's to
  /// keep (available()).
  [[nodiscard]] std::uint8_t* allocate(Use use);
  /// `use`: the chunk's.
  void release(std::uint8_t* chunk, Use use) noexcept;
  /// A received chunk is one to send from now on.
  void hand_over() noexcept;

  [[nodiscard]] std::size_t bytes_in_use() const noexcept {
    return (received_ + to_send_) * kChunk;
  }
  /// In use, or kept for later.
  [[nodiscard]] std::size_t bytes_held() const noexcept {
    return bytes_in_use() + free_.size() * kChunk;
  }
  [[nodiscard]] std::size_t max_bytes() const noexcept { return max_bytes_; }
  /// More than half is in use: who can do with what it has asks for no more.
  [[nodiscard]] bool strained() const noexcept { return bytes_in_use() > max_bytes_ / 2; }
  /// More than three quarters are in use: who can do with less does.
  [[nodiscard]] bool scarce() const noexcept { return bytes_in_use() > max_bytes_ / 4 * 3; }
  /// More than seven eighths are in use: who can do with kModest chunks does.
  [[nodiscard]] bool tight() const noexcept { return bytes_in_use() > max_bytes_ / 8 * 7; }

  /// Octets in order that found no chunk and were left for the peer to send again.
  [[nodiscard]] std::uint64_t left_out() const noexcept { return left_out_; }
  void note_left_out(std::size_t octets) noexcept { left_out_ += octets; }

 private:
  std::size_t max_bytes_;
  std::size_t chunks_;  // in all
  std::size_t share_;   // e
  std::size_t received_ = 0;
  std::size_t to_send_ = 0;
  std::uint64_t left_out_ = 0;
  std::vector<std::uint8_t*> free_;  // its capacity is there from the beginning
};

}  // namespace vtl
