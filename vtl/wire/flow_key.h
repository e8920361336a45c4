// FlowKey: what tells one transport connection from another, seen in one direction.
#pragma once

#include <cstdint>
#include <string>

#include "vtl/wire/addresses.h"

namespace vtl::wire {

/// IP protocol numbers that VTL knows by name (IANA "Assigned Internet Protocol Numbers").
enum class IpProtocol : std::uint8_t {
  kHopByHop = 0,
  kIcmp = 1,
  kTcp = 6,
  kUdp = 17,
  kIpv6 = 41,
  kRouting = 43,
  kFragment = 44,
  kEsp = 50,
  kAuthentication = 51,
  kIcmpv6 = 58,
  kNoNext = 59,
  kDestinationOptions = 60,
};

/// "tcp", "icmp6"; "proto-132" for one without a name here.
[[nodiscard]] std::string to_string(IpProtocol protocol);

struct FlowKey {
  SocketAddress source;
  SocketAddress destination;
  IpProtocol protocol = IpProtocol::kTcp;
  /// 802.1Q VLAN of the frame, 0 when untagged: the same addresses on two VLANs are two flows.
  std::uint16_t vlan = 0;

  [[nodiscard]] constexpr FlowKey reversed() const { return {destination, source, protocol, vlan}; }
  constexpr auto operator<=>(const FlowKey&) const = default;
  template <class H>
  friend H AbslHashValue(H h, const FlowKey& k) {
    return H::combine(std::move(h), k.source, k.destination, static_cast<std::uint8_t>(k.protocol),
                      k.vlan);
  }
};

/// "tcp 192.0.2.1:4000 > 198.51.100.2:80".
[[nodiscard]] std::string to_string(const FlowKey& key);

/// The same number for both directions of a flow, and the number that the AF_PACKET fanout program
/// computes (iface/af_packet): worker = symmetric_hash(key) % workers. For IPv4 the exclusive or of
/// the two addresses, for IPv6 of their eight 32-bit words; then of the two ports (not for
/// fragments: they carry none); then folded: h ^= h >> 16, h ^= h >> 8, all in 32 bits.
[[nodiscard]] std::uint32_t symmetric_hash(const FlowKey& key) noexcept;

}  // namespace vtl::wire
