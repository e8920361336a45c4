// The wan experiment: bandwidth against latency, with and without loss.
//
// Every point (round trip, loss) is measured with all cases before the next, so that all cases
// meet the same machine: tcp-default, tcp-cubic-tuned and tcp-bbr-tuned over hosts that the kernel
// bridges; udt-raw from host to host; vtl-udt and vtl-tcp-bbr through gateways, with stock guests.
// docs/benchmarks.md says what each figure is.
#pragma once

#include "bench/options.h"
#include "bench/plot.h"
#include "bench/results.h"
#include "bench/table.h"

namespace vtl::bench {

/// The names of the cases, in their order.
[[nodiscard]] std::vector<std::string> wan_cases();

/// Runs the experiment in the sandbox the caller is in, and prints progress to stderr.
[[nodiscard]] Outcome<Results> run_wan_bench(const BenchOptions& options);

/// The tables that a person reads: throughput, and processor time.
[[nodiscard]] std::string wan_table(const Results& results, Look look);
/// Bandwidth against latency, a panel for each loss.
[[nodiscard]] Plot wan_plot(const Results& results);

}  // namespace vtl::bench
