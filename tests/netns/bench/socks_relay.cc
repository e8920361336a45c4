// The experiments' SOCKS server: curl, cut and pipelined handshakes, bulk, many connections.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include "lab/lab.h"
#include "lab/must.h"
#include "lab/web_server.h"
#include "tests/support/tcp_peer.h"

namespace vtl::test {
namespace {

using lab::must;
using lab::WebServer;
using testing::HasSubstr;

class SocksRelay : public testing::Test {
 protected:
  SocksRelay() {
    must(lab_.connect({proxy_, "eth0"}, {server_, "eth0"}));
    must(proxy_.ip("addr add 10.0.0.1/24 dev eth0\naddr add fd00::1/64 dev eth0"));
    must(server_.ip("addr add 10.0.0.2/24 dev eth0\naddr add fd00::2/64 dev eth0"));
  }
  lab::Process start(std::vector<std::string> more = {}) {
    std::vector<std::string> argv{VTL_BINARY_DIR "/bin/vtl-socks-relay", "--name",
                                  "server.example=10.0.0.2", "--name", "six.example=fd00::2"};
    argv.insert(argv.end(), more.begin(), more.end());
    auto relay = must(
        proxy_.start({.argv = std::move(argv), .name = "relay", .input_from = lab::Input::kPipe}));
    must(relay.wait_for_line("^serving$", 5s));
    return relay;
  }
  Outcome<std::string> curl(const std::string& url, std::vector<std::string> more = {}) {
    std::vector<std::string> argv{"curl",
                                  "--silent",
                                  "--show-error",
                                  "--max-time",
                                  "20",
                                  "--proxy",
                                  "socks5h://127.0.0.1:1080"};
    argv.insert(argv.end(), more.begin(), more.end());
    argv.push_back(url);
    return proxy_.output_of(std::move(argv), 60s);
  }

  lab::Lab lab_;
  lab::Host& proxy_ = *must(lab_.add_host("proxy"));
  lab::Host& server_ = *must(lab_.add_host("server"));
};

constexpr std::uint16_t kPort = 5000;
/// CONNECT 10.0.0.2:5000.
const std::string kRequest("\x05\x01\x00\x01\x0a\x00\x00\x02\x13\x88", 10);
const std::string kGreeting("\x05\x01\x00", 3);
const std::string kAgreed("\x05\x00", 2);
const std::string kConnected("\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00", 10);

void say(const Tcp& tcp, const std::string& text) {
  ASSERT_EQ(::send(tcp.fd(), text.data(), text.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(text.size()));
}
/// As many octets, or what had come when the stream ended or ten seconds were over.
std::string hear(const Tcp& tcp, std::size_t octets) {
  std::string text;
  pollfd ready{.fd = tcp.fd(), .events = POLLIN, .revents = 0};
  while (text.size() < octets && ::poll(&ready, 1, 10'000) == 1) {
    std::string some(octets - text.size(), '\0');
    const ssize_t n = ::recv(tcp.fd(), some.data(), some.size(), MSG_DONTWAIT);
    if (n <= 0) break;
    text.append(some, 0, static_cast<std::size_t>(n));
  }
  return text;
}

TEST_F(SocksRelay, CurlByAddressAndByName) {
  auto web = must(WebServer::start(server_));
  auto relay = start();
  for (const char* host : {"10.0.0.2", "[fd00::2]", "server.example", "six.example"})
    EXPECT_EQ(must(curl(fmt::format("http://{}/", host))), WebServer::kIndex) << host;
  EXPECT_THAT(curl("http://unknown.example/").error().message, HasSubstr("(4)"));
  EXPECT_THAT(curl("http://10.0.0.2:81/").error().message, HasSubstr("(5)"));
  relay.close_input();
  EXPECT_TRUE(must(relay.wait(5s)).ok());
}

TEST_F(SocksRelay, CurlWithAPassword) {
  auto web = must(WebServer::start(server_));
  auto relay = start({"--user", "one", "--password", "secret"});
  EXPECT_EQ(must(curl("http://server.example/", {"--proxy-user", "one:secret"})),
            WebServer::kIndex);
  EXPECT_FALSE(curl("http://server.example/", {"--proxy-user", "one:other"}));
  EXPECT_FALSE(curl("http://server.example/"));
}

TEST_F(SocksRelay, AFileArrivesWhole) {
  auto web = must(WebServer::start(server_, {.file_octets = 20'000'000}));
  auto relay = start();
  const auto file = lab_.folder() / "fetched";
  must(curl(fmt::format("http://server.example{}", WebServer::kFile), {"--output", file}));
  EXPECT_EQ(must(sha256_of(proxy_, file)), web.sha256());
}

TEST_F(SocksRelay, AHandshakeMayCome_OctetByOctet_OrWholeWithItsFirstData) {
  auto relay = start();
  auto listener = must(Tcp::listen(server_, kPort));
  const std::string data = "first data";
  for (const bool whole : {false, true}) {
    auto client = must(Tcp::connect(proxy_, "127.0.0.1", 1080));
    if (whole) {
      say(client, kGreeting + kRequest + data);
    } else {
      for (const char c : kGreeting + kRequest + data) say(client, std::string(1, c));
    }
    auto server = must(listener.accept());
    EXPECT_EQ(hear(client, 12), kAgreed + kConnected);
    EXPECT_EQ(hear(server, data.size()), data);
    must(exchange(client, server, 3'000'000, 3'000'000));
  }
}

TEST_F(SocksRelay, EndsAndResetsPass) {
  auto relay = start();
  auto listener = must(Tcp::listen(server_, kPort));
  auto client = must(Tcp::connect(proxy_, "127.0.0.1", 1080));
  say(client, kGreeting + kRequest);
  auto server = must(listener.accept());
  EXPECT_EQ(hear(client, 12), kAgreed + kConnected);
  const auto sent = must(client.send(1, 100'000));
  client.shut_writing();
  EXPECT_EQ(must(server.receive()), sent) << "half-closed";
  must(server.send(2, 1000));
  EXPECT_EQ(must(client.receive(1000)).octets, 1000U);
  server.reset();
  EXPECT_EQ(client.receive().error().message, "recv: Connection reset by peer");
}

TEST_F(SocksRelay, NonsenseIsEndedAndOthersGoOn) {
  auto web = must(WebServer::start(server_));
  auto relay = start();
  for (const std::string& words :
       {std::string("\x04\x01\x00", 3), std::string("GET / HTTP/1.0\r\n\r\n"),
        kGreeting + std::string("\x05\x02\x00\x01\x0a\x00\x00\x02\x13\x88", 10),
        kGreeting + std::string("\x05\x01\x00\x09\x0a\x00\x00\x02\x13\x88", 10)}) {
    auto client = must(Tcp::connect(proxy_, "127.0.0.1", 1080));
    say(client, words);
    client.shut_writing();
    (void)client.receive(UINT64_MAX, 5s);  // to its end, whatever it says
  }
  EXPECT_EQ(must(curl("http://server.example/")), WebServer::kIndex);
}

TEST_F(SocksRelay, AtItsBoundTheNextWaits) {
  auto relay = start({"--connections", "2"});
  auto listener = must(Tcp::listen(server_, kPort));
  std::vector<Tcp> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(must(Tcp::connect(proxy_, "127.0.0.1", 1080)));
    say(clients.back(), kGreeting);
  }
  EXPECT_EQ(hear(clients[0], 2), kAgreed);
  EXPECT_EQ(hear(clients[1], 2), kAgreed);
  char octet;
  EXPECT_EQ(::recv(clients[2].fd(), &octet, 1, MSG_DONTWAIT), -1);
  clients[0].reset();
  EXPECT_EQ(hear(clients[2], 2), kAgreed);
}

TEST_F(SocksRelay, ThousandsAtOnce) {
  constexpr std::size_t kMany = 3000;
  auto relay = start();
  auto listener = must(Tcp::listen(server_, kPort));
  std::vector<TcpPair> pairs;
  for (std::size_t i = 0; i < kMany; ++i) {
    auto client = must(Tcp::connect(proxy_, "127.0.0.1", 1080));
    say(client, kGreeting + kRequest);
    auto server = must(listener.accept());
    pairs.push_back({std::move(client), std::move(server)});
  }
  for (auto& [client, server] : pairs) {
    ASSERT_EQ(hear(client, 12), kAgreed + kConnected);
    say(client, "ping");
  }
  for (auto& [client, server] : pairs) ASSERT_EQ(hear(server, 4), "ping");
}

}  // namespace
}  // namespace vtl::test
