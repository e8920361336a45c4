// The anonymizer experiment: what it costs a guest to reach the world through a SOCKS proxy.
//
//   direct:     client eth0 ------------------------------------------ eth0 server
//   redsocks:   client eth0 --- guest0 [redsocks -- SOCKS server] wan0 eth0 server
//   vtl-veth:   client eth0 --- guest0 [VTL -- SOCKS server] wan0 ---- eth0 server
//   vtl-tap:    client tap  --- tap    [VTL -- SOCKS server] wan0 ---- eth0 server
//
// VTL and the SOCKS server (socks_relay.h) are two programs of one host and speak over its
// loopback; the client has no other way out than VTL. All worlds stand at once and are measured in
// turn, metric by metric. docs/benchmarks.md says what each figure is.
#pragma once

#include "bench/options.h"
#include "bench/results.h"
#include "bench/table.h"

namespace vtl::bench {

/// Runs the experiment in the sandbox the caller is in, and prints progress to stderr.
[[nodiscard]] Outcome<Results> run_anonymizer_bench(const BenchOptions& options);

/// The names of the cases, in their order.
[[nodiscard]] std::vector<std::string> anonymizer_cases();

/// The table that a person reads.
[[nodiscard]] std::string anonymizer_table(const Results& results, Look look);

}  // namespace vtl::bench
