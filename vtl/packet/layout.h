// Layout: where the headers of a frame are, found once.
//
// parse_layout() walks Ethernet, up to two VLAN tags, ARP or IP with its options and extension
// headers, to the transport header, checking every length on the way; what it cannot vouch for it
// does not claim. A frame with a malformed header has `error` set and the offsets of what came
// before it. Unknown EtherTypes and protocols are no error: they have no deeper layer (a third VLAN
// tag is such an EtherType). An IPv6 extension header that is not read here is one: nobody can say
// what follows it.
// Thread rule: values.
#pragma once

#include <cstdint>
#include <optional>

#include "vtl/base/bytes.h"
#include "vtl/base/drop_reason.h"
#include "vtl/wire/flow_key.h"

namespace vtl {

enum class NetworkKind : std::uint8_t { kOther, kArp, kIpv4, kIpv6 };
enum class TransportKind : std::uint8_t { kNone, kTcp, kUdp, kIcmpv4, kIcmpv6, kOther };

/// More IPv6 extension headers than this are malformed (RFC 8504 section 5.3 lets a host bound
/// them).
inline constexpr unsigned kMaxIpv6Extensions = 8;

struct Layout {
  NetworkKind network = NetworkKind::kOther;
  TransportKind transport = TransportKind::kNone;
  /// Any fragment of a larger IP packet, the first included. Later fragments have no transport.
  /// An IPv6 atomic fragment (RFC 6946) is the whole packet and none.
  bool is_fragment = false;
  bool is_first_fragment = false;
  std::uint8_t vlan_tags = 0;
  /// The outermost 802.1Q VLAN identifier; 0 when untagged.
  std::uint16_t vlan = 0;
  std::uint16_t ether_type = 0;        ///< the innermost
  std::uint8_t ip_protocol = 0;        ///< after extension headers
  std::uint16_t network_offset = 0;    ///< 14, 18 or 22 when there is a network layer
  std::uint16_t transport_offset = 0;  ///< valid when transport != kNone
  std::uint16_t payload_offset = 0;    ///< first octet after the transport header
  /// End of the IP packet in the frame: what follows is Ethernet padding. For a super-frame the
  /// IP length field may be 0 or short; then the frame's end counts.
  std::uint32_t end = 0;
  /// Why the walk stopped early, as the drop it would be.
  std::optional<DropReason> error;

  [[nodiscard]] bool is_ip() const noexcept {
    return network == NetworkKind::kIpv4 || network == NetworkKind::kIpv6;
  }
};

/// `super_frame`: the IP length need not cover the frame.
[[nodiscard]] Layout parse_layout(Bytes frame, bool super_frame) noexcept;

/// The flow of a TCP or UDP frame that is no fragment; nullopt for others and malformed ones.
[[nodiscard]] std::optional<wire::FlowKey> flow_key(Bytes frame, const Layout& layout) noexcept;

}  // namespace vtl
