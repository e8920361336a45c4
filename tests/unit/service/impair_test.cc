#include "vtl/service/impair/impair.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "vtl/packet/checksum.h"
#include "vtl/service/bridge/bridge.h"

namespace vtl::service {
namespace {

using engine::Direction;

// A reactor on a virtual clock: timers only.
class VirtualReactor final : public Reactor {
 public:
  Time now() const noexcept override { return now_; }
  void post(std::function<void()> task) override { task(); }
  std::unique_ptr<FdWatch> watch(int, Readiness, std::function<void(Readiness)>) override {
    return nullptr;
  }
  TimerWheel& timers() noexcept override { return timers_; }
  std::uint32_t worker() const noexcept override { return 0; }

  /// Moves the clock to `to`, stopping wherever a timer is due.
  void advance(Time to) {
    while (true) {
      const Time next = timers_.next_deadline();
      if (next > to) break;
      now_ = std::max(now_, next);
      timers_.advance(now_);
    }
    now_ = to;
    timers_.advance(now_);
  }

 private:
  Time now_{10s};
  TimerWheel timers_{50us, Time{10s}};
};

class Context final : public engine::ServiceContext {
 public:
  Reactor& reactor() noexcept override { return virtual_reactor; }
  PacketPool& pool() noexcept override { return packets; }
  Rng& rng() noexcept override { return random; }
  const std::string& link_name() const noexcept override { return name; }
  std::uint32_t workers() const noexcept override { return 1; }
  void emit(Direction direction, Packet packet) override {
    emitted[static_cast<std::size_t>(direction)].push_back(std::move(packet));
    at.push_back(virtual_reactor.now());
  }
  void drop(Packet packet, DropReason reason) override {
    drops.add(reason);
    packet.reset();
  }
  std::size_t mtu(Direction) const noexcept override { return 1500; }
  wire::MacAddress interface_mac(Direction) const noexcept override { return {}; }
  transport::Transport* peer(std::string_view) noexcept override { return nullptr; }
  transport::Proxy* proxy(std::string_view) noexcept override { return nullptr; }

  PacketPool packets;
  VirtualReactor virtual_reactor;
  Rng random{1};
  std::string name = "l";
  std::array<Batch, 2> emitted;
  std::vector<Time> at;
  DropCounters drops;
};

class ImpairTest : public testing::Test {
 protected:
  void start(const ImpairConfig& config) {
    ASSERT_TRUE(check(config));
    service_ = make_impair(config)(0);
    service_->start(context_);
  }

  // What went on at once.
  std::size_t process(Direction direction, std::size_t frames, std::size_t size = 1500) {
    Batch batch;
    for (std::size_t i = 0; i < frames; ++i) {
      Packet packet = context_.packets.allocate(size);
      std::fill(packet.mutable_bytes().begin(), packet.mutable_bytes().end(), std::uint8_t{0});
      batch.push_back(std::move(packet));
    }
    service_->process(direction, batch);
    return batch.size();
  }

  Batch& emitted(Direction d) { return context_.emitted[static_cast<std::size_t>(d)]; }

  Context context_;
  std::unique_ptr<engine::Service> service_;
};

TEST_F(ImpairTest, WithEverythingOffFramesGoOnAtOnce) {
  start({});
  EXPECT_EQ(process(Direction::kOutbound, 3), 3U);
  EXPECT_EQ(process(Direction::kInbound, 2), 2U);
}

TEST_F(ImpairTest, EachDirectionHasItsOwnDelay) {
  start({.outbound = {.delay = 10ms}, .inbound = {.delay = 30ms}});
  EXPECT_EQ(process(Direction::kOutbound, 1), 0U);
  EXPECT_EQ(process(Direction::kInbound, 1), 0U);
  context_.virtual_reactor.advance(Time{10s + 9ms});
  EXPECT_EQ(emitted(Direction::kOutbound).size(), 0U);
  context_.virtual_reactor.advance(Time{10s + 10ms + 100us});
  EXPECT_EQ(emitted(Direction::kOutbound).size(), 1U);
  EXPECT_EQ(emitted(Direction::kInbound).size(), 0U);
  context_.virtual_reactor.advance(Time{10s + 31ms});
  EXPECT_EQ(emitted(Direction::kInbound).size(), 1U);
}

TEST_F(ImpairTest, FramesLeaveAtTheRateInFewReleases) {
  start({.outbound = {.rate_bps = 1'000'000'000, .queue_time = 100ms}});
  std::size_t sent = process(Direction::kOutbound, 1000);
  context_.virtual_reactor.advance(Time{10s + 6ms});
  sent += emitted(Direction::kOutbound).size();
  // 12 us each, and what departs within the interval and tick of the last release waits for it.
  EXPECT_LE(sent, 500U);
  EXPECT_GE(sent, 500U - 150U / 12U);
  const auto releases = std::unique(context_.at.begin(), context_.at.end()) - context_.at.begin();
  EXPECT_LE(releases, 61);
  context_.virtual_reactor.advance(Time{10s + 13ms});
  EXPECT_EQ(emitted(Direction::kOutbound).size(), 1000U);
}

TEST_F(ImpairTest, LossIsCountedAsADropOfTheService) {
  start({.outbound = {.loss = 1}});
  process(Direction::kOutbound, 5);
  EXPECT_EQ(context_.drops.value(DropReason::kImpairLoss), 5U);
  std::vector<engine::ServiceMetric> metrics;
  service_->list_metrics(metrics);
  const auto lost = std::find_if(metrics.begin(), metrics.end(),
                                 [](const auto& m) { return m.name == "outbound_lost_total"; });
  ASSERT_NE(lost, metrics.end());
  EXPECT_EQ(lost->value, 5);
}

// An IPv4 TCP super-frame of `payload` octets, checksum partial.
Packet super_frame(PacketPool& pool, std::size_t payload) {
  Packet packet = pool.allocate(54 + payload);
  auto bytes = packet.mutable_bytes();
  std::fill(bytes.begin(), bytes.end(), std::uint8_t{0});
  store_be16(bytes, 12, 0x0800);
  bytes[14] = 0x45;
  store_be16(bytes, 16, static_cast<std::uint16_t>(40 + payload));
  bytes[22] = 64;
  bytes[23] = 6;
  store_be32(bytes, 26, 0x0a000001);
  store_be32(bytes, 30, 0x0a000002);
  store_be16(bytes, 34, 1000);
  store_be16(bytes, 36, 2000);
  bytes[46] = 0x50;
  bytes[47] = 0x10;
  packet.headers_changed();
  compute_checksums(packet);
  leave_checksum_partial(packet);
  packet.meta().gso = {GsoKind::kTcpV4, false, 1448, 54};
  return packet;
}

TEST_F(ImpairTest, SuperFramesAreCutAndTheirChecksumsFinished) {
  start({.outbound = {.rate_bps = 1'000'000'000}});
  Batch batch;
  batch.push_back(super_frame(context_.packets, 14480));
  service_->process(Direction::kOutbound, batch);
  context_.virtual_reactor.advance(Time{10s + 1ms});
  auto& out = emitted(Direction::kOutbound);
  ASSERT_EQ(out.size(), 10U);
  for (std::size_t i = 0; i < 10; ++i) {
    EXPECT_EQ(out[i].size(), 54U + 1448U);
    EXPECT_FALSE(out[i].meta().gso.is_super());
    EXPECT_EQ(out[i].meta().checksum.kind, ChecksumKind::kComplete);
    EXPECT_TRUE(verify_checksums(out[i]));
    EXPECT_EQ(load_be32(out[i].bytes(), 38), i * 1448);
  }
}

TEST_F(ImpairTest, PartialChecksumOfAnOrdinaryFrameIsFinished) {
  start({});
  Batch batch;
  batch.push_back(super_frame(context_.packets, 100));
  batch[0].meta().gso = {};
  service_->process(Direction::kOutbound, batch);
  ASSERT_EQ(batch.size(), 1U);
  EXPECT_EQ(batch[0].meta().checksum.kind, ChecksumKind::kComplete);
  EXPECT_TRUE(verify_checksums(batch[0]));
}

TEST_F(ImpairTest, FrameThatLiesAboutItsChecksumOrSegmentsIsACountedDrop) {
  start({});
  Batch batch;
  batch.push_back(super_frame(context_.packets, 3000));
  batch[0].mutable_bytes()[14] = 0x4f;
  store_be16(batch[0].mutable_bytes(), 12, 0x1234);
  batch[0].headers_changed();
  batch.push_back(super_frame(context_.packets, 100));
  batch[1].meta().gso = {};
  batch[1].meta().checksum.start = 60000;
  service_->process(Direction::kOutbound, batch);
  EXPECT_TRUE(batch.empty());
  EXPECT_EQ(context_.drops.total(), 2U);
}

TEST_F(ImpairTest, SmallFrameInALargeBufferTravelsInASmallOne) {
  start({.outbound = {.delay = 10ms}});
  Batch batch;
  batch.push_back(context_.packets.allocate(60000));
  auto bytes = batch[0].mutable_bytes();
  std::fill(bytes.begin(), bytes.end(), std::uint8_t{0});
  batch[0].resize(100);
  service_->process(Direction::kOutbound, batch);
  EXPECT_LT(context_.packets.bytes_in_use(), 4096U);
}

TEST_F(ImpairTest, DirectionsDoNotDisturbEachOthersRandomness) {
  const ImpairConfig config{.outbound = {.loss = 0.5}, .inbound = {.loss = 0.5}, .seed = 3};
  std::array<std::vector<std::size_t>, 2> went_on;
  for (const bool busy : {false, true}) {
    Context context;
    auto service = make_impair(config)(0);
    service->start(context);
    for (int i = 0; i < 200; ++i) {
      Batch batch;
      if (busy) {
        batch.push_back(context.packets.copy_of(std::vector<std::uint8_t>(60)));
        service->process(Direction::kInbound, batch);
        batch.clear();
      }
      batch.push_back(context.packets.copy_of(std::vector<std::uint8_t>(60)));
      service->process(Direction::kOutbound, batch);
      went_on[busy ? 1 : 0].push_back(batch.size());
    }
    service.reset();
  }
  EXPECT_EQ(went_on[0], went_on[1]);
}

TEST_F(ImpairTest, CheckNamesTheDirection) {
  const auto ok = check(ImpairConfig{.inbound = {.loss = 2}});
  ASSERT_FALSE(ok);
  EXPECT_EQ(ok.error().message, "inbound: loss is a probability between 0 and 1, not 2");
}

TEST_F(ImpairTest, BridgeTouchesNothing) {
  auto bridge = make_bridge()(0);
  bridge->start(context_);
  Batch batch;
  batch.push_back(super_frame(context_.packets, 3000));
  const auto* bytes = batch[0].bytes().data();
  bridge->process(Direction::kOutbound, batch);
  ASSERT_EQ(batch.size(), 1U);
  EXPECT_EQ(batch[0].bytes().data(), bytes);
  EXPECT_EQ(batch[0].meta().checksum.kind, ChecksumKind::kPartial);
  EXPECT_EQ(bridge->kind(), "bridge");
}

}  // namespace
}  // namespace vtl::service
