// Guests that never read, never close, or use one port again and again: what they cost is bounded,
// and others go on.
//
// Drawing: tests/support/anonymizer_lab.h. The kernel's TCP on all sides.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <string>
#include <vector>

#include "lab/must.h"
#include "lab/wait.h"
#include "tests/support/anonymizer_lab.h"
#include "tests/support/tcp_peer.h"

namespace vtl::test {
namespace {

using lab::must;
using lab::WebServer;
using testing::HasSubstr;

constexpr std::uint16_t kPort = 5000;

class AnonymizerStubborn : public testing::Test {
 protected:
  explicit AnonymizerStubborn(const std::string& bounds) : lab_({.service_extra = bounds}) {}

  Outcome<Tcp> connect(Duration bound = 30s, std::uint16_t source_port = 0) {
    return Tcp::connect(lab_.guest(), AnonymizerLab::kServerAddress, kPort, bound, source_port);
  }
  TcpPair open(std::uint16_t source_port = 0) {
    auto client = must(connect(30s, source_port));
    return {std::move(client), must(listener_.accept())};
  }
  void expect_others_are_served() {
    EXPECT_EQ(must(lab_.curl("http://server.example/")), WebServer::kIndex);
  }

  AnonymizerLab lab_;
  Tcp listener_ = must(Tcp::listen(lab_.server(), kPort));
};

class ReadersThatStandStill : public AnonymizerStubborn {
 protected:
  ReadersThatStandStill() : AnonymizerStubborn(", memory: 8MiB, buffer: 1MiB") {}
};

// Of the memory three quarters are for those that hold much of it already (vtl/base/chunk_pool.h).
TEST_F(ReadersThatStandStill, HoldTheirShareAndNoMoreAndGetItAllInTheEnd) {
  constexpr double kMemory = 8 << 20;
  constexpr int kReaders = 32;
  constexpr std::uint64_t kEach = 8'000'000;
  std::vector<TcpPair> pairs;
  std::vector<std::future<Outcome<Digest>>> sending;
  for (int i = 0; i < kReaders; ++i) pairs.push_back(open());
  for (int i = 0; i < kReaders; ++i) {
    sending.push_back(std::async(std::launch::async, [&pairs, i] {
      auto sent = pairs[i].server.send(i, kEach);
      pairs[i].server.shut_writing();
      return sent;
    }));
  }
  double held = 0;
  const auto look = [&] {
    held = lab_.metric("buffer_bytes");
    EXPECT_LE(held, kMemory);
    return held;
  };
  EXPECT_TRUE(lab::wait_until([&] { return look() >= kMemory * 0.7; }, 60s)) << held;
  for (int i = 0; i < 10; ++i) {
    expect_others_are_served();
    look();
  }
  int whole = 0;
  std::vector<std::future<Outcome<Digest>>> reading;
  for (auto& pair : pairs)
    reading.push_back(std::async(std::launch::async, [&pair] { return pair.client.receive(); }));
  for (int i = 0; i < kReaders; ++i) {
    const auto got = reading[i].get();
    const auto sent = sending[i].get();
    if (got) {
      EXPECT_EQ(*got, must(sent)) << i;
      ++whole;
    } else {
      EXPECT_THAT(got.error().message, HasSubstr("reset")) << i;
    }
    look();
  }
  EXPECT_EQ(whole, kReaders) << "there was memory for others: nobody had to give way";
}

class ConnectionsThatStay : public AnonymizerStubborn {
 protected:
  static constexpr int kMost = 8;
  ConnectionsThatStay() : AnonymizerStubborn(fmt::format(", max_connections: {}", kMost)) {
    for (int i = 0; i < kMost; ++i) pairs_.push_back(open());
    const auto one_more = connect(2s);
    EXPECT_EQ(one_more ? "connected" : one_more.error().message,
              "connect: nothing happened within the bound");
    EXPECT_GE(lab_.metric("limit_connections_total"), 1);
    EXPECT_EQ(lab_.metric("connections"), kMost);
  }

  std::vector<TcpPair> pairs_;
};

TEST_F(ConnectionsThatStay, TakeThePlacesOfNewOnesAlone) {
  EXPECT_EQ(must(lab_.guest_runs({"kdig", "+short", "+retry=1", "server.example"})).substr(0, 4),
            "198.")
      << "a name takes no place";
  for (auto& [client, server] : pairs_) must(exchange(client, server, 100'000, 100'000));
}

// The guest's program tries again by itself, so that it comes in as soon as there is room.
TEST_F(ConnectionsThatStay, MakeRoomWhenTheGuestResetsOne) {
  auto waiting = std::async(std::launch::async, [&] { return connect(); });
  const auto before = lab_.metric("limit_connections_total");
  EXPECT_TRUE(
      lab::wait_until([&] { return lab_.metric("limit_connections_total") > before; }, 20s));
  pairs_.front().client.reset();
  must(waiting.get());
}

// What VTL has ended first waits out TIME-WAIT, and gives way.
TEST_F(ConnectionsThatStay, MakeRoomWhenTheServerEndsThem) {
  for (auto& [client, server] : pairs_) must(exchange(client, server, 0, 1));
  pairs_.clear();
  for (int i = 0; i < 3 * kMost; ++i) {
    auto [client, server] = open();
    server.shut_writing();
    must(client.receive());
    client.shut_writing();
    must(server.receive());
  }
  EXPECT_LE(lab_.metric("connections"), kMost);
  EXPECT_GE(lab_.metric("evicted_total"), 1);
  expect_others_are_served();
}

class OnePort : public AnonymizerStubborn {
 protected:
  static constexpr std::uint16_t kSource = 4000;
  static constexpr int kRounds = 20;
  OnePort() : AnonymizerStubborn("") {}

  void wait_until_forgotten() {
    EXPECT_TRUE(lab::wait_until(
        [&] {
          return must(lab_.guest().output_of(
                     {"ss", "-Htan", fmt::format("sport = :{}", kSource)})) == "";
        },
        30s));
  }
  void expect_carries(TcpPair& pair) {
    const auto sent = must(pair.client.send(1, 5000));
    EXPECT_EQ(must(pair.server.receive(5000)), sent);
  }
};

TEST_F(OnePort, AfterAReset) {
  for (int i = 0; i < kRounds; ++i) {
    auto pair = open(kSource);
    expect_carries(pair);
    pair.client.reset();
    wait_until_forgotten();
  }
  EXPECT_EQ(lab_.metric("opened_total"), kRounds);
}

// The server ends first, so that TIME-WAIT is VTL's: a new SYN takes its place (RFC 9293, 3.6.1).
TEST_F(OnePort, WhileTheLastConnectionIsInTimeWait) {
  for (const char* timestamps : {"1", "0"}) {
    must(lab_.guest().set_sysctl("net.ipv4.tcp_timestamps", timestamps));
    for (int i = 0; i < kRounds; ++i) {
      auto pair = open(kSource);
      expect_carries(pair);
      pair.server.shut_writing();
      must(pair.client.receive());
      pair.client.shut_writing();
      must(pair.server.receive());
      wait_until_forgotten();
    }
  }
  EXPECT_EQ(lab_.metric("opened_total"), 2 * kRounds);
}

// The guest forgets a connection without a word, as after a power cut: its SYN is answered by a
// challenge, its reset ends the old connection, and the SYN comes again (RFC 5961, 4.2).
TEST_F(OnePort, OfAConnectionThatTheGuestHasForgotten) {
  const auto nft = [&](const char* command) { must(lab_.guest().run({.argv = {"nft", command}})); };
  auto first = open(kSource);
  expect_carries(first);
  nft("add table inet mute");
  nft("add chain inet mute out { type filter hook output priority 0; }");
  nft("add rule inet mute out tcp flags & rst == rst drop");
  first.client.reset();
  wait_until_forgotten();
  nft("delete table inet mute");
  auto second = open(kSource);
  expect_carries(second);
  const auto end = first.server.receive();
  if (!end) {
    EXPECT_THAT(end.error().message, HasSubstr("reset")) << "as the proxy passes it on";
  }
}

}  // namespace
}  // namespace vtl::test
