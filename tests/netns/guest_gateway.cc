// A real, unmodified virtual machine behind VTL: attached by a tap and by QEMU's stream socket, its
// wget fetches a file through two gateways and a path of 20 ms and 0.1 % loss, and the hash is
// right.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <random>

#include "lab/capture.h"
#include "lab/must.h"
#include "lab/topology.h"
#include "lab/virtual_machine.h"
#include "lab/vtl_program.h"

namespace vtl::lab {
namespace {

constexpr std::size_t kFileOctets = 8'000'000;
constexpr const char* kKey = "0123456789abcdef0123456789abcdef";

std::string wan_configuration() {
  return R"(interfaces:
  a: { type: af_packet, device: a0 }
  b: { type: af_packet, device: b0 }
links:
  - name: wan
    guest: a
    network: b
    services:
      - impair:
          seed: 1
          outbound: { rate: 1Gbit/s, delay: 10ms, loss: 0.1%, queue: 16MiB }
          inbound: { rate: 1Gbit/s, delay: 10ms, loss: 0.1%, queue: 16MiB }
control: { socket: /run/wan.sock }
)";
}

std::string gateway_configuration(const std::string& guest, const std::string& own,
                                  const std::string& other) {
  return fmt::format(R"(interfaces:
  guest: {}
  wan: {{ type: af_packet, device: wan0 }}
peers:
  other: {{ transport: udt, address: {}, port: 9000, listen: "{}:9000", key: "{}" }}
links:
  - name: site
    guest: guest
    network: wan
    services:
      - gateway: {{ peer: other, match: tcp, on_peer_down: refuse }}
control: {{ socket: /run/{}.sock }}
)",
                     guest, other, own, kKey, own);
}

/// A web server with a file of noise; answers the file's SHA-256.
std::string write_file(const std::filesystem::path& path, const Host& host) {
  std::mt19937_64 generator(8);
  std::string content(kFileOctets, '\0');
  for (char& c : content) c = static_cast<char>(generator());
  std::ofstream(path, std::ios::binary) << content;
  return must(host.output_of({"sha256sum", path.string()})).substr(0, 64);
}

void expect_guest_fetches_through_the_gateway(Netdev type, const std::string& netdev,
                                              const std::string& guest_interface) {
  Topology topology = must(Topology::create());
  if (type == Netdev::kTap) must(topology.host_a().add_tap(netdev));
  Process wan = must(start_vtl(topology.wan(), wan_configuration()));
  Process b =
      must(start_vtl(topology.host_b(),
                     gateway_configuration("{ type: af_packet, device: guest0 }",
                                           topology.host_b_address(), topology.host_a_address())));
  Process a = must(
      start_vtl(topology.host_a(), gateway_configuration(guest_interface, topology.host_a_address(),
                                                         topology.host_b_address())));
  const auto folder = topology.lab().folder();
  const std::string hash = write_file(folder / "file", topology.server());
  Process web = must(topology.server().start(
      {.argv = {"busybox", "httpd", "-f", "-v", "-p", "80", "-h", folder.string()}}));
  must(web.wait_for_port(Protocol::kTcp, 80, 5s));
  Capture tcp = must(Capture::start(topology.wan(), "a0",
                                    {.file = folder / "path-tcp.pcap", .filter = "tcp port 80"}));
  Capture udt = must(Capture::start(
      topology.wan(), "a0",
      {.file = folder / "path-udt.pcap", .filter = "udp port 9000", .snap_length = 128}));

  VirtualMachine guest = must(VirtualMachine::start(
      topology.host_a(), {.netdev_type = type,
                          .netdev = netdev,
                          .address = "10.0.0.7/24",
                          .script = "wget -q http://10.0.0.2/file && sha256sum file"}));
  const auto result = guest.wait(120s);
  ASSERT_TRUE(result) << result.error().message << "\nvtl a: " << a.errors()
                      << "\nvtl b: " << b.errors();
  EXPECT_EQ(result->status, 0) << result->console << "\nvtl a: " << a.errors()
                               << "\nvtl b: " << b.errors();
  EXPECT_THAT(result->console, testing::HasSubstr(hash));
  EXPECT_THAT(web.errors(), testing::HasSubstr("10.0.0.7"));  // the server sees who really calls
  EXPECT_EQ(tcp.stop().frames, 0u);
  EXPECT_GT(udt.stop().frames, kFileOctets / 1500);
}

TEST(GuestGateway, MachineOnATapFetchesAFile) {
  expect_guest_fetches_through_the_gateway(Netdev::kTap, "tap0",
                                           "{ type: af_packet, device: tap0 }");
}

TEST(GuestGateway, MachineOnASocketFetchesAFile) {
  expect_guest_fetches_through_the_gateway(Netdev::kUnixSocket, "/run/vm.sock",
                                           "{ type: qemu, address: \"unix:/run/vm.sock\" }");
}

}  // namespace
}  // namespace vtl::lab
