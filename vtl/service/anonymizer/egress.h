// EgressList: what a guest may reach, decided before anything is asked of a proxy.
//
// Ordered rules, the first that matches counts. A rule has a pattern and, if it likes, ports:
//   example.org        that name
//   *.example.org      every name below it
//   *                  every name
//   192.0.2.0/24       the addresses of a network, or one address
//   any                as a rule that denies: every name and every address; as one that allows:
//                      those that are let through where no rule matches
// Where no rule matches, names are let through unless they mean something on the proxy's own host
// or network only (single labels, .local, .internal, .lan and their like), and addresses when they
// are globally reachable by the registries of RFC 6890. The others (loopback, private, link-local,
// carrier-grade NAT, documentation, benchmarking, multicast, reserved, unique-local, and IPv6
// addresses that stand for such an IPv4 one) are denied: a proxy that runs on the host would else
// connect to the host's own services. So are addresses of this host, whatever they are, where a
// proxy could be asked for them (`own`): only a rule for that one address allows it, not one for a
// network in which it lies.
//
// What ends in a number and is no address, and what is no name of a host at all, is denied: there
// is nothing of that kind in the DNS, and programs differ in what they make of it.
//
// What is written as a name and means an address is judged as one: "127.0.0.1", "[::1]", the
// spellings of inet_aton() ("127.1", "0x7f000001", "2130706433"), and localhost with all below it
// (RFC 6761 section 6.3), which is 127.0.0.1; of the names' patterns only one that says
// "localhost" itself counts for those. An IPv4-mapped address is judged as the IPv4 address, and a
// rule that denies a network denies the 6to4 and NAT64 addresses that stand for its addresses.
//
// Bounds: kMaxRules rules. A decision costs a look-up for every label of a name, or one comparison
// for every rule that is about addresses, and what `own` costs. Thread rule: values; const calls
// from any thread that `own` may be called from.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "vtl/base/result.h"
#include "vtl/transport/proxy.h"
#include "vtl/wire/addresses.h"
#include "vtl/wire/ip_network.h"

namespace vtl::service {

/// Ports from `first` to `last`, both included.
struct PortRange {
  std::uint16_t first = 0;
  std::uint16_t last = 65535;
  /// "443" or "8000-8100".
  [[nodiscard]] static Outcome<PortRange> parse(std::string_view text);
  [[nodiscard]] bool contains(wire::Port port) const noexcept {
    return first <= port.value() && port.value() <= last;
  }
  bool operator==(const PortRange&) const = default;
};

struct EgressPattern {
  enum class Kind : std::uint8_t { kName, kBelow, kAnyName, kNetwork, kAny };
  Kind kind = Kind::kAny;
  std::string name;         ///< kName, kBelow ("example.org"): lower case, no last dot
  wire::IpNetwork network;  ///< kNetwork
  /// As at the head of this file; the failure says what would be right.
  [[nodiscard]] static Outcome<EgressPattern> parse(std::string_view text);
  bool operator==(const EgressPattern&) const = default;
};

struct EgressRule {
  bool allow = false;
  EgressPattern pattern;
  std::vector<PortRange> ports;  ///< none: every port
  bool operator==(const EgressRule&) const = default;
};

class EgressList {
 public:
  static constexpr std::size_t kMaxRules = 1'000'000;
  /// Whether an address is one of those hosts on which proxies stand.
  using OwnAddress = std::function<bool(const wire::IpAddress&)>;

  /// Without rules: the defaults alone.
  EgressList() = default;
  /// At most kMaxRules; those beyond are not looked at.
  explicit EgressList(std::vector<EgressRule> rules, OwnAddress own = {});

  /// Whether a connection may go there. A name in any case, with or without its last dot.
  [[nodiscard]] bool may_connect(const transport::Host& host, wire::Port port) const;
  /// Whether the name may be looked up: false where a rule denies it on every port, before another
  /// allows it on some.
  [[nodiscard]] bool may_ask(std::string_view name) const;
  /// Whether the address could be reached on some port.
  [[nodiscard]] bool may_reach(const wire::IpAddress& address) const;
  /// Whether there is any address at all that could be reached on some port.
  [[nodiscard]] bool reaches_addresses() const;

 private:
  static constexpr std::uint32_t kNone = UINT32_MAX;
  // Without a port: whether some port would do.
  static bool is_about(const EgressRule& rule, std::optional<wire::Port> port);
  [[nodiscard]] std::uint32_t first_of(const std::vector<std::uint32_t>& rules,
                                       std::optional<wire::Port> port) const;
  // Of the rules that name it, or something above it.
  [[nodiscard]] std::uint32_t first_for_name(std::string_view name,
                                             std::optional<wire::Port> port) const;
  [[nodiscard]] bool judge_name(std::string_view name, std::optional<wire::Port> port) const;
  [[nodiscard]] bool is_own(const wire::IpAddress& address) const;
  // What holds where no rule says anything.
  [[nodiscard]] bool is_outside(const wire::IpAddress& address) const;
  // `first`: the rule that counts where none before it is about the address.
  [[nodiscard]] bool judge_address(const wire::IpAddress& address, std::uint32_t first,
                                   std::optional<wire::Port> port) const;

  std::vector<EgressRule> rules_;
  OwnAddress own_;
  // Positions in rules_, ascending, by what they are about.
  absl::flat_hash_map<std::string, std::vector<std::uint32_t>> names_, below_;
  std::vector<std::uint32_t> any_name_;         // kAnyName and kAny
  std::vector<std::uint32_t> about_addresses_;  // kNetwork and kAny
};

/// Globally reachable by the IANA registries of special-purpose addresses (RFC 6890), of IPv6 only
/// within 2000::/3; a 6to4 or NAT64 (64:ff9b::/96) address as the IPv4 address in it.
[[nodiscard]] bool is_globally_reachable(const wire::IpAddress& address) noexcept;

/// The address that a "name" means by itself: a literal in any spelling, or localhost. At most one
/// last dot is overlooked.
[[nodiscard]] std::optional<wire::IpAddress> address_in_name(std::string_view name);

/// The last label of a name in lower case is a number: no top-level domain is one, and some
/// programs read such a name as an address.
[[nodiscard]] bool ends_in_number(std::string_view name) noexcept;

/// In lower case, without its last dot.
[[nodiscard]] std::string normal_name(std::string_view name);

}  // namespace vtl::service
