#include "vtl/packet/access.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "vtl/wire/checksum.h"

namespace vtl {
namespace {

constexpr std::size_t kIpv4ChecksumAt = 10;
constexpr std::size_t kMacs = 12;

bool has_ports(const Packet& p) {
  return is_tcp(p) || is_udp(p);
}
std::size_t network(const Packet& p) {
  return p.layout().network_offset;
}
std::size_t transport(const Packet& p) {
  return p.layout().transport_offset;
}

bool tcp_flags_are(const Packet& p, std::uint8_t mask, std::uint8_t value) {
  return is_tcp(p) && (tcp_flags(p).bits & mask) == value;
}

std::uint8_t icmp_type(const Packet& p) {
  return load_u8(p.bytes(), transport(p));
}

bool has_port(const Packet& p, std::uint16_t number) {
  return source_port(p).value() == number || destination_port(p).value() == number;
}

std::size_t source_at(const Packet& p) {
  return network(p) + (is_ipv4(p) ? 12 : 8);
}
std::size_t destination_at(const Packet& p) {
  return network(p) + (is_ipv4(p) ? 16 : 24);
}

wire::IpAddress load_address(const Packet& p, std::size_t at) {
  assert(is_ip(p));
  if (is_ipv4(p)) return wire::Ipv4Address::load(p.bytes(), at);
  return wire::Ipv6Address::load(p.bytes(), at);
}

// Where a changed word counts.
enum class CountedIn : std::uint8_t { kIpHeader, kPseudoHeader, kTransport };

// The offset of the transport checksum field, 0 when there is none to keep.
std::size_t transport_checksum_at(const Packet& p) {
  switch (p.layout().transport) {
    case TransportKind::kTcp:
      return transport(p) + 16;
    case TransportKind::kUdp: {
      const std::size_t at = transport(p) + 6;
      const bool absent = p.meta().checksum.kind != ChecksumKind::kPartial && is_ipv4(p) &&
                          load_be16(p.bytes(), at) == 0;
      return absent ? 0 : at;
    }
    case TransportKind::kIcmpv4:
    case TransportKind::kIcmpv6:
      return transport(p) + 2;
    default:
      return 0;
  }
}

void update_transport_checksum(Packet& p, CountedIn where, std::uint16_t before,
                               std::uint16_t after) {
  if (where == CountedIn::kPseudoHeader && p.layout().transport == TransportKind::kIcmpv4) return;
  const std::size_t at = transport_checksum_at(p);
  if (at == 0) return;
  const MutableBytes frame = p.mutable_bytes();
  if (p.meta().checksum.kind == ChecksumKind::kPartial) {
    if (where != CountedIn::kPseudoHeader) return;
    // The field holds a sum, not its complement.
    const auto sum = static_cast<std::uint16_t>(~load_be16(frame, at));
    store_be16(frame, at, static_cast<std::uint16_t>(~wire::checksum_update(sum, before, after)));
    return;
  }
  std::uint16_t sum = wire::checksum_update(load_be16(frame, at), before, after);
  if (sum == 0 && is_udp(p)) sum = 0xffff;
  store_be16(frame, at, sum);
}

// Writes one 16-bit word at an even offset of its header and lets the checksums follow.
void set_word(Packet& p, std::size_t at, std::uint16_t after, CountedIn where) {
  const MutableBytes frame = p.mutable_bytes();
  const std::uint16_t before = load_be16(frame, at);
  if (before == after) return;
  store_be16(frame, at, after);
  if (where != CountedIn::kTransport && is_ipv4(p)) {
    const std::size_t sum_at = network(p) + kIpv4ChecksumAt;
    store_be16(frame, sum_at, wire::checksum_update(load_be16(frame, sum_at), before, after));
  }
  if (where != CountedIn::kIpHeader) update_transport_checksum(p, where, before, after);
}

void set_address(Packet& p, std::size_t at, const wire::IpAddress& address) {
  assert(is_ip(p) && address.is_v4() == is_ipv4(p));
  std::array<std::uint8_t, 16> octets{};
  std::size_t size = wire::Ipv4Address::kSize;
  if (address.is_v4()) {
    address.v4().store(octets, 0);
  } else {
    size = wire::Ipv6Address::kSize;
    address.v6().store(octets, 0);
  }
  for (std::size_t i = 0; i < size; i += 2) {
    set_word(p, at + i, load_be16(octets, i), CountedIn::kPseudoHeader);
  }
}

void set_transport32(Packet& p, std::size_t at, std::uint32_t value) {
  set_word(p, at, static_cast<std::uint16_t>(value >> 16), CountedIn::kTransport);
  set_word(p, at + 2, static_cast<std::uint16_t>(value), CountedIn::kTransport);
}

// The octet that holds DSCP and ECN: IPv4's second; in IPv6 it straddles the first two.
std::uint8_t traffic_class(const Packet& p) {
  assert(is_ip(p));
  if (is_ipv4(p)) return load_u8(p.bytes(), network(p) + 1);
  return static_cast<std::uint8_t>(load_be16(p.bytes(), network(p)) >> 4);
}

void set_traffic_class(Packet& p, std::uint8_t value) {
  const std::uint16_t word = load_be16(p.bytes(), network(p));
  const auto after = is_ipv4(p) ? static_cast<std::uint16_t>((word & 0xff00) | value)
                                : static_cast<std::uint16_t>((word & 0xf00f) | (value << 4));
  set_word(p, network(p), after, CountedIn::kIpHeader);
}

void swap_octets(Packet& p, std::size_t a, std::size_t b, std::size_t size) {
  const MutableBytes frame = p.mutable_bytes();
  std::swap_ranges(&frame[a], &frame[a] + size, &frame[b]);
}

}  // namespace

bool is_icmp_error(const Packet& p) {
  if (p.layout().transport == TransportKind::kIcmpv6) return icmp_type(p) < 128;
  if (p.layout().transport != TransportKind::kIcmpv4) return false;
  const std::uint8_t type = icmp_type(p);
  return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

bool is_echo_request(const Packet& p) {
  return is_icmp(p) && icmp_type(p) == (is_ipv4(p) ? 8 : 128);
}
bool is_echo_reply(const Packet& p) {
  return is_icmp(p) && icmp_type(p) == (is_ipv4(p) ? 0 : 129);
}

bool is_neighbor_discovery(const Packet& p) {
  return p.layout().transport == TransportKind::kIcmpv6 && icmp_type(p) >= 133 &&
         icmp_type(p) <= 137;
}

bool is_syn(const Packet& p) {
  return tcp_flags_are(p, wire::TcpFlags::kSyn | wire::TcpFlags::kAck, wire::TcpFlags::kSyn);
}
bool is_syn_ack(const Packet& p) {
  constexpr std::uint8_t kBoth = wire::TcpFlags::kSyn | wire::TcpFlags::kAck;
  return tcp_flags_are(p, kBoth, kBoth);
}
bool is_rst(const Packet& p) {
  return tcp_flags_are(p, wire::TcpFlags::kRst, wire::TcpFlags::kRst);
}
bool is_fin(const Packet& p) {
  return tcp_flags_are(p, wire::TcpFlags::kFin, wire::TcpFlags::kFin);
}
bool is_pure_ack(const Packet& p) {
  constexpr std::uint8_t kMask =
      wire::TcpFlags::kSyn | wire::TcpFlags::kFin | wire::TcpFlags::kRst | wire::TcpFlags::kAck;
  return tcp_flags_are(p, kMask, wire::TcpFlags::kAck) && payload(p).empty();
}

bool is_dns(const Packet& p) {
  return has_ports(p) && has_port(p, 53);
}

bool is_dhcp(const Packet& p) {
  if (!is_udp(p)) return false;
  if (is_ipv4(p)) return has_port(p, 67) || has_port(p, 68);
  return has_port(p, 546) || has_port(p, 547);
}

bool is_broadcast(const Packet& p) {
  return p.size() >= kMacs && destination_mac(p).is_broadcast();
}
bool is_multicast(const Packet& p) {
  return p.size() >= kMacs && destination_mac(p).is_multicast();
}

Bytes payload(const Packet& p) {
  const Layout& layout = p.layout();
  if (layout.transport == TransportKind::kNone) return {};
  return p.bytes().subspan(layout.payload_offset, layout.end - layout.payload_offset);
}

wire::MacAddress source_mac(const Packet& p) {
  return wire::MacAddress::load(p.bytes(), 6);
}
wire::MacAddress destination_mac(const Packet& p) {
  return wire::MacAddress::load(p.bytes(), 0);
}
wire::IpAddress source_address(const Packet& p) {
  return load_address(p, source_at(p));
}
wire::IpAddress destination_address(const Packet& p) {
  return load_address(p, destination_at(p));
}

wire::Port source_port(const Packet& p) {
  assert(has_ports(p));
  return wire::Port(load_be16(p.bytes(), transport(p)));
}
wire::Port destination_port(const Packet& p) {
  assert(has_ports(p));
  return wire::Port(load_be16(p.bytes(), transport(p) + 2));
}

std::uint8_t hop_limit(const Packet& p) {
  assert(is_ip(p));
  return load_u8(p.bytes(), network(p) + (is_ipv4(p) ? 8 : 7));
}
std::uint8_t dscp(const Packet& p) {
  return traffic_class(p) >> 2;
}
std::uint8_t ecn(const Packet& p) {
  return traffic_class(p) & 3;
}

wire::SeqNum tcp_seq(const Packet& p) {
  assert(is_tcp(p));
  return wire::SeqNum(load_be32(p.bytes(), transport(p) + 4));
}
wire::SeqNum tcp_ack(const Packet& p) {
  assert(is_tcp(p));
  return wire::SeqNum(load_be32(p.bytes(), transport(p) + 8));
}
wire::TcpFlags tcp_flags(const Packet& p) {
  assert(is_tcp(p));
  return {load_u8(p.bytes(), transport(p) + 13)};
}
std::uint16_t tcp_window(const Packet& p) {
  assert(is_tcp(p));
  return load_be16(p.bytes(), transport(p) + 14);
}

void set_source_mac(Packet& p, const wire::MacAddress& mac) {
  mac.store(p.mutable_bytes(), 6);
}
void set_destination_mac(Packet& p, const wire::MacAddress& mac) {
  mac.store(p.mutable_bytes(), 0);
}
void set_source_address(Packet& p, const wire::IpAddress& address) {
  set_address(p, source_at(p), address);
}
void set_destination_address(Packet& p, const wire::IpAddress& address) {
  set_address(p, destination_at(p), address);
}
void set_source_port(Packet& p, wire::Port port) {
  assert(has_ports(p));
  set_word(p, transport(p), port.value(), CountedIn::kTransport);
}
void set_destination_port(Packet& p, wire::Port port) {
  assert(has_ports(p));
  set_word(p, transport(p) + 2, port.value(), CountedIn::kTransport);
}

void set_hop_limit(Packet& p, std::uint8_t hops) {
  assert(is_ip(p));
  if (!is_ipv4(p)) {
    store_u8(p.mutable_bytes(), network(p) + 7, hops);
    return;
  }
  const std::size_t at = network(p) + 8;
  const auto after = static_cast<std::uint16_t>(hops << 8 | load_u8(p.bytes(), at + 1));
  set_word(p, at, after, CountedIn::kIpHeader);
}

void set_dscp(Packet& p, std::uint8_t value) {
  assert(value < 64);
  set_traffic_class(p, static_cast<std::uint8_t>(value << 2 | ecn(p)));
}
void set_ecn(Packet& p, std::uint8_t value) {
  assert(value < 4);
  set_traffic_class(p, static_cast<std::uint8_t>(dscp(p) << 2 | value));
}

void set_tcp_seq(Packet& p, wire::SeqNum seq) {
  assert(is_tcp(p));
  set_transport32(p, transport(p) + 4, seq.value());
}
void set_tcp_ack(Packet& p, wire::SeqNum ack) {
  assert(is_tcp(p));
  set_transport32(p, transport(p) + 8, ack.value());
}
void set_tcp_flags(Packet& p, wire::TcpFlags flags) {
  assert(is_tcp(p));
  const std::size_t at = transport(p) + 12;
  const auto after = static_cast<std::uint16_t>(load_u8(p.bytes(), at) << 8 | flags.bits);
  set_word(p, at, after, CountedIn::kTransport);
}
void set_tcp_window(Packet& p, std::uint16_t window) {
  assert(is_tcp(p));
  set_word(p, transport(p) + 14, window, CountedIn::kTransport);
}

bool push_vlan(Packet& p, std::uint16_t tci, std::uint16_t tpid) {
  if (p.headroom() < 4 || p.size() < kMacs) return false;
  p.push_front(4);
  const MutableBytes frame = p.mutable_bytes();
  std::memmove(frame.data(), frame.data() + 4, kMacs);
  store_be16(frame, kMacs, tpid);
  store_be16(frame, kMacs + 2, tci);
  return true;
}

void pop_vlan(Packet& p) {
  if (!is_tagged(p)) return;
  const MutableBytes frame = p.mutable_bytes();
  std::memmove(frame.data() + 4, frame.data(), kMacs);
  p.pull_front(4);
}

void swap_macs(Packet& p) {
  swap_octets(p, 0, 6, 6);
}
void swap_addresses(Packet& p) {
  assert(is_ip(p));
  swap_octets(p, source_at(p), destination_at(p), is_ipv4(p) ? 4 : 16);
}
void swap_ports(Packet& p) {
  assert(has_ports(p));
  swap_octets(p, transport(p), transport(p) + 2, 2);
}

}  // namespace vtl
