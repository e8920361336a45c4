// The demo: one unmodified program over plain TCP and over VTL-UDT, across the same long path.
//
// Cases `plain` and `vtl-udt`, metrics `throughput` (client to server), `throughput-reverse`
// (server to client), `cpu-per-gb` (both directions together); case `ratio` is vtl-udt over plain.
#pragma once

#include "bench/options.h"
#include "bench/results.h"
#include "bench/table.h"

namespace vtl::bench {

/// Runs in the sandbox the caller is in, and shows progress on stderr.
[[nodiscard]] Outcome<Results> run_demo(const DemoOptions& options);

/// The table that a person reads.
[[nodiscard]] std::string demo_table(const Results& results, Look look);

}  // namespace vtl::bench
