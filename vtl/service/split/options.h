// SplitOptions: what the configuration of a split says. Plain data with its defaults.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "vtl/base/time.h"

namespace vtl::service {

/// From which side of the link connections are taken.
enum class OpenedFrom : std::uint8_t { kGuest, kNetwork, kBoth };

struct SplitOptions {
  /// pcap-filter expression: which connections are taken. It sees the client's SYN; a tagged frame
  /// matches with or without its VLAN tag.
  std::string match = "tcp";
  /// The side of the clients.
  OpenedFrom from = OpenedFrom::kGuest;

  /// Connections at once, on each worker, half-open ones included. At the bound the oldest that
  /// only waits out TIME-WAIT makes room; where there is none the SYN is dropped and counted.
  std::size_t max_connections = 262'144;
  /// Connections whose handshakes are not done, on each worker; at the bound the oldest of them is
  /// given up.
  std::size_t max_half_open = 4096;
  /// Octets buffered at each end in each direction: the window offered.
  std::size_t buffer = std::size_t{1} << 20;
  /// Octets buffered in all, on each worker; at the bound windows close until it is read.
  std::size_t memory = std::size_t{512} << 20;

  /// A connection silent for this long is probed, at both ends; zero turns keep-alives off.
  Duration keep_alive = 2h;
  Duration time_wait = 10s;
};

}  // namespace vtl::service
