// Connections of real kernels and real programs through two VTL gateways and VTL's WAN.
//
//   client -- [ VTL A: gateway ] -- [ VTL: impair ] -- [ VTL B: gateway ] -- server
//             (drawing: lab/topology.h)

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <future>
#include <nlohmann/json.hpp>

#include "lab/must.h"
#include "lab/wait.h"
#include "tests/support/gateway_lab.h"
#include "tests/support/tcp_peer.h"
#include "vtl/base/rng.h"

namespace vtl::test {
namespace {

constexpr std::uint16_t kPort = 5000;
constexpr std::uint64_t kSome = VTL_SANITIZED ? 8'000'000 : 50'000'000;

using lab::must;

TcpPair connect(GatewayLab& lab, Tcp& listener, bool v6 = false) {
  auto& t = lab.topology();
  auto client =
      must(Tcp::connect(t.client(), v6 ? t.server_address6() : t.server_address(), kPort));
  auto server = must(listener.accept());
  return {std::move(client), std::move(server)};
}

TEST(Gateway, CarriesIpv6) {
  auto lab = must(GatewayLab::create());
  must(lab.start_both());
  auto listener = must(Tcp::listen(lab.topology().server(), kPort));
  auto [client, server] = connect(lab, listener, true);
  EXPECT_EQ(server.peer(), client.local());
  must(exchange(client, server, kSome, kSome));
  EXPECT_EQ(must(lab.metric('a', "established_total")), 1);
}

TEST(Gateway, RefusedIsRefusedAndUnreachableIsUnreachable) {
  auto lab = must(GatewayLab::create());
  must(lab.start_both());
  auto& t = lab.topology();
  const auto refused = Tcp::connect(t.client(), t.server_address(), kPort + 1);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().message, "connect: Connection refused");

  // A host that does not exist: the client is given a neighbour entry, as if a router were there.
  must(t.client().ip("neigh add 10.0.0.77 lladdr 02:00:00:00:77:77 dev eth0"));
  const auto unreachable = Tcp::connect(t.client(), "10.0.0.77", kPort, 40s);
  ASSERT_FALSE(unreachable.has_value());
  EXPECT_GE(must(lab.metric('b', "unresolved_total")), 1);
}

TEST(Gateway, ASilentServerIsSilence) {
  auto lab = must(GatewayLab::create());
  must(lab.start_both());
  auto& t = lab.topology();
  // The server takes SYNs, and its answers go nowhere.
  auto listener = must(Tcp::listen(t.server(), kPort));
  must(t.server().ip("route add blackhole 10.0.0.1/32"));
  const auto silent = Tcp::connect(t.client(), t.server_address(), kPort, 4s);
  ASSERT_FALSE(silent.has_value());
  EXPECT_EQ(silent.error().message, "connect: nothing happened within the bound");
  EXPECT_EQ(must(lab.metric('a', "half_open")), 1);
  EXPECT_EQ(must(lab.metric('b', "half_open")), 1);
}

TEST(Gateway, TheRouterIsLearnedFromTraffic) {
  auto lab = must(GatewayLab::create({.shape = lab::Shape::kRouted, .name_routers = false}));
  must(lab.start_both());
  auto& t = lab.topology();
  // Any packet between the two shows both gateways where the other is.
  must(t.client().output_of({"ping", "-c", "1", "-W", "5", t.server_address()}));
  auto listener = must(Tcp::listen(t.server(), kPort));
  auto [client, server] = connect(lab, listener);
  EXPECT_EQ(server.peer(), client.local());
  must(exchange(client, server, 1'000'000, 1'000'000));
  EXPECT_EQ(must(lab.metric('a', "established_total")), 1);
}

TEST(Gateway, HalfCloseInBothDirections) {
  auto lab = must(GatewayLab::create());
  must(lab.start_both());
  auto listener = must(Tcp::listen(lab.topology().server(), kPort));
  for (const bool client_first : {true, false}) {
    auto [client, server] = connect(lab, listener);
    Tcp& first = client_first ? client : server;
    Tcp& second = client_first ? server : client;
    const auto request = must(first.send(3, 100'000));
    first.shut_writing();
    EXPECT_EQ(must(second.receive()), request) << "read to its end while the other way is open";
    const auto answer = std::async(std::launch::async, [&second] {
      auto digest = second.send(4, kSome);
      second.shut_writing();
      return digest;
    });
    const auto received = must(first.receive());
    EXPECT_EQ(received.octets, kSome);
  }
}

TEST(Gateway, AResetInTheMiddleReachesTheOtherEnd) {
  auto lab = must(GatewayLab::create());
  must(lab.start_both());
  auto listener = must(Tcp::listen(lab.topology().server(), kPort));
  for (const bool by_client : {true, false}) {
    auto [client, server] = connect(lab, listener);
    Tcp& from = by_client ? client : server;
    Tcp& to = by_client ? server : client;
    must(from.send(5, 100'000));
    must(to.receive(100'000));
    from.reset();
    const auto end = to.receive(UINT64_MAX, 20s);
    ASSERT_FALSE(end.has_value());
    EXPECT_EQ(end.error().message, "recv: Connection reset by peer");
  }
}

TEST(Gateway, AWrongKeyIsRefusedAndCounted) {
  auto lab = must(GatewayLab::create({.key_b = "another key of thirty-two octets"}));
  must(lab.start_both());
  auto listener = must(Tcp::listen(lab.topology().server(), kPort));
  const auto client =
      Tcp::connect(lab.topology().client(), lab.topology().server_address(), kPort, 40s);
  ASSERT_FALSE(client.has_value());
  EXPECT_EQ(client.error().message, "connect: Connection refused");
  // Either side has refused the other, says so in both listings, and is up for nobody.
  for (const char side : {'a', 'b'}) {
    for (const std::string listing : {"status", "stats"}) {
      const auto peer = nlohmann::json::parse(must(lab.ask(side, {listing}))).at("peers").at(0);
      EXPECT_GE(peer.at("authentication_failures"), 1) << side << " " << listing << ": " << peer;
      EXPECT_EQ(peer.at("up"), false) << side;
      EXPECT_EQ(peer.at("accepted"), 0) << side;
    }
  }
  EXPECT_EQ(must(lab.metric('b', "accepted_total")), 0);
  EXPECT_NE(lab.b().errors().find("authenti"), std::string::npos) << lab.b().errors();
}

TEST(Gateway, PeerDownRefusesOrPassesByConfiguration) {
  for (const std::string policy : {"refuse", "pass"}) {
    auto lab = must(GatewayLab::create({.on_peer_down = policy}));
    must(lab.start_both());
    // B bridges but speaks to nobody: its UDP port is closed to A.
    auto listener = must(Tcp::listen(lab.topology().server(), kPort));
    lab.kill_b();
    must(lab.topology().bridge_with_kernel(lab.topology().host_b()));
    if (policy == "refuse") {
      const auto client =
          Tcp::connect(lab.topology().client(), lab.topology().server_address(), kPort, 60s);
      ASSERT_FALSE(client.has_value());
      EXPECT_EQ(client.error().message, "connect: Connection refused");
    } else {
      auto [client, server] = connect(lab, listener);
      must(exchange(client, server, 1'000'000, 1'000'000));
      EXPECT_GE(must(lab.metric('a', "passed_total")), 1);
    }
  }
}

TEST(Gateway, PeerKilledInTheMiddleResetsAndComesBack) {
  auto lab = must(GatewayLab::create());
  must(lab.start_both());
  auto listener = must(Tcp::listen(lab.topology().server(), kPort));
  {
    auto [client, server] = connect(lab, listener);
    auto sending = std::async(std::launch::async,
                              [&client] { return client.send(6, 100'000'000'000ULL, 120s); });
    ASSERT_TRUE(server.receive(1'000'000).has_value());
    lab.kill_b();
    const auto sent = sending.get();
    ASSERT_FALSE(sent.has_value());
    EXPECT_TRUE(sent.error().message == "send: Connection reset by peer" ||
                sent.error().message == "send: Broken pipe")
        << sent.error().message;
  }
  must(lab.start_b());
  // The peer is found again by the probe; until then connections are refused.
  std::optional<Tcp> again;
  ASSERT_TRUE(lab::wait_until(
      [&] {
        auto c = Tcp::connect(lab.topology().client(), lab.topology().server_address(), kPort, 20s);
        if (c) again.emplace(std::move(*c));
        return again.has_value();
      },
      60s));
  auto server = must(listener.accept());
  must(exchange(*again, server, 1'000'000, 1'000'000));
}

// The gateways' buffers, those of UDT at both ends (16 MiB each) and the kernels'.
constexpr std::uint64_t kMoreThanAllBuffers = 100'000'000;

TEST(Gateway, AReaderThatStallsHoldsTheSenderAndMemoryStaysBounded) {
  auto lab = must(GatewayLab::create({.gateway_extra = ", buffer: 1MiB"}));
  must(lab.start_both());
  auto listener = must(Tcp::listen(lab.topology().server(), kPort));
  auto [client, server] = connect(lab, listener);
  auto sending = std::async(std::launch::async, [&client] {
    auto digest = client.send(7, kMoreThanAllBuffers);
    client.shut_writing();
    return digest;
  });
  // Stalled: nothing is read for ten seconds, and the gateways' buffers do not grow beyond theirs.
  const auto stalled_until = std::chrono::steady_clock::now() + 10s;
  while (std::chrono::steady_clock::now() < stalled_until) {
    EXPECT_LE(must(lab.metric('a', "buffer_bytes")), 2.2 * (1 << 20));
    EXPECT_LE(must(lab.metric('b', "buffer_bytes")), 2.2 * (1 << 20));
    ASSERT_EQ(sending.wait_for(200ms), std::future_status::timeout) << "it fitted into buffers";
  }
  const auto received = must(server.receive());
  EXPECT_EQ(received, must(sending.get()));
}

TEST(Gateway, LinkDownAndUpLosesNothing) {
  auto lab = must(GatewayLab::create());
  must(lab.start_both());
  auto listener = must(Tcp::listen(lab.topology().server(), kPort));
  auto [client, server] = connect(lab, listener);
  auto sending = std::async(std::launch::async, [&client] {
    auto digest = client.send(8, kSome);
    client.shut_writing();
    return digest;
  });
  must(server.receive(100'000));
  must(lab.topology().host_a().ip("link set guest0 down"));
  must(lab.topology().host_a().ip("link set guest0 up"));
  must(lab.topology().host_b().ip("link set wan0 down"));
  must(lab.topology().host_b().ip("link set wan0 up"));
  const auto rest = must(server.receive());
  EXPECT_EQ(rest.octets + 100'000, must(sending.get()).octets);
}

TEST(Gateway, StopWithLiveStreamsEndsThemAndTheProcess) {
  auto lab = must(GatewayLab::create());
  must(lab.start_both());
  auto listener = must(Tcp::listen(lab.topology().server(), kPort));
  auto [client, server] = connect(lab, listener);
  must(client.send(9, 1000));
  must(server.receive(1000));
  const auto exit = must(lab.a().stop(30s));
  EXPECT_TRUE(exit.ok()) << to_string(exit);
  const auto end = client.receive(UINT64_MAX, 20s);
  ASSERT_FALSE(end.has_value());
  EXPECT_EQ(end.error().message, "recv: Connection reset by peer");
}

TEST(Gateway, FlowsNameBothEndsAndHowTheyAreTransformed) {
  auto lab = must(GatewayLab::create());
  must(lab.start_both());
  auto listener = must(Tcp::listen(lab.topology().server(), kPort));
  auto [client, server] = connect(lab, listener);
  must(client.send(10, 50'000));
  must(server.receive(50'000));
  const auto text = must(lab.ask('a', {"flows"}));
  const auto json = nlohmann::json::parse(text);
  const auto& flows = json.is_array() ? json : json.at("flows");
  bool found = false;
  for (const auto& flow : flows) {
    if (flow.dump().find(client.local()) == std::string::npos) continue;
    found = true;
    EXPECT_NE(flow.dump().find(server.local()), std::string::npos);
    EXPECT_EQ(flow.at("state"), "established");
    EXPECT_EQ(flow.at("bytes_out"), 50'000);
    EXPECT_EQ(flow.at("transform"), "udt to other");
  }
  EXPECT_TRUE(found) << text;
}

TEST(Gateway, TwoWorkersShareTheConnectionsOfAGuest) {
  auto lab = must(GatewayLab::create({.workers = 2}));
  must(lab.start_both());
  auto listener = must(Tcp::listen(lab.topology().server(), kPort));
  std::vector<TcpPair> pairs;
  for (int i = 0; i < 12; ++i) pairs.push_back(connect(lab, listener));
  for (auto& [client, server] : pairs) {
    EXPECT_EQ(server.peer(), client.local());
    must(exchange(client, server, 500'000, 500'000));
  }
  EXPECT_EQ(must(lab.metric('a', "established_total")), 12);
  EXPECT_EQ(must(lab.metric('b', "accepted_total")), 12);
}

TEST(Gateway, RsyncCopiesATreeWhole) {
  auto lab = must(GatewayLab::create({.delay = "5ms"}));
  must(lab.start_both());
  auto& t = lab.topology();
  const auto from = t.lab().folder() / "from";
  const auto to = t.lab().folder() / "to";
  std::filesystem::create_directories(from / "sub");
  Rng rng(3);
  for (int i = 0; i < 40; ++i) {
    std::ofstream file(from / (i % 2 == 0 ? "" : "sub") / fmt::format("file{}", i));
    for (std::uint64_t n = rng.below(30'000); n > 0; --n) file << static_cast<char>(rng.next());
  }
  const auto config = t.lab().folder() / "rsyncd.conf";
  std::ofstream(config) << fmt::format(
      "use chroot = no\nport = 8730\n[tree]\npath = {}\nread only = yes\n", from.string());
  auto daemon = must(t.server().start(
      {.argv = {"rsync", "--daemon", "--no-detach", "--config", config.string()}}));
  must(daemon.wait_for_port(lab::Protocol::kTcp, 8730, 10s));
  must(t.client().output_of(
      {"rsync", "-a", fmt::format("rsync://{}:8730/tree/", t.server_address()), to.string()}, 60s));
  must(t.client().output_of({"diff", "-r", from.string(), to.string()}));
  EXPECT_EQ(must(lab.metric('a', "established_total")), 1);
}

TEST(Gateway, AThousandShortConnectionsOfCurlLoseNone) {
  auto lab = must(GatewayLab::create({.loss = "0.1%"}));
  must(lab.start_both());
  auto& t = lab.topology();
  const auto folder = t.lab().folder() / "www";
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "index.html") << std::string(3000, 'x');
  auto web = must(
      t.server().start({.argv = {"busybox", "httpd", "-f", "-p", "8080", "-h", folder.string()}}));
  must(web.wait_for_port(lab::Protocol::kTcp, 8080, 10s));
  constexpr int kConnections = VTL_SANITIZED ? 200 : 1000;
  // One process, eight at a time, no connection used twice.
  std::string urls;
  for (int i = 0; i < kConnections; ++i) {
    urls += fmt::format("url = \"http://{}:8080/index.html\"\noutput = \"/dev/null\"\n",
                        t.server_address());
  }
  const auto config = t.lab().folder() / "curl.conf";
  std::ofstream(config) << urls;
  const auto output =
      must(t.client().output_of({"curl", "--silent", "--show-error", "--parallel", "--parallel-max",
                                 "8", "--header", "Connection: close", "--write-out",
                                 "%{http_code} %{size_download}\\n", "--config", config.string()},
                                300s));
  std::size_t good = 0;
  for (std::size_t at = 0; (at = output.find("200 3000\n", at)) != std::string::npos; ++at) ++good;
  EXPECT_EQ(good, static_cast<std::size_t>(kConnections)) << output.substr(0, 2000);
  EXPECT_GE(must(lab.metric('a', "established_total")), kConnections);
}

}  // namespace
}  // namespace vtl::test
