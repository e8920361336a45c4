#include "vtl/service/played_totals.h"

namespace vtl::service {

using endpoint::EndReason;

void PlayedTotals::add(const endpoint::Endpoint& end) noexcept {
  if (end.end_reason() == EndReason::kReset) ++reset_;
  if (end.end_reason() == EndReason::kTimedOut) ++timed_out_;
  const endpoint::EndpointStats& stats = end.stats();
  segments_in_ += stats.segments_in;
  segments_out_ += stats.segments_out;
  bytes_in_ += stats.bytes_in;
  bytes_out_ += stats.bytes_out;
  retransmissions_ += stats.retransmissions;
  timeouts_ += stats.timeouts;
  fast_retransmits_ += stats.fast_retransmits;
  tail_probes_ += stats.tail_probes;
  needless_recoveries_ += stats.needless_recoveries;
  out_of_order_ += stats.out_of_order;
  duplicates_ += stats.duplicates;
  pieces_forgotten_ += stats.pieces_forgotten;
  zero_window_probes_ += stats.zero_window_probes;
  challenge_acks_ += stats.challenge_acks;
  paws_drops_ += stats.paws_drops;
  out_of_window_ += stats.out_of_window;
  mtu_ignored_ += stats.mtu_ignored;
  ce_received_ += stats.ce_received;
  ecn_reductions_ += stats.ecn_reductions;
}

void PlayedTotals::list(std::vector<engine::ServiceMetric>& out) const {
  const auto count = [&](const char* name, const char* help, std::uint64_t value) {
    out.push_back({name, help, static_cast<double>(value), true});
  };
  count("reset_total", "Connections over because a host reset its end", reset_);
  count("timed_out_total", "Connections over because a host at one end no longer answered",
        timed_out_);
  count("segments_in_total", "Segments received, of connections that are over", segments_in_);
  count("segments_out_total", "Segments sent, of connections that are over", segments_out_);
  count("bytes_in_total", "Octets received, of connections that are over", bytes_in_);
  count("bytes_out_total", "Octets sent, of connections that are over", bytes_out_);
  count("retransmissions_total", "Segments sent again, of connections that are over",
        retransmissions_);
  count("timeouts_total", "Retransmission timeouts, of connections that are over", timeouts_);
  count("fast_retransmits_total", "Losses found before a timeout, of connections that are over",
        fast_retransmits_);
  count("tail_probes_total", "Tail loss probes sent, of connections that are over", tail_probes_);
  count("needless_recoveries_total",
        "Reductions of the rate taken back as needless, of connections that are over",
        needless_recoveries_);
  count("out_of_order_total", "Segments received out of order, of connections that are over",
        out_of_order_);
  count("duplicates_total", "Segments received again, of connections that are over", duplicates_);
  count("pieces_forgotten_total",
        "Pieces out of order given up at a bound, of connections that are over", pieces_forgotten_);
  count("zero_window_probes_total", "Probes of closed windows, of connections that are over",
        zero_window_probes_);
  count("challenge_acks_total",
        "Answers to segments that may be forged (RFC 5961), of connections that are over",
        challenge_acks_);
  count("paws_drops_total", "Segments with too old a timestamp, of connections that are over",
        paws_drops_);
  count("out_of_window_total", "Segments outside the window, of connections that are over",
        out_of_window_);
  count("mtu_ignored_total", "ICMP packet too big not believed, of connections that are over",
        mtu_ignored_);
  count("ce_received_total",
        "Segments marked Congestion Experienced received, of connections that are over",
        ce_received_);
  count("ecn_reductions_total",
        "Reductions of the rate because of such marks, of connections that are over",
        ecn_reductions_);
}

}  // namespace vtl::service
