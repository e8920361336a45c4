#include "lab/topology.h"

#include <fmt/format.h>

#include <sstream>

namespace vtl::lab {
namespace {

/// Stops at the first step that fails.
class Steps {
 public:
  Steps& then(Outcome<void> outcome) = delete;
  template <class Step>
  Steps& then(Step&& step) {
    if (result_) result_ = step();
    return *this;
  }
  [[nodiscard]] Outcome<void> result() { return std::move(result_); }

 private:
  Outcome<void> result_;
};

/// Commands that give `device` an IPv4 and an IPv6 address and, when not empty, default gateways.
std::string address_commands(const std::string& device, const std::string& v4,
                             const std::string& v6, const std::string& gateway4 = {},
                             const std::string& gateway6 = {}) {
  std::string commands =
      fmt::format("addr add {1} dev {0}\naddr add {2} dev {0} nodad\n", device, v4, v6);
  if (!gateway4.empty()) commands += fmt::format("route add default via {}\n", gateway4);
  if (!gateway6.empty()) commands += fmt::format("route add default via {}\n", gateway6);
  return commands;
}

}  // namespace

std::optional<Shape> parse_shape(std::string_view text) {
  if (text == "segment") return Shape::kSegment;
  if (text == "routed") return Shape::kRouted;
  return std::nullopt;
}

Outcome<Topology> Topology::create(const TopologyOptions& options) {
  Topology topology;
  topology.shape_ = options.shape;
  topology.lab_ = std::make_unique<Lab>(options.folder);
  if (auto done = topology.build(options); !done) return std::unexpected(done.error());
  return topology;
}

Outcome<void> Topology::build(const TopologyOptions& options) {
  const auto add = [&](const char* name, Host*& slot, HostOptions host_options) -> Outcome<void> {
    auto host = lab_->add_host(name, host_options);
    if (!host) return std::unexpected(host.error());
    slot = *host;
    return {};
  };
  const HostOptions guest{.tcp = options.guest_tcp};
  const HostOptions middle{.ipv6 = Ipv6::kNoNoise, .tcp = options.host_tcp};
  const LinkOptions inner{.mtu = options.mtu};
  const LinkOptions wire{.mtu = options.mtu, .offloads = Offloads::kOff};
  return Steps()
      .then([&] { return add("client", client_, guest); })
      .then([&] { return add("hostA", host_a_, middle); })
      .then([&] { return add("wan", wan_, {.ipv6 = Ipv6::kOff}); })
      .then([&] { return add("hostB", host_b_, middle); })
      .then([&] { return add("server", server_, guest); })
      .then([&] {
        return shape_ == Shape::kSegment ? build_segment(inner, wire) : build_routed(inner, wire);
      })
      .result();
}

Outcome<void> Topology::build_segment(const LinkOptions& inner, const LinkOptions& wire) {
  client_address_ = "10.0.0.1";
  server_address_ = "10.0.0.2";
  server_address6_ = "fd00::2";
  host_a_address_ = "10.0.0.101";
  host_b_address_ = "10.0.0.102";
  return Steps()
      .then([&] { return lab_->connect({*client_, "eth0"}, {*host_a_, "guest0"}, inner); })
      .then([&] { return lab_->connect({*host_a_, "wan0"}, {*wan_, "a0"}, wire); })
      .then([&] { return lab_->connect({*wan_, "b0"}, {*host_b_, "wan0"}, wire); })
      .then([&] { return lab_->connect({*host_b_, "guest0"}, {*server_, "eth0"}, inner); })
      .then([&] { return client_->ip(address_commands("eth0", "10.0.0.1/24", "fd00::1/64")); })
      .then([&] { return host_a_->ip(address_commands("wan0", "10.0.0.101/24", "fd00::101/64")); })
      .then([&] { return host_b_->ip(address_commands("wan0", "10.0.0.102/24", "fd00::102/64")); })
      .then([&] { return server_->ip(address_commands("eth0", "10.0.0.2/24", "fd00::2/64")); })
      .result();
}

Outcome<void> Topology::build_routed(const LinkOptions& inner, const LinkOptions& wire) {
  client_address_ = "10.1.0.1";
  server_address_ = "10.2.0.2";
  server_address6_ = "fd02::2";
  host_a_address_ = "10.1.0.101";
  host_b_address_ = "10.2.0.102";
  const auto router_a = lab_->add_host("routerA", {.router = true});
  if (!router_a) return std::unexpected(router_a.error());
  const auto router_b = lab_->add_host("routerB", {.router = true});
  if (!router_b) return std::unexpected(router_b.error());
  Host& ra = **router_a;
  Host& rb = **router_b;
  const auto address = [](Host& host, const char* device, const char* v4, const char* v6,
                          const char* gateway4, const char* gateway6) {
    return [&host, device, v4, v6, gateway4, gateway6] {
      return host.ip(address_commands(device, v4, v6, gateway4, gateway6));
    };
  };
  return Steps()
      .then([&] { return lab_->connect({*client_, "eth0"}, {*host_a_, "guest0"}, inner); })
      .then([&] { return lab_->connect({*host_a_, "wan0"}, {ra, "lan0"}, inner); })
      .then([&] { return lab_->connect({ra, "wan0"}, {*wan_, "a0"}, wire); })
      .then([&] { return lab_->connect({*wan_, "b0"}, {rb, "wan0"}, wire); })
      .then([&] { return lab_->connect({rb, "lan0"}, {*host_b_, "wan0"}, inner); })
      .then([&] { return lab_->connect({*host_b_, "guest0"}, {*server_, "eth0"}, inner); })
      .then(address(*client_, "eth0", "10.1.0.1/24", "fd01::1/64", "10.1.0.254", "fd01::254"))
      .then(address(*host_a_, "wan0", "10.1.0.101/24", "fd01::101/64", "10.1.0.254", "fd01::254"))
      .then(address(ra, "lan0", "10.1.0.254/24", "fd01::254/64", "", ""))
      .then(address(ra, "wan0", "10.9.0.1/24", "fd09::1/64", "10.9.0.2", "fd09::2"))
      .then(address(rb, "wan0", "10.9.0.2/24", "fd09::2/64", "10.9.0.1", "fd09::1"))
      .then(address(rb, "lan0", "10.2.0.254/24", "fd02::254/64", "", ""))
      .then(address(*host_b_, "wan0", "10.2.0.102/24", "fd02::102/64", "10.2.0.254", "fd02::254"))
      .then(address(*server_, "eth0", "10.2.0.2/24", "fd02::2/64", "10.2.0.254", "fd02::254"))
      .result();
}

Outcome<void> Topology::bridge_with_kernel(Host& host) {
  if (&host == wan_) return host.add_bridge("br0", {"a0", "b0"});
  if (&host != host_a_ && &host != host_b_) {
    return fail(fmt::format("host {} has no two devices to bridge", host.name()));
  }
  const bool a = &host == host_a_;
  const bool segment = shape_ == Shape::kSegment;
  const char* const net4 = segment ? "10.0.0" : a ? "10.1.0" : "10.2.0";
  const char* const net6 = segment ? "fd00" : a ? "fd01" : "fd02";
  const char* const number = a ? "101" : "102";
  // IPv4 routes go with the address, an IPv6 default route stays.
  std::string leave = "addr flush dev wan0\n";
  if (!segment) leave += fmt::format("route del default via {}::254\n", net6);
  if (auto done = host.ip(leave); !done) return done;
  if (auto done = host.add_bridge("br0", {"guest0", "wan0"}); !done) return done;
  return host.ip(address_commands(
      "br0", fmt::format("{}.{}/24", net4, number), fmt::format("{}::{}/64", net6, number),
      segment ? "" : fmt::format("{}.254", net4), segment ? "" : fmt::format("{}::254", net6)));
}

std::string Topology::drawing() const {
  if (shape_ == Shape::kSegment) {
    return R"(
  client ----- guest0 [hostA] wan0 ----- a0 [wan] b0 ----- wan0 [hostB] guest0 ----- server
   eth0               10.0.0.101                           10.0.0.102                 eth0
 10.0.0.1                                                                           10.0.0.2
)";
  }
  return R"(
  client --- guest0 [hostA] wan0 --- lan0 [routerA] wan0 --- a0 [wan]
   eth0             10.1.0.101       10.1.0.254  10.9.0.1        |
 10.1.0.1                                                        |
  server --- guest0 [hostB] wan0 --- lan0 [routerB] wan0 ------- b0
   eth0             10.2.0.102       10.2.0.254  10.9.0.2
 10.2.0.2
)";
}

}  // namespace vtl::lab
