// ReceiveBuffer: what the peer sent, put in order (RFC 9293 section 3.10.7.4, "segment text").
//
// Theory of operation. The buffer is a window onto the stream, in chunks of ChunkPool::kChunk
// octets. A chunk exists only where octets were stored: a chunk that lies wholly in a gap is not
// there. Octets that arrive out of order are copied straight to their place, and a sorted list of
// ranges remembers where they lie; when a gap closes the readable part grows over them and nothing
// is copied again. A reader that is done with a chunk's octets can have the chunk itself, also one
// that is not full yet (release_front()): what comes behind them then finds a chunk of its own.
// Chunks begin where a multiple of their size does, so that two buffers of one stream are cut
// alike; only where the pool has a single chunk left does an empty buffer begin one right where the
// stream goes on, lest it should be worth a few octets only.
//
// What lies out of order is bounded four ways, so that a peer that cuts its stream cruelly pays for
// it and not we. At each bound the range farthest from the front is forgotten and counted (the peer
// sends it again, for it was never acknowledged):
// - by the window that the connection offers, which insert() trusts its caller to keep;
// - by kMaxRanges ranges, so a segment costs a search among so many and a move of 8 KiB at most;
// - by what it is worth: kSparseChunks chunks, and beyond those kSparseFactor times the memory that
//   its octets would need side by side. One octet in every chunk of the window thus costs
//   kSparseChunks chunks, while of a stream of which a quarter arrives nothing is forgotten;
// - by the pool: its last part is for what arrives in order (chunk_pool.h).
//
// Thread rule: one thread. The pool outlives the buffer.
// Invariants: ranges are sorted, disjoint, not adjacent, and lie beyond the readable part; every
// octet in them and in the readable part has its chunk; an empty buffer holds no chunk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "vtl/base/byte_queue.h"

namespace vtl::endpoint {

class ReceiveBuffer {
 public:
  static constexpr std::size_t kMaxRanges = 512;
  static constexpr std::size_t kSparseChunks = 2;
  static constexpr std::size_t kSparseFactor = 4;

  /// [begin, end) in octets after the end of the readable part.
  struct Range {
    std::size_t begin;
    std::size_t end;
  };

  explicit ReceiveBuffer(ChunkPool* pool) noexcept : pool_(pool) {}
  ~ReceiveBuffer() { clear(); }
  ReceiveBuffer(const ReceiveBuffer&) = delete;
  ReceiveBuffer& operator=(const ReceiveBuffer&) = delete;

  /// Octets that can be read.
  [[nodiscard]] std::size_t readable() const noexcept {
    return static_cast<std::size_t>(end_ - begin_);
  }
  /// The first readable octets, contiguous; empty when there are none.
  [[nodiscard]] Bytes front() const noexcept;
  /// Drops n <= readable() octets from the front.
  void consume(std::size_t n) noexcept;

  /// The chunk that holds front() holds nothing else.
  [[nodiscard]] bool front_is_alone() const noexcept {
    return readable() > 0 &&
           (ranges_.empty() || chunk_of(ranges_.front().begin) != chunk_of(begin_));
  }
  /// Where front() begins in its chunk.
  [[nodiscard]] std::size_t front_offset() const noexcept { return place_of(begin_); }
  /// Takes front() off, and its chunk with it: that is the caller's from now on, and still of the
  /// pool. front_is_alone().
  [[nodiscard]] std::uint8_t* release_front() noexcept;

  /// Stores `bytes` at `offset` octets after the end of the readable part and returns by how much
  /// the readable part grew. Where the pool is spent, octets are left out: the tail of data in
  /// order (what lies out of order is given up first to make room), and of data out of order what
  /// finds no chunk.
  std::size_t insert(std::size_t offset, Bytes bytes);

  [[nodiscard]] bool has_gaps() const noexcept { return !ranges_.empty(); }
  [[nodiscard]] std::size_t range_count() const noexcept { return ranges_.size(); }
  /// Range `i` in order of position; i < range_count().
  [[nodiscard]] Range range(std::size_t i) const noexcept;
  /// The first range that ends behind `offset` octets after the readable part, or range_count().
  [[nodiscard]] std::size_t range_after(std::size_t offset) const noexcept;
  /// Octets in the ranges.
  [[nodiscard]] std::size_t out_of_order() const noexcept { return out_of_order_; }
  /// Ranges that were given up at a bound, wholly or in part, since the beginning.
  [[nodiscard]] std::uint32_t forgotten() const noexcept { return forgotten_; }
  /// Octets after the readable part that the pool's share for this buffer has chunks for.
  [[nodiscard]] std::size_t room() const noexcept;
  [[nodiscard]] std::size_t chunk_count() const noexcept { return held_; }
  /// Octets of memory held.
  [[nodiscard]] std::size_t memory() const noexcept;
  void clear() noexcept;

 private:
  struct Stored {  // positions in the stream
    std::uint64_t begin;
    std::uint64_t end;
  };

  [[nodiscard]] std::size_t chunk_of(std::uint64_t position) const noexcept {
    return static_cast<std::size_t>((position - base_) / ChunkPool::kChunk);
  }
  [[nodiscard]] std::size_t place_of(std::uint64_t position) const noexcept {
    return static_cast<std::size_t>((position - base_) % ChunkPool::kChunk);
  }
  [[nodiscard]] bool last_chunk_left() const noexcept;
  [[nodiscard]] std::uint8_t* new_chunk();
  void free_chunk(std::uint8_t* chunk) noexcept;
  [[nodiscard]] bool may_store(bool in_order) const noexcept;
  std::size_t store(std::uint64_t position, Bytes bytes, bool in_order);
  void remember(std::uint64_t begin, std::uint64_t end);
  [[nodiscard]] bool holds_what_it_remembers() const noexcept;
  [[nodiscard]] bool too_sparse() const noexcept;
  void forget_farthest() noexcept;
  void forget_all() noexcept;
  void trim() noexcept;

  ChunkPool* pool_;
  ChunkList chunks_;  // null where nothing was stored, and where it was read
  std::vector<Stored> ranges_;
  std::uint64_t base_ = 0;   // position of the first octet of chunks_[0]
  std::uint64_t begin_ = 0;  // position of the first readable octet
  std::uint64_t end_ = 0;    // one past the last
  std::uint32_t held_ = 0;   // chunks that exist
  std::uint32_t out_of_order_ = 0;
  std::uint32_t forgotten_ = 0;
};

}  // namespace vtl::endpoint
