// The standard topologies, joined by kernel bridges: real programs reach each other.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lab/must.h"
#include "lab/topology.h"

namespace vtl::lab {
namespace {

Topology joined(Shape shape, int mtu = 1500) {
  Topology topology = must(Topology::create({.shape = shape, .mtu = mtu}));
  for (Host* host : {&topology.host_a(), &topology.wan(), &topology.host_b()}) {
    must(topology.bridge_with_kernel(*host));
  }
  return topology;
}

void expect_ping(Host& from, const std::string& to, int size = 56) {
  const auto ping = from.run(
      {.argv = {"ping", "-n", "-c", "1", "-W", "2", "-s", std::to_string(size), "-M", "do", to}});
  EXPECT_TRUE(ping) << ping.error().message;
}

TEST(LabTopology, SegmentCarriesBothProtocols) {
  const Topology topology = joined(Shape::kSegment);
  expect_ping(topology.client(), topology.server_address());
  expect_ping(topology.client(), topology.server_address6());
  expect_ping(topology.host_a(), topology.host_b_address());
}

TEST(LabTopology, RoutedCarriesBothProtocols) {
  const Topology topology = joined(Shape::kRouted);
  expect_ping(topology.client(), topology.server_address());
  expect_ping(topology.client(), topology.server_address6());
  expect_ping(topology.host_a(), topology.host_b_address());
}

TEST(LabTopology, JumboFramesPass) {
  const Topology topology = joined(Shape::kSegment, 9000);
  expect_ping(topology.client(), topology.server_address(), 9000 - 28);
}

TEST(LabTopology, WireEdgesHaveNoOffloads) {
  const Topology topology = must(Topology::create());
  const std::pair<Host&, const char*> edges[] = {{topology.host_a(), "wan0"},
                                                 {topology.wan(), "a0"},
                                                 {topology.wan(), "b0"},
                                                 {topology.host_b(), "wan0"}};
  for (const auto& [host, device] : edges) {
    const auto features = must(host.features(device));
    for (const char* offload :
         {"tx-tcp-segmentation", "tx-tcp6-segmentation", "tx-generic-segmentation",
          "tx-udp-segmentation", "tx-checksum-ip-generic", "rx-checksum", "rx-gro"}) {
      EXPECT_FALSE(features.at(offload)) << host.name() << " " << device << " " << offload;
    }
  }
  EXPECT_TRUE(must(topology.client().features("eth0")).at("tx-tcp-segmentation"));
}

TEST(LabTopology, GuestsHaveStockTcpWhateverTheMachineHas) {
  const Topology topology = joined(Shape::kSegment);
  Process server = must(topology.server().start({.argv = {"iperf3", "-s", "-1"}}));
  must(server.wait_for_port(Protocol::kTcp, 5201, 5s));
  Process client = must(topology.client().start(
      {.argv = {"iperf3", "-c", topology.server_address(), "-n", "1M", "-J"}}));
  must(client.wait_ok(10s));
  EXPECT_THAT(client.output(), testing::HasSubstr("\"sender_tcp_congestion\":\t\"cubic\""));
  EXPECT_THAT(client.output(), testing::HasSubstr("\"receiver_tcp_congestion\":\t\"cubic\""));
  EXPECT_EQ(must(topology.client().sysctl("net.ipv4.tcp_rmem")), "4096\t131072\t6291456");
  EXPECT_EQ(must(topology.server().sysctl("net.ipv4.tcp_wmem")), "4096\t16384\t4194304");
}

}  // namespace
}  // namespace vtl::lab
