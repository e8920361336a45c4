#include "vtl/service/anonymizer/egress.h"

#include <absl/strings/string_view.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "vtl/wire/dns.h"

namespace vtl::service {
namespace {

using wire::IpAddress, wire::IpNetwork, wire::Ipv4Address, wire::Ipv6Address;

constexpr std::string_view kLocalhost = "localhost";

struct Special {
  const char* network;
  bool reachable;
};

// The IANA IPv4 special-purpose address registry; an earlier line wins. Beyond the registry:
// multicast, and 192.88.99.0/24, which RFC 7526 took out of use.
constexpr auto kSpecialV4 = std::to_array<Special>({
    {"0.0.0.0/8", false},
    {"10.0.0.0/8", false},
    {"100.64.0.0/10", false},
    {"127.0.0.0/8", false},
    {"169.254.0.0/16", false},
    {"172.16.0.0/12", false},
    {"192.0.0.9/32", true},
    {"192.0.0.10/32", true},
    {"192.0.0.0/24", false},
    {"192.0.2.0/24", false},
    {"192.88.99.0/24", false},
    {"192.168.0.0/16", false},
    {"198.18.0.0/15", false},
    {"198.51.100.0/24", false},
    {"203.0.113.0/24", false},
    {"224.0.0.0/4", false},
    {"240.0.0.0/4", false},
});

// The IANA IPv6 special-purpose address registry within 2000::/3; an earlier line wins.
constexpr auto kSpecialV6 = std::to_array<Special>({
    {"2001:1::1/128", true},
    {"2001:1::2/128", true},
    {"2001:1::3/128", true},
    {"2001:3::/32", true},
    {"2001:4:112::/48", true},
    {"2001:20::/28", true},
    {"2001:30::/28", true},
    {"2001::/23", false},
    {"2001:db8::/32", false},
    {"3fff::/20", false},
    {"2000::/3", true},
    {"::/0", false},
});

struct SpecialNetwork {
  IpNetwork network;
  bool reachable;
};

template <std::size_t n>
std::vector<SpecialNetwork> parsed(const std::array<Special, n>& table) {
  std::vector<SpecialNetwork> out;
  out.reserve(n);
  for (const Special& line : table)
    out.push_back({*IpNetwork::parse(line.network), line.reachable});
  return out;
}

// What an IPv4-mapped address is to a socket (RFC 4291 section 2.5.5.2).
IpAddress unmapped(const IpAddress& address) noexcept {
  static const IpNetwork mapped = *IpNetwork::parse("::ffff:0:0/96");
  if (!mapped.contains(address)) return address;
  const Ipv6Address six = address.v6();
  return Ipv4Address::load(six.octets(), 12);
}

// The IPv4 address to which a router would translate or tunnel: 6to4 (RFC 3056), NAT64 (RFC 6052).
std::optional<IpAddress> embedded(const IpAddress& address) noexcept {
  static const IpNetwork six_to_four = *IpNetwork::parse("2002::/16");
  static const IpNetwork nat64 = *IpNetwork::parse("64:ff9b::/96");
  if (!address.is_v6()) return std::nullopt;
  const Ipv6Address six = address.v6();
  if (six_to_four.contains(address)) return Ipv4Address::load(six.octets(), 2);
  if (nat64.contains(address)) return Ipv4Address::load(six.octets(), 12);
  return std::nullopt;
}

std::string_view without_last_dot(std::string_view name) noexcept {
  if (name.ends_with('.')) name.remove_suffix(1);
  return name;
}

// One part as inet_aton() reads it: decimal, "0x" hexadecimal, "0" octal. An 8 or 9 behind a "0" is
// read as decimal, as some programs do.
std::optional<std::uint64_t> part(std::string_view text) noexcept {
  int base = 10;
  if (text.starts_with("0x")) {
    text.remove_prefix(2);
    if (text.empty()) return 0;  // as some programs do
    base = 16;
  } else if (text.size() > 1 && text.front() == '0') {
    base = text.find_first_of("89") == std::string_view::npos ? 8 : 10;
  }
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<Ipv4Address> inet_aton(std::string_view text) noexcept {
  std::uint64_t value = 0;
  for (unsigned parts = 1; parts <= 4; ++parts) {
    const std::size_t dot = text.find('.');
    const auto number = part(text.substr(0, dot));
    if (!number) return std::nullopt;
    if (dot == std::string_view::npos) {
      const unsigned bits = 8 * (5 - parts);  // the last part fills what is left
      if (*number >= std::uint64_t{1} << bits) return std::nullopt;
      return Ipv4Address(static_cast<std::uint32_t>(value << bits | *number));
    }
    if (*number > 255) return std::nullopt;
    value = value << 8 | *number;
    text.remove_prefix(dot + 1);
  }
  return std::nullopt;
}

bool is_localhost(std::string_view name) noexcept {
  return name == kLocalhost ||
         (name.ends_with(kLocalhost) && name[name.size() - kLocalhost.size() - 1] == '.');
}

// Names that have a meaning on the proxy's own host or network, and none beyond: single labels,
// what hosts files call the host itself, and zones that are everybody's own (RFC 6762, RFC 8375,
// ICANN's .internal, and what routers hand out).
bool is_inner_name(std::string_view name) {
  constexpr std::string_view kZones[] = {".localdomain", ".localdomain4", ".localdomain6", ".local",
                                         ".internal",    ".home.arpa",    ".lan",          ".home",
                                         ".intranet",    ".corp",         ".private"};
  return name.find('.') == std::string_view::npos ||
         std::ranges::any_of(kZones, [&](std::string_view zone) { return name.ends_with(zone); });
}

bool is_host_name(std::string_view name) {
  constexpr auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  };
  return std::ranges::all_of(name, allowed) && wire::DnsName::parse(name).has_value();
}

Outcome<EgressPattern> parse_network(std::string_view text) {
  const auto network = IpNetwork::parse(text);
  if (!network) {
    if (const auto around = IpNetwork::around(text)) {
      return fail(fmt::format("{}: bits beyond the length are set; the network is {}", text,
                              to_string(*around)));
    }
    return fail(
        fmt::format("'{}' is no network; right would be 192.0.2.0/24 or 2001:db8::/32", text));
  }
  const IpAddress plain = unmapped(network->address());
  if (plain.is_v4() && network->address().is_v6() && network->length() >= 96) {
    return EgressPattern{EgressPattern::Kind::kNetwork,
                         {},
                         IpNetwork(plain, static_cast<std::uint8_t>(network->length() - 96))};
  }
  return EgressPattern{EgressPattern::Kind::kNetwork, {}, *network};
}

std::optional<std::uint16_t> parse_port(std::string_view text) noexcept {
  std::uint16_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value == 0) return std::nullopt;
  return value;
}

bool is_single(const wire::IpNetwork& network) noexcept {
  return network.length() == (network.address().is_v4() ? 32 : 128);
}

}  // namespace

std::string normal_name(std::string_view name) {
  std::string out(without_last_dot(name));
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  }
  return out;
}

bool ends_in_number(std::string_view name) noexcept {
  std::string_view last = name.substr(name.rfind('.') + 1);
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  if (!last.starts_with("0x")) return std::ranges::all_of(last, is_digit);
  last.remove_prefix(2);
  return std::ranges::all_of(last, [&](char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); });
}

bool is_globally_reachable(const IpAddress& address) noexcept {
  static const std::vector<SpecialNetwork> v4 = parsed(kSpecialV4), v6 = parsed(kSpecialV6);
  const IpAddress plain = unmapped(address);
  if (const auto inner = embedded(plain)) return is_globally_reachable(*inner);
  for (const SpecialNetwork& line : plain.is_v4() ? v4 : v6) {
    if (line.network.contains(plain)) return line.reachable;
  }
  return plain.is_v4();
}

std::optional<IpAddress> address_in_name(std::string_view name) {
  // getaddrinfo() of common C libraries reads an address up to the first space.
  const std::string text = normal_name(name.substr(0, name.find_first_of(" \t\n\v\f\r")));
  if (is_localhost(text)) return Ipv4Address(127, 0, 0, 1);
  if (const auto v4 = inet_aton(text)) return *v4;
  std::string_view six = text;
  if (six.starts_with('[') && six.ends_with(']')) six = six.substr(1, six.size() - 2);
  const auto v6 = Ipv6Address::parse(six.substr(0, six.find('%')));
  if (!v6) return std::nullopt;
  return *v6;
}

Outcome<PortRange> PortRange::parse(std::string_view text) {
  const std::size_t dash = text.find('-');
  const auto first = parse_port(text.substr(0, dash));
  const auto last = dash == std::string_view::npos ? first : parse_port(text.substr(dash + 1));
  if (!first || !last || *first > *last) {
    return fail(
        fmt::format("'{}' is no port; right would be 443 or 8000-8100, from 1 to 65535", text));
  }
  return PortRange{*first, *last};
}

Outcome<EgressPattern> EgressPattern::parse(std::string_view text) {
  constexpr std::string_view kRight =
      "right would be example.org, *.example.org, *, 192.0.2.0/24 or any";
  if (text == "any") return EgressPattern{Kind::kAny, {}, {}};
  if (text == "*") return EgressPattern{Kind::kAnyName, {}, {}};
  if (text.find_first_of("/:") != std::string_view::npos || IpAddress::parse(text)) {
    return parse_network(text);
  }
  EgressPattern pattern{Kind::kName, normal_name(text), {}};
  if (const auto address = address_in_name(text); address && !is_localhost(pattern.name)) {
    return fail(fmt::format("'{}' means an address; write it as {}", text, to_string(*address)));
  }
  if (pattern.name.starts_with("*.")) {
    pattern.kind = Kind::kBelow;
    pattern.name.erase(0, 2);
  }
  if (pattern.name.find('*') != std::string::npos) {
    return fail(
        fmt::format("'{}': a star stands for whole labels in front only; {}", text, kRight));
  }
  if (std::ranges::any_of(pattern.name, [](char c) { return (c & 0x80) != 0; })) {
    return fail(fmt::format("'{}': names stand as on the wire; write it in its xn-- form", text));
  }
  if (!is_host_name(pattern.name)) {
    return fail(fmt::format("'{}' is no name, network or address; {}", text, kRight));
  }
  return pattern;
}

EgressList::EgressList(std::vector<EgressRule> rules, OwnAddress own)
    : rules_(std::move(rules)), own_(std::move(own)) {
  if (rules_.size() > kMaxRules) rules_.resize(kMaxRules);
  for (std::uint32_t i = 0; i < rules_.size(); ++i) {
    const EgressPattern& pattern = rules_[i].pattern;
    switch (pattern.kind) {
      case EgressPattern::Kind::kName:
        names_[pattern.name].push_back(i);
        break;
      case EgressPattern::Kind::kBelow:
        below_[pattern.name].push_back(i);
        break;
      case EgressPattern::Kind::kAnyName:
        any_name_.push_back(i);
        break;
      case EgressPattern::Kind::kNetwork:
        about_addresses_.push_back(i);
        break;
      case EgressPattern::Kind::kAny:
        any_name_.push_back(i);
        about_addresses_.push_back(i);
        break;
    }
  }
}

// Where some port would do, a rule for a few ports that allows is about it; one that denies is not.
bool EgressList::is_about(const EgressRule& rule, std::optional<wire::Port> port) {
  if (rule.ports.empty()) return true;
  if (!port) return rule.allow;
  return std::ranges::any_of(rule.ports, [&](const PortRange& r) { return r.contains(*port); });
}

std::uint32_t EgressList::first_of(const std::vector<std::uint32_t>& rules,
                                   std::optional<wire::Port> port) const {
  const auto found =
      std::ranges::find_if(rules, [&](std::uint32_t i) { return is_about(rules_[i], port); });
  return found == rules.end() ? kNone : *found;
}

std::uint32_t EgressList::first_for_name(std::string_view name,
                                         std::optional<wire::Port> port) const {
  std::uint32_t first = kNone;
  const auto consider = [&](const auto& table, std::string_view key) {
    const auto found = table.find(absl::string_view(key.data(), key.size()));
    if (found != table.end()) first = std::min(first, first_of(found->second, port));
  };
  consider(names_, name);
  for (std::size_t dot = name.find('.'); dot != std::string_view::npos; dot = name.find('.')) {
    name.remove_prefix(dot + 1);
    consider(below_, name);
  }
  return first;
}

bool EgressList::judge_name(std::string_view name, std::optional<wire::Port> port) const {
  if (name.empty()) return false;
  const std::string normal = normal_name(name);
  if (const auto address = address_in_name(name)) {
    return judge_address(*address, first_for_name(normal, port), port);
  }
  if (!is_host_name(normal) || ends_in_number(normal)) return false;
  const bool inner = is_inner_name(normal);
  std::uint32_t first = first_for_name(normal, port);
  for (const std::uint32_t i : any_name_) {
    if (i >= first) break;
    const EgressRule& rule = rules_[i];
    const bool matches =
        rule.pattern.kind == EgressPattern::Kind::kAnyName || !rule.allow || !inner;
    if (matches && is_about(rule, port)) return rule.allow;
  }
  return first == kNone ? !inner : rules_[first].allow;
}

bool EgressList::is_own(const IpAddress& address) const {
  if (!own_) return false;
  const auto inner = embedded(address);
  return own_(address) || (inner && own_(*inner));
}

bool EgressList::is_outside(const IpAddress& address) const {
  return is_globally_reachable(address) && !is_own(address);
}

bool EgressList::judge_address(const IpAddress& address, std::uint32_t first,
                               std::optional<wire::Port> port) const {
  const IpAddress plain = unmapped(address);
  const auto inner = embedded(plain);
  // A network that happens to hold an address of the host does not name it.
  const auto names = [&](const wire::IpNetwork& network) {
    return network.contains(plain) && (is_single(network) || !is_own(plain));
  };
  for (const std::uint32_t i : about_addresses_) {
    if (i >= first) break;
    const EgressRule& rule = rules_[i];
    if (!is_about(rule, port)) continue;
    const bool any = rule.pattern.kind == EgressPattern::Kind::kAny;
    const wire::IpNetwork& network = rule.pattern.network;
    if (rule.allow) {
      if (any ? is_outside(plain) : names(network)) return true;
    } else if (any || network.contains(plain) || (inner && network.contains(*inner))) {
      return false;
    }
  }
  return first == kNone ? is_outside(plain) : rules_[first].allow;
}

bool EgressList::may_connect(const transport::Host& host, wire::Port port) const {
  if (const auto* address = std::get_if<IpAddress>(&host)) {
    return judge_address(*address, kNone, port);
  }
  return judge_name(std::get<std::string>(host), port);
}

bool EgressList::may_ask(std::string_view name) const {
  return judge_name(name, std::nullopt);
}

bool EgressList::reaches_addresses() const {
  bool v4 = false, v6 = false;  // denied as a whole so far
  for (const std::uint32_t i : about_addresses_) {
    const EgressRule& rule = rules_[i];
    if (!is_about(rule, std::nullopt)) continue;
    const bool any = rule.pattern.kind == EgressPattern::Kind::kAny;
    const wire::IpNetwork& network = rule.pattern.network;
    const bool six = !any && network.address().is_v6();
    if (rule.allow && (any || !(six ? v6 : v4))) return true;
    if (rule.allow || (!any && network.length() > 0)) continue;
    v4 = v4 || any || !six;
    v6 = v6 || any || six;
    if (v4 && v6) return false;
  }
  return true;
}

bool EgressList::may_reach(const IpAddress& address) const {
  return judge_address(address, kNone, std::nullopt);
}

}  // namespace vtl::service
