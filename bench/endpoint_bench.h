// The endpoint experiment: a connection that ends in the middle and begins again there.
//
//   client ------- guest0 [middle] wan0 ------- server
//
// Cases: direct (the kernel's bridge joins the two devices: nothing ends in the middle),
// kernel-relay (HAProxy relays between kernel sockets), vtl-split (VTL's own endpoints). All three
// worlds stand at once and are measured in turn, metric by metric. docs/benchmarks.md says what
// each figure is.
#pragma once

#include "bench/options.h"
#include "bench/results.h"
#include "bench/table.h"

namespace vtl::bench {

/// Runs the experiment in the sandbox the caller is in, and prints progress to stderr.
[[nodiscard]] Outcome<Results> run_endpoint_bench(const BenchOptions& options);

/// The names of the cases, in their order.
[[nodiscard]] std::vector<std::string> endpoint_cases();

/// The table that a person reads.
[[nodiscard]] std::string endpoint_table(const Results& results, Look look);

}  // namespace vtl::bench
