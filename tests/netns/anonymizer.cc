// Real guests, real programs and real SOCKS servers around the anonymizer.
//
// Drawing: tests/support/anonymizer_lab.h.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/socket.h>

#include <fstream>
#include <future>
#include <nlohmann/json.hpp>
#include <regex>

#include "lab/must.h"
#include "lab/wait.h"
#include "tests/support/anonymizer_lab.h"
#include "tests/support/half_close.h"
#include "tests/support/tcp_peer.h"

namespace vtl::test {
namespace {

using lab::must;
using lab::WebServer;
using testing::HasSubstr;
using testing::StartsWith;
using Kind = lab::SocksServerOptions::Program;

constexpr std::uint16_t kPort = 5000;
constexpr std::uint64_t kBulk = VTL_SANITIZED ? 32'000'000 : 1'000'000'000;

std::string address_of_name(AnonymizerLab& lab, const std::string& name) {
  std::string said = must(lab.guest_runs({"kdig", "+short", "+retry=1", name}));
  while (said.ends_with('\n')) said.pop_back();
  return said;
}

TEST(Anonymizer, CurlByNameAndByAddress) {
  for (const Kind kind : {Kind::kDante, Kind::kMicrosocks}) {
    AnonymizerLab lab({.program = kind});
    EXPECT_EQ(must(lab.curl("http://server.example/?name")), WebServer::kIndex);
    EXPECT_EQ(must(lab.curl("http://10.30.0.1/?address")), WebServer::kIndex);
    for (const char* uri : {"/?name", "/?address"})
      EXPECT_EQ(must(lab.web().visitor_of(uri)), AnonymizerLab::kProxyOutside) << uri;
  }
}

TEST(Anonymizer, AFileArrivesWholeByWgetAndCurl) {
  AnonymizerLab lab;
  const auto url = fmt::format("http://server.example{}", WebServer::kFile);
  const auto file = lab.lab().folder() / "fetched";
  must(lab.guest_runs({"wget", "-q", "-O", file, url}));
  EXPECT_EQ(must(sha256_of(lab.guest(), file)), lab.web().sha256());
  must(lab.curl(url, {"--output", file}));
  EXPECT_EQ(must(sha256_of(lab.guest(), file)), lab.web().sha256());
}

TEST(Anonymizer, RsyncCopiesATreeWhole) {
  AnonymizerLab lab;
  const auto from = lab.lab().folder() / "from";
  const auto to = lab.lab().folder() / "to";
  std::filesystem::create_directories(from / "sub");
  for (int i = 0; i < 40; ++i)
    std::ofstream(from / (i % 2 == 0 ? "" : "sub") / std::to_string(i))
        << std::string(static_cast<std::size_t>(i) * 997, static_cast<char>('a' + i % 26));
  const auto config = lab.lab().folder() / "rsyncd.conf";
  std::ofstream(config) << fmt::format(
      "use chroot = no\nport = 8730\n[tree]\npath = {}\nread only = yes\n", from.string());
  auto daemon = must(lab.server().start(
      {.argv = {"rsync", "--daemon", "--no-detach", "--config", config.string()}}));
  must(daemon.wait_for_port(lab::Protocol::kTcp, 8730, 10s));
  must(lab.guest_runs({"rsync", "-a", "rsync://server.example:8730/tree/", to.string()}));
  must(lab.guest_runs({"diff", "-r", from.string(), to.string()}));
}

TEST(Anonymizer, LookUpsAreAnsweredWhereverTheyAreSent) {
  AnonymizerLab lab;
  const std::string address = address_of_name(lab, "server.example");
  EXPECT_THAT(address, StartsWith("198.1"));
  for (const char* resolver : {"10.137.0.1", "9.9.9.9", "10.50.0.1", "192.168.55.55"}) {
    for (const char* way : {"+notcp", "+tcp"}) {
      EXPECT_EQ(must(lab.guest_runs({"kdig", "+short", way, "+retry=1",
                                     fmt::format("@{}", resolver), "server.example"})),
                address + "\n")
          << resolver << way;
    }
  }
  EXPECT_EQ(must(lab.guest_runs({"kdig", "+short", "+retry=1", "-x", address})),
            "server.example.\n");
  EXPECT_THAT(must(lab.guest_runs({"kdig", "+retry=1", "MX", "server.example"})),
              HasSubstr("ANSWER: 0"));
}

// microsocks knows no half-close, dante does.
TEST(Anonymizer, WhoEndsFirstIsAnsweredInFull) {
  for (const Kind kind : {Kind::kDante, Kind::kMicrosocks}) {
    const std::string wait = kind == Kind::kMicrosocks ? ", half_close_wait: 60s" : "";
    AnonymizerLab lab(
        {.program = kind,
         .proxy = "{ type: socks5, address: 10.40.0.1, port: 1080, inner: allowed" + wait + " }"});
    auto listener = must(Tcp::listen(lab.server(), kPort));
    must(ask_end_and_be_answered(lab.guest(), "server.example", kPort, listener));
  }
}

// A server that waits for the end before it says a word: what it then says is lost at such a proxy,
// which the guest is not told as an end in order.
TEST(Anonymizer, AnEndThatHadToBePassedOnIsAReset) {
  AnonymizerLab lab({.program = Kind::kMicrosocks,
                     .proxy = "{ type: socks5, address: 10.40.0.1, port: 1080, inner: refused, "
                              "half_close_wait: 500ms }"});
  auto listener = must(Tcp::listen(lab.server(), kPort));
  auto client = must(Tcp::connect(lab.guest(), "10.30.0.1", kPort));
  auto server = must(listener.accept());
  const auto sent = must(client.send(3, 3'000'000));
  client.shut_writing();
  EXPECT_EQ(must(server.receive()), sent);
  const auto answer = client.receive();
  ASSERT_FALSE(answer) << "an end in order";
  EXPECT_THAT(answer.error().message, HasSubstr("reset"));
}

void send_until_full(const Tcp& to) {
  static const std::string block(1U << 16, 'x');
  while (::send(to.fd(), block.data(), block.size(), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
  }
}

/// What a host's kernel says of its one connection that `filter` finds.
struct Kernels {
  bool stands_still = false;               ///< the other side has closed its window
  std::uint64_t to_read = 0, to_send = 0;  ///< octets held, with the bookkeeping
};
Kernels of_connection(lab::Host& host, const std::string& filter) {
  const auto told = must(host.output_of({"ss", "-Htnmo", "state", "established", filter}));
  std::smatch held;
  if (!std::regex_search(told, held, std::regex("skmem:\\(r(\\d+),.*,w(\\d+),")))
    throw lab::LabError(Error{"ss says: " + told});
  return {told.find("timer:(persist") != std::string::npos, std::stoull(held[1]),
          std::stoull(held[2])};
}

// Both ends take much at first, so that the kernel has seen what the connection can carry.
TEST(Anonymizer, WhatTheKernelHoldsForReadersThatStandStillIsBounded) {
  constexpr std::uint64_t kBuffer = 128U << 10, kSegment = 96U << 10;
  AnonymizerLab lab({.proxy = "{ type: socks5, address: 10.40.0.1, port: 1080, inner: allowed, "
                              "socket_buffer: 128KiB }"});
  auto listener = must(Tcp::listen(lab.server(), kPort));
  auto client = must(Tcp::connect(lab.guest(), "10.30.0.1", kPort));
  auto server = must(listener.accept());
  const auto carry = [](Tcp& from, Tcp& to) {
    constexpr std::uint64_t kFirst = 50'000'000;
    auto sending = std::async(std::launch::async, [&] { return from.send(6, kFirst); });
    const auto received = must(to.receive(kFirst));
    EXPECT_EQ(received, must(sending.get()));
  };
  carry(client, server);
  carry(server, client);
  Kernels held;
  const auto full = [&] {
    send_until_full(client);
    send_until_full(server);
    held = of_connection(lab.host(), "dport = :1080");
    EXPECT_LE(held.to_send, 2 * kBuffer + kSegment);
    EXPECT_LE(held.to_read, 2 * kBuffer + kSegment);
    return held.stands_still && held.to_send > kBuffer && held.to_read > kBuffer &&
           of_connection(lab.guest(), fmt::format("dport = :{}", kPort)).stands_still &&
           of_connection(lab.server(), fmt::format("sport = :{}", kPort)).stands_still;
  };
  EXPECT_TRUE(lab::wait_until(full, 60s)) << held.to_send << " " << held.to_read;
}

TEST(Anonymizer, WhatCannotBeReachedIsToldAsWhatItIs) {
  AnonymizerLab lab({.program = Kind::kMicrosocks});
  const auto connect = [&](const std::string& address, std::uint16_t port, Duration bound) {
    const auto tcp = Tcp::connect(lab.guest(), address, port, bound);
    return tcp ? std::string("connected") : tcp.error().message;
  };
  EXPECT_EQ(connect("10.30.0.1", 81, 20s), "connect: Connection refused");
  EXPECT_EQ(connect(address_of_name(lab, "server.example"), 81, 20s),
            "connect: Connection refused");
  EXPECT_EQ(connect(address_of_name(lab, "gone.example"), 80, 40s), "connect: No route to host");
  EXPECT_EQ(connect(address_of_name(lab, "silent.example"), 80, 3s),
            "connect: nothing happened within the bound");
  EXPECT_EQ(connect("198.18.255.255", 80, 20s), "connect: No route to host")
      << "an address that stands for no name";
  EXPECT_EQ(connect("10.41.0.1", 80, 20s), "connect: Connection refused")
      << "a private address that no rule allows";
  EXPECT_EQ(connect("127.0.0.2", 80, 20s), "connect: Connection refused") << "the guest's own";
}

TEST(Anonymizer, TheProxyGoesAndComesBackUnderLoad) {
  AnonymizerLab lab;
  EXPECT_THAT(must(lab.show({"status"})), testing::ContainsRegex("socks5 .* untried "));
  auto listener = must(Tcp::listen(lab.server(), kPort));
  auto client = must(Tcp::connect(lab.guest(), "10.30.0.1", kPort));
  EXPECT_THAT(must(lab.show({"status"})), testing::ContainsRegex("socks5 .* up "));
  auto server = must(listener.accept());
  auto sending = std::async(std::launch::async,
                            [&client] { return client.send(6, 100'000'000'000ULL, 120s); });
  must(server.receive(1'000'000));
  lab.kill_proxy();
  EXPECT_FALSE(sending.get()) << "what was open is reset";
  const auto refused = Tcp::connect(lab.guest(), "10.30.0.1", kPort, 20s);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "connect: Connection refused");
  const auto status = nlohmann::json::parse(must(lab.ask({"status"})));
  EXPECT_EQ(status.at("proxies").at(0).at("up"), false) << status;
  lab.start_proxy();
  EXPECT_TRUE(lab::wait_until(
      [&] { return lab.curl("http://server.example/") == WebServer::kIndex; }, 30s));
  EXPECT_EQ(nlohmann::json::parse(must(lab.ask({"status"}))).at("proxies").at(0).at("up"), true);
}

TEST(Anonymizer, BulkInBothDirectionsArrivesWhole) {
  AnonymizerLab lab;
  auto listener = must(Tcp::listen(lab.server(), kPort));
  auto client = must(Tcp::connect(lab.guest(), address_of_name(lab, "server.example"), kPort));
  auto server = must(listener.accept());
  must(exchange(client, server, kBulk / 2, kBulk / 2));
}

TEST(Anonymizer, AThousandShortConnectionsOfCurlLoseNone) {
  AnonymizerLab lab({.program = Kind::kMicrosocks});
  constexpr int kConnections = VTL_SANITIZED ? 200 : 1000;
  std::string urls;
  for (int i = 0; i < kConnections; ++i)
    urls += "url = \"http://server.example/\"\noutput = \"/dev/null\"\n";
  const auto config = lab.lab().folder() / "curl.conf";
  std::ofstream(config) << urls;
  const auto output = must(lab.guest_runs(
      {"curl", "--silent", "--show-error", "--parallel", "--parallel-max", "8", "--header",
       "Connection: close", "--write-out", "%{http_code} %{size_download}\\n", "--config", config},
      300s));
  const std::string good = fmt::format("200 {}\n", std::string(WebServer::kIndex).size());
  int count = 0;
  for (std::size_t at = 0; (at = output.find(good, at)) != std::string::npos; ++at) ++count;
  EXPECT_EQ(count, kConnections) << output.substr(0, 2000);
  EXPECT_GE(lab.metric("opened_total"), kConnections);
}

TEST(Anonymizer, AStockGuestConfiguresItselfByDhcp) {
  AnonymizerLab lab({.configure_guest = false});
  const auto said = must(lab.ask_for_address());
  EXPECT_THAT(said,
              testing::ContainsRegex("10\\.137\\.0\\.[0-9]+ 10\\.137\\.0\\.1 10\\.137\\.0\\.1 "));
  EXPECT_EQ(must(lab.curl("http://server.example/")), WebServer::kIndex);
}

TEST(Anonymizer, AGuestOnATapDeviceWorksTheSame) {
  AnonymizerLab lab({.guest_device = GuestDevice::kBridgedTap});
  EXPECT_EQ(must(lab.curl("http://server.example/")), WebServer::kIndex);
  auto listener = must(Tcp::listen(lab.server(), kPort));
  auto client = must(Tcp::connect(lab.guest(), address_of_name(lab, "server.example"), kPort));
  auto server = must(listener.accept());
  must(exchange(client, server, kBulk / 20, kBulk / 20));
}

}  // namespace
}  // namespace vtl::test
