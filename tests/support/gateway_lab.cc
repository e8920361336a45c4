#include "tests/support/gateway_lab.h"

#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>

namespace vtl::test {
namespace {

constexpr const char* kVtl = VTL_BINARY_DIR "/bin/vtl";
constexpr Duration kStart = 20s;

void write_file(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path) << text;
}

Outcome<lab::Process> run_vtl(lab::Host& host, const std::filesystem::path& file,
                              const std::string& name) {
  auto process = host.start({.argv = {kVtl, "run", file.string()}, .name = "vtl-" + name});
  if (!process) return process;
  if (auto line = process->wait_for_line("running", kStart); !line) {
    return std::unexpected(line.error());
  }
  return process;
}

}  // namespace

Outcome<GatewayLab> GatewayLab::create(const GatewayLabOptions& options) {
  auto topology = lab::Topology::create({.shape = options.shape, .mtu = options.mtu});
  if (!topology) return std::unexpected(topology.error());
  GatewayLab lab(std::move(*topology), options);
  const auto file = lab.folder() / "wan.yaml";
  const std::string way = fmt::format("{{ rate: {}, delay: {}, loss: {}, queue: 16MiB }}",
                                      options.rate, options.delay, options.loss);
  write_file(file, fmt::format(R"(interfaces:
  a: {{ type: af_packet, device: a0 }}
  b: {{ type: af_packet, device: b0 }}
links:
  - name: wan
    guest: a
    network: b
    services:
      - impair: {{ seed: 1, outbound: {0}, inbound: {0} }}
control: {{ socket: {1}/wan.sock }}
)",
                               way, lab.folder().string()));
  auto wan = run_vtl(lab.topology_.wan(), file, "wan");
  if (!wan) return std::unexpected(wan.error());
  lab.wan_.emplace(std::move(*wan));
  return lab;
}

std::string GatewayLab::configuration(const std::string& name) const {
  const bool is_a = name == "a";
  const std::string& own = is_a ? topology_.host_a_address() : topology_.host_b_address();
  const std::string& other = is_a ? topology_.host_b_address() : topology_.host_a_address();
  const std::string key = is_a ? GatewayLabOptions{}.key_b : options_.key_b;
  return fmt::format(R"(workers: {6}
interfaces:
  guest: {{ type: af_packet, device: guest0 }}
  wan:   {{ type: af_packet, device: wan0 }}
peers:
  other: {{ transport: {0}, local: "{1}:9000", remote: "{2}:9000", key: "{3}" }}
links:
  - name: site
    guest: guest
    network: wan
    services:
      - gateway: {{ peer: other, match: "{4}", on_peer_down: {5}{7} }}
control: {{ socket: {8}/{9}.sock }}
)",
                     options_.transport, own, other, key, options_.match, options_.on_peer_down,
                     options_.workers, options_.gateway_extra, folder().string(), name);
}

Outcome<void> GatewayLab::start(std::optional<lab::Process>& slot, lab::Host& host,
                                const std::string& name) {
  const auto file = folder() / (name + ".yaml");
  write_file(file, configuration(name));
  auto process = run_vtl(host, file, name);
  if (!process) return std::unexpected(process.error());
  slot.emplace(std::move(*process));
  return {};
}

Outcome<void> GatewayLab::start_both() {
  if (auto started = start_b(); !started) return started;
  return start_a();
}

Outcome<std::string> GatewayLab::ask(char side, const std::vector<std::string>& command) {
  std::vector<std::string> argv{kVtl};
  argv.insert(argv.end(), command.begin(), command.end());
  argv.insert(argv.end(),
              {"--json", "--socket", fmt::format("{}/{}.sock", folder().string(), side)});
  return (side == 'a' ? topology_.host_a() : topology_.host_b()).output_of(argv);
}

Outcome<double> GatewayLab::metric(char side, const std::string& name) {
  auto text = ask(side, {"stats"});
  if (!text) return std::unexpected(text.error());
  const auto json = nlohmann::json::parse(*text, nullptr, false);
  double sum = 0;
  bool found = false;
  const auto walk = [&](const auto& self, const nlohmann::json& node) -> void {
    if (node.is_object() && node.contains("name") && node["name"] == name &&
        node.contains("value")) {
      sum += node["value"].template get<double>();
      found = true;
    }
    if (node.is_structured()) {
      for (const auto& child : node) self(self, child);
    }
  };
  walk(walk, json);
  if (!found) return fail("no metric " + name + " in " + *text);
  return sum;
}

}  // namespace vtl::test
