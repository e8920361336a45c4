#include "tests/support/gateway_lab.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "lab/vtl_program.h"

namespace vtl::test {
Outcome<GatewayLab> GatewayLab::create(const GatewayLabOptions& options) {
  auto topology = lab::Topology::create({.shape = options.shape, .mtu = options.mtu});
  if (!topology) return std::unexpected(topology.error());
  GatewayLab lab(std::move(*topology), options);
  const std::string way = fmt::format("{{ rate: {}, delay: {}, loss: {}, queue: 16MiB }}",
                                      options.rate, options.delay, options.loss);
  auto wan = lab::start_vtl(lab.topology_.wan(),
                            fmt::format(R"(interfaces:
  a: {{ type: af_packet, device: a0 }}
  b: {{ type: af_packet, device: b0 }}
links:
  - name: wan
    guest: a
    network: b
    services:
      - impair: {{ seed: 1, outbound: {0}, inbound: {0} }}
control: {{ socket: /run/vtl-wan.sock }}
)",
                                        way),
                            {.name = "wan"});
  if (!wan) return std::unexpected(wan.error());
  lab.wan_.emplace(std::move(*wan));
  return lab;
}

std::string GatewayLab::configuration(const std::string& name) const {
  const bool is_a = name == "a";
  const std::string& own = is_a ? topology_.host_a_address() : topology_.host_b_address();
  const std::string& other = is_a ? topology_.host_b_address() : topology_.host_a_address();
  const std::string key = is_a ? GatewayLabOptions{}.key_b : options_.key_b;
  // A host behind a router that has not spoken yet: only the configuration can name the router.
  std::string extra = options_.gateway_extra;
  if (options_.shape == lab::Shape::kRouted && options_.name_routers) {
    extra += fmt::format(", network_next_hop: {}", is_a ? "10.1.0.254" : "10.2.0.254");
  }
  return fmt::format(R"(workers: {6}
interfaces:
  guest: {9}
  wan:   {{ type: af_packet, device: wan0 }}
peers:
  other: {{ transport: {0}, listen: "{1}:9000", address: {2}, port: 9000, key: "{3}" }}
links:
  - name: site
    guest: guest
    network: wan
    services:
      - gateway: {{ peer: other, match: "{4}", on_peer_down: {5}{7} }}
control: {{ socket: /run/vtl-{8}.sock }}
)",
                     options_.transport, own, other, key, options_.match, options_.on_peer_down,
                     options_.workers, extra, name,
                     is_a ? options_.guest_a : GatewayLabOptions{}.guest_a);
}

Outcome<void> GatewayLab::start(std::optional<lab::Process>& slot, lab::Host& host,
                                const std::string& name) {
  auto process = lab::start_vtl(host, configuration(name), {.name = name});
  if (!process) return std::unexpected(process.error());
  slot.emplace(std::move(*process));
  return {};
}

Outcome<void> GatewayLab::start_both() {
  if (auto started = start_b(); !started) return started;
  return start_a();
}

Outcome<std::string> GatewayLab::ask(char side, const std::vector<std::string>& command) {
  std::vector<std::string> argv{lab::vtl_binary().string()};
  argv.insert(argv.end(), command.begin(), command.end());
  argv.insert(argv.end(), {"--json", "--socket", fmt::format("/run/vtl-{}.sock", side)});
  return (side == 'a' ? topology_.host_a() : topology_.host_b()).output_of(argv);
}

Outcome<double> GatewayLab::metric(char side, const std::string& name) {
  auto text = ask(side, {"stats"});
  if (!text) return std::unexpected(text.error());
  const auto json = nlohmann::json::parse(*text, nullptr, false);
  double sum = 0;
  bool found = false;
  for (const auto& service : json.value("services", nlohmann::json::array())) {
    const auto& metrics = service.at("metrics");
    if (!metrics.contains(name)) continue;
    sum += metrics.at(name).get<double>();
    found = true;
  }
  if (!found) return fail("no metric " + name + " in " + *text);
  return sum;
}

}  // namespace vtl::test
