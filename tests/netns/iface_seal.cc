// The seal of a device against the real kernel.
//
//   guest eth0 ------- in0 [ host ]
//   10.0.0.1                10.0.0.9     VTL's interface is on in0, which is sealed
#include "vtl/iface/seal.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "lab/lab.h"
#include "lab/must.h"
#include "lab/wait.h"
#include "tests/netns/streams.h"
#include "tests/unit/packet/frames.h"
#include "vtl/iface/af_packet.h"
#include "vtl/packet/access.h"

namespace vtl {
namespace {

using iface::SealUse;
using lab::must;

class SealTest : public ::testing::Test {
 protected:
  SealTest() {
    must(lab_.connect({guest_, "eth0"}, {host_, "in0"}));
    must(guest_.ip("addr add 10.0.0.1/24 dev eth0"));
    must(host_.ip("addr add 10.0.0.9/24 dev in0"));
    must(host_.ip("neigh replace 10.0.0.1 lladdr " + to_string(must(guest_.mac("eth0"))) +
                  " dev in0 nud permanent"));
  }

  Outcome<std::unique_ptr<iface::Interface>> try_seal(iface::AfPacketOptions options = {}) {
    options.device = "in0";
    if (!options.seal) options.seal = SealUse::kOn;
    const auto inside = host_.enter();
    return iface::open_af_packet(options);
  }
  std::unique_ptr<iface::Interface> seal(iface::AfPacketOptions options = {}) {
    return must(try_seal(std::move(options)));
  }
  /// As any program of the host would, which may not be VTL's.
  std::unique_ptr<iface::Interface> open(lab::Host& at, const std::string& device) {
    const auto inside = at.enter();
    return must(iface::open_af_packet({.device = device, .host_frames = true}));
  }

  /// Whether the frame went out: the kernel tells who sends that a filter dropped it.
  bool send(iface::Interface& from, std::uint32_t seq, std::size_t size = 0) {
    Batch batch;
    batch.push_back(pool_.copy_of(test::make_frame({.seq = seq, .payload = test::pattern(size)})));
    if (size > 1400) batch[0].meta().gso = {.kind = GsoKind::kTcpV4, .segment_size = 1000};
    const auto gone = from.write(batch);
    EXPECT_EQ(from.counters().drops.total(), 0U);
    return gone == 1;
  }
  static bool is(const Packet& p, std::uint32_t seq) {
    return is_tcp(p) && tcp_seq(p).value() == seq;
  }

  /// What arrives up to the frame with this sequence number, that one included.
  Batch read_up_to(iface::Interface& at, std::uint32_t seq) {
    Batch batch;
    EXPECT_TRUE(lab::wait_until(
        [&] {
          (void)at.read(pool_, clock_.now(), batch);
          return std::ranges::any_of(batch, [&](const Packet& p) { return is(p, seq); });
        },
        5s));
    return batch;
  }

  bool pings(lab::Host& from, const char* to) {
    auto ping = must(from.start({.argv = {"ping", "-c", "1", "-W", "1", to}}));
    return must(ping.wait(10s)).ok();
  }
  std::string filters(const std::string& side) {
    return must(host_.output_of({"tc", "filter", "show", "dev", "in0", side}));
  }

  lab::Lab lab_;
  lab::Host& guest_ = *must(lab_.add_host("guest", {.ipv6 = lab::Ipv6::kOff}));
  lab::Host& host_ = *must(lab_.add_host("host", {.ipv6 = lab::Ipv6::kNoNoise}));
  SystemClock clock_;
  PacketPool pool_;
};

TEST_F(SealTest, TheGuestHearsVtlAlone) {
  auto guest = open(guest_, "eth0");
  auto beside = open(host_, "in0");
  for (const bool bypass : {false, true}) {
    auto vtl = seal({.qdisc_bypass = bypass});
    EXPECT_FALSE(pings(host_, "10.0.0.1"));
    EXPECT_FALSE(send(*beside, 1));
    EXPECT_TRUE(send(*vtl, 2, 20'000));
    EXPECT_TRUE(send(*vtl, 3));
    const Batch heard = read_up_to(*guest, 3);
    EXPECT_EQ(heard.size(), 2U) << "a super-frame and a frame of VTL's, nothing of the host's";
    EXPECT_TRUE(is(heard[0], 2));
    EXPECT_TRUE(heard[0].meta().gso.is_super());
    vtl.reset();
  }
  EXPECT_TRUE(pings(host_, "10.0.0.1")) << "left as it was found";
  EXPECT_TRUE(send(*beside, 4));
  const Batch heard = read_up_to(*guest, 4);
  EXPECT_TRUE(std::ranges::any_of(heard, [](const Packet& p) { return is_icmp(p); }))
      << "what is looked for above would be seen";
}

TEST_F(SealTest, OneThatIsKeptLetsTheNextVtlSpeakAndNobodyElse) {
  auto guest = open(guest_, "eth0");
  auto beside = open(host_, "in0");
  {
    auto first = seal({.seal = SealUse::kKeep});
    first.reset();
  }
  EXPECT_FALSE(send(*beside, 1));
  const auto before = filters("egress");
  auto second = seal({.seal = SealUse::kKeep});
  EXPECT_NE(filters("egress"), before) << "another mark";
  EXPECT_FALSE(send(*beside, 2));
  EXPECT_TRUE(send(*second, 3));
  EXPECT_EQ(read_up_to(*guest, 3).size(), 1U);
  second.reset();
}

TEST_F(SealTest, ASecondVtlOfTheDeviceIsRefusedAndTheFirstHeldToNothing) {
  auto guest = open(guest_, "eth0");
  auto first = seal();
  const auto before = filters("egress") + filters("ingress");
  const auto second = try_seal();
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().message,
            "seal in0: another VTL has sealed it and runs; stop that one first");
  EXPECT_EQ(filters("egress") + filters("ingress"), before);
  EXPECT_TRUE(send(*first, 1));
  EXPECT_EQ(read_up_to(*guest, 1).size(), 1U);
  first.reset();
}

TEST_F(SealTest, SeveralWorkersHaveOneMark) {
  auto guest = open(guest_, "eth0");
  std::vector<std::unique_ptr<iface::Interface>> workers;
  {
    const auto inside = host_.enter();
    workers = must(iface::open_af_packet_workers({.device = "in0", .seal = SealUse::kOn}, 3));
  }
  for (std::uint32_t i = 0; i < 3; ++i) EXPECT_TRUE(send(*workers[i], i + 1));
  EXPECT_EQ(read_up_to(*guest, 3).size(), 3U);
  workers.clear();
  EXPECT_EQ(filters("ingress"), "");
  EXPECT_EQ(filters("egress"), "");
}

}  // namespace
}  // namespace vtl
