// The long path of the demo and the wan experiment: the lab's standard segment, with VTL's own
// impair as the WAN between the two hosts, and either the kernel's bridge or VTL on the hosts.
//
// Thread rule: one thread.
#pragma once

#include <vector>

#include "bench/traffic.h"
#include "bench/vtl_host.h"
#include "lab/topology.h"

namespace vtl::bench {

/// What joins guest and WAN on hostA and hostB.
enum class Hosts : std::uint8_t {
  kKernelBridge,  ///< plain TCP crosses them as it would cross any host
  kVtl,           ///< nothing yet: a gateway, or a program of the hosts' own
};

class PathScene {
 public:
  /// Guests are stock: cubic and the kernel's own buffer limits. When it returns the path carries
  /// frames.
  [[nodiscard]] static Outcome<PathScene> create(const PathSettings& path, Hosts hosts);

  [[nodiscard]] lab::Topology& topology() { return topology_; }
  [[nodiscard]] const PathSettings& path() const { return path_; }
  /// The WAN's own program, whose processor time is not the subject's.
  [[nodiscard]] Programs wan() { return {&wan_}; }
  /// The gateways that run.
  [[nodiscard]] Programs gateways();

  /// TCP settings of client and server.
  [[nodiscard]] Outcome<void> set_guest_tcp(const lab::TcpSettings& settings);
  /// Starts a gateway on either host (Hosts::kVtl) and waits until the guests reach each other.
  [[nodiscard]] Outcome<void> start_gateways(Carrier carrier);
  /// Stops them; processor time and errors are gone with them.
  [[nodiscard]] Outcome<void> stop_gateways();

  /// Round trip between the hosts in ms, as ping finds it: the least of three.
  [[nodiscard]] Outcome<double> ping_ms();

 private:
  PathScene(PathSettings path, lab::Topology topology, lab::Process wan)
      : path_(path), topology_(std::move(topology)), wan_(std::move(wan)) {}

  PathSettings path_;
  lab::Topology topology_;
  lab::Process wan_;
  std::vector<lab::Process> gateways_;
};

/// Whether this kernel has bbr; where not, the cases that need it are left out.
[[nodiscard]] bool has_bbr(const lab::Host& host);

}  // namespace vtl::bench
