// Packet Access: what a frame is, and its fields read, written and swapped.
//
// The getters read through the cached layout. The setters keep the packet whole: IPv4's header
// checksum and the transport's follow every change incrementally (RFC 1624), whatever state the
// latter is in: a partial one holds the pseudo-header's sum only, so addresses change it and ports
// do not; an absent UDP one stays absent. Fragments: the first carries the transport checksum and
// is updated; later ones carry none.
// Preconditions are on the class of the packet (a port needs is_tcp or is_udp) and asserted.
// Thread rule: as the packet's.
#pragma once

#include "vtl/packet/packet.h"
#include "vtl/wire/seq.h"
#include "vtl/wire/tcp.h"

namespace vtl {

// Class queries. False for a frame whose headers are malformed at that layer.

[[nodiscard]] inline bool is_malformed(const Packet& p) {
  return p.layout().error.has_value();
}
[[nodiscard]] inline bool is_ip(const Packet& p) {
  return p.layout().is_ip();
}
[[nodiscard]] inline bool is_ipv4(const Packet& p) {
  return p.layout().network == NetworkKind::kIpv4;
}
[[nodiscard]] inline bool is_ipv6(const Packet& p) {
  return p.layout().network == NetworkKind::kIpv6;
}
[[nodiscard]] inline bool is_arp(const Packet& p) {
  return p.layout().network == NetworkKind::kArp;
}
[[nodiscard]] inline bool is_tcp(const Packet& p) {
  return p.layout().transport == TransportKind::kTcp;
}
[[nodiscard]] inline bool is_udp(const Packet& p) {
  return p.layout().transport == TransportKind::kUdp;
}
[[nodiscard]] inline bool is_icmp(const Packet& p) {
  return p.layout().transport == TransportKind::kIcmpv4 ||
         p.layout().transport == TransportKind::kIcmpv6;
}
/// ICMP that reports an error about another packet (RFC 792; RFC 4443: types below 128).
[[nodiscard]] bool is_icmp_error(const Packet& p);
[[nodiscard]] bool is_echo_request(const Packet& p);
[[nodiscard]] bool is_echo_reply(const Packet& p);
/// IPv6 neighbour discovery, redirect included (RFC 4861: types 133 to 137).
[[nodiscard]] bool is_neighbor_discovery(const Packet& p);
[[nodiscard]] inline bool is_fragment(const Packet& p) {
  return p.layout().is_fragment;
}
[[nodiscard]] inline bool is_tagged(const Packet& p) {
  return p.layout().vlan_tags != 0;
}
/// SYN without ACK: opens a connection.
[[nodiscard]] bool is_syn(const Packet& p);
[[nodiscard]] bool is_syn_ack(const Packet& p);
[[nodiscard]] bool is_rst(const Packet& p);
[[nodiscard]] bool is_fin(const Packet& p);
/// An acknowledgement and nothing else: no SYN, FIN, RST and no payload.
[[nodiscard]] bool is_pure_ack(const Packet& p);
/// UDP or TCP from or to port 53.
[[nodiscard]] bool is_dns(const Packet& p);
/// DHCPv4 or DHCPv6, either direction.
[[nodiscard]] bool is_dhcp(const Packet& p);
[[nodiscard]] bool is_broadcast(const Packet& p);
/// The group bit of the destination MAC: broadcast too.
[[nodiscard]] bool is_multicast(const Packet& p);

// Getters.

/// What follows the transport header, without Ethernet padding; empty without a transport layer.
[[nodiscard]] Bytes payload(const Packet& p);
[[nodiscard]] wire::MacAddress source_mac(const Packet& p);       ///< size() >= 14
[[nodiscard]] wire::MacAddress destination_mac(const Packet& p);  ///< size() >= 14
[[nodiscard]] wire::IpAddress source_address(const Packet& p);    ///< is_ip
[[nodiscard]] wire::IpAddress destination_address(const Packet& p);
[[nodiscard]] wire::Port source_port(const Packet& p);  ///< is_tcp or is_udp
[[nodiscard]] wire::Port destination_port(const Packet& p);
/// TTL or hop limit.
[[nodiscard]] std::uint8_t hop_limit(const Packet& p);  ///< is_ip
/// The six DSCP bits (RFC 2474), 0..63.
[[nodiscard]] std::uint8_t dscp(const Packet& p);  ///< is_ip
/// The two ECN bits (RFC 3168): 0 not-ECT, 1 ECT(1), 2 ECT(0), 3 CE.
[[nodiscard]] std::uint8_t ecn(const Packet& p);
[[nodiscard]] wire::SeqNum tcp_seq(const Packet& p);  ///< is_tcp
[[nodiscard]] wire::SeqNum tcp_ack(const Packet& p);
[[nodiscard]] wire::TcpFlags tcp_flags(const Packet& p);
[[nodiscard]] std::uint16_t tcp_window(const Packet& p);  ///< as on the wire, not scaled

// Setters.

void set_source_mac(Packet& p, const wire::MacAddress& mac);
void set_destination_mac(Packet& p, const wire::MacAddress& mac);
/// `address` is of the packet's own IP version.
void set_source_address(Packet& p, const wire::IpAddress& address);
void set_destination_address(Packet& p, const wire::IpAddress& address);
void set_source_port(Packet& p, wire::Port port);
void set_destination_port(Packet& p, wire::Port port);
void set_hop_limit(Packet& p, std::uint8_t hops);
void set_dscp(Packet& p, std::uint8_t value);
void set_ecn(Packet& p, std::uint8_t value);
void set_tcp_seq(Packet& p, wire::SeqNum seq);
void set_tcp_ack(Packet& p, wire::SeqNum ack);
void set_tcp_flags(Packet& p, wire::TcpFlags flags);
void set_tcp_window(Packet& p, std::uint16_t window);

/// Puts an 802.1Q tag in front of the present ones. `tci`: priority, DEI and VLAN identifier.
/// Needs four octets of headroom; false without.
[[nodiscard]] bool push_vlan(Packet& p, std::uint16_t tci, std::uint16_t tpid = 0x8100);
/// Takes the outermost tag away; nothing to do when untagged.
void pop_vlan(Packet& p);

// Swaps: the packet's direction turned round, without touching a checksum, for the sums of
// swapped fields are the same.

void swap_macs(Packet& p);
void swap_addresses(Packet& p);  ///< is_ip
void swap_ports(Packet& p);      ///< is_tcp or is_udp

}  // namespace vtl
