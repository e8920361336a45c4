// Proxies, anonymizers and sealed devices in a configuration: what a right one becomes, and what is
// said about each mistake.
//
// covers: vtl check

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <ostream>

#include "vtl/config/build.h"
#include "vtl/config/config.h"

namespace vtl::config {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// A right configuration in pieces; a case replaces one.
struct Pieces {
  std::string vm1 = "{ type: af_packet, device: tap-vm1 }";
  std::string tor = "{ type: tor, address: 127.0.0.1 }";
  std::string anonymizer = "{ proxies: [tor] }";
  std::string network = "none";

  // Lines: 1 interfaces, 2 vm1, 3 uplink, 4 proxies, 5 tor, 6 links, 7 the link.
  [[nodiscard]] std::string text() const {
    return "interfaces:\n  vm1: " + vm1 +
           "\n  eth0: { type: af_packet, device: eth0 }\nproxies:\n  tor: " + tor +
           "\nlinks:\n  - { name: vm1, guest: vm1, network: " + network +
           ", services: [{ anonymizer: " + anonymizer + " }] }\n";
  }
};

Mistakes mistakes_in(const Pieces& pieces) {
  const auto config = parse_config(pieces.text(), "f.yaml");
  return config ? Mistakes{} : config.error();
}

Config right(const Pieces& pieces) {
  auto config = parse_config(pieces.text(), "f.yaml");
  EXPECT_TRUE(config) << (config ? "" : config.error().front());
  return config ? *config : Config{};
}

const service::AnonymizerOptions& anonymizer_of(const Config& config) {
  return std::get<service::AnonymizerOptions>(config.links.at(0).services.at(0));
}

TEST(AnonymizerConfig, TheShortestOneHasItsDefaultsAndSealsTheGuest) {
  const Config config = right({});
  ASSERT_EQ(config.proxies.size(), 1U);
  const auto& proxy = config.proxies[0];
  EXPECT_EQ(proxy.name, "tor");
  EXPECT_TRUE(proxy.tor);
  EXPECT_EQ(to_string(proxy.address), "127.0.0.1:9050");
  EXPECT_TRUE(proxy.sends_all_at_once());
  EXPECT_EQ(proxy.end_waits_for(), 60s);
  EXPECT_EQ(proxy.socket_buffer, 1U << 20);
  EXPECT_FALSE(proxy.control);
  const auto& options = anonymizer_of(config);
  EXPECT_THAT(options.proxies, ElementsAre("tor"));
  EXPECT_EQ(options.isolation, service::IsolateBy::kGuest);
  EXPECT_EQ(to_string(options.guest_network), "10.137.0.0/24");
  EXPECT_FALSE(options.ipv6);
  EXPECT_THAT(options.egress, IsEmpty());
  const auto& guest = std::get<iface::AfPacketOptions>(config.interfaces.at(0).options);
  EXPECT_EQ(guest.seal, iface::SealUse::kKeep);
  const auto& other = std::get<iface::AfPacketOptions>(config.interfaces.at(1).options);
  EXPECT_EQ(other.seal, std::nullopt);
  const auto built = build(config);
  ASSERT_TRUE(built) << built.error().message;
  EXPECT_EQ(built->proxies.size(), 1U);
  EXPECT_FALSE(built->links.at(0).many_workers) << "one table of names for a link";
}

TEST(AnonymizerConfig, EverythingThatCanBeSaidIsRead) {
  const Config config = right(
      {.vm1 = "{ type: af_packet, device: tap-vm1, seal: on }",
       .tor = "{ type: tor, address: \"::1\", port: 9150, control: 127.0.0.1:9051, optimistic: "
              "true, answer_timeout: 60s, half_close_wait: 5min, socket_buffer: 2MiB, max_streams: "
              "100 }",
       .anonymizer =
           "{ proxies: tor, isolation: both, guest_network: 192.168.7.0/24, ipv6: true, "
           "guest_network_v6: \"fd00:1::/64\", dns: resolve, name_network: 10.200.0.0/16, "
           "max_names: 100, name_ttl: 10s, name_lifetime: 1h, echo: true, dhcp: false, "
           "egress: [{ deny: [\"*.ads.example\", 8.8.8.8] }, "
           "{ allow: 10.1.0.0/16, ports: [22, 8000-8100] }], max_connections: 10 }"});
  EXPECT_EQ(std::get<iface::AfPacketOptions>(config.interfaces.at(0).options).seal,
            iface::SealUse::kOn);
  const auto& proxy = config.proxies.at(0);
  EXPECT_EQ(to_string(proxy.address), "[::1]:9150");
  ASSERT_TRUE(proxy.control);
  EXPECT_EQ(to_string(proxy.control->address), "127.0.0.1:9051");
  EXPECT_TRUE(proxy.optimistic);
  EXPECT_EQ(proxy.answer_timeout, 60s);
  EXPECT_EQ(proxy.end_waits_for(), 5min);
  EXPECT_EQ(proxy.socket_buffer, 2U << 20);
  const auto& options = anonymizer_of(config);
  EXPECT_EQ(options.isolation, service::IsolateBy::kBoth);
  EXPECT_EQ(to_string(options.guest_network_v6), "fd00:1::/64");
  EXPECT_EQ(to_string(options.names.v4), "10.200.0.0/16");
  EXPECT_EQ(to_string(options.names.v6), "fd76:746c:0:2::/64");
  EXPECT_EQ(options.dns, service::DnsMode::kResolve);
  EXPECT_EQ(options.names.lifetime, 1h);
  EXPECT_TRUE(options.echo);
  EXPECT_FALSE(options.dhcp);
  EXPECT_EQ(options.max_connections, 10U);
  ASSERT_EQ(options.egress.size(), 3U);
  EXPECT_FALSE(options.egress[0].allow);
  EXPECT_EQ(options.egress[0].pattern.name, "ads.example");
  EXPECT_EQ(to_string(options.egress[1].pattern.network), "8.8.8.8/32");
  EXPECT_TRUE(options.egress[2].allow);
  EXPECT_THAT(options.egress[2].ports,
              ElementsAre(service::PortRange{22, 22}, service::PortRange{8000, 8100}));
}

struct Case {
  const char* name;
  Pieces pieces;
  const char* mistake;
};
void PrintTo(const Case& test, std::ostream* out) {
  *out << test.pieces.text();
}

std::vector<Case> cases() {
  return {
      {"no_type",
       {.tor = "{ address: 127.0.0.1, port: 1080 }"},
       "f.yaml:5:8: proxy 'tor' needs 'type', e.g. type: tor, or socks5"},
      {"socks_without_port",
       {.tor = "{ type: socks5, address: 127.0.0.1, inner: refused }"},
       "f.yaml:5:8: proxy 'tor' needs 'port', e.g. port: 1080"},
      {"socks_without_a_word_on_inner_addresses",
       {.tor = "{ type: socks5, address: 127.0.0.1, port: 1080 }"},
       "f.yaml:5:8: proxy 'tor' needs 'inner', for it may be asked for a name in the public DNS "
       "whose address is 127.0.0.1 or a private one: inner: refused if the server's own rules "
       "refuse loopback, private and its host's addresses, wherever a name led; inner: allowed if "
       "guests may reach them"},
      {"inner_of_tor",
       {.tor = "{ type: tor, address: 127.0.0.1, inner: refused }"},
       "f.yaml:5:48: 'inner' in proxy 'tor' is for type: socks5; Tor refuses inner addresses by "
       "itself"},
      {"port_zero",
       {.tor = "{ type: tor, address: 127.0.0.1, port: 0 }"},
       "f.yaml:5:47: 'port' in proxy 'tor' must be a whole number from 1 to 65535, not '0'"},
      {"user_alone",
       {.tor = "{ type: socks5, address: 127.0.0.1, port: 1080, inner: refused, user: u }"},
       "f.yaml:5:78: proxy 'tor' needs both 'user' and 'password_file', or neither"},
      {"half_close_wait_of_two_hours",
       {.tor = "{ type: tor, address: 127.0.0.1, half_close_wait: 2h }"},
       "f.yaml:5:58: 'half_close_wait' in proxy 'tor' must be a duration from 0 to 1h, e.g. "
       "30ms, not '2h'"},
      {"socket_buffer_of_a_kilobyte",
       {.tor = "{ type: tor, address: 127.0.0.1, socket_buffer: 1KiB }"},
       "f.yaml:5:56: 'socket_buffer' in proxy 'tor' must be a size from 32KiB to 64MiB, e.g. "
       "16MiB, "
       "not '1KiB'"},
      {"control_of_socks",
       {.tor = "{ type: socks5, address: 127.0.0.1, port: 1080, inner: allowed, control: "
               "127.0.0.1:9051 }"},
       "f.yaml:5:81: 'control' in proxy 'tor' is Tor's control port; it needs type: tor"},
      {"cookie_without_control",
       {.tor = "{ type: tor, address: 127.0.0.1, control_cookie_file: c }"},
       "f.yaml:5:62: proxy 'tor' names a secret for Tor's control port, but no 'control', e.g. "
       "control: 127.0.0.1:9051"},
      {"no_proxies",
       {.anonymizer = "{}"},
       "f.yaml:7:70: service 'anonymizer' of link 'vm1' needs 'proxies', e.g. proxies: tor"},
      {"unknown_proxy",
       {.anonymizer = "{ proxies: [tro] }"},
       "f.yaml:7:82: no 'tro' in 'proxies'; did you mean 'tor'?"},
      {"a_proxy_twice",
       {.anonymizer = "{ proxies: [tor, tor] }"},
       "f.yaml:7:87: proxy 'tor' stands twice"},
      {"bits_beyond_the_prefix",
       {.anonymizer = "{ proxies: [tor], guest_network: 10.1.2.3/24 }"},
       "f.yaml:7:103: 'guest_network' in service 'anonymizer' of link 'vm1': 10.1.2.3/24 has bits "
       "beyond its "
       "prefix; right would be 10.1.2.0/24"},
      {"too_small_a_network",
       {.anonymizer = "{ proxies: [tor], guest_network: 10.1.2.0/31 }"},
       "f.yaml:7:103: 'guest_network' in service 'anonymizer' of link 'vm1' must be an IPv4 "
       "network with 8 "
       "to 29 bits, not 10.1.2.0/31"},
      {"networks_overlap",
       {.anonymizer = "{ proxies: [tor], name_network: 10.0.0.0/8 }"},
       "f.yaml:7:102: 10.0.0.0/8 of the names and 10.137.0.0/24 of the guests overlap in "
       "service 'anonymizer' of link 'vm1'"},
      {"v6_network_without_ipv6",
       {.anonymizer = "{ proxies: [tor], guest_network_v6: \"fd00::/64\" }"},
       "f.yaml:7:106: 'guest_network_v6' in service 'anonymizer' of link 'vm1' needs ipv6: true"},
      {"names_that_caches_outlive",
       {.anonymizer = "{ proxies: [tor], name_ttl: 10min, name_lifetime: 15min }"},
       "f.yaml:7:120: 'name_lifetime' in service 'anonymizer' of link 'vm1' is less than twice "
       "'name_ttl': a "
       "program could still use an address that stands for another name"},
      {"a_rule_of_neither_kind",
       {.anonymizer = "{ proxies: [tor], egress: [{ ports: 22 }] }"},
       "f.yaml:7:97: egress rule 1 of service 'anonymizer' of link 'vm1' needs 'allow' or 'deny', "
       "e.g. "
       "deny: \"*.example.org\""},
      {"look_ups_without_tor",
       {.tor = "{ type: socks5, address: 127.0.0.1, port: 1080, inner: refused }",
        .anonymizer = "{ proxies: [tor], isolation: none, dns: resolve }"},
       "f.yaml:7:110: the anonymizer of link 'vm1' says dns: resolve, but only Tor finds "
       "addresses, "
       "and none of its proxies is of type: tor; say dns: names"},
      {"look_ups_of_what_is_not_reached",
       {.anonymizer = "{ proxies: [tor], dns: resolve, egress: [{ allow: \"*.example\" }, "
                      "{ deny: any }] }"},
       "f.yaml:7:110: the anonymizer of link 'vm1' says dns: resolve, so its guests connect to "
       "addresses, and 'egress' denies every address; say dns: names, or allow networks"},
      {"isolation_that_few_take",
       {.tor = "{ type: socks5, address: 127.0.0.1, port: 1080, inner: refused }"},
       "f.yaml:7:56: the anonymizer of link 'vm1' keeps guests apart by a user and password of its "
       "own making, which few servers but Tor take; for proxy 'tor' say isolation: none, or "
       "isolation: guest if it takes any"},
      {"no_seal",
       {.vm1 = "{ type: af_packet, device: tap-vm1, seal: off }"},
       "f.yaml:7:56: interface 'vm1' says seal: off, so the host would see and answer the guest of "
       "link 'vm1' beside its anonymizer; leave 'seal' out, or say on or keep"},
      {"a_guest_that_cannot_be_sealed",
       {.vm1 = "{ type: pcap, device: tap-vm1 }"},
       "f.yaml:7:56: the anonymizer of link 'vm1' needs a guest whose frames the host does not "
       "see: make interface 'vm1' of type af_packet"},
  };
}

class AnonymizerMistake : public testing::TestWithParam<Case> {};
TEST_P(AnonymizerMistake, IsToldWithItsPlaceAndWhatWouldBeRight) {
  EXPECT_THAT(mistakes_in(GetParam().pieces), ElementsAre(GetParam().mistake));
}
INSTANTIATE_TEST_SUITE_P(Every, AnonymizerMistake, testing::ValuesIn(cases()),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(AnonymizerConfig, AWrongPatternOrPortIsToldAtItsPlace) {
  const auto mistakes = mistakes_in(
      {.anonymizer = "{ proxies: [tor], egress: [{ deny: [\"a b\"] }, { allow: any, ports: [70000] "
                     "}] }"});
  ASSERT_EQ(mistakes.size(), 2U);
  EXPECT_THAT(mistakes[0], testing::StartsWith("f.yaml:7:106: 'deny' of egress rule 1 of "));
  EXPECT_THAT(mistakes[1], testing::StartsWith("f.yaml:7:138: 'ports' of egress rule 2 of "));
}

TEST(AnonymizerConfig, ASocksServerDoesWithWhatIsSaidOfIt) {
  const std::string socks = "{ type: socks5, address: 127.0.0.1, port: 1080, inner: allowed }";
  for (const char* isolation : {"none", "guest", "both"}) {
    const Config config =
        right({.tor = socks,
               .anonymizer = std::string("{ proxies: [tor], isolation: ") + isolation + " }"});
    EXPECT_EQ(config.proxies.at(0).inner, transport::InnerAddresses::kAllowed);
  }
  (void)right({.anonymizer = "{ proxies: [tor], dns: resolve, egress: [{ allow: any, ports: 443 }, "
                             "{ deny: any }] }"});
}

TEST(AnonymizerConfig, WhatTakesConnectionsMayNotStandBeforeIt) {
  const std::string text = R"(interfaces:
  vm1: { type: af_packet, device: tap-vm1 }
  eth0: { type: af_packet, device: eth0 }
proxies:
  tor: { type: tor, address: 127.0.0.1 }
links:
  - name: vm1
    guest: vm1
    network: eth0
    services: [impair, split, anonymizer: { proxies: [tor] }]
)";
  const auto config = parse_config(text, "f.yaml");
  ASSERT_FALSE(config);
  EXPECT_THAT(config.error(),
              ElementsAre("f.yaml:10:31: in link 'vm1' another service takes connections of the "
                          "guest before the anonymizer; put the anonymizer first"));
}

// The password keeps its file to itself.
TEST(AnonymizerConfig, CredentialsComeFromAFileAndRuleIsolationOut) {
  const auto folder = std::filesystem::temp_directory_path() / "vtl-anonymizer-config";
  std::filesystem::create_directories(folder);
  const auto password = folder / "password";
  std::ofstream(password) << "secret\r\n";
  const std::string socks =
      "{ type: socks5, address: 127.0.0.1, port: 1080, inner: refused, user: u, "
      "password_file: " +
      password.string() + " }";
  chmod(password.c_str(), 0644);
  EXPECT_THAT(mistakes_in({.tor = socks}),
              ElementsAre(testing::HasSubstr("is open to other users (mode 0644)")));
  chmod(password.c_str(), 0600);
  EXPECT_THAT(mistakes_in({.tor = socks}),
              ElementsAre("f.yaml:7:56: the anonymizer of link 'vm1' keeps streams apart by the "
                          "user and password that it tells the proxy, but proxy 'tor' has its own; "
                          "say isolation: none, or leave 'user' out there"));
  const Config config = right({.tor = socks, .anonymizer = "{ proxies: [tor], isolation: none }"});
  ASSERT_TRUE(config.proxies.at(0).credentials);
  EXPECT_EQ(config.proxies[0].credentials->user, "u");
  EXPECT_EQ(config.proxies[0].credentials->password, "secret");
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace vtl::config
