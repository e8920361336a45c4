// build(): what the engine needs, from what the file says.
//
// Nothing is opened here: the factories open when the engine calls them, each on its worker.
// Thread rule: the control thread; the result may start one engine, once.
#pragma once

#include "vtl/base/result.h"
#include "vtl/config/config.h"
#include "vtl/engine/engine.h"

namespace vtl::config {

[[nodiscard]] Outcome<engine::EngineConfig> build(const Config& config);

}  // namespace vtl::config
