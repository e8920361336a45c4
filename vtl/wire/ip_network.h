// IpNetwork: an address and how many of its first bits count: 192.0.2.0/24, 2001:db8::/32.
// Thread rule: values. Invariant: the bits beyond `length` are zero.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "vtl/wire/addresses.h"

namespace vtl::wire {

class IpNetwork {
 public:
  /// Everything of no version: contains nothing.
  constexpr IpNetwork() = default;
  /// The network that `address` lies in; `length` at most 32 or 128.
  IpNetwork(const IpAddress& address, std::uint8_t length) noexcept;
  /// "192.0.2.0/24", or an address for itself alone. Bits beyond the length must be zero.
  static std::optional<IpNetwork> parse(std::string_view text);
  /// The same, and bits beyond the length may be set: the network that the address lies in.
  static std::optional<IpNetwork> around(std::string_view text);

  [[nodiscard]] const IpAddress& address() const noexcept { return address_; }
  [[nodiscard]] std::uint8_t length() const noexcept { return length_; }
  [[nodiscard]] bool contains(const IpAddress& address) const noexcept;
  auto operator<=>(const IpNetwork&) const = default;

 private:
  IpAddress address_;
  std::uint8_t length_ = 0;
};

[[nodiscard]] std::string to_string(const IpNetwork& network);

}  // namespace vtl::wire
