#include "vtl/wire/ipv4.h"

#include <fmt/format.h>

#include "vtl/wire/checksum.h"

namespace vtl::wire {
namespace {

constexpr std::uint8_t kEndOfList = 0;  // RFC 791 section 3.1
constexpr std::uint8_t kNoOperation = 1;
constexpr std::size_t kMaxTotal = 65535;

bool options_well_formed(Bytes options) noexcept {
  std::size_t at = 0;
  while (at < options.size()) {
    if (options[at] == kEndOfList) return true;
    if (options[at] == kNoOperation) {
      ++at;
      continue;
    }
    if (options.size() - at < 2) return false;
    const std::size_t length = options[at + 1];
    if (length < 2 || length > options.size() - at) return false;
    at += length;
  }
  return true;
}

// The header's own size, once all of it but the total length is checked.
Parsed<std::size_t> checked_header_size(Bytes packet) noexcept {
  if (packet.size() < Ipv4View::kMinSize) return std::unexpected(WireError::kTruncated);
  if (load_u8(packet, 0) >> 4 != 4) return std::unexpected(WireError::kBadVersion);
  const std::size_t header = static_cast<std::size_t>(load_u8(packet, 0) & 0xf) * 4;
  if (header < Ipv4View::kMinSize) return std::unexpected(WireError::kBadHeaderLength);
  if (header > packet.size()) return std::unexpected(WireError::kTruncated);
  if (!options_well_formed(packet.subspan(Ipv4View::kMinSize, header - Ipv4View::kMinSize))) {
    return std::unexpected(WireError::kBadOption);
  }
  return header;
}

}  // namespace

std::optional<Ipv4Option> Ipv4OptionIterator::next() noexcept {
  while (!left_.empty()) {
    const std::uint8_t type = left_[0];
    if (type == kEndOfList) break;
    if (type == kNoOperation) {
      left_ = left_.subspan(1);
      continue;
    }
    const std::size_t length = left_[1];
    const Ipv4Option option{type, left_.subspan(2, length - 2)};
    left_ = left_.subspan(length);
    return option;
  }
  return std::nullopt;
}

std::size_t Ipv4Fields::size() const noexcept {
  return Ipv4View::kMinSize + option_length;
}

void Ipv4Fields::emit(MutableBytes out) const noexcept {
  const std::size_t header = size();
  assert(out.size() >= header && option_length % 4 == 0 && option_length <= kMaxOptions);
  assert(header + payload_length <= kMaxTotal && fragment_offset % 8 == 0 && dscp < 64);
  store_u8(out, 0, static_cast<std::uint8_t>(0x40 | header / 4));
  store_u8(out, 1, static_cast<std::uint8_t>(dscp << 2 | static_cast<std::uint8_t>(ecn)));
  store_be16(out, Ipv4View::kTotalLengthOffset,
             static_cast<std::uint16_t>(header + payload_length));
  store_be16(out, Ipv4View::kIdentificationOffset, identification);
  store_be16(out, 6,
             static_cast<std::uint16_t>((dont_fragment ? 0x4000 : 0) |
                                        (more_fragments ? 0x2000 : 0) | fragment_offset / 8));
  store_u8(out, Ipv4View::kTtlOffset, ttl);
  store_u8(out, 9, static_cast<std::uint8_t>(protocol));
  store_be16(out, Ipv4View::kChecksumOffset, 0);
  source.store(out, Ipv4View::kSourceOffset);
  destination.store(out, Ipv4View::kDestinationOffset);
  std::memcpy(out.data() + Ipv4View::kMinSize, options.data(), option_length);
  store_be16(out, Ipv4View::kChecksumOffset, wire::checksum(out.first(header)));
}

Parsed<Ipv4View> Ipv4View::parse(Bytes packet) noexcept {
  const auto header = checked_header_size(packet);
  if (!header) return std::unexpected(header.error());
  const std::size_t total = load_be16(packet, kTotalLengthOffset);
  if (total < *header) return std::unexpected(WireError::kBadLength);
  if (total > packet.size()) return std::unexpected(WireError::kTruncated);
  return Ipv4View(packet.first(total));
}

Parsed<Ipv4View> Ipv4View::parse_super_frame(Bytes packet) noexcept {
  const auto header = checked_header_size(packet);
  if (!header) return std::unexpected(header.error());
  const std::size_t total = load_be16(packet, kTotalLengthOffset);
  if ((total != 0 && total < *header) || packet.size() > kMaxTotal) {
    return std::unexpected(WireError::kBadLength);
  }
  if (total > packet.size()) return std::unexpected(WireError::kTruncated);
  return Ipv4View(packet);
}

Parsed<Ipv4View> Ipv4View::parse_quoted(Bytes packet) noexcept {
  const auto header = checked_header_size(packet);
  if (!header) return std::unexpected(header.error());
  const std::size_t total = load_be16(packet, kTotalLengthOffset);
  if (total < *header) return std::unexpected(WireError::kBadLength);
  return Ipv4View(packet.first(std::min(total, packet.size())));
}

bool Ipv4View::verify_checksum() const noexcept {
  return wire::checksum(bytes_.first(header_size())) == 0;
}

Ipv4Fields Ipv4View::fields() const noexcept {
  Ipv4Fields f;
  f.source = source();
  f.destination = destination();
  f.protocol = protocol();
  f.ttl = ttl();
  f.dscp = dscp();
  f.ecn = ecn();
  f.identification = identification();
  f.dont_fragment = dont_fragment();
  f.more_fragments = more_fragments();
  f.fragment_offset = fragment_offset();
  f.payload_length = static_cast<std::uint16_t>(payload().size());
  const Bytes raw = option_bytes();
  f.option_length = static_cast<std::uint8_t>(raw.size());
  std::ranges::copy(raw, f.options.begin());
  return f;
}

std::string to_string(const Ipv4Fields& f) {
  std::string out =
      fmt::format("{} > {} {} ttl {} id {}", to_string(f.source), to_string(f.destination),
                  to_string(f.protocol), f.ttl, f.identification);
  auto end = std::back_inserter(out);
  if (f.dscp != 0) fmt::format_to(end, " dscp {}", f.dscp);
  if (f.ecn != Ecn::kNotEct) fmt::format_to(end, " ecn {}", static_cast<unsigned>(f.ecn));
  if (f.dont_fragment) out += " DF";
  if (f.more_fragments || f.fragment_offset != 0) {
    fmt::format_to(end, " frag {}{}", f.fragment_offset, f.more_fragments ? "+" : "");
  }
  if (f.option_length != 0) fmt::format_to(end, " options {}", f.option_length);
  fmt::format_to(end, " length {}", f.payload_length);
  return out;
}

}  // namespace vtl::wire
