// The engine as a bridge between real kernels.
//
//   left eth0 -------- l0 [ vtl ] r0 -------- eth0 right
//   10.0.0.1, fd00::1    l1 |                 10.0.0.2, fd00::2
//                           +---------------- eth0 third
//                                             10.0.0.3
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "lab/capture.h"
#include "lab/lab.h"
#include "lab/must.h"
#include "tests/netns/links.h"
#include "tests/netns/streams.h"
#include "tests/unit/packet/frames.h"
#include "vtl/iface/pcap_file.h"
#include "vtl/service/bridge/bridge.h"

namespace vtl {
namespace {

using lab::must;
using test::Octets;

constexpr std::uint16_t kPort = 5000;

// Every frame of a capture file and how often it is in there.
std::map<Octets, int> frames_of(const std::filesystem::path& file) {
  auto source = must(iface::open_pcap_file({.read = file.string()}));
  std::map<Octets, int> out;
  PacketPool pool;
  iface::ReadStatus status = iface::ReadStatus::kOk;
  while (status != iface::ReadStatus::kClosed) {
    Batch batch;
    status = source->read(pool, Time{1s}, batch);
    for (const auto& p : batch) ++out[Octets(p.bytes().begin(), p.bytes().end())];
  }
  EXPECT_EQ(source->counters().drops.total(), 0U);
  source.reset();
  return out;
}

class EngineBridge : public ::testing::Test {
 protected:
  void connect() {
    left_ = must(lab_.add_host("left"));
    vtl_ = must(lab_.add_host("vtl", {.ipv6 = lab::Ipv6::kNoNoise}));
    right_ = must(lab_.add_host("right"));
    must(lab_.connect({*left_, "eth0"}, {*vtl_, "l0"}));
    must(lab_.connect({*vtl_, "r0"}, {*right_, "eth0"}));
    must(left_->ip("addr add 10.0.0.1/24 dev eth0\naddr add fd00::1/64 dev eth0"));
    must(right_->ip("addr add 10.0.0.2/24 dev eth0\naddr add fd00::2/64 dev eth0"));
  }

  static engine::EngineConfig bridge(std::uint32_t workers = 1) {
    engine::EngineConfig config;
    config.workers = workers;
    config.interfaces = {test::device("l0"), test::device("r0")};
    config.links.push_back(
        {.name = "l", .guest = "l0", .network = "r0", .services = {service::make_bridge()}});
    return config;
  }

  static void ping(const lab::Host& from, const std::string& to) {
    must(from.run({.argv = {"ping", "-c", "5", "-i", "0.02", "-w", "20", to}}));
  }

  // What no kernel here would send by itself.
  void send_unusual_frames() {
    const auto inside = left_->enter();
    auto wire = must(iface::open_af_packet({.device = "eth0"}));
    PacketPool pool;
    std::vector<Octets> frames;
    for (std::uint32_t i = 0; i < 40; ++i) {
      Octets frame(60 + i * 30);
      for (std::size_t at = 14; at < frame.size(); ++at) frame[at] = static_cast<std::uint8_t>(i);
      frame[0] = i % 2 == 0 ? 0x02 : 0x01;  // unknown stations and groups
      frame[6] = 0x02;
      frame[11] = 0x77;
      switch (i % 4) {
        case 0:  // 802.1Q, priority 5, VLAN 100
          frame[12] = 0x81, frame[13] = 0, frame[14] = 0xa0, frame[15] = 100;
          break;
        case 1:  // QinQ
          frame[12] = 0x88, frame[13] = 0xa8, frame[16] = 0x81, frame[17] = 0;
          break;
        case 2:  // an EtherType for local experiments
          frame[12] = 0x88, frame[13] = 0xb5;
          break;
        default:  // IPv4 in name only
          frame[12] = 0x08, frame[13] = 0;
      }
      frames.push_back(std::move(frame));
    }
    for (const auto& frame : frames) {
      Batch one;
      one.push_back(pool.copy_of(frame));
      ASSERT_TRUE(lab::wait_until([&] { return wire->write(one) == 1; }, 5s));
    }
    wire.reset();
  }

  void send_datagrams() {
    const auto from = test::bound_socket(*left_, SOCK_DGRAM, "10.0.0.1", 0);
    const auto to = test::bound_socket(*right_, SOCK_DGRAM, "10.0.0.2", kPort);
    const auto [name, size] = test::socket_address("10.0.0.2", kPort);
    for (std::size_t i = 0; i < 50; ++i) {
      const Octets data = test::pattern(i * 60, i + 1);  // the last ones in two IP fragments
      ASSERT_EQ(::sendto(from.get(), data.data(), data.size(), 0,
                         reinterpret_cast<const sockaddr*>(&name), size),
                static_cast<ssize_t>(data.size()));
      ASSERT_TRUE(test::ready(to.get(), POLLIN, 10'000)) << i;
      Octets got(4096);
      got.resize(static_cast<std::size_t>(::recv(to.get(), got.data(), got.size(), 0)));
      EXPECT_TRUE(got == data) << i;
    }
  }

  lab::Lab lab_;
  lab::Host *left_ = nullptr, *vtl_ = nullptr, *right_ = nullptr;
  engine::Engine engine_;
};

TEST_F(EngineBridge, EveryFrameArrivesAsItLeft) {
  connect();
  test::start_in(*vtl_, engine_, bridge());
  // Multicast reports (IPv6 with hop-by-hop options) come by themselves at any time, so also
  // between the starts of the two captures.
  const lab::CaptureOptions without_reports{.filter = "not (ip6 and ip6[6] == 0)"};
  auto at_left = must(lab::Capture::start(*left_, "eth0", without_reports));
  auto at_right = must(lab::Capture::start(*right_, "eth0", without_reports));
  ping(*left_, "10.0.0.2");  // ARP first
  ping(*right_, "fd00::1");  // neighbour discovery first
  send_datagrams();
  send_unusual_frames();
  // The last frame sent is the sign that all before it have passed.
  ASSERT_TRUE(lab::wait_until([&] { return at_right.frames() >= at_left.frames(); }, 10s));
  const auto left = at_left.stop();
  const auto right = at_right.stop();
  EXPECT_EQ(left.dropped + right.dropped, 0U);
  EXPECT_GT(left.frames, 120U);
  const auto sent = frames_of(left.file);
  const auto got = frames_of(right.file);
  EXPECT_TRUE(sent == got) << sent.size() << " different frames at the left, " << got.size()
                           << " at the right";
  const auto status = engine_.status();
  for (const auto& interface : status.interfaces) {
    EXPECT_TRUE(interface.drops.empty()) << interface.name;
    EXPECT_EQ(interface.rx_missed, 0U);
    EXPECT_TRUE(interface.up);
  }
  EXPECT_EQ(status.links[0].frames_out + status.links[0].frames_in,
            status.interfaces[0].tx_frames + status.interfaces[1].tx_frames);
}

TEST_F(EngineBridge, TcpPassesWithTwoWorkersInSuperFrames) {
  connect();
  test::start_in(*vtl_, engine_, bridge(2));
  const Octets data = test::pattern(8 << 20);
  for (std::uint16_t i = 0; i < 4; ++i) {
    const auto [client, server] = test::connected(*left_, "10.0.0.1", *right_, "10.0.0.2",
                                                  static_cast<std::uint16_t>(kPort + i));
    EXPECT_TRUE(test::transfer(client.get(), server.get(), data) == data);
    EXPECT_TRUE(test::transfer(server.get(), client.get(), data) == data);
  }
  const auto status = engine_.status();
  EXPECT_GT(status.interfaces[0].rx_super_frames, 50U);
  EXPECT_GT(status.interfaces[1].tx_super_frames, 50U);
  EXPECT_EQ(status.links[0].workers, 2U);
}

TEST_F(EngineBridge, DeviceTakenDownAndUp_TrafficGoesOn) {
  connect();
  test::start_in(*vtl_, engine_, bridge());
  const auto [client, server] = test::connected(*left_, "10.0.0.1", *right_, "10.0.0.2", kPort);
  const Octets data = test::pattern(1 << 20);
  ASSERT_TRUE(test::transfer(client.get(), server.get(), data) == data);
  for (const char* device : {"l0", "r0"}) {
    must(vtl_->ip(std::string("link set ") + device + " down"));
    ASSERT_TRUE(lab::wait_until(
        [&] {
          const auto status = engine_.status();
          return !status.interfaces[0].up || !status.interfaces[1].up;
        },
        5s));
    must(vtl_->ip(std::string("link set ") + device + " up"));
    must(vtl_->wait_for_carrier(device));
    EXPECT_TRUE(test::transfer(client.get(), server.get(), data) == data) << device;
  }
  for (const auto& interface : engine_.status().interfaces) EXPECT_FALSE(interface.closed);
}

TEST_F(EngineBridge, DeviceRemoved_IsToldAndTheEngineStillStops) {
  connect();
  auto config = bridge();
  std::atomic<int> closed{0};
  config.on_interface_closed = [&](const std::string& name) {
    if (name == "r0") ++closed;
  };
  test::start_in(*vtl_, engine_, std::move(config));
  must(vtl_->ip("link del r0"));
  EXPECT_TRUE(lab::wait_until([&] { return closed == 1; }, 10s));
  EXPECT_TRUE(engine_.status().interfaces[1].closed);
  EXPECT_TRUE(engine_.stop());
}

TEST_F(EngineBridge, MissingDevice_IsOneClearErrorAndNothingRuns) {
  connect();
  auto config = bridge();
  config.interfaces[1] = test::device("nosuch");
  config.links[0].network = "nosuch";
  const auto inside = vtl_->enter();
  const auto started = engine_.start(std::move(config));
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().message, testing::HasSubstr("nosuch"));
  EXPECT_FALSE(engine_.running());
}

TEST_F(EngineBridge, GuestsThatShareAnUplinkReachItAndEachOther) {
  connect();
  auto* third = must(lab_.add_host("third"));
  must(lab_.connect({*vtl_, "l1"}, {*third, "eth0"}));
  must(third->ip("addr add 10.0.0.3/24 dev eth0"));
  auto config = bridge();
  config.interfaces.push_back(test::device("l1"));
  config.links.push_back({.name = "l2", .guest = "l1", .network = "r0", .services = {}});
  test::start_in(*vtl_, engine_, std::move(config));
  ping(*left_, "10.0.0.2");
  ping(*third, "10.0.0.2");
  ping(*third, "10.0.0.1");
  ping(*right_, "10.0.0.3");
  const Octets data = test::pattern(4 << 20);
  const auto [client, server] = test::connected(*left_, "10.0.0.1", *third, "10.0.0.3", kPort);
  EXPECT_TRUE(test::transfer(client.get(), server.get(), data) == data);
  const auto status = engine_.status();
  ASSERT_EQ(status.uplinks.size(), 1U);
  EXPECT_GT(status.uplinks[0].hairpin, 50U);
  EXPECT_GE(status.uplinks[0].macs, 3U);
  EXPECT_EQ(status.uplinks[0].moves_refused, 0U);
}

}  // namespace
}  // namespace vtl
