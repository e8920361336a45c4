// Derivative packets: new frames made from one at hand.
//
// All keep the original's Ethernet and IP surroundings (VLAN tags, IP version, addresses, ports)
// and come complete: lengths and checksums right, no super-frame. They take their buffer from the
// original's pool and are empty when it is at its bound, when the result would be longer than
// kMaxFrame, or when the original is of a class that the function cannot answer; the functions say
// which. Thread rule: as the packet's.
#pragma once

#include "vtl/packet/packet.h"

namespace vtl {

/// The same headers around another payload. TCP, UDP and ICMP; the IP packet may not exceed 65535
/// octets. TCP sequence numbers stay as they are.
[[nodiscard]] Packet with_payload(const Packet& original, Bytes payload);

/// A frame back to the sender: MACs, addresses and ports swapped, hop limit 64, no IP options or
/// extension headers, this payload. UDP, and ICMP echo requests (answered by an echo reply; give
/// payload(original) to answer as RFC 792 wants). TCP has tcp_reset_for() and the endpoint.
[[nodiscard]] Packet reply_to(const Packet& original, Bytes payload);

/// The reset that answers a TCP segment of no connection (RFC 9293 section 3.10.7.1), as sent by
/// its destination. Empty for a segment that is a reset itself.
[[nodiscard]] Packet tcp_reset_for(const Packet& original);

enum class IcmpError : std::uint8_t {
  kNetworkUnreachable,
  kHostUnreachable,
  kPortUnreachable,
  kAdministrativelyProhibited,
  kPacketTooBig,  ///< IPv4: fragmentation needed (RFC 1191)
  kTimeExceeded,
};

/// The ICMP error about `original`, sent to its source in the name of its destination: IPv4 with as
/// much of the original as fits 576 octets (RFC 1812 section 4.3.2.3), IPv6 1280 (RFC 4443 section
/// 2.4). `mtu` is for kPacketTooBig. Empty where RFC 1122 section 3.2.2 and RFC 4443 section 2.4(e)
/// forbid an error: about an ICMP error, a multicast or broadcast (kPacketTooBig on IPv6 excepted),
/// a later fragment, an unspecified or multicast source.
[[nodiscard]] Packet icmp_error_for(const Packet& original, IcmpError error, std::uint16_t mtu = 0);

/// The ARP reply that tells the sender of the request `original` that `mac` has the address asked
/// for. Empty for anything but an ARP request.
[[nodiscard]] Packet arp_reply_for(const Packet& original, const wire::MacAddress& mac);

}  // namespace vtl
