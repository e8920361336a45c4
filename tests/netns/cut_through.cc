// Flows that the kernel forwards by itself, under a link of the engine between real kernels.
//
//   left eth0 -------- l0 [ vtl ] r0 -------- eth0 right
//   10.0.0.1, fd00::1                         10.0.0.2, fd00::2
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <set>

#include "lab/lab.h"
#include "lab/must.h"
#include "lab/vtl_program.h"
#include "tests/netns/links.h"
#include "tests/netns/streams.h"
#include "tests/unit/packet/frames.h"
#include "vtl/iface/cut_through.h"
#include "vtl/service/bridge/bridge.h"
#include "vtl/service/flow_observer/flow_observer.h"

namespace vtl {
namespace {

using lab::must;
using test::Octets;

constexpr std::uint16_t kPort = 5000;

class CutThrough : public ::testing::Test {
 protected:
  void SetUp() override {
    left_ = must(lab_.add_host("left"));
    vtl_ = must(lab_.add_host("vtl", {.ipv6 = lab::Ipv6::kNoNoise}));
    right_ = must(lab_.add_host("right"));
    must(lab_.connect({*left_, "eth0"}, {*vtl_, "l0"}));
    must(lab_.connect({*vtl_, "r0"}, {*right_, "eth0"}));
    must(left_->ip("addr add 10.0.0.1/24 dev eth0\naddr add fd00::1/64 dev eth0 nodad"));
    must(right_->ip("addr add 10.0.0.2/24 dev eth0\naddr add fd00::2/64 dev eth0 nodad"));
    // The devices carry the host's own addresses too: what is for them is the host's.
    must(vtl_->ip("addr add 10.0.0.9/24 dev r0"));
    const auto inside = vtl_->enter();
    const auto probe = iface::open_cut_through({.a = "l0", .b = "r0"});
    if (!probe && probe.error().message.contains("not permitted")) {
      GTEST_SKIP() << "the kernel gives BPF to the host's root only: " << probe.error().message;
    }
    ASSERT_TRUE(probe) << probe.error().message;
  }

  static engine::EngineConfig link(std::uint32_t workers = 1) {
    engine::EngineConfig config;
    config.workers = workers;
    config.interfaces = {test::device("l0"), test::device("r0")};
    const auto observer = [](std::uint32_t) -> std::unique_ptr<engine::Observer> {
      static const SystemClock kClock;
      return std::make_unique<service::FlowObserver>(service::FlowObserverOptions{}, kClock);
    };
    struct Shared {
      std::mutex mutex;
      std::weak_ptr<iface::CutThrough> kernel;
    };
    const auto shared = std::make_shared<Shared>();
    const auto cut = [shared]() -> Outcome<std::shared_ptr<iface::CutThrough>> {
      const std::lock_guard lock(shared->mutex);
      if (auto there = shared->kernel.lock()) return there;
      auto made = iface::open_cut_through({.a = "l0", .b = "r0"});
      if (!made) return std::unexpected(made.error());
      std::shared_ptr<iface::CutThrough> fresh = std::move(*made);
      shared->kernel = fresh;
      return fresh;
    };
    config.links.push_back({.name = "l",
                            .guest = "l0",
                            .network = "r0",
                            .services = {service::make_bridge()},
                            .observer = observer,
                            .cut_through = cut,
                            .cut_through_required = true});
    return config;
  }

  std::pair<lab::Fd, lab::Fd> connect(const std::string& from = "10.0.0.1",
                                      const std::string& to = "10.0.0.2") {
    return test::connected(*left_, from, *right_, to, port_++);
  }
  [[nodiscard]] engine::LinkStatus status() { return engine_.status().links.front(); }

  // Sends from one end to the other until the kernel forwards the flow.
  void send_until_cut(int from, int to, std::uint64_t flows = 1) {
    const Octets some = test::pattern(200'000);
    ASSERT_TRUE(lab::wait_until(
        [&] { return test::transfer(from, to, some) == some && status().cut_flows >= flows; },
        20s));
  }
  // Rules of the device's ingress, as tc lists them.
  [[nodiscard]] std::string ingress(const std::string& device) const {
    return must(vtl_->output_of({"tc", "filter", "show", "dev", device, "ingress"}));
  }

  lab::Lab lab_;
  lab::Host *left_ = nullptr, *vtl_ = nullptr, *right_ = nullptr;
  engine::Engine engine_;
  std::uint16_t port_ = kPort;
};

TEST_F(CutThrough, BulkBothWays_ArrivesWholeAndMostlyThroughTheKernel) {
  test::start_in(*vtl_, engine_, link());
  const Octets data = test::pattern(32 << 20);
  for (const auto& [from, to] :
       {std::pair{"10.0.0.1", "10.0.0.2"}, std::pair{"fd00::1", "fd00::2"}}) {
    const auto before = status();
    const auto [client, server] = connect(from, to);
    send_until_cut(client.get(), server.get());
    EXPECT_TRUE(test::transfer(client.get(), server.get(), data) == data) << from;
    EXPECT_TRUE(test::transfer(server.get(), client.get(), data) == data) << from;
    const auto after = status();
    EXPECT_GT(after.cut_bytes_out - before.cut_bytes_out, data.size()) << from;
    EXPECT_GT(after.cut_bytes_in - before.cut_bytes_in, data.size()) << from;
  }
}

TEST_F(CutThrough, TheListingsCountWhatTheKernelForwards) {
  test::start_in(*vtl_, engine_, link());
  const auto [client, server] = connect();
  send_until_cut(client.get(), server.get());
  const auto sum = [&] { return engine_.list_flows().at(0).bytes_out; };
  const auto before = sum();
  const Octets data = test::pattern(1 << 20);
  ASSERT_TRUE(test::transfer(client.get(), server.get(), data) == data);
  const auto flow = engine_.list_flows().at(0);
  EXPECT_EQ(flow.transform, "no (cut through)");
  EXPECT_EQ(flow.state, "established");
  EXPECT_GE(flow.bytes_out, before + data.size());
  const auto all = engine_.status();
  EXPECT_GE(all.links[0].bytes_out, flow.bytes_out);
  EXPECT_EQ(all.interfaces[0].rx_frames, all.links[0].frames_out);
  EXPECT_EQ(all.interfaces[1].tx_bytes, all.links[0].bytes_out);
}

TEST_F(CutThrough, TheEndOfAConnectionIsSeenAndTakesItOutOfTheTable) {
  test::start_in(*vtl_, engine_, link());
  auto [client, server] = connect();
  send_until_cut(client.get(), server.get());
  ::shutdown(client.get(), SHUT_WR);
  const Octets answer = test::pattern(3 << 20);
  EXPECT_TRUE(test::transfer(server.get(), client.get(), answer) == answer) << "half-closed";
  ::shutdown(server.get(), SHUT_WR);
  EXPECT_TRUE(lab::wait_until([&] { return status().cut_flows == 0; }, 10s));
  const auto flows = engine_.list_flows();
  ASSERT_EQ(flows.size(), 1U);
  EXPECT_GE(flows[0].bytes_in, answer.size());
}

TEST_F(CutThrough, ATapSeesEveryFrameAndTheTransferGoesOn) {
  test::start_in(*vtl_, engine_, link());
  const auto [client, server] = connect();
  send_until_cut(client.get(), server.get());
  std::atomic<std::uint64_t> seen{0};
  std::atomic<std::uint32_t> tap{0};
  engine_.post_to_link("l", [&](engine::Link& l) {
    tap = l.add_tap(0, [&](engine::Direction, std::uint32_t, std::span<const Packet> frames) {
      for (const auto& frame : frames) seen += frame.size();
    });
  });
  ASSERT_TRUE(lab::wait_until([&] { return tap != 0; }, 5s));
  const Octets data = test::pattern(4 << 20);
  EXPECT_TRUE(test::transfer(client.get(), server.get(), data) == data);
  EXPECT_GT(seen, data.size());
  EXPECT_EQ(status().cut_flows, 1U);
  EXPECT_EQ(status().cut_through, engine::LinkStatus::CutThrough::kPaused);
  engine_.post_to_link("l", [&](engine::Link& l) { l.remove_tap(tap); });
  const auto before = status().cut_bytes_out;
  EXPECT_TRUE(lab::wait_until(
      [&] {
        return test::transfer(client.get(), server.get(), data) == data &&
               status().cut_bytes_out > before;
      },
      20s));
}

// One datagram to the echo at the right, and back.
void echo(int from, int to, const std::string& address, Bytes data) {
  const auto [name, size] = test::socket_address(address, kPort);
  ASSERT_EQ(
      ::sendto(from, data.data(), data.size(), 0, reinterpret_cast<const sockaddr*>(&name), size),
      static_cast<ssize_t>(data.size()));
  sockaddr_storage sender{};
  socklen_t length = sizeof sender;
  Octets got(8192);
  ASSERT_TRUE(test::ready(to, POLLIN, 10'000));
  got.resize(static_cast<std::size_t>(
      ::recvfrom(to, got.data(), got.size(), 0, reinterpret_cast<sockaddr*>(&sender), &length)));
  EXPECT_TRUE(std::ranges::equal(got, data));
  ASSERT_EQ(
      ::sendto(to, got.data(), got.size(), 0, reinterpret_cast<const sockaddr*>(&sender), length),
      static_cast<ssize_t>(got.size()));
  ASSERT_TRUE(test::ready(from, POLLIN, 10'000));
  got.resize(8192);
  got.resize(static_cast<std::size_t>(::recv(from, got.data(), got.size(), 0)));
  EXPECT_TRUE(std::ranges::equal(got, data));
}

TEST_F(CutThrough, DatagramsAreCutThroughAndFragmentsAreNot) {
  test::start_in(*vtl_, engine_, link());
  const auto from = test::bound_socket(*left_, SOCK_DGRAM, "10.0.0.1", 0);
  const auto to = test::bound_socket(*right_, SOCK_DGRAM, "10.0.0.2", kPort);
  for (std::size_t i = 0; i < 100; ++i) {
    ASSERT_NO_FATAL_FAILURE(echo(from.get(), to.get(), "10.0.0.2", test::pattern(1000, i + 1)));
  }
  const auto whole = status().cut_frames_out;
  EXPECT_GT(whole, 20U);
  for (std::size_t i = 0; i < 20; ++i) {
    ASSERT_NO_FATAL_FAILURE(echo(from.get(), to.get(), "10.0.0.2", test::pattern(3000, i + 1)));
  }
  EXPECT_EQ(status().cut_frames_out, whole);
}

// The guest speaks as if it were the host, from the host's own MAC and address; what the network
// answers is the host's all the same.
TEST_F(CutThrough, AGuestThatSpeaksAsTheHostDoesNotGetTheHostsFrames) {
  test::start_in(*vtl_, engine_, link());
  must(right_->ip("neigh replace 10.0.0.9 dev eth0 lladdr " +
                  wire::to_string(must(vtl_->mac("r0")))));
  must(left_->ip("link set eth0 down\nlink set eth0 address " +
                 wire::to_string(must(vtl_->mac("r0"))) +
                 "\nlink set eth0 up\naddr add 10.0.0.9/32 dev eth0\n"
                 "route replace 10.0.0.2/32 dev eth0 src 10.0.0.9\n"
                 "neigh replace 10.0.0.2 dev eth0 lladdr " +
                 wire::to_string(must(right_->mac("eth0")))));
  constexpr std::uint16_t kHostPort = 7777;
  const auto spoofer = test::bound_socket(*left_, SOCK_DGRAM, "10.0.0.9", kHostPort);
  const auto host = test::bound_socket(*vtl_, SOCK_DGRAM, "10.0.0.9", kHostPort);
  const auto remote = test::bound_socket(*right_, SOCK_DGRAM, "10.0.0.2", kPort);
  const auto [to_remote, size] = test::socket_address("10.0.0.2", kPort);
  const auto [to_host, host_size] = test::socket_address("10.0.0.9", kHostPort);
  for (int i = 0; i < 200; ++i) {
    ASSERT_EQ(
        ::sendto(spoofer.get(), "x", 1, 0, reinterpret_cast<const sockaddr*>(&to_remote), size), 1);
    ASSERT_TRUE(test::ready(remote.get(), POLLIN, 10'000));
    char octet = 0;
    ASSERT_EQ(::recv(remote.get(), &octet, 1, 0), 1);
    ASSERT_EQ(
        ::sendto(remote.get(), "y", 1, 0, reinterpret_cast<const sockaddr*>(&to_host), host_size),
        1);
    ASSERT_TRUE(test::ready(host.get(), POLLIN, 10'000)) << "frame " << i << " missed the host";
    ASSERT_EQ(::recv(host.get(), &octet, 1, 0), 1);
  }
  EXPECT_EQ(status().cut_frames_in, 0U);
}

TEST_F(CutThrough, FramesLongerThanTheOtherDevicesMtuAreNotHandedToIt) {
  must(left_->ip("link set eth0 mtu 4000"));
  must(vtl_->ip("link set l0 mtu 4000"));
  test::start_in(*vtl_, engine_, link());
  const auto from = test::bound_socket(*left_, SOCK_DGRAM, "10.0.0.1", 0);
  const auto to = test::bound_socket(*right_, SOCK_DGRAM, "10.0.0.2", kPort);
  for (std::size_t i = 0; i < 100; ++i) {
    ASSERT_NO_FATAL_FAILURE(echo(from.get(), to.get(), "10.0.0.2", test::pattern(1000, i + 1)));
  }
  const auto cut = status().cut_frames_out;
  ASSERT_GT(cut, 0U);
  const auto [name, size] = test::socket_address("10.0.0.2", kPort);
  const Octets large = test::pattern(3000);
  ASSERT_EQ(::sendto(from.get(), large.data(), large.size(), 0,
                     reinterpret_cast<const sockaddr*>(&name), size),
            3000);
  EXPECT_TRUE(lab::wait_until(
      [&] {
        const auto drops = engine_.status().interfaces[1].drops;
        return std::ranges::any_of(
            drops, [](const auto& drop) { return drop.first == DropReason::kTxTooLarge; });
      },
      10s))
      << "it reaches the interface, which counts it";
  EXPECT_EQ(status().cut_frames_out, cut);
}

TEST_F(CutThrough, TheProgramTakenAway_EverythingPassesTheLinkAgainAndStatusSaysWhy) {
  test::start_in(*vtl_, engine_, link());
  const auto [client, server] = connect();
  send_until_cut(client.get(), server.get());
  must(vtl_->output_of({"tc", "qdisc", "del", "dev", "r0", "clsact"}));
  const Octets data = test::pattern(4 << 20);
  EXPECT_TRUE(test::transfer(server.get(), client.get(), data) == data);
  EXPECT_TRUE(lab::wait_until(
      [&] { return status().cut_through_missing.find("r0 was taken away") != std::string::npos; },
      5s));
  EXPECT_TRUE(test::transfer(client.get(), server.get(), data) == data);
}

TEST_F(CutThrough, ADeviceThatBelongsToAnotherVtlIsRefused) {
  const auto inside = vtl_->enter();
  const auto first = must(iface::open_cut_through({.a = "l0", .b = "r0"}));
  const auto second = iface::open_cut_through({.a = "l0", .b = "r0"});
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message, testing::HasSubstr("another VTL forwards on l0 already"));
}

// What stands above a device is told by sysfs, which programs of a host see as their own.
TEST_F(CutThrough, ADeviceThatCarriesAnotherIsNotCutThroughAndStatusSaysWhy) {
  must(vtl_->ip("link add m0 link r0 type macvlan mode bridge"));
  const std::string socket = "/run/carries.sock";
  auto running = must(
      vtl_->start({.argv = {lab::vtl_binary().string(), "bridge", "l0", "r0", "--socket", socket},
                   .name = "carries"}));
  std::string told;
  ASSERT_TRUE(lab::wait_until(
      [&] {
        const auto status =
            vtl_->output_of({lab::vtl_binary().string(), "status", "--socket", socket});
        told = status ? *status : "";
        return !told.empty();
      },
      10s));
  EXPECT_THAT(told, testing::HasSubstr("link 'bridge': cut-through: r0 carries m0 too"));
  must(running.stop());
}

// As `vtl run` does it, with the rights that it keeps beside a peer.
TEST_F(CutThrough, TheProgramCutsThroughBesideAPeer) {
  auto running = must(lab::start_vtl(*vtl_, R"(control: { socket: /run/vtl-cut.sock }
interfaces:
  guest: { type: af_packet, device: l0 }
  network: { type: af_packet, device: r0 }
peers:
  far: { listen: 10.0.0.9:9000, key: "0123456789abcdef" }
links:
  - { name: l, guest: guest, network: network, cut_through: on }
)",
                                     {.name = "cut"}));
  const auto [client, server] = connect();
  const Octets data = test::pattern(8 << 20);
  EXPECT_TRUE(test::transfer(client.get(), server.get(), data) == data);
  EXPECT_THAT(ingress("l0"), testing::HasSubstr("vtl_forward"));
  must(running.stop());
  EXPECT_THAT(ingress("l0"), testing::Not(testing::HasSubstr("vtl_forward")));
}

TEST_F(CutThrough, TwoWorkersShareOneTable) {
  test::start_in(*vtl_, engine_, link(2));
  const Octets data = test::pattern(4 << 20);
  std::vector<std::pair<lab::Fd, lab::Fd>> all;
  // Which worker has a flow follows from its ports, which the client's kernel draws.
  const auto workers = [&] {
    std::set<std::uint32_t> seen;
    for (const auto& flow : engine_.list_flows()) seen.insert(flow.worker);
    return seen.size();
  };
  while (all.size() < 2 || (workers() < 2 && all.size() < 40)) {
    all.push_back(connect());
    send_until_cut(all.back().first.get(), all.back().second.get(), all.size());
    EXPECT_TRUE(test::transfer(all.back().second.get(), all.back().first.get(), data) == data);
  }
  EXPECT_EQ(workers(), 2U);
  EXPECT_EQ(status().cut_flows, all.size());
  EXPECT_GT(status().cut_bytes_in, (all.size() - 1) * data.size());
}

TEST_F(CutThrough, StoppedEngine_ForwardsNothingAndLeavesNoProgram) {
  test::start_in(*vtl_, engine_, link());
  const auto [client, server] = connect();
  send_until_cut(client.get(), server.get());
  EXPECT_THAT(ingress("l0"), testing::HasSubstr("vtl_forward"));
  engine_.stop();
  EXPECT_THAT(ingress("l0"), testing::Not(testing::HasSubstr("vtl_forward")));
  EXPECT_THAT(ingress("r0"), testing::Not(testing::HasSubstr("vtl_forward")));
  ASSERT_EQ(::send(client.get(), "x", 1, MSG_NOSIGNAL), 1);
  EXPECT_FALSE(test::ready(server.get(), POLLIN, 300));
  test::start_in(*vtl_, engine_, link());
  EXPECT_TRUE(test::ready(server.get(), POLLIN, 20'000)) << "sent again, and through the new link";
}

// What a process leaves that ends without a word: the programs, and nobody who renews.
TEST_F(CutThrough, NobodyRenews_TheKernelStopsForwardingByItself) {
  test::start_in(*vtl_, engine_, link());
  const auto [client, server] = connect();
  engine_.stop();
  const auto inside = vtl_->enter();
  const auto left_over = must(iface::open_cut_through({.a = "l0", .b = "r0"}));
  const auto sockname = [](int fd) {
    sockaddr_in in{};
    socklen_t size = sizeof in;
    ::getsockname(fd, reinterpret_cast<sockaddr*>(&in), &size);
    return wire::SocketAddress{wire::Ipv4Address(ntohl(in.sin_addr.s_addr)),
                               wire::Port(ntohs(in.sin_port))};
  };
  ASSERT_TRUE(left_over->add(
      {.key = {.source = sockname(client.get()), .destination = sockname(server.get())},
       .a = must(left_->mac("eth0")),
       .b = must(right_->mac("eth0"))}));
  const SystemClock clock;
  must(left_over->hold_until(clock.now() + 60s));
  const Octets data = test::pattern(100'000);
  EXPECT_TRUE(test::transfer(client.get(), server.get(), data) == data) << "by the kernel alone";
  must(left_over->hold_until(clock.now()));
  ASSERT_EQ(::send(client.get(), "x", 1, MSG_NOSIGNAL), 1);
  EXPECT_FALSE(test::ready(server.get(), POLLIN, 300));
}

TEST_F(CutThrough, OneInterfaceCannot_ItIsRefusedOrDoneWithout) {
  auto config = link();
  config.links[0].cut_through = []() -> Outcome<std::shared_ptr<iface::CutThrough>> {
    return fail("not to be had");
  };
  auto lenient = config;
  lenient.links[0].cut_through_required = false;
  {
    const auto inside = vtl_->enter();
    const auto started = engine_.start(std::move(config));
    ASSERT_FALSE(started);
    EXPECT_EQ(started.error().message, "link 'l': not to be had");
  }
  test::start_in(*vtl_, engine_, std::move(lenient));
  EXPECT_EQ(status().cut_through, engine::LinkStatus::CutThrough::kMissing);
  EXPECT_EQ(status().cut_through_missing, "not to be had");
  const auto [client, server] = connect();
  const Octets data = test::pattern(1 << 20);
  EXPECT_TRUE(test::transfer(client.get(), server.get(), data) == data);
}

}  // namespace
}  // namespace vtl
