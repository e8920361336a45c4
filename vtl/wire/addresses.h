// Addresses and ports as types: MacAddress, Ipv4Address, Ipv6Address, IpAddress, Port.
//
// Plain values, comparable, hashable (absl), printable (to_string, and fmt through it). Parsing
// from text answers nullopt on anything that is not exactly one address.
#pragma once

#include <algorithm>
#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "vtl/base/bytes.h"

namespace vtl::wire {

/// An IEEE 802 48-bit address.
class MacAddress {
 public:
  static constexpr std::size_t kSize = 6;
  constexpr MacAddress() = default;
  constexpr explicit MacAddress(std::array<std::uint8_t, kSize> octets) : octets_(octets) {}
  /// Reads the six octets at `offset`; the caller has checked the bounds.
  static MacAddress load(Bytes bytes, std::size_t offset) noexcept;
  void store(MutableBytes bytes, std::size_t offset) const noexcept;
  /// "02:00:5e:10:00:01", in either case.
  static std::optional<MacAddress> parse(std::string_view text);
  static constexpr MacAddress broadcast() {
    return MacAddress({0xff, 0xff, 0xff, 0xff, 0xff, 0xff});
  }

  [[nodiscard]] constexpr const std::array<std::uint8_t, kSize>& octets() const { return octets_; }
  /// The group bit; true for broadcast too.
  [[nodiscard]] constexpr bool is_multicast() const { return (octets_[0] & 1) != 0; }
  [[nodiscard]] constexpr bool is_broadcast() const { return *this == broadcast(); }
  [[nodiscard]] constexpr bool is_zero() const { return *this == MacAddress{}; }
  constexpr auto operator<=>(const MacAddress&) const = default;
  template <class H>
  friend H AbslHashValue(H h, const MacAddress& a) {
    return H::combine_contiguous(std::move(h), a.octets_.data(), a.octets_.size());
  }

 private:
  std::array<std::uint8_t, kSize> octets_{};
};

class Ipv4Address {
 public:
  static constexpr std::size_t kSize = 4;
  constexpr Ipv4Address() = default;
  /// `value` in host byte order: 0x7f000001 is 127.0.0.1.
  constexpr explicit Ipv4Address(std::uint32_t value) : value_(value) {}
  constexpr Ipv4Address(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d)
      : value_(static_cast<std::uint32_t>(a) << 24 | static_cast<std::uint32_t>(b) << 16 |
               static_cast<std::uint32_t>(c) << 8 | d) {}
  static Ipv4Address load(Bytes bytes, std::size_t offset) noexcept {
    return Ipv4Address(load_be32(bytes, offset));
  }
  void store(MutableBytes bytes, std::size_t offset) const noexcept {
    store_be32(bytes, offset, value_);
  }
  /// Dotted quad, four decimal parts, no leading zeros.
  static std::optional<Ipv4Address> parse(std::string_view text);

  [[nodiscard]] constexpr std::uint32_t value() const { return value_; }
  [[nodiscard]] constexpr bool is_unspecified() const { return value_ == 0; }
  [[nodiscard]] constexpr bool is_multicast() const { return (value_ >> 28) == 0xe; }
  [[nodiscard]] constexpr bool is_broadcast() const { return value_ == 0xffffffff; }
  [[nodiscard]] constexpr bool is_loopback() const { return (value_ >> 24) == 127; }
  constexpr auto operator<=>(const Ipv4Address&) const = default;
  template <class H>
  friend H AbslHashValue(H h, const Ipv4Address& a) {
    return H::combine(std::move(h), a.value_);
  }

 private:
  std::uint32_t value_ = 0;
};

class Ipv6Address {
 public:
  static constexpr std::size_t kSize = 16;
  constexpr Ipv6Address() = default;
  constexpr explicit Ipv6Address(std::array<std::uint8_t, kSize> octets) : octets_(octets) {}
  static Ipv6Address load(Bytes bytes, std::size_t offset) noexcept;
  void store(MutableBytes bytes, std::size_t offset) const noexcept;
  /// Every form of RFC 4291 section 2.2; no zone.
  static std::optional<Ipv6Address> parse(std::string_view text);

  [[nodiscard]] constexpr const std::array<std::uint8_t, kSize>& octets() const { return octets_; }
  [[nodiscard]] constexpr bool is_unspecified() const { return *this == Ipv6Address{}; }
  [[nodiscard]] constexpr bool is_multicast() const { return octets_[0] == 0xff; }
  [[nodiscard]] constexpr bool is_link_local() const {
    return octets_[0] == 0xfe && (octets_[1] & 0xc0) == 0x80;
  }
  constexpr auto operator<=>(const Ipv6Address&) const = default;
  template <class H>
  friend H AbslHashValue(H h, const Ipv6Address& a) {
    return H::combine_contiguous(std::move(h), a.octets_.data(), a.octets_.size());
  }

 private:
  std::array<std::uint8_t, kSize> octets_{};
};

/// Either version, 17 bytes. Two addresses are equal when version and bits are.
class IpAddress {
 public:
  constexpr IpAddress() = default;
  constexpr IpAddress(Ipv4Address a)  // NOLINT: every IPv4 address is an IP address.
      : version_(4),
        octets_{static_cast<std::uint8_t>(a.value() >> 24),
                static_cast<std::uint8_t>(a.value() >> 16),
                static_cast<std::uint8_t>(a.value() >> 8), static_cast<std::uint8_t>(a.value())} {}
  constexpr IpAddress(Ipv6Address a) : version_(6), octets_(a.octets()) {}  // NOLINT: as above.
  static std::optional<IpAddress> parse(std::string_view text);

  /// 4, 6, or 0 for a default-constructed address.
  [[nodiscard]] constexpr int version() const { return version_; }
  [[nodiscard]] constexpr bool is_v4() const { return version_ == 4; }
  [[nodiscard]] constexpr bool is_v6() const { return version_ == 6; }
  /// The IPv4 address; only when is_v4().
  [[nodiscard]] constexpr Ipv4Address v4() const {
    return {octets_[0], octets_[1], octets_[2], octets_[3]};
  }
  /// The IPv6 address; only when is_v6().
  [[nodiscard]] constexpr Ipv6Address v6() const { return Ipv6Address(octets_); }
  constexpr auto operator<=>(const IpAddress&) const = default;
  template <class H>
  friend H AbslHashValue(H h, const IpAddress& a) {
    return H::combine_contiguous(H::combine(std::move(h), a.version_), a.octets_.data(),
                                 a.octets_.size());
  }

 private:
  std::uint8_t version_ = 0;
  std::array<std::uint8_t, 16> octets_{};
};

/// A TCP or UDP port.
class Port {
 public:
  constexpr Port() = default;
  constexpr explicit Port(std::uint16_t value) : value_(value) {}
  [[nodiscard]] constexpr std::uint16_t value() const { return value_; }
  constexpr auto operator<=>(const Port&) const = default;
  template <class H>
  friend H AbslHashValue(H h, const Port& p) {
    return H::combine(std::move(h), p.value_);
  }

 private:
  std::uint16_t value_ = 0;
};

/// An address and a port: "192.0.2.1:80", "[2001:db8::1]:80".
struct SocketAddress {
  IpAddress address;
  Port port;
  static std::optional<SocketAddress> parse(std::string_view text);
  constexpr auto operator<=>(const SocketAddress&) const = default;
  template <class H>
  friend H AbslHashValue(H h, const SocketAddress& s) {
    return H::combine(std::move(h), s.address, s.port);
  }
};

[[nodiscard]] std::string to_string(const MacAddress& a);
[[nodiscard]] std::string to_string(const Ipv4Address& a);
/// The canonical form of RFC 5952.
[[nodiscard]] std::string to_string(const Ipv6Address& a);
[[nodiscard]] std::string to_string(const IpAddress& a);
[[nodiscard]] std::string to_string(const SocketAddress& a);

}  // namespace vtl::wire
