// Frames to segments and back: how a service that plays a TCP end meets the packets of its link.
//
// to_segment() reads a checked segment out of a packet; make_tcp_frame() writes the frame that
// carries an endpoint's segment: Ethernet with the flow's tag, IP, TCP, payload; checksum left
// partial and a super-frame left whole, for the interface to finish; marked as played.
// emit_tcp_frame() sends it, without putting a super-frame together where that can be spared.
// Thread rule: free functions over their arguments.
#pragma once

#include <cstdint>
#include <optional>

#include "vtl/endpoint/endpoint.h"
#include "vtl/engine/service.h"
#include "vtl/packet/packet.h"
#include "vtl/wire/flow_key.h"

namespace vtl::service {

/// How frames of one direction of a connection are addressed.
struct FramePath {
  wire::MacAddress source_mac;
  wire::MacAddress destination_mac;
  wire::FlowKey key;  ///< source and destination as in the frames; `vlan` tags them when not 0
  std::uint8_t dscp = 0;
  std::uint8_t pcp = 0;  ///< priority in the tag, 0..7
  std::uint8_t ttl = 64;
  std::uint16_t ip_id =
      0;  ///< of the next IPv4 frame; make_tcp_frame() and emit_tcp_frame() count it on
};

/// True for a SYN that opens a connection: no ACK, no RST.
[[nodiscard]] constexpr bool opens_connection(wire::TcpFlags flags) noexcept {
  return flags.syn() && !flags.ack() && !flags.rst();
}
/// Frames of this packet's kind can be made again: no VLAN tag, or one of IEEE 802.1Q.
[[nodiscard]] bool has_plain_tag(const Packet& packet) noexcept;
/// And a connection may begin with it: a priority tag, which belongs to no VLAN, could not be
/// answered in kind.
[[nodiscard]] bool may_open(const Packet& packet) noexcept;
/// The priority in the tag; 0 where there is none.
[[nodiscard]] std::uint8_t pcp_of(const Packet& packet) noexcept;

/// A frame of TCP or UDP to be kept until it is answered: a SYN while its connection opens, a
/// question while it is looked up. Without its payload where that would take a large buffer. Empty
/// when the pool is at its bound.
[[nodiscard]] Packet keep_for_answer(Packet packet);

/// The TCP segment in `packet`, whose layout says TCP, no fragment, no error; or why the packet is
/// to be dropped: bad-checksum, malformed-transport. The payload lies in the packet. A finished
/// checksum is verified; a partial or device-verified one is trusted.
[[nodiscard]] Result<endpoint::Segment, DropReason> to_segment(const Packet& packet) noexcept;

/// The frame for `segment`, or an empty packet when the pool is at its bound.
[[nodiscard]] Packet make_tcp_frame(PacketPool& pool, FramePath& path,
                                    const endpoint::OutSegment& segment);

/// Emits that frame; false: the pool is at its bound. A super-frame goes in pieces where it can
/// (ServiceContext::emit_gathered()).
[[nodiscard]] bool emit_tcp_frame(engine::ServiceContext& context, engine::Direction direction,
                                  FramePath& path, const endpoint::OutSegment& segment);

}  // namespace vtl::service
