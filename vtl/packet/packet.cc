#include "vtl/packet/packet.h"

#include <algorithm>
#include <cstring>
#include <new>

namespace vtl {
namespace {

// Octets of each size class. Behind the largest frame there is room for what is put after it
// (padding, a pushed tag's worth).
constexpr std::array<std::size_t, kPacketSizeClasses> kCapacities{
    kPacketHeadroom + kSmallFrame, kPacketHeadroom + kJumboFrame,
    kPacketHeadroom + kMaxFrame + 107};
constexpr std::size_t kMostOctets = kCapacities.back();
static_assert(std::ranges::is_sorted(kCapacities));
static_assert(std::ranges::all_of(kCapacities, [](std::size_t c) { return c % 64 == 0; }));

// The smallest class that holds `octets`, at most kMostOctets.
constexpr std::size_t class_of(std::size_t octets) {
  std::size_t c = 0;
  while (octets > kCapacities[c]) ++c;
  return c;
}

constexpr std::size_t footprint(std::size_t size_class) {
  return sizeof(internal::Buffer) + kCapacities[size_class];
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
  for (FreeList& list : free_) {
    while (list.first != nullptr) {
      free_to_heap(std::exchange(list.first, list.first->next_free));
    }
  }
}

Packet PacketPool::allocate(std::size_t size, std::size_t headroom) {
  // Tested apart so that no sum can wrap.
  if (size > kMostOctets || headroom > kMostOctets - size) return {};
  const std::size_t size_class = class_of(headroom + size);
  const std::size_t bytes = footprint(size_class);
  if (in_use_ + bytes > limits_.max_bytes) return {};
  FreeList& list = free_[size_class];
  internal::Buffer* buffer = list.first;
  if (buffer != nullptr) {
    list.first = buffer->next_free;
    --list.count;
  } else {
    void* memory = ::operator new(bytes, std::align_val_t{alignof(internal::Buffer)}, std::nothrow);
    if (memory == nullptr) return {};
    buffer = new (memory) internal::Buffer;
    buffer->pool = this;
    buffer->size_class = static_cast<std::uint8_t>(size_class);
    buffer->capacity = static_cast<std::uint32_t>(kCapacities[size_class]);
  }
  in_use_ += bytes;
  buffer->begin = static_cast<std::uint32_t>(headroom);
  buffer->size = static_cast<std::uint32_t>(size);
  buffer->layout_known = false;
  buffer->meta = PacketMeta{};
  return Packet(buffer);
}

void PacketPool::release(internal::Buffer* buffer) noexcept {
  const std::size_t bytes = footprint(buffer->size_class);
  in_use_ -= bytes;
  FreeList& list = free_[buffer->size_class];
  if ((list.count + 1) * bytes > kMaxFreeBytes) {
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

bool PacketPool::is_oversized(const Packet& packet) noexcept {
  return class_of(std::min(kPacketHeadroom + packet.size(), kMostOctets)) <
         packet.buffer_->size_class;
}

}  // namespace vtl
