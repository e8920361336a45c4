#include "vtl/service/gateway/preface.h"

namespace vtl::service {
namespace {

enum Flag : std::uint8_t { kV6 = 1, kWindowScale = 2, kTimestamps = 4, kSackPermitted = 8 };
constexpr std::uint8_t kAllFlags = kV6 | kWindowScale | kTimestamps | kSackPermitted;
constexpr std::uint16_t kMaxVlan = 4094;
constexpr std::uint8_t kMaxDscp = 63;
constexpr std::uint8_t kMaxWindowScale = 14;  // RFC 7323 section 2.3

}  // namespace

void Preface::emit(MutableBytes out) const noexcept {
  const bool v6 = key.source.address.is_v6();
  std::uint8_t flags = v6 ? kV6 : 0;
  if (options.window_scale) flags |= kWindowScale;
  if (options.timestamps) flags |= kTimestamps;
  if (options.sack_permitted) flags |= kSackPermitted;
  store_u8(out, 0, kVersion);
  store_u8(out, 1, flags);
  store_be16(out, 2, key.vlan);
  store_be16(out, 4, options.mss.value_or(0));
  store_u8(out, 6, options.window_scale.value_or(0));
  store_u8(out, 7, dscp);
  client_mac.store(out, 8);
  next_hop_mac.store(out, 14);
  store_be16(out, 20, key.source.port.value());
  store_be16(out, 22, key.destination.port.value());
  if (v6) {
    key.source.address.v6().store(out, kFixedSize);
    key.destination.address.v6().store(out, kFixedSize + 16);
  } else {
    key.source.address.v4().store(out, kFixedSize);
    key.destination.address.v4().store(out, kFixedSize + 4);
  }
}

wire::Parsed<Preface> Preface::parse(Bytes bytes) noexcept {
  using wire::WireError;
  if (bytes.size() < kFixedSize) return std::unexpected(WireError::kTruncated);
  if (load_u8(bytes, 0) != kVersion) return std::unexpected(WireError::kBadVersion);
  const std::uint8_t flags = load_u8(bytes, 1);
  if ((flags & ~kAllFlags) != 0) return std::unexpected(WireError::kUnsupported);
  const bool v6 = (flags & kV6) != 0;
  if (bytes.size() != kFixedSize + (v6 ? 32 : 8)) return std::unexpected(WireError::kBadLength);

  Preface p;
  p.key.protocol = wire::IpProtocol::kTcp;
  p.key.vlan = load_be16(bytes, 2);
  p.dscp = load_u8(bytes, 7);
  if (p.key.vlan > kMaxVlan || p.dscp > kMaxDscp) return std::unexpected(WireError::kUnsupported);
  if (const auto mss = load_be16(bytes, 4); mss != 0) p.options.mss = mss;
  const std::uint8_t scale = load_u8(bytes, 6);
  if ((flags & kWindowScale) != 0) {
    p.options.window_scale = scale;
  }
  if (scale > kMaxWindowScale || ((flags & kWindowScale) == 0 && scale != 0)) {
    return std::unexpected(WireError::kBadOption);
  }
  if ((flags & kTimestamps) != 0) p.options.timestamps = wire::TcpTimestamps{};
  p.options.sack_permitted = (flags & kSackPermitted) != 0;
  p.client_mac = wire::MacAddress::load(bytes, 8);
  p.next_hop_mac = wire::MacAddress::load(bytes, 14);
  if (p.client_mac.is_multicast() || p.client_mac.is_zero()) {
    return std::unexpected(WireError::kUnsupported);
  }
  p.key.source.port = wire::Port(load_be16(bytes, 20));
  p.key.destination.port = wire::Port(load_be16(bytes, 22));
  if (v6) {
    p.key.source.address = wire::Ipv6Address::load(bytes, kFixedSize);
    p.key.destination.address = wire::Ipv6Address::load(bytes, kFixedSize + 16);
  } else {
    p.key.source.address = wire::Ipv4Address::load(bytes, kFixedSize);
    p.key.destination.address = wire::Ipv4Address::load(bytes, kFixedSize + 4);
  }
  return p;
}

std::uint32_t worker_of_preface(Bytes preface, std::uint32_t workers) noexcept {
  const auto parsed = Preface::parse(preface);
  return parsed && workers > 0 ? wire::symmetric_hash(parsed->key) % workers : 0;
}

}  // namespace vtl::service
