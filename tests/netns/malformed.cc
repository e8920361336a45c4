// Malformed frames from a hostile guest, on real devices through the program as users run it: a
// bridge, and a gateway with its filter and the emulated path (impair) behind it. None is lost
// uncounted, and connections go on and are opened as before.

#include <gtest/gtest.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>

#include "lab/lab.h"
#include "lab/must.h"
#include "lab/vtl_program.h"
#include "lab/wait.h"
#include "tests/netns/streams.h"
#include "tests/support/gateway_lab.h"
#include "tests/support/malformed_frames.h"
#include "tests/support/tcp_peer.h"

namespace vtl::test {
namespace {

using lab::must;
using nlohmann::json;

constexpr std::uint16_t kPort = 5000;
constexpr std::uint64_t kSome = 1'000'000;

// Frames that a device delivers: the receiving kernel takes the tag off a tagged frame, and lets
// one go that has no room for a tag and an EtherType behind it, before any program sees it.
std::vector<MalformedFrame> deliverable_frames() {
  constexpr std::size_t kTagged = ETH_HLEN + 4 + 2;
  auto frames = MalformedFrames::make(ETH_HLEN);
  std::erase_if(frames, [](const MalformedFrame& f) {
    const std::uint16_t type = load_be16(f.octets, 12);
    return (type == ETH_P_8021Q || type == ETH_P_8021AD) && f.octets.size() < kTagged;
  });
  return frames;
}

// Sends octets as they are from a device of a host.
class RawSender {
 public:
  RawSender(const lab::Host& host, const std::string& device) {
    const auto inside = host.enter();
    fd_ = lab::Fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
    sockaddr_ll name{};
    name.sll_family = AF_PACKET;
    name.sll_ifindex = static_cast<int>(::if_nametoindex(device.c_str()));
    if (::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0) {
      throw_errno("bind to " + device);
    }
  }
  void send(const std::vector<MalformedFrame>& frames) const {
    for (const MalformedFrame& frame : frames) {
      ASSERT_EQ(::send(fd_.get(), frame.octets.data(), frame.octets.size(), 0),
                static_cast<ssize_t>(frame.octets.size()))
          << frame.what << ": " << std::strerror(errno);
    }
  }

 private:
  lab::Fd fd_;
};

// What became of the frames that entered a link from its guest, as `vtl stats --json` tells it.
struct Account {
  std::uint64_t received = 0;  // by the guest interface
  std::uint64_t sent = 0;      // by the network interface
  std::uint64_t dropped = 0;   // on the way, whatever for
  std::uint64_t opened = 0;    // connections that the gateway took

  explicit Account(const json& stats) {
    const auto& interfaces = stats.at("interfaces");
    received = interfaces.at(0).at("rx_frames");
    sent = interfaces.at(1).at("tx_frames");
    add(interfaces.at(1).at("drops"));
    for (const auto& link : stats.at("links")) {
      add(link.at("drops"));
      for (const auto& service : link.at("services")) add(service.at("drops"));
    }
    for (const auto& group : stats.at("services")) {
      if (group.at("service") == "gateway") opened = group.at("metrics").at("opened_total");
    }
  }
  [[nodiscard]] bool balances() const { return received == sent + dropped + opened; }
  Account& operator-=(const Account& before) {
    received -= before.received;
    sent -= before.sent;
    dropped -= before.dropped;
    opened -= before.opened;
    return *this;
  }
  friend std::ostream& operator<<(std::ostream& out, const Account& a) {
    return out << a.received << " received: " << a.sent << " sent, " << a.dropped << " dropped, "
               << a.opened << " opened";
  }

 private:
  void add(const json& drops) {
    for (const auto& [reason, count] : drops.items()) dropped += count.get<std::uint64_t>();
  }
};

// `frames` and whatever else the guest has sent since `before` came out or was counted.
template <class Ask>
void expect_all_accounted(const Account& before, std::size_t frames, const Ask& ask) {
  std::optional<Account> account;
  EXPECT_TRUE(lab::wait_until(
      [&] {
        account.emplace(ask());
        *account -= before;
        return account->received >= frames && account->balances();
      },
      30s))
      << *account;
}

TEST(MalformedFrames, PassABridgeOrAreCountedDrops) {
  lab::Lab lab;
  lab::Host& left = *must(lab.add_host("left", {.ipv6 = lab::Ipv6::kOff}));
  lab::Host& host = *must(lab.add_host("vtl", {.ipv6 = lab::Ipv6::kOff}));
  lab::Host& right = *must(lab.add_host("right", {.ipv6 = lab::Ipv6::kOff}));
  must(lab.connect({left, "eth0"}, {host, "l0"}));
  must(lab.connect({host, "r0"}, {right, "eth0"}));
  must(left.ip("addr add 10.0.0.1/24 dev eth0"));
  must(right.ip("addr add 10.0.0.2/24 dev eth0"));
  auto vtl = must(lab::start_vtl(host, R"(interfaces:
  l: { type: af_packet, device: l0 }
  r: { type: af_packet, device: r0 }
links:
  - { name: l, guest: l, network: r, services: [bridge] }
control: { socket: /run/vtl.sock }
)"));
  const auto ask = [&] {
    return json::parse(must(host.output_of(
        {lab::vtl_binary().string(), "stats", "--json", "--socket", "/run/vtl.sock"})));
  };
  const Account before(ask());
  const auto frames = deliverable_frames();
  RawSender(left, "eth0").send(frames);
  expect_all_accounted(before, frames.size(), ask);
  const auto [client, server] = connected(left, "10.0.0.1", right, "10.0.0.2", kPort);
  const Octets data = pattern(kSome);
  EXPECT_TRUE(transfer(client.get(), server.get(), data) == data);
  EXPECT_TRUE(must(vtl.stop()).ok()) << vtl.errors();
}

// Frames of the connection itself, malformed, with checksums that the lies have made wrong: a relay
// is asked for each of them and may believe none.
std::vector<MalformedFrame> of_connection(lab::Topology& topology, const Tcp& client) {
  const auto own = must(topology.client().mac("eth0"));
  const auto other = must(topology.server().mac("eth0"));
  const std::string local = client.local();
  const auto port = static_cast<std::uint16_t>(std::stoul(local.substr(local.rfind(':') + 1)));
  auto frames = MalformedFrames::make(ETH_HLEN + 40);
  std::erase_if(frames, [](const MalformedFrame& f) {
    return load_be16(f.octets, 12) != 0x0800 || f.octets[14 + 9] != 6;
  });
  for (MalformedFrame& f : frames) {
    std::ranges::copy(other.octets(), f.octets.begin());
    std::ranges::copy(own.octets(), f.octets.begin() + 6);
    const std::size_t at = 14 + std::size_t{4} * (f.octets[14] & 0x0fU);
    store_be32(f.octets, 14 + 12, 0x0a000001);
    store_be32(f.octets, 14 + 16, 0x0a000002);
    store_be16(f.octets, 14 + 10, 0);
    store_be16(f.octets, 14 + 10,
               naive_checksum(Bytes(f.octets).subspan(14, std::min(at, f.octets.size()) - 14)));
    for (const std::size_t tcp :
         {std::size_t{34}, at}) {  // where TCP is, and where it is said to be
      if (tcp + 4 > f.octets.size()) continue;
      store_be16(f.octets, tcp, port);
      store_be16(f.octets, tcp + 2, kPort);
    }
  }
  return frames;
}

TEST(MalformedFrames, PassAGatewayOrAreCountedDropsAndConnectionsGoOn) {
  auto lab = must(GatewayLab::create({.match = "tcp and not port 22"}));
  must(lab.start_both());
  auto& t = lab.topology();
  auto listener = must(Tcp::listen(t.server(), kPort));
  auto client = must(Tcp::connect(t.client(), t.server_address(), kPort));
  auto server = must(listener.accept());

  const auto ask = [&] { return json::parse(must(lab.ask('a', {"stats"}))); };
  const Account before(ask());
  const RawSender guest(t.client(), "eth0");
  const auto strange = deliverable_frames();
  guest.send(strange);
  expect_all_accounted(before, strange.size(), ask);

  const auto own = of_connection(t, client);
  ASSERT_GT(own.size(), 400U);
  guest.send(own);
  expect_all_accounted(before, strange.size() + own.size(), ask);

  must(exchange(client, server, kSome, kSome));
  auto again = must(Tcp::connect(t.client(), t.server_address(), kPort));
  auto accepted = must(listener.accept());
  must(exchange(again, accepted, kSome, kSome));
  EXPECT_TRUE(lab.a().running() && lab.b().running());
}

}  // namespace
}  // namespace vtl::test
