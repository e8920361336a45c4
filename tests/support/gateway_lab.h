// A lab with real parts: two VTL gateways, VTL impair as the path, and the kernel's own TCP at both
// ends, in the standard topology (lab/topology.h).
#pragma once

#include <optional>
#include <string>

#include "lab/process.h"
#include "lab/topology.h"

namespace vtl::test {

struct GatewayLabOptions {
  lab::Shape shape = lab::Shape::kSegment;
  int mtu = 1500;
  std::string transport = "udt";  ///< or "tcp"
  std::string on_peer_down = "refuse";
  std::string match = "tcp";
  std::string rate = "1Gbit/s";
  std::string delay = "0ms";  ///< one way
  std::string loss = "0%";
  std::string gateway_extra{};  ///< further YAML keys of the gateway, flow style: ", buffer: 1MiB"
  std::string key_b = "0123456789abcdef0123456789abcdef";  ///< the key that B believes in
  int workers = 1;
  bool name_routers = true;  ///< routed: `network_next_hop` names the router next to each gateway
  std::string guest_a = "{ type: af_packet, device: guest0 }";  ///< A's guest interface
};

class GatewayLab {
 public:
  /// The topology with impair running on the path; the gateways are not started.
  static Outcome<GatewayLab> create(const GatewayLabOptions& options = {});

  Outcome<void> start_a() { return start(a_, topology_.host_a(), "a"); }
  Outcome<void> start_b() { return start(b_, topology_.host_b(), "b"); }
  Outcome<void> start_both();
  [[nodiscard]] lab::Process& a() { return *a_; }
  [[nodiscard]] lab::Process& b() { return *b_; }
  /// Ends a gateway at once, as a crash would.
  void kill_a() { a_.reset(); }
  void kill_b() { b_.reset(); }

  [[nodiscard]] lab::Topology& topology() { return topology_; }
  /// What `vtl COMMAND... --json` says on host a or b.
  Outcome<std::string> ask(char side, const std::vector<std::string>& command);
  /// A service metric of the gateway on host a or b, by its name.
  Outcome<double> metric(char side, const std::string& name);

 private:
  GatewayLab(lab::Topology topology, GatewayLabOptions options)
      : topology_(std::move(topology)), options_(std::move(options)) {}
  Outcome<void> start(std::optional<lab::Process>& slot, lab::Host& host, const std::string& name);
  [[nodiscard]] std::string configuration(const std::string& name) const;

  lab::Topology topology_;
  GatewayLabOptions options_;
  std::optional<lab::Process> wan_, a_, b_;
};

}  // namespace vtl::test
