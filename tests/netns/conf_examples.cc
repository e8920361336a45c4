// Example configurations of conf/ as they stand, started by the program itself in hosts that have
// the devices and addresses they name, and asked what they carry.
//
//   client --- eth1 [ a: site-a.yaml ] eth0 --- eth0 [ b: site-b.yaml ] eth1 --- server
//   10.0.0.1             192.0.2.7                   198.51.100.7              10.0.0.2
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "lab/lab.h"
#include "lab/must.h"
#include "lab/vtl_program.h"

namespace vtl {
namespace {

using lab::must;
using nlohmann::json;

constexpr Duration kBound = 30s;

class ConfExamples : public testing::Test {
 protected:
  // The example, with its control socket in the host's folder.
  lab::Process run_example(lab::Host& host, const std::string& name) {
    std::ifstream file(VTL_SOURCE_DIR "/conf/" + name);
    std::stringstream text;
    text << file.rdbuf();
    EXPECT_EQ(text.str().find("\ncontrol:"), std::string::npos)
        << name << ": one control section a file";
    text << "control: { socket: " << socket_of(host) << " }\n";
    return must(lab::start_vtl(host, text.str()));
  }
  [[nodiscard]] static std::string socket_of(const lab::Host& host) {
    return "/run/vtl-" + host.name() + ".sock";  // short, and the sandbox's own
  }
  [[nodiscard]] static json ask(const lab::Host& host, const std::string& question) {
    return json::parse(must(host.output_of(
        {lab::vtl_binary().string(), question, "--json", "--socket", socket_of(host)})));
  }
  static void write_key(const lab::Host& host) {
    const auto path = host.folder() / "site.key";
    std::ofstream(path) << "an example's secret, of no worth\n";
    ASSERT_EQ(chmod(path.c_str(), S_IRUSR | S_IWUSR), 0);
  }
  // A line travels from client to server; the connection stays open while `look` is called.
  template <class Look>
  void with_connection(const Look& look) {
    auto listener = must(server_->start({.argv = {"nc", "-l", "-p", "8080"}}));
    must(listener.wait_for_port(lab::Protocol::kTcp, 8080, kBound));
    auto speaker = must(client_->start(
        {.argv = {"nc", "-N", "10.0.0.2", "8080"}, .input_from = lab::Input::kPipe}));
    must(speaker.write_input("hello through the example\n"));
    must(listener.wait_for_line("hello through the example", kBound));
    look();
    speaker.close_input();
    must(listener.wait_ok(kBound));
    must(speaker.wait_ok(kBound));
  }
  void address_guests() {
    must(client_->ip("addr add 10.0.0.1/24 dev eth0"));
    must(server_->ip("addr add 10.0.0.2/24 dev eth0"));
  }

  lab::Lab lab_;
  lab::Host* client_ = must(lab_.add_host("client"));
  lab::Host* server_ = must(lab_.add_host("server"));
};

TEST_F(ConfExamples, BridgeListsTheConnectionThatItLetsPass) {
  lab::Host& host = *must(lab_.add_host("vtl", {.ipv6 = lab::Ipv6::kNoNoise}));
  must(lab_.connect({*client_, "eth0"}, {host, "tap-vm1"}));
  must(lab_.connect({host, "eth0"}, {*server_, "eth0"}));
  address_guests();
  auto vtl = run_example(host, "bridge.yaml");
  with_connection([&] {
    const auto flows = ask(host, "flows")["flows"];
    ASSERT_EQ(flows.size(), 1U) << flows;
    EXPECT_EQ(flows[0]["destination"], "10.0.0.2:8080");
    EXPECT_EQ(flows[0]["state"], "established");
    EXPECT_EQ(flows[0]["bytes_out"], 26);
    EXPECT_EQ(flows[0]["transform"], "no (bridged)");
    EXPECT_TRUE(flows[0]["rtt_network"].is_number());
  });
  EXPECT_TRUE(must(vtl.stop()).ok()) << vtl.errors();
}

TEST_F(ConfExamples, TwoSitesCarryAConnectionOverUdt) {
  lab::Host& a = *must(lab_.add_host("a", {.ipv6 = lab::Ipv6::kNoNoise}));
  lab::Host& b = *must(lab_.add_host("b", {.ipv6 = lab::Ipv6::kNoNoise}));
  must(lab_.connect({*client_, "eth0"}, {a, "eth1"}));
  must(lab_.connect({a, "eth0"}, {b, "eth0"}));
  must(lab_.connect({b, "eth1"}, {*server_, "eth0"}));
  address_guests();
  must(a.ip("addr add 192.0.2.7/24 dev eth0\nroute add 198.51.100.7/32 dev eth0"));
  must(b.ip("addr add 198.51.100.7/24 dev eth0\nroute add 192.0.2.7/32 dev eth0"));
  write_key(a);
  write_key(b);
  auto vtl_b = run_example(b, "site-b.yaml");
  auto vtl_a = run_example(a, "site-a.yaml");
  with_connection([&] {
    const auto near = ask(a, "flows")["flows"];
    ASSERT_EQ(near.size(), 1U) << near;
    EXPECT_EQ(near[0]["destination"], "10.0.0.2:8080");
    EXPECT_EQ(near[0]["bytes_out"], 26);
    EXPECT_EQ(near[0]["transform"], "udt to siteb");
    const auto far = ask(b, "flows")["flows"];
    ASSERT_EQ(far.size(), 1U) << far;
    EXPECT_EQ(far[0]["transform"], "udt from sitea");
    EXPECT_EQ(ask(a, "status")["peers"][0]["up"], true);
  });
  EXPECT_TRUE(must(vtl_a.stop()).ok()) << vtl_a.errors();
  EXPECT_TRUE(must(vtl_b.stop()).ok()) << vtl_b.errors();
}

}  // namespace
}  // namespace vtl
