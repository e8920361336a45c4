// The Tor demo: the same curl from a guest without and with VTL, and what the server saw.
//
//   guest -------- guest0 [host] tor0 ------- (a private Tor network, lab/tor_network.h) ------
//   server 10.137.0.9            10.137.0.1
//   |                                                       10.30.0.1
//                                    +------------ up0, a plain wire
//                                    ------------------------------+
//
// The plain wire stays when VTL comes: that nothing takes it is what is shown.
//
// Cases `plain` and `vtl-tor`, metrics `fetch-time`, `onion-reached` and `ping-answered` (1 or 0);
// settings `server-saw-plain`, `server-saw-vtl-tor`.
#pragma once

#include "bench/results.h"
#include "bench/table.h"

namespace vtl::bench {

/// What a run showed, beyond figures.
struct TorDemo {
  Results results{"demo-tor"};
  /// Rows of the table: what, without VTL, with it.
  std::vector<std::vector<std::string>> rows;
};

/// Runs in the sandbox the caller is in, and shows progress on stderr.
[[nodiscard]] Outcome<TorDemo> run_tor_demo();

/// The table that a person reads.
[[nodiscard]] std::string tor_demo_table(const TorDemo& demo, Look look);

}  // namespace vtl::bench
