// Frames to segments and back: how a service that plays a TCP end meets the packets of its link.
//
// to_segment() reads a checked segment out of a packet; make_tcp_frame() writes the frame that
// carries an endpoint's segment: Ethernet with the flow's tag, IP, TCP, payload; checksum left
// partial and a super-frame left whole, for the interface to finish; marked as played.
// Thread rule: free functions over their arguments.
#pragma once

#include <cstdint>
#include <optional>

#include "vtl/endpoint/endpoint.h"
#include "vtl/packet/packet.h"
#include "vtl/wire/flow_key.h"

namespace vtl::service {

/// How frames of one direction of a connection are addressed.
struct FramePath {
  wire::MacAddress source_mac;
  wire::MacAddress destination_mac;
  wire::FlowKey key;  ///< source and destination as in the frames; `vlan` tags them when not 0
  std::uint8_t dscp = 0;
  std::uint8_t ttl = 64;
  std::uint16_t ip_id = 0;  ///< of the next IPv4 frame; make_tcp_frame() counts it on
};

enum class SegmentError : std::uint8_t { kMalformed, kBadChecksum };

/// The TCP segment in `packet`, whose layout says TCP, no fragment, no error. The payload lies in
/// the packet. A finished checksum is verified; a partial or device-verified one is trusted.
[[nodiscard]] Result<endpoint::Segment, SegmentError> to_segment(const Packet& packet) noexcept;

/// The frame for `segment`, or an empty packet when the pool is at its bound.
[[nodiscard]] Packet make_tcp_frame(PacketPool& pool, FramePath& path,
                                    const endpoint::OutSegment& segment);

}  // namespace vtl::service
