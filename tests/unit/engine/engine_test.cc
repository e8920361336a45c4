#include "vtl/engine/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <thread>

#include "tests/unit/engine/fake.h"
#include "vtl/engine/placement.h"
#include "vtl/transport/socks_proxy.h"

namespace vtl::engine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// One wire per worker and interface, touched on that worker only.
struct Wires {
  std::vector<Wire> by_worker{4};

  InterfaceConfig config(std::string name, bool many_workers = true) {
    return {name,
            [this, name](std::uint32_t worker, std::uint32_t) {
              return Outcome<std::unique_ptr<iface::Interface>>(
                  std::make_unique<FakeInterface>(name, by_worker[worker]));
            },
            many_workers};
  }
};

InterfaceConfig failing(std::string name, std::string message) {
  return {std::move(name),
          [message](std::uint32_t, std::uint32_t) {
            return Outcome<std::unique_ptr<iface::Interface>>(fail(message));
          },
          true};
}

ServiceFactory test_service(std::function<void(TestService&)> set = {}) {
  return [set](std::uint32_t) {
    auto service = std::make_unique<TestService>();
    if (set) set(*service);
    return service;
  };
}

// Runs `task` on a worker and waits for it.
void on(Engine& engine, std::uint32_t worker, const std::function<void()>& task) {
  std::promise<void> done;
  engine.post(worker, [&](Worker&) {
    task();
    done.set_value();
  });
  done.get_future().wait();
}

// Asks the worker until `condition` holds there; bounded.
bool until(Engine& engine, std::uint32_t worker, const std::function<bool()>& condition) {
  bool held = false;
  for (int i = 0; i < 20000 && !held; ++i) {
    on(engine, worker, [&] { held = condition(); });
    if (!held) std::this_thread::yield();
  }
  return held;
}

class EngineTest : public testing::Test {
 protected:
  EngineConfig bridge(std::uint32_t workers = 1) {
    EngineConfig config;
    config.workers = workers;
    config.seed = 1;
    config.interfaces = {guest_.config("guest"), network_.config("network")};
    config.links.push_back({"l", "guest", "network", {}, {}});
    return config;
  }

  Wires guest_;
  Wires network_;
};

TEST_F(EngineTest, ForwardsOnEveryWorkerAndStops) {
  Engine engine;
  const auto started = engine.start(bridge(2));
  ASSERT_TRUE(started) << started.error().message;
  for (std::uint32_t w = 0; w < 2; ++w) {
    on(engine, w, [&] { guest_.by_worker[w].send(1, 2, 5); });
    EXPECT_TRUE(until(engine, w, [&] { return network_.by_worker[w].out.size() == 1; }));
  }
  const auto status = engine.status();
  ASSERT_EQ(status.links.size(), 1U);
  EXPECT_EQ(status.links[0].frames_out, 2U);
  EXPECT_EQ(status.links[0].workers, 2U);
  EXPECT_EQ(status.interfaces[1].tx_frames, 2U);
  EXPECT_EQ(status.interfaces[1].name, "network");
  EXPECT_EQ(status.workers.size(), 2U);
  EXPECT_TRUE(engine.stop());
  EXPECT_FALSE(engine.running());
  EXPECT_EQ(guest_.by_worker[0].open + guest_.by_worker[1].open, 0);
}

TEST_F(EngineTest, MayBeStartedAgainAfterStop) {
  Engine engine;
  ASSERT_TRUE(engine.start(bridge()));
  EXPECT_TRUE(engine.stop());
  ASSERT_TRUE(engine.start(bridge()));
  EXPECT_EQ(guest_.by_worker[0].opened, 2);
}

TEST_F(EngineTest, InterfaceThatDoesNotOpen_LeavesNothingOpen_AndIsNamed) {
  Engine engine;
  auto config = bridge(2);
  config.interfaces[1] = failing("network", "no device 'eth9'");
  std::atomic<int> started{0};
  config.links[0].services = {
      test_service([&](TestService& s) { s.on_start = [&](ServiceContext&) { ++started; }; })};
  const auto result = engine.start(std::move(config));
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, HasSubstr("network"));
  EXPECT_THAT(result.error().message, HasSubstr("no device 'eth9'"));
  EXPECT_FALSE(engine.running());
  EXPECT_EQ(guest_.by_worker[0].open, 0);
  EXPECT_EQ(started, 0);
}

TEST_F(EngineTest, InterfaceThatFailsOnTheSecondWorker_ClosesTheFirst) {
  Engine engine;
  auto config = bridge(2);
  config.interfaces[1].open = [this](std::uint32_t worker, std::uint32_t) {
    using Opened = Outcome<std::unique_ptr<iface::Interface>>;
    if (worker == 1) return Opened(fail("too many"));
    return Opened(std::make_unique<FakeInterface>("n", network_.by_worker[0]));
  };
  ASSERT_FALSE(engine.start(std::move(config)));
  EXPECT_EQ(network_.by_worker[0].opened, 1);
  EXPECT_EQ(network_.by_worker[0].open, 0);
  EXPECT_EQ(guest_.by_worker[1].open, 0);
}

TEST_F(EngineTest, PeerThatDoesNotOpen_IsNamed) {
  Engine engine;
  auto config = bridge();
  config.peers.push_back({"siteb", [](Reactor&, std::uint32_t) {
                            return Outcome<std::unique_ptr<transport::Transport>>(
                                fail("port 9000 is in use"));
                          }});
  const auto result = engine.start(std::move(config));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message, "peer 'siteb': port 9000 is in use");
}

TEST_F(EngineTest, ServiceThatCannotBeMade_IsAnErrorOfItsLink) {
  Engine engine;
  auto config = bridge();
  config.links[0].services = {[](std::uint32_t) { return std::unique_ptr<Service>(); }};
  const auto result = engine.start(std::move(config));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message, "link 'l': its service 1 could not be made");
  EXPECT_EQ(guest_.by_worker[0].opened, 0);
}

TEST_F(EngineTest, WorkerThatCannotBeBound_LeavesNothing) {
  Engine engine;
  auto config = bridge();
  config.worker.cpu = 1023;
  ASSERT_FALSE(engine.start(std::move(config)));
  EXPECT_EQ(guest_.by_worker[0].opened, 0);
}

TEST_F(EngineTest, SharedUplinkIsOpenedOnce_AndFramesFindTheirGuest) {
  Wires second;
  Engine engine;
  auto config = bridge();
  config.interfaces.push_back(second.config("guest2"));
  config.links.push_back({"l2", "guest2", "network", {}, {}});
  ASSERT_TRUE(engine.start(std::move(config)));
  EXPECT_EQ(network_.by_worker[0].opened, 1);
  on(engine, 0, [&] {
    guest_.by_worker[0].send(0xff, 1, 0);
    second.by_worker[0].send(0xff, 2, 0);
  });
  ASSERT_TRUE(until(engine, 0, [&] { return network_.by_worker[0].out.size() == 2; }));
  on(engine, 0, [&] {
    second.by_worker[0].out.clear();
    guest_.by_worker[0].out.clear();
    network_.by_worker[0].send(2, 10, 9);
  });
  ASSERT_TRUE(until(engine, 0, [&] { return second.by_worker[0].out.size() == 1; }));
  on(engine, 0, [&] { EXPECT_TRUE(guest_.by_worker[0].out.empty()); });
  const auto status = engine.status();
  ASSERT_EQ(status.uplinks.size(), 1U);
  EXPECT_EQ(status.uplinks[0].interface, "network");
  EXPECT_EQ(status.uplinks[0].forwarded, 1U);
  EXPECT_EQ(status.uplinks[0].macs, 3U);
}

// Each link sees a proxy with a part of its bounds, the same whenever it asks.
TEST_F(EngineTest, LinksHaveTheirOwnShareOfAProxy) {
  Wires second;
  Engine engine;
  auto config = bridge();
  config.interfaces.push_back(second.config("guest2"));
  transport::SocksOptions options;
  options.name = "p";
  options.tor = true;
  options.address = *wire::SocketAddress::parse("127.0.0.1:9050");  // never asked for anything
  config.proxies.push_back(
      {"p", [options](Reactor& reactor) { return transport::make_socks(options, reactor); }});
  std::vector<transport::Proxy*> seen;
  const auto looks = test_service([&](TestService& service) {
    service.on_start = [&](ServiceContext& context) {
      for (const char* name : {"p", "p", "q"}) seen.push_back(context.proxy(name));
    };
  });
  config.links[0].services = {looks};
  config.links.push_back({"l2", "guest2", "network", {looks}, {}});
  ASSERT_TRUE(engine.start(std::move(config)));
  on(engine, 0, [] {});
  ASSERT_EQ(seen.size(), 6U);
  EXPECT_NE(seen[0], nullptr);
  EXPECT_EQ(seen[0], seen[1]);
  EXPECT_EQ(seen[2], nullptr);
  EXPECT_NE(seen[3], nullptr);
  EXPECT_NE(seen[3], seen[0]);
  EXPECT_TRUE(engine.stop());
}

TEST_F(EngineTest, StopWaitsForServicesWhileFramesStillFlow) {
  Engine engine;
  auto config = bridge();
  std::function<void()> finish;  // the worker's
  bool stopping = false;
  config.links[0].services = {test_service([&](TestService& s) {
    s.on_stop = [&](std::function<void()> done) {
      finish = std::move(done);
      stopping = true;
      guest_.by_worker[0].send(1, 2, 5);  // the last segment of a stream
    };
    s.on_process = [&](ServiceContext&, Direction, Batch&) {
      if (stopping) finish();
    };
  })};
  ASSERT_TRUE(engine.start(std::move(config)));
  EXPECT_TRUE(engine.stop(30s));
  EXPECT_THAT(network_.by_worker[0].out, ElementsAre(5));
}

TEST_F(EngineTest, ServiceThatNeverStops_IsEndedAfterTheGrace) {
  Engine engine;
  auto config = bridge();
  std::function<void()> kept;
  bool destroyed = false;
  config.links[0].services = {test_service([&](TestService& s) {
    s.on_stop = [&](std::function<void()> done) { kept = std::move(done); };
    s.on_destroy = [&](ServiceContext&) { destroyed = true; };
  })};
  ASSERT_TRUE(engine.start(std::move(config)));
  EXPECT_FALSE(engine.stop(20ms));
  EXPECT_TRUE(destroyed);
  kept();  // late, and harmless
}

TEST_F(EngineTest, DropsMetricsAndTapsAreSeenFromOutside) {
  Engine engine;
  auto config = bridge(2);
  config.links[0].services = {test_service([](TestService& s) {
    s.on_process = [](ServiceContext& c, Direction, Batch& batch) {
      c.drop(std::move(batch[0]), DropReason::kMemoryBound);
    };
  })};
  ASSERT_TRUE(engine.start(std::move(config)));
  std::atomic<int> tapped{0};
  ASSERT_TRUE(engine.post_to_link("l", [&](Link& link) {
    link.add_tap(0, [&](Direction, std::uint32_t, std::span<const Packet> frames) {
      tapped += static_cast<int>(frames.size());
    });
  }));
  EXPECT_FALSE(engine.post_to_link("none", [](Link&) {}));
  for (std::uint32_t w = 0; w < 2; ++w) {
    on(engine, w, [&] { guest_.by_worker[w].send(1, 2, 5); });
    ASSERT_TRUE(until(engine, w, [&] { return guest_.by_worker[w].in.empty(); }));
  }
  const auto status = engine.status();
  ASSERT_EQ(status.links[0].services.size(), 1U);
  EXPECT_EQ(status.links[0].services[0].kind, "test");
  EXPECT_THAT(status.links[0].services[0].drops,
              ElementsAre(std::pair(DropReason::kMemoryBound, std::uint64_t{2})));
  EXPECT_EQ(tapped, 2);
  const auto metrics = engine.list_metrics();
  ASSERT_EQ(metrics.size(), 1U);
  EXPECT_EQ(metrics[0].service, "test");
  ASSERT_EQ(metrics[0].metrics.size(), 1U);
  EXPECT_EQ(metrics[0].metrics[0].value, 2) << "added over the workers";
}

TEST_F(EngineTest, EndOfAnInterfaceIsTold) {
  Engine engine;
  auto config = bridge();
  guest_.by_worker[0].ended = true;
  std::promise<std::string> closed;
  config.on_interface_closed = [&](const std::string& name) { closed.set_value(name); };
  ASSERT_TRUE(engine.start(std::move(config)));
  EXPECT_EQ(closed.get_future().get(), "guest");
  EXPECT_TRUE(engine.status().interfaces[0].closed);
}

TEST_F(EngineTest, ListingsOfAStoppedEngineAreEmpty) {
  Engine engine;
  EXPECT_TRUE(engine.status().links.empty());
  EXPECT_TRUE(engine.list_flows().empty());
  EXPECT_TRUE(engine.list_metrics().empty());
}

// Placement.

std::string refusal(const EngineConfig& config) {
  const auto placed = place(config);
  return placed ? "" : placed.error().message;
}

TEST_F(EngineTest, PlacementRefusesWrongNames) {
  auto config = bridge();
  config.links[0].network = "eht0";
  EXPECT_EQ(refusal(config), "link 'l': there is no interface 'eht0'");
  config = bridge();
  config.links[0].guest = "vm";
  EXPECT_EQ(refusal(config), "link 'l': there is no interface 'vm'");
  config = bridge();
  config.links.push_back(config.links[0]);
  EXPECT_EQ(refusal(config), "two links are called 'l'");
  config.links[1].name = "l2";
  EXPECT_THAT(refusal(config), HasSubstr("interface 'guest' is the guest of link 'l' already"));
  config = bridge();
  config.interfaces.push_back(config.interfaces[0]);
  EXPECT_EQ(refusal(config), "two interfaces are called 'guest'");
  config = bridge();
  config.links.push_back({"l2", "network", std::nullopt, {}, {}});
  EXPECT_THAT(refusal(config), HasSubstr("it can be one of them"));
  config = bridge();
  config.workers = 0;
  EXPECT_THAT(refusal(config), HasSubstr("at least one worker"));
}

TEST_F(EngineTest, LinksOfOneUplinkRunTogether_OnOneWorkerWhenAnyInterfaceNeedsIt) {
  Wires w;
  EngineConfig config;
  config.workers = 3;
  config.interfaces = {w.config("a", true),     w.config("b", false), w.config("u", true),
                       w.config("c", true),     w.config("v", true),  w.config("d", false),
                       w.config("unused", true)};
  config.links = {{"a", "a", "u", {}, {}},
                  {"b", "b", "u", {}, {}},
                  {"c", "c", "v", {}, {}},
                  {"d", "d", std::nullopt, {}, {}}};
  const auto placed = place(config);
  ASSERT_TRUE(placed);
  EXPECT_EQ(placed->links[0].first, 0U);
  EXPECT_EQ(placed->links[0].count, 1U);
  EXPECT_EQ(placed->links[1].first, 0U);
  EXPECT_EQ(placed->links[2].count, 3U);
  EXPECT_EQ(placed->links[3].first, 1U) << "narrow groups are dealt out";
  EXPECT_EQ(placed->interfaces[2].count, 1U);
  EXPECT_EQ(placed->interfaces[4].count, 3U);
  EXPECT_EQ(placed->interfaces[6].count, 0U) << "nobody uses it";
  EXPECT_EQ(placed->sharing[2], 2U);
  config.links[2].many_workers = false;
  EXPECT_EQ(place(config)->links[2].count, 1U);
}

}  // namespace
}  // namespace vtl::engine
