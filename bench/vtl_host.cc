#include "bench/vtl_host.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>

namespace vtl::bench {
namespace {

constexpr const char* kKey = "the experiments' own key, of no worth elsewhere";

std::string two_devices(const std::string& type, const std::string& guest,
                        const std::string& network) {
  return fmt::format(R"(interfaces:
  guest:   {{ type: {0}, device: {1} }}
  network: {{ type: {0}, device: {2} }}
)",
                     type, guest, network);
}

/// Several VTLs of one machine: each has a control socket of its own.
std::string control(const std::string& name) {
  return fmt::format("control: {{ socket: /run/vtl/{}.sock }}\n", name);
}

}  // namespace

std::uint64_t PathSettings::bandwidth_delay_product() const {
  return static_cast<std::uint64_t>(rate_mbit) * 125 * static_cast<std::uint64_t>(rtt_ms);
}

std::uint64_t PathSettings::window() const {
  return std::max<std::uint64_t>(std::uint64_t{4} << 20, 2 * bandwidth_delay_product());
}

std::string wan_config(const PathSettings& path) {
  // A queue of one round trip, so that a sender who fills the path is not held back by it.
  return control("wan") + two_devices("af_packet", "a0", "b0") +
         fmt::format(R"(links:
  - name: wan
    guest: guest
    network: network
    services:
      - impair: {{ rate: {}Mbit/s, delay: {}us, queue: {}ms, loss: {} }}
)",
                     path.rate_mbit, path.rtt_ms * 500, std::max(10, path.rtt_ms), path.loss);
}

std::string bridge_config(const BridgeSettings& bridge) {
  const auto interface = [&](const char* name, const char* device, bool reads) {
    return fmt::format("  {}: {{ type: {}, device: {}{} }}\n", name, bridge.interface_type, device,
                       reads ? "" : ", filter: less 1");  // no frame is that short
  };
  return control(bridge.name) + "interfaces:\n" +
         interface("guest", "guest0", bridge.guest_to_network) +
         interface("network", "wan0", bridge.network_to_guest) +
         fmt::format(R"(workers: {}
links:
  - name: bridge
    guest: guest
    network: network
    cut_through: {}
)",
                     bridge.workers, bridge.cut_through ? "auto" : "off");
}

std::string split_config() {
  return control("split") + two_devices("af_packet", "guest0", "wan0") + R"(links:
  - name: split
    guest: guest
    network: network
    services:
      - split: { match: tcp, keep_alive: 10s }
)";
}

std::string anonymizer_config(const std::string& type, const std::string& device) {
  return control("anonymizer-" + type) + fmt::format(R"(interfaces:
  guest: {{ type: {}, device: {} }}
proxies:
  socks: {{ type: socks5, address: 127.0.0.1, port: 1080, inner: allowed, pipelined: true }}
links:
  - name: guest
    guest: guest
    network: none
    services:
      - anonymizer:
          proxies: [socks]
          isolation: none
          egress: [ {{ allow: 10.2.0.0/24 }} ]
)",
                                                     type, device);
}

std::string gateway_config(Carrier carrier, const PathSettings& path, const std::string& local,
                           const std::string& remote) {
  const bool udt = carrier == Carrier::kUdt;
  return control("gateway-" + local) + two_devices("af_packet", "guest0", "wan0") +
         fmt::format(R"(peers:
  far:
    transport: {}
    address: {}
    port: 9000
    listen: {}:9000
    key: "{}"
    buffer: {}{}
links:
  - name: gateway
    guest: guest
    network: network
    services:
      - gateway: {{ peer: far, match: tcp, on_peer_down: refuse }}
)",
                     udt ? "udt" : "tcp", remote, local, kKey, path.window(),
                     udt ? "" : "\n    congestion: bbr");
}

std::filesystem::path own_program() {
  std::array<char, PATH_MAX> path{};
  const ssize_t length = readlink("/proc/self/exe", path.data(), path.size() - 1);
  return length > 0 ? std::filesystem::path(path.data()) : std::filesystem::path();
}

}  // namespace vtl::bench
