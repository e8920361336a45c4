#include "vtl/packet/layout.h"

#include "vtl/wire/ipv4.h"

namespace vtl {
namespace {

using wire::IpProtocol;

constexpr std::size_t kEthernetHeader = 14;
constexpr std::size_t kVlanTag = 4;
constexpr std::uint8_t kMaxVlanTags = 2;
constexpr std::uint16_t kEtherTypeIpv4 = 0x0800, kEtherTypeArp = 0x0806, kEtherTypeIpv6 = 0x86dd;
constexpr std::uint16_t kEtherTypeVlan = 0x8100, kEtherTypeServiceVlan = 0x88a8;  // IEEE 802.1Q
constexpr std::size_t kArpSize = 28;
constexpr std::size_t kIpv4Header = 20, kIpv6Header = 40;
constexpr std::size_t kTcpHeader = 20, kUdpHeader = 8, kIcmpHeader = 8;

// One walk over one frame. Every step tests what it needs before it reads.
class Walk {
 public:
  Walk(Bytes frame, bool super_frame) : frame_(frame), super_frame_(super_frame) {
    out_.end = static_cast<std::uint32_t>(frame.size());
  }

  Layout run() {
    if (!has(0, kEthernetHeader)) return failed(DropReason::kMalformedEthernet);
    std::size_t at = kEthernetHeader;
    std::uint16_t type = load_be16(frame_, 12);
    while ((type == kEtherTypeVlan || type == kEtherTypeServiceVlan) &&
           out_.vlan_tags < kMaxVlanTags) {
      if (!has(at, kVlanTag)) return failed(DropReason::kMalformedEthernet);
      if (out_.vlan_tags == 0) out_.vlan = load_be16(frame_, at) & 0x0fff;
      type = load_be16(frame_, at + 2);
      at += kVlanTag;
      ++out_.vlan_tags;
    }
    out_.ether_type = type;
    switch (type) {
      case kEtherTypeIpv4:
        return ipv4(at);
      case kEtherTypeIpv6:
        return ipv6(at);
      case kEtherTypeArp:
        return arp(at);
      default:
        return out_;
    }
  }

 private:
  [[nodiscard]] bool has(std::size_t at, std::size_t n) const {
    return at <= frame_.size() && n <= frame_.size() - at;
  }
  [[nodiscard]] bool has_in_packet(std::size_t at, std::size_t n) const {
    return at <= out_.end && n <= out_.end - at;
  }
  Layout failed(DropReason why) {
    out_.error = why;
    return out_;
  }

  Layout arp(std::size_t at) {
    // RFC 826, IPv4 over Ethernet only: other hardware and protocol types never occur here.
    if (!has(at, kArpSize) || load_be16(frame_, at) != 1 ||
        load_be16(frame_, at + 2) != kEtherTypeIpv4 || load_u8(frame_, at + 4) != 6 ||
        load_u8(frame_, at + 5) != 4) {
      return failed(DropReason::kMalformedArp);
    }
    out_.network = NetworkKind::kArp;
    out_.network_offset = static_cast<std::uint16_t>(at);
    out_.end = static_cast<std::uint32_t>(at + kArpSize);
    return out_;
  }

  // Sets the end of the IP packet from the length that its header claims.
  bool set_end(std::size_t at, std::size_t claimed, std::size_t header) {
    const std::size_t present = frame_.size() - at;
    if (super_frame_) {
      if (claimed > present) return false;
      return true;  // the frame's end counts, which is set already
    }
    if (claimed < header || claimed > present) return false;
    out_.end = static_cast<std::uint32_t>(at + claimed);
    return true;
  }

  Layout ipv4(std::size_t at) {
    if (!has(at, kIpv4Header)) return failed(DropReason::kMalformedIp);
    const std::uint8_t version_and_length = load_u8(frame_, at);
    const std::size_t header = static_cast<std::size_t>(version_and_length & 0x0f) * 4;
    if (version_and_length >> 4 != 4 || header < kIpv4Header || !has(at, header) ||
        !set_end(at, load_be16(frame_, at + 2), header)) {
      return failed(DropReason::kMalformedIp);
    }
    // Options are rare, and checked by the view; parse_quoted() is the one that leaves lengths
    // alone.
    if (header > kIpv4Header && !wire::Ipv4View::parse_quoted(frame_.subspan(at))) {
      return failed(DropReason::kMalformedIp);
    }
    out_.network = NetworkKind::kIpv4;
    out_.network_offset = static_cast<std::uint16_t>(at);
    out_.ip_protocol = load_u8(frame_, at + 9);
    const std::uint16_t fragment = load_be16(frame_, at + 6);
    const bool more = (fragment & 0x2000) != 0;
    const bool later = (fragment & 0x1fff) != 0;
    out_.is_fragment = more || later;
    out_.is_first_fragment = more && !later;
    return later ? out_ : transport(at + header, out_.ip_protocol, IpProtocol::kIcmp);
  }

  Layout ipv6(std::size_t at) {
    if (!has(at, kIpv6Header) || load_u8(frame_, at) >> 4 != 6 ||
        !set_end(at, kIpv6Header + load_be16(frame_, at + 4), kIpv6Header)) {
      return failed(DropReason::kMalformedIp);
    }
    out_.network = NetworkKind::kIpv6;
    out_.network_offset = static_cast<std::uint16_t>(at);
    std::uint8_t next = load_u8(frame_, at + 6);
    at += kIpv6Header;
    for (unsigned headers = 0;; ++headers) {
      out_.ip_protocol = next;
      std::size_t size = 0;
      switch (static_cast<IpProtocol>(next)) {
        case IpProtocol::kHopByHop:
          // RFC 8200 section 4.1: only immediately after the IPv6 header.
          if (headers != 0) return failed(DropReason::kMalformedIp);
          [[fallthrough]];
        case IpProtocol::kRouting:
        case IpProtocol::kDestinationOptions:
          if (!has_in_packet(at, 8)) return failed(DropReason::kMalformedIp);
          size = (std::size_t{load_u8(frame_, at + 1)} + 1) * 8;
          break;
        case IpProtocol::kAuthentication:  // RFC 4302 section 2.2: in 4-octet units, minus 2
          if (!has_in_packet(at, 8)) return failed(DropReason::kMalformedIp);
          size = (std::size_t{load_u8(frame_, at + 1)} + 2) * 4;
          break;
        case IpProtocol::kFragment: {
          if (!has_in_packet(at, 8)) return failed(DropReason::kMalformedIp);
          size = 8;
          const std::uint16_t fragment = load_be16(frame_, at + 2);
          const bool more = (fragment & 1) != 0;
          const bool later = (fragment & 0xfff8) != 0;
          // Neither: an atomic fragment (RFC 6946), which is the whole packet.
          out_.is_fragment = out_.is_fragment || more || later;
          out_.is_first_fragment = more && !later;
          if (later) {
            out_.ip_protocol = load_u8(frame_, at);
            return out_;
          }
          break;
        }
        case IpProtocol::kNoNext:
          return out_;
        default:
          return is_unread_extension(next) ? failed(DropReason::kUnsupportedIpv6Header)
                                           : transport(at, next, IpProtocol::kIcmpv6);
      }
      if (headers == kMaxIpv6Extensions || !has_in_packet(at, size)) {
        return failed(DropReason::kMalformedIp);
      }
      next = load_u8(frame_, at);
      at += size;
    }
  }

  // IANA "IPv6 Extension Header Types" beyond those read above: Mobility, HIP, Shim6, experiments.
  static bool is_unread_extension(std::uint8_t next) {
    return next == 135 || next == 139 || next == 140 || next == 253 || next == 254;
  }

  Layout transport(std::size_t at, std::uint8_t protocol, IpProtocol icmp) {
    const auto kind = static_cast<IpProtocol>(protocol);
    std::size_t header = 0;
    if (kind == IpProtocol::kTcp) {
      if (!has_in_packet(at, kTcpHeader)) return failed(DropReason::kMalformedTransport);
      header = static_cast<std::size_t>(load_u8(frame_, at + 12) >> 4) * 4;
      if (header < kTcpHeader || !has_in_packet(at, header)) {
        return failed(DropReason::kMalformedTransport);
      }
      out_.transport = TransportKind::kTcp;
    } else if (kind == IpProtocol::kUdp) {
      if (!has_in_packet(at, kUdpHeader)) return failed(DropReason::kMalformedTransport);
      header = kUdpHeader;
      const std::size_t claimed = load_be16(frame_, at + 4);
      // A first fragment's length is the whole datagram's; a super-frame's need not cover it.
      if ((claimed < kUdpHeader && !super_frame_) ||
          (claimed > out_.end - at && !out_.is_fragment)) {
        return failed(DropReason::kMalformedTransport);
      }
      out_.transport = TransportKind::kUdp;
    } else if (kind == icmp) {
      if (!has_in_packet(at, kIcmpHeader)) return failed(DropReason::kMalformedTransport);
      header = kIcmpHeader;
      out_.transport = icmp == IpProtocol::kIcmp ? TransportKind::kIcmpv4 : TransportKind::kIcmpv6;
    } else {
      out_.transport = TransportKind::kOther;
    }
    out_.transport_offset = static_cast<std::uint16_t>(at);
    out_.payload_offset = static_cast<std::uint16_t>(at + header);
    return out_;
  }

  Bytes frame_;
  bool super_frame_;
  Layout out_;
};

wire::IpAddress load_address(Bytes frame, NetworkKind kind, std::size_t at) {
  if (kind == NetworkKind::kIpv4) return wire::Ipv4Address::load(frame, at);
  return wire::Ipv6Address::load(frame, at);
}

}  // namespace

Layout parse_layout(Bytes frame, bool super_frame) noexcept {
  return Walk(frame, super_frame).run();
}

std::optional<wire::FlowKey> flow_key(Bytes frame, const Layout& layout) noexcept {
  const bool has_ports =
      layout.transport == TransportKind::kTcp || layout.transport == TransportKind::kUdp;
  if (layout.error || !layout.is_ip() || layout.is_fragment || !has_ports) return std::nullopt;
  const bool v4 = layout.network == NetworkKind::kIpv4;
  const std::size_t source_at = layout.network_offset + std::size_t{v4 ? 12U : 8U};
  const std::size_t destination_at = layout.network_offset + std::size_t{v4 ? 16U : 24U};
  const std::size_t ports_at = layout.transport_offset;
  return wire::FlowKey{
      .source = {load_address(frame, layout.network, source_at),
                 wire::Port(load_be16(frame, ports_at))},
      .destination = {load_address(frame, layout.network, destination_at),
                      wire::Port(load_be16(frame, ports_at + 2))},
      .protocol = layout.transport == TransportKind::kTcp ? IpProtocol::kTcp : IpProtocol::kUdp,
      .vlan = layout.vlan};
}

}  // namespace vtl
