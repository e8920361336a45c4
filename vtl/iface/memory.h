// Memory interfaces: two ends of a wire inside the process. For tests and simulations.
//
// Theory of operation. What one end writes, the other reads, in order. Frames wait in a bounded
// queue each way; a full one is backpressure. Each end copies on writing and on reading, so the two
// ends may use different pools and run on different threads.
// Thread rule: one thread per end. Limits: `queue` frames each way.
#pragma once

#include <memory>
#include <utility>

#include "vtl/iface/interface.h"

namespace vtl::iface {

struct MemoryOptions {
  std::string name = "memory";
  std::size_t mtu = 1500;    ///< octets after the Ethernet header (and VLAN tags)
  std::size_t queue = 1024;  ///< frames that wait to be read by this end
  bool super_frames = true;  ///< carries super-frames and partial checksums to the other end whole
  wire::MacAddress mac{};
};

/// Two connected ends. When one is destroyed the other reads kClosed after the last frame, and what
/// it writes is dropped as kInterfaceDown. The fd() of an end is readable while frames wait.
[[nodiscard]] Outcome<std::pair<std::unique_ptr<Interface>, std::unique_ptr<Interface>>>
open_memory_pair(const MemoryOptions& first, const MemoryOptions& second);

}  // namespace vtl::iface
