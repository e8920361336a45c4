// The portable interface: libpcap reads, libnet writes, one frame a library call.
//
// What VTL was in 2007, kept as the baseline and for systems without anything better: deliberately
// simple. Frames are MTU-sized and have finished checksums, for neither library tells of offloads:
// turn them off at whoever sends into the device (`ethtool -K DEVICE tx off tso off gso off gro
// off`), or his frames are dropped as kRxTruncated and arrive with wrong checksums.
// Frames that this host sends are not seen; those addressed to the device's MAC are left to the
// host. Super-frames to be written are cut, partial checksums finished. Needs CAP_NET_RAW.
#pragma once

#include <memory>
#include <string>

#include "vtl/iface/interface.h"

namespace vtl::iface {

struct PcapOptions {
  std::string device{};
  bool promiscuous = true;
  bool host_frames = false;  ///< read frames addressed to the device's own MAC too
  std::string filter{};      ///< pcap-filter(7): read only what matches; empty: everything
  std::size_t receive_buffer = std::size_t{8} << 20;  ///< octets
};

[[nodiscard]] Outcome<std::unique_ptr<Interface>> open_pcap(const PcapOptions& options);

}  // namespace vtl::iface
