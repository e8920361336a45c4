// The raw UDT library between the two hosts of a path: what VTL-UDT is measured against.
//
// Thread rule: one thread.
#pragma once

#include "bench/path_scene.h"

namespace vtl::bench {

/// One stream from hostA to hostB for so long; the receiver's figures.
[[nodiscard]] Outcome<Measured> measure_raw_udt(Bench& bench, PathScene& scene, int seconds);

}  // namespace vtl::bench
