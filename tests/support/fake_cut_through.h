// A CutThrough that is a table of the test's own: what is in it, and what the kernel would have
// forwarded, the test says. Thread rule: one thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "vtl/iface/cut_through.h"

namespace vtl::test {

class FakeCutThrough final : public iface::CutThrough {
 public:
  struct Entry {
    iface::CutFlow flow;
    iface::CutUsage usage;
  };

  bool add(const iface::CutFlow& flow) override {
    if (flows.size() >= room) return false;
    flows.push_back({flow, {}});
    return true;
  }
  iface::CutUsage remove(const iface::CutFlow& flow) override {
    const auto last = usage(flow);
    std::erase_if(flows, [&](const Entry& entry) { return entry.flow.key == flow.key; });
    return last;
  }
  [[nodiscard]] iface::CutUsage usage(const iface::CutFlow& flow) const override {
    const auto found =
        std::ranges::find_if(flows, [&](const Entry& entry) { return entry.flow.key == flow.key; });
    return found == flows.end() ? iface::CutUsage{} : found->usage;
  }
  [[nodiscard]] iface::CutTotals totals() const override { return {}; }
  Outcome<void> hold_until(Time time) override {
    if (!trouble.empty()) {
      until = Time{};
      return fail(trouble);
    }
    until = time;
    return {};
  }
  [[nodiscard]] int socket_program() const noexcept override { return -1; }

  std::vector<Entry> flows;
  std::size_t room = 16;
  Time until{};
  std::string trouble;
};

}  // namespace vtl::test
