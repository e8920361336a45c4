#include "vtl/base/byte_queue.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

namespace vtl {

ByteQueue::ByteQueue(ByteQueue&& other) noexcept
    : pool_(other.pool_),
      chunks_(std::move(other.chunks_)),
      head_(std::exchange(other.head_, 0)),
      size_(std::exchange(other.size_, 0)) {
  other.chunks_.clear();
}

ByteQueue& ByteQueue::operator=(ByteQueue&& other) noexcept {
  if (this != &other) {
    clear();
    pool_ = other.pool_;
    chunks_ = std::move(other.chunks_);
    other.chunks_.clear();
    head_ = std::exchange(other.head_, 0);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

std::size_t ByteQueue::append(Bytes bytes) {
  return append_from(bytes.size(), [&bytes](MutableBytes out) {
    std::memcpy(out.data(), bytes.data(), out.size());
    bytes = bytes.subspan(out.size());
    return out.size();
  });
}

std::size_t ByteQueue::append_from(std::size_t most, Fill fill) {
  std::size_t filled = 0;
  while (filled < most) {
    MutableBytes room = make_room();
    if (room.empty()) break;
    room = room.first(std::min(room.size(), most - filled));
    const std::size_t n = std::min(fill(room), room.size());
    size_ += n;
    filled += n;
    if (n == room.size()) continue;
    if (tail_room() == ChunkPool::kChunk) {  // nothing came into the new one
      free_chunk(chunks_.back());
      chunks_.pop_back();
      free_if_empty(chunks_);
    }
    break;
  }
  return filled;
}

// In the last chunk, or in a new one where that is full: then a chunk may be empty for a while.
MutableBytes ByteQueue::make_room() {
  if (tail_room() == 0) {
    auto* chunk = pool_ != nullptr ? pool_->allocate(ChunkPool::Use::kToSend)
                                   : new std::uint8_t[ChunkPool::kChunk];
    if (chunk == nullptr) return {};
    chunks_.push_back(chunk);
  }
  return {chunks_.back() + (ChunkPool::kChunk - tail_room()), tail_room()};
}

void ByteQueue::adopt(std::uint8_t* chunk, std::size_t offset, std::size_t size) {
  assert(fits(offset) && size > 0 && offset + size <= ChunkPool::kChunk);
  if (size_ == 0) head_ = offset;
  chunks_.push_back(chunk);
  if (pool_ != nullptr) pool_->hand_over();
  size_ += size;
}

Bytes ByteQueue::front() const noexcept {
  if (size_ == 0) return {};
  const std::size_t at = head_ % ChunkPool::kChunk;
  return {chunks_[head_ / ChunkPool::kChunk] + at, std::min(size_, ChunkPool::kChunk - at)};
}

void ByteQueue::free_chunk(std::uint8_t* chunk) noexcept {
  if (pool_ != nullptr) {
    pool_->release(chunk, ChunkPool::Use::kToSend);
  } else {
    delete[] chunk;
  }
}

void ByteQueue::consume(std::size_t n) noexcept {
  assert(n <= size_);
  const std::size_t first = head_ / ChunkPool::kChunk;
  size_ -= n;
  head_ += n;
  const std::size_t spent = size_ == 0 ? chunks_.size() : head_ / ChunkPool::kChunk;
  for (std::size_t i = first; i < spent; ++i) free_chunk(chunks_[i]);
  if (size_ == 0) {
    chunks_.clear();
    head_ = 0;
  } else if (worth_moving(chunks_, spent)) {
    chunks_.erase(chunks_.begin(), chunks_.begin() + static_cast<std::ptrdiff_t>(spent));
    head_ %= ChunkPool::kChunk;
  }
  free_if_empty(chunks_);
}

std::size_t ByteQueue::spans(std::size_t offset, std::size_t length,
                             std::span<Bytes> out) const noexcept {
  assert(offset + length <= size_);
  std::size_t used = 0;
  std::size_t at = head_ + offset;
  while (length > 0 && used < out.size()) {
    const std::size_t in_chunk = at % ChunkPool::kChunk;
    const std::size_t n = std::min(length, ChunkPool::kChunk - in_chunk);
    out[used++] = Bytes{chunks_[at / ChunkPool::kChunk] + in_chunk, n};
    at += n;
    length -= n;
  }
  return used;
}

void ByteQueue::copy(std::size_t offset, MutableBytes out) const noexcept {
  assert(offset + out.size() <= size_);
  std::size_t at = head_ + offset;
  std::size_t done = 0;
  while (done < out.size()) {
    const std::size_t in_chunk = at % ChunkPool::kChunk;
    const std::size_t n = std::min(out.size() - done, ChunkPool::kChunk - in_chunk);
    std::memcpy(out.data() + done, chunks_[at / ChunkPool::kChunk] + in_chunk, n);
    at += n;
    done += n;
  }
}

void ByteQueue::clear() noexcept {
  if (size_ > 0) consume(size_);
}

}  // namespace vtl
