// Loss: who is in flight, what is held for lost, when to send it again.
//
// NewReno (RFC 5681 section 3.2, RFC 6582) with limited transmit (RFC 3042): three duplicate
// acknowledgements mark the first segment lost; every partial acknowledgement the next one. A lost
// middle of a super-frame is therefore repaired as a segment. A retransmission timeout (RFC 6298)
// marks all that is outstanding lost and begins with one segment. The two differ only in what they
// mark; send.cc sends what is marked. SACK and RACK-TLP will mark more exactly, here.
#include <algorithm>
#include <utility>

#include "vtl/endpoint/connection.h"

namespace vtl::endpoint {

// Octets in the network as far as we know.
std::uint32_t Connection::flight() const noexcept {
  return static_cast<std::uint32_t>(snd_nxt_ - snd_una_) -
         static_cast<std::uint32_t>(rtx_end_ - rtx_next_);
}

// What the congestion window leaves.
std::uint32_t Connection::send_allowance() const noexcept {
  std::uint32_t window = congestion_.window() + inflation_;
  if (!in_recovery_ && duplicate_acks_ > 0 && duplicate_acks_ < kDuplicateAckThreshold) {
    window += static_cast<std::uint32_t>(duplicate_acks_) * mss_;  // RFC 3042
  }
  const std::uint32_t used = flight();
  return window > used ? window - used : 0;
}

Plan Connection::plan_retransmission() const noexcept {
  const std::int32_t lost = rtx_end_ - rtx_next_;
  const std::int32_t room = snd_una_ + snd_wnd_ - rtx_next_;
  if (lost <= 0 || room <= 0) return {};
  const wire::SeqNum end = data_end();
  auto length =
      static_cast<std::uint32_t>(std::max<std::int32_t>(min(rtx_end_, end) - rtx_next_, 0));
  const std::uint32_t whole = length;
  length = std::min(length, static_cast<std::uint32_t>(room));
  if (rtx_forced_) {
    length = std::min<std::uint32_t>(length, mss_);
  } else {
    const std::uint32_t allowance = send_allowance();
    if (allowance < std::min<std::uint32_t>(mss_, std::max(whole, 1U))) return {};
    length = std::min({length, allowance, super_frame()});
  }
  if (length > mss_ && length < whole) length -= length % mss_;
  const bool fin = fin_queued_ && !fin_acked_ && rtx_next_ + length == end && rtx_end_ > end &&
                   static_cast<std::uint32_t>(room) > length;
  if (length == 0 && !fin) return {};
  return {Reason::kRetransmit, rtx_next_, length, fin};
}

void Connection::mark_lost(wire::SeqNum from, wire::SeqNum to) noexcept {
  rtx_next_ = from;
  rtx_end_ = min(to, snd_nxt_);
  timed_end_.reset();
}

void Connection::on_duplicate_ack() {
  if (duplicate_acks_ < UINT16_MAX) ++duplicate_acks_;
  if (in_recovery_) {
    inflation_ += mss_;
    return;
  }
  // Beyond `recover` only: what a timeout sent twice causes duplicates of its own (RFC 6582,
  // section 3.2, step 1).
  if (duplicate_acks_ != kDuplicateAckThreshold || snd_una_ <= recover_) return;
  ++stats_.fast_retransmits;
  congestion_.on_loss(flight());
  inflation_ = static_cast<std::uint32_t>(kDuplicateAckThreshold) * mss_;
  recover_ = snd_nxt_;
  in_recovery_ = true;
  partial_seen_ = false;
  mark_lost(snd_una_, snd_una_ + mss_);
  rtx_forced_ = true;
}

// `acked` octets were acknowledged for the first time; SND.UNA stands at its new place. Answers
// whether the retransmission timer begins anew (RFC 6298, 5.3). In fast recovery only the first
// partial acknowledgement restarts it (RFC 6582 section 4, the impatient variant): where more was
// lost than one segment a round trip can repair in time, the timeout sends the rest in slow start.
bool Connection::on_recovery_ack(std::uint32_t acked, Time now) {
  duplicate_acks_ = 0;
  if (in_recovery_ && snd_una_ < recover_) {  // partial
    inflation_ = inflation_ > acked ? inflation_ - acked : 0;
    if (acked >= mss_) inflation_ += mss_;
    mark_lost(snd_una_, snd_una_ + mss_);
    rtx_forced_ = true;
    return !std::exchange(partial_seen_, true);
  }
  if (in_recovery_) {
    in_recovery_ = false;
    inflation_ = 0;
    forget_losses();
    rtx_forced_ = false;
    congestion_.limit_window(std::max<std::uint32_t>(flight(), mss_) + mss_);
    return true;
  }
  if (!window_limited_) return true;  // RFC 7661: a window that was not used does not grow
  // After a timeout one acknowledgement may cover what had arrived long before (RFC 3465 section
  // 2.3).
  if (snd_una_ < recover_) acked = std::min<std::uint32_t>(acked, 2U * mss_);
  congestion_.on_ack(acked, rtt_.smoothed(), now);
  return true;
}

void Connection::on_retransmission_timeout(Time /*now*/) {
  ++stats_.timeouts;
  // In fast recovery flight() still counts what was lost; the window knows better.
  congestion_.on_timeout(std::min(flight(), congestion_.window()), !timed_out_once_);
  timed_out_once_ = true;
  in_recovery_ = false;
  inflation_ = 0;
  duplicate_acks_ = 0;
  recover_ = snd_nxt_;
  rtx_forced_ = false;
  mark_lost(snd_una_, snd_nxt_);
}

}  // namespace vtl::endpoint
