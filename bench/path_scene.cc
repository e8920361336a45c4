#include "bench/path_scene.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "lab/vtl_program.h"

namespace vtl::bench {
namespace {

constexpr Duration kPathBound = 15s;

}  // namespace

Outcome<PathScene> PathScene::create(const PathSettings& path, Hosts hosts) {
  // The hosts' own kernels carry VTL's transport: their windows must not be what limits it.
  auto topology =
      lab::Topology::create({.mtu = path.mtu, .host_tcp = lab::TcpSettings::raised(path.window())});
  if (!topology) return std::unexpected(topology.error());
  if (hosts == Hosts::kKernelBridge)
    for (lab::Host* host : {&topology->host_a(), &topology->host_b()})
      if (auto joined = topology->bridge_with_kernel(*host); !joined)
        return std::unexpected(joined.error());
  auto wan = lab::start_vtl(topology->wan(), wan_config(path), {.name = "impair"});
  if (!wan) return std::unexpected(wan.error());
  PathScene scene(path, std::move(*topology), std::move(*wan));
  lab::Topology& built = scene.topology_;
  const bool bridged = hosts == Hosts::kKernelBridge;
  auto up = wait_for_ping(bridged ? built.client() : built.host_a(),
                          bridged ? built.server_address() : built.host_b_address(), kPathBound);
  if (!up) return std::unexpected(up.error());
  return scene;
}

Programs PathScene::gateways() {
  Programs programs;
  for (lab::Process& process : gateways_) programs.push_back(&process);
  return programs;
}

Outcome<void> PathScene::set_guest_tcp(const lab::TcpSettings& settings) {
  if (auto done = topology_.client().set_tcp(settings); !done) return done;
  return topology_.server().set_tcp(settings);
}

Outcome<void> PathScene::start_gateways(Carrier carrier) {
  const std::string& a = topology_.host_a_address();
  const std::string& b = topology_.host_b_address();
  for (const bool near : {false, true}) {
    auto process = lab::start_vtl(near ? topology_.host_a() : topology_.host_b(),
                                  gateway_config(carrier, path_, near ? a : b, near ? b : a),
                                  {.name = "gateway"});
    if (!process) return std::unexpected(process.error());
    gateways_.push_back(std::move(*process));
  }
  auto up = wait_for_ping(topology_.client(), topology_.server_address(), kPathBound);
  if (up) return up;
  std::string words = up.error().message;
  for (lab::Process& process : gateways_)
    words += fmt::format("\n{}{}:\n{}", process.name(),
                         process.running() ? "" : ", which has ended", process.errors());
  return fail(words);
}

Outcome<void> PathScene::stop_gateways() {
  for (lab::Process& process : gateways_) {
    if (!process.running())
      return fail(
          fmt::format("{} ended before it was told to: {}", process.name(), process.errors()));
    if (auto exit = process.stop(); !exit) return std::unexpected(exit.error());
  }
  gateways_.clear();
  return {};
}

Outcome<double> PathScene::ping_ms() {
  auto text = topology_.host_a().output_of(
      {"ping", "-n", "-q", "-c", "3", "-i", "0.2", topology_.host_b_address()}, 10s);
  if (!text) return std::unexpected(text.error());
  // "rtt min/avg/max/mdev = 60.1/60.2/60.3/0.1 ms"
  const std::size_t at = text->find("= ");
  double least = 0;
  if (at == std::string::npos ||
      std::from_chars(text->data() + at + 2, text->data() + text->size(), least).ec != std::errc())
    return fail(fmt::format("ping told no round trip: {}", *text));
  return least;
}

bool has_bbr(const lab::Host& host) {
  const auto available = host.congestion_controls();
  return std::ranges::find(available, "bbr") != available.end();
}

}  // namespace vtl::bench
