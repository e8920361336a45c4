// Connections of real kernels and real programs that end in VTL and begin again there.
//
//   client ------- guest0 [ vtl: split ] wan0 ------- server
//     eth0                                              eth0
//   10.0.0.1/24                                       10.0.0.2/24
//   fd00::1/64                                        fd00::2/64

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <future>
#include <nlohmann/json.hpp>
#include <optional>

#include "lab/lab.h"
#include "lab/must.h"
#include "lab/vtl_program.h"
#include "lab/wait.h"
#include "tests/support/tcp_peer.h"

namespace vtl::test {
namespace {

using lab::must;
using nlohmann::json;
using testing::HasSubstr;

constexpr std::uint16_t kPort = 5000;
constexpr const char* kServer = "10.0.0.2";
constexpr const char* kServer6 = "fd00::2";
constexpr const char* kSocket = "/run/vtl-split.sock";
constexpr std::uint64_t kBulk = VTL_SANITIZED ? 32'000'000 : 500'000'000;
constexpr std::uint64_t kSome = VTL_SANITIZED ? 4'000'000 : 20'000'000;

class Split : public testing::Test {
 protected:
  Split() {
    must(world.connect({client, "eth0"}, {middle, "guest0"}));
    must(world.connect({middle, "wan0"}, {server, "eth0"}));
    must(client.ip("addr add 10.0.0.1/24 dev eth0\naddr add fd00::1/64 dev eth0"));
    must(server.ip("addr add 10.0.0.2/24 dev eth0\naddr add fd00::2/64 dev eth0"));
  }

  void start(const std::string& options = "{ match: tcp }", int workers = 1) {
    vtl = must(lab::start_vtl(middle, fmt::format(R"(interfaces:
  guest: {{ type: af_packet, device: guest0 }}
  network: {{ type: af_packet, device: wan0 }}
workers: {}
links:
  - name: link
    guest: guest
    network: network
    services:
      - split: {}
control: {{ socket: {} }}
)",
                                                  workers, options, kSocket)));
  }
  [[nodiscard]] json ask(const char* question) const {
    return json::parse(must(
        middle.output_of({lab::vtl_binary().string(), question, "--json", "--socket", kSocket})));
  }
  /// A service's metric, summed over the workers.
  [[nodiscard]] double metric(const char* name) const {
    double sum = 0;
    const json stats = ask("stats");
    for (const auto& service : stats.at("services")) {
      if (service.at("metrics").contains(name)) sum += service.at("metrics").at(name).get<double>();
    }
    return sum;
  }
  [[nodiscard]] testing::AssertionResult comes_to(const char* name, double value,
                                                  Duration bound = 30s) const {
    if (lab::wait_until([&] { return metric(name) == value; }, bound)) {
      return testing::AssertionSuccess();
    }
    return testing::AssertionFailure() << name << " is " << metric(name) << ", not " << value;
  }
  [[nodiscard]] TcpPair connect(Tcp& listener, const std::string& address = kServer) const {
    auto from = must(Tcp::connect(client, address, kPort));
    auto to = must(listener.accept());
    return {std::move(from), std::move(to)};
  }

  lab::Lab world;
  lab::Host& client = *must(world.add_host("client"));
  lab::Host& middle = *must(world.add_host("middle", {.ipv6 = lab::Ipv6::kNoNoise}));
  lab::Host& server = *must(world.add_host("server"));
  std::optional<lab::Process> vtl;
};

TEST_F(Split, BothWaysArriveWholeAndEachSeesTheOthersOwnAddress) {
  start();
  auto listener = must(Tcp::listen(server, kPort));
  for (const char* address : {kServer, kServer6}) {
    auto [from, to] = connect(listener, address);
    EXPECT_EQ(to.peer(), from.local());
    EXPECT_EQ(from.peer(), to.local());
    must(exchange(from, to, kBulk, kBulk));
  }
  EXPECT_EQ(metric("established_total"), 2);
  EXPECT_TRUE(comes_to("buffer_bytes", 0));
  EXPECT_TRUE(must(vtl->stop()).ok()) << vtl->errors();
}

TEST_F(Split, TheFlowIsListedWithTheRoundTripsOfBothHalves) {
  start();
  auto listener = must(Tcp::listen(server, kPort));
  auto [from, to] = connect(listener);
  must(from.send(1, 100'000));
  must(to.receive(100'000));
  must(to.send(2, 50'000));
  must(from.receive(50'000));
  const auto flows = ask("flows").at("flows");
  ASSERT_EQ(flows.size(), 1U) << flows;
  EXPECT_EQ(flows[0].at("source"), from.local());
  EXPECT_EQ(flows[0].at("destination"), from.peer());
  EXPECT_EQ(flows[0].at("state"), "established/established");
  EXPECT_EQ(flows[0].at("bytes_out"), 100'000);
  EXPECT_EQ(flows[0].at("bytes_in"), 50'000);
  EXPECT_EQ(flows[0].at("transform"), "split");
  EXPECT_TRUE(flows[0].at("rtt_guest").is_number());
  EXPECT_TRUE(flows[0].at("rtt_network").is_number());
}

TEST_F(Split, ARealProgramFetchesAFileFromAnother) {
  start("{ match: tcp port 8080 }", 2);
  const auto file = server.folder() / "file";
  {
    std::ofstream out(file, std::ios::binary);
    for (int i = 0; i < 300'000; ++i) out << "line " << i << " of a file of some megabytes\n";
  }
  auto web = must(server.start(
      {.argv = {"python3", "-m", "http.server", "8080", "--directory", server.folder().string()}}));
  must(web.wait_for_port(lab::Protocol::kTcp, 8080, 10s));
  const auto copy = client.folder() / "copy";
  for (int i = 0; i < 5; ++i) {
    must(client.output_of({"curl", "--silent", "--show-error", "--fail", "--output", copy.string(),
                           fmt::format("http://{}:8080/file", kServer)}));
    must(client.output_of({"cmp", copy.string(), file.string()}));
  }
  EXPECT_EQ(metric("established_total"), 5);
  EXPECT_EQ(metric("evicted_total"), 0);
}

TEST_F(Split, HalfCloseInBothDirections) {
  start();
  auto listener = must(Tcp::listen(server, kPort));
  for (const bool client_first : {true, false}) {
    auto [from, to] = connect(listener);
    Tcp& first = client_first ? from : to;
    Tcp& second = client_first ? to : from;
    const auto request = must(first.send(3, 100'000));
    first.shut_writing();
    EXPECT_EQ(must(second.receive()), request) << "read to its end while the other way is open";
    auto answer = std::async(std::launch::async, [&second] {
      auto digest = second.send(4, kSome);
      second.shut_writing();
      return digest;
    });
    const auto received = must(first.receive());
    EXPECT_EQ(received.octets, kSome);
    EXPECT_EQ(received, must(answer.get()));
  }
}

TEST_F(Split, AResetReachesTheOtherEndBehindWhatCameBefore) {
  start();
  auto listener = must(Tcp::listen(server, kPort));
  for (const bool by_client : {true, false}) {
    auto [from, to] = connect(listener);
    Tcp& one = by_client ? from : to;
    Tcp& other = by_client ? to : from;
    must(one.send(5, 100'000));
    must(other.receive(100'000));
    one.reset();
    const auto end = other.receive(UINT64_MAX, 20s);
    ASSERT_FALSE(end.has_value());
    EXPECT_EQ(end.error().message, "recv: Connection reset by peer");
  }
  EXPECT_TRUE(comes_to("connections", 0));
}

TEST_F(Split, RefusedIsRefused) {
  start();
  for (const char* address : {kServer, kServer6}) {
    const auto refused = Tcp::connect(client, address, kPort);
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().message, "connect: Connection refused");
  }
  EXPECT_EQ(metric("refused_total"), 2);
  EXPECT_TRUE(comes_to("connections", 0));
}

TEST_F(Split, WhatARouterSaysOfTheWayReachesTheClient) {
  must(server.set_sysctl("net.ipv4.ip_forward", "1"));
  must(server.ip("route add unreachable 10.7.0.0/24\nroute add prohibit 10.8.0.0/24"));
  must(client.ip("route add 10.7.0.0/24 via 10.0.0.2\nroute add 10.8.0.0/24 via 10.0.0.2"));
  const auto plain = Tcp::connect(client, "10.7.0.1", kPort);
  const auto plain_prohibited = Tcp::connect(client, "10.8.0.1", kPort);
  ASSERT_FALSE(plain.has_value() || plain_prohibited.has_value());
  start();
  const auto split = Tcp::connect(client, "10.7.0.2", kPort);
  const auto split_prohibited = Tcp::connect(client, "10.8.0.2", kPort);
  ASSERT_FALSE(split.has_value() || split_prohibited.has_value());
  EXPECT_EQ(split.error().message, plain.error().message);
  EXPECT_EQ(split_prohibited.error().message, plain_prohibited.error().message);
  EXPECT_EQ(metric("unreachable_total"), 2);
}

TEST_F(Split, ASilentServerIsSilenceTillTheClientsOwnTimerTellsIt) {
  must(client.set_sysctl("net.ipv4.tcp_syn_retries", "2"));  // 7 s
  start();
  auto listener = must(Tcp::listen(server, kPort));
  // The server takes SYNs, and its answers go nowhere.
  must(server.ip("route add blackhole 10.0.0.1/32"));
  const auto silent = Tcp::connect(client, kServer, kPort, 60s);
  ASSERT_FALSE(silent.has_value());
  EXPECT_EQ(silent.error().message, "connect: Connection timed out");
  EXPECT_EQ(metric("opened_total"), 1);
  EXPECT_EQ(metric("half_open"), 1) << "VTL's own attempt goes on for 127 s";
}

TEST_F(Split, AThousandConnectionsAtOnce) {
  constexpr std::size_t kConnections = 1000;
  start("{ match: tcp }", 2);
  auto listener = must(Tcp::listen(server, kPort));
  std::vector<TcpPair> pairs;
  for (std::size_t i = 0; i < kConnections; ++i) {
    pairs.push_back(connect(listener, i % 2 == 0 ? kServer : kServer6));
  }
  EXPECT_EQ(metric("connections"), kConnections);
  EXPECT_TRUE(comes_to("half_open", 0)) << "the last one's ACK may still be on its way";
  for (std::size_t i = 0; i < kConnections; ++i) {
    const auto sent = must(pairs[i].client.send(i, 3000));
    EXPECT_EQ(must(pairs[i].server.receive(3000)), sent);
  }
  for (std::size_t i = 0; i < kConnections; ++i) {
    must(exchange(pairs[i].client, pairs[i].server, 20'000, 30'000));
  }
  EXPECT_TRUE(comes_to("buffer_bytes", 0));
  // 10 s of TIME-WAIT are left to half of their ends.
  pairs.clear();
  EXPECT_TRUE(comes_to("connections", 0, 60s));
}

TEST_F(Split, ReadersThatStandStillHoldNoMoreThanTheBudget) {
  constexpr std::size_t kMemory = std::size_t{8} << 20;
  constexpr std::size_t kReaders = 24;
  constexpr std::uint64_t kEach = 4'000'000;
  start("{ match: tcp, buffer: 1MiB, memory: 8MiB }");
  auto listener = must(Tcp::listen(server, kPort));
  std::vector<TcpPair> pairs;
  std::vector<std::future<Outcome<Digest>>> senders;
  for (std::size_t i = 0; i < kReaders; ++i) pairs.push_back(connect(listener));
  for (std::size_t i = 0; i < kReaders; ++i) {
    senders.push_back(std::async(std::launch::async,
                                 [&pair = pairs[i], i] { return pair.client.send(i, kEach); }));
  }
  // Whatever the readers' kernels do not hold stands in VTL, up to the budget.
  EXPECT_TRUE(lab::wait_until([&] { return metric("buffer_bytes") > kMemory / 2; }, 30s));
  EXPECT_LE(metric("buffer_bytes"), kMemory);
  std::vector<std::future<Outcome<Digest>>> readers;
  for (std::size_t i = 0; i < kReaders; ++i) {
    readers.push_back(std::async(std::launch::async,
                                 [&pair = pairs[i]] { return pair.server.receive(kEach, 60s); }));
  }
  for (std::size_t i = 0; i < kReaders; ++i) {
    EXPECT_EQ(must(readers[i].get()), must(senders[i].get())) << i;
    EXPECT_LE(metric("buffer_bytes"), kMemory);
  }
  EXPECT_TRUE(comes_to("buffer_bytes", 0));
}

TEST_F(Split, ConnectionsFromTheNetworkAreTakenWhenAskedFor) {
  start("{ match: tcp, from: both }");
  auto inward = must(Tcp::listen(client, kPort));
  auto from = must(Tcp::connect(server, "10.0.0.1", kPort));
  auto to = must(inward.accept());
  EXPECT_EQ(to.peer(), from.local());
  must(exchange(from, to, kSome, kSome));
  auto outward = must(Tcp::listen(server, kPort));
  auto [out, there] = connect(outward);
  must(exchange(out, there, kSome, kSome));
  EXPECT_EQ(metric("established_total"), 2);
}

TEST_F(Split, AtTheBoundTimeWaitMakesRoom) {
  start("{ match: tcp, max_connections: 4 }");
  auto listener = must(Tcp::listen(server, kPort));
  for (int i = 0; i < 20; ++i) {
    auto [from, to] = connect(listener);
    must(exchange(from, to, 1000, 1000));
  }
  EXPECT_EQ(metric("established_total"), 20);
  EXPECT_GE(metric("evicted_total"), 1);
  EXPECT_EQ(metric("limit_connections_total"), 0);
}

TEST_F(Split, WhatDoesNotMatchPasses) {
  start("{ match: tcp port 1 }");
  auto listener = must(Tcp::listen(server, kPort));
  auto [from, to] = connect(listener);
  must(exchange(from, to, kSome, kSome));
  EXPECT_EQ(metric("opened_total"), 0);
}

}  // namespace
}  // namespace vtl::test
