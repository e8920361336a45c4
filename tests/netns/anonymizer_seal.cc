// What keeps a guest and the host of its VTL apart, whatever becomes of that VTL: neither hears the
// other, be VTL running, ended, killed, or started twice.
//
// Drawing: tests/support/anonymizer_lab.h. What VTL says to the guest carries its own MAC address;
// a capture inside the guest counts all that does not.
//
// covers: vtl unseal

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "lab/capture.h"
#include "lab/must.h"
#include "lab/vtl_program.h"
#include "lab/wait.h"
#include "tests/support/anonymizer_lab.h"

namespace vtl::test {
namespace {

using lab::must;
using lab::WebServer;
using testing::HasSubstr;

/// What a host says on a device by itself and when it is asked to; the guest's MAC address is the
/// argument.
constexpr const char* kHostSpeaks = R"(
import sys
from scapy.all import *
guest = sys.argv[1]
s = conf.L2socket(iface="guest0")
said = 0
for mac in ["ff:ff:ff:ff:ff:ff", guest, "33:33:00:00:00:02", "01:00:5e:00:00:fb"]:
    for f in [ARP(pdst="10.137.0.9"), ARP(op=2, psrc="10.137.0.1", pdst="10.137.0.9"),
              IP(dst="10.137.0.9") / ICMP(), IP(dst="10.137.0.9") / TCP(dport=22),
              IP(dst="255.255.255.255") / UDP(sport=67, dport=68) / BOOTP(op=2),
              IPv6(src="fe80::50", dst="ff02::2") / ICMPv6ND_RS(),
              IPv6(src="fe80::50", dst="ff02::1") / ICMPv6ND_RA(),
              IPv6(src="fe80::50", dst="ff02::16") / ICMPv6MLReport2()]:
        try:
            s.send(Ether(dst=mac) / f)
        except OSError:
            pass  # the kernel tells who sends that a filter dropped it
        said += 1
print(said, "frames")
)";

class AnonymizerSeal : public testing::Test {
 protected:
  AnonymizerSeal() {
    std::ofstream(script_) << kHostSpeaks;
    expect_works();
    vtl_mac_ = lab_.vtl_mac();
  }

  /// What the guest hears of anybody but VTL.
  lab::Capture watch_guest() {
    return must(lab::Capture::start(lab_.guest(), "eth0",
                                    {.file = lab_.lab().folder() / fmt::format("{}.pcap", ++files_),
                                     .filter = fmt::format("not ether src {}", vtl_mac_),
                                     .direction = lab::CaptureDirection::kIn}));
  }

  /// The host itself, its programs and its neighbours do what could reach the guest.
  void host_speaks() {
    const auto guest = to_string(must(lab_.guest().mac("eth0")));
    must(
        lab_.host().ip(fmt::format("neigh replace 10.50.0.9 lladdr {} dev guest0 nud permanent\n"
                                   "addr replace fe80::50/64 dev guest0",
                                   guest)));
    for (const char* to : {"10.50.0.9", "10.50.0.10", "ff02::1%guest0"})
      static_cast<void>(lab_.host().output_of({"ping", "-c", "1", "-W", "1", to}));
    must(lab_.host().output_of({"/usr/bin/python3", script_.string(), guest}));
    must(lab_.host().ip("addr del fe80::50/64 dev guest0"));
  }
  void expect_guest_hears_vtl_alone() {
    auto heard = watch_guest();
    host_speaks();
    const auto result = heard.stop();
    EXPECT_EQ(result.frames, 0U) << result.file;
    EXPECT_EQ(result.dropped, 0U);
  }
  /// The host has an address on the guest's device, and serves there.
  void expect_host_hears_nothing() {
    EXPECT_FALSE(lab_.guest_runs({"ping", "-c", "1", "-W", "1", "10.50.0.1"}));
    EXPECT_EQ(must(lab_.host().output_of({"ip", "neigh", "show", "dev", "guest0", "nud",
                                          "reachable", "nud", "stale", "nud", "delay"})),
              "");
  }
  void expect_works() { EXPECT_EQ(must(lab_.curl("http://server.example/")), WebServer::kIndex); }
  std::string filters() {
    return must(lab_.host().output_of({"tc", "filter", "show", "dev", "guest0", "ingress"})) +
           must(lab_.host().output_of({"tc", "filter", "show", "dev", "guest0", "egress"}));
  }

  AnonymizerLab lab_;
  std::filesystem::path script_ = lab_.lab().folder() / "speak.py";
  /// As `vtl COMMAND --json` tells of the guest's interface.
  nlohmann::json interface(const std::string& command) {
    return nlohmann::json::parse(must(lab_.ask({command}))).at("interfaces").at(0);
  }

  std::string vtl_mac_;
  int files_ = 0;
};

TEST_F(AnonymizerSeal, TheGuestHearsNothingOfARunningVtlsHost) {
  expect_guest_hears_vtl_alone();
  expect_works();
}

TEST_F(AnonymizerSeal, TheGuestHearsNothingThatABridgeFloods) {
  auto& other = *must(lab_.lab().add_host("other"));
  must(lab_.lab().connect({other, "eth0"}, {lab_.host(), "other0"}));
  must(other.ip("addr add 10.137.0.77/24 dev eth0"));
  must(lab_.host().add_bridge("br0", {"guest0", "other0"}));
  auto heard = watch_guest();
  EXPECT_FALSE(other.output_of({"ping", "-c", "2", "-W", "1", "10.137.0.9"}));
  // The bridge itself may answer.
  static_cast<void>(other.output_of({"ping", "-c", "1", "-W", "1", "ff02::1%eth0"}));
  expect_works();
  const auto result = heard.stop();
  EXPECT_EQ(result.frames, 0U) << result.file;
}

TEST_F(AnonymizerSeal, TheGuestHearsNothingWhenVtlWasKilled) {
  lab_.kill_vtl();
  expect_guest_hears_vtl_alone();
  expect_host_hears_nothing();
  lab_.start_vtl();
  expect_works();
}

TEST_F(AnonymizerSeal, AnOrderlyStopAndARestartThatFailsLeaveTheGuestCutOff) {
  must(lab_.vtl().stop());
  expect_guest_hears_vtl_alone();
  expect_host_hears_nothing();
  const auto broken = lab_.lab().folder() / "broken.yaml";
  const auto expect_failure = [&](const char* interfaces, int code) {
    std::ofstream(broken) << "control: { socket: /run/broken.sock }\ninterfaces:\n" << interfaces;
    auto run =
        must(lab_.host().start({.argv = {lab::vtl_binary().string(), "run", broken.string()}}));
    EXPECT_EQ(must(run.wait(30s)).code, code) << run.errors();
  };
  expect_failure("  vm1: { type: af_packet, device: guest0, seal: maybe }\n", 2);
  // Sealed by then, and ended by the next device.
  expect_failure(
      "  vm1: { type: af_packet, device: guest0, seal: on }\n"
      "  vm2: { type: af_packet, device: absent0 }\n"
      "links: [ { name: vm1, guest: vm1, network: vm2, services: [ bridge ] } ]\n",
      1);
  EXPECT_FALSE(lab_.guest_runs({"ping", "-c", "1", "-W", "1", "10.50.0.1"}));
  auto heard = watch_guest();
  EXPECT_FALSE(lab_.host().output_of({"ping", "-c", "1", "-W", "1", "10.50.0.9"}));
  EXPECT_EQ(heard.stop().frames, 0U);
}

// The second one has the first's file, or another with the same device.
TEST_F(AnonymizerSeal, ASecondVtlFailsAndTouchesNothingOfTheFirst) {
  const auto before = filters();
  const auto file = lab_.host().folder() / "vtl-vtl.yaml";
  const auto second = [&](const std::filesystem::path& config) {
    auto run = must(lab_.host().start(
        {.argv = {lab::vtl_binary().string(), "run", config.string()}, .name = "second"}));
    EXPECT_EQ(must(run.wait(30s)).code, 1);
    return run.errors();
  };
  EXPECT_THAT(second(file), HasSubstr("another vtl is running with it"));
  std::ifstream in(file);
  std::string text{std::istreambuf_iterator<char>(in), {}};
  const std::string socket = "socket: /run/vtl.sock";
  text.replace(text.find(socket), socket.size(), "socket: /run/vtl-second.sock");
  const auto other = lab_.host().folder() / "other.yaml";
  std::ofstream(other) << text;
  EXPECT_THAT(second(other),
              HasSubstr("another process, a running vtl most likely, has the claim on it"));
  EXPECT_EQ(filters(), before);
  expect_works();
  expect_guest_hears_vtl_alone();
}

TEST_F(AnonymizerSeal, AFilterThatIsTakenAwayWhileVtlRunsIsPutBack) {
  EXPECT_TRUE(interface("status").at("sealed").get<bool>());
  int lost = 0;
  for (const std::vector<std::string>& what :
       {std::vector<std::string>{"filter", "del", "dev", "guest0", "ingress", "pref", "1"},
        {"filter", "del", "dev", "guest0", "egress", "pref", "1"},
        {"qdisc", "del", "dev", "guest0", "clsact"}}) {
    std::vector<std::string> tc{"tc"};
    tc.insert(tc.end(), what.begin(), what.end());
    must(lab_.host().run({.argv = tc}));
    ++lost;
    EXPECT_TRUE(
        lab::wait_until([&] { return interface("stats").at("reseals").get<int>() == lost; }, 20s))
        << interface("stats");
    EXPECT_TRUE(interface("status").at("sealed").get<bool>());
  }
  expect_works();
  expect_guest_hears_vtl_alone();
  expect_host_hears_nothing();
}

TEST_F(AnonymizerSeal, ADeviceThatIsMadeAgainIsSealedAndUsedWithoutARestart) {
  for (int round = 1; round <= 2; ++round) {
    must(lab_.host().ip("link del guest0"));
    EXPECT_TRUE(
        lab::wait_until([&] { return !interface("status").at("sealed").get<bool>(); }, 20s));
    const auto gone = interface("status");
    EXPECT_EQ(gone.at("state"), "down");
    EXPECT_THAT(gone.at("unsealed_because").get<std::string>(), HasSubstr("the device has gone"));
    EXPECT_THAT(must(lab_.host().output_of(
                    {lab::vtl_binary().string(), "status", "--socket", "/run/vtl.sock"})),
                HasSubstr("interface 'vm1' is not sealed: the device has gone"));
    must(lab_.lab().connect({lab_.guest(), "eth0"}, {lab_.host(), "guest0"}));
    EXPECT_TRUE(lab::wait_until(
        [&] {
          const auto now = interface("status");
          return now.at("sealed").get<bool>() && now.at("state") == "up";
        },
        20s))
        << interface("status");
    must(lab_.host().ip("addr add 10.50.0.1/24 dev guest0"));
    must(lab_.guest().ip("addr add 10.137.0.9/24 dev eth0\nroute add default via 10.137.0.1"));
    expect_works();
  }
  EXPECT_EQ(interface("stats").at("reseals").get<int>(), 0) << "nobody has broken a seal";
  expect_guest_hears_vtl_alone();
  expect_host_hears_nothing();
}

TEST_F(AnonymizerSeal, ASealThatIsLeftIsTakenAwayByItsOwnCommand) {
  const auto unseal = [&](const char* device) {
    auto run = must(lab_.host().start(
        {.argv = {lab::vtl_binary().string(), "unseal", device}, .name = "unseal"}));
    const int code = must(run.wait(30s)).code;
    return fmt::format("{} {}{}", code, run.output(), run.errors());
  };
  EXPECT_EQ(
      unseal("guest0"),
      "1 vtl: unseal guest0: another process, a running vtl most likely, has the claim on it; "
      "stop that one first: vtl stop (ss -xlp | grep vtl-seal-guest0)\n");
  expect_works();
  must(lab_.vtl().stop());
  EXPECT_NE(filters(), "");
  EXPECT_EQ(unseal("guest0"), "0 guest0: unsealed: guest and host reach each other\n");
  EXPECT_EQ(filters(), "");
  EXPECT_EQ(unseal("guest0"), "0 guest0: there was no seal\n");
  EXPECT_EQ(unseal("guest7").substr(0, 1), "1");
}

// That the capture above would see: without the seal the guest hears the host.
TEST_F(AnonymizerSeal, TheWatchSeesWhatItIsToSee) {
  lab_.kill_vtl();
  must(lab_.host().run({.argv = {"tc", "filter", "del", "dev", "guest0", "egress", "pref", "1"}}));
  auto heard = watch_guest();
  host_speaks();
  EXPECT_GT(heard.stop().frames, 30U);
}

}  // namespace
}  // namespace vtl::test
