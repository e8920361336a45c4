// ICMP for IPv4 (RFC 792; next-hop MTU: RFC 1191).
//
// Every message is eight octets, the last four of which mean what the type says, and a body: the
// data of an echo, or the packet that an error quotes. Thread rule: values. A view must not outlive
// its bytes.
#pragma once

#include <cstdint>
#include <string>

#include "vtl/wire/addresses.h"
#include "vtl/wire/error.h"

namespace vtl::wire {

enum class Icmpv4Type : std::uint8_t {
  kEchoReply = 0,
  kUnreachable = 3,
  kSourceQuench = 4,
  kRedirect = 5,
  kEchoRequest = 8,
  kTimeExceeded = 11,
  kParameterProblem = 12,
};

/// Codes of kUnreachable that VTL knows by name.
enum class Icmpv4Unreachable : std::uint8_t {
  kNet = 0,
  kHost = 1,
  kProtocol = 2,
  kPort = 3,
  kFragmentationNeeded = 4,
  kAdministrativelyProhibited = 13,
};

struct Icmpv4Fields {
  static constexpr std::size_t kSize = 8;
  Icmpv4Type type = Icmpv4Type::kEchoRequest;  ///< others than the named ones pass through
  std::uint8_t code = 0;
  std::uint32_t rest = 0;  ///< octets 4 to 7

  [[nodiscard]] static constexpr Icmpv4Fields echo(Icmpv4Type type, std::uint16_t identifier,
                                                   std::uint16_t sequence) {
    return {type, 0, static_cast<std::uint32_t>(identifier) << 16 | sequence};
  }
  [[nodiscard]] static constexpr Icmpv4Fields unreachable(Icmpv4Unreachable code) {
    return {Icmpv4Type::kUnreachable, static_cast<std::uint8_t>(code), 0};
  }
  [[nodiscard]] static constexpr Icmpv4Fields fragmentation_needed(std::uint16_t mtu) {
    return {Icmpv4Type::kUnreachable,
            static_cast<std::uint8_t>(Icmpv4Unreachable::kFragmentationNeeded), mtu};
  }
  [[nodiscard]] static constexpr Icmpv4Fields time_exceeded() {
    return {Icmpv4Type::kTimeExceeded, 0, 0};
  }

  [[nodiscard]] constexpr bool is_echo() const {
    return type == Icmpv4Type::kEchoRequest || type == Icmpv4Type::kEchoReply;
  }
  /// Quotes a packet in its body.
  [[nodiscard]] constexpr bool is_error() const {
    return type == Icmpv4Type::kUnreachable || type == Icmpv4Type::kSourceQuench ||
           type == Icmpv4Type::kRedirect || type == Icmpv4Type::kTimeExceeded ||
           type == Icmpv4Type::kParameterProblem;
  }
  [[nodiscard]] constexpr bool is_fragmentation_needed() const {
    return type == Icmpv4Type::kUnreachable &&
           code == static_cast<std::uint8_t>(Icmpv4Unreachable::kFragmentationNeeded);
  }
  /// Of an echo.
  [[nodiscard]] constexpr std::uint16_t identifier() const {
    return static_cast<std::uint16_t>(rest >> 16);
  }
  [[nodiscard]] constexpr std::uint16_t sequence() const {
    return static_cast<std::uint16_t>(rest);
  }
  /// Of fragmentation-needed: the next hop's MTU, 0 from routers older than RFC 1191.
  [[nodiscard]] constexpr std::uint16_t mtu() const { return static_cast<std::uint16_t>(rest); }

  /// Octets that emit() writes.
  [[nodiscard]] static constexpr std::size_t size() noexcept { return kSize; }
  /// Writes the header, checksum 0, to the front of `out`, which holds at least size() octets.
  void emit(MutableBytes out) const noexcept;
  bool operator==(const Icmpv4Fields&) const = default;
};

class Icmpv4View {
 public:
  static constexpr std::size_t kSize = Icmpv4Fields::kSize;
  static constexpr std::size_t kChecksumOffset = 2;

  /// `message`: what the IP layer carries, without padding.
  [[nodiscard]] static Parsed<Icmpv4View> parse(Bytes message) noexcept;

  [[nodiscard]] Icmpv4Fields fields() const noexcept {
    return {static_cast<Icmpv4Type>(load_u8(bytes_, 0)), load_u8(bytes_, 1), load_be32(bytes_, 4)};
  }
  [[nodiscard]] std::uint16_t checksum() const noexcept {
    return load_be16(bytes_, kChecksumOffset);
  }
  /// An echo's data; an error's quoted packet: read it with parse_quoted_flow().
  [[nodiscard]] Bytes body() const noexcept { return bytes_.subspan(kSize); }
  /// True when the checksum is right.
  [[nodiscard]] bool verify_checksum() const noexcept;

 private:
  explicit Icmpv4View(Bytes bytes) noexcept : bytes_(bytes) {}
  Bytes bytes_;
};

/// "echo request id 7 seq 1", "unreachable: fragmentation needed, mtu 1400".
[[nodiscard]] std::string to_string(const Icmpv4Fields& fields);

}  // namespace vtl::wire
