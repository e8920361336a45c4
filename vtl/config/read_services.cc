// Services of a chain: `- kind: { options }`, or `- kind`.

#include <fmt/format.h>

#include <array>
#include <limits>

#include "vtl/config/readers.h"
#include "vtl/config/units.h"

namespace vtl::config {
namespace {

ServiceOptions read_bridge(Section&, const Names&) {
  return BridgeOptions{};
}

// `queue`: octets, or time at the rate.
void read_queue(Section& section, service::ImpairSettings& settings) {
  const Node* const node = section.find("queue");
  if (node == nullptr) return;
  if (parse_size(node->text)) {
    settings.queue_time.reset();
    section.size("queue", settings.queue_bytes, 1, std::uint64_t{1} << 40);
  } else if (parse_duration(node->text)) {
    settings.queue_bytes.reset();
    section.duration("queue", settings.queue_time, 1us, 60s);
  } else {
    section.complain("queue", fmt::format("'queue' in {} must be a size such as 2MB or a duration "
                                          "such as 50ms, not '{}'",
                                          section.what(), node->text));
  }
}

void read_burst(Section& section, service::GilbertElliott& burst) {
  const Node* const node = section.find("burst");
  if (node == nullptr) return;
  Section inner(*node, fmt::format("'burst' of {}", section.what()), section.diagnostics());
  inner.require("to_bad", "1%");
  inner.fraction("to_bad", burst.to_bad);
  inner.fraction("to_good", burst.to_good);
  inner.fraction("loss_bad", burst.loss_bad);
  inner.fraction("loss_good", burst.loss_good);
  inner.finish();
}

void read_line(Section& section, service::ImpairSettings& settings) {
  section.duration("delay", settings.delay, 0s, 60s);
  section.duration("jitter", settings.jitter, 0s, 60s);
  section.rate("rate", settings.rate_bps, 1000, 400'000'000'000);
  section.integer("overhead", settings.overhead, 0, 1000);
  read_queue(section, settings);
  section.fraction("loss", settings.loss);
  read_burst(section, settings.burst);
  section.fraction("reorder", settings.reorder);
  section.duration("reorder_by", settings.reorder_by, 0s, 60s);
  section.fraction("duplicate", settings.duplicate);
  section.fraction("corrupt", settings.corrupt);
  section.integer("max_frames", settings.max_frames, 1, 1 << 24);
  section.size("max_bytes", settings.max_bytes, std::uint64_t{64} << 10, std::uint64_t{1} << 40);
  if (settings.jitter > settings.delay) {
    section.complain("jitter", fmt::format("'jitter' in {} is longer than 'delay'; frames would "
                                           "have to arrive before they are sent",
                                           section.what()));
  }
}

ServiceOptions read_impair(Section& section, const Names&) {
  service::ImpairConfig config;
  // What stands outside is for both directions; each may then say otherwise.
  service::ImpairSettings both;
  read_line(section, both);
  config.outbound = config.inbound = both;
  const auto read_direction = [&](std::string_view key, service::ImpairSettings& settings) {
    const Node* const node = section.find(key);
    if (node == nullptr) return;
    Section inner(*node, fmt::format("'{}' of {}", key, section.what()), section.diagnostics());
    read_line(inner, settings);
    inner.finish();
  };
  read_direction("outbound", config.outbound);
  read_direction("inbound", config.inbound);
  section.integer("seed", config.seed, 0, std::numeric_limits<std::int64_t>::max());
  section.duration("release_interval", config.release_interval, 0s, 10ms);
  // What the service finds beyond the above has no place of its own in the file.
  if (auto checked = service::check(config); !checked && section.diagnostics().empty()) {
    section.diagnostics().add(section.mark(),
                              fmt::format("{}: {}", section.what(), checked.error().message));
  }
  return config;
}

void read_networks(Section& section, service::GatewayOptions& options) {
  for_each_item(section, "guest_networks", "[192.0.2.0/24]", [&](const Node& node) {
    if (auto network = read_network(node, section, "guest_networks")) {
      options.guest_networks.push_back(*network);
    }
  });
}

ServiceOptions read_gateway(Section& section, const Names& names) {
  service::GatewayOptions options;
  section.require("peer", names.peers.empty() ? "siteb" : names.peers.front());
  section.reference("peer", options.peer, "peers", names.peers);
  section.filter("match", options.match);
  section.choice(
      "on_peer_down", options.on_peer_down,
      {{"refuse", service::PeerDownPolicy::kRefuse}, {"pass", service::PeerDownPolicy::kPass}});
  read_networks(section, options);
  section.address("guest_next_hop", options.guest_next_hop);
  section.address("network_next_hop", options.network_next_hop);
  read_limits(section, options);
  return options;
}

ServiceOptions read_split(Section& section, const Names&) {
  service::SplitOptions options;
  section.filter("match", options.match);
  section.choice("from", options.from,
                 {{"guest", service::OpenedFrom::kGuest},
                  {"network", service::OpenedFrom::kNetwork},
                  {"both", service::OpenedFrom::kBoth}});
  read_limits(section, options);
  return options;
}

struct Kind {
  std::string_view name;
  ServiceOptions (*read)(Section&, const Names&);
};

constexpr auto kKinds = std::to_array<Kind>({
    {"bridge", read_bridge},
    {"impair", read_impair},
    {"gateway", read_gateway},
    {"split", read_split},
    {"anonymizer",
     [](Section& section, const Names& names) -> ServiceOptions {
       return read_anonymizer(section, names);
     }},
});

}  // namespace

std::optional<wire::IpNetwork> read_network(const Node& node, const Section& section,
                                            std::string_view key) {
  if (const auto network = wire::IpNetwork::parse(node.text)) return network;
  const auto closest = wire::IpNetwork::around(node.text);
  section.diagnostics().add(
      node.mark,
      closest ? fmt::format("'{}' in {}: {} has bits beyond its prefix; right would be {}", key,
                            section.what(), node.text, to_string(*closest))
              : fmt::format("'{}' in {} must be networks such as 192.0.2.0/24 or 2001:db8::/64, "
                            "not '{}'",
                            key, section.what(), node.text));
  return std::nullopt;
}

void for_each_item(Section& section, std::string_view key, std::string_view example,
                   FunctionRef<void(const Node&)> read) {
  const Node* const node = section.find(key);
  if (node == nullptr || node->kind == Node::Kind::kNull) return;
  if (node->kind == Node::Kind::kScalar) return read(*node);
  if (node->kind != Node::Kind::kSequence) {
    section.complain(key, fmt::format("'{}' in {} must be a list such as {}, not {}", key,
                                      section.what(), example, node->what()));
    return;
  }
  for (const auto& item : node->items) read(item);
}

std::optional<ServiceOptions> read_service(const Node& node, const std::string& link,
                                           const Names& names, Diagnostics& diagnostics) {
  static const Node kNoOptions;
  std::string_view name;
  const Node* options = &kNoOptions;
  if (node.kind == Node::Kind::kScalar) {
    name = node.text;
  } else if (node.kind == Node::Kind::kMap && node.entries.size() == 1) {
    name = node.entries.front().key;
    options = &node.entries.front().value;
  } else {
    diagnostics.add(node.mark, fmt::format("a service of link '{}' is one name with its options, "
                                           "e.g. - gateway: {{ peer: siteb }}",
                                           link));
    return std::nullopt;
  }
  std::vector<std::string_view> known;
  for (const auto& kind : kKinds) {
    known.push_back(kind.name);
    if (kind.name != name) continue;
    // Without options there is no node of their own: mistakes are placed at the name.
    Node placed;
    placed.mark = node.mark;
    const Node& from = options->kind == Node::Kind::kNull ? placed : *options;
    Section section(from, fmt::format("service '{}' of link '{}'", name, link), diagnostics);
    auto out = kind.read(section, names);
    section.finish();
    return out;
  }
  diagnostics.add(node.kind == Node::Kind::kScalar ? node.mark : node.entries.front().mark,
                  fmt::format("no service '{}'{}", name, suggestion(name, known)));
  return std::nullopt;
}

}  // namespace vtl::config
