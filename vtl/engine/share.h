// Engine::Share: what lives on one worker. Internal to engine/.
//
// Thread rule: made and read by the control thread while the worker does not run it; opened,
// started, closed and destroyed (all but the worker itself) on the worker.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "vtl/engine/engine.h"
#include "vtl/engine/hub.h"
#include "vtl/engine/placement.h"

namespace vtl::engine {

struct Engine::Share {
  Share(const EngineConfig& config, const Placement& placement, std::unique_ptr<Worker> worker,
        std::uint64_t seed);

  /// Makes the services, on the control thread.
  [[nodiscard]] Outcome<void> make_services();
  [[nodiscard]] Outcome<void> open();
  void start();
  /// Asks all services to stop; `done` once they have.
  void stop(std::function<void()> done);
  void close();

  const EngineConfig& config;
  const Placement& placement;
  std::unique_ptr<Worker> worker;
  const std::uint64_t seed;

  // By the index of their configuration; null for what does not run on this worker.
  std::vector<std::unique_ptr<Port>> ports;
  std::vector<std::unique_ptr<Hub>> hubs;  // by interface
  std::vector<std::unique_ptr<transport::Transport>> peers;
  std::vector<std::unique_ptr<transport::Proxy>> proxies;
  std::vector<std::vector<std::unique_ptr<transport::Proxy>>> proxy_shares;  // by link, by proxy
  std::vector<std::unique_ptr<Link>> links;

 private:
  struct Made {
    std::vector<std::unique_ptr<Service>> services;
    std::unique_ptr<Observer> observer;
  };
  std::vector<Made> made_;  // by link, until open()

  [[nodiscard]] bool runs(const Placement::Range& range) const {
    return range.contains(worker->worker());
  }
  [[nodiscard]] Outcome<void> open_interface(std::size_t i);
  [[nodiscard]] Outcome<void> make_link(std::size_t i);
  [[nodiscard]] Outcome<void> set_fast_path(std::size_t i);
  [[nodiscard]] transport::Transport* find_peer(std::string_view name) const;
  [[nodiscard]] transport::Proxy* find_proxy(std::size_t link, std::string_view name);
};

}  // namespace vtl::engine
