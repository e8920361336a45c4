// Which gateways several workers can serve.
//
// Each worker has its part of a gateway's connections, and each direction must find it: frames by
// the fanout of af_packet, streams that the peer opens by the same hash over all workers
// (transport::Options::worker_for). So both interfaces of the link must be af_packet, for no other
// spreads frames by that hash, and the link must run on all workers: one that the engine places on
// a single worker (placement.h) would never see the streams that reach the others.

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

// Why several workers cannot serve a gateway on `link`; empty when they can.
std::string obstacle(const Config& config, const LinkConfig& link, bool on_all_workers) {
  for (const auto& name : {std::optional(link.guest), link.network}) {
    if (name && !is_af_packet(config, *name)) {
      return fmt::format("interface '{}' is not of type af_packet", *name);
    }
  }
  if (on_all_workers) return {};
  if (has_impair(link)) return "'impair' in the same link runs on one worker";
  return fmt::format("interface '{}' is shared with a link that runs on one worker",
                     link.network.value_or(link.guest));
}

// The node of the first gateway of a link, as the file has it.
const Node* gateway_of(const Node& link) {
  const auto services = std::ranges::find(link.entries, "services", &Node::Entry::key);
  if (services == link.entries.end()) return nullptr;
  const auto it = std::ranges::find_if(services->value.items, [](const Node& item) {
    return !item.entries.empty() && item.entries.front().key == "gateway";
  });
  return it == services->value.items.end() ? nullptr : &*it;
}

}  // namespace

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
    const Node* const gateway = gateway_of(links.items[i]);
    if (gateway == nullptr) continue;
    const auto& link = config.links[i];
    const auto why = obstacle(config, link, placement->links[i].count == config.workers);
    if (why.empty()) continue;
    diagnostics.add(gateway->mark,
                    fmt::format("the gateway of link '{}' needs workers: 1, not {}: {}, and "
                                "streams from the peer would reach workers that do not know them",
                                link.name, config.workers, why));
  }
}

}  // namespace vtl::config
