#include "bench/crowd.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <utility>

#include "bench/connections.h"
#include "bench/vtl_host.h"

namespace vtl::bench {
namespace {

constexpr Duration kBound = 120s;

/// The number of KiB in the line of `file` that begins with `label`, in octets.
Outcome<double> octets_told(const std::string& file, std::string_view label) {
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(label)) continue;
    std::istringstream words(line.substr(label.size()));
    double kib = 0;
    if (words >> kib) return kib * 1024;
  }
  return fail(fmt::format("{} has no line {}", file, label));
}

}  // namespace

Outcome<lab::Process> start_own(const lab::Host& host, std::vector<std::string> arguments,
                                const std::string& name) {
  arguments.insert(arguments.begin(), own_program().string());
  return host.start({.argv = std::move(arguments), .name = name, .input_from = lab::Input::kPipe});
}

Outcome<void> prepare_for_many(lab::Host& host) {
  for (const auto& [key, value] : {std::pair{"net.ipv4.ip_local_port_range", "10000 65000"},
                                   {"net.core.somaxconn", "4096"},
                                   {"net.ipv4.tcp_max_syn_backlog", "8192"}}) {
    if (auto done = host.set_sysctl(key, value); !done) return done;
  }
  return {};
}

Outcome<Crowd> start_servers(const lab::Host& host, std::uint32_t count) {
  Crowd servers;
  for (std::uint32_t i = 0; i < count; i += kMostOfProgram) {
    auto server = start_own(host, {"serve-connections"}, "serve");
    if (!server) return std::unexpected(server.error());
    if (auto up = server->wait_for_line("^serving$", 5s); !up) return std::unexpected(up.error());
    servers.push_back(std::move(*server));
  }
  return servers;
}

Outcome<void> hold(const lab::Host& host, const std::string& target, Crowd& clients,
                   std::uint32_t count) {
  const std::size_t there = clients.size();
  for (std::uint32_t i = 0; i < count; i += kMostOfProgram) {
    const auto share = std::to_string(std::min(kMostOfProgram, count - i));
    auto client = start_own(host, {"hold-connections", target, share}, "hold");
    if (!client) return std::unexpected(client.error());
    clients.push_back(std::move(*client));
  }
  for (std::size_t i = there; i < clients.size(); ++i)
    if (auto open = clients[i].wait_for_line("^open ", kBound); !open)
      return std::unexpected(open.error());
  return {};
}

Outcome<void> disperse(Crowd& crowd) {
  for (lab::Process& each : crowd) each.close_input();
  for (lab::Process& each : crowd)
    if (auto ended = each.wait_ok(kBound); !ended) return std::unexpected(ended.error());
  return {};
}

Outcome<double> connection_rate(const lab::Host& host, const std::string& target, int seconds) {
  auto client = host.run(
      {.argv = {own_program().string(), "connection-rate", target, std::to_string(seconds)},
       .name = "connection-rate"},
      std::chrono::seconds(seconds) + 30s);
  if (!client) return std::unexpected(client.error());
  const auto report = parse_connection_report(client->output());
  if (!report) return std::unexpected(report.error());
  if (report->done == 0 || report->failed * 100 > report->done)
    return fail(fmt::format("{} connections failed, {} did not", report->failed, report->done));
  return report->done / report->seconds;
}

Outcome<double> held_by(const lab::Process& process) {
  return octets_told(fmt::format("/proc/{}/smaps_rollup", process.pid()), "Pss:");
}

Outcome<double> held_by_kernel() {
  return octets_told("/proc/meminfo", "Slab:");
}

}  // namespace vtl::bench
