// ByteQueue: a FIFO of bytes in pooled chunks.
//
// An empty queue owns no memory, so an idle connection costs nothing here. Chunks come from a
// ChunkPool with a bound, shared by all connections of a worker; when it is spent append() takes
// fewer bytes than given, and that is backpressure. A queue without a pool takes chunks from the
// heap. Thread rule: one thread per pool and its queues. A pool outlives its queues. Invariant:
// size() octets lie in consecutive chunks; no chunk is empty. The pool's shares (chunk_pool.h) are
// kept by whoever appends.
#pragma once

#include <absl/container/inlined_vector.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "vtl/base/bytes.h"
#include "vtl/base/chunk_pool.h"
#include "vtl/base/function_ref.h"

namespace vtl {

/// Chunks in order. The first two need no memory of their own: most buffers are empty or small.
using ChunkList = absl::InlinedVector<std::uint8_t*, 2>;

/// Octets that the list itself has on the heap.
inline std::size_t heap_of(const ChunkList& list) {
  return list.capacity() > 2 ? list.capacity() * sizeof(std::uint8_t*) : 0;
}

/// Takes the first `spent` entries off a list: whether that is due. A short list is moved at once;
/// a long one when at least half of it is spent, so that an entry is moved once on average.
inline bool worth_moving(const ChunkList& list, std::size_t spent) {
  return spent > 0 && (list.size() <= 32 || spent >= list.size() - spent);
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
  /// Puts octets at `out`'s begin and returns how many, at most out.size(). It calls nothing of the
  /// queue.
  using Fill = FunctionRef<std::size_t(MutableBytes out)>;
  /// Appends what fill() puts into the room of the last chunk and of new ones, until that is `most`
  /// octets, or fill() puts fewer than there is room for, or the pool is spent; returns how many.
  std::size_t append_from(std::size_t most, Fill fill);
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
  [[nodiscard]] std::size_t chunk_count() const noexcept {
    return chunks_.size() - head_ / ChunkPool::kChunk;
  }
  /// A chunk whose octets begin at `offset` can follow what is there without a copy.
  [[nodiscard]] bool fits(std::size_t offset) const noexcept {
    return size_ == 0 || (offset == 0 && tail_room() == 0);
  }
  /// Appends `size` >= 1 octets that lie at `offset` of a received chunk of the same pool;
  /// fits(offset). The chunk is the queue's from now on.
  void adopt(std::uint8_t* chunk, std::size_t offset, std::size_t size);
  /// Octets that append() takes without a new chunk.
  [[nodiscard]] std::size_t tail_room() const noexcept {
    return chunks_.size() * ChunkPool::kChunk - head_ - size_;
  }
  /// Octets of memory held beside the object itself.
  [[nodiscard]] std::size_t memory() const noexcept {
    return chunk_count() * ChunkPool::kChunk + heap_of(chunks_);
  }

 private:
  [[nodiscard]] MutableBytes make_room();
  void free_chunk(std::uint8_t* chunk) noexcept;

  ChunkPool* pool_;
  ChunkList chunks_;      // those before the head are given back
  std::size_t head_ = 0;  // offset of the first octet from the begin of chunks_[0]
  std::size_t size_ = 0;
};

}  // namespace vtl
