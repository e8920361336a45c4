#include "vtl/wire/ipv6.h"

#include <fmt/format.h>

namespace vtl::wire {
namespace {

constexpr std::size_t kMaxPayload = 65535;

// IANA "IPv6 Extension Header Types" that VTL does not walk. ESP ends the walk as a protocol.
bool is_unread_extension(IpProtocol protocol) noexcept {
  switch (static_cast<std::uint8_t>(protocol)) {
    case 135:  // mobility, RFC 6275
    case 139:  // host identity, RFC 7401
    case 140:  // shim6, RFC 5533
    case 253:  // experiments, RFC 3692
    case 254:
      return true;
    default:
      return false;
  }
}

// Octets of the extension header `kind` by its own length field (RFC 8200 section 4, RFC 4302).
std::size_t extension_size(IpProtocol kind, Bytes at) noexcept {
  switch (kind) {
    case IpProtocol::kFragment:
      return Ipv6Fragment::kSize;
    case IpProtocol::kAuthentication:
      return (static_cast<std::size_t>(at[1]) + 2) * 4;
    default:
      return (static_cast<std::size_t>(at[1]) + 1) * 8;
  }
}

bool is_walked(IpProtocol kind) noexcept {
  return kind == IpProtocol::kHopByHop || kind == IpProtocol::kRouting ||
         kind == IpProtocol::kFragment || kind == IpProtocol::kAuthentication ||
         kind == IpProtocol::kDestinationOptions;
}

Ipv6Fragment read_fragment(Bytes bytes) noexcept {
  const std::uint16_t word = load_be16(bytes, 2);
  return {static_cast<IpProtocol>(bytes[0]), static_cast<std::uint16_t>(word & 0xfff8),
          (word & 1) != 0, load_be32(bytes, 4)};
}

std::optional<WireError> fixed_header_error(Bytes packet) noexcept {
  if (packet.size() < Ipv6View::kSize) return WireError::kTruncated;
  if (load_u8(packet, 0) >> 4 != 6) return WireError::kBadVersion;
  return std::nullopt;
}

}  // namespace

void Ipv6Fragment::emit(MutableBytes out) const noexcept {
  assert(out.size() >= kSize && offset % 8 == 0);
  store_u8(out, 0, static_cast<std::uint8_t>(next));
  store_u8(out, 1, 0);
  store_be16(out, 2, static_cast<std::uint16_t>(offset | (more ? 1 : 0)));
  store_be32(out, 4, identification);
}

void Ipv6Fields::emit(MutableBytes out) const noexcept {
  assert(out.size() >= kSize && dscp < 64 && flow_label <= 0xfffff);
  store_be32(out, 0,
             0x60000000U | static_cast<std::uint32_t>(dscp) << 22 |
                 static_cast<std::uint32_t>(ecn) << 20 | flow_label);
  store_be16(out, Ipv6View::kPayloadLengthOffset, payload_length);
  store_u8(out, 6, static_cast<std::uint8_t>(next_header));
  store_u8(out, Ipv6View::kHopLimitOffset, hop_limit);
  source.store(out, Ipv6View::kSourceOffset);
  destination.store(out, Ipv6View::kDestinationOffset);
}

Parsed<Ipv6View> Ipv6View::parse(Bytes packet) noexcept {
  if (const auto error = fixed_header_error(packet)) return std::unexpected(*error);
  const std::size_t total = kSize + load_be16(packet, kPayloadLengthOffset);
  if (total > packet.size()) return std::unexpected(WireError::kTruncated);
  return Ipv6View(packet.first(total));
}

Parsed<Ipv6View> Ipv6View::parse_super_frame(Bytes packet) noexcept {
  if (const auto error = fixed_header_error(packet)) return std::unexpected(*error);
  if (packet.size() > kSize + kMaxPayload) return std::unexpected(WireError::kBadLength);
  if (kSize + load_be16(packet, kPayloadLengthOffset) > packet.size()) {
    return std::unexpected(WireError::kTruncated);
  }
  return Ipv6View(packet);
}

Parsed<Ipv6View> Ipv6View::parse_quoted(Bytes packet) noexcept {
  if (const auto error = fixed_header_error(packet)) return std::unexpected(*error);
  const std::size_t total = kSize + load_be16(packet, kPayloadLengthOffset);
  return Ipv6View(packet.first(std::min(total, packet.size())));
}

Parsed<Ipv6Extension> Ipv6View::step(Ipv6Chain& chain) const noexcept {
  const IpProtocol kind = chain.protocol;
  if (is_unread_extension(kind)) return std::unexpected(WireError::kUnsupported);
  // Behind the Fragment header of a later fragment there is data, whatever the number says.
  const bool in_later_fragment = chain.fragment && chain.fragment->offset != 0;
  if (!is_walked(kind) || in_later_fragment) return Ipv6Extension{kind, {}};
  if (kind == IpProtocol::kHopByHop && chain.extensions != 0) {
    return std::unexpected(WireError::kUnsupported);  // RFC 8200 section 4.1: first only
  }
  if (kind == IpProtocol::kFragment && chain.fragment) {
    return std::unexpected(WireError::kUnsupported);  // a fragment of a fragment
  }
  if (chain.extensions == Ipv6Chain::kMaxExtensions) {
    return std::unexpected(WireError::kTooManyHeaders);
  }
  const Bytes rest = bytes_.subspan(chain.offset);
  if (rest.size() < 8) return std::unexpected(WireError::kTruncated);
  const std::size_t size = extension_size(kind, rest);
  if (kind == IpProtocol::kAuthentication && size < 12) {
    return std::unexpected(WireError::kBadHeaderLength);  // RFC 4302 section 2
  }
  if (size > rest.size()) return std::unexpected(WireError::kTruncated);
  if (kind == IpProtocol::kFragment) chain.fragment = read_fragment(rest);
  chain.protocol = static_cast<IpProtocol>(rest[0]);
  chain.offset += static_cast<std::uint32_t>(size);
  ++chain.extensions;
  return Ipv6Extension{kind, rest.first(size)};
}

Parsed<Ipv6Chain> Ipv6View::walk() const noexcept {
  return walk([](const Ipv6Extension&) {});
}

Ipv6Fields Ipv6View::fields() const noexcept {
  return {source(), destination(), next_header(), hop_limit(),
          dscp(),   ecn(),         flow_label(),  static_cast<std::uint16_t>(payload().size())};
}

std::string to_string(const Ipv6Fields& f) {
  std::string out = fmt::format("{} > {} {} hlim {}", to_string(f.source), to_string(f.destination),
                                to_string(f.next_header), f.hop_limit);
  auto end = std::back_inserter(out);
  if (f.dscp != 0) fmt::format_to(end, " dscp {}", f.dscp);
  if (f.ecn != Ecn::kNotEct) fmt::format_to(end, " ecn {}", static_cast<unsigned>(f.ecn));
  if (f.flow_label != 0) fmt::format_to(end, " flow {:#x}", f.flow_label);
  fmt::format_to(end, " length {}", f.payload_length);
  return out;
}

}  // namespace vtl::wire
