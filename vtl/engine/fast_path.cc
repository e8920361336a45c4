#include "vtl/engine/fast_path.h"

#include <cassert>
#include <utility>

#include "vtl/base/log.h"

namespace vtl::engine {

FastPath::FastPath(Reactor& reactor, std::shared_ptr<iface::CutThrough> kernel,
                   std::function<bool(const wire::FlowKey&)> may_take)
    : reactor_(reactor),
      kernel_(std::move(kernel)),
      may_take_(std::move(may_take)),
      renewal_([this] { renew(); }) {
  renew();
}

FastPath::~FastPath() {
  // The other workers of the link end with this one.
  (void)kernel_->hold_until(Time{});
}

bool FastPath::take(const iface::CutFlow& flow) {
  if (!trouble_.empty() || !may_take_(flow.key)) return false;
  if (!kernel_->add(flow)) {
    counters_.refused.add();
    return false;
  }
  counters_.taken.add();
  counters_.flows.add();
  return true;
}

iface::CutUsage FastPath::give_back(const iface::CutFlow& flow) {
  counters_.flows.sub();
  return kernel_->remove(flow);
}

iface::CutUsage FastPath::usage(const iface::CutFlow& flow) const {
  return kernel_->usage(flow);
}

void FastPath::hold() {
  if (holds_++ > 0) return;
  renewal_.cancel();
  (void)kernel_->hold_until(Time{});
}

void FastPath::release() {
  assert(holds_ > 0);
  if (--holds_ == 0) renew();
}

void FastPath::renew() {
  if (auto held = kernel_->hold_until(reactor_.now() + kHold); !held) {
    trouble_ = held.error().message;
    log::warn("{}; every frame passes VTL from now on", trouble_);
    return;
  }
  reactor_.timers().arm(renewal_, reactor_.now() + kHold / 4);
}

}  // namespace vtl::engine
