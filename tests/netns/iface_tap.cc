// tap and pcap against the real kernel.
//
//   [ host: tap0 10.0.1.1 ] ----- VTL's tap     VTL's af_packet ----- eth0 [ peer 10.0.1.2 ]
//
//   client eth0 ------- in0 [ host ] out0 ------- eth0 server        (pcap; no offloads)
#include "vtl/iface/tap.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "lab/lab.h"
#include "lab/must.h"
#include "tests/netns/forwarder.h"
#include "tests/netns/pieces.h"
#include "tests/netns/streams.h"
#include "tests/unit/packet/frames.h"
#include "vtl/iface/af_packet.h"
#include "vtl/iface/pcap.h"
#include "vtl/packet/access.h"
#include "vtl/packet/checksum.h"

namespace vtl {
namespace {

using lab::must;
using test::Octets;

constexpr std::uint16_t kPort = 5000;

class TapTest : public ::testing::Test {
 protected:
  void SetUp() override {
    host_ = must(lab_.add_host("host"));
    peer_ = must(lab_.add_host("peer"));
    must(lab_.connect({*host_, "out0"}, {*peer_, "eth0"}));
    must(peer_->ip("addr add 10.0.1.2/24 dev eth0\naddr add fd01::2/64 dev eth0"));
  }
  std::unique_ptr<iface::Interface> open_tap(const std::string& device) {
    const auto inside = host_->enter();
    return must(iface::open_tap({.device = device}));
  }

  [[nodiscard]] bool has_device(const std::string& device) const {
    const auto names = host_->devices();
    return std::ranges::find(names, device) != names.end();
  }

  lab::Lab lab_;
  lab::Host *host_ = nullptr, *peer_ = nullptr;
  PacketPool pool_;
  SystemClock clock_;
};

TEST_F(TapTest, TcpOfTheHostCrossesWholeInSuperFramesBothWays) {
  auto tap = open_tap("tap0");
  must(host_->ip("addr add 10.0.1.1/24 dev tap0\naddr add fd01::1/64 dev tap0"));
  auto wire = [&] {
    const auto inside = host_->enter();
    return must(iface::open_af_packet({.device = "out0"}));
  }();
  const test::Forwarder forwarder(std::move(tap), std::move(wire));
  const Octets data = test::pattern(8 << 20);
  for (const auto& [from, to] : {std::pair{"10.0.1.1", "10.0.1.2"}, {"fd01::1", "fd01::2"}}) {
    const auto [client, server] = test::connected(*host_, from, *peer_, to, kPort);
    EXPECT_TRUE(test::transfer(client.get(), server.get(), data) == data) << from;
    EXPECT_TRUE(test::transfer(server.get(), client.get(), data) == data) << from;
  }
  EXPECT_GT(forwarder.a().counters().rx_super_frames.value(), 20U);
  EXPECT_GT(forwarder.a().counters().tx_super_frames.value(), 20U);
  EXPECT_EQ(forwarder.a().counters().drops.total(), 0U);
}

TEST_F(TapTest, ASuperFrameInPiecesArrivesAsOneThatWasPutTogether) {
  auto tap = open_tap("tap0");
  ASSERT_TRUE(tap->gathers());
  const auto inside = host_->enter();
  auto host = must(iface::open_af_packet({.device = "tap0", .host_frames = true}));
  const test::SuperFrameInPieces pieces(pool_, {.payload = test::pattern(60'000)}, 1000);
  ASSERT_TRUE(tap->write_gathered(pieces.head, pieces.payload));
  Batch got;
  ASSERT_TRUE(lab::wait_until(
      [&] {
        (void)host->read(pool_, clock_.now(), got);
        return std::ranges::any_of(got, is_tcp);
      },
      5s));
  EXPECT_TRUE(std::ranges::equal(std::ranges::find_if(got, is_tcp)->bytes(), pieces.whole));
  EXPECT_EQ(tap->counters().tx_super_frames.value(), 1U);
}

TEST_F(TapTest, APersistentDeviceIsAttachedToAndStays) {
  must(host_->add_tap("keep0"));
  open_tap("keep0").reset();
  EXPECT_TRUE(has_device("keep0"));
  open_tap("gone0").reset();
  EXPECT_FALSE(has_device("gone0"));
}

TEST_F(TapTest, DownIsACountedDropAndRemovedIsTheEnd) {
  auto tap = open_tap("tap0");
  must(host_->ip("link set tap0 down"));
  Batch batch;
  batch.push_back(pool_.copy_of(test::make_frame({})));
  EXPECT_EQ(tap->write(batch), 1U);
  EXPECT_EQ(tap->counters().drops.value(DropReason::kInterfaceDown), 1U);
  must(host_->ip("link del tap0"));
  Batch none;
  EXPECT_EQ(tap->read(pool_, clock_.now(), none), iface::ReadStatus::kClosed);
}

TEST_F(TapTest, SeveralQueuesShareADevice) {
  const auto inside = host_->enter();
  const auto workers = must(iface::open_tap_workers({.device = "mq0"}, 2));
  ASSERT_EQ(workers.size(), 2U);
  EXPECT_TRUE(workers[0]->is_up());
  const auto again = iface::open_tap({.device = "mq0"});
  ASSERT_FALSE(again);
  EXPECT_NE(again.error().message.find("single-queue"), std::string::npos) << again.error().message;
}

TEST_F(TapTest, WhatCannotBeOpenedIsToldInOneLine) {
  const auto inside = host_->enter();
  const auto first = must(iface::open_tap({.device = "tap0"}));
  EXPECT_EQ(iface::open_tap({.device = "tap0"}).error().message,
            "tap tap0: another program has the device open");
  EXPECT_NE(iface::open_tap({.device = ""}).error().message.find("1 to 15"), std::string::npos);
  EXPECT_FALSE(iface::open_tap({.device = "out0"}));
}

TEST(Pcap, TcpCrossesAndTheHostKeepsItsOwnFrames) {
  lab::Lab lab;
  auto& client = *must(lab.add_host("client"));
  auto& host = *must(lab.add_host("host", {.ipv6 = lab::Ipv6::kNoNoise}));
  auto& server = *must(lab.add_host("server"));
  const lab::LinkOptions wire{.mtu = 1500, .offloads = lab::Offloads::kOff};
  must(lab.connect({client, "eth0"}, {host, "in0"}, wire));
  must(lab.connect({host, "out0"}, {server, "eth0"}, wire));
  must(client.ip("addr add 10.0.0.1/24 dev eth0"));
  must(server.ip("addr add 10.0.0.2/24 dev eth0"));
  auto [in, out] = [&] {
    const auto inside = host.enter();
    return std::pair{must(iface::open_pcap({.device = "in0"})),
                     must(iface::open_pcap({.device = "out0"}))};
  }();
  const test::Forwarder forwarder(std::move(in), std::move(out));
  const Octets data = test::pattern(2 << 20);
  const auto [from, to] = test::connected(client, "10.0.0.1", server, "10.0.0.2", kPort);
  EXPECT_TRUE(test::transfer(from.get(), to.get(), data) == data);
  EXPECT_TRUE(test::transfer(to.get(), from.get(), data) == data);
  const auto& counters = forwarder.a().counters();
  EXPECT_GT(counters.rx_frames.value(), 1000U);
  // A loop would show as many times more frames out than ever came in.
  EXPECT_LT(counters.tx_frames.value(), forwarder.b().counters().rx_frames.value() + 100);
}

TEST(Pcap, AMissingDeviceIsToldInOneLine) {
  EXPECT_EQ(iface::open_pcap({.device = "nosuch0"}).error().message,
            "pcap nosuch0: no such network device; `ip link` lists those there are");
}

}  // namespace
}  // namespace vtl
