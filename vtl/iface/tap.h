// Tap interfaces: a device of VTL's own, whose other end is the host's kernel (or a VMM).
//
// What it is: /dev/net/tun with the virtio header, so super-frames and partial checksums stay
// whole. Frames that the host sends into the device are read; frames written arrive at the host as
// if from a wire. The device is made when it does not exist and goes with its last user; a
// persistent one (`ip tuntap add`) is attached to and stays.
//
// Several workers share a device through its queues. The kernel chooses the queue of a flow by
// itself: it follows the queue on which the flow's frames were last written.
//
// Limits: the device's transmit queue (txqueuelen, 500 to 1000 frames); beyond it the host's kernel
// drops. Device down: what is written is dropped as kInterfaceDown. Device removed: read() says
// kClosed. Buffers of the pool first given to read() are kept between reads. Needs CAP_NET_ADMIN,
// or a persistent device that belongs to the user.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "vtl/iface/interface.h"

namespace vtl::iface {

struct TapOptions {
  std::string device{};  ///< at most 15 characters; a "%d" in it becomes the first free number
  bool bring_up = true;  ///< set the device up once it is open
};

[[nodiscard]] Outcome<std::unique_ptr<Interface>> open_tap(const TapOptions& options);

/// One interface per worker, 1 to kMaxTapWorkers. With more than one the device must be, or
/// becomes, one of several queues.
inline constexpr std::uint32_t kMaxTapWorkers = 64;
[[nodiscard]] Outcome<std::vector<std::unique_ptr<Interface>>> open_tap_workers(
    const TapOptions& options, std::uint32_t workers);

}  // namespace vtl::iface
