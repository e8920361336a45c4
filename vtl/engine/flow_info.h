// FlowInfo: one connection as `vtl flows` shows it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "vtl/base/time.h"
#include "vtl/wire/flow_key.h"

namespace vtl::engine {

struct FlowInfo {
  std::string link;
  std::uint32_t worker = 0;
  /// As the side that opened the connection sends it.
  wire::FlowKey key;
  /// The state, e.g. "established", by its RFC 9293 name in lower case; for a transformed flow both
  /// local ends: "established/fin-wait-1".
  std::string state;
  std::uint64_t bytes_out = 0;          ///< payload, guest to network
  std::uint64_t bytes_in = 0;           ///< payload, network to guest
  std::optional<Duration> rtt_guest;    ///< between VTL and the guest side's end
  std::optional<Duration> rtt_network;  ///< between VTL and the far side (peer or server)
  /// How it is transformed: "no (bridged)", "udt to siteb", "tcp to siteb (bbr)".
  std::string transform;
  Duration age{};
};

}  // namespace vtl::engine
