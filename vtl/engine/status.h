// What the engine tells about itself: plain values, copied out of the workers.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "vtl/base/drop_reason.h"
#include "vtl/base/time.h"
#include "vtl/engine/service.h"
#include "vtl/iface/interface.h"
#include "vtl/transport/proxy.h"
#include "vtl/wire/addresses.h"

namespace vtl::engine {

/// Drops by reason; only what is not zero.
using DropList = std::vector<std::pair<DropReason, std::uint64_t>>;

/// An interface, over all its workers.
struct InterfaceStatus {
  std::string name;    ///< as configured
  std::string device;  ///< as the interface calls itself
  wire::MacAddress mac;
  iface::Capabilities capabilities;
  std::uint32_t workers = 0;
  bool up = false;
  bool closed = false;                   ///< it will deliver no more frames
  std::optional<iface::SealState> seal;  ///< not set: the device is not sealed, and not to be
  std::uint64_t rx_frames = 0, rx_bytes = 0, rx_super_frames = 0, rx_missed = 0;
  std::uint64_t tx_frames = 0, tx_bytes = 0, tx_super_frames = 0;
  std::uint64_t tx_backlog = 0;  ///< frames waiting in VTL for the transmit queue
  std::uint64_t tx_blocked = 0;  ///< how often the transmit queue was full
  std::uint64_t rx_paused = 0;   ///< how often reading waited for another interface
  DropList drops;
};

struct ServiceStatus {
  std::string kind;
  DropList drops;
};

/// A link, over all its workers.
struct LinkStatus {
  std::string name;
  std::string guest;
  std::string network;  ///< empty when there is none
  std::uint32_t workers = 0;
  std::uint64_t frames_out = 0, bytes_out = 0;          ///< that entered from the guest
  std::uint64_t frames_in = 0, bytes_in = 0;            ///< that entered from the network
  std::uint64_t cut_flows = 0;                          ///< that the kernel forwards now
  std::uint64_t cut_frames_out = 0, cut_bytes_out = 0;  ///< of the above, forwarded by the kernel
  std::uint64_t cut_frames_in = 0, cut_bytes_in = 0;
  enum class CutThrough : std::uint8_t { kOff, kOn, kPaused, kMissing };
  CutThrough cut_through = CutThrough::kOff;
  std::string cut_through_missing;  ///< kMissing: why
  DropList drops;                   ///< outside the services
  std::vector<ServiceStatus> services;
};

/// An uplink that several links share, over all its workers.
struct UplinkStatus {
  std::string interface;
  std::uint64_t macs = 0, moves_refused = 0, not_learned = 0;
  std::uint64_t forwarded = 0, hairpin = 0, group = 0, flooded = 0;
  DropList drops;
};

struct PeerStatus {
  std::string name;
  std::string kind;
  bool up = false;  ///< on every worker
  std::uint64_t opened = 0, accepted = 0, refused = 0, reset = 0, authentication_failures = 0;
  std::uint64_t bytes_out = 0, bytes_in = 0;
  std::uint64_t window_bytes = 0;  ///< that the peer may have under way toward here
  std::uint64_t window_limited = 0, memory_refused = 0;
  /// Of VTL's own rate control; of the peer's local UDT port, which others may share.
  struct Rate {
    std::uint64_t connections = 0, packets_sent = 0, packets_lost = 0, reductions = 0, timeouts = 0;
  };
  std::optional<Rate> rate;
};

struct ProxyStatus {
  std::string name;
  transport::ProxyStatus proxy;  ///< streams of all workers; up on every worker
  std::uint64_t opened = 0, refused = 0, reset = 0, timed_out = 0, limited = 0;
  std::uint64_t connect_failures = 0, protocol_errors = 0, look_ups = 0;
  std::uint64_t bytes_out = 0, bytes_in = 0;
};

struct WorkerStatus {
  std::uint32_t number = 0;
  std::uint64_t turns = 0, sleeps = 0, events = 0, timers = 0;
  std::uint64_t buffer_bytes = 0;  ///< packet memory in use
};

struct Status {
  Duration running_for{};
  std::vector<InterfaceStatus> interfaces;
  std::vector<LinkStatus> links;
  std::vector<UplinkStatus> uplinks;
  std::vector<PeerStatus> peers;
  std::vector<ProxyStatus> proxies;
  std::vector<WorkerStatus> workers;
};

/// One service's (or observer's) metrics, over all its workers.
struct MetricGroup {
  std::string link;
  std::string service;
  std::vector<ServiceMetric> metrics;
};

}  // namespace vtl::engine
