#include "vtl/base/chunk_pool.h"

#include <cassert>

namespace vtl {
namespace {

std::size_t less(std::size_t a, std::size_t b) {
  return a > b ? a - b : 0;
}

}  // namespace

ChunkPool::ChunkPool(std::size_t max_bytes)
    : max_bytes_(max_bytes),
      chunks_(max_bytes / kChunk),
      share_(chunks_ > 1 ? std::max<std::size_t>(chunks_ / 8, 1) : 0) {
  free_.reserve(std::min(chunks_, kMostFree));
}

ChunkPool::~ChunkPool() {
  assert(received_ == 0 && to_send_ == 0);
  for (auto* chunk : free_) delete[] chunk;
}

std::size_t ChunkPool::available(Use use, std::size_t held) const noexcept {
  const std::size_t of_use = use == Use::kReceived ? received_ : to_send_;
  const std::size_t all = less(chunks_, received_ + to_send_);
  const std::size_t last = std::min(all, less(chunks_ - share_, of_use));
  const std::size_t ordinary = less(last, share_);
  if (held >= kModest) return ordinary;
  return std::max(ordinary, std::min(last, kModest - held));
}

std::uint8_t* ChunkPool::allocate(Use use) {
  if (received_ + to_send_ >= chunks_) return nullptr;
  ++(use == Use::kReceived ? received_ : to_send_);
  if (free_.empty()) return new std::uint8_t[kChunk];
  auto* chunk = free_.back();
  free_.pop_back();
  return chunk;
}

void ChunkPool::release(std::uint8_t* chunk, Use use) noexcept {
  std::size_t& of_use = use == Use::kReceived ? received_ : to_send_;
  assert(of_use > 0);
  --of_use;
  if (free_.size() < free_.capacity() && free_.size() < kMostFree) {
    free_.push_back(chunk);
  } else {
    delete[] chunk;
  }
}

void ChunkPool::hand_over() noexcept {
  assert(received_ > 0);
  --received_;
  ++to_send_;
}

}  // namespace vtl
