#include "vtl/packet/derive.h"

#include <algorithm>
#include <cstring>

#include "vtl/packet/access.h"
#include "vtl/packet/checksum.h"
#include "vtl/wire/tcp.h"

namespace vtl {
namespace {

constexpr std::uint8_t kHopLimit = 64;  // RFC 1700's recommended default
constexpr std::size_t kIpv4Header = 20, kIpv6Header = 40, kUdpHeader = 8, kIcmpHeader = 8;
constexpr std::size_t kMaxIpPacket = 65535;

void copy_in(Packet& p, std::size_t at, Bytes bytes) {
  if (!bytes.empty()) std::memcpy(p.mutable_bytes().data() + at, bytes.data(), bytes.size());
}

// A frame back to the sender of `original`: its Ethernet header with the MACs swapped, a bare IP
// header with the addresses swapped, and `transport_size` octets of zeros for the caller to fill.
Packet turned_round(const Packet& original, wire::IpProtocol protocol, std::size_t transport_size) {
  const Layout& layout = original.layout();
  const bool v4 = is_ipv4(original);
  const std::size_t ip = v4 ? kIpv4Header : kIpv6Header;
  if (ip + transport_size > kMaxIpPacket) return {};
  const std::size_t at = layout.network_offset;
  Packet out = original.pool().allocate(at + ip + transport_size);
  if (!out) return out;
  const MutableBytes frame = out.mutable_bytes();
  std::fill(frame.begin(), frame.end(), std::uint8_t{0});
  copy_in(out, 0, original.bytes().first(at));
  if (v4) {
    store_u8(frame, at, 0x45);
    store_be16(frame, at + 2, static_cast<std::uint16_t>(ip + transport_size));
    store_be16(frame, at + 6, 0x4000);  // DF: an atomic datagram, so its id means nothing
    store_u8(frame, at + 8, kHopLimit);
    store_u8(frame, at + 9, static_cast<std::uint8_t>(protocol));
    copy_in(out, at + 12, original.bytes().subspan(at + 16, 4));
    copy_in(out, at + 16, original.bytes().subspan(at + 12, 4));
  } else {
    store_u8(frame, at, 0x60);
    store_be16(frame, at + 4, static_cast<std::uint16_t>(transport_size));
    store_u8(frame, at + 6, static_cast<std::uint8_t>(protocol));
    store_u8(frame, at + 7, kHopLimit);
    copy_in(out, at + 8, original.bytes().subspan(at + 24, 16));
    copy_in(out, at + 24, original.bytes().subspan(at + 8, 16));
  }
  swap_macs(out);
  out.meta().arrival = original.meta().arrival;
  return out;
}

bool may_answer_with_error(const Packet& p, IcmpError error) {
  const Layout& layout = p.layout();
  if (!layout.is_ip() || is_icmp_error(p)) return false;
  if (layout.is_fragment && !layout.is_first_fragment) return false;
  const bool group_allowed = error == IcmpError::kPacketTooBig && is_ipv6(p);
  const wire::IpAddress source = source_address(p), destination = destination_address(p);
  if (is_ipv4(p)) {
    const wire::Ipv4Address s = source.v4(), d = destination.v4();
    if (s.is_unspecified() || s.is_multicast() || s.is_broadcast()) return false;
    return !is_multicast(p) && !d.is_multicast() && !d.is_broadcast();
  }
  const wire::Ipv6Address s = source.v6();
  if (s.is_unspecified() || s.is_multicast()) return false;
  return group_allowed || (!is_multicast(p) && !destination.v6().is_multicast());
}

struct IcmpTypeCode {
  std::uint8_t type;
  std::uint8_t code;
};

IcmpTypeCode type_code(IcmpError error, bool v4) {
  switch (error) {
    case IcmpError::kNetworkUnreachable:
      return v4 ? IcmpTypeCode{3, 0} : IcmpTypeCode{1, 0};
    case IcmpError::kHostUnreachable:
      return v4 ? IcmpTypeCode{3, 1} : IcmpTypeCode{1, 3};
    case IcmpError::kPortUnreachable:
      return v4 ? IcmpTypeCode{3, 3} : IcmpTypeCode{1, 4};
    case IcmpError::kAdministrativelyProhibited:
      return v4 ? IcmpTypeCode{3, 13} : IcmpTypeCode{1, 1};
    case IcmpError::kPacketTooBig:
      return v4 ? IcmpTypeCode{3, 4} : IcmpTypeCode{2, 0};
    case IcmpError::kTimeExceeded:
      return v4 ? IcmpTypeCode{11, 0} : IcmpTypeCode{3, 0};
  }
  return {3, 1};
}

}  // namespace

Packet with_payload(const Packet& original, Bytes payload) {
  const Layout& layout = original.layout();
  const bool known = is_tcp(original) || is_udp(original) || is_icmp(original);
  if (layout.error || !known || layout.is_fragment) return {};
  const std::size_t headers = layout.payload_offset;
  const std::size_t counted = is_ipv4(original) ? 0 : kIpv6Header;
  if (headers - layout.network_offset - counted + payload.size() > kMaxIpPacket) return {};
  Packet out = original.pool().allocate(headers + payload.size());
  if (!out) return out;
  copy_in(out, 0, original.bytes().first(headers));
  copy_in(out, headers, payload);
  out.meta().arrival = original.meta().arrival;
  // The copied lengths are the original's: write the new ones before the layout is parsed.
  const MutableBytes frame = out.mutable_bytes();
  const std::size_t at = layout.network_offset;
  store_be16(frame, at + (is_ipv4(original) ? 2 : 4),
             static_cast<std::uint16_t>(frame.size() - at - counted));
  if (is_udp(original)) {
    store_be16(frame, layout.transport_offset + 4U,
               static_cast<std::uint16_t>(frame.size() - layout.transport_offset));
  }
  compute_checksums(out);
  return out;
}

Packet reply_to(const Packet& original, Bytes payload) {
  if (is_fragment(original) || is_malformed(original)) return {};
  const bool echo = is_echo_request(original);
  if (!is_udp(original) && !echo) return {};
  const auto protocol = static_cast<wire::IpProtocol>(original.layout().ip_protocol);
  const std::size_t header = echo ? kIcmpHeader : kUdpHeader;
  Packet out = turned_round(original, protocol, header + payload.size());
  if (!out) return out;
  const std::size_t at = out.size() - payload.size() - header;
  const Bytes asked = original.bytes().subspan(original.layout().transport_offset, header);
  const MutableBytes frame = out.mutable_bytes();
  if (echo) {
    store_u8(frame, at, is_ipv4(original) ? 0 : 129);
    copy_in(out, at + 4, asked.subspan(4, 4));
  } else {
    store_be16(frame, at, load_be16(asked, 2));
    store_be16(frame, at + 2, load_be16(asked, 0));
    store_be16(frame, at + 4, static_cast<std::uint16_t>(header + payload.size()));
  }
  copy_in(out, at + header, payload);
  compute_checksums(out);
  return out;
}

Packet tcp_reset_for(const Packet& original) {
  if (!is_tcp(original) || is_fragment(original) || is_rst(original)) return {};
  Packet out = turned_round(original, wire::IpProtocol::kTcp, wire::TcpView::kMinSize);
  if (!out) return out;
  const wire::TcpFlags flags = tcp_flags(original);
  const std::uint32_t length = static_cast<std::uint32_t>(payload(original).size()) +
                               (flags.syn() ? 1 : 0) + (flags.fin() ? 1 : 0);
  const MutableBytes frame = out.mutable_bytes();
  const std::size_t at = out.size() - wire::TcpView::kMinSize;
  store_be16(frame, at, destination_port(original).value());
  store_be16(frame, at + 2, source_port(original).value());
  if (flags.ack()) {
    store_be32(frame, at + 4, tcp_ack(original).value());
    store_u8(frame, at + 13, wire::TcpFlags::kRst);
  } else {
    store_be32(frame, at + 8, (tcp_seq(original) + length).value());
    store_u8(frame, at + 13, wire::TcpFlags::kRst | wire::TcpFlags::kAck);
  }
  store_u8(frame, at + 12, 5 << 4);
  compute_checksums(out);
  return out;
}

Packet icmp_error_for(const Packet& original, IcmpError error, std::uint16_t mtu) {
  if (is_malformed(original) || !may_answer_with_error(original, error)) return {};
  const bool v4 = is_ipv4(original);
  const std::size_t limit = v4 ? 576 - kIpv4Header - kIcmpHeader : 1280 - kIpv6Header - kIcmpHeader;
  const Layout& layout = original.layout();
  const Bytes about = original.bytes().subspan(
      layout.network_offset, std::min<std::size_t>(limit, layout.end - layout.network_offset));
  Packet out = turned_round(original, v4 ? wire::IpProtocol::kIcmp : wire::IpProtocol::kIcmpv6,
                            kIcmpHeader + about.size());
  if (!out) return out;
  const std::size_t at = out.size() - about.size() - kIcmpHeader;
  const auto [type, code] = type_code(error, v4);
  const MutableBytes frame = out.mutable_bytes();
  store_u8(frame, at, type);
  store_u8(frame, at + 1, code);
  // RFC 1191 section 4: the low half of the second word; RFC 4443 section 3.2: all of it.
  if (error == IcmpError::kPacketTooBig) store_be16(frame, at + 6, mtu);
  copy_in(out, at + kIcmpHeader, about);
  compute_checksums(out);
  return out;
}

Packet arp_reply_for(const Packet& original, const wire::MacAddress& mac) {
  constexpr std::uint16_t kRequest = 1, kReply = 2;
  const std::size_t at = original.layout().network_offset;
  if (!is_arp(original) || load_be16(original.bytes(), at + 6) != kRequest) return {};
  Packet out = original.pool().copy_of(original.bytes().first(original.layout().end));
  if (!out) return out;
  const MutableBytes frame = out.mutable_bytes();
  store_be16(frame, at + 6, kReply);
  copy_in(out, at + 18, original.bytes().subspan(at + 8, 10));  // the asker becomes the target
  mac.store(frame, at + 8);
  copy_in(out, at + 14, original.bytes().subspan(at + 24, 4));
  copy_in(out, 0, original.bytes().subspan(at + 8, 6));
  mac.store(frame, 6);
  out.meta().arrival = original.meta().arrival;
  return out;
}

}  // namespace vtl
