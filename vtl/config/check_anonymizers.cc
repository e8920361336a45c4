// What an anonymizer needs of the rest of the file.
//
// Nothing may take the guest's frames before it but what only spoils them. The guest's device must
// be one of which the host sees nothing: an af_packet device is sealed, taps and VMM sockets are
// VTL's alone by nature; a pcap device cannot be. Streams are kept apart by the credentials that
// the proxy is given, so a proxy with credentials of its own cannot do it, and of one that is not
// Tor somebody has to say that it can. Addresses of names are Tor's to find, and good for something
// only where an address may be reached.

#include <fmt/format.h>

#include <algorithm>

#include "vtl/config/readers.h"

namespace vtl::config {
namespace {

// What the guest sends goes to the proxy's socket.
constexpr std::size_t kReadBytes = std::size_t{1} << 20;

void seal_guest(const Node& link_node, const LinkConfig& link, Config& config,
                Diagnostics& diagnostics) {
  const auto guest = std::ranges::find(config.interfaces, link.guest, &InterfaceConfig::name);
  if (guest == config.interfaces.end()) return;
  const Node* const node = service_of(link_node, "anonymizer");
  const Mark mark = node != nullptr ? node->mark : link_node.mark;
  if (std::holds_alternative<iface::PcapOptions>(guest->options)) {
    diagnostics.add(mark, fmt::format("the anonymizer of link '{}' needs a guest whose frames the "
                                      "host does not see: make interface '{}' of type af_packet",
                                      link.name, link.guest));
  }
  auto* const af_packet = std::get_if<iface::AfPacketOptions>(&guest->options);
  if (af_packet == nullptr) return;
  if (!af_packet->seal) af_packet->seal = iface::SealUse::kKeep;
  af_packet->read_bytes = kReadBytes;
  if (af_packet->seal == iface::SealUse::kOff) {
    diagnostics.add(mark, fmt::format("interface '{}' says seal: off, so the host would see and "
                                      "answer the guest of link '{}' beside its anonymizer; leave "
                                      "'seal' out, or say on or keep",
                                      link.guest, link.name));
  }
}

void check_place(const Node& node, const LinkConfig& link, Diagnostics& diagnostics) {
  for (const ServiceOptions& service : link.services) {
    if (std::holds_alternative<service::AnonymizerOptions>(service)) return;
    if (std::holds_alternative<BridgeOptions>(service) ||
        std::holds_alternative<service::ImpairConfig>(service)) {
      continue;
    }
    diagnostics.add(node.mark, fmt::format("in link '{}' another service takes connections of the "
                                           "guest before the anonymizer; put the anonymizer first",
                                           link.name));
    return;
  }
}

// What the service says of `key`; null: nothing.
const Node* find_key(const Node& service, std::string_view key) {
  if (service.entries.empty()) return nullptr;
  const auto& keys = service.entries.front().value.entries;
  const auto it = std::ranges::find(keys, key, &Node::Entry::key);
  return it == keys.end() ? nullptr : &it->value;
}

Mark mark_of(const Node& service, std::string_view key) {
  const Node* const value = find_key(service, key);
  return value == nullptr ? service.mark : value->mark;
}

void check_look_ups(const Node& node, const LinkConfig& link,
                    const service::AnonymizerOptions& options, const Config& config,
                    Diagnostics& diagnostics) {
  if (options.dns != service::DnsMode::kResolve) return;
  const bool tor = std::ranges::any_of(config.proxies, [&](const transport::SocksOptions& proxy) {
    return proxy.tor && std::ranges::find(options.proxies, proxy.name) != options.proxies.end();
  });
  if (!tor) {
    diagnostics.add(
        mark_of(node, "dns"),
        fmt::format("the anonymizer of link '{}' says dns: resolve, but only Tor finds "
                    "addresses, and none of its proxies is of type: tor; say dns: names",
                    link.name));
  }
  if (!service::EgressList(options.egress).reaches_addresses()) {
    diagnostics.add(
        mark_of(node, "egress"),
        fmt::format(
            "the anonymizer of link '{}' says dns: resolve, so its guests connect to "
            "addresses, and 'egress' denies every address; say dns: names, or allow networks",
            link.name));
  }
}

void check_isolation(const Node& node, const LinkConfig& link,
                     const service::AnonymizerOptions& options, const Config& config,
                     Diagnostics& diagnostics) {
  if (options.isolation == service::IsolateBy::kNothing) return;
  for (const auto& name : options.proxies) {
    const auto proxy = std::ranges::find(config.proxies, name, &transport::SocksOptions::name);
    if (proxy == config.proxies.end() || proxy->tor) continue;
    if (!proxy->credentials) {
      if (find_key(node, "isolation") != nullptr) continue;
      diagnostics.add(
          node.mark,
          fmt::format(
              "the anonymizer of link '{}' keeps guests apart by a user and password of its "
              "own making, which few servers but Tor take; for proxy '{}' say isolation: "
              "none, or isolation: guest if it takes any",
              link.name, name));
      continue;
    }
    diagnostics.add(node.mark,
                    fmt::format("the anonymizer of link '{}' keeps streams apart by the user and "
                                "password that it tells the proxy, but proxy '{}' has its own; say "
                                "isolation: none, or leave 'user' out there",
                                link.name, name));
  }
}

}  // namespace

void check_anonymizers(const Node& links, Config& config, Diagnostics& diagnostics) {
  for (std::size_t i = 0; i < config.links.size(); ++i) {
    const LinkConfig& link = config.links[i];
    for (const ServiceOptions& service : link.services) {
      const auto* const options = std::get_if<service::AnonymizerOptions>(&service);
      if (options == nullptr) continue;
      seal_guest(links.items[i], link, config, diagnostics);
      const Node* const node = service_of(links.items[i], "anonymizer");
      if (node == nullptr) continue;
      check_place(*node, link, diagnostics);
      check_isolation(*node, link, *options, config, diagnostics);
      check_look_ups(*node, link, *options, config, diagnostics);
    }
  }
}

}  // namespace vtl::config
