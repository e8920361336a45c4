// The seal of a device against the real kernel.
//
//   guest eth0 ------- in0 [ host ]
//   10.0.0.1                10.0.0.9     VTL's interface is on in0, which is sealed
#include "vtl/iface/seal.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "lab/lab.h"
#include "lab/must.h"
#include "lab/wait.h"
#include "tests/netns/pieces.h"
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
        60s));
    return batch;
  }

  bool pings(lab::Host& from, const char* to) {
    auto ping = must(from.start({.argv = {"ping", "-c", "1", "-W", "1", to}}));
    return must(ping.wait(60s)).ok();
  }
  void tc(std::vector<std::string> words) {
    words.insert(words.begin(), "tc");
    must(host_.run({.argv = std::move(words)}));
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
            "seal in0: another process, a running vtl most likely, has the claim on it; stop that "
            "one first (ss -xlp | grep vtl-seal-in0)");
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

// As the engine does: attends whenever there is something to attend to.
template <class Reached>
bool attend_until(iface::Interface& interface, Reached reached) {
  return lab::wait_until(
      [&] {
        if (test::ready(interface.events_fd(), POLLIN, 0)) interface.attend();
        return reached();
      },
      60s);
}

bool attend_until_whole(iface::Interface& interface, bool whole) {
  return attend_until(interface, [&] { return interface.seal()->whole == whole; });
}

TEST_F(SealTest, AFilterThatIsTakenAwayIsPutBackAndCounted) {
  auto vtl = seal();
  const auto before = filters("egress") + filters("ingress");
  ASSERT_TRUE(vtl->seal()->whole);
  std::uint64_t lost = 0;
  using Words = std::vector<std::string>;
  for (const Words& words : {Words{"filter", "del", "dev", "in0", "ingress"},
                             {"filter", "del", "dev", "in0", "ingress", "pref", "1"},
                             {"filter", "del", "dev", "in0", "egress"},
                             {"qdisc", "del", "dev", "in0", "clsact"},
                             {"filter", "replace", "dev", "in0", "egress", "pref", "1", "handle",
                              "0x56544c", "bpf", "da", "bytecode", "1,6 0 0 0"}}) {
    SCOPED_TRACE(testing::PrintToString(words));
    tc(words);
    ++lost;
    EXPECT_TRUE(attend_until(*vtl, [&] { return vtl->seal()->reseals == lost; }));
    EXPECT_TRUE(vtl->seal()->whole);
    EXPECT_EQ(filters("egress") + filters("ingress"), before);
  }
  while (test::ready(vtl->events_fd(), POLLIN, 0)) vtl->attend();
  EXPECT_EQ(vtl->seal()->reseals, lost) << "its own doing is no loss";
}

TEST_F(SealTest, AMissedNotificationMeansThatAllIsLookedAt) {
  auto vtl = seal();
  std::string many;
  for (int i = 0; i < 1000; ++i) many += fmt::format("link set in0 alias number{}\n", i);
  must(host_.ip(many));
  tc({"qdisc", "del", "dev", "in0", "clsact"});
  // More than the socket holds: the last one, which matters, is not among them.
  EXPECT_TRUE(attend_until(*vtl, [&] { return vtl->seal()->reseals == 1; }));
  EXPECT_TRUE(vtl->seal()->whole);
}

TEST_F(SealTest, WhatCannotBeSealedIsNotCarriedUntilItCan) {
  auto guest = open(guest_, "eth0");
  auto vtl = seal();
  tc({"filter", "del", "dev", "in0", "ingress"});
  // Filters of one preference are all for the same protocol.
  tc({"filter", "add", "dev", "in0", "ingress", "pref", "1", "protocol", "ip", "bpf", "bytecode",
      "1,6 0 0 0", "classid", "1:1"});
  ASSERT_TRUE(attend_until_whole(*vtl, false));
  EXPECT_NE(vtl->seal()->trouble.find("filter at the ingress: "), std::string::npos)
      << vtl->seal()->trouble;
  EXPECT_FALSE(vtl->is_up());
  Batch batch;
  batch.push_back(pool_.copy_of(test::make_frame({})));
  EXPECT_EQ(vtl->write(batch), 1U);
  EXPECT_EQ(vtl->counters().drops.value(DropReason::kUnsealed), 1U);
  const test::SuperFrameInPieces pieces(pool_, {.payload = test::pattern(9000)}, 1000);
  EXPECT_FALSE(vtl->write_gathered(pieces.head, pieces.payload));
  EXPECT_EQ(vtl->counters().tx_frames.value(), 0U);
  EXPECT_TRUE(send(*guest, 1));
  Batch read;
  EXPECT_TRUE(lab::wait_until(
      [&] {
        EXPECT_NE(vtl->read(pool_, clock_.now(), read), iface::ReadStatus::kClosed);
        return vtl->counters().drops.value(DropReason::kUnsealed) >= 2;
      },
      60s));
  EXPECT_TRUE(read.empty());
  tc({"filter", "del", "dev", "in0", "ingress", "pref", "1"});
  ASSERT_TRUE(attend_until_whole(*vtl, true));
  EXPECT_TRUE(vtl->is_up());
  EXPECT_TRUE(send(*guest, 2));
  read_up_to(*vtl, 2);
}

TEST_F(SealTest, ADeviceThatIsMadeAgainIsSealedFirstAndThenUsed) {
  auto vtl = seal({.seal = SealUse::kOn});
  must(host_.ip("link del in0"));
  ASSERT_TRUE(attend_until_whole(*vtl, false));
  EXPECT_EQ(vtl->seal()->trouble,
            "the device has gone; it is sealed and used again when it is back");
  EXPECT_FALSE(vtl->is_up());
  Batch batch;
  EXPECT_EQ(vtl->read(pool_, clock_.now(), batch), iface::ReadStatus::kOk);
  must(lab_.connect({guest_, "eth0"}, {host_, "in0"}));
  ASSERT_TRUE(attend_until_whole(*vtl, true));
  EXPECT_EQ(vtl->seal()->reseals, 0U) << "nobody has broken a seal";
  auto guest = open(guest_, "eth0");
  auto beside = open(host_, "in0");
  EXPECT_FALSE(send(*beside, 1));
  EXPECT_TRUE(send(*vtl, 2));
  EXPECT_EQ(read_up_to(*guest, 2).size(), 1U);
  EXPECT_TRUE(send(*guest, 3));
  read_up_to(*vtl, 3);
  EXPECT_EQ(vtl->mac(), must(host_.mac("in0")));
  // What the kernel told of VTL's own filters is read by now: they are no stranger's.
  ASSERT_TRUE(attend_until(*vtl, [&] { return !test::ready(vtl->events_fd(), POLLIN, 0); }));
  vtl.reset();
  EXPECT_EQ(filters("ingress") + filters("egress"), "") << "made by this one, and taken away";
}

TEST_F(SealTest, OneThatSeveralWorkersShareIsSealedAgainAndClosed) {
  std::vector<std::unique_ptr<iface::Interface>> workers;
  {
    const auto inside = host_.enter();
    workers = must(iface::open_af_packet_workers({.device = "in0", .seal = SealUse::kOn}, 2));
  }
  EXPECT_GE(workers[0]->events_fd(), 0);
  EXPECT_EQ(workers[1]->events_fd(), -1) << "one attends for all";
  must(host_.ip("link del in0"));
  must(lab_.connect({guest_, "eth0"}, {host_, "in0"}));
  Batch batch;
  ASSERT_TRUE(attend_until(*workers[0], [&] {
    return workers[0]->read(pool_, clock_.now(), batch) == iface::ReadStatus::kClosed;
  }));
  for (auto& worker : workers) {
    EXPECT_TRUE(lab::wait_until(
        [&] { return worker->read(pool_, clock_.now(), batch) == iface::ReadStatus::kClosed; },
        60s));
    EXPECT_TRUE(worker->seal()->whole);
  }
}

TEST_F(SealTest, OneThatWasLeftIsTakenAwayByHandAndOneThatIsHeldIsNot) {
  const auto unseal = [&](const char* device) {
    const auto inside = host_.enter();
    return iface::Seal::remove(device);
  };
  auto vtl = seal({.seal = SealUse::kKeep});
  const auto held = unseal("in0");
  ASSERT_FALSE(held);
  EXPECT_EQ(
      held.error().message,
      "unseal in0: another process, a running vtl most likely, has the claim on it; stop that "
      "one first: vtl stop (ss -xlp | grep vtl-seal-in0)");
  vtl.reset();
  EXPECT_FALSE(pings(host_, "10.0.0.1"));
  EXPECT_TRUE(must(unseal("in0")));
  EXPECT_TRUE(pings(host_, "10.0.0.1"));
  EXPECT_FALSE(must(unseal("in0"))) << "there is none any more";
  EXPECT_FALSE(unseal("nosuch0"));
}

}  // namespace
}  // namespace vtl
