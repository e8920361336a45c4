// impair between two real kernels, on a line without offloads.
//
//   left eth0 ------ l0 [ vtl: impair ] r0 ------ eth0 right
//   10.0.0.1                                      10.0.0.2
#include "vtl/service/impair/impair.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <regex>

#include "lab/lab.h"
#include "lab/must.h"
#include "tests/netns/links.h"
#include "tests/netns/streams.h"
#include "tests/unit/packet/frames.h"

namespace vtl {
namespace {

using lab::must;

constexpr std::uint16_t kPort = 5000;

class ImpairOnTheWire : public ::testing::Test {
 protected:
  void start(const service::ImpairSettings& each_way,
             lab::Offloads offloads = lab::Offloads::kOff) {
    left_ = must(lab_.add_host("left", {.ipv6 = lab::Ipv6::kOff}));
    vtl_ = must(lab_.add_host("vtl", {.ipv6 = lab::Ipv6::kOff}));
    right_ = must(lab_.add_host("right", {.ipv6 = lab::Ipv6::kOff}));
    must(lab_.connect({*left_, "eth0"}, {*vtl_, "l0"}, {.offloads = offloads}));
    must(lab_.connect({*vtl_, "r0"}, {*right_, "eth0"}, {.offloads = offloads}));
    must(left_->ip("addr add 10.0.0.1/24 dev eth0"));
    must(right_->ip("addr add 10.0.0.2/24 dev eth0"));
    engine::EngineConfig config;
    config.seed = 1;
    config.interfaces = {test::device("l0"), test::device("r0")};
    config.links.push_back(
        {.name = "wan",
         .guest = "l0",
         .network = "r0",
         .services = {service::make_impair({.outbound = each_way, .inbound = each_way, .seed = 7})},
         .many_workers = false});
    test::start_in(*vtl_, engine_, std::move(config));
  }

  double metric(const std::string& name) {
    for (const auto& group : engine_.list_metrics()) {
      for (const auto& m : group.metrics) {
        if (m.name == name) return m.value;
      }
    }
    ADD_FAILURE() << "no metric " << name;
    return 0;
  }

  lab::Lab lab_;
  lab::Host *left_ = nullptr, *vtl_ = nullptr, *right_ = nullptr;
  engine::Engine engine_;
};

TEST_F(ImpairOnTheWire, RoundTripIsTwiceTheDelay) {
  start({.delay = 20ms});
  const auto out =
      must(left_->output_of({"ping", "-c", "40", "-i", "0.02", "-w", "60", "10.0.0.2"}));
  const std::regex time("time=([0-9.]+) ms");
  std::vector<double> times;
  for (std::sregex_iterator it(out.begin(), out.end(), time), end; it != end; ++it) {
    times.push_back(std::stod((*it)[1]));
  }
  ASSERT_EQ(times.size(), 40U) << out;
  std::sort(times.begin(), times.end());
  EXPECT_GE(times.front(), 40.0) << "never early";
  // A busy machine may be late now and then; the line itself is within 1 ms.
  EXPECT_LT(times.front(), 41.0);
}

// The line is never idle while its rate is read: the queue (without a delay all that is held waits
// in it) is refilled before it has run empty. A reading in which it did say nothing of the line.
TEST_F(ImpairOnTheWire, SaturatedLineCarriesItsRate) {
  constexpr double kRate = 50e6;
  constexpr int kQueued = 2400;  // datagrams of 1042 octets, 400 ms at the rate
  start({.rate_bps = static_cast<std::uint64_t>(kRate), .queue_time = 500ms});
  must(left_->ip("neigh replace 10.0.0.2 dev eth0 lladdr " +
                 wire::to_string(must(right_->mac("eth0")))));
  const auto from = test::bound_socket(*left_, SOCK_DGRAM, "10.0.0.1", 0);
  const auto to = test::bound_socket(*right_, SOCK_DGRAM, "10.0.0.2", kPort);
  const auto [name, size] = test::socket_address("10.0.0.2", kPort);
  const std::array<std::uint8_t, 1000> data{};
  bool ran_empty = false;
  const auto refill = [&] {
    const double held = metric("outbound_held");
    ran_empty = ran_empty || held == 0;
    for (int i = static_cast<int>(held); i < kQueued; ++i) {
      (void)::sendto(from.get(), data.data(), data.size(), 0,
                     reinterpret_cast<const sockaddr*>(&name), size);
    }
  };
  struct Reading {
    Time at;
    double bytes = 0;
  };
  // When the worker was asked and had answered: a reading is good when the two are close.
  const auto read = [&] {
    Reading reading;
    EXPECT_TRUE(lab::wait_until(
        [&] {
          reading.at = SystemClock().now();
          reading.bytes = static_cast<double>(engine_.status().interfaces[1].tx_bytes);
          return SystemClock().now() - reading.at < 2ms;
        },
        20s));
    return reading;
  };
  double rate = 0;
  for (int attempt = 0; attempt < 10; ++attempt) {
    refill();
    ASSERT_TRUE(lab::wait_until([&] { return metric("outbound_held") > kQueued / 2; }, 10s));
    ran_empty = false;
    const Reading before = read();
    Reading after = before;
    ASSERT_TRUE(lab::wait_until(
        [&] {
          refill();
          after = read();
          return after.at - before.at > 1500ms;
        },
        20s));
    rate = (after.bytes - before.bytes) * 8 /
           std::chrono::duration<double>(after.at - before.at).count();
    if (!ran_empty) break;
  }
  ASSERT_FALSE(ran_empty) << "the sender could never keep the line busy";
  EXPECT_NEAR(rate, kRate, kRate * 0.02);
  EXPECT_EQ(metric("outbound_lost_total"), 0);
}

TEST_F(ImpairOnTheWire, LossIsInsideItsConfidenceInterval) {
  start({.delay = 1ms, .loss = 0.1});
  const auto from = test::bound_socket(*left_, SOCK_DGRAM, "10.0.0.1", 0);
  const auto to = test::bound_socket(*right_, SOCK_DGRAM, "10.0.0.2", kPort);
  const auto [name, size] = test::socket_address("10.0.0.2", kPort);
  // A lost ARP frame would hold up everything.
  must(left_->ip("neigh replace 10.0.0.2 dev eth0 lladdr " +
                 wire::to_string(must(right_->mac("eth0")))));
  constexpr int kDatagrams = 10000;
  int got = 0;
  std::array<std::uint8_t, 200> data{};
  const auto receive = [&] {
    while (::recv(to.get(), data.data(), data.size(), 0) > 0) ++got;
  };
  for (int i = 0; i < kDatagrams; ++i) {
    ASSERT_EQ(
        ::sendto(from.get(), data.data(), 100, 0, reinterpret_cast<const sockaddr*>(&name), size),
        100);
    // Never more on the way than the sockets' buffers hold.
    if (i % 50 == 49) {
      ASSERT_TRUE(lab::wait_until([&] { return metric("outbound_frames_total") >= i + 1; }, 10s));
      ASSERT_TRUE(lab::wait_until([&] { return metric("outbound_held") == 0; }, 10s));
      receive();
    }
  }
  const double lost = metric("outbound_lost_total");
  ASSERT_TRUE(lab::wait_until(
      [&] {
        receive();
        return got + lost >= kDatagrams;
      },
      10s));
  EXPECT_EQ(got + lost, kDatagrams) << "every datagram arrived or was counted lost";
  EXPECT_NEAR(lost, kDatagrams * 0.1, 3.29 * std::sqrt(kDatagrams * 0.1 * 0.9));
}

TEST_F(ImpairOnTheWire, SuperFramesOfTheGuestReachTheLineAsWireFrames) {
  start({.delay = 1ms, .corrupt = 0.001}, lab::Offloads::kKeep);
  const auto [client, server] = test::connected(*left_, "10.0.0.1", *right_, "10.0.0.2", kPort);
  const auto data = test::pattern(4 << 20);
  EXPECT_TRUE(test::transfer(client.get(), server.get(), data) == data)
      << "damaged segments are found by their checksums and sent again";
  EXPECT_GT(engine_.status().interfaces[0].rx_super_frames, 10U);
  EXPECT_EQ(engine_.status().interfaces[1].tx_super_frames, 0U);
  EXPECT_GT(metric("outbound_corrupted_total"), 0);
}

}  // namespace
}  // namespace vtl
