#include "vtl/packet/segment.h"

#include <algorithm>
#include <cstring>

#include "vtl/packet/checksum.h"
#include "vtl/wire/checksum.h"
#include "vtl/wire/tcp.h"

namespace vtl {
namespace {

constexpr std::size_t kIpv6Header = 40;
constexpr std::size_t kMaxIpPacket = 65535;
constexpr std::size_t kTcpSeqAt = 4, kTcpFlagsAt = 13, kTcpChecksumAt = 16;
constexpr std::size_t kUdpLengthAt = 4, kUdpChecksumAt = 6;

// Cuts one super-frame. What is the same in all segments is worked out once: the header template
// (lengths, checksums and sequence number are set per segment) and the sums of its constant parts.
class Cutter {
 public:
  Cutter(const Packet& super, const Layout& layout)
      : super_(super),
        layout_(layout),
        tcp_(layout.transport == TransportKind::kTcp),
        v4_(layout.network == NetworkKind::kIpv4),
        header_size_(layout.payload_offset),
        segment_size_(super.meta().gso.segment_size),
        payload_(super.bytes().subspan(header_size_)),
        count_(segment_count(super)) {
    const Bytes frame = super.bytes();
    const std::size_t at = layout.network_offset;
    addresses_.add(frame.subspan(at + (v4_ ? 12U : 8U), v4_ ? 8 : 32));
    addresses_.add16(layout.ip_protocol);
    if (v4_) first_id_ = load_be16(frame, at + 4);
    if (tcp_) first_seq_ = load_be32(frame, layout.transport_offset + kTcpSeqAt);
    if (tcp_) flags_ = load_u8(frame, layout.transport_offset + kTcpFlagsAt);
    // A UDP datagram without a checksum stays without (IPv4 only).
    no_checksum_ = !tcp_ && v4_ && super.meta().checksum.kind != ChecksumKind::kPartial &&
                   load_be16(frame, layout.transport_offset + kUdpChecksumAt) == 0;
  }

  [[nodiscard]] std::size_t count() const { return count_; }

  /// Segment `i` in a packet of the pool; empty when that is at its bound.
  Packet cut(std::size_t i, PacketPool& pool) const {
    const std::size_t from = i * segment_size_;
    const std::size_t size = std::min(segment_size_, payload_.size() - from);
    Packet out = pool.allocate(header_size_ + size);
    if (!out) return out;
    const MutableBytes frame = out.mutable_bytes();
    std::memcpy(frame.data(), super_.bytes().data(), header_size_);
    std::memcpy(frame.data() + header_size_, payload_.data() + from, size);
    set_network(frame, i);
    if (tcp_) {
      set_tcp(frame, i, from);
    } else {
      set_udp(frame);
    }
    out.meta().arrival = super_.meta().arrival;
    if (super_.meta().checksum.kind == ChecksumKind::kVerified) {
      out.meta().checksum.kind = ChecksumKind::kVerified;
    }
    return out;
  }

 private:
  void set_network(MutableBytes frame, std::size_t i) const {
    const std::size_t at = layout_.network_offset;
    if (!v4_) {
      store_be16(frame, at + 4, static_cast<std::uint16_t>(frame.size() - at - kIpv6Header));
      return;
    }
    store_be16(frame, at + 2, static_cast<std::uint16_t>(frame.size() - at));
    store_be16(frame, at + 4, static_cast<std::uint16_t>(first_id_ + i));
    store_be16(frame, at + 10, 0);
    const std::size_t header = static_cast<std::size_t>(load_u8(frame, at) & 0x0f) * 4;
    store_be16(frame, at + 10, wire::checksum(frame.subspan(at, header)));
  }

  void set_tcp(MutableBytes frame, std::size_t i, std::size_t from) const {
    const std::size_t at = layout_.transport_offset;
    store_be32(frame, at + kTcpSeqAt, first_seq_ + static_cast<std::uint32_t>(from));
    std::uint8_t flags = flags_;
    if (i + 1 != count())
      flags &= static_cast<std::uint8_t>(~(wire::TcpFlags::kFin | wire::TcpFlags::kPsh));
    if (i != 0) flags &= static_cast<std::uint8_t>(~wire::TcpFlags::kCwr);
    store_u8(frame, at + kTcpFlagsAt, flags);
    finish(frame, at, at + kTcpChecksumAt);
  }

  void set_udp(MutableBytes frame) const {
    const std::size_t at = layout_.transport_offset;
    store_be16(frame, at + kUdpLengthAt, static_cast<std::uint16_t>(frame.size() - at));
    if (no_checksum_) return;
    finish(frame, at, at + kUdpChecksumAt);
    if (load_be16(frame, at + kUdpChecksumAt) == 0) store_be16(frame, at + kUdpChecksumAt, 0xffff);
  }

  void finish(MutableBytes frame, std::size_t at, std::size_t field) const {
    store_be16(frame, field, 0);
    wire::ChecksumSum sum = addresses_;
    sum.add32(static_cast<std::uint32_t>(frame.size() - at));
    sum.add(frame.subspan(at));
    store_be16(frame, field, sum.checksum());
  }

  const Packet& super_;
  const Layout& layout_;
  bool tcp_;
  bool v4_;
  std::size_t header_size_;
  std::size_t segment_size_;
  Bytes payload_;
  std::size_t count_;
  wire::ChecksumSum addresses_;
  std::uint16_t first_id_ = 0;
  std::uint32_t first_seq_ = 0;
  std::uint8_t flags_ = 0;
  bool no_checksum_ = false;
};

// Why the headers are not those of the super-frame that the metadata describes; nullopt if they
// are.
std::optional<DropReason> misfit(const Packet& packet) {
  const Gso& gso = packet.meta().gso;
  const Layout& layout = packet.layout();
  if (layout.error) return layout.error;
  NetworkKind network = layout.network;
  TransportKind transport = TransportKind::kUdp;
  if (gso.kind == GsoKind::kTcpV4 || gso.kind == GsoKind::kTcpV6) {
    network = gso.kind == GsoKind::kTcpV4 ? NetworkKind::kIpv4 : NetworkKind::kIpv6;
    transport = TransportKind::kTcp;
  }
  if (!layout.is_ip() || layout.network != network || layout.is_fragment) {
    return DropReason::kMalformedIp;
  }
  if (layout.transport != transport || gso.segment_size == 0) {
    return DropReason::kMalformedTransport;
  }
  const std::size_t payload = packet.size() - layout.payload_offset;
  const std::size_t headers = layout.payload_offset - layout.network_offset;
  const std::size_t longest = headers + std::min<std::size_t>(payload, gso.segment_size);
  if (longest > kMaxIpPacket) return DropReason::kMalformedIp;
  return std::nullopt;
}

}  // namespace

std::size_t segment_count(const Packet& packet) noexcept {
  const Gso& gso = packet.meta().gso;
  if (!gso.is_super() || misfit(packet)) return 1;
  const std::size_t payload = packet.size() - packet.layout().payload_offset;
  return std::max<std::size_t>(1, (payload + gso.segment_size - 1) / gso.segment_size);
}

Result<std::size_t, DropReason> segment(const Packet& packet, PacketPool& pool, Batch& out) {
  if (!packet.meta().gso.is_super()) {
    Packet copy = pool.clone(packet);
    if (!copy) return std::unexpected(DropReason::kNoPacketBuffer);
    if (!finish_checksum(copy)) return std::unexpected(DropReason::kMalformedTransport);
    out.push_back(std::move(copy));
    return 1;
  }
  if (const auto why = misfit(packet)) return std::unexpected(*why);
  const Cutter cutter(packet, packet.layout());
  const std::size_t count = cutter.count();
  if (count > kMaxSegments) return std::unexpected(DropReason::kMalformedTransport);
  const std::size_t before = out.size();
  for (std::size_t i = 0; i < count; ++i) {
    Packet one = cutter.cut(i, pool);
    if (!one) {
      out.resize(before);
      return std::unexpected(DropReason::kNoPacketBuffer);
    }
    out.push_back(std::move(one));
  }
  return count;
}

void segment_all(Batch& batch, PacketPool& pool, DropCounters& drops) {
  const bool any_super = std::any_of(batch.begin(), batch.end(), [](const Packet& packet) {
    return packet && packet.meta().gso.is_super();
  });
  Batch whole;
  if (any_super) whole.swap(batch);
  for (Packet& packet : any_super ? whole : batch) {
    if (!packet) continue;
    if (!packet.meta().gso.is_super()) {
      if (!finish_checksum(packet)) {
        drops.add(DropReason::kMalformedTransport);
        packet.reset();
      } else if (any_super) {
        batch.push_back(std::move(packet));
      }
      continue;
    }
    if (const auto cut = segment(packet, pool, batch); !cut) drops.add(cut.error());
    packet.reset();
  }
}

}  // namespace vtl
