// AF_PACKET interfaces: frames of an existing network device.
//
// What it is: a raw socket bound to the device, with the virtio header both ways, so super-frames
// and partial checksums stay whole, and VLAN tags put back where the kernel takes them off.
// Frames that the host itself sends through the device are not seen (so own frames are never
// looped) and, unless `host_frames` says otherwise, those addressed to the device's own MAC are
// left to the host. The host goes on seeing all frames too, unless the device is sealed (seal.h):
// then VTL reads all of them, whatever `host_frames` says, and the host none.
//
// Link down: nothing is read, what is written is dropped as kInterfaceDown; when the device comes
// back up, reading and writing go on. Device removed: read() says kClosed. A sealed device that is
// removed is waited for instead, and gone on with when it is back and sealed (with several workers
// it is sealed again, and closed all the same). While a device is not sealed that should be,
// nothing is carried: what comes is dropped as kUnsealed. Several workers: open_af_packet_workers()
// gives each its own socket of one fanout group; both directions of a flow reach worker
// wire::symmetric_hash() % workers.
//
// Limits: the socket's buffers; frames beyond are dropped by the kernel and counted in rx_missed.
// Frames larger than the MTU that are no super-frame are dropped as kTxTooLarge. Buffers of the
// pool first given to read() are kept between reads: give the same pool each time, and destroy the
// interface before it. Needs CAP_NET_RAW (and CAP_NET_ADMIN for the large buffers).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "vtl/iface/interface.h"
#include "vtl/iface/seal.h"

namespace vtl::iface {

struct AfPacketOptions {
  std::string device{};
  bool promiscuous = true;   ///< see frames to any MAC
  bool host_frames = false;  ///< read frames addressed to the device's own MAC too
  std::optional<SealUse> seal = std::nullopt;  ///< not said: off
  bool qdisc_bypass = false;  ///< send past the queueing discipline: no fairness, a little faster
  /// Octets of super-frames wanted at most from one read. What passes them on at once does best
  /// with few, which stay in the processor's cache; what gives them to a socket with many, which
  /// let its reader take long runs. 64 KiB to 4 MiB.
  std::size_t read_bytes = std::size_t{256} << 10;
  std::size_t receive_buffer = std::size_t{32} << 20;  ///< octets, kernel overhead included
  std::size_t send_buffer = std::size_t{8} << 20;      ///< the same, for sending
};

[[nodiscard]] Outcome<std::unique_ptr<Interface>> open_af_packet(const AfPacketOptions& options);

/// One interface per worker, in worker order. `workers` is 1 to kMaxAfPacketWorkers.
inline constexpr std::uint32_t kMaxAfPacketWorkers = 64;
[[nodiscard]] Outcome<std::vector<std::unique_ptr<Interface>>> open_af_packet_workers(
    const AfPacketOptions& options, std::uint32_t workers);

}  // namespace vtl::iface
