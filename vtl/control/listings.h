// Listings: the engine's status, flows and metrics as JSON text, the form every surface speaks.
//
// The keys are an interface: scripts read them. Octets, counts and seconds are numbers; a
// round-trip time that is not known is null; addresses are text. docs/operations.md lists them.
#pragma once

#include <string>
#include <vector>

#include "vtl/engine/flow_info.h"
#include "vtl/engine/status.h"

namespace vtl::control {

/// At most this many flows are listed; "total" tells how many there are.
inline constexpr std::size_t kMaxListedFlows = 10'000;

[[nodiscard]] std::string status_json(const engine::Status& status);
[[nodiscard]] std::string flows_json(const std::vector<engine::FlowInfo>& flows);
[[nodiscard]] std::string stats_json(const engine::Status& status,
                                     const std::vector<engine::MetricGroup>& metrics);

/// The Prometheus text exposition format, version 0.0.4.
[[nodiscard]] std::string prometheus_text(const engine::Status& status,
                                          const std::vector<engine::MetricGroup>& metrics);

}  // namespace vtl::control
