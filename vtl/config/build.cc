#include "vtl/config/build.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "vtl/iface/cut_through.h"
#include "vtl/service/anonymizer/anonymizer.h"
#include "vtl/service/bridge/bridge.h"
#include "vtl/service/flow_observer/flow_observer.h"
#include "vtl/service/gateway/gateway.h"
#include "vtl/service/gateway/preface.h"
#include "vtl/service/split/split.h"
#include "vtl/transport/make_transport.h"
#include "vtl/transport/socks_proxy.h"

namespace vtl::config {
namespace {

using engine::InterfaceFactory;
using InterfaceOutcome = Outcome<std::unique_ptr<iface::Interface>>;

template <class... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};

// Devices that several workers share are opened for all of them by the first that asks; the others
// take theirs. The engine may ask anew, for another number of workers, when a start is repeated.
template <class Options, class OpenAll>
InterfaceFactory shared_factory(const Options& options, OpenAll open_all) {
  struct Opened {
    std::mutex mutex;
    std::vector<std::unique_ptr<iface::Interface>> interfaces;
  };
  auto opened = std::make_shared<Opened>();
  return [=](std::uint32_t worker, std::uint32_t workers) -> InterfaceOutcome {
    const std::lock_guard lock(opened->mutex);
    auto& interfaces = opened->interfaces;
    if (interfaces.size() != workers || !interfaces[worker]) {
      auto all = open_all(options, workers);
      if (!all) return std::unexpected(all.error());
      interfaces = std::move(*all);
    }
    return std::move(interfaces[worker]);
  };
}

engine::InterfaceConfig build_interface(const InterfaceConfig& config) {
  engine::InterfaceConfig out;
  out.name = config.name;
  const auto single = [](auto open, const auto& options) -> InterfaceFactory {
    return [=](std::uint32_t, std::uint32_t) { return open(options); };
  };
  std::visit(
      Overloaded{
          [&](const iface::AfPacketOptions& options) {
            out.open = shared_factory(options, iface::open_af_packet_workers);
            out.many_workers = true;
          },
          [&](const iface::TapOptions& options) {
            out.open = shared_factory(options, iface::open_tap_workers);
            out.many_workers = true;
          },
          [&](const iface::PcapOptions& options) { out.open = single(iface::open_pcap, options); },
          [&](const iface::PcapFileOptions& options) {
            out.open = single(iface::open_pcap_file, options);
          },
          [&](const iface::QemuOptions& options) { out.open = single(iface::open_qemu, options); },
      },
      config.options);
  return out;
}

// A transport's messages begin with its peer, and so do the engine's.
Error without_peer(Error error, const std::string& name) {
  const std::string prefix = "peer " + name + ": ";
  if (error.message.starts_with(prefix)) error.message.erase(0, prefix.size());
  return error;
}

engine::PeerConfig build_peer(const PeerConfig& config) {
  const auto make =
      config.transport == TransportKind::kUdt ? transport::make_udt : transport::make_tcp;
  return {.name = config.options.name,
          .open = [make, options = config.options](Reactor& reactor, std::uint32_t workers)
              -> Outcome<std::unique_ptr<transport::Transport>> {
            auto mine = options;
            if (workers > 1) {
              // The worker that the connection's own frames will arrive at.
              mine.worker_for = [workers](Bytes bytes) -> std::uint32_t {
                const auto preface = service::Preface::parse(bytes);
                return preface ? wire::symmetric_hash(preface->key) % workers : 0;
              };
            }
            auto made = make(mine, reactor);
            if (!made) return std::unexpected(without_peer(made.error(), options.name));
            return made;
          }};
}

engine::ProxyConfig build_proxy(const transport::SocksOptions& options) {
  return {.name = options.name,
          .open = [options](Reactor& reactor) { return transport::make_socks(options, reactor); }};
}

/// One for each peer that a gateway names.
using Routers = std::map<std::string, std::shared_ptr<service::StreamRouter>>;

engine::ServiceFactory build_service(const ServiceOptions& options, Routers& routers) {
  return std::visit(
      Overloaded{
          [](const BridgeOptions&) { return service::make_bridge(); },
          [](const service::ImpairConfig& config) { return service::make_impair(config); },
          [&](const service::GatewayOptions& gateway) -> engine::ServiceFactory {
            const auto exchange = std::make_shared<service::NeighbourExchange>();
            auto& router = routers[gateway.peer];
            if (!router) router = std::make_shared<service::StreamRouter>();
            return [gateway, exchange, router](std::uint32_t) -> std::unique_ptr<engine::Service> {
              // The filter compiled when the file was read, so this does not fail.
              auto made = service::Gateway::create(gateway, exchange, router);
              return made ? std::move(*made) : nullptr;
            };
          },
          [](const service::SplitOptions& split) -> engine::ServiceFactory {
            return [split](std::uint32_t) -> std::unique_ptr<engine::Service> {
              auto made = service::Split::create(split);  // compiled when the file was read
              return made ? std::move(*made) : nullptr;
            };
          },
          [](const service::AnonymizerOptions& anonymizer) -> engine::ServiceFactory {
            return [anonymizer](std::uint32_t) -> std::unique_ptr<engine::Service> {
              return std::make_unique<service::Anonymizer>(anonymizer);
            };
          },
      },
      options);
}

const InterfaceOptions* options_of(const Config& config, const std::string& interface) {
  const auto found = std::ranges::find(config.interfaces, interface, &InterfaceConfig::name);
  return found == config.interfaces.end() ? nullptr : &found->options;
}

// The same kernel's table for all workers of a link, for as long as one of them has it.
engine::CutThroughFactory build_cut_through(const Config& config, const LinkConfig& link) {
  using Made = Outcome<std::shared_ptr<iface::CutThrough>>;
  const auto* const guest = std::get_if<iface::AfPacketOptions>(options_of(config, link.guest));
  const auto* const network =
      link.network ? std::get_if<iface::AfPacketOptions>(options_of(config, *link.network))
                   : nullptr;
  if (guest == nullptr || network == nullptr || guest->host_frames != network->host_frames) {
    return []() -> Made {
      return fail("cut-through needs two af_packet interfaces with the same 'host_frames'");
    };
  }
  for (const auto* const side : {guest, network}) {
    if (side->seal.value_or(iface::SealUse::kOff) == iface::SealUse::kOff) continue;
    return [device = side->device]() -> Made {
      return fail(fmt::format("cut-through: {} is sealed: VTL alone carries its frames", device));
    };
  }
  struct Opened {
    std::mutex mutex;
    std::weak_ptr<iface::CutThrough> kernel;
  };
  const iface::CutThroughOptions options{
      .a = guest->device, .b = network->device, .host_frames = guest->host_frames};
  return [options, opened = std::make_shared<Opened>()]() -> Made {
    const std::lock_guard lock(opened->mutex);
    if (auto there = opened->kernel.lock()) return there;
    auto made = iface::open_cut_through(options);
    if (!made) return std::unexpected(made.error());
    std::shared_ptr<iface::CutThrough> fresh = std::move(*made);
    opened->kernel = fresh;
    return fresh;
  };
}

engine::LinkConfig build_link(const Config& all, const LinkConfig& config, Routers& routers) {
  engine::LinkConfig out;
  out.name = config.name;
  out.guest = config.guest;
  out.network = config.network;
  for (const auto& service : config.services) {
    out.services.push_back(build_service(service, routers));
    // One line has one rate, and one guest network one table of names: not once per worker.
    if (std::holds_alternative<service::ImpairConfig>(service) ||
        std::holds_alternative<service::AnonymizerOptions>(service)) {
      out.many_workers = false;
    }
  }
  if (config.observe_flows) {
    out.observer = [](std::uint32_t) -> std::unique_ptr<engine::Observer> {
      static const SystemClock kClock;
      return std::make_unique<service::FlowObserver>(service::FlowObserverOptions{}, kClock);
    };
  }
  if (config.cut_through != CutThroughUse::kOff && config.observe_flows &&
      may_cut_through(config)) {
    out.cut_through = build_cut_through(all, config);
    out.cut_through_required = config.cut_through == CutThroughUse::kOn;
  }
  return out;
}

}  // namespace

Outcome<engine::EngineConfig> build(const Config& config) {
  engine::EngineConfig out;
  out.workers = config.workers;
  out.worker.busy_poll = config.busy_poll;
  out.worker.pool.max_bytes = config.packet_memory;
  out.seed = config.seed;
  for (const auto& interface : config.interfaces) {
    out.interfaces.push_back(build_interface(interface));
  }
  for (const auto& peer : config.peers) {
    if (auto good = transport::check(peer.options); !good) {
      return fail(
          fmt::format("{}: peer '{}': {}", config.file, peer.options.name, good.error().message));
    }
    out.peers.push_back(build_peer(peer));
  }
  for (const auto& proxy : config.proxies) {
    if (auto good = transport::check(proxy); !good) {
      return fail(fmt::format("{}: proxy '{}': {}", config.file, proxy.name, good.error().message));
    }
    out.proxies.push_back(build_proxy(proxy));
  }
  Routers routers;
  for (const auto& link : config.links) out.links.push_back(build_link(config, link, routers));
  return out;
}

}  // namespace vtl::config
