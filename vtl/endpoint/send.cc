// What to send: next() names one segment and the reason, dispatch() sends until there is none.
//
// Order: resets, SYN, duplicate acknowledgements, what is lost, new data, FIN, probes, and last a
// bare acknowledgement, for every other segment carries it already. Silly windows (RFC 9293
// section 3.8.6.2), Nagle and the size of super-frames are decided in sendable().
#include <algorithm>
#include <array>
#include <cassert>

#include "vtl/endpoint/connection.h"

namespace vtl::endpoint {

using wire::TcpFlags;

void Connection::dispatch(Time now, Emit emit) {
  fire_timers(now);
  for (;;) {
    const Plan plan = next();
    if (plan.reason == Reason::kNone || !transmit(plan, now, emit)) break;
  }
  const auto unsent = static_cast<std::uint32_t>(std::max<std::int32_t>(data_end() - snd_nxt_, 0));
  const std::uint32_t allowance = send_allowance();
  window_limited_ = board_.lost() > 0 || (unsent > allowance && window_room() > allowance);
  settle(now);
}

Plan Connection::next() const noexcept {
  if (bad_ack_) return {Reason::kBadAckReset, *bad_ack_};
  if (reset_due_) return {Reason::kReset, reset_seq_};
  if (state_ == State::kClosed || held_) return {};
  if (syn_due_) return {Reason::kSyn, iss_};
  if (synchronized()) {
    // A duplicate acknowledgement counts for the peer only when it comes without data.
    if (extra_acks_ > 0) return {Reason::kAck, acceptable_seq()};
    if (Plan plan = plan_retransmission(); plan.reason != Reason::kNone) return plan;
    if (Plan plan = plan_tail_probe(); plan.reason != Reason::kNone) return plan;
    if (Plan plan = plan_data(); plan.reason != Reason::kNone) return plan;
    if (Plan plan = plan_probe(); plan.reason != Reason::kNone) return plan;
    if (keep_alive_due_) return {Reason::kKeepAlive, snd_nxt_ - 1};
  }
  if (ack_due_ == AckDue::kNow) return {Reason::kAck, acceptable_seq()};
  return {};
}

Plan Connection::plan_data() const noexcept {
  if (!may_send_data()) return {};
  const wire::SeqNum end = data_end();
  const auto unsent = static_cast<std::uint32_t>(std::max<std::int32_t>(end - snd_nxt_, 0));
  const std::uint32_t room = window_room();
  if (unsent == 0) {
    if (fin_unsent() && room > 0) return {Reason::kFin, snd_nxt_, 0, true};
    return {};
  }
  const std::uint32_t length = sendable(unsent, room, send_allowance());
  if (length == 0) return {};
  return {Reason::kData, snd_nxt_, length, fin_unsent() && length == unsent && room > length};
}

// Octets of new data that may go as one segment now; 0: wait.
std::uint32_t Connection::sendable(std::uint32_t unsent, std::uint32_t window_room,
                                   std::uint32_t allowance) const noexcept {
  const std::uint32_t most = super_frame();
  const std::uint32_t limit = std::min(window_room, allowance);
  std::uint32_t length = std::min({unsent, limit, most});
  const bool idle = snd_una_ == snd_nxt_;
  if (length == unsent) {  // all of it fits
    const std::uint32_t tail = length % mss_;
    if (tail == 0 || !config().nagle || fin_queued_ || (idle && length < mss_)) return length;
    return length - tail;  // RFC 9293 section 3.7.4: the rest waits for the acknowledgement
  }
  if (length < mss_) {
    // Sender's silly window avoidance, conditions 3 and 4. The congestion window never counts as
    // a silly one: with less than a segment of it an acknowledgement is on its way.
    if (allowance <= window_room || length == 0) return 0;
    return length >= max_snd_wnd_ / 2 || override_due_ ? length : 0;
  }
  length -= length % mss_;
  // With much in flight wait for a good part of the window to open: one large super-frame costs
  // as much as a small one. While a loss is repaired the pace is proportional rate reduction's.
  const std::uint32_t whole = std::min(congestion_.window(), std::max(snd_wnd_, mss_ + 0U));
  const bool patient = phase_ != Phase::kFastRecovery && pipe() >= 2U * mss_;
  if (patient && length < most && length < whole / 3) return 0;
  return length;
}

// One octet beyond a closed window (RFC 9293 section 3.8.6.1), or the FIN.
Plan Connection::plan_probe() const noexcept {
  if (!probe_due_) return {};
  if (!to_send_.empty()) return {Reason::kProbe, snd_una_, 1};
  return {Reason::kProbe, snd_una_, 0, fin_queued_ && !fin_acked_};
}

bool Connection::transmit(const Plan& plan, Time now, Emit emit) {
  const WindowOffer offer = offer_window(plan.reason == Reason::kSyn);
  const wire::TcpFields header = header_for(plan, offer, now);
  std::array<Bytes, kSpans> spans;
  std::size_t used = 0;
  if (plan.length > 0) {
    const auto offset = static_cast<std::size_t>(plan.seq - data_base());
    used = to_send_.spans(offset, plan.length, spans);
  }
  OutSegment out;
  out.header = header;
  out.payload = std::span<const Bytes>(spans).first(used);
  out.payload_size = plan.length;
  out.segment_size = mss_;
  out.retransmission = plan.reason == Reason::kRetransmit ||
                       (plan.length > 0 && plan.seq < snd_max_) ||
                       (plan.reason == Reason::kTailProbe && plan.seq < snd_nxt_) ||
                       (plan.reason == Reason::kSyn && syns_sent_ > 0);
  out.ect = ecn_ && plan.reason == Reason::kData && !out.retransmission;
  if (!emit(out)) return false;
  if (header.flags.cwr() && !header.flags.syn()) told_reduction(plan.seq + plan.length);
  stats_.segments_out += std::max<std::uint32_t>(1, (plan.length + mss_ - 1) / mss_);
  if (out.retransmission) ++stats_.retransmissions;
  if (header.flags.ack() && !header.flags.rst()) {
    last_ack_sent_ = header.ack;
    rcv_adv_ = max(rcv_adv_, offer.right);
    if (plan.reason == Reason::kAck && extra_acks_ > 0) --extra_acks_;
    if (plan.length == 0) duplicate_ = {};
    ack_due_ = AckDue::kNo;
    ack_at_ = kNever;
  }
  sent(plan, now);
  return true;
}

// The state after `plan` left.
void Connection::sent(const Plan& plan, Time now) {
  const std::uint32_t occupied = plan.length + (plan.fin ? 1U : 0U);
  switch (plan.reason) {
    case Reason::kNone:
    case Reason::kAck:
      break;
    case Reason::kBadAckReset:
      bad_ack_.reset();
      break;
    case Reason::kReset:
      reset_due_ = false;
      break;
    case Reason::kSyn:
      syn_due_ = false;
      if (syns_sent_ < UINT8_MAX) ++syns_sent_;
      snd_nxt_ = snd_max_ = iss_ + 1;
      if (syns_sent_ == 1) {
        timed_end_ = snd_nxt_;
        timed_at_ = now;
      } else {
        timed_end_.reset();  // Karn's rule
      }
      if (timer_ == Timer::kOff) progress_at_ = now;
      arm(Timer::kRetransmission, rtt_.timeout(), now);
      break;
    case Reason::kRetransmit:
      on_sent_again(plan.seq, occupied, now);
      break;
    case Reason::kData:
    case Reason::kFin:
      sent_new(plan, occupied, now);
      break;
    case Reason::kTailProbe: {
      const bool again = plan.seq < snd_nxt_;
      if (again) {
        on_sent_again(plan.seq, occupied, now);
      } else {
        sent_new(plan, occupied, now);
      }
      on_tail_probe_sent(again, now);
      break;
    }
    case Reason::kProbe:
      snd_max_ = max(snd_max_, plan.seq + occupied);
      probe_due_ = false;
      ++stats_.zero_window_probes;
      break;
    case Reason::kKeepAlive:
      keep_alive_due_ = false;
      break;
  }
}

void Connection::sent_new(const Plan& plan, std::uint32_t occupied, Time now) {
  if (snd_una_ == snd_nxt_) progress_at_ = now;
  if (!timed_end_ && snd_nxt_ == snd_max_ && board_.lost() == 0) {
    timed_end_ = plan.seq + occupied;
    timed_at_ = now;
  }
  // Finer than the reordering window, which is a quarter of the least round trip, and coarse enough
  // that a window is a few hundred runs.
  const Duration grain = std::max(rtt_.minimum() / 16, rtt_.smoothed() / 256);
  board_.sent(plan.seq, plan.seq + occupied, now, grain);
  snd_nxt_ = plan.seq + occupied;
  if (snd_nxt_ > snd_max_) {
    stats_.bytes_out += plan.length;
    snd_max_ = snd_nxt_;
  }
  if (phase_ == Phase::kFastRecovery) prr_.sent(occupied);
  override_due_ = false;
  sent_at_ = now;
  tail_moved_ = true;
}

wire::TcpFields Connection::header_for(const Plan& plan, const WindowOffer& offer, Time now) const {
  wire::TcpFields header;
  header.source = local_;
  header.destination = remote_;
  header.seq = plan.seq;
  header.ack = rcv_nxt_;
  header.window = offer.field;
  std::uint8_t bits = TcpFlags::kAck;
  switch (plan.reason) {
    case Reason::kBadAckReset:
      header.flags.bits = TcpFlags::kRst;
      header.ack = wire::SeqNum(0);
      header.window = 0;
      return header;
    case Reason::kReset:
      bits |= TcpFlags::kRst;
      header.window = 0;
      break;
    case Reason::kSyn:
      bits = state_ == State::kSynSent ? TcpFlags::kSyn
                                       : static_cast<std::uint8_t>(TcpFlags::kSyn | TcpFlags::kAck);
      if (state_ == State::kSynSent) header.ack = wire::SeqNum(0);
      bits |= ecn_syn_bits();
      add_syn_options(header.options);
      break;
    default:
      break;
  }
  if (synchronized() && plan.reason != Reason::kReset) {
    if (ecn_echo_) bits |= TcpFlags::kEce;
    if (cwr_due() && plan.reason == Reason::kData) bits |= TcpFlags::kCwr;
  }
  if (plan.fin) bits |= TcpFlags::kFin;
  if (plan.length > 0 && plan.seq + plan.length == data_end()) bits |= TcpFlags::kPsh;
  header.flags.bits = bits;
  const bool offering = state_ == State::kSynSent && config().offer_timestamps;
  if (timestamps_ || offering) {
    header.options.timestamps = wire::TcpTimestamps{timestamp(now), timestamps_ ? ts_recent_ : 0};
  }
  if (sack_ && plan.length == 0 && synchronized()) add_sack_blocks(header.options);
  return header;
}

void Connection::add_syn_options(wire::TcpOptions& options) const noexcept {
  const bool first = state_ == State::kSynSent;
  options.mss = offered_mss_;
  if (config().offer_window_scale && (first || peer_scale_)) {
    options.window_scale = config().window_scale;
  }
  options.sack_permitted = config().offer_sack && (first || peer_sack_);
}

// Octets that the buffer and the pool can still take after RCV.NXT.
std::size_t Connection::receive_room() const noexcept {
  const std::size_t unread = received_.readable();
  const std::size_t limit = receive_limit();
  return std::min(limit > unread ? limit - unread : 0, received_.room());
}

// The window to announce. The right edge moves only by a good step (receiver's silly window
// avoidance, RFC 9293 section 3.8.6.2.2) and never left. A promise that does not divide by the
// scale is rounded up while the buffer has the room, else down: then the field shrinks by less than
// one unit, and what was promised is still accepted (RFC 7323 section 2.4).
Connection::WindowOffer Connection::offer_window(bool syn) const noexcept {
  const wire::SeqNum limit = rcv_nxt_ + static_cast<std::uint32_t>(receive_room());
  const std::size_t step = std::min<std::size_t>(receive_limit() / 2, offered_mss_);
  wire::SeqNum right = rcv_adv_;
  if (limit - rcv_adv_ >= static_cast<std::int32_t>(std::max<std::size_t>(step, 1))) right = limit;
  const auto window = static_cast<std::uint32_t>(std::max<std::int32_t>(right - rcv_nxt_, 0));
  const unsigned scale = syn ? 0 : receive_scale_;
  std::uint32_t units = window >> scale;
  const std::uint32_t up = (units + 1) << scale;
  if (units << scale != window && rcv_nxt_ + up <= limit) ++units;
  units = std::min<std::uint32_t>(units, UINT16_MAX);
  return {static_cast<std::uint16_t>(units), rcv_nxt_ + (units << scale)};
}

// SND.NXT, or the right edge where the peer pulled it back: a segment beyond would be dropped.
wire::SeqNum Connection::acceptable_seq() const noexcept {
  return synchronized() ? min(snd_nxt_, max(snd_una_ + snd_wnd_, snd_una_)) : snd_nxt_;
}

// Milliseconds (RFC 7323 section 5.4), from a beginning of our own.
std::uint32_t Connection::timestamp(Time now) const noexcept {
  return ts_offset_ + static_cast<std::uint32_t>(now.time_since_epoch() / 1ms);
}

}  // namespace vtl::endpoint
