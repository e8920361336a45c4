// Frame: what the models need to know of an Ethernet frame that carries IP, read once.
//
// Plain values and one span. A Frame must not outlive its bytes. Thread rule: values.
#pragma once

#include "vtl/wire/ethernet.h"
#include "vtl/wire/ipv4.h"
#include "vtl/wire/ipv6.h"

namespace vtl::model {

struct Frame {
  wire::EthernetFields ethernet;
  wire::IpAddress source;
  wire::IpAddress destination;
  wire::IpProtocol protocol = wire::IpProtocol::kNoNext;  ///< after extension headers
  std::uint8_t ttl = 0;                                   ///< or hop limit
  std::uint8_t dscp = 0;
  bool dont_fragment = false;  ///< IPv4
  /// The identification of an IPv4 packet, the flow label of an IPv6 packet.
  std::uint32_t label = 0;
  Bytes transport;  ///< transport header and payload
};

/// `super_frame`: the IP length need not cover the frame. A frame without IP, and any fragment of a
/// larger packet, is kUnsupported: it has no transport header to go by, or not all of its payload.
[[nodiscard]] wire::Parsed<Frame> parse_frame(Bytes frame, bool super_frame = false) noexcept;

}  // namespace vtl::model
