// Frames for the model tests: two ends that can say anything, checksums right.
#pragma once

#include <cstdint>
#include <vector>

#include "vtl/model/end.h"
#include "vtl/wire/checksum.h"
#include "vtl/wire/ethernet.h"
#include "vtl/wire/ipv4.h"
#include "vtl/wire/ipv6.h"
#include "vtl/wire/tcp.h"
#include "vtl/wire/udp.h"

namespace vtl::model::test {

using Octets = std::vector<std::uint8_t>;

/// Addresses and link layer of the two ends; index by End.
struct Net {
  bool v6 = false;
  std::uint16_t vlan = 0;
  bool ipv4_options = false;
  std::uint8_t ttl[2] = {61, 57};
  std::uint16_t port[2] = {40000, 80};

  [[nodiscard]] wire::IpAddress address(End end) const {
    if (v6) return *wire::Ipv6Address::parse(end == End::kA ? "2001:db8::a" : "2001:db8::b");
    return end == End::kA ? wire::Ipv4Address(192, 0, 2, 1) : wire::Ipv4Address(198, 51, 100, 2);
  }
  [[nodiscard]] static wire::MacAddress mac(End end) {
    return wire::MacAddress({2, 0, 0, 0, 0, static_cast<std::uint8_t>(end == End::kA ? 1 : 2)});
  }

  void put_front(Octets& frame, const auto& fields) const {
    Octets head(fields.size());
    fields.emit(head);
    frame.insert(frame.begin(), head.begin(), head.end());
  }

  /// The frame from `from` around a transport segment, whose checksum lies at `checksum_at`.
  [[nodiscard]] Octets wrap(End from, wire::IpProtocol protocol, Octets segment,
                            std::size_t checksum_at) const {
    const auto source = address(from);
    const auto destination = address(other(from));
    store_be16(segment, checksum_at,
               wire::transport_checksum(source, destination, protocol, segment));
    if (v6) {
      put_front(segment, wire::Ipv6Fields{source.v6(), destination.v6(), protocol, ttl[index(from)],
                                          0, wire::Ecn::kNotEct,
                                          0x100 + static_cast<std::uint32_t>(index(from)),
                                          static_cast<std::uint16_t>(segment.size())});
    } else {
      wire::Ipv4Fields ip;
      ip.source = source.v4();
      ip.destination = destination.v4();
      ip.protocol = protocol;
      ip.ttl = ttl[index(from)];
      ip.identification = static_cast<std::uint16_t>(1000 * (1 + index(from)));
      ip.dont_fragment = true;
      ip.payload_length = static_cast<std::uint16_t>(segment.size());
      if (ipv4_options) {
        ip.option_length = 4;
        ip.options = {0x94, 4, 0, 0};
      }
      put_front(segment, ip);
    }
    wire::EthernetFields ethernet;
    ethernet.source = mac(from);
    ethernet.destination = mac(other(from));
    ethernet.ether_type = v6 ? wire::EtherType::kIpv6 : wire::EtherType::kIpv4;
    if (vlan != 0) {
      ethernet.tag_count = 1;
      ethernet.tags[0].vid = vlan;
    }
    put_front(segment, ethernet);
    return segment;
  }

  [[nodiscard]] Octets tcp(End from, wire::TcpFields fields, std::size_t payload = 0) const {
    fields.source = wire::Port(port[index(from)]);
    fields.destination = wire::Port(port[index(other(from))]);
    Octets segment(payload, 'p');
    put_front(segment, fields);
    return wrap(from, wire::IpProtocol::kTcp, segment, wire::TcpView::kChecksumOffset);
  }

  [[nodiscard]] Octets udp(End from, std::size_t payload) const {
    Octets segment(payload, 'u');
    put_front(segment,
              wire::UdpFields{wire::Port(port[index(from)]), wire::Port(port[index(other(from))]),
                              static_cast<std::uint16_t>(payload)});
    return wrap(from, wire::IpProtocol::kUdp, segment, wire::UdpView::kChecksumOffset);
  }
};

inline wire::TcpFields segment(std::uint8_t flags, std::uint32_t seq, std::uint32_t ack = 0,
                               std::uint16_t window = 1000) {
  wire::TcpFields f;
  f.flags.bits = flags;
  f.seq = wire::SeqNum(seq);
  f.ack = wire::SeqNum(ack);
  f.window = window;
  return f;
}

}  // namespace vtl::model::test
