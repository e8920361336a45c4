#include "vtl/packet/packet.h"

#include <algorithm>
#include <cstring>
#include <new>

namespace vtl {
namespace {

// Room behind the largest frame for what is put after it (padding, a pushed tag's worth).
constexpr std::size_t kLargeCapacity = kPacketHeadroom + kMaxFrame + 107;
constexpr std::size_t kSmallCapacity = kPacketHeadroom + kSmallFrame;
static_assert(kSmallCapacity % 64 == 0 && kLargeCapacity % 64 == 0);

constexpr std::size_t footprint(bool large) {
  return sizeof(internal::Buffer) + (large ? kLargeCapacity : kSmallCapacity);
}

void shift_offsets(PacketMeta& meta, std::ptrdiff_t by) {
  if (meta.checksum.kind == ChecksumKind::kPartial) {
    meta.checksum.start = static_cast<std::uint16_t>(meta.checksum.start + by);
  }
  if (meta.gso.is_super()) {
    meta.gso.header_length = static_cast<std::uint16_t>(meta.gso.header_length + by);
  }
}

void free_to_heap(internal::Buffer* buffer) {
  buffer->~Buffer();
  ::operator delete(buffer, std::align_val_t{alignof(internal::Buffer)});
}

}  // namespace

void Packet::push_front(std::size_t n) noexcept {
  assert(n <= headroom());
  buffer_->begin -= static_cast<std::uint32_t>(n);
  buffer_->size += static_cast<std::uint32_t>(n);
  buffer_->layout_known = false;
  shift_offsets(buffer_->meta, static_cast<std::ptrdiff_t>(n));
}

void Packet::pull_front(std::size_t n) noexcept {
  assert(n <= size());
  buffer_->begin += static_cast<std::uint32_t>(n);
  buffer_->size -= static_cast<std::uint32_t>(n);
  buffer_->layout_known = false;
  shift_offsets(buffer_->meta, -static_cast<std::ptrdiff_t>(n));
}

PacketPool::~PacketPool() {
  assert(in_use_ == 0 && "a packet outlives its pool");
  for (FreeList* list : {&small_, &large_}) {
    while (list->first != nullptr) {
      free_to_heap(std::exchange(list->first, list->first->next_free));
    }
  }
}

Packet PacketPool::allocate(std::size_t size, std::size_t headroom) {
  // Tested apart so that no sum can wrap.
  if (size > kLargeCapacity || headroom > kLargeCapacity - size) return {};
  const bool large = headroom + size > kSmallCapacity;
  if (in_use_ + footprint(large) > limits_.max_bytes) return {};
  FreeList& list = large ? large_ : small_;
  internal::Buffer* buffer = list.first;
  if (buffer != nullptr) {
    list.first = buffer->next_free;
    --list.count;
  } else {
    void* memory =
        ::operator new(footprint(large), std::align_val_t{alignof(internal::Buffer)}, std::nothrow);
    if (memory == nullptr) return {};
    buffer = new (memory) internal::Buffer;
    buffer->pool = this;
    buffer->large = large;
    buffer->capacity = static_cast<std::uint32_t>(large ? kLargeCapacity : kSmallCapacity);
  }
  in_use_ += footprint(large);
  buffer->begin = static_cast<std::uint32_t>(headroom);
  buffer->size = static_cast<std::uint32_t>(size);
  buffer->layout_known = false;
  buffer->meta = PacketMeta{};
  return Packet(buffer);
}

void PacketPool::release(internal::Buffer* buffer) noexcept {
  const bool large = buffer->large;
  in_use_ -= footprint(large);
  FreeList& list = large ? large_ : small_;
  if ((list.count + 1) * footprint(large) > kMaxFreeBytes) {
    free_to_heap(buffer);
    return;
  }
  buffer->next_free = list.first;
  list.first = buffer;
  ++list.count;
}

Packet PacketPool::copy_of(Bytes frame) {
  Packet copy = allocate(frame.size());
  if (copy && !frame.empty()) {
    std::memcpy(copy.mutable_bytes().data(), frame.data(), frame.size());
  }
  return copy;
}

Packet PacketPool::clone(const Packet& packet) {
  Packet copy = copy_of(packet.bytes());
  if (!copy) return copy;
  copy.buffer_->meta = packet.buffer_->meta;
  copy.buffer_->layout_known = packet.buffer_->layout_known;
  copy.buffer_->layout = packet.buffer_->layout;
  return copy;
}

}  // namespace vtl
