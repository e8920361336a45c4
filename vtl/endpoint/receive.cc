// Segment arrives: RFC 9293 section 3.10.7.4 in its order (sequence number, reset, SYN, ACK, text,
// FIN), with RFC 7323 (PAWS) before and RFC 5961 (blind attacks) within it.
#include <algorithm>

#include "vtl/endpoint/connection.h"

namespace vtl::endpoint {
namespace {

std::uint32_t sequence_length(const Segment& segment) {
  return static_cast<std::uint32_t>(segment.payload.size()) +
         (segment.header.flags.syn() ? 1U : 0U) + (segment.header.flags.fin() ? 1U : 0U);
}

}  // namespace

void Connection::process(const Segment& segment, Time now) {
  stats_.segments_in += segment.segments;
  if (state_ == State::kClosed) return;
  if (held_) {
    process_held(segment, now);
  } else if (state_ == State::kSynSent) {
    process_syn_sent(segment, now);
  } else if (state_ == State::kSynReceived && segment.header.flags.syn() &&
             segment.header.seq == irs_) {
    // The peer's SYN again, or its SYN,ACK when both opened at once: past its SYN, which is known,
    // it is an ordinary segment.
    if (!segment.header.flags.ack()) {
      ++stats_.duplicates;
      learn_repeated_ecn(segment.header.flags);
      syn_due_ = true;
    } else {
      Segment rest = segment;
      rest.header.seq += 1;
      rest.header.flags.bits &= static_cast<std::uint8_t>(~wire::TcpFlags::kSyn);
      // In the units of other segments: that of a SYN is not scaled (RFC 7323 section 2.2).
      rest.header.window = static_cast<std::uint16_t>(rest.header.window >> send_scale_);
      process_synchronized(rest, now);
    }
  } else {
    process_synchronized(segment, now);
  }
  settle(now);
}

void Connection::process_synchronized(const Segment& segment, Time now) {
  const wire::TcpFields& in = segment.header;
  if (paws_rejects(segment, now)) {
    ++stats_.paws_drops;
    if (sequence_length(segment) > 0) {
      ack_now();
    } else {
      challenge(now);  // without text it could be one half of a loop
    }
    return;
  }
  if (!in_receive_window(in.seq, sequence_length(segment))) {
    process_unacceptable(segment, now);
    return;
  }
  if (in.flags.rst()) {
    process_reset(segment, now);
    return;
  }
  if (in.flags.syn()) {  // RFC 5961 section 4
    challenge(now);
    return;
  }
  heard_at_ = now;
  keep_alives_sent_ = 0;
  keep_alive_due_ = false;
  update_timestamp(segment, now);
  if (!in.flags.ack()) return;
  if (state_ == State::kSynReceived && !process_syn_received(segment, now)) return;
  if (!process_ack(segment, now)) return;
  process_text(segment, now);
}

// RFC 7323 section 5.3, R1. A segment without timestamps is taken, though section 3.2 would drop
// it: paths that strip options are commoner than the attacks which that would stop.
bool Connection::paws_rejects(const Segment& segment, Time now) const noexcept {
  const auto& stamps = segment.header.options.timestamps;
  if (!timestamps_ || !stamps || segment.header.flags.rst()) return false;
  return static_cast<std::int32_t>(stamps->value - ts_recent_) < 0 &&
         now - ts_recent_at_ < kPawsIdle;
}

// RFC 9293 section 3.10.7.4, first step. Without text, the left edge is what we acknowledged last
// (an ACK that was overtaken by data tells nothing wrong) and the right edge is included (the peer
// has sent all that we allowed). At a zero window the ACK of a probe still counts (MUST-66).
bool Connection::in_receive_window(wire::SeqNum seq, std::uint32_t length) const noexcept {
  if (length == 0) return seq >= last_ack_sent_ && seq <= rcv_adv_;
  return seq + length > rcv_nxt_ && (seq < rcv_adv_ || seq == rcv_nxt_);
}

void Connection::process_unacceptable(const Segment& segment, Time now) {
  const wire::TcpFields& in = segment.header;
  if (in.flags.rst()) {
    ++stats_.out_of_window;
    return;
  }
  const bool old = in.seq + sequence_length(segment) <= rcv_nxt_;
  if (old) {
    ++stats_.duplicates;
    // A SYN that is not ours to take is of another connection, and so is its text.
    if (!in.flags.syn()) note_duplicate(in.seq, static_cast<std::uint32_t>(segment.payload.size()));
  } else {
    ++stats_.out_of_window;
  }
  if (state_ == State::kTimeWait && in.flags.fin() && old) enter_time_wait(now);
  // The peer may have gone back to before the octet (or FIN) of a zero-window probe that we took.
  // Its acknowledgement counts: when both ends have, neither would hear the other again.
  const bool last_again = old && !in.flags.syn() && in.seq + sequence_length(segment) == rcv_nxt_;
  if (last_again && in.flags.ack() && synchronized() && !process_ack(segment, now)) return;
  // Text is answered always: the peer must learn what we have. Without text it could be one half
  // of a loop of two ends that each think the other wrong.
  if (!segment.payload.empty() && !in.flags.syn()) {
    ack_now();
  } else if (in.flags.fin() && old) {
    ack_now();
  } else {
    challenge(now);
  }
}

void Connection::update_timestamp(const Segment& segment, Time now) noexcept {
  const auto& stamps = segment.header.options.timestamps;
  if (!timestamps_ || !stamps) return;
  if (segment.header.seq <= last_ack_sent_ &&
      (static_cast<std::int32_t>(stamps->value - ts_recent_) >= 0 ||
       now - ts_recent_at_ >= kPawsIdle)) {
    ts_recent_ = stamps->value;
    ts_recent_at_ = now;
  }
}

// RFC 5961 section 3: only the exact sequence number resets.
void Connection::process_reset(const Segment& segment, Time now) {
  if (segment.header.seq != rcv_nxt_) {
    challenge(now);
    return;
  }
  if (state_ == State::kSynReceived && active_) {
    end(EndReason::kRefused);
  } else if (state_ == State::kTimeWait) {
    end(EndReason::kNone);
  } else {
    end(EndReason::kReset);
  }
}

void Connection::challenge(Time now) noexcept {
  if (now - challenge_second_ >= 1s) {
    challenge_second_ = now;
    challenges_ = 0;
  }
  if (challenges_ >= kChallengeAcksPerSecond) return;
  ++challenges_;
  ++stats_.challenge_acks;
  ack_now();
}

// False: the segment is to be dropped.
bool Connection::process_ack(const Segment& segment, Time now) {
  const wire::TcpFields& in = segment.header;
  if (in.ack > snd_max_ || in.ack < snd_una_ - max_snd_wnd_) {  // RFC 5961 section 5
    ++stats_.out_of_window;
    challenge(now);
    return false;
  }
  if (snd_wnd_ == 0 || timer_ == Timer::kPersist) progress_at_ = now;  // a probe was answered
  if (in.ack < snd_una_) return true;
  const bool same = in.ack == snd_una_ && snd_una_ != snd_nxt_ && segment.payload.empty() &&
                    !in.flags.fin() &&
                    static_cast<std::uint32_t>(in.window) << send_scale_ == snd_wnd_;
  update_send_window(segment, now);
  if (ecn_ && in.flags.ece()) {
    on_congestion_echo(in.ack, std::min(outstanding(), congestion_.window()));
  }
  AckNews news = take_acknowledgement(segment, now);
  news.duplicate = same;  // RFC 5681 section 2
  if (news.advanced) process_new_ack(segment, news, now);
  if (state_ != State::kClosed) on_acknowledgement(news, now);
  return state_ != State::kClosed;
}

// SND.WND counts from SND.UNA, so an acknowledgement that moves SND.UNA always brings its window
// along, also when its sequence number is older than SND.WL1 (a retransmission): keeping the old
// one would move the right edge farther than the peer ever allowed.
void Connection::update_send_window(const Segment& segment, Time now) {
  const wire::TcpFields& in = segment.header;
  if (in.ack == snd_una_ && (in.seq < snd_wl1_ || (in.seq == snd_wl1_ && in.ack < snd_wl2_))) {
    return;
  }
  snd_wnd_ = static_cast<std::uint32_t>(in.window) << send_scale_;
  max_snd_wnd_ = std::max(max_snd_wnd_, snd_wnd_);
  snd_wl1_ = in.seq;
  snd_wl2_ = in.ack;
  if (snd_wnd_ == 0) return;
  probe_due_ = false;
  if (shrunk_) {  // what was outstanding when the window closed was not taken
    shrunk_ = false;
    mark_lost(std::max(snd_una_, in.ack), snd_nxt_);
    rtt_.end_backoff();
    if (timer_ == Timer::kRetransmission) arm(timer_, rtt_.timeout(), now);
  }
}

void Connection::process_new_ack(const Segment& segment, const AckNews& news, Time now) {
  const wire::SeqNum ack = segment.header.ack;
  const auto acked = static_cast<std::uint32_t>(ack - snd_una_);
  if (fin_queued_ && !fin_acked_ && ack > data_end()) fin_acked_ = true;
  to_send_.consume(std::min<std::size_t>(acked, to_send_.size()));
  if (config().pool != nullptr) announce_window();  // the pool may have been what shut it
  snd_una_ = ack;
  // Never so far behind that they seem ahead.
  cwr_end_ = max(cwr_end_, ack);
  echo_end_ = max(echo_end_, ack);
  if (phase_ == Phase::kOpen) recover_ = max(recover_, ack - kFarBehind);
  snd_nxt_ = max(snd_nxt_, ack);
  note_arrived(acked);
  measure_rtt(segment, news, now);
  progress_at_ = now;
  persist_backoff_ = 0;
  timeouts_in_a_row_ = 0;
  if (!fin_acked_) return;
  if (state_ == State::kFinWait1) {
    set_state(State::kFinWait2);
  } else if (state_ == State::kClosing) {
    enter_time_wait(now);
  } else if (state_ == State::kLastAck) {
    end(EndReason::kNone);
  }
}

// An echo from before the last repetition may be of a receiver that had the data and whose
// acknowledgement was lost: it echoes what arrived last in order, however long ago, and the time
// would be that of our own timeouts. That is as ambiguous as no timestamps are.
void Connection::measure_rtt(const Segment& segment, const AckNews& news, Time now) noexcept {
  if (timed_end_) {
    if (segment.header.ack < *timed_end_) return;
    rtt_.sample(now - timed_at_);
    timed_end_.reset();
    ambiguous_ = false;
    return;
  }
  const auto& stamps = segment.header.options.timestamps;
  if (!ambiguous_ || !timestamps_ || !stamps || stamps->echo == 0) return;
  if (news.echo_before_again) return;
  const std::uint32_t elapsed = timestamp(now) - stamps->echo;
  if (elapsed >= static_cast<std::uint32_t>(config().user_timeout / 1ms)) return;  // not ours
  rtt_.sample(std::max<std::uint32_t>(elapsed, 1) * 1ms);
  ambiguous_ = false;
}

void Connection::process_text(const Segment& segment, Time now) {
  const bool open =
      state_ == State::kEstablished || state_ == State::kFinWait1 || state_ == State::kFinWait2;
  if (!open) {
    if (sequence_length(segment) > 0) ack_now();
    return;
  }
  if (!segment.payload.empty()) process_payload(segment, now);
  if (segment.header.flags.fin() && !pending_fin_) {
    const wire::SeqNum fin =
        segment.header.seq + static_cast<std::uint32_t>(segment.payload.size());
    // A FIN needs no room: one that follows what we have is taken at a zero window too.
    // One below octets that are stored already contradicts them: it is not believed.
    const std::size_t ranges = received_.range_count();
    const std::size_t stored = ranges > 0 ? received_.range(ranges - 1).end : 0;
    const bool contradicts = fin - rcv_nxt_ < static_cast<std::int32_t>(stored);
    if (fin >= rcv_nxt_ && !contradicts && (fin == rcv_nxt_ || fin < rcv_adv_)) {
      pending_fin_ = fin;
      if (fin != rcv_nxt_) ack_now();
    }
  }
  if (pending_fin_ && rcv_nxt_ >= *pending_fin_) receive_fin(now);
}

// Takes what is new and inside the window; tells when to acknowledge.
std::size_t Connection::process_payload(const Segment& segment, Time now) {
  const wire::SeqNum seq = segment.header.seq;
  Bytes text = segment.payload;
  note_duplicate(seq, static_cast<std::uint32_t>(text.size()));
  const std::int32_t known = rcv_nxt_ - seq;
  if (known > 0) {
    text = text.subspan(std::min<std::size_t>(text.size(), static_cast<std::size_t>(known)));
  }
  const wire::SeqNum begin = max(seq, rcv_nxt_);
  const wire::SeqNum edge = pending_fin_ ? min(rcv_adv_, *pending_fin_) : rcv_adv_;
  const std::int32_t room = edge - begin;
  text =
      text.first(std::min<std::size_t>(text.size(), room > 0 ? static_cast<std::size_t>(room) : 0));
  if (text.empty()) {  // known already, or a probe of a closed window
    ++stats_.duplicates;
    ack_now();
    return 0;
  }
  receive_ecn(segment);
  follow_reader(now);
  const auto offset = static_cast<std::size_t>(begin - rcv_nxt_);
  const bool had_gaps = received_.has_gaps();
  const std::size_t read = read_at_once(segment, offset, text);
  const std::size_t grown =
      read + (read < text.size() ? received_.insert(offset, text.subspan(read)) : 0);
  rcv_nxt_ += static_cast<std::uint32_t>(grown);
  if (read > 0) {
    read_now_ += static_cast<std::uint32_t>(read);
    announce_window();
  }
  stats_.bytes_in += grown;
  stats_.pieces_forgotten = received_.forgotten();
  if (offset == 0 && grown < text.size() && config().pool != nullptr) {
    config().pool->note_left_out(text.size() - grown);
  }
  if (offset > 0) {
    ++stats_.out_of_order;
    note_gap(begin);
    // Its parts, had they come one by one, would each have caused a duplicate acknowledgement; a
    // peer without SACK counts on three for its fast retransmit.
    extra_acks_ = sack_ ? std::uint8_t{1}
                        : static_cast<std::uint8_t>(
                              std::clamp<int>(segment.segments, 1, kDuplicateAckThreshold));
  } else if (had_gaps || grown < text.size()) {
    ack_now();
  } else {
    schedule_ack(segment, now);
  }
  return grown;
}

std::size_t Connection::read_at_once(const Segment& segment, std::size_t offset, Bytes text) const {
  const bool next = offset == 0 && received_.readable() == 0 && !received_.has_gaps();
  return segment.reader != nullptr && next ? std::min((*segment.reader)(text), text.size()) : 0;
}

// RFC 9293 section 3.8.6.3 and RFC 5681 section 4.2: at once for the second full segment, and at
// the start, when the peer's window grows by our acknowledgements; else a little later.
void Connection::schedule_ack(const Segment& segment, Time now) noexcept {
  const std::size_t count = std::max<std::size_t>(segment.segments, 1);
  const std::size_t each = (segment.payload.size() + count - 1) / count;
  peer_segment_ = std::max(peer_segment_,
                           static_cast<std::uint16_t>(std::min<std::size_t>(each, offered_mss_)));
  const auto owed = static_cast<std::uint32_t>(rcv_nxt_ - last_ack_sent_);
  if (quick_acks_ > 0) {
    quick_acks_ =
        static_cast<std::uint8_t>(quick_acks_ - std::min<std::size_t>(quick_acks_, count));
    ack_now();
  } else if (owed >= 2U * peer_segment_) {
    ack_now();
  } else if (ack_due_ == AckDue::kNo) {
    ack_due_ = AckDue::kDelayed;
    ack_at_ = now + config().delayed_ack;
  }
}

void Connection::receive_fin(Time now) {
  rcv_nxt_ = *pending_fin_ + 1;
  rcv_adv_ = max(rcv_adv_, rcv_nxt_);
  fin_received_ = true;
  ack_now();
  if (state_ == State::kEstablished) {
    set_state(State::kCloseWait);
  } else if (state_ == State::kFinWait1) {
    set_state(State::kClosing);
  } else {
    enter_time_wait(now);
  }
}

}  // namespace vtl::endpoint
