// Engine: the workers, and everything that runs on them, built from a plain description.
//
// start() opens everything or leaves nothing behind: each worker opens its interfaces, transports
// and services on its own thread; when any of it fails all of it is closed again and the error
// comes back. Links that share an interface run on the same workers: on all of them, when every
// interface involved can be opened by several workers (fanout), otherwise on one.
//
// stop() asks the services to end their streams and waits up to `grace`, while frames still flow;
// then the chains end, what is pending is sent, and interfaces and transports are closed.
//
// Thread rule: one control thread calls everything here; factories are called as they say. The
// listings ask the workers and wait for their answers, so they are not for a worker's thread.
// Invariants: after start() failed, or stop() returned, no thread, descriptor or device of the
// engine remains. Every object made for a worker is destroyed on its thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "vtl/base/result.h"
#include "vtl/engine/link.h"
#include "vtl/engine/port.h"
#include "vtl/engine/service.h"
#include "vtl/engine/status.h"
#include "vtl/engine/worker.h"
#include "vtl/iface/interface.h"
#include "vtl/transport/proxy.h"
#include "vtl/transport/transport.h"

namespace vtl::engine {

/// Opens one worker's share of an interface; called on that worker, `worker` < `workers`. Workers
/// are asked one after the other, from 0 up: a factory may open all shares at 0 and hand them out.
using InterfaceFactory = std::function<Outcome<std::unique_ptr<iface::Interface>>(
    std::uint32_t worker, std::uint32_t workers)>;

struct InterfaceConfig {
  std::string name;
  InterfaceFactory open;
  bool many_workers = false;  ///< several workers may open it; otherwise one
};

/// Opens one worker's share of the way to a peer; called on that worker.
using TransportFactory = std::function<Outcome<std::unique_ptr<transport::Transport>>(
    Reactor& reactor, std::uint32_t workers)>;

struct PeerConfig {
  std::string name;
  TransportFactory open;
};

/// Opens one worker's share of the way to a proxy; called on that worker.
using ProxyFactory = std::function<Outcome<std::unique_ptr<transport::Proxy>>(Reactor& reactor)>;

struct ProxyConfig {
  std::string name;
  ProxyFactory open;
};

using ObserverFactory = std::function<std::unique_ptr<Observer>(std::uint32_t worker)>;

/// Opens the kernel's way between the link's two interfaces; called on each worker of the link, the
/// same object for all of them.
using CutThroughFactory = std::function<Outcome<std::shared_ptr<iface::CutThrough>>()>;

struct LinkConfig {
  std::string name;
  std::string guest;                     ///< an interface; of one link only
  std::optional<std::string> network;    ///< an interface, which several links may share; or none
  std::vector<ServiceFactory> services;  ///< from guest to network
  ObserverFactory observer = {};         ///< may be empty
  CutThroughFactory cut_through = {};    ///< empty: every frame passes the chain
  /// start() fails when the link cannot be cut through; else it does without.
  bool cut_through_required = false;
  /// Off for a service that must see the whole link: then one worker runs it.
  bool many_workers = true;
};

struct EngineConfig {
  std::uint32_t workers = 1;
  WorkerOptions worker = {};
  PortLimits port = {};
  std::optional<std::uint64_t> seed =
      std::nullopt;  ///< of every service's Rng; from the system when not set
  std::vector<InterfaceConfig> interfaces;
  std::vector<PeerConfig> peers;
  std::vector<ProxyConfig> proxies;
  std::vector<LinkConfig> links;
  /// Called on a worker when an interface will deliver no more: end of file, peer gone.
  std::function<void(const std::string& interface)> on_interface_closed;
};

struct Placement;

class Engine {
 public:
  Engine();
  /// stop() with no grace.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  [[nodiscard]] Outcome<void> start(EngineConfig config);
  /// Returns false when streams were still open at the end of `grace`.
  bool stop(Duration grace = 5s);
  [[nodiscard]] bool running() const noexcept;

  [[nodiscard]] std::uint32_t workers() const noexcept;
  /// Runs `task` on a worker, later. Only while running.
  void post(std::uint32_t worker, std::function<void(Worker&)> task);
  /// Runs `task` on every instance of the link, each on its worker; false when there is no such
  /// link. To add taps (Link::add_tap).
  bool post_to_link(const std::string& name, std::function<void(Link&)> task);

  /// Asks the services of that kind in the link to act (Service::act), on each worker, and waits.
  /// The error: there is no such link or service, or what the service said.
  [[nodiscard]] Outcome<void> act(const std::string& link, std::string_view kind,
                                  std::string_view action);

  [[nodiscard]] Status status();
  [[nodiscard]] std::vector<FlowInfo> list_flows();
  [[nodiscard]] std::vector<MetricGroup> list_metrics();

 private:
  struct Share;  // what lives on one worker

  [[nodiscard]] Outcome<void> build();
  void on_each(const std::function<void(Share&)>& task);
  void tear_down();

  EngineConfig config_;
  std::unique_ptr<Placement> placement_;
  std::vector<std::unique_ptr<Share>> shares_;
  Time started_{};
};

}  // namespace vtl::engine
