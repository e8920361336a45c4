// Packet: one frame, owned.
//
// A move-only handle to a pooled, linear buffer with headroom, so that headers can be put in front
// without moving the payload. A buffer of the large class holds a 64 KiB super-frame. The metadata
// says what the bytes alone do not: when the frame came, whether its checksum is finished, and
// whether it stands for several segments. Partial checksums and super-frames are the normal case on
// veth, tap and virtio: no code may take a checksum for finished, or a frame for MTU-sized.
//
// Thread rule: a packet belongs to one thread at a time; its buffer goes back to the pool that made
// it, so it must die on that pool's thread.
// Invariants: headroom() + size() + tailroom() == capacity; the cached layout, if any, describes
// the present bytes: whoever changes header bytes calls headers_changed().
#pragma once

#include <array>
#include <cassert>
#include <cstdint>
#include <utility>
#include <vector>

#include "vtl/base/bytes.h"
#include "vtl/base/drop_reason.h"
#include "vtl/base/time.h"
#include "vtl/packet/layout.h"

namespace vtl {

inline constexpr std::size_t kPacketHeadroom = 128;
/// The largest frame: an Ethernet header, two VLAN tags and a 64 KiB IP packet.
inline constexpr std::size_t kMaxFrame = 14 + 8 + 65535;
/// Frames up to these sizes use the small and the jumbo class of buffers (MTU 9216 with its headers
/// is jumbo), others the large one.
inline constexpr std::size_t kSmallFrame = 2048;
inline constexpr std::size_t kJumboFrame = 9280;

enum class ChecksumKind : std::uint8_t {
  kComplete,  ///< what the header says is what a receiver would check
  kPartial,   ///< the field holds the pseudo-header's folded sum; the rest is to be added
  kVerified,  ///< the device has checked it (or it never left this host)
};

/// The transport checksum's state, as virtio 1.2 section 5.1.6 knows it.
struct ChecksumState {
  ChecksumKind kind = ChecksumKind::kComplete;
  std::uint16_t start = 0;   ///< kPartial: sum from this offset in the frame to its end
  std::uint16_t offset = 0;  ///< kPartial: and store it at start + offset
};

enum class GsoKind : std::uint8_t { kNone, kTcpV4, kTcpV6, kUdp };

/// How a super-frame is to be cut: `segment_size` octets of payload in every segment but the last.
struct Gso {
  GsoKind kind = GsoKind::kNone;
  bool ecn = false;  ///< TCP: CWR set in the first segment only
  std::uint16_t segment_size = 0;
  std::uint16_t header_length = 0;  ///< octets of all headers, Ethernet to transport
  [[nodiscard]] bool is_super() const noexcept { return kind != GsoKind::kNone; }
};

struct PacketMeta {
  Time arrival{};
  ChecksumState checksum;
  Gso gso;
  bool played = false;  ///< made by a service that plays an end of its connection
};

class PacketPool;

inline constexpr std::size_t kPacketSizeClasses = 3;

namespace internal {

/// A buffer's header; `capacity` octets follow it. Owned by a PacketPool.
struct alignas(64) Buffer {
  PacketPool* pool = nullptr;
  Buffer* next_free = nullptr;
  std::uint32_t begin = 0;
  std::uint32_t size = 0;
  std::uint32_t capacity = 0;
  std::uint8_t size_class = 0;
  mutable bool layout_known = false;
  PacketMeta meta;
  mutable Layout layout;

  [[nodiscard]] std::uint8_t* octets() noexcept {
    return reinterpret_cast<std::uint8_t*>(this) + sizeof(Buffer);
  }
};

}  // namespace internal

class Packet {
 public:
  /// No packet: only destruction, assignment, operator bool and size().
  Packet() noexcept = default;
  Packet(Packet&& other) noexcept : buffer_(std::exchange(other.buffer_, nullptr)) {}
  Packet& operator=(Packet&& other) noexcept {
    if (this != &other) {
      reset();
      buffer_ = std::exchange(other.buffer_, nullptr);
    }
    return *this;
  }
  Packet(const Packet&) = delete;
  Packet& operator=(const Packet&) = delete;
  ~Packet() { reset(); }

  explicit operator bool() const noexcept { return buffer_ != nullptr; }
  /// Gives the buffer back to its pool now.
  inline void reset() noexcept;

  [[nodiscard]] Bytes bytes() const noexcept { return {data(), buffer_->size}; }
  /// To write. Whoever writes into headers calls headers_changed() afterwards.
  [[nodiscard]] MutableBytes mutable_bytes() noexcept { return {data(), buffer_->size}; }
  /// Octets; 0 for no packet.
  [[nodiscard]] std::size_t size() const noexcept { return buffer_ == nullptr ? 0 : buffer_->size; }
  [[nodiscard]] std::size_t headroom() const noexcept { return buffer_->begin; }
  [[nodiscard]] std::size_t tailroom() const noexcept {
    return buffer_->capacity - buffer_->begin - buffer_->size;
  }

  /// Grows the front by n <= headroom() octets, uninitialised. Offsets in the metadata
  /// (partial checksum, GSO header length) count from the front: this moves them along.
  void push_front(std::size_t n) noexcept;
  /// Cuts n <= size() octets off the front; offsets in the metadata move along.
  void pull_front(std::size_t n) noexcept;
  /// Sets the size; growth is uninitialised and at most tailroom().
  void resize(std::size_t n) noexcept {
    assert(n <= size() + tailroom());
    buffer_->size = static_cast<std::uint32_t>(n);
    buffer_->layout_known = false;
  }

  [[nodiscard]] PacketMeta& meta() noexcept { return buffer_->meta; }
  [[nodiscard]] const PacketMeta& meta() const noexcept { return buffer_->meta; }

  /// Where the headers are: parsed at the first call, then cached.
  [[nodiscard]] const Layout& layout() const noexcept {
    if (!buffer_->layout_known) {
      buffer_->layout = parse_layout(bytes(), buffer_->meta.gso.is_super());
      buffer_->layout_known = true;
    }
    return buffer_->layout;
  }
  /// Forgets the cached layout.
  void headers_changed() noexcept { buffer_->layout_known = false; }

  /// The pool that the buffer belongs to; derivative packets come from it.
  [[nodiscard]] PacketPool& pool() const noexcept { return *buffer_->pool; }

 private:
  friend class PacketPool;
  explicit Packet(internal::Buffer* buffer) noexcept : buffer_(buffer) {}
  [[nodiscard]] std::uint8_t* data() const noexcept { return buffer_->octets() + buffer_->begin; }
  internal::Buffer* buffer_ = nullptr;
};

/// Buffers for the packets of one worker, in three size classes with a bound on their sum. Released
/// buffers wait in free lists, the last used first; beyond kMaxFreeBytes a class they go back to
/// the heap. Thread rule: one thread. Must outlive its packets.
class PacketPool {
 public:
  struct Limits {
    std::size_t max_bytes = std::size_t{512} << 20;  ///< of buffer memory in use at once
  };
  /// Memory that each of the free lists may hold.
  static constexpr std::size_t kMaxFreeBytes = std::size_t{64} << 20;

  PacketPool() : PacketPool(Limits{}) {}
  explicit PacketPool(Limits limits) : limits_(limits) {}
  ~PacketPool();
  PacketPool(const PacketPool&) = delete;
  PacketPool& operator=(const PacketPool&) = delete;

  /// A packet of `size` uninitialised octets with `headroom` in front, from the smallest class that
  /// holds both. Empty when the pool is at its bound (the caller counts kNoPacketBuffer) or no
  /// class is that large.
  [[nodiscard]] Packet allocate(std::size_t size, std::size_t headroom = kPacketHeadroom);
  /// A packet holding a copy of `frame`; empty as for allocate().
  [[nodiscard]] Packet copy_of(Bytes frame);
  /// A copy of `packet`, metadata included, in the smallest class that holds it: to keep a small
  /// frame that was read into a large buffer, or to send one frame two ways. Empty as for
  /// allocate().
  [[nodiscard]] Packet clone(const Packet& packet);
  /// Whether a clone would take a smaller class than `packet` does.
  [[nodiscard]] static bool is_oversized(const Packet& packet) noexcept;

  /// Buffer memory held by live packets, headers included.
  [[nodiscard]] std::size_t bytes_in_use() const noexcept { return in_use_; }

 private:
  friend class Packet;
  struct FreeList {
    internal::Buffer* first = nullptr;
    std::size_t count = 0;
  };
  void release(internal::Buffer* buffer) noexcept;
  Limits limits_;
  std::size_t in_use_ = 0;
  std::array<FreeList, kPacketSizeClasses> free_;
};

inline void Packet::reset() noexcept {
  if (buffer_ != nullptr) buffer_->pool->release(std::exchange(buffer_, nullptr));
}

/// Packets that travel together. Bounded by kMaxBatch where interfaces fill it.
using Batch = std::vector<Packet>;
inline constexpr std::size_t kMaxBatch = 64;

}  // namespace vtl
