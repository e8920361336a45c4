// Backend: what the interfaces of this room have in common.
//
// The name, the counters, and the way frames leave: whatever a backend cannot carry as it is, it
// cuts or completes here. write() sends frame by frame through send_some(); segments of a
// super-frame that found no room wait inside, and the super-frame they came from stays in the
// caller's batch as an empty packet, so that the caller comes back. A backend that can send a frame
// in part does the same with it: it keeps the rest, leaves the packet empty and not done with, and
// sends the rest in finish_frame(). write_gathered() is for backends whose system call takes pieces
// behind a virtio header: send_pieces().
// Thread rule: as Interface. Bounds: at most kMaxSegments segments wait.
#pragma once

#include <sys/uio.h>

#include <span>
#include <string>
#include <utility>

#include "vtl/iface/interface.h"

namespace vtl::iface {

class Backend : public Interface {
 public:
  [[nodiscard]] const std::string& name() const noexcept override { return name_; }
  [[nodiscard]] const InterfaceCounters& counters() const noexcept override { return counters_; }
  [[nodiscard]] std::size_t write(std::span<Packet> batch) override;
  [[nodiscard]] bool write_gathered(const Packet& head, std::span<const Bytes> payload) override;

 protected:
  explicit Backend(std::string name) : name_(std::move(name)) {}

  /// How far a frame must be prepared before send_some() sees it.
  struct Carries {
    bool tcp_super = false;
    bool udp_super = false;
    bool partial_checksum = false;
  };
  [[nodiscard]] virtual Carries carries() const noexcept = 0;

  /// Sends what is left of a frame that went in part; false: no room now. Comes before any other
  /// sending, so send_some() never finds such a rest.
  [[nodiscard]] virtual bool finish_frame() { return true; }

  /// Sends from the front of `frames` and returns how many it is done with: sent and counted by
  /// sent(), or let go by dropped(). Fewer than given: no room now. None of them is empty but,
  /// perhaps, the first, after a frame that went in part: it is done with then.
  [[nodiscard]] virtual std::size_t send_some(std::span<Packet> frames) = 0;

  /// Sends one frame in `pieces`, a virtio header first, now; false: it was not sent. A backend
  /// that can, and carries partial checksums, says so by gathers().
  [[nodiscard]] virtual bool send_pieces(std::span<iovec> pieces) {
    (void)pieces;
    return false;
  }

  void received(const Packet& packet) noexcept {
    counters_.rx_frames.add();
    counters_.rx_bytes.add(packet.size());
    if (packet.meta().gso.is_super()) counters_.rx_super_frames.add();
  }
  /// Counts `packet` as sent and gives its buffer back.
  void sent(Packet& packet) noexcept {
    counters_.tx_frames.add();
    counters_.tx_bytes.add(packet.size());
    if (packet.meta().gso.is_super()) counters_.tx_super_frames.add();
    packet.reset();
  }
  void dropped(Packet& packet, DropReason why) noexcept {
    counters_.drops.add(why);
    packet.reset();
  }

  InterfaceCounters counters_;

 private:
  [[nodiscard]] bool must_cut(const Packet& packet) const noexcept;
  [[nodiscard]] bool flush_segments();

  std::string name_;
  Batch segments_;  // of one super-frame, waiting for room
  std::size_t next_segment_ = 0;
};

}  // namespace vtl::iface
