// The lab's SOCKS servers: curl through dante and microsocks, with and without a password.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lab/lab.h"
#include "lab/must.h"
#include "lab/socks_server.h"
#include "lab/web_server.h"

namespace vtl::lab {
namespace {

using testing::HasSubstr;
using Kind = SocksServerOptions::Program;

class LabSocks : public testing::TestWithParam<Kind> {
 protected:
  LabSocks() {
    must(lab_.connect({proxy_, "eth0"}, {server_, "eth0"}));
    must(proxy_.ip("addr add 10.0.0.1/24 dev eth0"));
    must(server_.ip("addr add 10.0.0.2/24 dev eth0"));
  }
  SocksServer start(bool authentication) {
    return must(SocksServer::start(proxy_, {.program = GetParam(),
                                            .authentication = authentication,
                                            .names = {{"server.example", "10.0.0.2"}},
                                            .external = "eth0"}));
  }
  Outcome<std::string> curl(const std::string& url, const std::string& user = "") {
    std::vector<std::string> argv{"curl",
                                  "--silent",
                                  "--show-error",
                                  "--max-time",
                                  "20",
                                  "--proxy",
                                  "socks5h://127.0.0.1:1080"};
    if (!user.empty()) argv.insert(argv.end(), {"--proxy-user", user});
    argv.push_back(url);
    return proxy_.output_of(std::move(argv));
  }
  Lab lab_;
  Host& proxy_ = *must(lab_.add_host("proxy"));
  Host& server_ = *must(lab_.add_host("server"));
  WebServer web_ = must(WebServer::start(server_));
};

TEST_P(LabSocks, ByAddressAndByName) {
  const auto socks = start(false);
  EXPECT_EQ(must(curl("http://10.0.0.2/")), WebServer::kIndex);
  EXPECT_EQ(must(curl("http://server.example/?name")), WebServer::kIndex);
  EXPECT_EQ(must(web_.visitor_of("/?name")), "10.0.0.1");
}

TEST_P(LabSocks, WithThePasswordOnly) {
  const auto socks = start(true);
  const std::string user = SocksServer::kUser;
  EXPECT_EQ(must(curl("http://server.example/", user + ":" + SocksServer::kPassword)),
            WebServer::kIndex);
  EXPECT_THAT(curl("http://server.example/", user + ":wrong").error().message,
              HasSubstr("exit status 97"));
  EXPECT_THAT(curl("http://server.example/").error().message, HasSubstr("exit status 97"));
}

TEST_P(LabSocks, AClosedPortIsRefused) {
  const auto socks = start(false);
  EXPECT_THAT(curl("http://10.0.0.2:81/").error().message,
              HasSubstr("Can't complete SOCKS5 connection to 10.0.0.2. (5)"));
}

INSTANTIATE_TEST_SUITE_P(Programs, LabSocks, testing::Values(Kind::kDante, Kind::kMicrosocks),
                         [](const auto& kind) {
                           return kind.param == Kind::kDante ? "dante" : "microsocks";
                         });

}  // namespace
}  // namespace vtl::lab
