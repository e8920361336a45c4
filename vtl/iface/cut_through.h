// CutThrough: the kernel forwards chosen flows between two devices by itself.
//
// What it is: a table in the kernel, by direction of a flow and destination MAC, and two BPF
// programs that look frames up in it: one at each device's ingress (tc), which sends the frame out
// of the other device without a copy, and one on the AF_PACKET sockets, which leaves such frames
// alone. Frames that begin or end a connection (SYN, FIN, RST), fragments, tagged frames, those
// with IP options, those too long for the other device's MTU, and those for this host or a group
// are never cut through: they reach their reader as before.
//
// Whoever uses it says again and again how long it holds (hold_until): when that has passed,
// because its process has gone, nothing is cut through any more. What is left then on the devices
// is without effect and replaced at the next open; an orderly end takes it away (not the `clsact`
// queueing discipline, which others may use by then).
//
// At the moment when a flow is added, frames of it that already wait to be read are overtaken by
// those behind them, once, and a frame between the two programs may come twice.
//
// Limits: `max_flows`; add() beyond it fails. One CutThrough a device; devices that carry others
// (a bridge's port, the parent of a macvlan) are refused. Needs CAP_BPF and CAP_NET_ADMIN to open,
// CAP_NET_ADMIN later, and Linux 5.19 (earlier kernels ask for CAP_BPF at each change).
// Thread rule: any thread; a flow's owner serialises what it says of that flow.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "vtl/base/result.h"
#include "vtl/base/time.h"
#include "vtl/wire/addresses.h"
#include "vtl/wire/flow_key.h"

namespace vtl::iface {

/// A flow between the devices a and b: as frames from a to b carry it.
struct CutFlow {
  wire::FlowKey key;  ///< untagged, TCP or UDP
  wire::MacAddress a, b;
};

/// What the kernel forwarded of a flow since it was added. Ways: from a to b, and back.
struct CutUsage {
  std::array<std::uint64_t, 2> frames{};  ///< a super-frame counts once
  std::array<std::uint64_t, 2> octets{};  ///< of payload
  Time last_use{};
};

/// Of all flows since open, by way: what was handed to the other device. What that drops (its queue
/// is full, it is down) is in its own statistics only.
struct CutTotals {
  std::array<std::uint64_t, 2> frames{}, bytes{};
};

class CutThrough {
 public:
  virtual ~CutThrough() = default;

  /// Both directions of `flow` are forwarded from now on; false when the table is full.
  [[nodiscard]] virtual bool add(const CutFlow& flow) = 0;
  /// Ends that, and says what was forwarded.
  virtual CutUsage remove(const CutFlow& flow) = 0;
  [[nodiscard]] virtual CutUsage usage(const CutFlow& flow) const = 0;
  [[nodiscard]] virtual CutTotals totals() const = 0;

  /// Nothing is cut through after `until`; Time{}: nothing from now on. The error says why nothing
  /// may be cut through at all any more; nothing is, then.
  [[nodiscard]] virtual Outcome<void> hold_until(Time until) = 0;
  /// The socket program, for SO_ATTACH_BPF.
  [[nodiscard]] virtual int socket_program() const noexcept = 0;
};

struct CutThroughOptions {
  std::string a, b;          ///< devices of this network namespace
  bool host_frames = false;  ///< of the sockets: AfPacketOptions::host_frames
  std::uint32_t max_flows = 16384;
};

/// The error says which step the kernel refused.
[[nodiscard]] Outcome<std::unique_ptr<CutThrough>> open_cut_through(
    const CutThroughOptions& options);

}  // namespace vtl::iface
