#include "vtl/service/tcp_frame.h"

#include <algorithm>
#include <cstring>

#include "vtl/packet/checksum.h"
#include "vtl/packet/derive.h"
#include "vtl/wire/checksum.h"
#include "vtl/wire/ethernet.h"
#include "vtl/wire/ipv4.h"
#include "vtl/wire/ipv6.h"

namespace vtl::service {
namespace {

/// How many wire segments the frame stands for.
std::uint16_t segments_of(const Gso& gso, std::size_t payload) {
  if (!gso.is_super() || gso.segment_size == 0) return 1;
  return static_cast<std::uint16_t>(
      std::max<std::size_t>(1, (payload + gso.segment_size - 1) / gso.segment_size));
}

bool is_congestion_experienced(Bytes frame, const Layout& layout) {
  constexpr std::uint8_t kCe = 3;  // RFC 3168 section 5
  if (layout.network == NetworkKind::kIpv4) {
    return (load_u8(frame, layout.network_offset + 1U) & 3) == kCe;
  }
  return ((load_be16(frame, layout.network_offset) >> 4) & 3) == kCe;
}

wire::EthernetFields ethernet_fields(const FramePath& path, bool v6) {
  wire::EthernetFields ethernet;
  ethernet.source = path.source_mac;
  ethernet.destination = path.destination_mac;
  ethernet.ether_type = v6 ? wire::EtherType::kIpv6 : wire::EtherType::kIpv4;
  if (path.key.vlan != 0) {
    ethernet.tag_count = 1;
    ethernet.tags[0].vid = path.key.vlan;
    ethernet.tags[0].pcp = path.pcp;
  }
  return ethernet;
}

void emit_ip(MutableBytes out, FramePath& path, std::size_t transport_size, std::uint16_t segments,
             bool ect) {
  const wire::SocketAddress& source = path.key.source;
  const wire::SocketAddress& destination = path.key.destination;
  const wire::Ecn ecn = ect ? wire::Ecn::kEct0 : wire::Ecn::kNotEct;
  if (source.address.is_v6()) {
    wire::Ipv6Fields ip;
    ip.source = source.address.v6();
    ip.destination = destination.address.v6();
    ip.hop_limit = path.ttl;
    ip.dscp = path.dscp;
    ip.ecn = ecn;
    ip.payload_length = static_cast<std::uint16_t>(transport_size);
    ip.emit(out);
    return;
  }
  wire::Ipv4Fields ip;
  ip.source = source.address.v4();
  ip.destination = destination.address.v4();
  ip.ttl = path.ttl;
  ip.dscp = path.dscp;
  ip.ecn = ecn;
  ip.dont_fragment = true;
  ip.identification = path.ip_id;
  ip.payload_length = static_cast<std::uint16_t>(transport_size);
  ip.emit(out);
  path.ip_id = static_cast<std::uint16_t>(path.ip_id + segments);
}

bool is_super(const endpoint::OutSegment& segment) noexcept {
  return segment.segment_size != 0 && segment.payload_size > segment.segment_size;
}

constexpr std::size_t kTpidOffset = 12, kTciOffset = 14;

}  // namespace

bool has_plain_tag(const Packet& packet) noexcept {
  const std::uint8_t tags = packet.layout().vlan_tags;
  return tags == 0 || (tags == 1 && load_be16(packet.bytes(), kTpidOffset) ==
                                        static_cast<std::uint16_t>(wire::EtherType::kVlan));
}

bool may_open(const Packet& packet) noexcept {
  const Layout& layout = packet.layout();
  return has_plain_tag(packet) && (layout.vlan_tags == 0 || layout.vlan != 0);
}

std::uint8_t pcp_of(const Packet& packet) noexcept {
  if (packet.layout().vlan_tags == 0) return 0;
  return static_cast<std::uint8_t>(load_be16(packet.bytes(), kTciOffset) >> 13);
}

Packet keep_for_answer(Packet packet) {
  if (!PacketPool::is_oversized(packet) && packet.size() <= kSmallFrame) return packet;
  return packet.size() <= kSmallFrame ? packet.pool().clone(packet) : with_payload(packet, {});
}

Result<endpoint::Segment, DropReason> to_segment(const Packet& packet) noexcept {
  const Layout& layout = packet.layout();
  const Bytes frame = packet.bytes();
  const auto tcp = wire::TcpView::parse(
      frame.subspan(layout.transport_offset, layout.end - layout.transport_offset));
  if (!tcp) return std::unexpected(DropReason::kMalformedTransport);
  if (!verify_checksums(packet)) return std::unexpected(DropReason::kBadChecksum);
  endpoint::Segment segment;
  segment.header = tcp->fields();
  segment.payload = tcp->payload();
  segment.segments = segments_of(packet.meta().gso, segment.payload.size());
  segment.ce = is_congestion_experienced(frame, layout);
  return segment;
}

namespace {

/// The frame's headers and metadata; with `whole`, room for the payload behind them. Empty when the
/// pool is at its bound.
Packet make_headers(PacketPool& pool, FramePath& path, const endpoint::OutSegment& segment,
                    bool whole) {
  const bool v6 = path.key.source.address.is_v6();
  const wire::EthernetFields ethernet = ethernet_fields(path, v6);
  const std::size_t network = ethernet.size();
  const std::size_t transport = network + (v6 ? wire::Ipv6View::kSize : wire::Ipv4View::kMinSize);
  const std::size_t payload = transport + segment.header.size();
  const std::size_t segments =
      is_super(segment) ? (segment.payload_size + segment.segment_size - 1) / segment.segment_size
                        : 1;

  Packet packet = pool.allocate(payload + (whole ? segment.payload_size : 0));
  if (!packet) return packet;
  const MutableBytes out = packet.mutable_bytes();
  ethernet.emit(out);
  const std::size_t transport_size = segment.header.size() + segment.payload_size;
  emit_ip(out.subspan(network), path, transport_size, static_cast<std::uint16_t>(segments),
          segment.ect);
  segment.header.emit(out.subspan(transport));
  const std::uint16_t partial =
      wire::pseudo_header_sum(path.key.source.address, path.key.destination.address,
                              wire::IpProtocol::kTcp, static_cast<std::uint32_t>(transport_size))
          .folded();
  store_be16(out, transport + wire::TcpView::kChecksumOffset, partial);

  PacketMeta& meta = packet.meta();
  meta.played = true;
  meta.checksum = {ChecksumKind::kPartial, static_cast<std::uint16_t>(transport),
                   static_cast<std::uint16_t>(wire::TcpView::kChecksumOffset)};
  if (is_super(segment)) {
    meta.gso = {v6 ? GsoKind::kTcpV6 : GsoKind::kTcpV4, segment.header.flags.cwr(),
                segment.segment_size, static_cast<std::uint16_t>(payload)};
  }
  return packet;
}

/// Sends a super-frame without putting it together; false: it was not sent.
bool emit_in_pieces(engine::ServiceContext& context, engine::Direction direction, FramePath& path,
                    const endpoint::OutSegment& segment) {
  if (!is_super(segment) || !context.gathers(direction)) return false;
  FramePath next = path;
  const Packet head = make_headers(context.pool(), next, segment, false);
  if (!head || !context.emit_gathered(direction, head, segment.payload)) return false;
  path.ip_id = next.ip_id;
  return true;
}

}  // namespace

Packet make_tcp_frame(PacketPool& pool, FramePath& path, const endpoint::OutSegment& segment) {
  Packet packet = make_headers(pool, path, segment, true);
  if (!packet) return packet;
  std::size_t at = packet.size() - segment.payload_size;
  for (const Bytes piece : segment.payload) {
    std::memcpy(packet.mutable_bytes().data() + at, piece.data(), piece.size());
    at += piece.size();
  }
  return packet;
}

bool emit_tcp_frame(engine::ServiceContext& context, engine::Direction direction, FramePath& path,
                    const endpoint::OutSegment& segment) {
  if (emit_in_pieces(context, direction, path, segment)) return true;
  Packet frame = make_tcp_frame(context.pool(), path, segment);
  if (!frame) return false;
  context.emit(direction, std::move(frame));
  return true;
}

}  // namespace vtl::service
