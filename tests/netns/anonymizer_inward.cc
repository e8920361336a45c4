// A guest that wants the host: by names whose owner gave them an inner address, and by addresses of
// the host's own, through a SOCKS server that runs there.
//
// Drawing: tests/support/anonymizer_lab.h; the proxy is in [vtl].

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "lab/must.h"
#include "lab/vtl_program.h"
#include "lab/wait.h"
#include "tests/support/anonymizer_lab.h"
#include "tests/support/tcp_peer.h"

namespace vtl::test {
namespace {

using lab::must;
using testing::HasSubstr;
using Kind = lab::SocksServerOptions::Program;

constexpr std::uint16_t kPort = 5000;
constexpr const char* kRefused = "connect: Connection refused";

AnonymizerLabOptions at_home(Kind kind, const std::string& inner) {
  return {.program = kind,
          .proxy = "{ type: socks5, address: 127.0.0.1, port: 1080, inner: " + inner + " }",
          .proxy_at_home = true};
}

std::string address_of_name(AnonymizerLab& lab, const std::string& name) {
  std::string said = must(lab.guest_runs({"kdig", "+short", "+retry=1", name}));
  while (said.ends_with('\n')) said.pop_back();
  return said;
}

std::string connects(AnonymizerLab& lab, const std::string& address) {
  const auto tcp = Tcp::connect(lab.guest(), address, kPort);
  return tcp ? "connected" : tcp.error().message;
}

/// What `guest` does reaches nobody who listens in `host`: the first to be heard is one of `host`'s
/// own, who comes after it.
void unheard(lab::Host& host, const std::function<void()>& guest) {
  auto listener = must(Tcp::listen(host, kPort));
  guest();
  const auto own = must(Tcp::connect(host, "127.0.0.1", kPort));
  EXPECT_EQ(must(listener.accept()).peer(), own.local());
}

TEST(AnonymizerInward, NamesThatLeadToTheHost_ARefusingServerKeepsThemOut) {
  auto options = at_home(Kind::kDante, "refused");
  options.refused = {"127.0.0.0/8", "10.40.0.2/32"};
  AnonymizerLab lab(options);
  unheard(lab.host(), [&] {
    EXPECT_EQ(connects(lab, address_of_name(lab, "home.example")), kRefused);
    EXPECT_EQ(connects(lab, address_of_name(lab, "host.example")), kRefused);
  });
  auto listener = must(Tcp::listen(lab.proxy(), kPort));
  const auto name = address_of_name(lab, "proxy.example");
  EXPECT_EQ(connects(lab, name), "connected") << "a name that leads elsewhere";
}

// Why the word is asked for: without such rules the server does what it is told.
TEST(AnonymizerInward, NamesThatLeadToTheHost_AnyOtherServerConnectsThem) {
  for (const Kind kind : {Kind::kDante, Kind::kMicrosocks}) {
    AnonymizerLab lab(at_home(kind, "allowed"));
    auto listener = must(Tcp::listen(lab.host(), kPort));
    EXPECT_EQ(connects(lab, address_of_name(lab, "home.example")), "connected");
    EXPECT_THAT(must(listener.accept()).peer(), testing::Not(HasSubstr("10.137.")));
  }
}

TEST(AnonymizerInward, AddressesOfTheHost_AreRefusedAsSoonAsTheyAreItsOwn) {
  AnonymizerLab lab(at_home(Kind::kMicrosocks, "allowed"));
  unheard(lab.host(), [&] {
    must(lab.host().ip("addr add 9.9.9.9/32 dev lo\nroute add local 9.9.8.0/24 dev lo"));
    for (const char* address : {"9.9.9.9", "9.9.8.77", "10.40.0.2", "10.50.0.1"})
      EXPECT_EQ(connects(lab, address), kRefused) << address;
  });
  EXPECT_GE(lab.metric("denied_total"), 4);
}

TEST(AnonymizerInward, AddressesOfTheHost_AreReachedWhereARuleNamesThem) {
  auto options = at_home(Kind::kMicrosocks, "allowed");
  options.egress = "{ allow: 9.9.9.9 }, { allow: any }";
  AnonymizerLab lab(options);
  must(lab.host().ip("addr add 9.9.9.9/32 dev lo\naddr add 9.9.9.10/32 dev lo"));
  auto listener = must(Tcp::listen(lab.host(), kPort));
  EXPECT_EQ(connects(lab, "9.9.9.9"), "connected");
  EXPECT_EQ(connects(lab, "9.9.9.10"), kRefused) << "any is what is outside";
}

TEST(AnonymizerInward, AServerOfWhichNothingIsSaid_IsNotStartedWith) {
  auto options = at_home(Kind::kMicrosocks, "allowed");
  options.proxy = "{ type: socks5, address: 127.0.0.1, port: 1080 }";
  try {
    AnonymizerLab lab(options);
    FAIL() << "it started";
  } catch (const lab::LabError& error) {
    EXPECT_THAT(error.what(), HasSubstr("proxy 'one' needs 'inner'"));
  }
}

}  // namespace
}  // namespace vtl::test
