// GatewayOptions: what the configuration of a gateway says. Plain data with its defaults.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "vtl/base/time.h"
#include "vtl/wire/addresses.h"
#include "vtl/wire/ip_network.h"

namespace vtl::service {

/// What happens to a matching connection while the peer cannot be reached.
enum class PeerDownPolicy : std::uint8_t {
  kRefuse,  ///< the guest's SYN is answered with a reset
  kPass,    ///< the connection goes as plain TCP
};

struct GatewayOptions {
  /// The name of the peer to carry connections to, and to take them from.
  std::string peer;
  /// pcap-filter expression: which connections are taken. It sees the guest's SYN; a tagged frame
  /// matches with or without its VLAN tag.
  std::string match = "tcp";
  PeerDownPolicy on_peer_down = PeerDownPolicy::kRefuse;

  /// What lies behind the guest. A stream from the peer goes to the gateway whose networks hold the
  /// server's address, the longest prefix first (stream_router.h). Empty: what no other gateway of
  /// the peer has, as far as it is found on the guest side.
  std::vector<wire::IpNetwork> guest_networks;

  /// Routers on the two sides, for addresses that no frame has told about yet: where to send what
  /// is for a host that is not on the segment. `guest_next_hop` needs `guest_networks` where
  /// several gateways of the peer have none.
  std::optional<wire::IpAddress> guest_next_hop;
  std::optional<wire::IpAddress> network_next_hop;

  /// Connections at once, on each worker, half-open ones included; more SYNs are dropped and
  /// counted.
  std::size_t max_connections = 65536;
  /// Connections whose handshake is not done, on each worker; one more, and the oldest is given up
  /// and counted.
  std::size_t max_half_open = 4096;
  /// Octets buffered for one connection in each direction: the window offered to the guest side.
  std::size_t buffer = std::size_t{4} << 20;
  /// Octets buffered in all, on each worker; at the bound windows close until it is read.
  std::size_t memory = std::size_t{512} << 20;

  /// A connection silent for this long is probed; zero turns keep-alives off.
  Duration keep_alive = 2h;
  Duration time_wait = 10s;
};

}  // namespace vtl::service
