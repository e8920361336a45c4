// A SOCKS 5 server that costs as little as can be: what is relayed never leaves the kernel.
//
// For experiments in which the proxy shall not be what is measured. CONNECT to IPv4 and IPv6
// addresses and to the names of a table; no authentication, or user and password (RFC 1928, 1929).
// Greeting, password, request and first data may come in one segment.
//
// Thread rule: serve() blocks its thread until standard input ends. Bounds: connections, handshake
// octets before a request is whole, pipes (as many as directions with octets under way).
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "vtl/base/result.h"

namespace vtl::bench {

struct SocksRelayOptions {
  std::string address = "127.0.0.1";  ///< IPv4, to listen on
  std::uint16_t port = 1080;
  std::string user{}, password{};              ///< empty: no authentication is asked for
  std::map<std::string, std::string> names{};  ///< to addresses, IPv4 or IPv6
  std::size_t connections = 20'000;            ///< at one time; further ones wait to be accepted
};

/// Prints "serving" once it listens.
[[nodiscard]] Outcome<void> serve_socks(const SocksRelayOptions& options);

}  // namespace vtl::bench
