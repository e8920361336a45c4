// Two gateways whose memory is spent: what goes one way never keeps what goes the other way from
// going on, and who stands still gives way.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <vector>

#include "tests/support/gateway_world.h"

namespace vtl::test {
namespace {

using endpoint::Config;
using endpoint::Endpoint;
using endpoint::State;

class GatewayMemory : public testing::Test {
 protected:
  static service::GatewayOptions small() {
    service::GatewayOptions options;
    options.memory = options.buffer = std::size_t{1} << 20;
    return options;
  }
  void serve(const Config& config = {}) {
    world_.server.on_syn = [this, config](const wire::FlowKey& key, const endpoint::Segment& syn) {
      return std::make_unique<Endpoint>(
          Endpoint::accept_syn(config, {key.source.port, key.destination.port}, wire::SeqNum(77),
                               syn, false, world_.reactor.now()));
    };
  }
  /// Null while there is none.
  Endpoint* server_end(std::uint16_t port) {
    for (auto& [key, connection] : world_.server.connections) {
      if (key.destination.port.value() == port) return connection.endpoint.get();
    }
    return nullptr;
  }
  bool open(const std::vector<std::uint16_t>& ports) {
    return world_.run_until(
        [&] {
          return std::ranges::all_of(ports, [&](std::uint16_t port) {
            const Endpoint* const server = server_end(port);
            return server != nullptr && server->state() == State::kEstablished;
          });
        },
        30s);
  }
  double metric(const service::Gateway& gateway, std::string_view name) {
    return metric_of(gateway, name);
  }

  GatewayWorld world_{small(), 0, 1, 16 << 10};
};

// Streams of 16 KiB, so that either gateway's memory fills with what its own guests sent while they
// do not read what the others send.
TEST_F(GatewayMemory, BothWaysFullOfWhatArrived_AllFinishWhenTheReadersRead) {
  serve();
  constexpr std::size_t kSize = 400'000;
  std::vector<std::uint16_t> ports;
  std::map<std::uint16_t, Talker> up;
  std::map<std::uint16_t, Talker> down;
  for (std::uint16_t port = 20000; port < 20008; ++port) {
    ports.push_back(port);
    world_.connect(port, {});
    up.emplace(port, Talker(port, kSize));
    down.emplace(port, Talker::answering(port, kSize));
  }
  ASSERT_TRUE(open(ports));
  const auto step = [&](bool paused) {
    bool all = true;
    for (auto& [key, connection] : world_.client.connections) {
      const std::uint16_t port = key.source.port.value();
      up.at(port).paused = down.at(port).paused = paused;
      all &= up.at(port).step(*connection.endpoint, world_.reactor.now());
      all &= down.at(port).step(*server_end(port), world_.reactor.now());
    }
    return all;
  };
  (void)world_.run_until([&] { return step(true); }, 20s);
  EXPECT_GT(metric(*world_.gateway_a, "buffer_bytes"), 700'000);
  EXPECT_GT(metric(*world_.gateway_b, "buffer_bytes"), 700'000);
  EXPECT_TRUE(world_.run_until([&] { return step(false); }, 5min));
  for (const std::uint16_t port : ports) {
    EXPECT_TRUE(up.at(port).intact(kSize)) << port;
    EXPECT_TRUE(down.at(port).intact(kSize)) << port;
  }
  EXPECT_EQ(metric(*world_.gateway_a, "yielded_total"), 0);
  EXPECT_EQ(metric(*world_.gateway_b, "yielded_total"), 0);
}

TEST_F(GatewayMemory, ServersThatNeverReadGiveWayToOthers) {
  Config closed;
  closed.receive_buffer = closed.receive_buffer_initial = 1;
  serve(closed);
  std::vector<std::uint16_t> ports;
  for (std::uint16_t port = 20000; port < 20100; ++port) {
    ports.push_back(port);
    world_.connect(port, {});
  }
  ASSERT_TRUE(open(ports));
  const std::vector<std::uint8_t> much(100'000);
  for (auto& [key, connection] : world_.client.connections) {
    (void)connection.endpoint->write(much, world_.reactor.now());
  }
  (void)world_.run_until([] { return false; }, 10s);
  EXPECT_TRUE(metric(*world_.gateway_a, "starved") > 0 ||
              metric(*world_.gateway_a, "left_out_bytes_total") > 0);
  serve();
  Endpoint& client = *world_.connect(60000, {}).endpoint;
  ASSERT_TRUE(open({60000}));
  const std::vector<std::uint8_t> some(100);
  (void)client.write(some, world_.reactor.now());
  EXPECT_TRUE(world_.run_until([&] { return server_end(60000)->readable() == some.size(); }, 5min));
  EXPECT_GT(metric(*world_.gateway_a, "yielded_total") + metric(*world_.gateway_b, "yielded_total"),
            0);
}

}  // namespace
}  // namespace vtl::test
