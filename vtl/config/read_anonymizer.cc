// The anonymizer: `- anonymizer: { proxies: [tor], isolation: guest, egress: [...], ... }`.

#include <fmt/format.h>

#include <algorithm>

#include "vtl/config/readers.h"

namespace vtl::config {
namespace {

using service::AnonymizerOptions;
using service::EgressPattern;
using service::EgressRule;
using service::PortRange;

void read_proxy_names(Section& section, AnonymizerOptions& options, const Names& names) {
  section.require("proxies", names.proxies.empty() ? "[tor]" : names.proxies.front());
  for_each_item(section, "proxies", "[tor]", [&](const Node& node) {
    if (std::ranges::find(names.proxies, node.text) == names.proxies.end()) {
      section.diagnostics().add(
          node.mark,
          fmt::format("no '{}' in 'proxies'{}", node.text,
                      names.proxies.empty() ? "; there is none, e.g. proxies: { tor: { type: tor, "
                                              "address: 127.0.0.1 } }"
                                            : suggestion(node.text, names.proxies)));
      return;
    }
    if (std::ranges::find(options.proxies, node.text) != options.proxies.end()) {
      section.diagnostics().add(node.mark, fmt::format("proxy '{}' stands twice", node.text));
      return;
    }
    options.proxies.push_back(node.text);
  });
  const Node* const list = section.find("proxies");
  if (list != nullptr && list->kind == Node::Kind::kSequence && list->items.empty()) {
    section.complain("proxies", fmt::format("'proxies' in {} is empty", section.what()));
  }
}

// `key`: a network of one version, of `shortest` to `longest` bits of prefix.
void read_one_network(Section& section, std::string_view key, bool v6, unsigned shortest,
                      unsigned longest, wire::IpNetwork& out) {
  const Node* const node = section.find(key);
  if (node == nullptr) return;
  const auto network = read_network(*node, section, key);
  if (!network) return;
  if (network->address().is_v6() != v6 || network->length() < shortest ||
      network->length() > longest) {
    section.complain(key,
                     fmt::format("'{}' in {} must be an IPv{} network with {} bits, not {}", key,
                                 section.what(), v6 ? 6 : 4,
                                 shortest == longest ? fmt::format("{}", shortest)
                                                     : fmt::format("{} to {}", shortest, longest),
                                 to_string(*network)));
    return;
  }
  out = *network;
}

void read_networks(Section& section, AnonymizerOptions& options) {
  read_one_network(section, "guest_network", false, 8, 29, options.guest_network);
  read_one_network(section, "name_network", false, 8, 30, options.names.v4);
  section.flag("ipv6", options.ipv6);
  const wire::IpNetwork guests = *wire::IpNetwork::parse("fd76:746c:0:1::/64");
  const wire::IpNetwork names = *wire::IpNetwork::parse("fd76:746c:0:2::/64");
  options.guest_network_v6 = options.ipv6 ? guests : wire::IpNetwork{};
  options.names.v6 = options.ipv6 ? names : wire::IpNetwork{};
  for (const auto& [key, out] : {std::pair{"guest_network_v6", &options.guest_network_v6},
                                 std::pair{"name_network_v6", &options.names.v6}}) {
    if (section.find(key) != nullptr && !options.ipv6) {
      section.complain(key, fmt::format("'{}' in {} needs ipv6: true", key, section.what()));
    } else {
      read_one_network(section, key, true, 64, 64, *out);
    }
  }
  const auto overlap = [](const wire::IpNetwork& a, const wire::IpNetwork& b) {
    return a.contains(b.address()) || b.contains(a.address());
  };
  if (overlap(options.guest_network, options.names.v4)) {
    section.complain(
        "name_network",
        fmt::format("{} of the names and {} of the guests overlap in {}",
                    to_string(options.names.v4), to_string(options.guest_network), section.what()));
  }
  if (options.ipv6 && overlap(options.guest_network_v6, options.names.v6)) {
    section.complain("name_network_v6",
                     fmt::format("{} of the names and {} of the guests overlap in {}",
                                 to_string(options.names.v6), to_string(options.guest_network_v6),
                                 section.what()));
  }
}

void read_rule(const Node& node, std::size_t number, const Section& outer,
               AnonymizerOptions& options) {
  Section section(node, fmt::format("egress rule {} of {}", number, outer.what()),
                  outer.diagnostics());
  const bool allow = section.find("allow") != nullptr;
  if (allow == (section.find("deny") != nullptr)) {
    section.diagnostics().add(node.mark, fmt::format("{} needs 'allow' or 'deny', e.g. deny: "
                                                     "\"*.example.org\"",
                                                     section.what()));
  }
  std::vector<PortRange> ports;
  for_each_item(section, "ports", "[443, 8000-8100]", [&](const Node& item) {
    if (auto range = PortRange::parse(item.text)) {
      ports.push_back(*range);
    } else {
      section.diagnostics().add(
          item.mark, fmt::format("'ports' of {}: {}", section.what(), range.error().message));
    }
  });
  const char* const key = allow ? "allow" : "deny";
  for_each_item(section, key, "[example.org, 192.0.2.0/24]", [&](const Node& item) {
    if (auto pattern = EgressPattern::parse(item.text)) {
      options.egress.push_back({.allow = allow, .pattern = *std::move(pattern), .ports = ports});
    } else {
      section.diagnostics().add(
          item.mark, fmt::format("'{}' of {}: {}", key, section.what(), pattern.error().message));
    }
  });
  section.finish();
}

void read_egress(Section& section, AnonymizerOptions& options) {
  const Node* const list = section.find("egress");
  if (list == nullptr || list->kind == Node::Kind::kNull) return;
  if (list->kind != Node::Kind::kSequence) {
    section.complain("egress", fmt::format("'egress' in {} must be a list such as [{{ deny: "
                                           "\"*.example.org\" }}], not {}",
                                           section.what(), list->what()));
    return;
  }
  for (std::size_t i = 0; i < list->items.size(); ++i) {
    read_rule(list->items[i], i + 1, section, options);
  }
}

void read_names(Section& section, AnonymizerOptions& options) {
  section.choice("dns", options.dns,
                 {{"names", service::DnsMode::kPool}, {"resolve", service::DnsMode::kResolve}});
  section.integer("max_names", options.names.max_names, 1, 1 << 20);
  section.integer("max_names_per_guest", options.names.max_names_per_guest, 1, 1 << 20);
  section.duration("name_ttl", options.names.ttl, 1s, 24h);
  section.duration("name_lifetime", options.names.lifetime, 1s, 7 * 24h);
  if (options.names.lifetime < 2 * options.names.ttl) {
    section.complain("name_lifetime",
                     fmt::format("'name_lifetime' in {} is less than twice 'name_ttl': a program "
                                 "could still use an address that stands for another name",
                                 section.what()));
  }
}

}  // namespace

AnonymizerOptions read_anonymizer(Section& section, const Names& names) {
  AnonymizerOptions options;
  using service::IsolateBy;
  read_proxy_names(section, options, names);
  section.choice("isolation", options.isolation,
                 {{"none", IsolateBy::kNothing},
                  {"guest", IsolateBy::kGuest},
                  {"destination", IsolateBy::kDestination},
                  {"both", IsolateBy::kBoth}});
  read_networks(section, options);
  section.flag("dhcp", options.dhcp);
  section.flag("echo", options.echo);
  read_names(section, options);
  read_egress(section, options);
  read_limits(section, options);
  return options;
}

}  // namespace vtl::config
