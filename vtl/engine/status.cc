#include "vtl/engine/status.h"

#include <array>

#include "vtl/engine/share.h"

namespace vtl::engine {
namespace {

class DropSum {
 public:
  void add(const DropCounters& counters) {
    for (std::size_t i = 0; i < kDropReasons; ++i) {
      sums_[i] += counters.value(static_cast<DropReason>(i));
    }
  }
  [[nodiscard]] DropList list() const {
    DropList out;
    for (std::size_t i = 0; i < kDropReasons; ++i) {
      if (sums_[i] > 0) out.emplace_back(static_cast<DropReason>(i), sums_[i]);
    }
    return out;
  }

 private:
  std::array<std::uint64_t, kDropReasons> sums_{};
};

struct Drops {
  std::vector<DropSum> interfaces, links, uplinks;
  std::vector<std::vector<DropSum>> services;
};

void add_port(const Port& port, InterfaceStatus& s, DropSum& drops) {
  const auto& interface = port.interface();
  const auto& c = interface.counters();
  s.device = interface.name();
  s.mac = interface.mac();
  s.capabilities = interface.capabilities();
  ++s.workers;
  s.up = interface.is_up();
  s.closed = s.closed || port.closed();
  s.seal = interface.seal();  // the workers' own is one and the same
  s.rx_frames += c.rx_frames.value();
  s.rx_bytes += c.rx_bytes.value();
  s.rx_super_frames += c.rx_super_frames.value();
  s.rx_missed += c.rx_missed.value();
  s.tx_frames += c.tx_frames.value();
  s.tx_bytes += c.tx_bytes.value();
  s.tx_super_frames += c.tx_super_frames.value();
  s.tx_backlog += port.counters().backlog.value();
  s.tx_blocked += port.counters().blocked.value();
  s.rx_paused += port.counters().paused.value();
  drops.add(c.drops);
  drops.add(port.counters().drops);
}

// The kernel's totals are of all workers: the first that tells them does for all.
void add_fast_path(const Link& link, LinkStatus& s, bool first) {
  using enum LinkStatus::CutThrough;
  const FastPath* path = link.fast_path();
  const std::string& missing = path == nullptr ? link.fast_path_missing() : path->trouble();
  if (!missing.empty()) {
    s.cut_through = kMissing;
    s.cut_through_missing = missing;
  }
  if (path == nullptr) return;
  s.cut_flows += path->counters().flows.value();
  if (missing.empty() && s.cut_through != kMissing) {
    s.cut_through = path->forwards() ? kOn : kPaused;
  }
  if (!first) return;
  const auto totals = path->kernel().totals();
  s.cut_frames_out = totals.frames[0];
  s.cut_bytes_out = totals.bytes[0];
  s.cut_frames_in = totals.frames[1];
  s.cut_bytes_in = totals.bytes[1];
}

void add_link(const Link& link, LinkStatus& s, DropSum& drops, std::vector<DropSum>& services) {
  ++s.workers;
  const auto& out = link.counters().way(Direction::kOutbound);
  const auto& in = link.counters().way(Direction::kInbound);
  s.frames_out += out.frames.value();
  s.bytes_out += out.bytes.value();
  s.frames_in += in.frames.value();
  s.bytes_in += in.bytes.value();
  add_fast_path(link, s, s.workers == 1);
  drops.add(link.counters().drops);
  s.services.resize(link.services());
  services.resize(link.services());
  for (std::uint32_t i = 0; i < link.services(); ++i) {
    s.services[i].kind = link.service(i).kind();
    services[i].add(link.service_drops(i));
  }
}

// What the kernel forwarded passed the interfaces and the link as well.
void count_cut_through(LinkStatus& link, InterfaceStatus& guest, InterfaceStatus& network) {
  link.frames_out += link.cut_frames_out;
  link.bytes_out += link.cut_bytes_out;
  link.frames_in += link.cut_frames_in;
  link.bytes_in += link.cut_bytes_in;
  for (auto* const from : {&guest, &network}) {
    const bool out = from == &guest;
    auto& to = out ? network : guest;
    const auto frames = out ? link.cut_frames_out : link.cut_frames_in;
    const auto bytes = out ? link.cut_bytes_out : link.cut_bytes_in;
    from->rx_frames += frames;
    from->rx_bytes += bytes;
    to.tx_frames += frames;
    to.tx_bytes += bytes;
  }
}

void add_hub(const Hub& hub, UplinkStatus& s, DropSum& drops) {
  const auto& c = hub.counters();
  const auto& macs = hub.macs().counters();
  s.macs += macs.entries.value();
  s.moves_refused += macs.move_refused.value();
  s.not_learned += macs.full.value();
  s.forwarded += c.forwarded.value();
  s.hairpin += c.hairpin.value();
  s.group += c.group.value();
  s.flooded += c.flooded.value();
  drops.add(c.drops);
}

void add_peer(const transport::Transport& peer, PeerStatus& s, bool first) {
  const auto& c = peer.counters();
  s.kind = peer.kind();
  s.up = peer.peer_up() && (first || s.up);
  s.opened += c.opened.value();
  s.accepted += c.accepted.value();
  s.refused += c.refused.value();
  s.reset += c.reset.value();
  s.authentication_failures += c.authentication_failures.value();
  s.bytes_out += c.bytes_out.value();
  s.bytes_in += c.bytes_in.value();
  s.window_bytes += c.window_bytes.value();
  s.window_limited += c.window_limited.value();
  s.memory_refused += c.memory_refused.value();
  if (const auto* rate = peer.rate_counters())  // workers share the port: not a sum
    s.rate = {rate->connections.value(), rate->packets_sent.value(), rate->packets_lost.value(),
              rate->reductions.value(), rate->timeouts.value()};
}

// One line for a proxy, however many workers reach it: it is up when all of them reach it.
void add_proxy(const transport::Proxy& proxy, ProxyStatus& s, bool first) {
  const auto& c = proxy.counters();
  transport::ProxyStatus mine = proxy.status();
  if (first) {
    s.proxy = std::move(mine);
  } else {
    s.proxy.streams += mine.streams;
    if (s.proxy.up && !mine.up) s.proxy.error = std::move(mine.error);
    s.proxy.up = s.proxy.up && mine.up;
    s.proxy.tried = s.proxy.tried || mine.tried;
    if (!s.proxy.tor) s.proxy.tor = std::move(mine.tor);
  }
  s.opened += c.opened.value();
  s.refused += c.refused.value();
  s.reset += c.reset.value();
  s.timed_out += c.timed_out.value();
  s.limited += c.limited.value();
  s.connect_failures += c.connect_failures.value();
  s.protocol_errors += c.protocol_errors.value();
  s.look_ups += c.look_ups.value();
  s.bytes_out += c.bytes_out.value();
  s.bytes_in += c.bytes_in.value();
}

WorkerStatus worker_status(Worker& worker) {
  const auto& c = worker.counters();
  return {worker.worker(),  c.turns.value(),  c.sleeps.value(),
          c.events.value(), c.timers.value(), worker.pool().bytes_in_use()};
}

}  // namespace

Status Engine::status() {
  Status status;
  status.running_for = running() ? SystemClock().now() - started_ : Duration::zero();
  status.interfaces.resize(config_.interfaces.size());
  status.links.resize(config_.links.size());
  status.peers.resize(config_.peers.size());
  status.proxies.resize(config_.proxies.size());
  std::vector<UplinkStatus> uplinks(config_.interfaces.size());
  Drops drops;
  drops.interfaces.resize(config_.interfaces.size());
  drops.uplinks.resize(config_.interfaces.size());
  drops.links.resize(config_.links.size());
  drops.services.resize(config_.links.size());
  bool first = true;
  on_each([&](Share& share) {
    for (std::size_t i = 0; i < share.ports.size(); ++i) {
      if (share.ports[i] != nullptr) {
        add_port(*share.ports[i], status.interfaces[i], drops.interfaces[i]);
      }
      if (share.hubs[i] != nullptr) add_hub(*share.hubs[i], uplinks[i], drops.uplinks[i]);
    }
    for (std::size_t i = 0; i < share.links.size(); ++i) {
      if (share.links[i] != nullptr) {
        add_link(*share.links[i], status.links[i], drops.links[i], drops.services[i]);
      }
    }
    for (std::size_t i = 0; i < share.peers.size(); ++i) {
      if (share.peers[i] != nullptr) add_peer(*share.peers[i], status.peers[i], first);
    }
    for (std::size_t i = 0; i < share.proxies.size(); ++i) {
      if (share.proxies[i] != nullptr) add_proxy(*share.proxies[i], status.proxies[i], first);
    }
    status.workers.push_back(worker_status(*share.worker));
    first = false;
  });
  for (std::size_t i = 0; i < config_.interfaces.size(); ++i) {
    status.interfaces[i].name = config_.interfaces[i].name;
    status.interfaces[i].drops = drops.interfaces[i].list();
    if (placement_ == nullptr || placement_->sharing[i] < 2) continue;
    uplinks[i].interface = config_.interfaces[i].name;
    uplinks[i].drops = drops.uplinks[i].list();
    status.uplinks.push_back(std::move(uplinks[i]));
  }
  for (std::size_t i = 0; i < config_.links.size(); ++i) {
    auto& link = status.links[i];
    link.name = config_.links[i].name;
    link.guest = config_.links[i].guest;
    link.network = config_.links[i].network.value_or("");
    link.drops = drops.links[i].list();
    if (!link.network.empty()) {
      count_cut_through(link, status.interfaces[placement_->guest[i]],
                        status.interfaces[placement_->network[i]]);
    }
    for (std::size_t s = 0; s < link.services.size(); ++s) {
      link.services[s].drops = drops.services[i][s].list();
    }
  }
  for (std::size_t i = 0; i < config_.peers.size(); ++i) {
    status.peers[i].name = config_.peers[i].name;
  }
  for (std::size_t i = 0; i < config_.proxies.size(); ++i) {
    status.proxies[i].name = config_.proxies[i].name;
  }
  return status;
}

}  // namespace vtl::engine
