#include "vtl/packet/checksum.h"

#include "vtl/wire/checksum.h"

namespace vtl {
namespace {

constexpr std::size_t kIpv4ChecksumAt = 10;

std::size_t checksum_offset(TransportKind kind) {
  switch (kind) {
    case TransportKind::kTcp:
      return 16;
    case TransportKind::kUdp:
      return 6;
    default:
      return 2;  // ICMP
  }
}

bool has_checksum(const Layout& layout) {
  return !layout.error && !layout.is_fragment && layout.transport != TransportKind::kNone &&
         layout.transport != TransportKind::kOther;
}

// Octets that the transport checksum covers: UDP's by its own length, the others' to the end.
std::size_t covered(Bytes frame, const Layout& layout) {
  const std::size_t rest = layout.end - layout.transport_offset;
  if (layout.transport != TransportKind::kUdp) return rest;
  const std::size_t claimed = load_be16(frame, layout.transport_offset + 4U);
  return claimed >= 8 && claimed <= rest ? claimed : rest;
}

wire::ChecksumSum pseudo_sum(Bytes frame, const Layout& layout, std::size_t length) {
  wire::ChecksumSum sum;
  if (layout.transport == TransportKind::kIcmpv4) return sum;
  const bool v4 = layout.network == NetworkKind::kIpv4;
  sum.add(frame.subspan(layout.network_offset + (v4 ? 12U : 8U), v4 ? 8 : 32));
  sum.add32(static_cast<std::uint32_t>(length));
  sum.add16(layout.ip_protocol);
  return sum;
}

Bytes ipv4_header(Bytes frame, const Layout& layout) {
  const std::size_t at = layout.network_offset;
  return frame.subspan(at, static_cast<std::size_t>(load_u8(frame, at) & 0x0f) * 4);
}

void compute_ipv4_header(Packet& packet, const Layout& layout) {
  if (layout.network != NetworkKind::kIpv4) return;
  const std::size_t at = layout.network_offset + kIpv4ChecksumAt;
  store_be16(packet.mutable_bytes(), at, 0);
  store_be16(packet.mutable_bytes(), at, wire::checksum(ipv4_header(packet.bytes(), layout)));
}

}  // namespace

bool finish_checksum(Packet& packet) noexcept {
  ChecksumState& state = packet.meta().checksum;
  if (state.kind != ChecksumKind::kPartial) return true;
  const std::size_t field = std::size_t{state.start} + state.offset;
  if (state.start >= packet.size() || field + 2 > packet.size()) return false;
  const std::uint16_t sum = wire::checksum(packet.bytes().subspan(state.start));
  // All ones instead of zero: for UDP zero means "none" (RFC 768); TCP takes both alike.
  store_be16(packet.mutable_bytes(), field, sum == 0 ? 0xffff : sum);
  state = ChecksumState{};
  return true;
}

void compute_checksums(Packet& packet) noexcept {
  const Layout& layout = packet.layout();
  if (!layout.is_ip()) return;
  compute_ipv4_header(packet, layout);
  if (!has_checksum(layout)) return;
  const std::size_t length = covered(packet.bytes(), layout);
  const std::size_t field = layout.transport_offset + checksum_offset(layout.transport);
  store_be16(packet.mutable_bytes(), field, 0);
  wire::ChecksumSum sum = pseudo_sum(packet.bytes(), layout, length);
  sum.add(packet.bytes().subspan(layout.transport_offset, length));
  const std::uint16_t value = sum.checksum();
  const bool never_zero = layout.transport == TransportKind::kUdp;
  store_be16(packet.mutable_bytes(), field, value == 0 && never_zero ? 0xffff : value);
  packet.meta().checksum = ChecksumState{};
}

void leave_checksum_partial(Packet& packet) noexcept {
  const Layout& layout = packet.layout();
  const bool partial = has_checksum(layout) && (layout.transport == TransportKind::kTcp ||
                                                layout.transport == TransportKind::kUdp);
  if (!partial) {
    compute_checksums(packet);
    return;
  }
  compute_ipv4_header(packet, layout);
  const std::size_t length = layout.end - layout.transport_offset;
  const std::size_t offset = checksum_offset(layout.transport);
  store_be16(packet.mutable_bytes(), layout.transport_offset + offset,
             pseudo_sum(packet.bytes(), layout, length).folded());
  packet.meta().checksum = {.kind = ChecksumKind::kPartial,
                            .start = layout.transport_offset,
                            .offset = static_cast<std::uint16_t>(offset)};
}

bool verify_checksums(const Packet& packet) noexcept {
  const Layout& layout = packet.layout();
  if (layout.error) return false;
  if (!layout.is_ip()) return true;
  const Bytes frame = packet.bytes();
  if (layout.network == NetworkKind::kIpv4 && wire::checksum(ipv4_header(frame, layout)) != 0) {
    return false;
  }
  if (!has_checksum(layout) || packet.meta().checksum.kind != ChecksumKind::kComplete) return true;
  const std::size_t field = layout.transport_offset + checksum_offset(layout.transport);
  if (layout.transport == TransportKind::kUdp && layout.network == NetworkKind::kIpv4 &&
      load_be16(frame, field) == 0) {
    return true;
  }
  const std::size_t length = covered(frame, layout);
  wire::ChecksumSum sum = pseudo_sum(frame, layout, length);
  sum.add(frame.subspan(layout.transport_offset, length));
  return sum.checksum() == 0;
}

void set_lengths(Packet& packet) noexcept {
  const Layout layout = packet.layout();
  if (!layout.is_ip()) return;
  const MutableBytes frame = packet.mutable_bytes();
  const auto field = [](std::size_t length) {
    return static_cast<std::uint16_t>(length <= 65535 ? length : 0);
  };
  const std::size_t at = layout.network_offset;
  if (layout.network == NetworkKind::kIpv4) {
    const std::uint16_t before = load_be16(frame, at + 2);
    const std::uint16_t after = field(frame.size() - at);
    store_be16(frame, at + 2, after);
    store_be16(frame, at + kIpv4ChecksumAt,
               wire::checksum_update(load_be16(frame, at + kIpv4ChecksumAt), before, after));
  } else {
    store_be16(frame, at + 4, field(frame.size() - at - 40));
  }
  if (layout.transport == TransportKind::kUdp && !layout.is_fragment) {
    store_be16(frame, layout.transport_offset + 4U, field(frame.size() - layout.transport_offset));
  }
  packet.headers_changed();
}

}  // namespace vtl
