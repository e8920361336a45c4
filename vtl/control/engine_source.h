// EngineSource: the running engine as the control surfaces see it.
//
// Thread rule: any thread; a lock makes the engine's callers one at a time, as it demands. Must be
// destroyed, and so must its dumps, before the engine stops.
#pragma once

#include <functional>
#include <memory>
#include <mutex>

#include "vtl/control/source.h"
#include "vtl/engine/engine.h"

namespace vtl::control {

class EngineSource final : public Source {
 public:
  /// `on_stop` is called, on any thread, when a client asks the program to stop.
  EngineSource(engine::Engine& engine, std::function<void()> on_stop);

  [[nodiscard]] engine::Status status() override;
  [[nodiscard]] std::vector<engine::FlowInfo> list_flows() override;
  [[nodiscard]] std::vector<engine::MetricGroup> list_metrics() override;
  [[nodiscard]] Outcome<std::unique_ptr<Dump>> open_dump(const DumpRequest& request) override;
  [[nodiscard]] Outcome<void> act(const ActRequest& request) override;
  void request_stop() override { on_stop_(); }

 private:
  std::mutex mutex_;
  engine::Engine& engine_;
  std::function<void()> on_stop_;
};

}  // namespace vtl::control
