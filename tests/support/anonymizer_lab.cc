#include "tests/support/anonymizer_lab.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "lab/must.h"
#include "lab/name_server.h"
#include "lab/vtl_program.h"

namespace vtl::test {
namespace {
using lab::must;
constexpr const char* kControl = "/run/vtl.sock";
/// Of VTL's own.
constexpr const char* kTapName = "vtap0";

/// Makes two taps and takes the frames of each to the other, as QEMU does between its machine's
/// device and the tap. A device that is down takes none.
constexpr const char* kJoinTaps = R"(
import fcntl, os, select, struct, sys
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454ca, 2, 0x1000
taps = []
for name in sys.argv[1:]:
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    taps.append(fd)
print("joined", flush=True)
while True:
    for fd in select.select(taps, [], [])[0]:
        frame = os.read(fd, 65536)
        try:
            os.write(taps[1 - taps.index(fd)], frame)
        except OSError as error:
            print(error, file=sys.stderr, flush=True)
)";
}  // namespace

AnonymizerLab::AnonymizerLab(AnonymizerLabOptions options)
    : options_(std::move(options)),
      guest_(*must(lab_.add_host("guest"))),
      host_(*must(lab_.add_host("vtl", {.ipv6 = lab::Ipv6::kNoNoise, .router = true}))),
      proxy_(*must(lab_.add_host("proxy", {.ipv6 = lab::Ipv6::kOff}))),
      server_(*must(lab_.add_host("server"))) {
  connect_guest();
  must(lab_.connect({host_, "up0"}, {proxy_, "up0"}));
  must(lab_.connect({proxy_, "out0"}, {server_, "eth0"}));
  must(
      host_.ip("addr add 10.50.0.1/24 dev guest0\n"
               "addr add 10.40.0.2/24 dev up0\n"
               "route add default via 10.40.0.1"));
  must(proxy_.ip("addr add 10.40.0.1/24 dev up0\naddr add 10.30.0.14/24 dev out0"));
  must(
      server_.ip("addr add 10.30.0.1/24 dev eth0\naddr add 10.30.0.2/24 dev eth0\n"
                 "addr add fd30::1/64 dev eth0"));
  const auto set_neighbour = [](lab::Host& at, const char* address, lab::Host& of) {
    must(at.ip(fmt::format("neigh replace {} lladdr {} dev up0 nud permanent", address,
                           to_string(must(of.mac("up0"))))));
  };
  set_neighbour(host_, "10.40.0.1", proxy_);
  set_neighbour(proxy_, "10.40.0.2", host_);
  // 10.30.0.3 is heard by nobody: its frames go to a MAC address that is no device's.
  must(proxy_.ip("neigh add 10.30.0.3 lladdr 02:00:00:00:77:77 dev out0"));
  if (options_.guest_device != GuestDevice::kTap) configure_guest();
  must(lab::look_up_at(guest_, "10.137.0.1"));
  web_.emplace(must(lab::WebServer::start(server_, options_.web)));
  host_server_.emplace(must(host_.start(
      {.argv = {"busybox", "httpd", "-f", "-p", std::to_string(kHostPort), "-h", "/etc"},
       .name = "host-server"})));
  must(host_server_->wait_for_port(lab::Protocol::kTcp, kHostPort, 10s));
  start_proxy();
  start_vtl();
}

void AnonymizerLab::connect_guest() {
  switch (options_.guest_device) {
    case GuestDevice::kVeth:
    case GuestDevice::kBridgedTap:
      must(lab_.connect({guest_, "eth0"}, {host_, "guest0"}));
      break;
    case GuestDevice::kVmTap:
      join_taps();
      break;
    case GuestDevice::kTap:
      must(host_.add_bridge("guest0", {}));
      break;
  }
}

void AnonymizerLab::join_taps() {
  taps_.emplace(must(host_.start(
      {.argv = {"/usr/bin/python3", "-c", kJoinTaps, "guest0", "guest1"}, .name = "taps"})));
  must(taps_->wait_for_line("joined", 10s));
  must(host_.ip(
      fmt::format("link set guest0 up\nlink set guest1 netns {} name eth0", guest_.name())));
  must(guest_.ip("link set eth0 txqueuelen 10000 up"));
}

void AnonymizerLab::configure_guest() {
  if (options_.configure_guest)
    must(guest_.ip("addr add 10.137.0.9/24 dev eth0\nroute add default via 10.137.0.1"));
}

void AnonymizerLab::start_proxy() {
  const bool at_home = options_.proxy_at_home;
  socks_.emplace(must(lab::SocksServer::start(at_home ? host_ : proxy_,
                                              {.program = options_.program,
                                               .address = at_home ? "127.0.0.1" : "10.40.0.1",
                                               .names = {{kServerName, kServerAddress},
                                                         {"two.example", "10.30.0.2"},
                                                         {"silent.example", "10.30.0.3"},
                                                         {"gone.example", "10.30.0.99"},
                                                         {"home.example", "127.0.0.1"},
                                                         {"host.example", "10.40.0.2"},
                                                         {"proxy.example", "10.40.0.1"}},
                                               .external = at_home ? "up0" : "out0",
                                               .refused = options_.refused})));
}

void AnonymizerLab::start_vtl() {
  const auto device = options_.guest_device;
  const bool tap = device == GuestDevice::kTap || device == GuestDevice::kBridgedTap;
  vtl_.emplace(must(
      lab::start_vtl(host_, fmt::format(R"(interfaces:
  vm1: {}
proxies:
  one: {}
links:
  - name: vm1
    guest: vm1
    network: none
    services:
      - anonymizer: {{ proxies: [one], isolation: {}, egress: [ {} ]{} }}
control: {{ socket: {} }}
)",
                                        tap ? fmt::format("{{ type: tap, device: {} }}", kTapName)
                                            : "{ type: af_packet, device: guest0 }",
                                        options_.proxy, options_.isolation, options_.egress,
                                        options_.service_extra, kControl))));
  if (device == GuestDevice::kBridgedTap) must(host_.add_bridge("br0", {"guest0", kTapName}));
  if (device != GuestDevice::kTap) return;
  must(host_.ip(fmt::format("link set {} netns {} name eth0", kTapName, guest_.name())));
  must(guest_.ip("link set eth0 txqueuelen 10000 up"));
  configure_guest();
}

Outcome<std::string> AnonymizerLab::guest_runs(std::vector<std::string> argv, Duration bound) {
  return guest_.output_of(std::move(argv), bound);
}

std::string AnonymizerLab::vtl_mac() {
  const auto told = must(guest_runs({"ip", "neigh", "show", "10.137.0.1", "dev", "eth0"}));
  const std::string before = "lladdr ";
  const auto at = told.find(before);
  if (at == std::string::npos) throw lab::LabError(Error{"the guest's gateway: " + told});
  return told.substr(at + before.size(), std::string("02:00:00:00:00:00").size());
}

Outcome<std::string> AnonymizerLab::ask_for_address(std::vector<std::string> more, Duration bound) {
  constexpr const char* kScript = R"(#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add "$ip/$mask" dev "$interface" && ip route add default via "$router"
echo "$ip $router $dns $lease"
)";
  const auto script = lab_.folder() / "dhcp.sh";
  std::ofstream(script) << kScript;
  std::filesystem::permissions(script, std::filesystem::perms::owner_all);
  std::vector<std::string> argv{"busybox", "udhcpc", "-i", "eth0", "-f", "-n", "-q", "-s", script};
  argv.insert(argv.end(), more.begin(), more.end());
  return guest_runs(std::move(argv), bound);
}

Outcome<std::string> AnonymizerLab::curl(const std::string& url, std::vector<std::string> more) {
  std::vector<std::string> argv{"curl", "--silent", "--show-error", "--max-time", "120"};
  argv.insert(argv.end(), more.begin(), more.end());
  argv.push_back(url);
  return guest_runs(std::move(argv), 130s);
}

Outcome<std::string> AnonymizerLab::ask(std::vector<std::string> command) {
  command.emplace_back("--json");
  return show(std::move(command));
}

Outcome<std::string> AnonymizerLab::show(std::vector<std::string> command) {
  command.insert(command.begin(), lab::vtl_binary().string());
  command.insert(command.end(), {"--socket", kControl});
  return host_.output_of(std::move(command));
}

double AnonymizerLab::metric(const std::string& name) {
  const auto stats = nlohmann::json::parse(must(ask({"stats"})));
  for (const auto& service : stats.at("services"))
    if (service.at("metrics").contains(name)) return service.at("metrics").at(name).get<double>();
  throw lab::LabError(Error{"no metric " + name + " in " + stats.dump()});
}

double AnonymizerLab::drops(const std::string& reason) {
  const auto stats = nlohmann::json::parse(must(ask({"stats"})));
  double sum = 0;
  for (const auto& link : stats.at("links"))
    for (const auto& service : link.at("services")) sum += service.at("drops").value(reason, 0.0);
  return sum;
}

}  // namespace vtl::test
