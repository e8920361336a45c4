// af_packet against the real kernel.
//
//   client eth0 ------- in0 [ host ] out0 ------- eth0 server
//   10.0.0.1, fd00::1     VTL's interfaces        10.0.0.2, fd00::2
#include "vtl/iface/af_packet.h"

#include <gtest/gtest.h>
#include <net/if.h>

#include <algorithm>
#include <optional>
#include <set>

#include "lab/must.h"
#include "tests/netns/forwarder.h"
#include "tests/netns/pieces.h"
#include "tests/netns/streams.h"
#include "tests/support/three_hosts.h"
#include "tests/unit/packet/frames.h"
#include "vtl/packet/access.h"
#include "vtl/packet/checksum.h"

namespace vtl {
namespace {

using lab::must;
using test::Octets;

constexpr std::uint16_t kPort = 5000;

class AfPacketTest : public ::testing::Test {
 protected:
  void connect(int mtu = 1500, lab::Offloads offloads = lab::Offloads::kKeep) {
    hosts_.emplace(lab::LinkOptions{.mtu = mtu, .offloads = offloads});
    client_ = &hosts_->client;
    host_ = &hosts_->host;
    server_ = &hosts_->server;
  }

  std::unique_ptr<iface::Interface> open(const std::string& device, bool host_frames = false) {
    const auto inside = host_->enter();
    return must(iface::open_af_packet({.device = device, .host_frames = host_frames}));
  }

  // Reads until `enough` says so or the bound has passed.
  template <class Enough>
  Batch read_until(iface::Interface& from, Enough enough) {
    Batch batch;
    (void)lab::wait_until(
        [&] {
          (void)from.read(pool_, clock_.now(), batch);
          return enough(batch);
        },
        5s);
    return batch;
  }

  std::optional<test::ThreeHosts> hosts_;
  lab::Host *client_ = nullptr, *host_ = nullptr, *server_ = nullptr;
  SystemClock clock_;
  PacketPool pool_;
};

TEST_F(AfPacketTest, TcpCrossesWholeInSuperFramesBothWays) {
  connect();
  const test::Forwarder forwarder(open("in0"), open("out0"));
  const Octets data = test::pattern(16 << 20);
  for (const auto& [from, to] : {std::pair{"10.0.0.1", "10.0.0.2"}, {"fd00::1", "fd00::2"}}) {
    const auto [client, server] = test::connected(*client_, from, *server_, to, kPort);
    EXPECT_TRUE(test::transfer(client.get(), server.get(), data) == data) << from;
    EXPECT_TRUE(test::transfer(server.get(), client.get(), data) == data) << from;
  }
  EXPECT_GT(forwarder.a().counters().rx_super_frames.value(), 50U);
  EXPECT_GT(forwarder.a().counters().tx_super_frames.value(), 50U);
  EXPECT_EQ(forwarder.a().counters().drops.total(), 0U);
  EXPECT_EQ(forwarder.b().counters().drops.total(), 0U);
}

TEST_F(AfPacketTest, JumboFramesPass) {
  connect(9000);
  const test::Forwarder forwarder(open("in0"), open("out0"));
  const Octets data = test::pattern(4 << 20);
  const auto [client, server] = test::connected(*client_, "10.0.0.1", *server_, "10.0.0.2", kPort);
  EXPECT_TRUE(test::transfer(client.get(), server.get(), data) == data);
  EXPECT_EQ(forwarder.a().capabilities().mtu, 9000U);
}

TEST_F(AfPacketTest, WithoutOffloadsWireFramesPassWhole) {
  connect(1500, lab::Offloads::kOff);
  const test::Forwarder forwarder(open("in0"), open("out0"));
  const Octets data = test::pattern(4 << 20);
  const auto [client, server] = test::connected(*client_, "fd00::1", *server_, "fd00::2", kPort);
  EXPECT_TRUE(test::transfer(client.get(), server.get(), data) == data);
  EXPECT_EQ(forwarder.a().counters().rx_super_frames.value(), 0U);
  EXPECT_GT(forwarder.a().counters().rx_frames.value(), 2500U);
}

TEST_F(AfPacketTest, OwnFramesAreNeverReadBackAndForeignOnesArriveOctetForOctet) {
  connect();
  auto in = open("in0");
  const auto inside = client_->enter();
  auto client = must(iface::open_af_packet({.device = "eth0"}));
  const Octets frame = test::make_frame({.payload = test::pattern(300)});
  Batch batch;
  for (int i = 0; i < 10; ++i) batch.push_back(pool_.copy_of(frame));
  ASSERT_EQ(in->write(batch), 10U);
  const auto ours = [](const Packet& p) { return is_tcp(p); };
  const Batch there =
      read_until(*client, [&](const Batch& b) { return std::ranges::count_if(b, ours) == 10; });
  ASSERT_EQ(std::ranges::count_if(there, ours), 10);
  for (const Packet& p : there) {
    EXPECT_TRUE(!ours(p) || std::ranges::equal(p.bytes(), frame));
  }
  // The frame that the client sends after them is read; what was sent before it is not.
  Batch marker;
  marker.push_back(pool_.copy_of(test::make_frame({.protocol = 17})));
  ASSERT_EQ(client->write(marker), 1U);
  const Batch back = read_until(*in, [](const Batch& b) { return std::ranges::any_of(b, is_udp); });
  EXPECT_TRUE(std::ranges::any_of(back, is_udp));
  EXPECT_FALSE(std::ranges::any_of(back, is_tcp));
}

TEST_F(AfPacketTest, TcpOverAVlanCrossesInTaggedSuperFrames) {
  connect();
  if (const auto added = client_->add_vlan("eth0", 42); !added) {
    GTEST_SKIP() << added.error().message;
  }
  must(server_->add_vlan("eth0", 42));
  must(client_->ip("addr add 10.42.0.1/24 dev eth0.42"));
  must(server_->ip("addr add 10.42.0.2/24 dev eth0.42"));
  const test::Forwarder forwarder(open("in0"), open("out0"));
  const Octets data = test::pattern(8 << 20);
  const auto [client, server] =
      test::connected(*client_, "10.42.0.1", *server_, "10.42.0.2", kPort);
  EXPECT_TRUE(test::transfer(client.get(), server.get(), data) == data);
  EXPECT_GT(forwarder.a().counters().rx_super_frames.value(), 10U);
}

TEST_F(AfPacketTest, ATaggedSuperFrameArrivesWithItsTagAndItsOffsets) {
  connect();
  auto in = open("in0");
  const auto inside = client_->enter();
  auto client = must(iface::open_af_packet({.device = "eth0"}));
  for (const bool v6 : {false, true}) {
    const test::FrameSpec spec{.v6 = v6, .vlans = {0x6005}, .payload = test::pattern(20'000)};
    Batch batch;
    batch.push_back(pool_.copy_of(test::make_frame(spec)));
    batch[0].meta().gso = {.kind = v6 ? GsoKind::kTcpV6 : GsoKind::kTcpV4, .segment_size = 1000};
    ASSERT_EQ(client->write(batch), 1U);
    ASSERT_EQ(client->counters().drops.total(), 0U);
    const Batch got =
        read_until(*in, [](const Batch& b) { return std::ranges::any_of(b, is_tcp); });
    const auto it = std::ranges::find_if(got, is_tcp);
    ASSERT_NE(it, got.end());
    EXPECT_EQ(it->layout().vlan, 5);
    EXPECT_EQ(it->meta().gso.segment_size, 1000);
    EXPECT_EQ(it->meta().gso.header_length, it->layout().payload_offset);
    EXPECT_EQ(it->meta().checksum.kind, ChecksumKind::kPartial);
    EXPECT_EQ(it->meta().checksum.start, it->layout().transport_offset);
    EXPECT_TRUE(std::ranges::equal(payload(*it), spec.payload));
    EXPECT_EQ(load_be16(it->bytes(), 14), 0x6005) << "priority too";
  }
}

TEST_F(AfPacketTest, DoublyTaggedFramesArriveOctetForOctet) {
  connect();
  auto in = open("in0");
  const auto inside = client_->enter();
  auto client = must(iface::open_af_packet({.device = "eth0"}));
  const Octets frame = test::make_frame({.vlans = {0x6005, 7}, .payload = test::pattern(100)});
  Batch batch;
  batch.push_back(pool_.copy_of(frame));
  ASSERT_EQ(client->write(batch), 1U);
  const Batch got = read_until(*in, [](const Batch& b) { return std::ranges::any_of(b, is_tcp); });
  const auto it = std::ranges::find_if(got, is_tcp);
  ASSERT_NE(it, got.end());
  EXPECT_TRUE(std::ranges::equal(it->bytes(), frame));
}

TEST_F(AfPacketTest, FramesToTheHostsOwnMacAreLeftToTheHostUnlessAskedFor) {
  connect();
  auto in = open("in0");
  auto all = open("in0", true);
  const auto inside = client_->enter();
  auto client = must(iface::open_af_packet({.device = "eth0"}));
  Batch batch;
  batch.push_back(pool_.copy_of(test::make_frame({.seq = 1})));
  set_destination_mac(batch[0], in->mac());
  batch.push_back(pool_.copy_of(test::make_frame({.seq = 2})));
  ASSERT_EQ(client->write(batch), 2U);
  const auto seen = [&](iface::Interface& from) {
    std::set<std::uint32_t> out;
    for (const Packet& p : read_until(from, [](const Batch& b) {
           return std::ranges::any_of(
               b, [](const Packet& p) { return is_tcp(p) && tcp_seq(p).value() == 2; });
         })) {
      if (is_tcp(p)) out.insert(tcp_seq(p).value());
    }
    return out;
  };
  EXPECT_EQ(seen(*in), (std::set<std::uint32_t>{2}));
  EXPECT_EQ(seen(*all), (std::set<std::uint32_t>{1, 2}));
}

// The host has an address on the device and would answer.
TEST_F(AfPacketTest, OfASealedDeviceTheHostSeesNothingAndVtlAll) {
  connect();
  must(host_->ip("addr add 10.0.0.9/24 dev in0"));
  const auto answered = [&] {
    auto ping = must(client_->start({.argv = {"ping", "-c", "1", "-W", "1", "10.0.0.9"}}));
    return must(ping.wait(10s)).ok();
  };
  ASSERT_TRUE(answered());
  const auto sealed = [&](iface::SealUse use) {
    const auto inside = host_->enter();
    return must(iface::open_af_packet({.device = "in0", .seal = use}));
  };
  {
    auto in = sealed(iface::SealUse::kOn);
    EXPECT_FALSE(answered());
    const auto to_host = [&](const Packet& p) {
      return is_icmp(p) && destination_mac(p) == in->mac();
    };
    EXPECT_TRUE(std::ranges::any_of(
        read_until(*in, [&](const Batch& b) { return std::ranges::any_of(b, to_host); }), to_host));
    const auto inside = host_->enter();
    in.reset();
  }
  EXPECT_TRUE(answered()) << "left as it was found";
  {
    auto in = sealed(iface::SealUse::kKeep);
    const auto inside = host_->enter();
    in.reset();
  }
  EXPECT_FALSE(answered()) << "kept";
  auto again = sealed(iface::SealUse::kOn);
  const auto inside = host_->enter();
  again.reset();
  EXPECT_FALSE(answered()) << "who took it over leaves it";
}

TEST_F(AfPacketTest, LinkDownAndUpAgainIsSurvived) {
  connect();
  auto in = open("in0");
  const auto inside_host = [&] { return host_->enter(); };
  {
    const auto inside = inside_host();
    EXPECT_TRUE(in->is_up());
  }
  must(host_->ip("link set in0 down"));
  Batch batch;
  {
    const auto inside = inside_host();
    EXPECT_TRUE(lab::wait_until([&] { return !in->is_up(); }, 5s));
    EXPECT_EQ(in->read(pool_, clock_.now(), batch), iface::ReadStatus::kOk);
    batch.clear();
    batch.push_back(pool_.copy_of(test::make_frame({})));
    EXPECT_EQ(in->write(batch), 1U);
    EXPECT_EQ(in->counters().drops.value(DropReason::kInterfaceDown), 1U);
    EXPECT_FALSE(test::ready(in->fd(), POLLIN, 0)) << "the error is told once, not for ever";
  }
  must(host_->ip("link set in0 up"));
  must(host_->wait_for_carrier("in0"));
  must(client_->wait_for_carrier("eth0"));
  const auto inside = client_->enter();
  auto client = must(iface::open_af_packet({.device = "eth0"}));
  Batch again;
  again.push_back(pool_.copy_of(test::make_frame({.seq = 77})));
  ASSERT_EQ(client->write(again), 1U);
  const Batch got = read_until(*in, [](const Batch& b) { return std::ranges::any_of(b, is_tcp); });
  EXPECT_TRUE(std::ranges::any_of(got, is_tcp));
}

TEST_F(AfPacketTest, ADeviceThatIsRemovedEndsTheInterface) {
  connect();
  auto in = open("in0");
  must(host_->ip("link del in0"));
  const auto inside = host_->enter();
  Batch batch;
  EXPECT_EQ(in->read(pool_, clock_.now(), batch), iface::ReadStatus::kClosed);
  EXPECT_FALSE(in->is_up());
  batch.clear();
  batch.push_back(pool_.copy_of(test::make_frame({})));
  EXPECT_EQ(in->write(batch), 1U);
  EXPECT_EQ(in->counters().drops.value(DropReason::kInterfaceDown), 1U);
}

TEST_F(AfPacketTest, AFrameOverTheMtuIsDroppedByName) {
  connect();
  auto in = open("in0");
  Batch batch;
  batch.push_back(pool_.copy_of(test::make_frame({.payload = test::pattern(3000)})));
  batch.push_back(pool_.copy_of(test::make_frame({})));
  EXPECT_EQ(in->write(batch), 2U);
  EXPECT_EQ(in->counters().drops.value(DropReason::kTxTooLarge), 1U);
  EXPECT_EQ(in->counters().tx_frames.value(), 1U);
}

TEST_F(AfPacketTest, ASuperFrameMadeHereIsCutRightByTheKernel) {
  connect();
  must(server_->set_offloads("eth0", lab::Offloads::kOff));
  must(host_->set_offloads("out0", lab::Offloads::kOff));
  auto out = open("out0");
  const auto inside = server_->enter();
  auto server = must(iface::open_af_packet({.device = "eth0", .host_frames = true}));
  for (const bool v6 : {false, true}) {
    for (const bool udp : {false, true}) {
      const test::FrameSpec spec{.v6 = v6,
                                 .protocol = static_cast<std::uint8_t>(udp ? 17 : 6),
                                 .payload = test::pattern(20'500)};
      Batch batch;
      batch.push_back(pool_.copy_of(test::make_frame(spec)));
      batch[0].meta().gso = {.kind = udp  ? GsoKind::kUdp
                                     : v6 ? GsoKind::kTcpV6
                                          : GsoKind::kTcpV4,
                             .segment_size = 1000};
      ASSERT_EQ(out->write(batch), 1U);
      ASSERT_EQ(out->counters().drops.total(), 0U);
      const auto ours = [&](const Packet& p) {
        return is_ipv6(p) == v6 && (udp ? is_udp(p) : is_tcp(p)) && payload(p).size() <= 1000;
      };
      const Batch got =
          read_until(*server, [&](const Batch& b) { return std::ranges::count_if(b, ours) >= 21; });
      Octets joined;
      for (const Packet& p : got) {
        if (!ours(p)) continue;
        EXPECT_TRUE(verify_checksums(p));
        joined.insert(joined.end(), payload(p).begin(), payload(p).end());
      }
      EXPECT_TRUE(joined == spec.payload) << v6 << udp << joined.size();
    }
  }
}

TEST_F(AfPacketTest, ASuperFrameInPiecesArrivesAsOneThatWasPutTogether) {
  connect();
  auto out = open("out0");
  ASSERT_TRUE(out->gathers());
  const auto inside = server_->enter();
  auto server = must(iface::open_af_packet({.device = "eth0", .host_frames = true}));
  std::size_t octets = 0;
  for (const bool v6 : {false, true}) {
    const test::SuperFrameInPieces pieces(pool_, {.v6 = v6, .payload = test::pattern(60'000)},
                                          1000);
    ASSERT_TRUE(out->write_gathered(pieces.head, pieces.payload));
    octets += pieces.whole.size();
    const auto ours = [&](const Packet& p) { return is_tcp(p) && is_ipv6(p) == v6; };
    const Batch got =
        read_until(*server, [&](const Batch& b) { return std::ranges::any_of(b, ours); });
    const auto it = std::ranges::find_if(got, ours);
    ASSERT_NE(it, got.end());
    EXPECT_TRUE(std::ranges::equal(it->bytes(), pieces.whole));
    EXPECT_EQ(it->meta().gso.segment_size, 1000);
    EXPECT_EQ(it->meta().checksum.kind, ChecksumKind::kPartial);
  }
  const test::SuperFrameInPieces many(pool_, {.payload = test::pattern(60'000)}, 1000, 4000);
  EXPECT_GT(many.payload.size(), iface::Interface::kMostGathered);
  EXPECT_FALSE(out->write_gathered(many.head, many.payload));
  must(host_->ip("link set out0 down"));
  const test::SuperFrameInPieces late(pool_, {.payload = test::pattern(60'000)}, 1000);
  EXPECT_FALSE(out->write_gathered(late.head, late.payload));
  EXPECT_EQ(out->counters().tx_frames.value(), 2U);
  EXPECT_EQ(out->counters().tx_super_frames.value(), 2U);
  EXPECT_EQ(out->counters().tx_bytes.value(), octets);
}

// The real kernel runs the fanout program; what it decides must be what the user space computes.
TEST_F(AfPacketTest, EveryFlowReachesTheWorkerOfItsSymmetricHashInBothDirections) {
  connect();
  constexpr std::uint32_t kWorkers = 7;
  const auto workers = [&] {
    const auto inside = host_->enter();
    return must(iface::open_af_packet_workers({.device = "in0"}, kWorkers));
  }();
  const auto inside = client_->enter();
  auto client = must(iface::open_af_packet({.device = "eth0"}));
  Rng rng(7);
  std::size_t flows = 0;
  for (int i = 0; i < 60; ++i) {
    test::FrameSpec spec{.v6 = rng.chance(0.5),
                         .protocol = static_cast<std::uint8_t>(rng.chance(0.5) ? 6 : 17),
                         .source_port = static_cast<std::uint16_t>(rng.next()),
                         .destination_port = static_cast<std::uint16_t>(rng.next()),
                         .payload = test::pattern(20),
                         .source_last = static_cast<std::uint8_t>(rng.next()),
                         .destination_last = static_cast<std::uint8_t>(rng.next())};
    if (rng.chance(0.3)) spec.vlans = {5};
    if (rng.chance(0.2)) spec.vlans = {6, 7};
    if (!spec.v6 && rng.chance(0.3)) spec.ip_options = Octets(8, 1);
    if (spec.v6 && rng.chance(0.5)) {  // destination options, authentication, atomic fragment
      spec.first_extension = 60;
      spec.extensions = {
          51, 0, 1, 4, 0, 0, 0, 0, 44, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, spec.protocol,
          0,  0, 0, 0, 0, 0, 9};
    }
    Batch batch;
    batch.push_back(pool_.copy_of(test::make_frame(spec)));
    batch.push_back(pool_.clone(batch[0]));
    swap_addresses(batch[1]);
    swap_ports(batch[1]);
    const auto key = flow_key(batch[0].bytes(), batch[0].layout());
    ASSERT_TRUE(key);
    const std::uint32_t expected = wire::symmetric_hash(*key) % kWorkers;
    ASSERT_EQ(wire::symmetric_hash(*flow_key(batch[1].bytes(), batch[1].layout())) % kWorkers,
              expected);
    ASSERT_EQ(client->write(batch), 2U);
    const auto ours = [&](const Packet& p) {
      const auto found = flow_key(p.bytes(), p.layout());
      return found && (*found == *key || *found == key->reversed());
    };
    const Batch got = read_until(
        *workers[expected], [&](const Batch& b) { return std::ranges::count_if(b, ours) == 2; });
    ASSERT_EQ(std::ranges::count_if(got, ours), 2) << to_string(*key) << " worker " << expected;
    ++flows;
  }
  EXPECT_EQ(flows, 60U);
}

TEST_F(AfPacketTest, TheWorkersKeepTheirFlowsWhenTheLinkWasDown) {
  connect();
  const auto workers = [&] {
    const auto inside = host_->enter();
    return must(iface::open_af_packet_workers({.device = "in0"}, 3));
  }();
  must(host_->ip("link set in0 down\nlink set in0 up"));
  must(host_->wait_for_carrier("in0"));
  must(client_->wait_for_carrier("eth0"));
  const auto inside = client_->enter();
  auto client = must(iface::open_af_packet({.device = "eth0"}));
  for (std::uint16_t port = 0; port < 12; ++port) {
    Batch batch;
    batch.push_back(pool_.copy_of(test::make_frame({.source_port = port})));
    const auto key = flow_key(batch[0].bytes(), batch[0].layout());
    ASSERT_EQ(client->write(batch), 1U);
    const auto ours = [&](const Packet& p) { return flow_key(p.bytes(), p.layout()) == key; };
    const Batch got = read_until(*workers[wire::symmetric_hash(*key) % 3],
                                 [&](const Batch& b) { return std::ranges::any_of(b, ours); });
    EXPECT_TRUE(std::ranges::any_of(got, ours)) << port;
  }
}

TEST_F(AfPacketTest, APoolAtItsBoundDropsByNameAndTheSocketDoesNotStayReadable) {
  connect();
  auto in = open("in0");
  const auto inside = client_->enter();
  auto client = must(iface::open_af_packet({.device = "eth0"}));
  Batch batch;
  batch.push_back(pool_.copy_of(test::make_frame({})));
  ASSERT_EQ(client->write(batch), 1U);
  PacketPool tight({.max_bytes = 1});
  Batch none;
  EXPECT_TRUE(lab::wait_until(
      [&] {
        (void)in->read(tight, clock_.now(), none);
        return in->counters().drops.value(DropReason::kNoPacketBuffer) > 0;
      },
      5s));
  EXPECT_TRUE(none.empty());
}

TEST_F(AfPacketTest, WhatCannotBeOpenedIsToldInOneLine) {
  const auto message = [](const iface::AfPacketOptions& options, std::uint32_t workers = 1) {
    const auto opened = iface::open_af_packet_workers(options, workers);
    return opened ? std::string("opened") : opened.error().message;
  };
  EXPECT_EQ(message({.device = "nosuch0"}),
            "af_packet nosuch0: no such network device; `ip link` lists those there are");
  EXPECT_NE(message({.device = "a-name-that-is-too-long"}).find("no such"), std::string::npos);
  EXPECT_NE(message({.device = "lo"}, 0).find("1 to 64"), std::string::npos);
}

}  // namespace
}  // namespace vtl
