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

#include <cstdint>
#include <memory>
#include <optional>
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
/// Frames up to this size use the small buffer class (jumbo MTU 9000 uses the large one).
inline constexpr std::size_t kSmallFrame = 2048;

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
};

class PacketPool;

namespace internal {
/// A buffer's header; the octets follow it. Owned by a PacketPool.
struct Buffer;
}  // namespace internal

class Packet {
 public:
  /// No packet: only destruction, assignment and operator bool.
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
  void reset() noexcept;

  [[nodiscard]] Bytes bytes() const noexcept;
  /// To write. Whoever writes into headers calls headers_changed() afterwards.
  [[nodiscard]] MutableBytes mutable_bytes() noexcept;
  [[nodiscard]] std::size_t size() const noexcept;
  [[nodiscard]] std::size_t headroom() const noexcept;
  [[nodiscard]] std::size_t tailroom() const noexcept;

  /// Grows the front by n <= headroom() octets, uninitialised.
  void push_front(std::size_t n) noexcept;
  /// Cuts n <= size() octets off the front.
  void pull_front(std::size_t n) noexcept;
  /// Sets the size; growth is uninitialised and at most tailroom().
  void resize(std::size_t n) noexcept;

  [[nodiscard]] PacketMeta& meta() noexcept;
  [[nodiscard]] const PacketMeta& meta() const noexcept;

  /// Where the headers are: parsed at the first call, then cached.
  [[nodiscard]] const Layout& layout() const noexcept;
  /// Forgets the cached layout.
  void headers_changed() noexcept;

  /// The pool that the buffer belongs to; derivative packets come from it.
  [[nodiscard]] PacketPool& pool() const noexcept;

 private:
  friend class PacketPool;
  explicit Packet(internal::Buffer* buffer) noexcept : buffer_(buffer) {}
  internal::Buffer* buffer_ = nullptr;
};

/// Buffers for the packets of one worker, in two size classes with a bound on their sum.
/// Thread rule: one thread. Must outlive its packets.
class PacketPool {
 public:
  struct Limits {
    std::size_t max_bytes = std::size_t{512} << 20;  ///< of buffer memory in use at once
  };
  PacketPool() : PacketPool(Limits{}) {}
  explicit PacketPool(Limits limits);
  ~PacketPool();
  PacketPool(const PacketPool&) = delete;
  PacketPool& operator=(const PacketPool&) = delete;

  /// A packet of `size` uninitialised octets with `headroom` in front, from the smallest class that
  /// holds both. Empty when the pool is at its bound; the caller counts kNoPacketBuffer.
  [[nodiscard]] Packet allocate(std::size_t size, std::size_t headroom = kPacketHeadroom);
  /// A packet holding a copy of `frame`.
  [[nodiscard]] Packet copy_of(Bytes frame);
  /// A copy of `packet`, metadata included, in the smallest class that holds it: to keep a small
  /// frame that was read into a large buffer, or to send one frame two ways.
  [[nodiscard]] Packet clone(const Packet& packet);

  [[nodiscard]] std::size_t bytes_in_use() const noexcept { return in_use_; }

 private:
  friend class Packet;
  void release(internal::Buffer* buffer) noexcept;
  Limits limits_;
  std::size_t in_use_ = 0;
  internal::Buffer* free_small_ = nullptr;
  internal::Buffer* free_large_ = nullptr;
  std::size_t free_large_count_ = 0;
};

/// Packets that travel together. Bounded by kMaxBatch where interfaces fill it.
using Batch = std::vector<Packet>;
inline constexpr std::size_t kMaxBatch = 64;

}  // namespace vtl
