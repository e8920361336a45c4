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
  std::size_t taken = 0;
  while (taken < bytes.size()) {
    const std::size_t end = head_ + size_;
    if (end == chunks_.size() * ChunkPool::kChunk) {
      auto* chunk = pool_ != nullptr ? pool_->allocate(ChunkPool::Use::kToSend)
                                     : new std::uint8_t[ChunkPool::kChunk];
      if (chunk == nullptr) break;
      chunks_.push_back(chunk);
    }
    const std::size_t at = end % ChunkPool::kChunk;
    const std::size_t n = std::min(bytes.size() - taken, ChunkPool::kChunk - at);
    std::memcpy(chunks_[end / ChunkPool::kChunk] + at, bytes.data() + taken, n);
    size_ += n;
    taken += n;
  }
  return taken;
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
