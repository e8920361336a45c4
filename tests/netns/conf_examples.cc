// Example configurations of conf/ as they stand, started by the program itself in hosts that have
// the devices and addresses they name, and asked what they carry.
//
//   client --- eth1 [ a: site-a.yaml ] eth0 --- eth0 [ b: site-b.yaml ] eth1 --- server
//   10.0.0.1             192.0.2.7                   198.51.100.7              10.0.0.2
//
// covers: conf/bridge.yaml, conf/site-a.yaml, conf/site-b.yaml, conf/split-tcp.yaml, conf/wan.yaml,
// conf/shared-uplink.yaml, conf/replay.yaml, conf/split.yaml, conf/anonymizer.yaml
//
// covers: vtl anonymizer
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "lab/lab.h"
#include "lab/must.h"
#include "lab/virtual_machine.h"
#include "lab/vtl_program.h"
#include "tests/unit/packet/frames.h"
#include "vtl/iface/pcap_file.h"

namespace vtl {
namespace {

using lab::must;
using nlohmann::json;

constexpr Duration kBound = 30s;

class ConfExamples : public testing::Test {
 protected:
  [[nodiscard]] static std::string read_example(const std::string& name) {
    std::ifstream file(VTL_SOURCE_DIR "/conf/" + name);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }
  // The example as it stands.
  static lab::Process run_as_it_stands(lab::Host& host, const std::string& name) {
    return must(lab::start_vtl(host, read_example(name)));
  }
  // Where two run at once: the example with a control socket of the host's own.
  static lab::Process run_example(lab::Host& host, const std::string& name) {
    return run(host, read_example(name));
  }
  static lab::Process run(lab::Host& host, const std::string& text) {
    EXPECT_EQ(text.find("\ncontrol:"), std::string::npos) << text << ": one control section a file";
    return must(lab::start_vtl(host, text + "control: { socket: " + socket_of(host) + " }\n"));
  }
  [[nodiscard]] static std::string socket_of(const lab::Host& host) {
    return "/run/vtl-" + host.name() + ".sock";  // short, and the sandbox's own
  }
  [[nodiscard]] static json ask(const lab::Host& host, const std::string& question) {
    return ask(host, question, socket_of(host));
  }
  [[nodiscard]] static json ask(const lab::Host& host, const std::string& question,
                                const std::string& socket) {
    return json::parse(
        must(host.output_of({lab::vtl_binary().string(), question, "--json", "--socket", socket})));
  }
  static void write_key(const lab::Host& host) {
    const auto path = host.folder() / "site.key";
    std::ofstream(path) << "an example's secret, of no worth\n";
    ASSERT_EQ(chmod(path.c_str(), S_IRUSR | S_IWUSR), 0);
  }
  // A line travels from client to server; the connection stays open while `look` is called.
  template <class Look>
  void with_connection(const Look& look) {
    auto listener = must(server_->start({.argv = {"nc", "-l", "-p", "8080"}}));
    must(listener.wait_for_port(lab::Protocol::kTcp, 8080, kBound));
    auto speaker = must(client_->start(
        {.argv = {"nc", "-N", "10.0.0.2", "8080"}, .input_from = lab::Input::kPipe}));
    must(speaker.write_input("hello through the example\n"));
    must(listener.wait_for_line("hello through the example", kBound));
    look();
    speaker.close_input();
    must(listener.wait_ok(kBound));
    must(speaker.wait_ok(kBound));
  }
  void address_guests() {
    must(client_->ip("addr add 10.0.0.1/24 dev eth0"));
    must(server_->ip("addr add 10.0.0.2/24 dev eth0"));
  }

  lab::Lab lab_;
  lab::Host* client_ = must(lab_.add_host("client"));
  lab::Host* server_ = must(lab_.add_host("server"));
};

TEST_F(ConfExamples, BridgeListsTheConnectionThatItLetsPass) {
  lab::Host& host = *must(lab_.add_host("vtl", {.ipv6 = lab::Ipv6::kNoNoise}));
  must(lab_.connect({*client_, "eth0"}, {host, "tap-vm1"}));
  must(lab_.connect({host, "eth0"}, {*server_, "eth0"}));
  address_guests();
  auto vtl = run_example(host, "bridge.yaml");
  with_connection([&] {
    const auto flows = ask(host, "flows")["flows"];
    ASSERT_EQ(flows.size(), 1U) << flows;
    EXPECT_EQ(flows[0]["destination"], "10.0.0.2:8080");
    EXPECT_EQ(flows[0]["state"], "established");
    EXPECT_EQ(flows[0]["bytes_out"], 26);
    EXPECT_EQ(flows[0]["transform"], "no (bridged)");
    EXPECT_TRUE(flows[0]["rtt_network"].is_number());
  });
  EXPECT_TRUE(must(vtl.stop()).ok()) << vtl.errors();
}

TEST_F(ConfExamples, SplitPlaysBothEndsOfTheConnection) {
  lab::Host& host = *must(lab_.add_host("vtl", {.ipv6 = lab::Ipv6::kNoNoise}));
  must(lab_.connect({*client_, "eth0"}, {host, "eth1"}));
  must(lab_.connect({host, "eth0"}, {*server_, "eth0"}));
  address_guests();
  auto vtl = run_example(host, "split.yaml");
  with_connection([&] {
    const auto flows = ask(host, "flows")["flows"];
    ASSERT_EQ(flows.size(), 1U) << flows;
    EXPECT_EQ(flows[0]["destination"], "10.0.0.2:8080");
    EXPECT_EQ(flows[0]["state"], "established/established");
    EXPECT_EQ(flows[0]["bytes_out"], 26);
    EXPECT_EQ(flows[0]["transform"], "split");
  });
  EXPECT_TRUE(must(vtl.stop()).ok()) << vtl.errors();
}

// No Tor runs on this host: the guest gets its address and names, and honest refusals.
TEST_F(ConfExamples, AnonymizerConfiguresItsGuestAndRefusesWithoutAProxy) {
  lab::Host& host = *must(lab_.add_host("vtl"));
  must(lab_.connect({*client_, "eth0"}, {host, "eth1"}));
  auto vtl = run_example(host, "anonymizer.yaml");
  must(client_->ip("addr add 10.137.0.9/24 dev eth0\nroute add default via 10.137.0.1"));
  const auto name = must(client_->output_of({"kdig", "+short", "@9.9.9.9", "www.example.org"}));
  EXPECT_THAT(name, testing::MatchesRegex("198\\.1[89]\\..*\n"));
  auto refused =
      must(client_->start({.argv = {"nc", "-v", "-n", name.substr(0, name.find('\n')), "80"}}));
  EXPECT_FALSE(must(refused.wait(kBound)).ok());
  EXPECT_THAT(refused.errors(), testing::HasSubstr("Connection refused"));
  const auto proxy = ask(host, "status")["proxies"][0];
  EXPECT_EQ(proxy["name"], "tor");
  EXPECT_EQ(proxy["up"], false);
  EXPECT_THAT(proxy["error"].get<std::string>(), testing::HasSubstr("refused"));
  must(host.output_of({lab::vtl_binary().string(), "anonymizer", "new-identity", "vm1", "--socket",
                       socket_of(host)}));
  EXPECT_TRUE(must(vtl.stop()).ok()) << vtl.errors();
}

// The two sites of the drawing, with their key.
class ConfSites : public ConfExamples {
 protected:
  ConfSites() {
    must(lab_.connect({*client_, "eth0"}, {a, "eth1"}));
    must(lab_.connect({a, "eth0"}, {b, "eth0"}));
    must(lab_.connect({b, "eth1"}, {*server_, "eth0"}));
    address_guests();
    must(a.ip("addr add 192.0.2.7/24 dev eth0\nroute add 198.51.100.7/32 dev eth0"));
    must(b.ip("addr add 198.51.100.7/24 dev eth0\nroute add 192.0.2.7/32 dev eth0"));
    write_key(a);
    write_key(b);
  }
  lab::Host& a = *must(lab_.add_host("a", {.ipv6 = lab::Ipv6::kNoNoise}));
  lab::Host& b = *must(lab_.add_host("b", {.ipv6 = lab::Ipv6::kNoNoise}));
};

TEST_F(ConfSites, CarryAConnectionOverUdt) {
  auto vtl_b = run_example(b, "site-b.yaml");
  auto vtl_a = run_example(a, "site-a.yaml");
  with_connection([&] {
    const auto near = ask(a, "flows")["flows"];
    ASSERT_EQ(near.size(), 1U) << near;
    EXPECT_EQ(near[0]["destination"], "10.0.0.2:8080");
    EXPECT_EQ(near[0]["bytes_out"], 26);
    EXPECT_EQ(near[0]["transform"], "udt to siteb");
    const auto far = ask(b, "flows")["flows"];
    ASSERT_EQ(far.size(), 1U) << far;
    EXPECT_EQ(far[0]["transform"], "udt from sitea");
    EXPECT_EQ(ask(a, "status")["peers"][0]["up"], true);
  });
  EXPECT_TRUE(must(vtl_a.stop()).ok()) << vtl_a.errors();
  EXPECT_TRUE(must(vtl_b.stop()).ok()) << vtl_b.errors();
}

// split-tcp.yaml is site A's; site B does the same the other way round.
constexpr const char* kSplitTcpOfSiteB = R"(interfaces:
  servers: { type: af_packet, device: eth1 }
  uplink: { type: af_packet, device: eth0 }
peers:
  sitea: { transport: tcp, congestion: bbr, listen: "198.51.100.7:9000", key_file: site.key }
links:
  - name: lan
    guest: servers
    network: uplink
    services:
      - gateway: { peer: sitea, match: tcp, on_peer_down: refuse }
)";

TEST_F(ConfSites, SplitTcpCarriesAConnectionUnderTheCongestionControlNamed) {
  const auto known = a.congestion_controls();
  if (std::ranges::find(known, "bbr") == known.end()) GTEST_SKIP() << "this kernel has no bbr";
  auto vtl_b = run(b, kSplitTcpOfSiteB);
  auto vtl_a = run_example(a, "split-tcp.yaml");
  with_connection([&] {
    const auto near = ask(a, "flows")["flows"];
    ASSERT_EQ(near.size(), 1U) << near;
    EXPECT_EQ(near[0]["bytes_out"], 26);
    EXPECT_EQ(near[0]["transform"], "tcp to siteb");
    const auto far = ask(b, "flows")["flows"];
    ASSERT_EQ(far.size(), 1U) << far;
    EXPECT_EQ(far[0]["transform"], "tcp from sitea");
    for (const lab::Host* host : {&a, &b}) {
      const auto sockets = must(host->output_of({"ss", "-tinH", "state", "established"}));
      EXPECT_THAT(sockets, testing::HasSubstr(":9000")) << host->name();
      EXPECT_THAT(sockets, testing::HasSubstr("bbr")) << host->name();
    }
  });
  EXPECT_TRUE(must(vtl_a.stop()).ok()) << vtl_a.errors();
  EXPECT_TRUE(must(vtl_b.stop()).ok()) << vtl_b.errors();
}

TEST_F(ConfExamples, WanIsALongLineThatTellsItsNumbers) {
  lab::Host& wan = *must(lab_.add_host("wan", {.ipv6 = lab::Ipv6::kNoNoise}));
  must(lab_.connect({*client_, "eth0"}, {wan, "a0"}));
  must(lab_.connect({wan, "b0"}, {*server_, "eth0"}));
  address_guests();
  auto vtl = run_as_it_stands(wan, "wan.yaml");
  // "rtt min/avg/max/mdev = 60.3/..." One answer is enough: the line loses some.
  const auto ping = must(client_->output_of({"ping", "-c", "1", "-w", "20", "10.0.0.2"}));
  const auto at = ping.find("mdev = ");
  ASSERT_NE(at, std::string::npos) << ping;
  EXPECT_GE(std::stod(ping.substr(at + 7)), 60.0) << ping;
  with_connection([&] {
    const auto flows = ask(wan, "flows", "/run/vtl/vtl.sock")["flows"];
    ASSERT_EQ(flows.size(), 1U) << flows;
    EXPECT_EQ(flows[0]["bytes_out"], 26);
  });
  const auto metrics =
      must(wan.output_of({"curl", "--silent", "--fail", "http://127.0.0.1:9464/metrics"}));
  EXPECT_THAT(metrics, testing::HasSubstr("impair"));
  EXPECT_TRUE(must(vtl.stop()).ok()) << vtl.errors();
}

TEST_F(ConfExamples, ASharedUplinkServesAMachineOnASocketAndAGuestOnATap) {
  // A process that has changed its user may not be traced, which the leak checker does at the end.
  setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
  lab::Host& host = *must(lab_.add_host("vtl", {.ipv6 = lab::Ipv6::kNoNoise}));
  must(lab_.connect({host, "eth0"}, {*server_, "eth0"}));
  must(server_->ip("addr add 10.0.0.2/24 dev eth0"));
  auto vtl = run_example(host, "shared-uplink.yaml");
  unsetenv("ASAN_OPTIONS");
  must(host.ip("link set tap-vm2 netns client"));
  must(client_->ip("addr add 10.0.0.8/24 dev tap-vm2\nlink set tap-vm2 up"));
  must(client_->wait_for_carrier("tap-vm2"));

  const auto file = lab_.folder() / "file";
  std::ofstream(file) << std::string(300'000, 'x') << "the end\n";
  const auto hash = must(server_->output_of({"sha256sum", file.string()})).substr(0, 64);
  auto web = must(server_->start(
      {.argv = {"busybox", "httpd", "-f", "-p", "80", "-h", lab_.folder().string()}}));
  must(web.wait_for_port(lab::Protocol::kTcp, 80, kBound));
  // The machine reaches the server through the uplink, and the other guest without it.
  auto machine = must(lab::VirtualMachine::start(
      host,
      {.netdev_type = lab::Netdev::kUnixSocket,
       .netdev = "/run/vtl/vm1.sock",
       .address = "10.0.0.7/24",
       .script = "ping -c 1 -W 20 10.0.0.8 && wget -q http://10.0.0.2/file && sha256sum file"}));
  const auto fetched = must(client_->output_of(
      {"sh", "-c", "curl --silent --show-error --fail http://10.0.0.2/file | sha256sum"}));
  EXPECT_EQ(fetched.substr(0, 64), hash);
  const auto result = must(machine.wait(120s));
  EXPECT_EQ(result.status, 0) << result.console;
  EXPECT_THAT(result.console, testing::HasSubstr(hash));

  const auto uplink = ask(host, "stats")["uplinks"][0];
  EXPECT_EQ(uplink["interface"], "uplink");
  EXPECT_GT(uplink["hairpin"], 0) << "the guests' ping";
  EXPECT_GT(uplink["forwarded"], 0);
  EXPECT_TRUE(must(vtl.stop()).ok()) << vtl.errors();
}

TEST_F(ConfExamples, ReplayLosesAndDoublesTheSameFramesEachTime) {
  constexpr std::size_t kFrames = 3000;
  using Frames = std::vector<test::Octets>;
  const auto replay = [&](const std::string& name) {
    lab::Host& host = *must(lab_.add_host(name));
    PacketPool pool;
    {
      auto before =
          must(iface::open_pcap_file({.write = (host.folder() / "before.pcapng").string()}));
      for (std::uint32_t i = 0; i < kFrames; ++i) {
        Batch one;
        one.push_back(pool.copy_of(
            test::make_frame({.protocol = 17, .seq = i, .payload = test::pattern(8, i)})));
        EXPECT_EQ(before->write(one), 1U);
      }
    }
    auto vtl = run_as_it_stands(host, "replay.yaml");
    must(vtl.wait_for_line("interface 'before' will deliver no more frames", kBound));
    EXPECT_TRUE(must(vtl.stop()).ok()) << vtl.errors();
    auto after = must(iface::open_pcap_file({.read = (host.folder() / "after.pcapng").string()}));
    Frames out;
    for (auto status = iface::ReadStatus::kOk; status != iface::ReadStatus::kClosed;) {
      Batch batch;
      status = after->read(pool, Time{}, batch);
      for (const Packet& p : batch) out.emplace_back(p.bytes().begin(), p.bytes().end());
    }
    after.reset();
    return out;
  };
  const Frames first = replay("first");
  const Frames second = replay("second");
  EXPECT_TRUE(first == second) << "the same seed, the same frames";
  const std::set<test::Octets> different(first.begin(), first.end());
  const std::size_t lost = kFrames - different.size(), doubled = first.size() - different.size();
  // 1 % of 3000 each; what is more than five standard deviations away is another share.
  EXPECT_NEAR(static_cast<double>(lost), 30, 28);
  EXPECT_NEAR(static_cast<double>(doubled), 30, 28);
}

}  // namespace
}  // namespace vtl
