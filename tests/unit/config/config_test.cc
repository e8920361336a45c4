// Every mistake a configuration can have, and what is said about it: place, what is wrong, what
// would be right. And what a right one becomes.
//
// covers: vtl check

#include "vtl/config/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <ostream>

#include "vtl/config/build.h"

namespace vtl::config {
namespace {

using testing::ElementsAre;

// A right configuration in pieces; a case replaces one.
struct Pieces {
  std::string general{};
  std::string vm1 = "{ type: af_packet, device: tap-vm1 }";
  std::string uplink = "{ type: af_packet, device: eth0 }";
  std::string siteb = "{ address: 198.51.100.7, port: 9000, key: 0123456789abcdef }";
  std::string links = "[{ name: vm1, guest: vm1, network: uplink, services: [bridge] }]";

  // Lines: 1 interfaces, 2 vm1, 3 uplink, 4 peers, 5 siteb, 6 links, 7 general.
  [[nodiscard]] std::string text() const {
    return "interfaces:\n  vm1: " + vm1 + "\n  uplink: " + uplink + "\npeers:\n  siteb: " + siteb +
           "\nlinks: " + links + "\n" + general + "\n";
  }
};

Mistakes mistakes_in(const std::string& text) {
  const auto config = parse_config(text, "f.yaml");
  return config ? Mistakes{} : config.error();
}

struct Case {
  const char* name;
  Pieces pieces;
  const char* mistake;
};

void PrintTo(const Case& test, std::ostream* out) {
  *out << test.pieces.text();
}

std::string service(const std::string& text) {
  return "[{ name: vm1, guest: vm1, network: uplink, services: [" + text + "] }]";
}

std::vector<Case> cases() {
  return {
      // the file as a whole
      {"UnknownKey",
       {.general = "wokers: 2"},
       "f.yaml:7:1: unknown key 'wokers' in the configuration; did you mean 'workers'?"},
      {"OutOfRange",
       {.general = "workers: 65"},
       "f.yaml:7:10: 'workers' in the configuration must be a whole number from 1 to 64, not '65'"},
      {"NotANumber",
       {.general = "workers: two"},
       "f.yaml:7:10: 'workers' in the configuration must be a whole number from 1 to 64, not "
       "'two'"},
      {"MapForAValue",
       {.general = "workers: { a: 1 }"},
       "f.yaml:7:10: 'workers' in the configuration must be a whole number from 1 to 64, not a "
       "map"},
      {"NothingForAValue",
       {.general = "workers:"},
       "f.yaml:7:1: 'workers' in the configuration must be a whole number from 1 to 64, not "
       "nothing"},
      {"DurationWithoutUnit",
       {.general = "stop_grace: 30"},
       "f.yaml:7:13: 'stop_grace' in the configuration must be a duration from 0 to 10min, e.g. "
       "30ms, not '30'"},
      {"SizeTooSmall",
       {.general = "packet_memory: 1MiB"},
       "f.yaml:7:16: 'packet_memory' in the configuration must be a size from 16MiB to 1024GiB, "
       "e.g. 16MiB, not '1MiB'"},
      {"WrongWord",
       {.general = "log_level: warn"},
       "f.yaml:7:12: 'log_level' in the configuration must be debug, info, warning or error, not "
       "'warn'"},
      {"NearWord",
       {.general = "log_level: erorr"},
       "f.yaml:7:12: 'log_level' in the configuration must be debug, info, warning or error (did "
       "you mean 'error'?), not 'erorr'"},
      {"NoSuchUser",
       {.general = "user: nobody-of-this-name"},
       "f.yaml:7:7: no user 'nobody-of-this-name' on this host; make one, or leave 'user' out"},
      // several workers
      {"WorkersWithATap",
       {.general = "workers: 2",
        .vm1 = "{ type: tap, device: tap-vm1 }",
        .links = service("gateway: { peer: siteb }")},
       "f.yaml:6:62: the gateway of link 'vm1' needs workers: 1, not 2: interface 'vm1' is not of "
       "type af_packet, and streams from the peer would reach workers that do not know them"},
      {"WorkersWithoutANetwork",
       {.general = "workers: 2",
        .vm1 = "{ type: qemu, address: 127.0.0.1:5555 }",
        .links = "[{ name: vm1, guest: vm1, network: none, services: [gateway: { peer: siteb }] "
                 "}]"},
       "the gateway of link 'vm1' needs workers: 1, not 2: interface 'vm1' is not of type"},
      {"WorkersWithImpair",
       {.general = "workers: 2",
        .links = service("impair: { delay: 1ms }, gateway: { peer: siteb }")},
       "the gateway of link 'vm1' needs workers: 1, not 2: 'impair' in the same link runs on one "
       "worker"},
      {"WorkersWithASharedUplinkOfOneWorker",
       {.general = "workers: 4",
        .uplink = "{ type: af_packet, device: eth0 }\n  vm2: { type: pcap, device: eth2 }",
        .links = "[{ name: vm1, guest: vm1, network: uplink, services: [gateway: { peer: siteb "
                 "}] }, { name: vm2, guest: vm2, network: uplink }]"},
       "f.yaml:7:62: the gateway of link 'vm1' needs workers: 1, not 4: interface 'uplink' is "
       "shared with a link that runs on one worker"},
      {"WorkersWithASplitBesideATap",
       {.general = "workers: 2",
        .vm1 = "{ type: tap, device: tap-vm1 }",
        .links = service("split: { match: tcp }")},
       "f.yaml:6:62: the split of link 'vm1' needs workers: 1, not 2: interface 'vm1' is not of "
       "type af_packet, and the two directions of a connection would reach different workers"},
      {"WorkersWithASplitWithoutOptions",
       {.general = "workers: 2",
        .uplink = "{ type: tap, device: tap-up }",
        .links = service("split")},
       "the split of link 'vm1' needs workers: 1, not 2: interface 'uplink' is not of type"},
      // control
      {"LongSocket",
       {.general = "control: { socket: /" + std::string(107, 's') + " }"},
       "f.yaml:7:20: 'socket' in 'control': the path of a unix socket has at most 107 octets, /s"},
      {"MetricsForAll",
       {.general = "control: { metrics: 0.0.0.0:9464 }"},
       "f.yaml:7:21: 'metrics' answers without a password, so it listens on a loopback address "
       "only, e.g. 127.0.0.1:9464; put a proxy in front to publish it"},
      {"MetricsWithoutPort",
       {.general = "control: { metrics: 127.0.0.1 }"},
       "f.yaml:7:21: 'metrics' in 'control' must be an address and a port such as 127.0.0.1:9464 "
       "or [::1]:9464, not '127.0.0.1'"},
      {"ControlIsText",
       {.general = "control: on"},
       "f.yaml:7:10: 'control' must be a map (key: value), not 'on'"},
      // interfaces
      {"NoType",
       {.vm1 = "{ device: tap-vm1 }"},
       "f.yaml:2:8: interface 'vm1' needs 'type', e.g. type: af_packet"},
      {"UnknownType",
       {.vm1 = "{ type: afpacket, device: a }"},
       "f.yaml:2:16: no interface type 'afpacket'; did you mean 'af_packet'?"},
      {"NoDevice",
       {.vm1 = "{ type: tap }"},
       "f.yaml:2:8: interface 'vm1' needs 'device', e.g. device: tap-vm1"},
      {"UnknownInterfaceKey",
       {.vm1 = "{ type: tap, device: a, promiscuous: yes }"},
       "f.yaml:2:32: unknown key 'promiscuous' in interface 'vm1'; there are type, device and "
       "bring_up"},
      {"LongDevice",
       {.vm1 = "{ type: pcap, device: a-device-with-a-long-name }"},
       "f.yaml:2:30: 'device' in interface 'vm1' must be the name of a network device, at most 15 "
       "characters without '/', ':' and blanks, not 'a-device-with-a-long-name'"},
      {"NotAFlag",
       {.vm1 = "{ type: pcap, device: a, promiscuous: maybe }"},
       "f.yaml:2:46: 'promiscuous' in interface 'vm1' must be true or false, not 'maybe'"},
      {"FileWithoutFile",
       {.vm1 = "{ type: pcap_file }"},
       "f.yaml:2:8: interface 'vm1' needs 'read', a capture file to take frames from, or 'write', "
       "one to put frames into, or both"},
      {"QemuAddress",
       {.vm1 = "{ type: qemu, address: /run/vm1.sock }"},
       "f.yaml:2:31: 'address' in interface 'vm1' must be unix:/run/vm1.sock or 127.0.0.1:5555, "
       "not '/run/vm1.sock'"},
      {"LongQemuSocket",
       {.vm1 = "{ type: qemu, address: 'unix:/" + std::string(107, 's') + "' }"},
       "f.yaml:2:31: 'address' in interface 'vm1': the path of a unix socket has at most 107 "
       "octets, /s"},
      {"OneDeviceTwice",
       {.uplink = "{ type: pcap, device: tap-vm1 }"},
       "f.yaml:3:33: device 'tap-vm1' is that of interface 'vm1' already (line 2); frames would "
       "loop between the two, so make it one interface, which several links may have as network"},
      {"InterfaceIsText",
       {.vm1 = "eth0"},
       "f.yaml:2:8: interface 'vm1' must be a map (key: value), not 'eth0'"},
      // peers
      {"NoWayToThePeer",
       {.siteb = "{ key: 0123456789abcdef }"},
       "f.yaml:5:10: peer 'siteb' needs 'address' and 'port' (where the peer listens), or 'listen' "
       "(where the peer reaches us), or both"},
      {"NoPort",
       {.siteb = "{ address: 198.51.100.7, key: 0123456789abcdef }"},
       "f.yaml:5:21: peer 'siteb' has an 'address' but no 'port', e.g. port: 9000"},
      {"BadAddress",
       {.siteb = "{ address: siteb.example, port: 9000, key: 0123456789abcdef }"},
       "f.yaml:5:21: 'address' in peer 'siteb' must be an IP address such as 198.51.100.7 or "
       "2001:db8::7, not 'siteb.example'"},
      {"BadPort",
       {.siteb = "{ address: 198.51.100.7, port: 70000, key: 0123456789abcdef }"},
       "f.yaml:5:41: 'port' in peer 'siteb' must be a whole number from 1 to 65535, not '70000'"},
      {"NoKey",
       {.siteb = "{ listen: 0.0.0.0:9000 }"},
       "f.yaml:5:10: peer 'siteb' needs 'key_file', the file with the secret that both peers "
       "share, "
       "e.g. key_file: siteb.key"},
      {"ShortKey",
       {.siteb = "{ listen: 0.0.0.0:9000, key: secret }"},
       "f.yaml:5:39: the key of peer 'siteb' has 6 characters; it must have 16 to 4096, e.g. what "
       "this prints: openssl rand -hex 32"},
      {"TwoFamilies",
       {.siteb = "{ address: 198.51.100.7, port: 9000, listen: '[::]:9000', key: 0123456789abcdef "
                 "}"},
       "f.yaml:5:10: peer siteb: 198.51.100.7:9000 cannot be reached from [::]:9000: one is IPv4, "
       "the other IPv6"},
      {"LongProbe",
       {.siteb = "{ listen: 0.0.0.0:9000, key: 0123456789abcdef, probe_max: 601s }"},
       "'probe_max' in peer 'siteb' must be a duration from 10ms to 10min, e.g. 30ms, not '601s'"},
      {"TwoKeys",
       {.siteb = "{ listen: 0.0.0.0:9000, key: 0123456789abcdef, key_file: k }"},
       "f.yaml:5:39: peer 'siteb' has both 'key' and 'key_file'; keep key_file"},
      {"UnknownTransport",
       {.siteb = "{ listen: 0.0.0.0:9000, key: 0123456789abcdef, transport: udp }"},
       "f.yaml:5:68: 'transport' in peer 'siteb' must be udt or tcp (did you mean 'udt'?), not "
       "'udp'"},
      {"UnknownRateControl",
       {.siteb = "{ listen: 0.0.0.0:9000, key: 0123456789abcdef, rate_control: bbr }"},
       "f.yaml:5:71: 'rate_control' in peer 'siteb' must be vtl or native, not 'bbr'"},
      {"RateControlIsForUdt",
       {.siteb = "{ transport: tcp, listen: 0.0.0.0:9000, key: 0123456789abcdef, rate_control: vtl "
                 "}"},
       "f.yaml:5:73: unknown key 'rate_control' in peer 'siteb'; there are transport, address, "
       "port, listen, key_file, key, buffer, memory, congestion, warm, max_streams, max_half_open, "
       "handshake_timeout, answer_timeout, linger, idle_timeout, probe_min and probe_max"},
      {"CongestionIsForTcp",
       {.siteb = "{ listen: 0.0.0.0:9000, key: 0123456789abcdef, congestion: bbr }"},
       "f.yaml:5:57: unknown key 'congestion' in peer 'siteb'; there are transport, address, port, "
       "listen, key_file, key, buffer, memory, udp_buffer, mss, rate_control, warm, max_streams, "
       "max_half_open, "
       "handshake_timeout, answer_timeout, linger, idle_timeout, probe_min and probe_max"},
      // links
      {"UnknownInterface",
       {.links = "[{ name: vm1, guest: vm2, network: uplink }]"},
       "f.yaml:6:29: 'guest' in link 1: no 'vm2' among the interfaces; did you mean 'vm1'?"},
      {"CutThroughUnobserved",
       {.links = "[{ name: vm1, guest: vm1, network: uplink, observe_flows: false, cut_through: on "
                 "}]"},
       "f.yaml:6:86: 'cut_through: on' needs 'observe_flows: true': who follows the flows of a "
       "link "
       "chooses those that the kernel forwards"},
      {"CutThroughImpaired",
       {.links = "[{ name: vm1, guest: vm1, network: uplink, services: [ impair: { loss: 1% } ], "
                 "cut_through: on }]"},
       "'cut_through: on' is for links without services, or with bridge only: the others of link 1 "
       "must see every frame"},
      {"CutThroughOfAnotherKind",
       {.links = "[{ name: vm1, guest: vm1, network: uplink, cut_through: yes }]"},
       "'cut_through' in link 1 must be auto, on or off, not 'yes'"},
      {"NoNetwork",
       {.links = "[{ name: vm1, guest: vm1 }]"},
       "f.yaml:6:9: link 1 needs 'network', e.g. network: uplink, or none"},
      {"BothSides",
       {.links = "[{ name: vm1, guest: vm1, network: vm1 }]"},
       "f.yaml:6:43: 'vm1' is both sides of link 'vm1'; name two interfaces"},
      {"GuestOfTwo",
       {.links =
            "[{ name: a, guest: vm1, network: none }, { name: b, guest: vm1, network: none }]"},
       "f.yaml:6:67: interface 'vm1' is the guest of another link already; an interface has one "
       "guest side (line 6)"},
      {"TwoOfOneName",
       {.links = "[{ name: a, guest: vm1, network: none }, { name: a, guest: uplink, network: "
                 "none }]"},
       "f.yaml:6:57: there is a link 'a' already (line 6)"},
      {"LinksAreAMap",
       {.links = "{ name: vm1 }"},
       "f.yaml:6:8: 'links' must be a list (- name: vm1), not a map"},
      {"NoLinks", {.links = "[]"}, "f.yaml:6:8: 'links' is empty: there is nothing to run"},
      {"BadName",
       {.links = "[{ name: 'vm 1', guest: vm1, network: none }]"},
       "f.yaml:6:17: a name of a link is 1 to 64 letters, digits, '-', '_' and '.', not 'vm 1'"},
      // services
      {"UnknownService",
       {.links = service("gatway: {}")},
       "f.yaml:6:62: no service 'gatway'; did you mean 'gateway'?"},
      {"TwoKindsInOne",
       {.links = service("{ bridge: {}, impair: {} }")},
       "f.yaml:6:62: a service of link 'vm1' is one name with its options, e.g. - gateway: { peer: "
       "siteb }"},
      {"SplitUnknownKey",
       {.links = service("split: { peer: siteb }")},
       "unknown key 'peer' in service 'split' of link 'vm1'"},
      {"SplitFromNowhere",
       {.links = service("split: { from: guests }")},
       "'from' in service 'split' of link 'vm1' must be guest, network or both (did you mean "
       "'guest'?), not 'guests'"},
      {"SplitBadFilter",
       {.links = service("split: { match: tcp port }")},
       "'match' in service 'split' of link 'vm1' is no pcap filter: "},
      {"SplitNoConnections",
       {.links = service("split: { max_connections: 0 }")},
       "'max_connections' in service 'split' of link 'vm1' must be a whole number from 1 to "
       "1000000, not '0'"},
      {"SplitNoHalfOpen",
       {.links = service("split: { max_half_open: 0 }")},
       "'max_half_open' in service 'split' of link 'vm1' must be a whole number from 1 to "
       "1000000, not '0'"},
      {"SplitSmallBuffer",
       {.links = service("split: { buffer: 1KiB }")},
       "'buffer' in service 'split' of link 'vm1' must be a size from 16KiB to 1GiB"},
      {"SplitMemoryBelowBuffer",
       {.links = service("split: { buffer: 16MiB, memory: 1MiB }")},
       "'memory' in service 'split' of link 'vm1' is less than the 'buffer' of a single "
       "connection"},
      {"SplitKeepAliveOfDays",
       {.links = service("split: { keep_alive: 25h }")},
       "'keep_alive' in service 'split' of link 'vm1' must be a duration from 0 to 24h"},
      {"SplitLongTimeWait",
       {.links = service("split: { time_wait: 5min }")},
       "'time_wait' in service 'split' of link 'vm1' must be a duration from 0 to 4min"},
      {"UnknownPeer",
       {.links = service("gateway: { peer: sitec }")},
       "f.yaml:6:79: 'peer' in service 'gateway' of link 'vm1': no 'sitec' among the peers; did "
       "you "
       "mean 'siteb'?"},
      {"BadFilter",
       {.links = service("gateway: { peer: siteb, match: tcp port }")},
       "f.yaml:6:93: 'match' in service 'gateway' of link 'vm1' is no pcap filter: "},
      {"PeerOfTwoGateways",
       {.links = service("gateway: { peer: siteb }, gateway: { peer: siteb }")},
       "peer 'siteb' belongs to another gateway of link 'vm1' already; one link needs one gateway "
       "for a peer"},
      {"NetworkOfTwoGateways",
       {.links = "[{ name: a, guest: vm1, network: none, services: [gateway: { peer: siteb, "
                 "guest_networks: [192.0.2.0/24, 2001:db8::7] }] }, { name: b, guest: uplink, "
                 "network: none, services: [gateway: { peer: siteb, guest_networks: "
                 "[192.0.2.64/26, 2001:db8::7/128] }] }]"},
       "2001:db8::7/128 is behind another gateway of peer 'siteb' already; a stream from the peer "
       "could be for either: give each guest networks of its own, single addresses if need be "
       "(line 6)"},
      {"RouterOfOneOfTwoThatSearch",
       {.links = "[{ name: a, guest: vm1, network: none, services: [gateway: { peer: siteb, "
                 "guest_next_hop: 192.0.2.1 }] }, { name: b, guest: uplink, network: none, "
                 "services: [gateway: { peer: siteb }] }]"},
       "f.yaml:6:166: of several gateways of peer 'siteb' without 'guest_networks' none can have a "
       "'guest_next_hop': whom the streams are for is found out on the guest sides, and every "
       "address is behind a router; give the gateway with the router its 'guest_networks' (line "
       "6)"},
      {"NetworkWithHostBits",
       {.links = service("gateway: { peer: siteb, guest_networks: [192.0.2.7/24] }")},
       "'guest_networks' in service 'gateway' of link 'vm1': 192.0.2.7/24 has bits beyond its "
       "prefix; right would be 192.0.2.0/24"},
      {"NotANetwork",
       {.links = service("gateway: { peer: siteb, guest_networks: here }")},
       "'guest_networks' in service 'gateway' of link 'vm1' must be networks such as 192.0.2.0/24 "
       "or 2001:db8::/64, not 'here'"},
      {"LossInPercent",
       {.links = service("impair: { loss: 101% }")},
       "f.yaml:6:78: 'loss' in service 'impair' of link 'vm1' must be a share from 0% to 100%, "
       "e.g. "
       "0.1%, not '101%'"},
      {"RateInBytes",
       {.links = service("impair: { rate: 1GB/s }")},
       "f.yaml:6:78: 'rate' in service 'impair' of link 'vm1' must be a rate from 1kbit/s to "
       "400Gbit/s, e.g. 100Mbit/s, not '1GB/s'"},
      {"QueueIsNeither",
       {.links = service("impair: { outbound: { queue: long } }")},
       "f.yaml:6:91: 'queue' in 'outbound' of service 'impair' of link 'vm1' must be a size such "
       "as "
       "2MB or a duration such as 50ms, not 'long'"},
      {"JitterBeyondDelay",
       {.links = service("impair: { delay: 1ms, jitter: 2ms }")},
       "f.yaml:6:92: 'jitter' in service 'impair' of link 'vm1' is longer than 'delay'; frames "
       "would "
       "have to arrive before they are sent"},
  };
}

class ConfigMistake : public testing::TestWithParam<Case> {};

TEST_P(ConfigMistake, IsToldWithItsPlaceAndWhatWouldBeRight) {
  const auto found = mistakes_in(GetParam().pieces.text());
  ASSERT_FALSE(found.empty()) << GetParam().pieces.text();
  EXPECT_THAT(found.front(), testing::HasSubstr(GetParam().mistake));
  EXPECT_THAT(found.front(), testing::StartsWith("f.yaml:"));
}

INSTANTIATE_TEST_SUITE_P(All, ConfigMistake, testing::ValuesIn(cases()),
                         [](const auto& chosen) { return std::string(chosen.param.name); });

TEST(Config, AllMistakesAreToldInTheOrderOfTheFile) {
  const Pieces pieces{.general = "workers: 0",
                      .vm1 = "{ type: tap, divice: a }",
                      .links = "[{ name: vm1, guest: vm1, network: uplnk }]"};
  EXPECT_THAT(
      mistakes_in(pieces.text()),
      ElementsAre("f.yaml:2:8: interface 'vm1' needs 'device', e.g. device: tap-vm1",
                  "f.yaml:2:21: unknown key 'divice' in interface 'vm1'; did you mean 'device'?",
                  "f.yaml:6:43: 'network' in link 1: no 'uplnk' among the interfaces; did you mean "
                  "'uplink'?",
                  "f.yaml:7:10: 'workers' in the configuration must be a whole number from 1 to "
                  "64, not '0'"));
}

TEST(Config, PeersOnOneUdtPortMustAgreeOnWhatBelongsToThePort) {
  const Pieces pieces{.siteb =
                          "{ listen: 0.0.0.0:9000, key: 0123456789abcdef }\n"
                          "  sitec: { listen: 0.0.0.0:9000, key: 0123456789abcdeg, mss: 1400, "
                          "rate_control: native }"};
  EXPECT_THAT(mistakes_in(pieces.text()),
              ElementsAre("f.yaml:6:3: peer 'sitec' listens on the same address as peer 'siteb' "
                          "with another 'mss'; it must be the same for both",
                          "f.yaml:6:3: peer 'sitec' listens on the same address as peer 'siteb' "
                          "with another 'rate_control'; it must be the same for both"));
}

TEST(Config, AnEmptyFileSaysWhatItNeeds) {
  EXPECT_THAT(mistakes_in(""),
              ElementsAre("f.yaml:1:1: the configuration needs 'links', e.g. links: [{ name: vm1, "
                          "guest: vm1, network: uplink }]"));
}

TEST(Config, ASyntaxErrorIsTheOnlyMistakeTold) {
  EXPECT_THAT(mistakes_in("links: [\n"),
              ElementsAre("f.yaml:2:1: not YAML: end of sequence flow not found"));
}

TEST(Config, TheExampleOfTheReadmeIsUnderstood) {
  const auto config = parse_config(Pieces{.general = "workers: 2\n"
                                                     "control: { metrics: 127.0.0.1:9464 }\n"
                                                     "user: nobody",
                                          .links = service("gateway: { peer: siteb, match: "
                                                           "\"tcp and not port 22\" }")}
                                       .text(),
                                   "f.yaml");
  ASSERT_TRUE(config) << config.error().front();
  EXPECT_EQ(config->workers, 2U);
  EXPECT_EQ(config->user, "nobody");
  EXPECT_EQ(config->control.socket, "/run/vtl/vtl.sock");
  EXPECT_EQ(std::get<iface::AfPacketOptions>(config->interfaces.at(0).options).device, "tap-vm1");
  const auto& peer = config->peers.at(0);
  EXPECT_EQ(peer.options.name, "siteb");
  EXPECT_EQ(peer.options.remote, wire::SocketAddress::parse("198.51.100.7:9000"));
  const auto& gateway = std::get<service::GatewayOptions>(config->links.at(0).services.at(0));
  EXPECT_EQ(gateway.peer, "siteb");
  EXPECT_EQ(gateway.match, "tcp and not port 22");
}

TEST(Config, PathsOfSocketsAreRelativeToTheFile) {
  const auto config = parse_config(Pieces{.general = "control: { socket: vtl.sock }",
                                          .vm1 = "{ type: qemu, address: 'unix:vm1.sock' }"}
                                       .text(),
                                   "/etc/vtl/f.yaml");
  ASSERT_TRUE(config) << config.error().front();
  EXPECT_EQ(config->control.socket, "/etc/vtl/vtl.sock");
  EXPECT_EQ(std::get<iface::QemuOptions>(config->interfaces.at(0).options).address,
            "unix:/etc/vtl/vm1.sock");
}

TEST(Config, SeveralWorkersMayServeAGatewayBetweenAfPacketDevices) {
  const auto more =
      "[{ name: vm1, guest: vm1, network: uplink, services: [gateway: { peer: siteb "
      "}] }, { name: vm2, guest: vm2, network: uplink }]";
  EXPECT_THAT(
      mistakes_in(
          Pieces{.general = "workers: 2", .links = service("gateway: { peer: siteb }")}.text()),
      ElementsAre());
  // A tap beside it on the uplink runs on all workers too.
  EXPECT_THAT(mistakes_in(Pieces{.general = "workers: 2",
                                 .uplink = "{ type: af_packet, device: eth0 }\n  vm2: { type: tap, "
                                           "device: tap-vm2 }",
                                 .links = more}
                              .text()),
              ElementsAre());
  // Without a gateway everything may have several workers, or be placed on one of them.
  EXPECT_THAT(mistakes_in(Pieces{.general = "workers: 2",
                                 .vm1 = "{ type: pcap, device: a }",
                                 .links = service("impair: { delay: 1ms }")}
                              .text()),
              ElementsAre());
}

TEST(Config, SeveralWorkersMayServeASplitBetweenAfPacketDevicesAndOneWorkerAnyOther) {
  EXPECT_THAT(mistakes_in(Pieces{.general = "workers: 2", .links = service("split")}.text()),
              ElementsAre());
  EXPECT_THAT(mistakes_in(Pieces{.general = "workers: 2",
                                 .vm1 = "{ type: tap, device: tap-vm1 }",
                                 .links = service("impair: { delay: 1ms }, split")}
                              .text()),
              ElementsAre());
  EXPECT_THAT(
      mistakes_in(
          Pieces{.vm1 = "{ type: tap, device: tap-vm1 }", .links = service("split")}.text()),
      ElementsAre());
}

TEST(Config, ASplitIsReadWithItsBoundsAndDefaults) {
  const auto config = parse_config(
      Pieces{.links = service("split: { match: \"tcp and not port 22\", from: both, "
                              "max_connections: 1000, max_half_open: 10, buffer: 64KiB, memory: "
                              "8MiB, keep_alive: 0s, time_wait: 1s }, split")}
          .text(),
      "f.yaml");
  ASSERT_TRUE(config) << config.error().front();
  const auto& given = std::get<service::SplitOptions>(config->links.at(0).services.at(0));
  EXPECT_EQ(given.match, "tcp and not port 22");
  EXPECT_EQ(given.from, service::OpenedFrom::kBoth);
  EXPECT_EQ(given.max_connections, 1000U);
  EXPECT_EQ(given.max_half_open, 10U);
  EXPECT_EQ(given.buffer, std::size_t{64} << 10);
  EXPECT_EQ(given.memory, std::size_t{8} << 20);
  EXPECT_EQ(given.keep_alive, Duration::zero());
  EXPECT_EQ(given.time_wait, Duration{1s});
  const auto& plain = std::get<service::SplitOptions>(config->links.at(0).services.at(1));
  EXPECT_EQ(plain.match, "tcp");
  EXPECT_EQ(plain.from, service::OpenedFrom::kGuest);
  EXPECT_EQ(plain.keep_alive, Duration{2h});
}

TEST(Config, ImpairIsForBothDirectionsUnlessOneSaysOtherwise) {
  const auto config = parse_config(
      Pieces{.links = service("impair: { rate: 1Gbit/s, delay: 30ms, queue: 60ms, loss: 0.1%, "
                              "inbound: { loss: 0, queue: 2MB } }")}
          .text(),
      "f.yaml");
  ASSERT_TRUE(config) << config.error().front();
  const auto& impair = std::get<service::ImpairConfig>(config->links.at(0).services.at(0));
  EXPECT_EQ(impair.outbound.rate_bps, 1'000'000'000U);
  EXPECT_EQ(impair.outbound.queue_time, Duration{60ms});
  EXPECT_DOUBLE_EQ(impair.outbound.loss, 0.001);
  EXPECT_EQ(impair.inbound.delay, Duration{30ms});
  EXPECT_EQ(impair.inbound.queue_bytes, 2'000'000U);
  EXPECT_EQ(impair.inbound.queue_time, std::nullopt);
  EXPECT_DOUBLE_EQ(impair.inbound.loss, 0);
}

TEST(Config, BuildsWhatTheEngineNeeds) {
  const auto config = parse_config(
      Pieces{.links = service("impair: { delay: 1ms }, gateway: { peer: siteb }")}.text(),
      "f.yaml");
  ASSERT_TRUE(config) << config.error().front();
  const auto built = build(*config);
  ASSERT_TRUE(built) << built.error().message;
  EXPECT_EQ(built->interfaces.size(), 2U);
  EXPECT_TRUE(built->interfaces[0].many_workers);
  EXPECT_EQ(built->peers.at(0).name, "siteb");
  ASSERT_EQ(built->links.at(0).services.size(), 2U);
  EXPECT_EQ(built->links[0].services[0](0)->kind(), "impair");
  EXPECT_EQ(built->links[0].services[1](0)->kind(), "gateway");
}

TEST(Config, ASealedDeviceIsNotCutThrough) {
  const auto config = parse_config(
      Pieces{.vm1 = "{ type: af_packet, device: tap-vm1, seal: on }"}.text(), "f.yaml");
  ASSERT_TRUE(config) << config.error().front();
  const auto built = build(*config);
  ASSERT_TRUE(built) << built.error().message;
  const auto cut = built->links.at(0).cut_through();
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.error().message, "cut-through: tap-vm1 is sealed: VTL alone carries its frames");
}

class KeyFile : public testing::Test {
 protected:
  KeyFile() {
    std::string pattern = testing::TempDir() + "vtl-config-XXXXXX";
    folder_ = mkdtemp(pattern.data());
  }
  ~KeyFile() override { std::filesystem::remove_all(folder_); }

  void write(const std::string& name, const std::string& text, mode_t mode) const {
    std::ofstream(folder_ + "/" + name) << text;
    chmod((folder_ + "/" + name).c_str(), mode);
  }
  [[nodiscard]] std::expected<Config, Mistakes> load() const {
    write("f.yaml", Pieces{.siteb = "{ listen: 0.0.0.0:9000, key_file: b.key }"}.text(), 0644);
    return load_config(folder_ + "/f.yaml");
  }
  [[nodiscard]] std::string place() const { return folder_ + "/f.yaml:5:44: "; }

  std::string folder_;
};

TEST_F(KeyFile, IsFoundBesideTheConfigurationAndItsFirstLineIsTheKey) {
  write("b.key", "0123456789abcdef0123\n# by hand\n", 0600);
  const auto config = load();
  ASSERT_TRUE(config) << config.error().front();
  EXPECT_EQ(config->peers.at(0).options.key, "0123456789abcdef0123");
}

TEST_F(KeyFile, MayHaveTheLineEndsOfOtherSystems) {
  write("b.key", "0123456789abcdef0123\r\n", 0600);
  const auto config = load();
  ASSERT_TRUE(config) << config.error().front();
  EXPECT_EQ(config->peers.at(0).options.key, "0123456789abcdef0123");
}

TEST_F(KeyFile, EmptyFirstLineIsRefused) {
  for (const char* text : {"\n0123456789abcdef0123\n", "\r\n0123456789abcdef0123\r\n"}) {
    write("b.key", text, 0600);
    EXPECT_THAT(load().error(), ElementsAre(place() + "the first line of key file " + folder_ +
                                            "/b.key is empty; it must be the key"));
  }
}

TEST_F(KeyFile, MissingTellsHowToMakeOne) {
  const auto path = folder_ + "/b.key";
  EXPECT_THAT(load().error(), ElementsAre(place() + "key file " + path +
                                          ": No such file or directory; make one with: (umask 077; "
                                          "openssl rand -hex 32 > " +
                                          path + ")"));
}

TEST_F(KeyFile, OpenToOthersIsRefused) {
  write("b.key", "0123456789abcdef0123\n", 0640);
  const auto path = folder_ + "/b.key";
  EXPECT_THAT(
      load().error(),
      ElementsAre(place() + "key file " + path +
                  " is open to other users (mode 0640); right would be: chmod 600 " + path));
}

// A key in the configuration itself makes a secret of the whole file.
TEST_F(KeyFile, KeyInAConfigurationThatIsOpenToOthersIsRefused) {
  const auto path = folder_ + "/f.yaml";
  const auto text = Pieces{.siteb = "{ listen: 0.0.0.0:9000, key: 0123456789abcdef }"}.text();
  for (const auto& [mode, shown] :
       {std::pair{mode_t{0644}, "0644"}, {0640, "0640"}, {0604, "0604"}}) {
    write("f.yaml", text, mode);
    EXPECT_THAT(load_config(path).error(),
                ElementsAre(path +
                            ":5:39: the key of peer 'siteb' stands in a file that is open to "
                            "other users (mode " +
                            shown + "); right would be: chmod 600 " + path +
                            ", or the key in a file of its own: key_file: siteb.key"));
  }
  write("f.yaml", text, 0600);
  const auto config = load_config(path);
  ASSERT_TRUE(config) << config.error().front();
  EXPECT_EQ(config->peers.at(0).options.key, "0123456789abcdef");
}

TEST_F(KeyFile, EmptyIsRefused) {
  write("b.key", "", 0600);
  EXPECT_THAT(load().error(),
              ElementsAre(place() + "key file " + folder_ + "/b.key cannot be read or is empty"));
}

TEST(Config, AFileThatCannotBeReadIsOneLine) {
  EXPECT_THAT(load_config("/nowhere/f.yaml").error(),
              ElementsAre("/nowhere/f.yaml: cannot read the configuration: No such file or "
                          "directory"));
  EXPECT_THAT(load_config("/").error(),
              ElementsAre("/: cannot read the configuration: it is a folder"));
}

// Whatever is cut or changed in a right file, reading it ends with values or with mistakes.
RC_GTEST_PROP(Config, ADamagedFileIsNeverMoreThanMistakes, ()) {
  std::string text =
      Pieces{.general = "workers: 2", .links = service("gateway: { peer: siteb }")}.text();
  const auto damages = *rc::gen::inRange<std::size_t>(1, 4);
  for (std::size_t i = 0; i < damages; ++i) {
    const auto at = *rc::gen::inRange<std::size_t>(0, text.size());
    const auto octet = *rc::gen::arbitrary<char>();
    if (*rc::gen::arbitrary<bool>()) {
      text[at] = octet;
    } else {
      text.erase(at, 1);
    }
  }
  for (const auto& mistake : mistakes_in(text)) RC_ASSERT(mistake.starts_with("f.yaml:"));
}

}  // namespace
}  // namespace vtl::config
