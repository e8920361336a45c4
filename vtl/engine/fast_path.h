// FastPath: the flows of one link that nobody in VTL need see any more, forwarded by the kernel.
//
// What: one worker's hand on the CutThrough of its link. It keeps the kernel's table alive while
// the worker's loop runs (a worker that hangs or dies stops the forwarding within kHold), and
// suspends it while somebody must see every frame (hold(): a tap).
//
// Thread rule: the worker's. The CutThrough is shared by the workers of the link; a flow has one.
// Invariants: flows in the kernel's table are those that take() accepted and give_back() has not
// ended; while held nothing is cut through, and the flows stay in the table.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "vtl/base/counter.h"
#include "vtl/base/reactor.h"
#include "vtl/iface/cut_through.h"

namespace vtl::engine {

struct FastPathCounters {
  Counter flows;    ///< now
  Counter taken;    ///< ever
  Counter refused;  ///< the table was full
};

class FastPath {
 public:
  static constexpr Duration kHold = 1s;

  /// `may_take`: whether every service of the link can do without a flow.
  FastPath(Reactor& reactor, std::shared_ptr<iface::CutThrough> kernel,
           std::function<bool(const wire::FlowKey&)> may_take);
  ~FastPath();
  FastPath(const FastPath&) = delete;
  FastPath& operator=(const FastPath&) = delete;

  /// The kernel forwards `flow` from now on; false when a service wants to see it, or the kernel's
  /// table is full.
  [[nodiscard]] bool take(const iface::CutFlow& flow);
  /// Ends that. What the kernel has forwarded since take().
  iface::CutUsage give_back(const iface::CutFlow& flow);
  [[nodiscard]] iface::CutUsage usage(const iface::CutFlow& flow) const;

  /// Every frame reaches the link until as many release() as hold().
  void hold();
  void release();

  /// The kernel may forward what was taken; false while held and after trouble.
  [[nodiscard]] bool forwards() const noexcept { return holds_ == 0 && trouble_.empty(); }
  /// Why nothing is cut through any more; empty while all is well.
  [[nodiscard]] const std::string& trouble() const noexcept { return trouble_; }
  [[nodiscard]] const iface::CutThrough& kernel() const noexcept { return *kernel_; }
  [[nodiscard]] const FastPathCounters& counters() const noexcept { return counters_; }

 private:
  void renew();

  Reactor& reactor_;
  std::shared_ptr<iface::CutThrough> kernel_;
  std::function<bool(const wire::FlowKey&)> may_take_;
  std::uint32_t holds_ = 0;
  std::string trouble_;
  Timer renewal_;
  FastPathCounters counters_;
};

}  // namespace vtl::engine
