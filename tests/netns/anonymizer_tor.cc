// Guests behind the anonymizer, with a real Tor network behind it.
//
//   guest ---------- guest0 [vtl: VTL, Tor's client] tor0 ------- (Tor, lab/tor_network.h) ------
//   server
//     eth0
//   10.137.0.9/24, by DHCP in the virtual machine
//
// One network for all tests; VTL is started anew in each.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <regex>
#include <set>

#include "lab/must.h"
#include "lab/name_server.h"
#include "lab/tor_network.h"
#include "lab/virtual_machine.h"
#include "lab/vtl_program.h"
#include "lab/wait.h"
#include "lab/web_server.h"
#include "tests/support/half_close.h"

namespace vtl::test {
namespace {

using lab::must;
using lab::TorNetwork;
using lab::WebServer;
using testing::AnyOfArray;
using testing::HasSubstr;
using Circuits = std::set<std::string>;

class AnonymizerTor : public testing::Test {
 protected:
  struct World {
    lab::Lab lab;
    lab::Host& guest = *must(lab.add_host("guest"));
    lab::Host& host = *must(lab.add_host("vtl"));
    lab::Host& server = *must(lab.add_host("server"));
    TorNetwork tor =
        must(TorNetwork::start(lab, host, server,
                               {.names = {{"two.example", TorNetwork::kServerAddress},
                                          {"three.example", TorNetwork::kServerAddress}}}));
    WebServer web = must(WebServer::start(server));
    World() {
      must(lab.connect({guest, "eth0"}, {host, "guest0"}));
      must(host.add_tap("tap0"));
      must(guest.ip("addr add 10.137.0.9/24 dev eth0\nroute add default via 10.137.0.1"));
      must(lab::look_up_at(guest, "10.137.0.1"));
    }
  };
  static void SetUpTestSuite() { world_ = new World; }
  static void TearDownTestSuite() {
    delete world_;
    world_ = nullptr;
  }
  static World& world() { return *world_; }

  static lab::Process start_vtl(const std::string& guest, const std::string& service_extra = "") {
    return must(lab::start_vtl(
        world().host, fmt::format(R"(interfaces:
  vm1: {}
proxies:
  tor: {{ type: tor, address: 127.0.0.1, port: 9050, control: "127.0.0.1:9051", control_cookie_file: {} }}
links:
  - name: vm1
    guest: vm1
    network: none
    services:
      - anonymizer: {{ proxies: [tor], isolation: destination{} }}
control: {{ socket: /run/vtl.sock }}
)",
                                  guest, world().tor.cookie_file().string(), service_extra)));
  }
  static Outcome<std::string> curl(const std::string& url, std::vector<std::string> more = {}) {
    std::vector<std::string> argv{"curl", "--silent", "--show-error", "--max-time", "60"};
    argv.insert(argv.end(), more.begin(), more.end());
    argv.push_back(url);
    return world().guest.output_of(std::move(argv), 70s);
  }
  static std::string ask(std::vector<std::string> command) {
    command.insert(command.begin(), lab::vtl_binary().string());
    command.insert(command.end(), {"--json", "--socket", "/run/vtl.sock"});
    return must(world().host.output_of(std::move(command)));
  }
  /// The circuits that are kept for somebody, by the SOCKS users that they are kept for.
  static std::map<std::string, Circuits> circuits() {
    const std::string told = must(world().tor.control("GETINFO circuit-status"));
    const std::regex line("(\\d+) BUILT [^\\n]*SOCKS_USERNAME=\"([^\"]*)\"");
    std::map<std::string, Circuits> found;
    for (std::sregex_iterator at(told.begin(), told.end(), line), end; at != end; ++at)
      found[(*at)[2]].insert((*at)[1]);
    return found;
  }

 private:
  static World* world_;
};
AnonymizerTor::World* AnonymizerTor::world_ = nullptr;

constexpr const char* kGuest = "{ type: af_packet, device: guest0 }";

TEST_F(AnonymizerTor, TheServerSeesAnExitAndTheFileIsWhole) {
  const auto vtl = start_vtl(kGuest);
  const auto file = world().lab.folder() / "fetched";
  must(curl(fmt::format("http://server.example{}", WebServer::kFile), {"--output", file}));
  EXPECT_EQ(must(sha256_of(world().guest, file)), world().web.sha256());
  EXPECT_THAT(must(world().web.visitor_of(WebServer::kFile)),
              AnyOfArray(TorNetwork::exit_addresses()));
}

// Tor ends both directions with the first end that it is told of.
TEST_F(AnonymizerTor, WhoEndsFirstIsAnsweredInFull) {
  const auto vtl = start_vtl(kGuest);
  auto listener = must(Tcp::listen(world().server, 5000));
  must(ask_end_and_be_answered(world().guest, "server.example", 5000, listener));
}

TEST_F(AnonymizerTor, AnOnionServiceIsReachedByName) {
  must(world().tor.wait_for_onion());
  const auto vtl = start_vtl(kGuest);
  EXPECT_EQ(must(curl(fmt::format("http://{}/?onion", world().tor.onion()))), WebServer::kIndex);
  EXPECT_EQ(must(world().web.visitor_of("/?onion")), TorNetwork::kServerAddress);
}

TEST_F(AnonymizerTor, DestinationsHaveCircuitsOfTheirOwnAndANewIdentityHasNewOnes) {
  const auto vtl = start_vtl(kGuest);
  const auto before = circuits();
  const auto fetch_all = [] {
    for (const char* name : {"server.example", "two.example", "server.example"})
      EXPECT_EQ(must(curl(fmt::format("http://{}/", name))), WebServer::kIndex);
  };
  const auto fresh = [](const std::map<std::string, Circuits>& now,
                        const std::map<std::string, Circuits>& known) {
    std::vector<std::string> users;
    for (const auto& [user, circuits] : now)
      if (!known.contains(user)) users.push_back(user);
    return users;
  };
  fetch_all();
  const auto first = circuits();
  EXPECT_EQ(fresh(first, before).size(), 2U) << "two destinations, one of them twice";
  ask({"anonymizer", "new-identity", "vm1"});
  fetch_all();
  const auto second = circuits();
  EXPECT_EQ(fresh(second, first).size(), 2U) << "both anew";
  Circuits all;
  std::size_t sum = 0;
  for (const auto& [user, own] : second) {
    all.insert(own.begin(), own.end());
    sum += own.size();
  }
  EXPECT_EQ(all.size(), sum) << "nobody shares a circuit";
}

TEST_F(AnonymizerTor, RealAddressesAreAskedOfTor) {
  const auto vtl = start_vtl(kGuest, ", dns: resolve, egress: [ { allow: 10.30.0.0/16 } ]");
  EXPECT_EQ(must(world().guest.output_of({"kdig", "+short", "+retry=2", "two.example"})),
            "10.30.0.1\n");
  EXPECT_EQ(must(curl("http://two.example/")), WebServer::kIndex);
}

TEST_F(AnonymizerTor, StatusTellsHowTorIs) {
  const auto vtl = start_vtl(kGuest);
  nlohmann::json tor;
  const auto told = [&] {
    tor = nlohmann::json::parse(ask({"status"})).at("proxies").at(0).at("tor");
    return tor.is_object() && tor.at("bootstrap") == 100 && tor.at("circuit_established") == true;
  };
  EXPECT_TRUE(lab::wait_until(told, 30s)) << tor;
  EXPECT_THAT(tor.at("version").get<std::string>(), HasSubstr("0.4"));
  EXPECT_GT(tor.at("circuits_built"), 0) << tor;
}

/// A stock guest: address and name server by busybox' udhcpc, then wget by name.
constexpr const char* kVmScript = R"sh(cat > /tmp/dhcp.sh <<'END'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add "$ip/$mask" dev "$interface"
ip route add default via "$router"
for server in $dns; do echo "nameserver $server"; done > /etc/resolv.conf
echo "dhcp: $ip"
END
chmod +x /tmp/dhcp.sh
mkdir -p /etc
udhcpc -i eth0 -f -n -q -s /tmp/dhcp.sh || exit 1
wget -q -O /tmp/file http://server.example/data.bin?vm || exit 2
echo "sum $(sha256sum /tmp/file)"
)sh";

TEST_F(AnonymizerTor, AVirtualMachineConfiguresItselfAndFetchesAFile) {
  const auto vtl = start_vtl("{ type: tap, device: tap1 }");
  must(world().host.add_bridge("br0", {"tap0", "tap1"}));
  auto vm = must(lab::VirtualMachine::start(
      world().host, {.netdev = "tap0", .address = "", .script = kVmScript}));
  const auto result = must(vm.wait(180s));
  EXPECT_EQ(result.status, 0) << result.console;
  EXPECT_THAT(result.console, HasSubstr("dhcp: 10.137.0."));
  EXPECT_THAT(result.console, HasSubstr("sum " + world().web.sha256()));
  EXPECT_THAT(must(world().web.visitor_of("/data.bin?vm")),
              AnyOfArray(TorNetwork::exit_addresses()));
}

TEST_F(AnonymizerTor, WhileTorIsAwayTheGuestIsRefusedAndThenItIsNot) {
  const auto vtl = start_vtl(kGuest);
  EXPECT_EQ(must(curl("http://server.example/")), WebServer::kIndex);
  world().tor.kill_client();
  EXPECT_THAT(curl("http://server.example/").error().message, HasSubstr("curl: (7)"));
  must(world().tor.start_client());
  must(world().tor.wait_for_circuit());
  EXPECT_TRUE(
      lab::wait_until([] { return curl("http://server.example/") == WebServer::kIndex; }, 60s));
}

}  // namespace
}  // namespace vtl::test
