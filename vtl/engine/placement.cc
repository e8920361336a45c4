#include "vtl/engine/placement.h"

#include <absl/container/flat_hash_map.h>
#include <fmt/format.h>

#include <numeric>

#include "vtl/engine/engine.h"

namespace vtl::engine {
namespace {

// Which interfaces hang together: union by the lower index.
class Groups {
 public:
  explicit Groups(std::size_t n) : parent_(n) { std::iota(parent_.begin(), parent_.end(), 0); }
  std::size_t find(std::size_t i) const {
    while (parent_[i] != i) i = parent_[i];
    return i;
  }
  void join(std::size_t a, std::size_t b) {
    a = find(a);
    b = find(b);
    if (a < b) parent_[b] = a;
    if (b < a) parent_[a] = b;
  }

 private:
  std::vector<std::size_t> parent_;
};

Outcome<void> resolve_names(const EngineConfig& config, Placement& placement) {
  absl::flat_hash_map<std::string, std::size_t> index;
  for (std::size_t i = 0; i < config.interfaces.size(); ++i) {
    if (!index.emplace(config.interfaces[i].name, i).second) {
      return fail(fmt::format("two interfaces are called '{}'", config.interfaces[i].name));
    }
  }
  absl::flat_hash_map<std::string, std::size_t> links;
  std::vector<const std::string*> guest_of(config.interfaces.size());
  for (const auto& link : config.links) {
    if (!links.emplace(link.name, 0).second) {
      return fail(fmt::format("two links are called '{}'", link.name));
    }
    const auto guest = index.find(link.guest);
    if (guest == index.end()) {
      return fail(fmt::format("link '{}': there is no interface '{}'", link.name, link.guest));
    }
    if (const auto* other = guest_of[guest->second]; other != nullptr) {
      return fail(
          fmt::format("link '{}': interface '{}' is the guest of link '{}' already; "
                      "a guest has one link",
                      link.name, link.guest, *other));
    }
    guest_of[guest->second] = &link.name;
    placement.guest.push_back(guest->second);
    if (!link.network) {
      placement.network.push_back(Placement::kNone);
      continue;
    }
    const auto network = index.find(*link.network);
    if (network == index.end()) {
      return fail(fmt::format("link '{}': there is no interface '{}'", link.name, *link.network));
    }
    placement.network.push_back(network->second);
    ++placement.sharing[network->second];
  }
  for (std::size_t i = 0; i < config.interfaces.size(); ++i) {
    if (guest_of[i] != nullptr && placement.sharing[i] > 0) {
      return fail(
          fmt::format("interface '{}' is the guest of link '{}' and the network of another; "
                      "it can be one of them",
                      config.interfaces[i].name, *guest_of[i]));
    }
  }
  return {};
}

}  // namespace

Outcome<Placement> place(const EngineConfig& config) {
  if (config.workers == 0) return fail("there must be at least one worker");
  const std::size_t n = config.interfaces.size();
  Placement placement;
  placement.interfaces.resize(n);
  placement.sharing.resize(n);
  if (auto named = resolve_names(config, placement); !named) {
    return std::unexpected(named.error());
  }
  Groups groups(n);
  for (std::size_t l = 0; l < config.links.size(); ++l) {
    if (placement.network[l] != Placement::kNone)
      groups.join(placement.guest[l], placement.network[l]);
  }
  std::vector<bool> wide(n, true);  // by a group's representative
  for (std::size_t i = 0; i < n; ++i) {
    if (!config.interfaces[i].many_workers) wide[groups.find(i)] = false;
  }
  for (std::size_t l = 0; l < config.links.size(); ++l) {
    if (!config.links[l].many_workers) wide[groups.find(placement.guest[l])] = false;
  }
  std::vector<Placement::Range> range(n);
  std::uint32_t next = 0;
  for (std::size_t l = 0; l < config.links.size(); ++l) {
    const std::size_t group = groups.find(placement.guest[l]);
    if (range[group].count == 0) {
      range[group] = wide[group] ? Placement::Range{0, config.workers}
                                 : Placement::Range{next++ % config.workers, 1};
    }
    placement.links.push_back(range[group]);
  }
  for (std::size_t i = 0; i < n; ++i) placement.interfaces[i] = range[groups.find(i)];
  return placement;
}

}  // namespace vtl::engine
