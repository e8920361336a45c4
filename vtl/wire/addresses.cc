#include "vtl/wire/addresses.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <charconv>

namespace vtl::wire {
namespace {

// The longest text inet_pton may have to read: INET6_ADDRSTRLEN counts the final NUL.
template <std::size_t Size>
bool from_text(int family, std::string_view text, std::array<std::uint8_t, Size>& out) {
  std::array<char, INET6_ADDRSTRLEN> copy{};
  if (text.size() >= copy.size() || text.find('\0') != std::string_view::npos) return false;
  std::ranges::copy(text, copy.begin());
  return inet_pton(family, copy.data(), out.data()) == 1;
}

std::optional<std::uint8_t> hex_digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<std::uint8_t>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<std::uint8_t>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<std::uint8_t>(c - 'A' + 10);
  return std::nullopt;
}

std::optional<Port> parse_port(std::string_view text) {
  std::uint16_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return Port(value);
}

}  // namespace

MacAddress MacAddress::load(Bytes bytes, std::size_t offset) noexcept {
  assert(offset + kSize <= bytes.size());
  std::array<std::uint8_t, kSize> octets{};
  std::memcpy(octets.data(), bytes.data() + offset, kSize);
  return MacAddress(octets);
}

void MacAddress::store(MutableBytes bytes, std::size_t offset) const noexcept {
  assert(offset + kSize <= bytes.size());
  std::memcpy(bytes.data() + offset, octets_.data(), kSize);
}

std::optional<MacAddress> MacAddress::parse(std::string_view text) {
  if (text.size() != 3 * kSize - 1) return std::nullopt;
  std::array<std::uint8_t, kSize> octets{};
  for (std::size_t i = 0; i < kSize; ++i) {
    const auto high = hex_digit(text[3 * i]);
    const auto low = hex_digit(text[3 * i + 1]);
    if (!high || !low || (i + 1 < kSize && text[3 * i + 2] != ':')) return std::nullopt;
    octets[i] = static_cast<std::uint8_t>(*high << 4 | *low);
  }
  return MacAddress(octets);
}

std::optional<Ipv4Address> Ipv4Address::parse(std::string_view text) {
  std::array<std::uint8_t, kSize> octets{};
  if (!from_text(AF_INET, text, octets)) return std::nullopt;
  return load(octets, 0);
}

Ipv6Address Ipv6Address::load(Bytes bytes, std::size_t offset) noexcept {
  assert(offset + kSize <= bytes.size());
  std::array<std::uint8_t, kSize> octets{};
  std::memcpy(octets.data(), bytes.data() + offset, kSize);
  return Ipv6Address(octets);
}

void Ipv6Address::store(MutableBytes bytes, std::size_t offset) const noexcept {
  assert(offset + kSize <= bytes.size());
  std::memcpy(bytes.data() + offset, octets_.data(), kSize);
}

std::optional<Ipv6Address> Ipv6Address::parse(std::string_view text) {
  std::array<std::uint8_t, kSize> octets{};
  if (!from_text(AF_INET6, text, octets)) return std::nullopt;
  return Ipv6Address(octets);
}

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  if (const auto v4 = Ipv4Address::parse(text)) return *v4;
  if (const auto v6 = Ipv6Address::parse(text)) return *v6;
  return std::nullopt;
}

std::optional<SocketAddress> SocketAddress::parse(std::string_view text) {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto port = parse_port(text.substr(colon + 1));
  const auto host = text.substr(0, colon);
  if (!port || host.empty()) return std::nullopt;
  if (host.front() != '[') {
    const auto v4 = Ipv4Address::parse(host);
    if (!v4) return std::nullopt;
    return SocketAddress{*v4, *port};
  }
  if (host.back() != ']') return std::nullopt;
  const auto v6 = Ipv6Address::parse(host.substr(1, host.size() - 2));
  if (!v6) return std::nullopt;
  return SocketAddress{*v6, *port};
}

std::string to_string(const MacAddress& a) {
  const auto& o = a.octets();
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", o[0], o[1], o[2], o[3], o[4],
                     o[5]);
}

std::string to_string(const Ipv4Address& a) {
  const std::uint32_t v = a.value();
  return fmt::format("{}.{}.{}.{}", v >> 24, (v >> 16) & 0xff, (v >> 8) & 0xff, v & 0xff);
}

std::string to_string(const Ipv6Address& a) {
  std::array<std::uint16_t, 8> words{};
  for (std::size_t i = 0; i < words.size(); ++i) words[i] = load_be16(a.octets(), 2 * i);
  constexpr std::array<std::uint16_t, 6> kMapped{0, 0, 0, 0, 0, 0xffff};
  if (std::ranges::equal(kMapped, std::span(words).first(6))) {
    return "::ffff:" + to_string(Ipv4Address::load(a.octets(), 12));  // RFC 5952 section 5
  }
  // RFC 5952 section 4.2: the first of the longest runs of two or more zero words.
  std::size_t best = 0;
  std::size_t best_length = 1;
  for (std::size_t i = 0; i < words.size(); ++i) {
    std::size_t end = i;
    while (end < words.size() && words[end] == 0) ++end;
    if (end - i > best_length) {
      best = i;
      best_length = end - i;
    }
  }
  std::string out;
  for (std::size_t i = 0; i < words.size();) {
    if (best_length > 1 && i == best) {
      out += "::";
      i += best_length;
      continue;
    }
    if (!out.empty() && out.back() != ':') out += ':';
    fmt::format_to(std::back_inserter(out), "{:x}", words[i]);
    ++i;
  }
  return out;
}

std::string to_string(const IpAddress& a) {
  if (a.is_v4()) return to_string(a.v4());
  if (a.is_v6()) return to_string(a.v6());
  return "none";
}

std::string to_string(const SocketAddress& s) {
  const std::string host = to_string(s.address);
  return s.address.is_v6() ? fmt::format("[{}]:{}", host, s.port.value())
                           : fmt::format("{}:{}", host, s.port.value());
}

}  // namespace vtl::wire
