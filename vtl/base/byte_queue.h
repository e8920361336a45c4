// ByteQueue: a FIFO of bytes in pooled chunks.
//
// An empty queue owns no memory, so an idle connection costs nothing here. Chunks come from a
// ChunkPool with a bound, shared by all connections of a worker; when it is spent append() takes
// fewer bytes than given, and that is backpressure. A queue without a pool takes chunks from the
// heap. Thread rule: one thread per pool and its queues. A pool outlives its queues. Invariant:
// size() octets lie in consecutive chunks; no chunk is empty.
#pragma once

#include <absl/container/inlined_vector.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "vtl/base/bytes.h"

namespace vtl {

class ChunkPool {
 public:
  static constexpr std::size_t kChunk = 16384;  ///< octets of payload in one chunk
  explicit ChunkPool(std::size_t max_bytes) : max_bytes_(max_bytes) {}
  ~ChunkPool();
  ChunkPool(const ChunkPool&) = delete;
  ChunkPool& operator=(const ChunkPool&) = delete;

  /// A chunk of kChunk octets, or null at the bound.
  [[nodiscard]] std::uint8_t* allocate();
  void release(std::uint8_t* chunk) noexcept;
  [[nodiscard]] std::size_t bytes_in_use() const noexcept { return in_use_ * kChunk; }
  [[nodiscard]] std::size_t max_bytes() const noexcept { return max_bytes_; }
  /// More than half is in use: who can do with what it has asks for no more.
  [[nodiscard]] bool strained() const noexcept { return bytes_in_use() > max_bytes_ / 2; }
  /// More than three quarters are in use: who can do with less does.
  [[nodiscard]] bool scarce() const noexcept { return bytes_in_use() > max_bytes_ / 4 * 3; }

 private:
  std::size_t max_bytes_;
  std::size_t in_use_ = 0;
  std::vector<std::uint8_t*> free_;
};

/// Chunks in order. The first two need no memory of their own: most buffers are empty or small.
using ChunkList = absl::InlinedVector<std::uint8_t*, 2>;

/// Octets that the list itself has on the heap.
inline std::size_t heap_of(const ChunkList& list) {
  return list.capacity() > 2 ? list.capacity() * sizeof(std::uint8_t*) : 0;
}

/// Gives back what an empty list keeps for later.
inline void free_if_empty(ChunkList& list) {
  if (list.empty() && list.capacity() > 2) list.shrink_to_fit();
}

class ByteQueue {
 public:
  explicit ByteQueue(ChunkPool* pool = nullptr) noexcept : pool_(pool) {}
  ~ByteQueue() { clear(); }
  ByteQueue(ByteQueue&& other) noexcept;
  ByteQueue& operator=(ByteQueue&& other) noexcept;

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  /// Appends as much of `bytes` as the pool gives room for, and returns how much.
  std::size_t append(Bytes bytes);
  /// The first octets, contiguous; empty only when the queue is.
  [[nodiscard]] Bytes front() const noexcept;
  /// Drops n <= size() octets from the front.
  void consume(std::size_t n) noexcept;
  /// Fills `out` with consecutive spans that cover [offset, offset + length) and returns how many
  /// it used; covers less when `out` is short. The range lies within the queue.
  std::size_t spans(std::size_t offset, std::size_t length, std::span<Bytes> out) const noexcept;
  /// Copies [offset, offset + out.size()) out.
  void copy(std::size_t offset, MutableBytes out) const noexcept;
  void clear() noexcept;
  /// A chunk whose octets begin at `offset` can follow what is there without a copy.
  [[nodiscard]] bool fits(std::size_t offset) const noexcept {
    return size_ == 0 || (offset == 0 && tail_room() == 0);
  }
  /// Appends `size` >= 1 octets that lie at `offset` of a chunk of the same pool; fits(offset). The
  /// chunk is the queue's from now on.
  void adopt(std::uint8_t* chunk, std::size_t offset, std::size_t size);
  /// Octets that append() takes without a new chunk.
  [[nodiscard]] std::size_t tail_room() const noexcept {
    return chunks_.size() * ChunkPool::kChunk - head_ - size_;
  }
  /// Octets of memory held beside the object itself.
  [[nodiscard]] std::size_t memory() const noexcept {
    return chunks_.size() * ChunkPool::kChunk + heap_of(chunks_);
  }

 private:
  ChunkPool* pool_;
  // A ring is not worth it: few chunks, moved pointers are cheap.
  ChunkList chunks_;
  std::size_t head_ = 0;  // offset of the first octet in chunks_[0]
  std::size_t size_ = 0;
};

}  // namespace vtl
