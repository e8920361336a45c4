// IPv6 (RFC 8200): the fixed header and the chain of extension headers.
//
// Ipv6View checks the fixed header. walk() follows the chain: hop-by-hop (first only), routing,
// destination options, fragment and authentication headers, at most kMaxExtensions of them. It
// fails closed: an extension header of IANA's list that it does not know (mobility, HIP, shim6,
// experimental) is kUnsupported, so nothing behind it is taken for a transport header. Any other
// number is an upper-layer protocol. Thread rule: values. A view must not outlive its bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "vtl/wire/addresses.h"
#include "vtl/wire/error.h"
#include "vtl/wire/flow_key.h"
#include "vtl/wire/ipv4.h"

namespace vtl::wire {

/// The Fragment header (RFC 8200 section 4.5).
struct Ipv6Fragment {
  static constexpr std::size_t kSize = 8;
  IpProtocol next = IpProtocol::kTcp;
  std::uint16_t offset = 0;  ///< octets, a multiple of 8
  bool more = false;
  std::uint32_t identification = 0;

  [[nodiscard]] static constexpr std::size_t size() noexcept { return kSize; }
  /// Writes the header to the front of `out`, which holds at least size() octets.
  void emit(MutableBytes out) const noexcept;
  /// Offset 0 and nothing more: the packet is whole (RFC 6946).
  [[nodiscard]] constexpr bool is_atomic() const noexcept { return offset == 0 && !more; }
  bool operator==(const Ipv6Fragment&) const = default;
};

/// What the chain of extension headers leads to.
struct Ipv6Chain {
  static constexpr std::size_t kMaxExtensions = 8;
  IpProtocol protocol = IpProtocol::kNoNext;  ///< the first that is not an extension header
  /// Where its header begins, from the packet's first octet. In a fragment other than the first no
  /// header begins there, but the fragment's data.
  std::uint32_t offset = 0;
  std::uint8_t extensions = 0;
  std::optional<Ipv6Fragment> fragment;
  [[nodiscard]] bool is_fragment() const noexcept { return fragment && !fragment->is_atomic(); }
  [[nodiscard]] bool has_transport() const noexcept {
    return protocol != IpProtocol::kNoNext && !(fragment && fragment->offset != 0);
  }
};

/// One extension header with its own bytes, next-header octet included.
struct Ipv6Extension {
  IpProtocol kind = IpProtocol::kHopByHop;
  Bytes bytes;
};

struct Ipv6Fields {
  static constexpr std::size_t kSize = 40;
  Ipv6Address source;
  Ipv6Address destination;
  IpProtocol next_header = IpProtocol::kTcp;
  std::uint8_t hop_limit = 64;
  std::uint8_t dscp = 0;  ///< 0..63
  Ecn ecn = Ecn::kNotEct;
  std::uint32_t flow_label = 0;      ///< 20 bits
  std::uint16_t payload_length = 0;  ///< octets after the fixed header, extensions included

  [[nodiscard]] static constexpr std::size_t size() noexcept { return kSize; }
  /// Writes the fixed header to the front of `out`, which holds at least size() octets.
  void emit(MutableBytes out) const noexcept;
  bool operator==(const Ipv6Fields&) const = default;
};

class Ipv6View {
 public:
  static constexpr std::size_t kSize = Ipv6Fields::kSize;
  static constexpr std::size_t kPayloadLengthOffset = 4;
  static constexpr std::size_t kHopLimitOffset = 7;
  static constexpr std::size_t kSourceOffset = 8;
  static constexpr std::size_t kDestinationOffset = 24;

  /// `packet` may be followed by Ethernet padding. Jumbograms (RFC 2675) are read as their payload
  /// length of 0 says: without payload.
  [[nodiscard]] static Parsed<Ipv6View> parse(Bytes packet) noexcept;
  /// A super-frame's packet: the payload length may be 0 or short, and the payload goes to the end.
  [[nodiscard]] static Parsed<Ipv6View> parse_super_frame(Bytes packet) noexcept;
  /// A packet quoted by an ICMPv6 error: the fixed header is whole, the rest may be cut (RFC 4443).
  [[nodiscard]] static Parsed<Ipv6View> parse_quoted(Bytes packet) noexcept;

  [[nodiscard]] std::uint8_t dscp() const noexcept {
    return static_cast<std::uint8_t>((load_be16(bytes_, 0) >> 6) & 0x3f);
  }
  [[nodiscard]] Ecn ecn() const noexcept {
    return static_cast<Ecn>((load_be16(bytes_, 0) >> 4) & 3);
  }
  [[nodiscard]] std::uint32_t flow_label() const noexcept { return load_be32(bytes_, 0) & 0xfffff; }
  /// The field as it stands; for a super-frame it may be 0 or short.
  [[nodiscard]] std::uint16_t payload_length() const noexcept {
    return load_be16(bytes_, kPayloadLengthOffset);
  }
  [[nodiscard]] IpProtocol next_header() const noexcept {
    return static_cast<IpProtocol>(load_u8(bytes_, 6));
  }
  [[nodiscard]] std::uint8_t hop_limit() const noexcept { return load_u8(bytes_, kHopLimitOffset); }
  [[nodiscard]] Ipv6Address source() const noexcept {
    return Ipv6Address::load(bytes_, kSourceOffset);
  }
  [[nodiscard]] Ipv6Address destination() const noexcept {
    return Ipv6Address::load(bytes_, kDestinationOffset);
  }
  /// Header and payload, without padding.
  [[nodiscard]] Bytes packet() const noexcept { return bytes_; }
  /// What follows the fixed header, extension headers included.
  [[nodiscard]] Bytes payload() const noexcept { return bytes_.subspan(kSize); }
  /// Follows the extension headers to the end.
  [[nodiscard]] Parsed<Ipv6Chain> walk() const noexcept;
  /// The same, and calls visit(Ipv6Extension) for each header on the way.
  template <class Visit>
  Parsed<Ipv6Chain> walk(Visit visit) const {
    Ipv6Chain chain = begin();
    while (true) {
      const auto step = this->step(chain);
      if (!step) return std::unexpected(step.error());
      if (step->bytes.empty()) return chain;
      visit(*step);
    }
  }
  [[nodiscard]] Ipv6Fields fields() const noexcept;

 private:
  explicit Ipv6View(Bytes bytes) noexcept : bytes_(bytes) {}
  [[nodiscard]] Ipv6Chain begin() const noexcept { return {next_header(), kSize, 0, std::nullopt}; }
  // Moves `chain` over one extension header and returns it; empty bytes at the end of the chain.
  Parsed<Ipv6Extension> step(Ipv6Chain& chain) const noexcept;
  Bytes bytes_;
};

/// "2001:db8::1 > 2001:db8::2 tcp hlim 64 length 1460".
[[nodiscard]] std::string to_string(const Ipv6Fields& fields);

}  // namespace vtl::wire
