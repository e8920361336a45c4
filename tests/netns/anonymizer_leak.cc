// A guest does its worst, and nothing but VTL's own connection to the proxy is on any wire of the
// host, which answers nothing.
//
// Drawing: tests/support/anonymizer_lab.h. The guest is on a veth, on a tap as a virtual machine
// has it, or on VTL's own tap. What must not be is counted by captures whose filters let pass just
// that: so each of them ends with no frame.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "lab/capture.h"
#include "lab/must.h"
#include "lab/wait.h"
#include "tests/support/anonymizer_lab.h"

namespace vtl::test {
namespace {

using lab::must;
using lab::WebServer;
using testing::HasSubstr;

/// Every kind of frame to every MAC address and address that might be worth trying. The guest's
/// own, the host's, the proxy's and VTL's MAC addresses are its arguments.
constexpr const char* kWorst = R"(
import sys
from scapy.all import *
own, host, proxy, vtl = sys.argv[1:5]
hosts_own = ["10.50.0.1", "10.40.0.2", "127.0.0.1"]
beyond = ["10.40.0.1", "10.30.0.1", "8.8.8.8", "10.137.0.1", "198.18.0.1"]
group = ["255.255.255.255", "224.0.0.251", "239.255.255.250", "10.50.0.255", "10.137.0.255"]
sources = ["10.137.0.9", "10.40.0.1", "10.40.0.2", "127.0.0.1", "10.30.0.1", "0.0.0.0", "10.50.0.7"]
payloads = [
    UDP(sport=4000, dport=9) / b"datagram", UDP(sport=4000, dport=443) / b"\xc0\x00\x00\x00\x01quic",
    UDP(sport=4000, dport=7777) / b"x", UDP(sport=1900, dport=1900) / b"M-SEARCH * HTTP/1.1\r\n\r\n",
    UDP(sport=5353, dport=5353) / DNS(rd=1, qd=DNSQR(qname="x.local")),
    UDP(sport=123, dport=123) / bytes(48), UDP(sport=68, dport=67) / b"no dhcp",
    TCP(sport=4001, dport=7777, flags="S"), TCP(sport=4002, dport=7777, flags="A"),
    TCP(sport=1080, dport=40000, flags="R"), TCP(sport=4003, dport=22, flags="FPU"),
    ICMP() / b"echo", ICMP(type=13), ICMP(type=5, gw="10.137.0.9") / IP() / UDP(),
    ICMP(type=3, code=4, nexthopmtu=68) / IP(src="10.40.0.2", dst="10.40.0.1") / TCP(dport=1080),
]
frames = []
for mac in ["ff:ff:ff:ff:ff:ff", host, proxy, vtl, "01:00:5e:00:00:fb"]:
    for to in hosts_own + beyond + group:
        for p in payloads:
            frames.append(Ether(src=own, dst=mac) / IP(src="10.137.0.9", dst=to) / p)
        for proto in (0, 2, 4, 41, 47, 50, 89, 132, 255):
            frames.append(Ether(src=own, dst=mac) / IP(src="10.137.0.9", dst=to, proto=proto) / bytes(24))
        frames += [Ether(src=own, dst=mac) / f for f in
                   fragment(IP(src="10.137.0.9", dst=to) / UDP(dport=9) / bytes(200), 64)]
        frames.append(Ether(src=own, dst=mac) / IP(src="10.137.0.9", dst=to,
                      options=[IPOption_LSRR(routers=["10.40.0.1"])]) / TCP(dport=7777, flags="S"))
        for source in sources:
            frames.append(Ether(src=own, dst=mac) / IP(src=source, dst=to) / TCP(dport=7777, flags="S"))
            frames.append(Ether(src=proxy, dst=mac) / IP(src=source, dst=to) / UDP(dport=9) / b"spoofed")
            frames.append(Ether(src=host, dst=mac) / IP(src=source, dst=to) / ICMP())
    for to in ["ff02::1", "ff02::fb", "fe80::1", "fd30::1", "::1", "2001:db8::1"]:
        for p in [ICMPv6EchoRequest(), ICMPv6ND_NS(tgt="fd30::1"), ICMPv6ND_RS(), ICMPv6ND_RA(),
                  UDP(dport=53) / DNS(rd=1, qd=DNSQR(qname="leak.example")), UDP(dport=443) / b"q",
                  TCP(dport=7777, flags="S"), IPv6ExtHdrFragment() / bytes(16)]:
            frames.append(Ether(src=own, dst=mac) / IPv6(src="fe80::9", dst=to) / p)
    for kind in (0x0800, 0x0806, 0x86dd, 0x8100, 0x8847, 0x8863, 0x888e, 0x88a8, 0x88cc, 0x9000, 0x0026):
        frames.append(Ether(src=own, dst=mac, type=kind) / bytes(46))
    frames.append(Ether(src=own, dst=mac) / Dot1Q(vlan=7) / IP(src="10.137.0.9", dst="10.50.0.1") / ICMP())
    for who in hosts_own + beyond:
        frames.append(Ether(src=own, dst=mac) / ARP(op=1, hwsrc=own, psrc="10.50.0.7", pdst=who))
        frames.append(Ether(src=own, dst=mac) / ARP(op=2, hwsrc=own, psrc=who, hwdst=host, pdst="10.50.0.1"))
for resolver in hosts_own + beyond + group:
    for name in ("leak.example", "x" * 60 + ".example"):
        for kind in ("A", "AAAA", "MX", "TXT", "ANY", "AXFR"):
            frames.append(Ether(src=own, dst=host) / IP(src="10.137.0.9", dst=resolver) /
                          UDP(sport=5000, dport=53) / DNS(rd=1, qd=DNSQR(qname=name, qtype=kind)))
s = conf.L2socket(iface="eth0")
for f in frames:
    s.send(f)
print(len(frames), "frames")
)";

int occurrences(const std::string& text, std::string_view part) {
  int count = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

bool has(const lab::Host& host, const std::string& device) {
  const auto devices = host.devices();
  return std::ranges::find(devices, device) != devices.end();
}

class LeakLab : public testing::Test {
 protected:
  explicit LeakLab(GuestDevice device) : lab_({.guest_device = device}) {
    std::ofstream(script_) << kWorst;
    EXPECT_EQ(must(lab_.curl("http://server.example/")), WebServer::kIndex);
    vtl_mac_ = lab_.vtl_mac();
    // The host's own report of the groups that it listens to, when a device comes up, is no leak.
    forbid("another frame toward the proxy", "up0", "up0",
           "not (tcp port 1080 and host 10.40.0.1 and host 10.40.0.2) and not dst host ff02::16");
    forbid("a frame on the loopback device", "lo", "lo", "");
    if (device == GuestDevice::kTap)
      seen_.emplace(watch(lab_.guest(), "eth0", "from-guest", "", lab::CaptureDirection::kOut));
    else
      seen_.emplace(watch(lab_.host(), "guest0", "from-guest", "", lab::CaptureDirection::kIn));
    for (const char* command :
         {"add table inet watch",
          "add chain inet watch first { type filter hook prerouting priority -300; }",
          "add rule inet watch first iifname != up0 counter", "add table arp watch",
          "add chain arp watch first { type filter hook input priority -300; }",
          "add rule arp watch first iifname != up0 counter"})
      must(lab_.host().run({.argv = {"nft", command}}));
  }

  lab::Capture watch(lab::Host& at, const std::string& device, const std::string& name,
                     const std::string& filter, lab::CaptureDirection direction) {
    return must(lab::Capture::start(at, device,
                                    {.file = lab_.lab().folder() / fmt::format("{}.pcap", name),
                                     .filter = filter,
                                     .direction = direction}));
  }
  /// From now on: no frame of the host's device that `filter` lets pass.
  void forbid(const std::string& what, const std::string& device, const std::string& name,
              const std::string& filter,
              lab::CaptureDirection direction = lab::CaptureDirection::kBoth) {
    captures_.emplace(what, watch(lab_.host(), device, name, filter, direction));
  }

  /// Answers how many frames the guest sent.
  std::uint64_t do_worst() {
    const auto mac = [](lab::Host& host, const char* device) {
      return to_string(must(host.mac(device)));
    };
    const auto before = seen_->frames();
    const auto said =
        must(lab_.guest_runs({"/usr/bin/python3", script_.string(), mac(lab_.guest(), "eth0"),
                              mac(lab_.host(), "guest0"), mac(lab_.host(), "up0"), vtl_mac_},
                             120s));
    const auto sent = std::stoull(said);
    EXPECT_GT(sent, 2000U);
    EXPECT_TRUE(lab::wait_until([&] { return seen_->frames() >= before + sent; }, 30s))
        << before << " before, " << sent << " sent, " << seen_->frames() << " seen";
    return sent;
  }

  /// The guest asks anew who its gateway is.
  bool ping(const char* to) {
    static_cast<void>(lab_.guest_runs({"ip", "neigh", "flush", "dev", "eth0"}));
    return lab_.guest_runs({"ping", "-c", "1", "-W", "1", to}).has_value();
  }
  void try_programs() {
    for (const char* url : {"http://10.50.0.1:7777/hosts", "http://10.40.0.2:7777/hosts",
                            "http://10.40.0.1:1080/", "http://localhost.:7777/hosts"})
      EXPECT_FALSE(lab_.curl(url, {"--max-time", "3"})) << url;
    for (const char* to : {"10.50.0.1", "10.40.0.2", "10.40.0.1"}) EXPECT_FALSE(ping(to)) << to;
  }

  void expect_nothing_leaked() {
    for (auto& [what, capture] : captures_) {
      const auto result = capture.stop();
      EXPECT_EQ(result.frames, 0U) << what << ": " << result.file;
      EXPECT_EQ(result.dropped, 0U);
    }
    // VTL's socket reads a frame before the host's stack does, which counts those that it is given.
    const auto counted = must(lab_.host().output_of({"nft", "list", "ruleset"}));
    EXPECT_EQ(occurrences(counted, "counter packets 0 bytes 0"), 2) << counted;
    std::istringstream neighbours(must(lab_.host().output_of({"ip", "neigh", "show"})));
    for (std::string line; std::getline(neighbours, line);)
      EXPECT_THAT(line, HasSubstr(" dev up0 ")) << "the host has learned of the guest";
  }

  void expect_watch_sees() {
    EXPECT_FALSE(ping("10.50.0.1"));
    const auto counted = must(lab_.host().output_of({"nft", "list", "ruleset"}));
    EXPECT_LT(occurrences(counted, "counter packets 0 bytes 0"), 2) << counted;
  }

  AnonymizerLab lab_;
  std::filesystem::path script_ = lab_.lab().folder() / "worst.py";
  std::map<std::string, lab::Capture> captures_;
  std::optional<lab::Capture> seen_;
  std::string vtl_mac_;
};

class AnonymizerLeak : public LeakLab, public testing::WithParamInterface<GuestDevice> {
 protected:
  AnonymizerLeak() : LeakLab(GetParam()) {}
};
/// Where the guest's device outlives VTL.
using AnonymizerLeakSealed = AnonymizerLeak;

class AnonymizerLeakTap : public LeakLab {
 protected:
  AnonymizerLeakTap() : LeakLab(GuestDevice::kTap) {}
};
class AnonymizerLeakBridgedTap : public LeakLab {
 protected:
  AnonymizerLeakBridgedTap() : LeakLab(GuestDevice::kBridgedTap) {}
};

TEST_P(AnonymizerLeak, AGuestThatDoesItsWorst) {
  do_worst();
  try_programs();
  EXPECT_EQ(must(lab_.curl("http://server.example/")), WebServer::kIndex) << "and still works";
  for (const char* reason :
       {"blocked-udp", "blocked-quic", "blocked-icmp", "blocked-group", "blocked-ipv6",
        "blocked-fragment", "blocked-protocol", "blocked-ethertype"})
    EXPECT_GT(lab_.drops(reason), 0) << reason;
  expect_nothing_leaked();
}

TEST_P(AnonymizerLeak, WithoutAProxy) {
  lab_.kill_proxy();
  do_worst();
  try_programs();
  EXPECT_FALSE(lab_.curl("http://server.example/", {"--max-time", "5"}));
  expect_nothing_leaked();
}

TEST_P(AnonymizerLeakSealed, WhenVtlHasCrashed) {
  lab_.kill_vtl();
  forbid("a frame of the host's to the guest", "guest0", "guest0", "", lab::CaptureDirection::kOut);
  do_worst();
  try_programs();
  expect_nothing_leaked();
}

TEST_F(AnonymizerLeakTap, WhenVtlHasCrashedTheDeviceIsGone) {
  lab_.kill_vtl();
  EXPECT_TRUE(lab::wait_until([&] { return !has(lab_.guest(), "eth0"); }, 20s));
  try_programs();
  EXPECT_FALSE(lab_.curl("http://server.example/", {"--max-time", "5"}));
  expect_nothing_leaked();
}

// That the counters above would count: without VTL and its seal the host sees the guest, and beside
// VTL a bridge does.
TEST_P(AnonymizerLeakSealed, TheWatchSeesWhatItIsToSee) {
  lab_.kill_vtl();
  must(lab_.host().run({.argv = {"tc", "filter", "del", "dev", "guest0", "ingress", "pref", "1"}}));
  expect_watch_sees();
}
TEST_F(AnonymizerLeakBridgedTap, TheWatchSeesWhatTheBridgeHears) {
  expect_watch_sees();
}

std::string name_of(const testing::TestParamInfo<GuestDevice>& info) {
  switch (info.param) {
    case GuestDevice::kVeth:
      return "Veth";
    case GuestDevice::kVmTap:
      return "VmTap";
    case GuestDevice::kTap:
      return "Tap";
    case GuestDevice::kBridgedTap:
      break;
  }
  return "BridgedTap";
}
INSTANTIATE_TEST_SUITE_P(Guests, AnonymizerLeak,
                         testing::Values(GuestDevice::kVeth, GuestDevice::kVmTap,
                                         GuestDevice::kTap),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Guests, AnonymizerLeakSealed,
                         testing::Values(GuestDevice::kVeth, GuestDevice::kVmTap), name_of);

}  // namespace
}  // namespace vtl::test
