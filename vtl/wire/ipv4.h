// IPv4 (RFC 791), its options and fragments; DSCP (RFC 2474) and ECN (RFC 3168).
//
// Ipv4View checks once: version, header length (at least 20 and within the bytes), total length (at
// least the header and within the bytes) and the shape of the options. The header checksum is for
// the asker: verify_checksum(). Thread rule: values. A view must not outlive its bytes.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "vtl/wire/addresses.h"
#include "vtl/wire/error.h"
#include "vtl/wire/flow_key.h"

namespace vtl::wire {

/// The ECN field of IPv4 and IPv6 (RFC 3168 section 5).
enum class Ecn : std::uint8_t { kNotEct = 0, kEct1 = 1, kEct0 = 2, kCe = 3 };

/// One IPv4 option; `data` is without type and length.
struct Ipv4Option {
  std::uint8_t type = 0;  ///< the whole octet: copied flag, class and number
  Bytes data;
};

/// Walks over checked options. End-of-list and no-operation are not shown.
class Ipv4OptionIterator {
 public:
  explicit Ipv4OptionIterator(Bytes options) noexcept : left_(options) {}
  /// The next option, or nullopt at the end.
  [[nodiscard]] std::optional<Ipv4Option> next() noexcept;

 private:
  Bytes left_;
};

struct Ipv4Fields {
  static constexpr std::size_t kMaxOptions = 40;
  Ipv4Address source;
  Ipv4Address destination;
  IpProtocol protocol = IpProtocol::kTcp;
  std::uint8_t ttl = 64;
  std::uint8_t dscp = 0;  ///< 0..63
  Ecn ecn = Ecn::kNotEct;
  std::uint16_t identification = 0;
  bool dont_fragment = false;
  bool more_fragments = false;
  std::uint16_t fragment_offset = 0;  ///< octets, a multiple of 8, at most 65528
  std::uint16_t payload_length = 0;   ///< octets after the header; with it at most 65535
  std::uint8_t option_length = 0;     ///< octets in `options`: a multiple of 4, at most 40
  std::array<std::uint8_t, kMaxOptions> options{};  ///< as on the wire; unused ones 0

  /// Octets that emit() writes: 20 to 60.
  [[nodiscard]] std::size_t size() const noexcept;
  /// Writes the header with its right checksum to the front of `out`, which holds size() octets.
  void emit(MutableBytes out) const noexcept;
  bool operator==(const Ipv4Fields&) const = default;
};

class Ipv4View {
 public:
  static constexpr std::size_t kMinSize = 20;
  static constexpr std::size_t kMaxSize = 60;
  static constexpr std::size_t kTotalLengthOffset = 2;
  static constexpr std::size_t kIdentificationOffset = 4;
  static constexpr std::size_t kTtlOffset = 8;
  static constexpr std::size_t kChecksumOffset = 10;
  static constexpr std::size_t kSourceOffset = 12;
  static constexpr std::size_t kDestinationOffset = 16;

  /// `packet` may be followed by Ethernet padding.
  [[nodiscard]] static Parsed<Ipv4View> parse(Bytes packet) noexcept;
  /// A super-frame's packet: the total length may be 0 or short, and the payload goes to the end.
  [[nodiscard]] static Parsed<Ipv4View> parse_super_frame(Bytes packet) noexcept;
  /// A packet quoted by an ICMP error: the header is whole, the payload may be cut (RFC 792).
  [[nodiscard]] static Parsed<Ipv4View> parse_quoted(Bytes packet) noexcept;

  [[nodiscard]] std::size_t header_size() const noexcept {
    return static_cast<std::size_t>(load_u8(bytes_, 0) & 0xf) * 4;
  }
  [[nodiscard]] std::uint8_t dscp() const noexcept {
    return static_cast<std::uint8_t>(load_u8(bytes_, 1) >> 2);
  }
  [[nodiscard]] Ecn ecn() const noexcept { return static_cast<Ecn>(load_u8(bytes_, 1) & 3); }
  /// The field as it stands; for a super-frame it may be 0 or short.
  [[nodiscard]] std::uint16_t total_length() const noexcept {
    return load_be16(bytes_, kTotalLengthOffset);
  }
  [[nodiscard]] std::uint16_t identification() const noexcept {
    return load_be16(bytes_, kIdentificationOffset);
  }
  [[nodiscard]] bool dont_fragment() const noexcept { return (load_u8(bytes_, 6) & 0x40) != 0; }
  [[nodiscard]] bool more_fragments() const noexcept { return (load_u8(bytes_, 6) & 0x20) != 0; }
  /// In octets.
  [[nodiscard]] std::uint16_t fragment_offset() const noexcept {
    return static_cast<std::uint16_t>((load_be16(bytes_, 6) & 0x1fff) * 8);
  }
  /// Any fragment of a larger packet, the first included.
  [[nodiscard]] bool is_fragment() const noexcept { return more_fragments() || fragment_offset(); }
  [[nodiscard]] std::uint8_t ttl() const noexcept { return load_u8(bytes_, kTtlOffset); }
  [[nodiscard]] IpProtocol protocol() const noexcept {
    return static_cast<IpProtocol>(load_u8(bytes_, 9));
  }
  [[nodiscard]] std::uint16_t checksum() const noexcept {
    return load_be16(bytes_, kChecksumOffset);
  }
  [[nodiscard]] Ipv4Address source() const noexcept {
    return Ipv4Address::load(bytes_, kSourceOffset);
  }
  [[nodiscard]] Ipv4Address destination() const noexcept {
    return Ipv4Address::load(bytes_, kDestinationOffset);
  }
  [[nodiscard]] Bytes option_bytes() const noexcept {
    return bytes_.subspan(kMinSize, header_size() - kMinSize);
  }
  [[nodiscard]] Ipv4OptionIterator options() const noexcept {
    return Ipv4OptionIterator(option_bytes());
  }
  /// Header and payload, without padding.
  [[nodiscard]] Bytes packet() const noexcept { return bytes_; }
  [[nodiscard]] Bytes payload() const noexcept { return bytes_.subspan(header_size()); }
  /// True when the header checksum is right.
  [[nodiscard]] bool verify_checksum() const noexcept;
  [[nodiscard]] Ipv4Fields fields() const noexcept;

 private:
  explicit Ipv4View(Bytes bytes) noexcept : bytes_(bytes) {}
  Bytes bytes_;
};

/// "192.0.2.1 > 198.51.100.2 tcp ttl 64 id 7 DF length 1480".
[[nodiscard]] std::string to_string(const Ipv4Fields& fields);

}  // namespace vtl::wire
