// PlayedTotals: what the ends of a service's connections counted, summed when each is over, and how
// they ended.
//
// Thread rule: one thread.
#pragma once

#include <cstdint>
#include <vector>

#include "vtl/endpoint/endpoint.h"
#include "vtl/engine/service.h"

namespace vtl::service {

class PlayedTotals {
 public:
  /// `end` is over: once for each.
  void add(const endpoint::Endpoint& end) noexcept;
  void list(std::vector<engine::ServiceMetric>& out) const;

 private:
  std::uint64_t reset_ = 0, timed_out_ = 0, segments_in_ = 0, segments_out_ = 0, bytes_in_ = 0,
                bytes_out_ = 0, retransmissions_ = 0, timeouts_ = 0, fast_retransmits_ = 0,
                tail_probes_ = 0, needless_recoveries_ = 0, out_of_order_ = 0, duplicates_ = 0,
                pieces_forgotten_ = 0, zero_window_probes_ = 0, challenge_acks_ = 0,
                paws_drops_ = 0, out_of_window_ = 0, mtu_ignored_ = 0, ce_received_ = 0,
                ecn_reductions_ = 0;
};

}  // namespace vtl::service
