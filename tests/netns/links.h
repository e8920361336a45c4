// VTL's engine on a lab host, inside the test's own process.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lab/host.h"
#include "lab/must.h"
#include "vtl/engine/engine.h"
#include "vtl/iface/af_packet.h"

namespace vtl::test {

/// An existing device as one of the engine's interfaces, shared by its workers.
inline engine::InterfaceConfig device(const std::string& name) {
  using Shares = std::vector<std::unique_ptr<iface::Interface>>;
  auto shares = std::make_shared<Shares>();
  return {name,
          [name, shares](std::uint32_t worker,
                         std::uint32_t workers) -> Outcome<std::unique_ptr<iface::Interface>> {
            if (worker == 0) {
              auto opened = iface::open_af_packet_workers({.device = name}, workers);
              if (!opened) return std::unexpected(opened.error());
              *shares = std::move(*opened);
            }
            return std::move((*shares)[worker]);
          },
          true};
}

/// Starts the engine with its workers in `host`: a thread starts where its maker is.
inline void start_in(const lab::Host& host, engine::Engine& engine, engine::EngineConfig config) {
  const auto inside = host.enter();
  lab::must(engine.start(std::move(config)));
}

}  // namespace vtl::test
