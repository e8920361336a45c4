#include "vtl/engine/share.h"

#include <fmt/format.h>

#include "vtl/base/log.h"

namespace vtl::engine {

Engine::Share::Share(const EngineConfig& c, const Placement& p, std::unique_ptr<Worker> w,
                     std::uint64_t s)
    : config(c), placement(p), worker(std::move(w)), seed(s) {
  ports.resize(config.interfaces.size());
  hubs.resize(config.interfaces.size());
  peers.resize(config.peers.size());
  proxies.resize(config.proxies.size());
  proxy_shares.resize(config.links.size());
  for (auto& shares : proxy_shares) shares.resize(config.proxies.size());
  links.resize(config.links.size());
  made_.resize(config.links.size());
}

Outcome<void> Engine::Share::make_services() {
  for (std::size_t i = 0; i < config.links.size(); ++i) {
    if (!runs(placement.links[i])) continue;
    for (const auto& factory : config.links[i].services) {
      made_[i].services.push_back(factory(worker->worker()));
      if (made_[i].services.back() == nullptr) {
        return fail(fmt::format("link '{}': its service {} could not be made", config.links[i].name,
                                made_[i].services.size()));
      }
    }
    if (config.links[i].observer) made_[i].observer = config.links[i].observer(worker->worker());
  }
  return {};
}

Outcome<void> Engine::Share::open_interface(std::size_t i) {
  const auto& range = placement.interfaces[i];
  const auto& named = config.interfaces[i];
  auto opened = named.open(worker->worker() - range.first, range.count);
  if (!opened) {
    return fail(fmt::format("interface '{}': {}", named.name, opened.error().message));
  }
  ports[i] = std::make_unique<Port>(*worker, named.name, std::move(*opened), config.port);
  return {};
}

Outcome<void> Engine::Share::open() {
  for (std::size_t i = 0; i < ports.size(); ++i) {
    if (!runs(placement.interfaces[i])) continue;
    if (auto opened = open_interface(i); !opened) return opened;
    if (placement.sharing[i] > 1) hubs[i] = std::make_unique<Hub>(*worker, *ports[i]);
  }
  // Before the transports: what a link opens in the kernel takes rights that are given up then.
  for (std::size_t i = 0; i < links.size(); ++i) {
    if (!runs(placement.links[i])) continue;
    if (auto made = make_link(i); !made) return made;
  }
  for (std::size_t i = 0; i < peers.size(); ++i) {
    auto opened = config.peers[i].open(*worker, config.workers);
    if (!opened) {
      return fail(fmt::format("peer '{}': {}", config.peers[i].name, opened.error().message));
    }
    peers[i] = std::move(*opened);
  }
  for (std::size_t i = 0; i < proxies.size(); ++i) {
    auto opened = config.proxies[i].open(*worker);
    if (!opened) {
      return fail(fmt::format("proxy '{}': {}", config.proxies[i].name, opened.error().message));
    }
    proxies[i] = std::move(*opened);
  }
  return {};
}

Outcome<void> Engine::Share::make_link(std::size_t i) {
  Port& guest = *ports[placement.guest[i]];
  LinkSetup setup;
  setup.name = config.links[i].name;
  setup.workers = placement.links[i].count;
  setup.seed = seed + 0xbf58476d1ce4e5b9ULL * (i + 1);
  setup.guest = &guest;
  setup.guest_interface = &guest.interface();
  setup.find_peer = [this](std::string_view name) { return find_peer(name); };
  setup.find_proxy = [this, i](std::string_view name) { return find_proxy(i, name); };
  const std::size_t network = placement.network[i];
  FrameSink* place = nullptr;
  if (network != Placement::kNone) {
    Port& uplink = *ports[network];
    setup.network_interface = &uplink.interface();
    uplink.add_feeder(guest);
    if (hubs[network] != nullptr) {
      place = &hubs[network]->add_place();
      setup.network = place;
    } else {
      setup.network = &uplink;
      guest.add_feeder(uplink);
    }
  }
  links[i] = std::make_unique<Link>(*worker, std::move(setup));
  if (place != nullptr) hubs[network]->attach(*place, *links[i]);
  for (auto& service : made_[i].services) links[i]->add_service(std::move(service));
  if (made_[i].observer != nullptr) links[i]->set_observer(std::move(made_[i].observer));
  if (!config.links[i].cut_through) return {};
  auto set = set_fast_path(i);
  if (set) return {};
  if (config.links[i].cut_through_required) {
    return fail(fmt::format("link '{}': {}", config.links[i].name, set.error().message));
  }
  links[i]->set_fast_path_missing(set.error().message);
  return {};
}

Outcome<void> Engine::Share::set_fast_path(std::size_t i) {
  const std::size_t network = placement.network[i];
  if (network == Placement::kNone || hubs[network] != nullptr) {
    return fail("cut-through needs a network interface that no other link uses");
  }
  auto kernel = config.links[i].cut_through();
  if (!kernel) return std::unexpected(kernel.error());
  for (const std::size_t side : {placement.guest[i], network}) {
    if (ports[side]->leave_to(**kernel)) continue;
    return fail(fmt::format("interface '{}' cannot leave frames to the kernel",
                            config.interfaces[side].name));
  }
  links[i]->set_fast_path(std::move(*kernel));
  return {};
}

transport::Transport* Engine::Share::find_peer(std::string_view name) const {
  for (std::size_t i = 0; i < peers.size(); ++i) {
    if (config.peers[i].name == name) return peers[i].get();
  }
  return nullptr;
}

// Each link has its own part of a proxy's bounds.
transport::Proxy* Engine::Share::find_proxy(std::size_t link, std::string_view name) {
  for (std::size_t i = 0; i < proxies.size(); ++i) {
    if (config.proxies[i].name != name || proxies[i] == nullptr) continue;
    auto& share = proxy_shares[link][i];
    if (share == nullptr) share = proxies[i]->share();
    return share != nullptr ? share.get() : proxies[i].get();
  }
  return nullptr;
}

void Engine::Share::start() {
  for (std::size_t i = 0; i < links.size(); ++i) {
    if (links[i] == nullptr) continue;
    links[i]->start();
    const std::string& missing = links[i]->fast_path_missing();
    if (!missing.empty() && worker->worker() == placement.links[i].first) {
      log::info("link '{}': {}", links[i]->name(), missing);
    }
  }
  const auto closed = [this](std::size_t i) {
    return [this, i] {
      if (config.on_interface_closed) config.on_interface_closed(config.interfaces[i].name);
    };
  };
  for (std::size_t i = 0; i < links.size(); ++i) {
    if (links[i] == nullptr) continue;
    const std::size_t guest = placement.guest[i];
    ports[guest]->start(links[i]->entry(Direction::kOutbound), closed(guest));
    const std::size_t network = placement.network[i];
    if (network != Placement::kNone && hubs[network] == nullptr) {
      ports[network]->start(links[i]->entry(Direction::kInbound), closed(network));
    }
  }
  for (std::size_t i = 0; i < hubs.size(); ++i) {
    if (hubs[i] != nullptr) ports[i]->start(hubs[i]->from_uplink(), closed(i));
  }
}

void Engine::Share::stop(std::function<void()> done) {
  auto left = std::make_shared<std::size_t>(1);
  auto one_less = [left, done = std::move(done)] {
    if (--*left == 0) done();
  };
  for (auto& link : links) {
    if (link == nullptr) continue;
    ++*left;
    link->stop(one_less);
  }
  one_less();
}

void Engine::Share::close() {
  for (auto& port : ports) {
    if (port != nullptr) port->stop_reading();
  }
  // The services first: what their destructors still say leaves through the ports, and their
  // streams end before the transports do.
  for (auto& link : links) {
    if (link != nullptr) link->close();
  }
  for (auto& port : ports) {
    if (port != nullptr) port->flush();
  }
  made_.clear();
  peers.clear();
  proxy_shares.clear();
  proxies.clear();
  links.clear();
  hubs.clear();
  ports.clear();
}

}  // namespace vtl::engine
