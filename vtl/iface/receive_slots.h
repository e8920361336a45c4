// ReceiveSlots: buffers ready for a scattered read of a frame whose size is not known yet.
//
// Theory of operation. A small frame should land in a small buffer, and a super-frame should not be
// copied. So each slot offers the kernel three pieces: the virtio header, a small buffer, and
// behind it a large buffer at the offset where the rest of a large frame belongs. If the frame fits
// the small buffer, that is the packet and the large one waits for the next; else the small
// buffer's octets (kSmallFrame, cheap) are copied to the front of the large one. Thread rule: one
// thread, that of the pool. Invariant: a ready slot has both packets.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstring>

#include "vtl/iface/vnet_header.h"
#include "vtl/packet/packet.h"

namespace vtl::iface {

class ReceiveSlots {
 public:
  static constexpr std::size_t kPieces = 3;
  /// The longest frame: a super-frame whose outer tag the kernel holds is still within kMaxFrame.
  static constexpr std::size_t kFrameRoom = kMaxFrame;

  /// Makes slots [0, n) ready as far as the pool gives buffers, and returns how many are.
  std::size_t prepare(PacketPool& pool, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) {
      Slot& slot = slots_[i];
      if (!slot.large) slot.large = pool.allocate(kFrameRoom);
      if (!slot.small && slot.large) slot.small = pool.allocate(kSmallFrame);
      if (!slot.small) return i;
      slot.pieces[0] = {&slot.header, sizeof slot.header};
      slot.pieces[1] = {slot.small.mutable_bytes().data(), kSmallFrame};
      slot.pieces[2] = {slot.large.mutable_bytes().data() + kSmallFrame, kFrameRoom - kSmallFrame};
    }
    return n;
  }

  [[nodiscard]] iovec* pieces(std::size_t i) { return slots_[i].pieces.data(); }
  [[nodiscard]] const VnetHeader& header(std::size_t i) const { return slots_[i].header; }

  /// Takes the frame of `size` octets that was read into slot `i`; size <= kFrameRoom.
  Packet take(std::size_t i, std::size_t size) {
    Slot& slot = slots_[i];
    if (size <= kSmallFrame) {
      slot.small.resize(size);
      return std::move(slot.small);
    }
    std::memcpy(slot.large.mutable_bytes().data(), slot.small.bytes().data(), kSmallFrame);
    slot.large.resize(size);
    return std::move(slot.large);
  }

 private:
  struct Slot {
    Packet small;
    Packet large;
    VnetHeader header;
    std::array<iovec, kPieces> pieces{};
  };
  std::array<Slot, kMaxBatch> slots_;
};

}  // namespace vtl::iface
