// Frames that no honest stack sends, through a running engine and every service: each is forwarded
// as it came or a counted drop, and honest traffic still passes.
//
//   the test == memory == [ engine: link with its chain ] == memory == the test
#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <map>

#include "tests/support/malformed_frames.h"
#include "tests/support/memory_transport.h"
#include "vtl/engine/engine.h"
#include "vtl/iface/memory.h"
#include "vtl/service/bridge/bridge.h"
#include "vtl/service/gateway/gateway.h"
#include "vtl/service/impair/impair.h"

namespace vtl::service {
namespace {

using test::MalformedFrame;
using test::MalformedFrames;
using test::Octets;

enum class Chain : std::uint8_t { kEmpty, kBridge, kImpair, kGatewayRefuses, kGatewayPasses, kAll };

engine::ServiceFactory gateway(PeerDownPolicy policy) {
  GatewayOptions options;
  options.peer = "peer";
  options.match = "tcp and not port 22";
  options.on_peer_down = policy;
  return [options](std::uint32_t) { return std::move(*Gateway::create(options)); };
}

std::vector<engine::ServiceFactory> services(Chain chain) {
  ImpairConfig line;
  line.outbound.delay = line.inbound.delay = 1ms;
  line.outbound.rate_bps = line.inbound.rate_bps = 10'000'000'000;
  switch (chain) {
    case Chain::kEmpty:
      return {};
    case Chain::kBridge:
      return {make_bridge()};
    case Chain::kImpair:
      return {make_impair(line)};
    case Chain::kGatewayRefuses:
      return {gateway(PeerDownPolicy::kRefuse)};
    case Chain::kGatewayPasses:
      return {gateway(PeerDownPolicy::kPass)};
    case Chain::kAll:
      return {make_bridge(), gateway(PeerDownPolicy::kRefuse), make_impair(line)};
  }
  return {};
}

class Malformed : public testing::TestWithParam<Chain> {
 protected:
  void start(bool network_super_frames = true) {
    engine::EngineConfig config;
    config.interfaces = {open("guest", guest_, true),
                         open("network", network_, network_super_frames)};
    config.peers = {{"peer", [](Reactor& reactor, std::uint32_t) {
                       auto away = std::make_unique<test::MemoryTransport>(reactor, 65536);
                       away->up = false;
                       return Outcome<std::unique_ptr<transport::Transport>>(std::move(away));
                     }}};
    config.links.push_back(
        {.name = "l", .guest = "guest", .network = "network", .services = services(GetParam())});
    const auto started = engine_.start(std::move(config));
    ASSERT_TRUE(started) << started.error().message;
  }

  // Writes `frames` from one side, and takes what comes out on both meanwhile.
  template <class Frames, class ToPacket>
  void send(iface::Interface& from, const Frames& frames, const ToPacket& to_packet) {
    for (const auto& frame : frames) {
      Batch one;
      one.push_back(to_packet(frame));
      while (from.write(one) != 1) take();
      take();
    }
  }
  void take() {
    for (auto& side :
         {std::pair{guest_.get(), &at_guest_}, std::pair{network_.get(), &at_network_}}) {
      Batch batch;
      while (side.first->read(pool_, Time{}, batch) == iface::ReadStatus::kMore) {
      }
      for (const Packet& p : batch) side.second->emplace_back(p.bytes().begin(), p.bytes().end());
    }
  }
  bool until(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + 30s;
    for (take(); !condition(); take()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::array<pollfd, 2> ready{{{guest_->fd(), POLLIN, 0}, {network_->fd(), POLLIN, 0}}};
      ::poll(ready.data(), ready.size(), 1);  // counters may change without a frame
    }
    return true;
  }

  // Where frames went that did not come out at the other side.
  struct Fate {
    std::uint64_t dropped = 0, opened = 0;
  };
  Fate fate() {
    Fate out;
    const auto status = engine_.status();
    const auto add = [&](const engine::DropList& drops) {
      for (const auto& [reason, count] : drops) out.dropped += count;
    };
    for (const auto& interface : status.interfaces) add(interface.drops);
    for (const auto& link : status.links) {
      add(link.drops);
      for (const auto& service : link.services) add(service.drops);
    }
    for (const auto& group : engine_.list_metrics()) {
      for (const auto& metric : group.metrics) {
        if (metric.name == "opened_total") out.opened += static_cast<std::uint64_t>(metric.value);
      }
    }
    return out;
  }

  void expect_honest_frames_pass() {
    for (const bool outbound : {true, false}) {
      const Octets honest = test::make_frame({.protocol = 17, .source_port = 1, .payload = {1, 2}});
      auto& out = outbound ? at_network_ : at_guest_;
      send(outbound ? *guest_ : *network_, std::vector<Octets>{honest},
           [&](const Octets& o) { return pool_.copy_of(o); });
      EXPECT_TRUE(until([&] { return std::ranges::find(out, honest) != out.end(); }));
    }
  }

  PacketPool pool_;
  std::unique_ptr<iface::Interface> guest_, network_;  // the test's ends
  std::vector<Octets> at_guest_, at_network_;          // what came out
  engine::Engine engine_;

 private:
  static engine::InterfaceConfig open(const std::string& name,
                                      std::unique_ptr<iface::Interface>& outer, bool super_frames) {
    auto pair = iface::open_memory_pair({.name = name, .super_frames = super_frames},
                                        {.name = name, .super_frames = super_frames});
    outer = std::move(pair->first);
    auto inner = std::make_shared<std::unique_ptr<iface::Interface>>(std::move(pair->second));
    return {name, [inner](std::uint32_t, std::uint32_t) {
              return Outcome<std::unique_ptr<iface::Interface>>(std::move(*inner));
            }};
  }
};

TEST_P(Malformed, EveryFrameIsForwardedAsItIsOrACountedDrop) {
  start();
  const auto frames = MalformedFrames::make(1);
  ASSERT_GT(frames.size(), 3000U);
  const auto to_packet = [&](const MalformedFrame& f) { return pool_.copy_of(f.octets); };
  std::map<Octets, int> left;  // sent and not come out
  for (const auto& frame : frames) ++left[frame.octets];

  send(*guest_, frames, to_packet);
  Fate outbound;
  const bool all_told = until([&] {
    outbound = fate();
    return at_network_.size() + outbound.dropped + outbound.opened == frames.size();
  });
  EXPECT_TRUE(all_told) << frames.size() << " sent, " << at_network_.size() << " came out, "
                        << outbound.dropped << " dropped, " << outbound.opened << " opened";
  for (const Octets& frame : at_network_) EXPECT_GE(--left[frame], 0) << "not what was sent";
  EXPECT_GT(at_network_.size(), frames.size() / 2);

  // Inbound nothing is taken: no connection is opened by what the network sends.
  at_guest_.clear();
  const Fate before = fate();
  send(*network_, frames, to_packet);
  Fate inbound;
  EXPECT_TRUE(until([&] {
    inbound = fate();
    return at_guest_.size() + inbound.dropped - before.dropped >= frames.size();
  })) << at_guest_.size()
      << " came out of " << frames.size();
  EXPECT_EQ(inbound.opened, before.opened);
  expect_honest_frames_pass();
}

// The same as super-frames with unfinished checksums, as a guest's virtio card may hand them over,
// toward an interface that takes neither: what cannot be cut or finished is dropped.
TEST_P(Malformed, SuperFramesWithLyingHeadersAreCutOrDropped) {
  start(/*network_super_frames=*/false);
  const auto frames = MalformedFrames::make(1);
  struct Lie {
    GsoKind kind;
    std::uint16_t size, header_length, start, offset;
  };
  static constexpr std::array kLies{
      Lie{GsoKind::kTcpV4, 8, 54, 34, 16}, Lie{GsoKind::kTcpV6, 8, 74, 54, 16},
      Lie{GsoKind::kUdp, 8, 42, 34, 6},    Lie{GsoKind::kTcpV4, 0, 0, 0, 0},
      Lie{GsoKind::kNone, 0, 0, 34, 16},   Lie{GsoKind::kTcpV4, 1, 65535, 65535, 65535},
      Lie{GsoKind::kNone, 0, 0, 65535, 0}, Lie{GsoKind::kTcpV6, 1, 1, 14, 2}};
  std::size_t number = 0;
  send(*guest_, frames, [&](const MalformedFrame& f) {
    const Lie& lie = kLies[number++ % kLies.size()];
    Packet packet = pool_.copy_of(f.octets);
    packet.meta().gso = {
        .kind = lie.kind, .segment_size = lie.size, .header_length = lie.header_length};
    packet.meta().checksum = {ChecksumKind::kPartial, lie.start, lie.offset};
    return packet;
  });
  EXPECT_TRUE(until([&] { return engine_.status().links[0].frames_out == frames.size(); }));
  EXPECT_GT(fate().dropped, 100U);
  expect_honest_frames_pass();
}

std::string chain_name(const testing::TestParamInfo<Chain>& each) {
  static constexpr std::array kNames{"Empty",          "Bridge",        "Impair",
                                     "GatewayRefuses", "GatewayPasses", "All"};
  return kNames[static_cast<std::size_t>(each.param)];
}

INSTANTIATE_TEST_SUITE_P(Chains, Malformed,
                         testing::Values(Chain::kEmpty, Chain::kBridge, Chain::kImpair,
                                         Chain::kGatewayRefuses, Chain::kGatewayPasses,
                                         Chain::kAll),
                         chain_name);

}  // namespace
}  // namespace vtl::service
