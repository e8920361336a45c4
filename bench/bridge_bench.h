// The bridge experiment: what standing under a guest costs when nothing is done with its frames.
//
//   client ------- guest0 [middle] wan0 ------- server
//     eth0                                        eth0
//   10.0.0.1                                    10.0.0.2
//
// Cases: veth (no middle at all), kernel-bridge, vtl-1-worker, vtl-2-workers, vtl-1-worker-watched
// (nothing cut through), pcap-1-process and pcap-2-processes, one for each direction.
// docs/benchmarks.md says what each figure is.
#pragma once

#include "bench/options.h"
#include "bench/results.h"
#include "bench/table.h"

namespace vtl::bench {

/// Runs the experiment in the sandbox the caller is in, and prints progress to stderr.
[[nodiscard]] Outcome<Results> run_bridge_bench(const BenchOptions& options);

/// The names of the cases, in their order.
[[nodiscard]] std::vector<std::string> bridge_cases();

/// The table that a person reads.
[[nodiscard]] std::string bridge_table(const Results& results, Look look);

}  // namespace vtl::bench
