// A whole frame in one line, for people.
//
// "02:00:00:00:00:01 > 02:00:00:00:00:02 vlan 7 IPv4 192.0.2.1 > 198.51.100.2 tcp 4000 > 80 [SYN]
// seq 1 win 65535 <mss 1460> length 0". Bytes that are no sane header are told as such, in
// brackets, and so is a wrong checksum when asked to check. Allocates: not for the data path.
#pragma once

#include <string>

#include "vtl/base/bytes.h"

namespace vtl::wire {

struct PrintOptions {
  bool link_layer = true;  ///< MAC addresses, tags and EtherType
  /// Verify checksums. Off: on veth, tap and virtio frames with unfinished ones are normal.
  bool checksums = false;
  bool super_frame = false;  ///< the IP length need not cover the frame
};

[[nodiscard]] std::string print_frame(Bytes frame, const PrintOptions& options = {});

}  // namespace vtl::wire
