#include "vtl/control/listings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/unit/control/fake_source.h"

namespace vtl::control {
namespace {

using nlohmann::json;
using testing::HasSubstr;

TEST(Listings, AFlowNamesBothEndsStateAndTransform) {
  const auto listing = json::parse(flows_json({sample_flow()}));
  EXPECT_EQ(listing["total"], 1);
  const auto& flow = listing["flows"][0];
  EXPECT_EQ(flow["source"], "192.0.2.1:4000");
  EXPECT_EQ(flow["destination"], "198.51.100.2:80");
  EXPECT_EQ(flow["state"], "established");
  EXPECT_EQ(flow["transform"], "udt to siteb");
  EXPECT_DOUBLE_EQ(flow["rtt_guest"], 0.0005);
  EXPECT_TRUE(flow["rtt_network"].is_null());
}

TEST(Listings, FlowsAreBoundedAndTheTotalIsTold) {
  const std::vector<engine::FlowInfo> flows(kMaxListedFlows + 5, sample_flow());
  const auto listing = json::parse(flows_json(flows));
  EXPECT_EQ(listing["total"], kMaxListedFlows + 5);
  EXPECT_EQ(listing["flows"].size(), kMaxListedFlows);
}

TEST(Listings, StatusTellsInterfacesLinksAndPeers) {
  const auto listing = json::parse(status_json(sample_status()));
  EXPECT_EQ(listing["interfaces"][0]["state"], "up");
  EXPECT_EQ(listing["interfaces"][0]["drops"], 3);
  EXPECT_EQ(listing["links"][0]["services"], json::array({"gateway"}));
  EXPECT_EQ(listing["peers"][0]["up"], true);
  const auto& proxy = listing["proxies"][0];
  EXPECT_EQ(proxy["address"], "127.0.0.1:9050");
  EXPECT_EQ(proxy["up"], true);
  EXPECT_EQ(proxy["tried"], true);
  EXPECT_EQ(proxy["streams"], 3);
  EXPECT_EQ(proxy["tor"]["bootstrap"], 100);
  EXPECT_EQ(proxy["tor"]["circuits_built"], 5);
}

TEST(Listings, StatsNameEveryDropReason) {
  const engine::MetricGroup group{
      .link = "vm1", .service = "gateway", .metrics = {{"opened_total", "Opened.", 7, true}}};
  const auto listing = json::parse(stats_json(sample_status(), {group}));
  EXPECT_EQ(listing["interfaces"][0]["drops"]["malformed-ip"], 3);
  EXPECT_EQ(listing["links"][0]["services"][0]["drops"]["memory-bound"], 2);
  EXPECT_EQ(listing["services"][0]["metrics"]["opened_total"], 7);
}

TEST(Prometheus, AProxyTellsWhetherItIsUpAndHowFarItsTorHasCome) {
  const auto text = prometheus_text(sample_status(), {});
  EXPECT_THAT(text, HasSubstr("vtl_proxy_up{proxy=\"tor\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("vtl_proxy_streams_opened_total{proxy=\"tor\"} 9\n"));
  EXPECT_THAT(text, HasSubstr("vtl_proxy_tor_bootstrap_ratio{proxy=\"tor\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("vtl_proxy_tor_circuits{proxy=\"tor\"} 5\n"));
}

TEST(Listings, AnInterfaceTellsWhetherItIsSealedAndWhyNot) {
  auto status = sample_status();
  EXPECT_TRUE(json::parse(status_json(status))["interfaces"][0]["sealed"].is_null());
  EXPECT_EQ(prometheus_text(status, {}).find("vtl_interface_sealed"), std::string::npos);
  status.interfaces[0].seal = {.whole = true, .trouble = {}, .reseals = 2};
  EXPECT_EQ(json::parse(status_json(status))["interfaces"][0]["sealed"], true);
  EXPECT_EQ(json::parse(stats_json(status, {}))["interfaces"][0]["reseals"], 2);
  status.interfaces[0].seal = {.whole = false, .trouble = "the device has gone", .reseals = 2};
  const auto listing = json::parse(status_json(status));
  EXPECT_EQ(listing["interfaces"][0]["sealed"], false);
  EXPECT_EQ(listing["interfaces"][0]["unsealed_because"], "the device has gone");
  const auto text = prometheus_text(status, {});
  EXPECT_THAT(text, HasSubstr("vtl_interface_sealed{interface=\"vm1\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("vtl_interface_reseals_total{interface=\"vm1\"} 2\n"));
}

TEST(Prometheus, AFamilyHasHelpAndTypeOnceAndEscapesItsLabels) {
  auto status = sample_status();
  auto second = status.interfaces[0];
  second.name = "a\"b\\c";
  status.interfaces.push_back(second);
  const auto text = prometheus_text(status, {});
  const std::string type = "# TYPE vtl_interface_rx_frames_total counter\n";
  EXPECT_THAT(text, HasSubstr(type + "vtl_interface_rx_frames_total{interface=\"vm1\"} 10\n" +
                              "vtl_interface_rx_frames_total{interface=\"a\\\"b\\\\c\"} 10\n"));
  EXPECT_EQ(text.find(type), text.rfind(type));
}

TEST(Prometheus, DropsAndServiceMetricsAreLabelled) {
  const engine::MetricGroup group{
      .link = "vm1", .service = "gateway", .metrics = {{"connections", "Now.", 7, false}}};
  const auto text = prometheus_text(sample_status(), {group});
  EXPECT_THAT(
      text,
      HasSubstr("vtl_drops_total{link=\"vm1\",service=\"gateway\",reason=\"memory-bound\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE vtl_gateway_connections gauge\n"
                              "vtl_gateway_connections{link=\"vm1\"} 7\n"));
}

}  // namespace
}  // namespace vtl::control
