// The lab's private Tor network: what real clients get through it, and what the server sees.
//
// Drawing: lab/tor_network.h. One network for all tests.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <regex>
#include <set>

#include "lab/must.h"
#include "lab/tor_network.h"
#include "lab/web_server.h"

namespace vtl::lab {
namespace {

using testing::AnyOfArray;
using testing::HasSubstr;

class LabTor : public testing::Test {
 protected:
  struct World {
    Lab lab;
    Host& client = *must(lab.add_host("client"));
    Host& server = *must(lab.add_host("server"));
    TorNetwork tor = must(TorNetwork::start(lab, client, server,
                                            {.names = {{"www.example", TorNetwork::kServerAddress},
                                                       {"other.example", "203.0.113.77"}}}));
    WebServer web = must(WebServer::start(server));
  };
  static void SetUpTestSuite() { world_ = new World; }
  static void TearDownTestSuite() {
    delete world_;
    world_ = nullptr;
  }

  static World& world() { return *world_; }
  /// curl through the client's SOCKS port.
  static Outcome<std::string> curl(const std::string& url, std::vector<std::string> more = {}) {
    std::vector<std::string> argv{
        "curl",       "--silent", "--show-error", "--fail",
        "--max-time", "30",       "--proxy",      "socks5h://127.0.0.1:9050"};
    argv.insert(argv.end(), more.begin(), more.end());
    argv.push_back(url);
    auto got = world().client.output_of(std::move(argv), 40s);
    if (!got) got.error().message += "\ntor says:\n" + world().tor.client_log();
    return got;
  }
  /// The client's answer to a SOCKS greeting and `request`, which stand in one segment.
  static std::string ask_socks(std::string_view request) {
    return must(world().client.run({.argv = {"nc", "127.0.0.1", "9050"},
                                    .name = "nc-socks",
                                    .input = std::string("\x05\x01\x00", 3).append(request)},
                                   20s))
        .output();
  }

 private:
  static World* world_;
};
LabTor::World* LabTor::world_ = nullptr;

TEST_F(LabTor, AFileArrivesWholeAndTheServerSeesAnExit) {
  const auto file = world().lab.folder() / "fetched";
  must(curl(fmt::format("http://server.example{}", WebServer::kFile), {"--output", file}));
  EXPECT_EQ(must(sha256_of(world().client, file)), world().web.sha256());
  EXPECT_THAT(must(world().web.visitor_of(WebServer::kFile)),
              AnyOfArray(TorNetwork::exit_addresses()));
  EXPECT_THAT(world().tor.queries(), HasSubstr("server.example"));
}

TEST_F(LabTor, ThereIsNoOtherWayToTheServer) {
  EXPECT_FALSE(world().client.output_of({"curl", "--silent", "--max-time", "2",
                                         fmt::format("http://{}/", TorNetwork::kServerAddress)}));
}

TEST_F(LabTor, ByAddressToo) {
  EXPECT_EQ(must(curl(fmt::format("http://{}/", TorNetwork::kServerAddress))), WebServer::kIndex);
}

TEST_F(LabTor, TheOnionServiceIsReached) {
  must(world().tor.wait_for_onion());
  EXPECT_EQ(must(curl(fmt::format("http://{}/?onion", world().tor.onion()))), WebServer::kIndex);
  EXPECT_EQ(must(world().web.visitor_of("/?onion")), TorNetwork::kServerAddress)
      << "the service stands beside the server";
}

// The extensions of socks-extensions.txt, 2: commands F0 and F1.
TEST_F(LabTor, NamesAreResolvedAtTheExit) {
  const std::string name = "other.example";
  const auto answer = ask_socks(std::string("\x05\xf0\x00\x03", 4) +
                                static_cast<char>(name.size()) + name + std::string(2, '\0'));
  EXPECT_EQ(answer, std::string("\x05\x00\x05\x00\x00\x01\xcb\x00\x71\x4d\x00\x00", 12));
}

TEST_F(LabTor, AddressesAreResolvedAtTheExit) {
  const auto answer = ask_socks(std::string("\x05\xf1\x00\x01\xcb\x00\x71\x4d\x00\x00", 10));
  EXPECT_EQ(answer, std::string("\x05\x00\x05\x00\x00\x03\x0dother.example\x00\x00", 22));
}

// Tor does not tell why an exit's connection failed: every such reply is a general failure.
TEST_F(LabTor, AClosedPortIsAFailureThatIsToldAtOnce) {
  const auto refused = curl("http://server.example:81/");
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message,
              HasSubstr("Can't complete SOCKS5 connection to server.example. (1)"));
}

/// The circuits that are kept for SOCKS user `user`: one, or the two legs of one.
std::set<std::string> circuits_of(TorNetwork& tor, const std::string& user) {
  const std::string told = must(tor.control("GETINFO circuit-status"));
  const std::regex line(fmt::format("(\\d+) BUILT [^\\n]*SOCKS_USERNAME=\"{}\"", user));
  std::set<std::string> circuits;
  for (std::sregex_iterator at(told.begin(), told.end(), line), end; at != end; ++at)
    circuits.insert((*at)[1]);
  return circuits;
}

TEST_F(LabTor, UsersOfTheSocksPortHaveCircuitsOfTheirOwn) {
  std::set<std::string> all;
  std::size_t sum = 0;
  for (const std::string user : {"one", "two", "three"}) {
    must(curl("http://server.example/", {"--proxy-user", user + ":x"}));
    const auto own = circuits_of(world().tor, user);
    EXPECT_FALSE(own.empty());
    all.insert(own.begin(), own.end());
    sum += own.size();
  }
  EXPECT_EQ(all.size(), sum) << "nobody uses another's";
}

TEST_F(LabTor, ACommandThatTorDoesNotKnowIsAnError) {
  const auto answer = world().tor.control("GETINFO nonsense");
  ASSERT_FALSE(answer);
  EXPECT_THAT(answer.error().message, HasSubstr("Unrecognized key"));
}

TEST_F(LabTor, AClientThatWasKilledComesBack) {
  world().tor.kill_client();
  EXPECT_FALSE(curl("http://server.example/"));
  must(world().tor.start_client());
  must(world().tor.wait_for_circuit());
  EXPECT_EQ(must(curl("http://server.example/")), WebServer::kIndex);
}

}  // namespace
}  // namespace vtl::lab
