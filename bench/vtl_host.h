// VTL on the lab's hosts: the configurations that the experiments run.
//
// Thread rule: any thread.
#pragma once

#include <filesystem>
#include <string>

namespace vtl::bench {

/// The emulated path of an experiment; the same in both directions.
struct PathSettings {
  int rate_mbit = 1000;
  int rtt_ms = 60;
  double loss = 0.001;  ///< of each direction's frames, 0 to 1
  int mtu = 1500;

  /// Octets in flight that fill the path.
  [[nodiscard]] std::uint64_t bandwidth_delay_product() const;
  /// Room for a window on the path and what queues before it: 2 products, at least 4 MiB.
  [[nodiscard]] std::uint64_t window() const;
};

/// Which program and device type a bridge of VTL uses.
struct BridgeSettings {
  std::string name = "bridge";  ///< of its files
  std::string interface_type = "af_packet";
  int workers = 1;
  bool cut_through = true;       ///< the kernel may forward flows by itself
  bool guest_to_network = true;  ///< reads frames of the guest side; only pcap may not
  bool network_to_guest = true;  ///< reads frames of the network side; only pcap may not
};

/// The WAN: devices a0 and b0 joined by impair.
[[nodiscard]] std::string wan_config(const PathSettings& path);
/// A plain bridge over guest0 and wan0.
[[nodiscard]] std::string bridge_config(const BridgeSettings& bridge);

/// A split over guest0 and wan0, which probes silent connections every 10 s.
[[nodiscard]] std::string split_config();

/// An anonymizer toward the guest behind `device` (an af_packet or tap interface, as `type` says);
/// its proxy is a SOCKS server at 127.0.0.1:1080, and every destination is allowed.
[[nodiscard]] std::string anonymizer_config(const std::string& type, const std::string& device);

enum class Carrier : std::uint8_t { kUdt, kTcpBbr };
/// A gateway over guest0 and wan0 that carries all TCP to the peer at `remote`.
[[nodiscard]] std::string gateway_config(Carrier carrier, const PathSettings& path,
                                         const std::string& local, const std::string& remote);

/// Path of this very program.
[[nodiscard]] std::filesystem::path own_program();

}  // namespace vtl::bench
