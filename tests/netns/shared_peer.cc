// Two guests of one site, one uplink and one peer: each connection that the peer carries finds the
// guest that it is for.
//
//   client --- guest0 [ siteA: gateway ] wan0 --- uplink [ siteB: two gateways ] vm1 --- one
//   10.0.0.1            10.0.0.101                10.0.0.102                |          10.0.0.11
//                                                                           vm2 ------- two
//                                                                                      10.0.0.12

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "lab/lab.h"
#include "lab/must.h"
#include "lab/vtl_program.h"
#include "tests/support/tcp_peer.h"

namespace vtl::test {
namespace {

using lab::must;

constexpr std::uint16_t kPort = 5000;
constexpr std::uint64_t kSome = 2'000'000;

class SharedPeer : public testing::TestWithParam<const char*> {
 protected:
  SharedPeer() {
    struct Wire {
      lab::Host& a;
      const char* device_a;
      lab::Host& b;
      const char* device_b;
    };
    for (const Wire& w : {Wire{client, "eth0", site_a, "guest0"},
                          {site_a, "wan0", site_b, "uplink"},
                          {site_b, "vm1", one, "eth0"},
                          {site_b, "vm2", two, "eth0"}}) {
      must(world.connect({w.a, w.device_a}, {w.b, w.device_b}));
    }
    must(client.ip("addr add 10.0.0.1/24 dev eth0"));
    must(site_a.ip("addr add 10.0.0.101/24 dev wan0"));
    must(site_b.ip("addr add 10.0.0.102/24 dev uplink"));
    must(one.ip("addr add 10.0.0.11/24 dev eth0"));
    must(two.ip("addr add 10.0.0.12/24 dev eth0"));
  }

  /// How many connections the gateway of a link of site B has taken from its guest, or played.
  int count(const std::string& link, const std::string& metric) {
    const auto text = must(site_b.output_of(
        {lab::vtl_binary().string(), "stats", "--json", "--socket", "/run/vtl-b.sock"}));
    const auto stats = nlohmann::json::parse(text);
    for (const auto& service : stats.at("services")) {
      if (service.at("link") == link && service.at("metrics").contains(metric))
        return service.at("metrics").at(metric).get<int>();
    }
    ADD_FAILURE() << link << " " << metric << " in " << text;
    return -1;
  }
  /// Octets both ways between two hosts; true when the server saw the client's own address.
  static void talk(lab::Host& from, lab::Host& to, const std::string& address) {
    auto listener = must(Tcp::listen(to, kPort));
    auto near = must(Tcp::connect(from, address, kPort));
    auto far = must(listener.accept());
    EXPECT_EQ(far.peer(), near.local());
    must(exchange(near, far, kSome, kSome));
  }

  lab::Lab world;
  lab::Host& client = *must(world.add_host("client"));
  lab::Host& site_a = *must(world.add_host("siteA"));
  lab::Host& site_b = *must(world.add_host("siteB"));
  lab::Host& one = *must(world.add_host("one"));
  lab::Host& two = *must(world.add_host("two"));
};

TEST_P(SharedPeer, EveryConnectionFindsItsGuest) {
  const bool named = std::string_view(GetParam()) == "Networks";
  const auto gateway = [&](const char* network) {
    return fmt::format("gateway: {{ peer: a{} }}",
                       named ? fmt::format(", guest_networks: [{}]", network) : "");
  };
  const auto b =
      must(lab::start_vtl(site_b, fmt::format(R"(interfaces:
  vm1: {{ type: af_packet, device: vm1 }}
  vm2: {{ type: af_packet, device: vm2 }}
  uplink: {{ type: af_packet, device: uplink }}
peers:
  a: {{ listen: "10.0.0.102:9000", address: 10.0.0.101, port: 9000, key: "0123456789abcdef" }}
links:
  - {{ name: vm1, guest: vm1, network: uplink, services: [ {} ] }}
  - {{ name: vm2, guest: vm2, network: uplink, services: [ {} ] }}
control: {{ socket: /run/vtl-b.sock }}
)",
                                              gateway("10.0.0.11"), gateway("10.0.0.12"))));
  const auto a = must(lab::start_vtl(site_a, R"(interfaces:
  guest: { type: af_packet, device: guest0 }
  wan: { type: af_packet, device: wan0 }
peers:
  b: { listen: "10.0.0.101:9000", address: 10.0.0.102, port: 9000, key: "0123456789abcdef" }
links:
  - { name: site, guest: guest, network: wan, services: [ gateway: { peer: b } ] }
)"));
  talk(client, two, "10.0.0.12");
  EXPECT_EQ(count("vm1", "accepted_total"), 0);
  EXPECT_EQ(count("vm2", "accepted_total"), 1);
  talk(client, one, "10.0.0.11");
  EXPECT_EQ(count("vm1", "accepted_total"), 1);
  EXPECT_EQ(count("vm2", "accepted_total"), 1);
  talk(two, client, "10.0.0.1");
  talk(one, client, "10.0.0.1");
  EXPECT_EQ(count("vm1", "opened_total"), 1);
  EXPECT_EQ(count("vm2", "opened_total"), 1);
}

INSTANTIATE_TEST_SUITE_P(By, SharedPeer, testing::Values("Networks", "Neighbours"),
                         [](const auto& by) { return std::string(by.param); });

}  // namespace
}  // namespace vtl::test
