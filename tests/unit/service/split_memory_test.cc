// A split whose memory is spent: what is there goes on, who stands still gives way, and waiting
// costs next to nothing.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <map>
#include <vector>

#include "tests/support/split_world.h"

namespace vtl::service {
namespace {

using endpoint::Config;
using endpoint::Endpoint;
using endpoint::State;
using test::SplitWorld;

std::uint8_t octet(std::uint64_t seed, std::size_t i) {
  return static_cast<std::uint8_t>((seed * 31 + i * 2654435761U) >> 13);
}

/// One direction of a connection: a writer that writes what it may, a reader of a given rate.
struct Flow {
  std::uint64_t seed = 0;
  std::size_t size = 0;
  std::size_t written = 0, read = 0;
  bool shut = false;
  bool wrong = false;
  Time read_at{};

  void write(Endpoint& e, Time now) {
    while (written < size && e.writable() > 0) {
      std::array<std::uint8_t, 4096> block;
      const std::size_t n = std::min({block.size(), size - written, e.writable()});
      for (std::size_t i = 0; i < n; ++i) block[i] = octet(seed, written + i);
      written += e.write(Bytes{block.data(), n}, now);
    }
    if (written == size && !shut) {
      shut = true;
      e.shutdown(now);
    }
  }
  void read_some(Endpoint& e, std::size_t most, Time now) {
    while (most > 0 && e.readable() > 0) {
      const Bytes bytes = e.peek().first(std::min(most, e.peek().size()));
      for (std::size_t i = 0; i < bytes.size(); ++i) wrong |= bytes[i] != octet(seed, read + i);
      read += bytes.size();
      most -= bytes.size();
      e.consume(bytes.size(), now);
    }
  }
  [[nodiscard]] bool done(const Endpoint& reader) const { return read == size && reader.at_end(); }
};

/// Connections of one world, each with a flow either way.
class Crowd {
 public:
  static constexpr Duration kBeat = 50ms;
  Crowd(SplitWorld& world, std::size_t connections, std::size_t up, std::size_t down)
      : world_(world) {
    for (std::size_t i = 0; i < connections; ++i) {
      const auto port = static_cast<std::uint16_t>(20000 + i);
      world.connect(port);
      flows_[port] = {Flow{2 * i, up, 0, 0, false, false, {}},
                      Flow{2 * i + 1, down, 0, 0, false, false, {}}};
    }
  }
  [[nodiscard]] bool open() {
    return std::ranges::all_of(flows_, [&](const auto& f) { return world_.established(f.first); });
  }
  /// Both ends of all write and read, `rate` octets in each kBeat, for `bound`; true: all is done.
  bool run(std::size_t rate, Duration bound) {
    Timer beat([] {});
    return world_.run_until(
        [&] {
          const Time now = world_.reactor.now();
          bool all = true;
          for (auto& [port, flow] : flows_) {
            Endpoint& client = world_.client_end(port);
            Endpoint& server = world_.server_end(port);
            flow[0].write(client, now);
            flow[1].write(server, now);
            if (now >= flow[0].read_at) {
              flow[0].read_at = now + kBeat;
              flow[0].read_some(server, rate, now);
              flow[1].read_some(client, rate, now);
            }
            all = all && flow[0].done(server) && flow[1].done(client);
          }
          if (!beat.armed()) world_.reactor.timers().arm(beat, now + kBeat);
          return all;
        },
        bound);
  }
  [[nodiscard]] std::size_t read() const {
    std::size_t n = 0;
    for (const auto& [port, flow] : flows_) n += flow[0].read + flow[1].read;
    return n;
  }
  [[nodiscard]] bool intact() const {
    return std::ranges::none_of(
        flows_, [](const auto& f) { return f.second[0].wrong || f.second[1].wrong; });
  }

 private:
  SplitWorld& world_;
  std::map<std::uint16_t, std::array<Flow, 2>> flows_;
};

constexpr std::size_t kFast = SIZE_MAX;

Config with_buffer(std::size_t octets) {
  Config config;
  config.receive_buffer = config.receive_buffer_initial = octets;
  return config;
}

TEST(SplitMemory, ManySlowReadersThenFast_AllFinish) {
  SplitOptions options;
  options.memory = std::size_t{2} << 20;
  SplitWorld world(options);
  world.serve(with_buffer(32 << 10));
  Crowd crowd(world, 6, 600'000, 0);
  ASSERT_TRUE(world.run_until([&] { return crowd.open(); }, 10s));
  (void)crowd.run(1000, 5s);
  for (int i = 0; i < 3; ++i) {  // they are slow, but they do not stand still
    const std::size_t before = crowd.read();
    (void)crowd.run(1000, 5s);
    EXPECT_GT(crowd.read(), before + 6 * 50'000) << i;
  }
  EXPECT_TRUE(crowd.run(kFast, 60s));
  EXPECT_TRUE(crowd.intact());
  EXPECT_EQ(world.metric("yielded_total"), 0);
  EXPECT_EQ(world.metric("buffer_bytes"), 0);
}

RC_GTEST_PROP(SplitMemoryProperty, WhoeverReadsSlowlyThenFastFinishes, ()) {
  SplitOptions options;
  options.memory = std::size_t{16384} * *rc::gen::inRange<std::size_t>(64, 130);
  options.buffer = std::size_t{1} << 20;
  SplitWorld world(options, *rc::gen::inRange<std::uint64_t>(1, 1000));
  world.client_loss = *rc::gen::element(0.0, 0.0, 0.01, 0.05);
  world.server_loss = *rc::gen::element(0.0, 0.0, 0.01, 0.05);
  world.serve(with_buffer(*rc::gen::element<std::size_t>(2000, 16'000, 256'000)));
  const auto up = *rc::gen::inRange<std::size_t>(0, 700'000);
  const auto down = *rc::gen::inRange<std::size_t>(0, 700'000);
  Crowd crowd(world, *rc::gen::inRange<std::size_t>(1, 24), up, down);
  RC_ASSERT(world.run_until([&] { return crowd.open(); }, 5min));
  (void)crowd.run(*rc::gen::inRange<std::size_t>(500, 5000), *rc::gen::element<Duration>(1s, 20s));
  RC_ASSERT(crowd.run(kFast, 1h));
  RC_ASSERT(crowd.intact());
  RC_ASSERT(world.metric("yielded_total") == 0);
  // The last acknowledgements may have been lost.
  RC_ASSERT(world.run_until([&] { return world.metric("buffer_bytes") == 0; }, 10min));
}

/// `n` connections whose clients take one octet and no more, with two on their way.
void leave_crumbs(SplitWorld& world, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    world.connect(static_cast<std::uint16_t>(20000 + i), with_buffer(1));
  }
  world.wait(2s);
  const std::array<std::uint8_t, 2> crumb{};
  for (auto& [key, connection] : world.server.connections) {
    (void)connection.endpoint->write(crumb, world.reactor.now());
  }
  world.wait(2s);
}

bool exchanges(SplitWorld& world, std::uint16_t port, Duration bound) {
  Endpoint& client = *world.connect(port).endpoint;
  if (!world.run_until([&] { return world.established(port); }, bound)) return false;
  const std::vector<std::uint8_t> some(100);
  (void)client.write(some, world.reactor.now());
  return world.run_until([&] { return world.server_end(port).readable() == some.size(); }, bound);
}

TEST(SplitMemory, ManyCrumbsLeaveRoomForOthers) {
  SplitOptions options;
  options.memory = std::size_t{2} << 20;
  SplitWorld world(options);
  world.serve();
  leave_crumbs(world, 96);
  ASSERT_EQ(world.metric("buffer_bytes"), 96.0 * ChunkPool::kChunk);
  EXPECT_TRUE(exchanges(world, 60000, 1s));
  EXPECT_EQ(world.metric("yielded_total"), 0);
}

TEST(SplitMemory, CrumbsThatHoldItAllGiveWay) {
  SplitOptions options;
  options.memory = std::size_t{2} << 20;
  SplitWorld world(options);
  world.serve();
  leave_crumbs(world, 200);
  ASSERT_EQ(world.metric("buffer_bytes"), 128.0 * ChunkPool::kChunk);
  for (std::uint16_t port = 60000; port < 60010; ++port) {
    EXPECT_TRUE(exchanges(world, port, 5min)) << port;
  }
  EXPECT_GT(world.metric("left_out_bytes_total"), 0);
  EXPECT_GT(world.metric("yielded_total"), 0);
  // No more than it takes: the others' crumbs, and what they let in of their kind.
  EXPECT_LT(world.metric("yielded_total"), 150);
}

TEST(SplitMemory, WithoutPacketsItTriesAgainAFewTimesASecond) {
  SplitWorld world;
  world.serve();
  Endpoint& client = *world.connect(20000).endpoint;
  ASSERT_TRUE(world.run_until([&] { return world.established(20000); }, 5s));
  std::vector<Packet> hog;
  world.server.silent = true;
  const std::vector<std::uint8_t> some(1000);
  (void)client.write(some, world.reactor.now());
  world.wait(1ms);
  while (Packet packet = world.pool.allocate(60'000)) hog.push_back(std::move(packet));
  while (Packet packet = world.pool.allocate(1)) hog.push_back(std::move(packet));
  std::size_t turns = 0;
  (void)world.run_until(
      [&] {
        ++turns;
        return false;
      },
      10s);
  EXPECT_LT(turns, 3000U);
  EXPECT_EQ(world.metric("starved"), 1);
  hog.clear();
  world.server.silent = false;
  EXPECT_TRUE(
      world.run_until([&] { return world.server_end(20000).readable() == some.size(); }, 10s));
  EXPECT_EQ(world.metric("starved"), 0);
}

}  // namespace
}  // namespace vtl::service
