// AnonymizerOptions: what the configuration of an anonymizer says. Plain data with its defaults.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "vtl/base/time.h"
#include "vtl/service/anonymizer/dns_responder.h"
#include "vtl/service/anonymizer/egress.h"
#include "vtl/service/anonymizer/name_pool.h"
#include "vtl/wire/ip_network.h"

namespace vtl::service {

/// Which connections may be seen to belong together, where the proxy can keep them apart.
enum class IsolateBy : std::uint8_t {
  kNothing,      ///< all; the proxy is told no user
  kGuest,        ///< those of one guest, by its address
  kDestination,  ///< those to one name or address
  kBoth,         ///< those of one guest to one name or address
};

struct AnonymizerOptions {
  /// Entries of `proxies`, the one to be used first at the front.
  std::vector<std::string> proxies;
  IsolateBy isolation = IsolateBy::kGuest;

  /// The guests' network. Its first address is the gateway and the name server, the others are
  /// given out by DHCP; guests may have any other address as well.
  wire::IpNetwork guest_network{wire::Ipv4Address(10, 137, 0, 0), 24};
  bool dhcp = true;
  /// Off: nothing of IPv6 is answered or let through.
  bool ipv6 = false;
  /// The prefix that guests make their addresses of; its first address is the name server. 64 bits.
  wire::IpNetwork guest_network_v6;

  DnsMode dns = DnsMode::kPool;
  NamePoolOptions names;
  bool echo = false;  ///< every address answers ICMP echo
  std::vector<EgressRule> egress;

  /// Connections at once, half-open ones included. At the bound the SYN is dropped and counted.
  std::size_t max_connections = 65'536;
  /// Connections whose handshakes are not done; at the bound the oldest of them is given up.
  std::size_t max_half_open = 4096;
  /// Octets buffered in each direction of a connection: the window offered.
  std::size_t buffer = std::size_t{1} << 20;
  /// Octets buffered in all; at the bound windows close until it is read.
  std::size_t memory = std::size_t{512} << 20;
  Duration keep_alive = 2h;  ///< a guest silent for this long is probed; zero turns it off
  Duration time_wait = 10s;
};

}  // namespace vtl::service
