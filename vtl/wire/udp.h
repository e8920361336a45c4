// UDP (RFC 768).
//
// Thread rule: values. A view must not outlive its bytes.
#pragma once

#include <cstdint>
#include <string>

#include "vtl/wire/addresses.h"
#include "vtl/wire/error.h"

namespace vtl::wire {

struct UdpFields {
  static constexpr std::size_t kSize = 8;
  /// The longest payload that the length field can tell.
  static constexpr std::uint16_t kMaxPayload = 65535 - kSize;
  Port source;
  Port destination;
  std::uint16_t payload_length = 0;  ///< octets after the header, at most kMaxPayload

  /// Octets that emit() writes.
  [[nodiscard]] static constexpr std::size_t size() noexcept { return kSize; }
  /// Writes the header, checksum 0, to the front of `out`, which holds at least size() octets.
  void emit(MutableBytes out) const noexcept;
  bool operator==(const UdpFields&) const = default;
};

class UdpView {
 public:
  static constexpr std::size_t kSize = UdpFields::kSize;
  static constexpr std::size_t kLengthOffset = 4;
  static constexpr std::size_t kChecksumOffset = 6;

  /// `datagram`: what the IP layer carries. The length field must lie between 8 and its size; what
  /// follows it is no payload. Length 0 (RFC 2675) is kBadLength.
  [[nodiscard]] static Parsed<UdpView> parse(Bytes datagram) noexcept;
  /// A super-frame's datagram: the length field may be 0 or short, and the payload goes to the end.
  [[nodiscard]] static Parsed<UdpView> parse_super_frame(Bytes datagram) noexcept;

  [[nodiscard]] Port source() const noexcept { return Port(load_be16(bytes_, 0)); }
  [[nodiscard]] Port destination() const noexcept { return Port(load_be16(bytes_, 2)); }
  /// The field as it stands: header and payload.
  [[nodiscard]] std::uint16_t length() const noexcept { return load_be16(bytes_, kLengthOffset); }
  /// 0: the sender made none (IPv4 only; RFC 8200 section 8.1).
  [[nodiscard]] std::uint16_t checksum() const noexcept {
    return load_be16(bytes_, kChecksumOffset);
  }
  [[nodiscard]] Bytes payload() const noexcept { return bytes_.subspan(kSize); }
  [[nodiscard]] UdpFields fields() const noexcept {
    return {source(), destination(), static_cast<std::uint16_t>(payload().size())};
  }
  /// True when the checksum is right, or absent over IPv4. Over IPv6 an absent one is wrong.
  [[nodiscard]] bool verify_checksum(const IpAddress& source,
                                     const IpAddress& destination) const noexcept;

 private:
  explicit UdpView(Bytes bytes) noexcept : bytes_(bytes) {}
  Bytes bytes_;
};

/// "4000 > 53 length 31".
[[nodiscard]] std::string to_string(const UdpFields& fields);

}  // namespace vtl::wire
