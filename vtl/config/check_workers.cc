// Which gateways and splits several workers can serve.
//
// Each worker has its part of the connections that such a service plays, and all that belongs to
// one must find it. The frames of both directions do by the fanout of af_packet, for no other
// interface spreads frames by that hash: a tap's queues follow the kernel's own. So where the link
// runs on several workers both its interfaces must be af_packet. The streams that a gateway's peer
// opens are spread by the same hash over all workers (transport::Options::worker_for), so a
// gateway's link must run on all of them: one that the engine places on a single worker
// (placement.h) would never see the streams that reach the others. A split there is well.

#include <fmt/format.h>

#include <algorithm>

#include "vtl/config/build.h"
#include "vtl/config/readers.h"
#include "vtl/engine/placement.h"

namespace vtl::config {
namespace {

bool is_af_packet(const Config& config, const std::string& name) {
  const auto it = std::ranges::find(config.interfaces, name, &InterfaceConfig::name);
  return it != config.interfaces.end() &&
         std::holds_alternative<iface::AfPacketOptions>(it->options);
}

bool has_impair(const LinkConfig& link) {
  return std::ranges::any_of(link.services, [](const ServiceOptions& service) {
    return std::holds_alternative<service::ImpairConfig>(service);
  });
}

// The first interface of `link` that is not af_packet.
std::optional<std::string> other_interface(const Config& config, const LinkConfig& link) {
  for (const auto& name : {std::optional(link.guest), link.network}) {
    if (name && !is_af_packet(config, *name)) return name;
  }
  return std::nullopt;
}

// Why several workers cannot serve a gateway on `link`; empty when they can.
std::string obstacle_to_gateway(const Config& config, const LinkConfig& link,
                                std::uint32_t run_by) {
  constexpr const char* kThen =
      "{}, and streams from the peer would reach workers that do not know them";
  if (const auto other = other_interface(config, link)) {
    return fmt::format(kThen, fmt::format("interface '{}' is not of type af_packet", *other));
  }
  if (run_by == config.workers) return {};
  if (has_impair(link)) return fmt::format(kThen, "'impair' in the same link runs on one worker");
  return fmt::format(kThen, fmt::format("interface '{}' is shared with a link that runs on one "
                                        "worker",
                                        link.network.value_or(link.guest)));
}

std::string obstacle_to_split(const Config& config, const LinkConfig& link, std::uint32_t run_by) {
  const auto other = other_interface(config, link);
  if (run_by == 1 || !other) return {};
  return fmt::format(
      "interface '{}' is not of type af_packet, and the two directions of a "
      "connection would reach different workers",
      *other);
}

struct Played {
  const char* service;
  std::string (*obstacle)(const Config&, const LinkConfig&, std::uint32_t run_by);
};
constexpr Played kPlayed[] = {{"gateway", obstacle_to_gateway}, {"split", obstacle_to_split}};

}  // namespace

const Node* service_of(const Node& link, std::string_view kind) {
  const auto services = std::ranges::find(link.entries, "services", &Node::Entry::key);
  if (services == link.entries.end()) return nullptr;
  const auto it = std::ranges::find_if(services->value.items, [&](const Node& item) {
    return item.kind == Node::Kind::kScalar
               ? item.text == kind
               : !item.entries.empty() && item.entries.front().key == kind;
  });
  return it == services->value.items.end() ? nullptr : &*it;
}

void check_workers(const Node& links, const Config& config, Diagnostics& diagnostics) {
  if (config.workers == 1) return;
  const auto built = build(config);
  const auto placement =
      built ? engine::place(*built) : Outcome<engine::Placement>(std::unexpected(built.error()));
  if (!placement) {
    diagnostics.add(links.mark, placement.error().message);
    return;
  }
  for (std::size_t i = 0; i < config.links.size(); ++i) {
    const auto& link = config.links[i];
    for (const auto& [service, obstacle] : kPlayed) {
      const Node* const node = service_of(links.items[i], service);
      if (node == nullptr) continue;
      const auto why = obstacle(config, link, placement->links[i].count);
      if (why.empty()) continue;
      diagnostics.add(node->mark, fmt::format("the {} of link '{}' needs workers: 1, not {}: {}",
                                              service, link.name, config.workers, why));
    }
  }
}

}  // namespace vtl::config
