// The standard topologies: two sites with a long path between them.
//
// SEGMENT: one Ethernet segment from client to server.
//
//   client ------- guest0 [hostA] wan0 ------- a0 [wan] b0 ------- wan0 [hostB] guest0 -------
//   server
//     eth0                10.0.0.101                             10.0.0.102                  eth0
//   10.0.0.1/24           fd00::101                              fd00::102           10.0.0.2/24
//   fd00::1/64                                                                       fd00::2/64
//
// ROUTED: the same, with a router between either VTL host and the path, so client and server are
// in different subnets, and the MAC address next to a VTL on the network side is a router's.
//
//   client --- guest0 [hostA] wan0 --- lan0 [routerA] wan0 --- a0 [wan] b0 --- wan0 [routerB] lan0
//     eth0            10.1.0.101       10.1.0.254  10.9.0.1              10.9.0.2  10.2.0.254  |
//   10.1.0.1/24       fd01::101        fd01::254   fd09::1               fd09::2   fd02::254   |
//                                                                                              |
//                                                     server --- guest0 [hostB] wan0 ----------+
//                                                       eth0            10.2.0.102
//                                                     10.2.0.2/24       fd02::102
//
// Nothing joins the two devices of hostA, wan and hostB yet: that is VTL's work (a gateway or a
// bridge on the hosts, impair on wan), or the kernel's for comparison (bridge_with_kernel). hostA
// and hostB own an address on wan0, for what VTL carries from one to the other; a kernel that
// bridges cannot have it there too, so bridge_with_kernel() moves it to the bridge.
//
// The devices at both ends of the path are like a real wire: no offloads. All others have them,
// so frames there are super-frames with unfinished checksums.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lab/lab.h"

namespace vtl::lab {

enum class Shape : std::uint8_t { kSegment, kRouted };

/// "segment", "routed".
[[nodiscard]] std::optional<Shape> parse_shape(std::string_view text);

struct TopologyOptions {
  Shape shape = Shape::kSegment;
  int mtu = 1500;                  ///< of every device
  TcpSettings guest_tcp{};         ///< of client and server
  TcpSettings host_tcp{};          ///< of hostA and hostB
  std::filesystem::path folder{};  ///< of the Lab
};

/// The hosts are valid as long as the Topology, wherever it is moved.
class Topology {
 public:
  [[nodiscard]] static Outcome<Topology> create(const TopologyOptions& options = {});

  [[nodiscard]] Lab& lab() const { return *lab_; }
  [[nodiscard]] Host& client() const { return *client_; }
  [[nodiscard]] Host& host_a() const { return *host_a_; }
  [[nodiscard]] Host& wan() const { return *wan_; }
  [[nodiscard]] Host& host_b() const { return *host_b_; }
  [[nodiscard]] Host& server() const { return *server_; }

  /// "10.0.0.1", without prefix length.
  [[nodiscard]] const std::string& client_address() const { return client_address_; }
  [[nodiscard]] const std::string& server_address() const { return server_address_; }
  [[nodiscard]] const std::string& server_address6() const { return server_address6_; }
  [[nodiscard]] const std::string& host_a_address() const { return host_a_address_; }
  [[nodiscard]] const std::string& host_b_address() const { return host_b_address_; }

  /// Joins the two devices of hostA, wan or hostB with a kernel bridge `br0`, which takes over
  /// the addresses of its devices.
  [[nodiscard]] Outcome<void> bridge_with_kernel(Host& host);

  /// The drawing above, for people.
  [[nodiscard]] std::string drawing() const;

 private:
  Topology() = default;
  Outcome<void> build(const TopologyOptions& options);
  Outcome<void> build_segment(const LinkOptions& inner, const LinkOptions& wire);
  Outcome<void> build_routed(const LinkOptions& inner, const LinkOptions& wire);

  Shape shape_ = Shape::kSegment;
  std::unique_ptr<Lab> lab_;
  Host* client_ = nullptr;
  Host* host_a_ = nullptr;
  Host* wan_ = nullptr;
  Host* host_b_ = nullptr;
  Host* server_ = nullptr;
  std::string client_address_, server_address_, server_address6_, host_a_address_, host_b_address_;
};

}  // namespace vtl::lab
