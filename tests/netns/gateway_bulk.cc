// Bulk through two VTL gateways: a gigabyte each way at once, at 0 and 0.1 % loss, every octet by
// its SHA-256; less over the other transports, topologies and frame sizes.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "lab/must.h"
#include "tests/support/gateway_lab.h"
#include "tests/support/tcp_peer.h"

namespace vtl::test {
namespace {

using lab::must;

constexpr std::uint16_t kPort = 5000;
/// The bulk of a transfer: a gigabyte, less where every access is checked.
constexpr std::uint64_t kBulk = VTL_SANITIZED ? 32'000'000 : 1'000'000'000;
constexpr std::uint64_t kSome = VTL_SANITIZED ? 8'000'000 : 50'000'000;

struct Case {
  std::string transport;
  lab::Shape shape;
  std::string loss;
  int mtu;
};
std::string name_of(const testing::TestParamInfo<Case>& info) {
  std::string name = fmt::format("{}_{}_loss{}_mtu{}", info.param.transport,
                                 info.param.shape == lab::Shape::kSegment ? "segment" : "routed",
                                 info.param.loss, info.param.mtu);
  std::erase_if(name, [](char c) { return c == '.' || c == '%'; });
  return name;
}

/// Both gateways sent under VTL's own rate control, which knows what the path has lost.
void expect_rate_control(GatewayLab& lab, bool lossy) {
  for (const char side : {'a', 'b'}) {
    const auto status = nlohmann::json::parse(must(lab.ask(side, {"status"})));
    const auto& rate = status.at("peers").at(0).at("rate_control");
    EXPECT_GE(rate.at("connections").get<std::uint64_t>(), 1);
    EXPECT_GE(rate.at("packets_sent").get<std::uint64_t>(), kSome / 9000);
    if (lossy) {
      EXPECT_GT(rate.at("packets_lost").get<std::uint64_t>(), 0);
    }
  }
}

class GatewayBulk : public testing::TestWithParam<Case> {};

TEST_P(GatewayBulk, BothWaysArriveWholeAndTheServerSeesWhoReallyCalls) {
  const Case& c = GetParam();
  auto lab = must(GatewayLab::create(
      {.shape = c.shape, .mtu = c.mtu, .transport = c.transport, .loss = c.loss}));
  must(lab.start_both());
  auto listener = must(Tcp::listen(lab.topology().server(), kPort));
  auto client = must(Tcp::connect(lab.topology().client(), lab.topology().server_address(), kPort));
  auto server = must(listener.accept());
  EXPECT_EQ(server.peer(), client.local());
  const bool big = c.mtu == 1500 && c.shape == lab::Shape::kSegment && c.transport == "udt";
  must(exchange(client, server, big ? kBulk : kSome, big ? kBulk : kSome));
  EXPECT_EQ(must(lab.metric('a', "established_total")), 1);
  EXPECT_EQ(must(lab.metric('b', "accepted_total")), 1);
  if (c.transport == "udt") expect_rate_control(lab, c.loss != "0%");
}

INSTANTIATE_TEST_SUITE_P(Gateway, GatewayBulk,
                         testing::Values(Case{"udt", lab::Shape::kSegment, "0%", 1500},
                                         Case{"udt", lab::Shape::kSegment, "0.1%", 1500},
                                         Case{"udt", lab::Shape::kSegment, "0%", 9000},
                                         Case{"udt", lab::Shape::kRouted, "0.1%", 1500},
                                         Case{"tcp", lab::Shape::kSegment, "0.1%", 1500},
                                         Case{"tcp", lab::Shape::kRouted, "0%", 1500}),
                         name_of);

}  // namespace
}  // namespace vtl::test
