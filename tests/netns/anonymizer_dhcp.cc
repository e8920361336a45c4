// A guest that lies to the DHCP server in every way, and an honest one after it.
//
// Drawing: tests/support/anonymizer_lab.h; the guest's network has 13 addresses to give.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "lab/must.h"
#include "tests/support/anonymizer_lab.h"

namespace vtl::test {
namespace {

using lab::must;
using lab::WebServer;

constexpr const char* kHostile = R"(
from scapy.all import *
conf.verb = 0
everybody = "ff:ff:ff:ff:ff:ff"
cookie = b"\x63\x82\x53\x63"
def mac(i):
    return "02:00:00:00:%02x:%02x" % (i // 256, i % 256)
def below(i, source="0.0.0.0"):
    return Ether(src=mac(i), dst=everybody) / IP(src=source, dst="255.255.255.255") / UDP(sport=68, dport=67)
def bootp(i, **fields):
    return BOOTP(chaddr=bytes.fromhex(mac(i).replace(":", "")), xid=i, **fields)
def dhcp(i, kind, *options, source="0.0.0.0", **fields):
    return below(i, source) / bootp(i, **fields) / DHCP(options=[("message-type", kind), *options, "end"])
def raw(i, options, **fields):
    return below(i) / (bytes(bootp(i, **fields)) + options)
frames = []
whole = bytes(bootp(1)) + cookie + b"\x35\x01\x01\x3d\x07\x01\x02\x00\x00\x00\x00\x01\x37\x03\x01\x03\x06\xff"
for length in range(len(whole)):
    frames.append(below(1) / whole[:length])
for options in (b"", cookie, cookie + b"\xff", cookie + b"\x35", cookie + b"\x35\xff", cookie + b"\x35\x00\xff",
                cookie + b"\x35\x02\x01\x01\xff", cookie + b"\x35\x01\x09\xff", cookie + b"\x35\x01\x00\xff",
                b"\x00\x00\x00\x00\x35\x01\x01\xff", cookie + b"\x35\x01\x01" + b"\x00" * 900,
                cookie + b"\x35\x01\x01" * 300, cookie + b"\x35\x01\x01\x34\x01\x03\xff",
                cookie + b"\x35\x01\x01\x3d\xff" + b"c" * 255 + b"\xff", cookie + b"\x35\x01\x01\x3d\x00\xff",
                cookie + b"\x35\x01\x03\x32\x04\x0a\x89\x00\xff", cookie + b"\x35\x01\x03\x32\x02\x0a\x89\xff"):
    frames.append(raw(2, options))
    frames.append(raw(2, options, hlen=0))
    frames.append(raw(2, options, hlen=255))
    frames.append(raw(2, options, htype=255))
    frames.append(raw(2, options, op=2))
    frames.append(raw(2, options, giaddr="10.137.0.3"))
    frames.append(raw(2, options, sname=b"\x35\x01\x01" * 21, file=b"\xff" * 128))
ours = ["10.137.0.%d" % n for n in range(16)]
for i, address in enumerate(ours + ["0.0.0.0", "255.255.255.255", "127.0.0.1", "10.40.0.2", "224.0.0.1"]):
    for server in ("10.137.0.1", "10.137.0.9", "0.0.0.0"):
        named = ("server_id", server)
        frames.append(dhcp(i, "request", ("requested_addr", address), named))
        frames.append(dhcp(i, "decline", ("requested_addr", address), named))
        frames.append(dhcp(i, "release", named, source=address, ciaddr=address))
        for kind in ("offer", "ack", "nak"):
            frames.append(dhcp(i, kind, ("requested_addr", address), named))
    frames.append(dhcp(i, "inform", source=address, ciaddr=address))
for i in range(1000, 1300):
    frames.append(dhcp(i, "discover"))
    frames.append(dhcp(i, "discover", ("client_id", bytes([i % 256]) * 255), ("requested_addr", "10.137.0.1")))
sendp(frames, iface="eth0")
print(len(frames))
)";

TEST(AnonymizerDhcp, AHostileClientCostsNoMoreThanTheBounds) {
  AnonymizerLab lab({.service_extra = ", guest_network: 10.137.0.0/28", .configure_guest = false});
  const auto hostile = lab.lab().folder() / "hostile.py";
  std::ofstream(hostile) << kHostile;
  const auto sent = must(lab.guest_runs({"/usr/bin/python3", hostile.string()}, 300s));
  EXPECT_GT(std::stoi(sent), 1000);
  EXPECT_GT(lab.metric("dhcp_exhausted_total"), 0);
  EXPECT_GT(lab.metric("dhcp_ignored_total"), 300);
  EXPECT_GT(lab.metric("dhcp_naks_total"), 0);
  EXPECT_LE(lab.metric("dhcp_leases"), 13);

  // What was offered and not taken comes free again.
  const auto address = must(lab.ask_for_address({"-t", "60", "-T", "1"}, 120s));
  EXPECT_THAT(address, testing::ContainsRegex("10\\.137\\.0\\.[0-9]+ 10\\.137\\.0\\.1 "));
  EXPECT_EQ(must(lab.curl("http://server.example/")), WebServer::kIndex);
}

}  // namespace
}  // namespace vtl::test
