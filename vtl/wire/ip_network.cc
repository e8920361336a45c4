#include "vtl/wire/ip_network.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace vtl::wire {
namespace {

std::uint8_t bits_of(const IpAddress& address) {
  return address.is_v4() ? 32 : 128;
}

/// `address` with all bits after the first `length` zero.
IpAddress masked(const IpAddress& address, std::uint8_t length) {
  if (address.is_v4()) {
    const std::uint32_t mask = length == 0 ? 0 : ~std::uint32_t{0} << (32 - length);
    return Ipv4Address(address.v4().value() & mask);
  }
  std::array<std::uint8_t, Ipv6Address::kSize> octets = address.v6().octets();
  for (std::size_t i = 0; i < octets.size(); ++i) {
    const int kept = std::clamp(static_cast<int>(length) - static_cast<int>(8 * i), 0, 8);
    octets[i] = static_cast<std::uint8_t>(octets[i] & (0xff00 >> kept));
  }
  return Ipv6Address(octets);
}

}  // namespace

IpNetwork::IpNetwork(const IpAddress& address, std::uint8_t length) noexcept
    : address_(masked(address, length)), length_(length) {}

std::optional<IpNetwork> IpNetwork::around(std::string_view text) {
  const std::size_t slash = text.find('/');
  const auto address = IpAddress::parse(text.substr(0, slash));
  if (!address) return std::nullopt;
  if (slash == std::string_view::npos) return IpNetwork(*address, bits_of(*address));
  const std::string_view digits = text.substr(slash + 1);
  std::uint8_t length = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
  if (error != std::errc{} || end != digits.data() + digits.size() || length > bits_of(*address)) {
    return std::nullopt;
  }
  return IpNetwork(*address, length);
}

std::optional<IpNetwork> IpNetwork::parse(std::string_view text) {
  const auto network = around(text);
  if (!network || IpAddress::parse(text.substr(0, text.find('/'))) != network->address()) {
    return std::nullopt;
  }
  return network;
}

bool IpNetwork::contains(const IpAddress& address) const noexcept {
  return address.version() != 0 && address.version() == address_.version() &&
         masked(address, length_) == address_;
}

std::string to_string(const IpNetwork& network) {
  return fmt::format("{}/{}", to_string(network.address()), network.length());
}

}  // namespace vtl::wire
