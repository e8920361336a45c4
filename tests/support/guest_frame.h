// Frames as a guest sends them, made field by field. Thread rule: free functions.
#pragma once

#include <algorithm>
#include <vector>

#include "vtl/packet/checksum.h"
#include "vtl/packet/packet.h"
#include "vtl/wire/ethernet.h"
#include "vtl/wire/ipv4.h"
#include "vtl/wire/ipv6.h"
#include "vtl/wire/udp.h"

namespace vtl::test {

inline constexpr wire::MacAddress kGuestMac({2, 0, 0, 0, 0, 0x11});

struct GuestFrame {
  wire::MacAddress source = kGuestMac;
  wire::MacAddress destination = wire::MacAddress::broadcast();
  std::vector<std::uint16_t> vlans{};  ///< outermost first
  std::uint8_t pcp = 0;                ///< of the outermost
  std::uint8_t hop_limit = 64;
};

inline wire::EthernetFields ethernet_of(const GuestFrame& frame, wire::EtherType type) {
  wire::EthernetFields out;
  out.source = frame.source;
  out.destination = frame.destination;
  out.ether_type = type;
  for (const std::uint16_t vlan : frame.vlans) {
    out.tags[out.tag_count].vid = vlan;
    out.tags[out.tag_count].pcp = out.tag_count == 0 ? frame.pcp : std::uint8_t{0};
    ++out.tag_count;
  }
  return out;
}

/// With `payload` behind the Ethernet header.
inline Packet ethernet_frame(PacketPool& pool, const GuestFrame& frame, wire::EtherType type,
                             Bytes payload) {
  const wire::EthernetFields ethernet = ethernet_of(frame, type);
  Packet out = pool.allocate(ethernet.size() + payload.size());
  ethernet.emit(out.mutable_bytes());
  std::ranges::copy(payload, out.mutable_bytes().subspan(ethernet.size()).begin());
  return out;
}

/// An IP packet around `transport`, whose checksum is made right.
inline Packet ip_frame(PacketPool& pool, const GuestFrame& frame, const wire::IpAddress& source,
                       const wire::IpAddress& destination, wire::IpProtocol protocol,
                       Bytes transport) {
  std::vector<std::uint8_t> packet;
  if (source.is_v4()) {
    wire::Ipv4Fields ip;
    ip.source = source.v4();
    ip.destination = destination.v4();
    ip.protocol = protocol;
    ip.ttl = frame.hop_limit;
    ip.payload_length = static_cast<std::uint16_t>(transport.size());
    packet.resize(ip.size());
    ip.emit(packet);
  } else {
    wire::Ipv6Fields ip;
    ip.source = source.v6();
    ip.destination = destination.v6();
    ip.next_header = protocol;
    ip.hop_limit = frame.hop_limit;
    ip.payload_length = static_cast<std::uint16_t>(transport.size());
    packet.resize(ip.size());
    ip.emit(packet);
  }
  packet.insert(packet.end(), transport.begin(), transport.end());
  Packet out = ethernet_frame(
      pool, frame, source.is_v4() ? wire::EtherType::kIpv4 : wire::EtherType::kIpv6, packet);
  compute_checksums(out);
  return out;
}

inline Packet udp_frame(PacketPool& pool, const GuestFrame& frame,
                        const wire::SocketAddress& source, const wire::SocketAddress& destination,
                        Bytes payload) {
  std::vector<std::uint8_t> datagram(wire::UdpFields::kSize);
  wire::UdpFields{source.port, destination.port, static_cast<std::uint16_t>(payload.size())}.emit(
      datagram);
  datagram.insert(datagram.end(), payload.begin(), payload.end());
  return ip_frame(pool, frame, source.address, destination.address, wire::IpProtocol::kUdp,
                  datagram);
}

}  // namespace vtl::test
