// Source: what the control surfaces ask for; the running engine behind a lock, or a test's values.
//
// Thread rule: any thread; an implementation serialises.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "vtl/base/bytes.h"
#include "vtl/base/result.h"
#include "vtl/engine/flow_info.h"
#include "vtl/engine/status.h"

namespace vtl::control {

/// Which frames to show: those that pass one boundary of a link's chain.
struct DumpRequest {
  std::string link;
  /// 0: between the guest and the first service; N: after the Nth service, toward the network.
  std::uint32_t boundary = 0;
  std::uint32_t snap_length = 65535;  ///< octets kept of each frame
  std::string filter{};               ///< pcap-filter expression; empty: every frame
};

/// A running capture as a stream of pcapng. Bounded: what is not read in time is dropped and
/// counted, and the stream tells how many (an interface statistics block, as soon as there is room
/// for it); the capture itself never waits.
class Dump {
 public:
  virtual ~Dump() = default;
  /// Becomes readable when read() would return octets.
  [[nodiscard]] virtual int fd() const noexcept = 0;
  /// Up to out.size() octets; 0: nothing now.
  [[nodiscard]] virtual std::size_t read(MutableBytes out) = 0;
  /// Takes no more frames: what read() still gives ends with the last count.
  virtual void finish() = 0;
};

/// An action of a service: `vtl KIND ACTION LINK`.
struct ActRequest {
  std::string link;
  std::string service;  ///< its kind
  std::string action;
};

class Source {
 public:
  virtual ~Source() = default;
  [[nodiscard]] virtual engine::Status status() = 0;
  [[nodiscard]] virtual std::vector<engine::FlowInfo> list_flows() = 0;
  [[nodiscard]] virtual std::vector<engine::MetricGroup> list_metrics() = 0;
  [[nodiscard]] virtual Outcome<std::unique_ptr<Dump>> open_dump(const DumpRequest& request) = 0;
  [[nodiscard]] virtual Outcome<void> act(const ActRequest& request) = 0;
  /// Asks the program to stop in order; returns at once.
  virtual void request_stop() = 0;
};

}  // namespace vtl::control
