// ICMP for IPv6 (RFC 4443). Neighbour discovery's own messages: ndp.h.
//
// Every message is eight octets, the last four of which mean what the type says, and a body.
// Thread rule: values. A view must not outlive its bytes.
#pragma once

#include <cstdint>
#include <string>

#include "vtl/wire/addresses.h"
#include "vtl/wire/error.h"

namespace vtl::wire {

enum class Icmpv6Type : std::uint8_t {
  kUnreachable = 1,
  kPacketTooBig = 2,
  kTimeExceeded = 3,
  kParameterProblem = 4,
  kEchoRequest = 128,
  kEchoReply = 129,
  kRouterSolicitation = 133,  // RFC 4861
  kRouterAdvertisement = 134,
  kNeighbourSolicitation = 135,
  kNeighbourAdvertisement = 136,
  kRedirect = 137,
};

/// Codes of kUnreachable (RFC 4443 section 3.1).
enum class Icmpv6Unreachable : std::uint8_t {
  kNoRoute = 0,
  kAdministrativelyProhibited = 1,
  kBeyondScope = 2,
  kAddress = 3,
  kPort = 4,
};

struct Icmpv6Fields {
  static constexpr std::size_t kSize = 8;
  Icmpv6Type type = Icmpv6Type::kEchoRequest;  ///< others than the named ones pass through
  std::uint8_t code = 0;
  std::uint32_t rest = 0;  ///< octets 4 to 7

  [[nodiscard]] static constexpr Icmpv6Fields echo(Icmpv6Type type, std::uint16_t identifier,
                                                   std::uint16_t sequence) {
    return {type, 0, static_cast<std::uint32_t>(identifier) << 16 | sequence};
  }
  [[nodiscard]] static constexpr Icmpv6Fields unreachable(Icmpv6Unreachable code) {
    return {Icmpv6Type::kUnreachable, static_cast<std::uint8_t>(code), 0};
  }
  [[nodiscard]] static constexpr Icmpv6Fields packet_too_big(std::uint32_t mtu) {
    return {Icmpv6Type::kPacketTooBig, 0, mtu};
  }
  [[nodiscard]] static constexpr Icmpv6Fields time_exceeded() {
    return {Icmpv6Type::kTimeExceeded, 0, 0};
  }

  [[nodiscard]] constexpr bool is_echo() const {
    return type == Icmpv6Type::kEchoRequest || type == Icmpv6Type::kEchoReply;
  }
  /// Quotes a packet in its body: the types below 128.
  [[nodiscard]] constexpr bool is_error() const { return static_cast<std::uint8_t>(type) < 128; }
  /// Of an echo.
  [[nodiscard]] constexpr std::uint16_t identifier() const {
    return static_cast<std::uint16_t>(rest >> 16);
  }
  [[nodiscard]] constexpr std::uint16_t sequence() const {
    return static_cast<std::uint16_t>(rest);
  }
  /// Of packet-too-big.
  [[nodiscard]] constexpr std::uint32_t mtu() const { return rest; }

  /// Octets that emit() writes.
  [[nodiscard]] static constexpr std::size_t size() noexcept { return kSize; }
  /// Writes the header, checksum 0, to the front of `out`, which holds at least size() octets.
  void emit(MutableBytes out) const noexcept;
  bool operator==(const Icmpv6Fields&) const = default;
};

class Icmpv6View {
 public:
  static constexpr std::size_t kSize = Icmpv6Fields::kSize;
  static constexpr std::size_t kChecksumOffset = 2;

  /// `message`: what the IP layer carries after its extension headers, without padding.
  [[nodiscard]] static Parsed<Icmpv6View> parse(Bytes message) noexcept;

  [[nodiscard]] Icmpv6Fields fields() const noexcept {
    return {static_cast<Icmpv6Type>(load_u8(bytes_, 0)), load_u8(bytes_, 1), load_be32(bytes_, 4)};
  }
  [[nodiscard]] std::uint16_t checksum() const noexcept {
    return load_be16(bytes_, kChecksumOffset);
  }
  /// An echo's data; an error's quoted packet: read it with parse_quoted_flow().
  [[nodiscard]] Bytes body() const noexcept { return bytes_.subspan(kSize); }
  /// True when the checksum, pseudo-header included, is right.
  [[nodiscard]] bool verify_checksum(const Ipv6Address& source,
                                     const Ipv6Address& destination) const noexcept;

 private:
  explicit Icmpv6View(Bytes bytes) noexcept : bytes_(bytes) {}
  Bytes bytes_;
};

/// "echo request id 7 seq 1", "packet too big, mtu 1400".
[[nodiscard]] std::string to_string(const Icmpv6Fields& fields);

}  // namespace vtl::wire
