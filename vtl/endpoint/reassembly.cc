#include "vtl/endpoint/reassembly.h"

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <cstring>
#include <utility>

namespace vtl::endpoint {

Bytes ReceiveBuffer::front() const noexcept {
  if (begin_ == end_) return {};
  const std::size_t at = front_offset();
  return {chunks_[chunk_of(begin_)] + at, std::min(readable(), ChunkPool::kChunk - at)};
}

void ReceiveBuffer::consume(std::size_t n) noexcept {
  assert(n <= readable());
  begin_ += n;
  trim();
}

std::uint8_t* ReceiveBuffer::release_front() noexcept {
  assert(front_is_alone());
  std::uint8_t* const chunk = std::exchange(chunks_[chunk_of(begin_)], nullptr);
  --held_;
  begin_ += std::min(readable(), ChunkPool::kChunk - front_offset());
  trim();
  return chunk;
}

std::size_t ReceiveBuffer::insert(std::size_t offset, Bytes bytes) {
  const std::uint64_t before = end_;
  if (bytes.empty()) return 0;
  if (offset == 0) {
    if (last_chunk_left()) base_ = end_;
    const std::size_t stored = store(end_, bytes, /*in_order=*/true);
    end_ += stored;
    if (stored < bytes.size() && !ranges_.empty()) {
      forget_all();
      if (last_chunk_left()) base_ = end_;
      end_ += store(end_, bytes.subspan(stored), /*in_order=*/true);
    }
    auto reached = ranges_.begin();
    for (; reached != ranges_.end() && reached->begin <= end_; ++reached) {
      end_ = std::max(end_, reached->end);
      out_of_order_ -= static_cast<std::uint32_t>(reached->end - reached->begin);
    }
    ranges_.erase(ranges_.begin(), reached);
    if (ranges_.empty() && ranges_.capacity() > 0) std::vector<Stored>().swap(ranges_);
  } else {
    const std::uint64_t position = end_ + offset;
    const std::size_t stored = store(position, bytes, /*in_order=*/false);
    if (stored < bytes.size()) ++forgotten_;
    if (stored > 0) remember(position, position + stored);
    while (too_sparse()) forget_farthest();
  }
  trim();
  assert(holds_what_it_remembers());
  return static_cast<std::size_t>(end_ - before);
}

ReceiveBuffer::Range ReceiveBuffer::range(std::size_t i) const noexcept {
  return {static_cast<std::size_t>(ranges_[i].begin - end_),
          static_cast<std::size_t>(ranges_[i].end - end_)};
}

std::size_t ReceiveBuffer::range_after(std::size_t offset) const noexcept {
  const auto at = std::upper_bound(ranges_.begin(), ranges_.end(), end_ + offset,
                                   [](std::uint64_t p, const Stored& r) { return p < r.end; });
  return static_cast<std::size_t>(at - ranges_.begin());
}

std::size_t ReceiveBuffer::memory() const noexcept {
  return std::size_t{held_} * ChunkPool::kChunk + heap_of(chunks_) +
         ranges_.capacity() * sizeof(Stored);
}

void ReceiveBuffer::clear() noexcept {
  std::vector<Stored>().swap(ranges_);
  out_of_order_ = 0;
  begin_ = end_;
  trim();
}

std::uint8_t* ReceiveBuffer::new_chunk() {
  auto* chunk = pool_ != nullptr ? pool_->allocate(ChunkPool::Use::kReceived)
                                 : new std::uint8_t[ChunkPool::kChunk];
  if (chunk != nullptr) ++held_;
  return chunk;
}

void ReceiveBuffer::free_chunk(std::uint8_t* chunk) noexcept {
  if (chunk == nullptr) return;
  --held_;
  if (pool_ != nullptr) {
    pool_->release(chunk, ChunkPool::Use::kReceived);
  } else {
    delete[] chunk;
  }
}

bool ReceiveBuffer::may_store(bool in_order) const noexcept {
  if (pool_ == nullptr) return true;
  return in_order ? pool_->available(ChunkPool::Use::kReceived, held_) > 0
                  : pool_->available_out_of_order() > 0;
}

// Nothing is held, and there is one chunk to hold what comes.
bool ReceiveBuffer::last_chunk_left() const noexcept {
  return pool_ != nullptr && chunks_.empty() && pool_->available(ChunkPool::Use::kReceived, 0) == 1;
}

std::size_t ReceiveBuffer::room() const noexcept {
  if (pool_ == nullptr) return SIZE_MAX;
  const std::size_t more = pool_->available(ChunkPool::Use::kReceived, held_) * ChunkPool::kChunk;
  const std::size_t index = chunk_of(end_);
  const bool open = index < chunks_.size() && chunks_[index] != nullptr;
  const std::size_t at = last_chunk_left() ? 0 : place_of(end_);
  if (open) return ChunkPool::kChunk - at + more;
  return more > 0 ? more - at : 0;
}

// Copies octets to their place and returns how many, fewer when the pool is spent.
std::size_t ReceiveBuffer::store(std::uint64_t position, Bytes bytes, bool in_order) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const std::size_t index = chunk_of(position + done);
    if (index >= chunks_.size()) chunks_.resize(index + 1, nullptr);
    if (chunks_[index] == nullptr && may_store(in_order)) {
      chunks_[index] = new_chunk();
    }
    if (chunks_[index] == nullptr) break;
    const std::size_t at = place_of(position + done);
    const std::size_t n = std::min(bytes.size() - done, ChunkPool::kChunk - at);
    std::memcpy(chunks_[index] + at, bytes.data() + done, n);
    done += n;
  }
  return done;
}

void ReceiveBuffer::remember(std::uint64_t begin, std::uint64_t end) {
  // The ranges that overlap or touch [begin, end) melt into one.
  const auto first = std::lower_bound(ranges_.begin(), ranges_.end(), begin,
                                      [](const Stored& r, std::uint64_t at) { return r.end < at; });
  auto last = first;
  while (last != ranges_.end() && last->begin <= end) {
    begin = std::min(begin, last->begin);
    end = std::max(end, last->end);
    ++last;
  }
  for (auto it = first; it != last; ++it)
    out_of_order_ -= static_cast<std::uint32_t>(it->end - it->begin);
  if (first != last) {
    *first = {begin, end};
    ranges_.erase(first + 1, last);
  } else if (first == ranges_.end() && ranges_.size() >= kMaxRanges) {  // it is the farthest itself
    ++forgotten_;
    return;
  } else {
    ranges_.insert(first, {begin, end});
  }
  out_of_order_ += static_cast<std::uint32_t>(end - begin);
  // Not before it stands there: what nobody remembers loses its chunk.
  if (ranges_.size() > kMaxRanges) forget_farthest();
}

// Every octet that is readable or remembered has its chunk.
bool ReceiveBuffer::holds_what_it_remembers() const noexcept {
  const auto held = [this](std::uint64_t begin, std::uint64_t end) {
    for (std::size_t i = chunk_of(begin); begin < end && i <= chunk_of(end - 1); ++i) {
      if (i >= chunks_.size() || chunks_[i] == nullptr) return false;
    }
    return true;
  };
  return held(begin_, end_) && std::ranges::all_of(ranges_, [&](const Stored& range) {
           return held(range.begin, range.end);
         });
}

// The chunks that nothing readable lies in, against what their octets are worth.
bool ReceiveBuffer::too_sparse() const noexcept {
  const std::size_t readable_chunks =
      begin_ == end_ ? 0 : chunk_of(end_ - 1) - chunk_of(begin_) + 1;
  const std::size_t allowed = kSparseChunks + kSparseFactor * out_of_order() / ChunkPool::kChunk;
  return held_ - readable_chunks > allowed && !ranges_.empty();
}

void ReceiveBuffer::forget_farthest() noexcept {
  out_of_order_ -= static_cast<std::uint32_t>(ranges_.back().end - ranges_.back().begin);
  ranges_.pop_back();
  ++forgotten_;
  trim();
}

// Frees the chunks of all that is out of order.
void ReceiveBuffer::forget_all() noexcept {
  forgotten_ += static_cast<std::uint32_t>(ranges_.size());
  ranges_.clear();
  out_of_order_ = 0;
  trim();
}

// Frees the chunks before the readable part, and those after everything that is remembered.
void ReceiveBuffer::trim() noexcept {
  const std::uint64_t last = ranges_.empty() ? end_ : ranges_.back().end;
  std::size_t keep = last == begin_ ? 0 : chunk_of(last - 1) + 1;
  if (begin_ == end_ && ranges_.empty()) keep = 0;
  while (chunks_.size() > keep) {
    free_chunk(chunks_.back());
    chunks_.pop_back();
  }
  // Those before the ones that were read since the last time are null.
  const std::size_t spent = std::min(chunks_.size(), chunk_of(begin_));
  for (std::size_t i = spent; i > 0 && chunks_[i - 1] != nullptr; --i) {
    free_chunk(std::exchange(chunks_[i - 1], nullptr));
  }
  if (worth_moving(chunks_, spent)) {
    chunks_.erase(chunks_.begin(), chunks_.begin() + static_cast<std::ptrdiff_t>(spent));
    base_ += spent * ChunkPool::kChunk;
  }
  if (chunks_.empty()) base_ = begin_ - begin_ % ChunkPool::kChunk;
  free_if_empty(chunks_);
}

}  // namespace vtl::endpoint
