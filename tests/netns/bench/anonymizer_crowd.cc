// Ten thousand connections at once through an anonymizer: all are there, all answer twice, and none
// is left behind.
//
//   guest1 eth0 --- guest1 [          ] out --- eth0 server
//   guest2 eth0 --- guest2 [ vtl host ]              10.2.0.2
//                  SOCKS servers on 127.0.0.1:1081 and :1082
//
// Two guests with a proxy each, for a process of some machines has no more than 20,000 files, and
// the proxy needs two for a connection.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "lab/lab.h"
#include "lab/must.h"
#include "lab/vtl_program.h"
#include "lab/wait.h"

namespace vtl {
namespace {

using lab::must;

constexpr int kGuests = 2;
constexpr int kOfGuest = VTL_SANITIZED != 0 ? 500 : 5000;
constexpr Duration kBound = 120s;
constexpr const char* kSocket = "/run/vtl-crowd.sock";

std::string config() {
  std::string text = "interfaces:\n";
  for (int i = 1; i <= kGuests; ++i) {
    text += fmt::format("  guest{0}: {{ type: af_packet, device: guest{0} }}\n", i);
  }
  text += "proxies:\n";
  for (int i = 1; i <= kGuests; ++i) {
    text += fmt::format(
        "  socks{0}: {{ type: socks5, address: 127.0.0.1, port: {1}, inner: allowed }}\n", i,
        1080 + i);
  }
  text += "links:\n";
  for (int i = 1; i <= kGuests; ++i) {
    text += fmt::format(
        "  - name: guest{0}\n    guest: guest{0}\n    network: none\n    services: [{{ anonymizer: "
        "{{ proxies: [socks{0}], isolation: none, egress: [{{ allow: 10.2.0.0/24 }}] }} }}]\n",
        i);
  }
  return text + fmt::format("control: {{ socket: {} }}\n", kSocket);
}

/// The sum over all links.
double metric(const lab::Host& host, const std::string& name) {
  const auto stats = nlohmann::json::parse(
      must(host.output_of({lab::vtl_binary().string(), "stats", "--json", "--socket", kSocket})));
  double sum = 0;
  for (const auto& group : stats.at("services")) {
    if (group.at("service") == "anonymizer") sum += group.at("metrics").at(name).get<double>();
  }
  return sum;
}

TEST(AnonymizerCrowd, TenThousandConnectionsAreHeldAndAnswer) {
  const std::string bench = VTL_BINARY_DIR "/bin/vtl-bench";
  lab::Lab world;
  lab::Host& host = *must(world.add_host("vtl"));
  lab::Host& server = *must(world.add_host("server"));
  must(world.connect({host, "out"}, {server, "eth0"}));
  must(host.ip("addr add 10.2.0.1/24 dev out"));
  must(server.ip("addr add 10.2.0.2/24 dev eth0"));
  for (lab::Host* each : {&host, &server}) {
    must(each->set_sysctl("net.core.somaxconn", "4096"));
    must(each->set_sysctl("net.ipv4.ip_local_port_range", "10000 65000"));
  }
  std::vector<lab::Host*> guests;
  std::vector<lab::Process> programs;
  for (int i = 1; i <= kGuests; ++i) {
    lab::Host& guest = *must(world.add_host(fmt::format("guest{}", i)));
    must(world.connect({guest, "eth0"}, {host, fmt::format("guest{}", i)}));
    must(guest.ip("addr add 10.137.0.9/24 dev eth0\nroute add default via 10.137.0.1"));
    guests.push_back(&guest);
    programs.push_back(must(host.start(
        {.argv = {VTL_BINARY_DIR "/bin/vtl-socks-relay", "--port", std::to_string(1080 + i)},
         .name = fmt::format("relay{}", i),
         .input_from = lab::Input::kPipe})));
    must(programs.back().wait_for_line("^serving$", 10s));
  }
  programs.push_back(must(server.start(
      {.argv = {bench, "serve-connections"}, .name = "serve", .input_from = lab::Input::kPipe})));
  must(programs.back().wait_for_line("^serving$", 10s));
  auto vtl = must(lab::start_vtl(host, config()));

  std::vector<lab::Process> crowds;
  for (lab::Host* guest : guests) {
    crowds.push_back(must(
        guest->start({.argv = {bench, "hold-connections", "10.2.0.2", std::to_string(kOfGuest)},
                      .name = "hold",
                      .input_from = lab::Input::kPipe})));
  }
  for (lab::Process& crowd : crowds) {
    must(crowd.wait_for_line(fmt::format("^open {}$", kOfGuest), kBound));
  }
  EXPECT_EQ(metric(host, "connections"), kGuests * kOfGuest);
  EXPECT_EQ(metric(host, "established_total"), kGuests * kOfGuest);
  for (lab::Process& crowd : crowds) must(crowd.write_input("\n"));
  for (lab::Process& crowd : crowds) {
    must(crowd.wait_for_line(fmt::format("^answered {} in round 1$", kOfGuest), kBound));
  }
  for (lab::Process& crowd : crowds) {
    crowd.close_input();
    EXPECT_TRUE(must(crowd.wait(kBound)).ok()) << crowd.errors();
  }
  EXPECT_TRUE(lab::wait_until([&] { return metric(host, "connections") == 0; }, kBound));
  EXPECT_TRUE(must(vtl.stop()).ok()) << vtl.errors();
}

}  // namespace
}  // namespace vtl
