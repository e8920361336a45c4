// Loss: what is in flight, how fast to send while a loss is repaired, what to send again.
//
// Three phases. Open: the congestion window grows. Fast recovery: acknowledgements told of a loss;
// the window comes down by proportional rate reduction (prr.h) while the holes are filled. Timeout
// recovery: nothing told of anything for a timeout (RFC 6298); all that is outstanding counts as
// lost and goes again in slow start. A recovery ends when all is acknowledged that was outstanding
// when it began. What is lost stands on the scoreboard; who finds it is acknowledgement.cc's
// matter.
#include <algorithm>

#include "vtl/endpoint/connection.h"

namespace vtl::endpoint {

// Octets in the network as far as we know (RFC 6675 section 2).
std::uint32_t Connection::pipe() const noexcept {
  const std::uint32_t sent = board_.in_flight();
  return sent - std::min(sent, credit_);
}

// What the congestion window leaves.
std::uint32_t Connection::send_allowance() const noexcept {
  const std::uint32_t window = congestion_.window();
  const std::uint32_t used = pipe();
  return window > used ? window - used : 0;
}

Plan Connection::plan_retransmission() const noexcept {
  if (doubt_ == TimeoutDoubt::kSecondAck) return {};
  const auto run = board_.first_lost();
  if (!run) return {};
  const std::int32_t room = snd_una_ + snd_wnd_ - run->begin;
  if (room <= 0) return {};
  const wire::SeqNum end = data_end();
  const wire::SeqNum reach =
      sack_ && run->size() < mss_ ? board_.lost_reach(run->begin, mss_) : run->end;
  auto length = static_cast<std::uint32_t>(std::max<std::int32_t>(min(reach, end) - run->begin, 0));
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
  const bool fin = fin_queued_ && !fin_acked_ && run->begin + length == end && reach > end &&
                   static_cast<std::uint32_t>(room) > length;
  if (length == 0 && !fin) return {};
  return {Reason::kRetransmit, run->begin, length, fin};
}

// Octets that were sent before left again.
void Connection::on_sent_again(wire::SeqNum seq, std::uint32_t occupied, Time now) {
  const bool once_more = board_.any_again(seq, seq + occupied);
  board_.sent(seq, seq + occupied, now, Duration::zero());
  timed_end_.reset();
  ambiguous_ = true;
  rtx_forced_ = false;
  if (phase_ == Phase::kFastRecovery) {
    prr_.sent(occupied);
    // The timeout that runs was meant for the first sending: on a path longer than the floor of the
    // timeout it would come before any answer to this one.
    if (seq == snd_una_) arm(Timer::kRetransmission, rtt_.timeout(), now);
  }
  if (!undo_) return;
  if (!undo_->sent) {
    undo_->sent = true;
    undo_->first = seq;
    undo_->stamp = timestamp(now);
  }
  undo_->resent.add(seq, seq + occupied, once_more);
}

void Connection::mark_lost(wire::SeqNum from, wire::SeqNum to) {
  board_.lose(from, to);
  timed_end_.reset();
}

void Connection::enter_fast_recovery() {
  ++stats_.fast_retransmits;
  remember_for_undo();
  // One reduction for a window of data, whether a mark or a loss told first (RFC 3168 section
  // 6.1.2).
  const bool told = ecn_ && snd_una_ < echo_end_;
  if (!told) congestion_.on_loss(std::min(outstanding(), congestion_.window()));
  prr_.begin(outstanding());
  recover_ = snd_nxt_;
  phase_ = Phase::kFastRecovery;
  partial_seen_ = false;
  tail_probe_due_ = tail_probe_out_ = false;
}

void Connection::reduce_rate(std::uint32_t delivered, bool safe) noexcept {
  congestion_.set_window(prr_.window(delivered, pipe(), congestion_.threshold(), mss_, safe));
}

void Connection::leave_recovery() noexcept {
  if (phase_ == Phase::kFastRecovery) {
    congestion_.set_window(congestion_.threshold());
    // Without SACK little may be left in flight: no burst (RFC 6582 section 3.2, step 3).
    if (!sack_) congestion_.limit_window(std::max<std::uint32_t>(outstanding(), mss_) + mss_);
  }
  phase_ = Phase::kOpen;
  doubt_ = TimeoutDoubt::kNone;
  credit_ = 0;
  duplicate_acks_ = 0;
  rtx_forced_ = false;
  if (undo_) {
    undo_->over = true;
    undo_->until = snd_nxt_;
  }
  rack_.recovery_ended();
}

// RFC 6298 section 5 and RFC 8985 section 6.3. What was delivered beyond the gap stays so unless
// the receiver has gone back on it (RFC 2018 section 8).
void Connection::on_retransmission_timeout() {
  ++stats_.timeouts;
  const bool first = timeouts_in_a_row_ == 0;
  if (timeouts_in_a_row_ < UINT8_MAX) ++timeouts_in_a_row_;
  if (phase_ == Phase::kOpen) {
    remember_for_undo();
    doubt_ = TimeoutDoubt::kFirstAck;
  } else {
    undo_.reset();
    doubt_ = TimeoutDoubt::kNone;
  }
  congestion_.on_timeout(std::min(outstanding(), congestion_.window()), first);
  if (board_.reneged()) board_.doubt_deliveries();
  mark_lost(snd_una_, snd_nxt_);
  phase_ = Phase::kTimeoutRecovery;
  recover_ = snd_nxt_;
  rtx_forced_ = true;
  credit_ = 0;
  duplicate_acks_ = 0;
  reordering_at_ = kNever;
  tail_probe_due_ = tail_probe_out_ = false;
}

// RFC 8985 section 6.3: what had the time to be overtaken has had it.
void Connection::on_reordering_timeout(Time now) {
  const std::uint32_t lost = detect_losses(now);
  if (lost == 0) return;
  if (phase_ == Phase::kOpen) enter_fast_recovery();
  if (phase_ == Phase::kFastRecovery) reduce_rate(0, false);
  arm(Timer::kRetransmission, rtt_.timeout(), now);
}

}  // namespace vtl::endpoint
