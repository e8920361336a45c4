// Deadlines. One timer serves retransmission and zero-window probing, which exclude each other:
// with something outstanding it is the former (RFC 6298), with something unsent that the peer's
// window holds back the latter (RFC 9293 section 3.8.6.1). settle() decides which after every
// change. Beside it: the reordering timer and the tail loss probe (RFC 8985), the delayed
// acknowledgement, keep-alive (section 3.8.4) and TIME-WAIT.
#include <algorithm>

#include "vtl/endpoint/connection.h"

namespace vtl::endpoint {

Time Connection::poll_at(Time now) const noexcept {
  if (next().reason != Reason::kNone) return now;
  Time at = std::min(time_wait_at_, keep_alive_at());
  if (timer_ != Timer::kOff) at = std::min(at, timer_at_);
  if (ack_due_ == AckDue::kDelayed) at = std::min(at, ack_at_);
  at = std::min({at, reordering_at_, tail_probe_at_});
  return at;
}

// Never later than the user timeout.
void Connection::arm(Timer timer, Duration after, Time now) noexcept {
  timer_ = timer;
  timer_at_ = now + after;
  if (synchronized()) {
    timer_at_ = std::max(std::min(timer_at_, progress_at_ + config().user_timeout), now);
  }
}

void Connection::settle(Time now) noexcept {
  settle_timer(now);
  schedule_tail_probe(now);
}

void Connection::settle_timer(Time now) noexcept {
  Timer want = Timer::kOff;
  if (state_ == State::kClosed || state_ == State::kTimeWait || held_) {
    want = Timer::kOff;
  } else if (snd_una_ != snd_nxt_) {
    want = Timer::kRetransmission;
  } else if (may_send_data() && (data_end() > snd_nxt_ || fin_unsent()) &&
             (override_due_ || plan_data().reason == Reason::kNone)) {
    want = Timer::kPersist;
  }
  if (want == timer_) return;
  if (want == Timer::kPersist) {
    persist_backoff_ = 0;
    progress_at_ = now;
  } else {
    probe_due_ = false;
    override_due_ = false;
  }
  if (want == Timer::kOff) {
    timer_ = want;
  } else {
    arm(want, rtt_.timeout(), now);
  }
}

void Connection::fire_timers(Time now) {
  if (state_ == State::kTimeWait && time_wait_at_ <= now) {
    end(EndReason::kNone);
    return;
  }
  if (ack_due_ == AckDue::kDelayed && ack_at_ <= now) ack_now();
  if (reordering_at_ <= now) on_reordering_timeout(now);
  if (tail_probe_at_ <= now) {
    tail_probe_at_ = kNever;
    tail_probe_due_ = may_probe_tail();
  }
  if (timer_ != Timer::kOff && timer_at_ <= now && plan_tail_probe().reason == Reason::kNone) {
    if (timer_ == Timer::kRetransmission) {
      fire_retransmission(now);
    } else {
      fire_persist(now);
    }
  }
  if (keep_alive_at() <= now) fire_keep_alive(now);
}

// RFC 9293 section 3.8.3, R2. The reset tells a peer that hears us but whom we do not hear.
bool Connection::gave_up(Time now) {
  if (now - progress_at_ < config().user_timeout) return false;
  reset_due_ = true;
  reset_seq_ = acceptable_seq();
  end(EndReason::kTimedOut);
  return true;
}

// RFC 9293 section 3.8.3, R1.
bool Connection::in_trouble() const noexcept {
  return (synchronized() ? timeouts_in_a_row_ : syn_timeouts_) >= kTroubleTimeouts;
}

void Connection::fire_retransmission(Time now) {
  if (!synchronized()) {
    if (syn_timeouts_ >= config().syn_retries) {
      end(soft_error_ ? EndReason::kUnreachable : EndReason::kTimedOut);
      return;
    }
    ++syn_timeouts_;
    ++stats_.timeouts;
    syn_due_ = true;
  } else if (gave_up(now)) {
    return;
  } else if (snd_wnd_ == 0) {  // the window closed over what is outstanding
    shrunk_ = true;
    probe_due_ = true;
  } else {
    believe_path(now);
    on_retransmission_timeout();
  }
  rtt_.back_off();
  arm(Timer::kRetransmission, rtt_.timeout(), now);
}

void Connection::fire_persist(Time now) {
  if (gave_up(now)) return;
  if (window_room() > 0) {
    override_due_ = true;  // a window too small for silly window avoidance
  } else {
    probe_due_ = true;
  }
  if (persist_backoff_ < UINT8_MAX) ++persist_backoff_;
  arm(Timer::kPersist, rtt_.backed_off(persist_backoff_), now);
}

Time Connection::keep_alive_at() const noexcept {
  if (config().keep_alive_idle == Duration::zero() || !synchronized() || keep_alive_due_ ||
      state_ == State::kTimeWait || timer_ != Timer::kOff) {
    return kNever;
  }
  return heard_at_ + config().keep_alive_idle + keep_alives_sent_ * config().keep_alive_interval;
}

void Connection::fire_keep_alive(Time now) {
  if (keep_alives_sent_ >= config().keep_alive_probes) {
    reset_due_ = true;
    reset_seq_ = acceptable_seq();
    end(EndReason::kTimedOut);
    return;
  }
  ++keep_alives_sent_;
  keep_alive_due_ = true;
  // After a pause of ours the next probe is one interval from now, not from when it was due.
  heard_at_ = std::max(heard_at_, now - config().keep_alive_idle -
                                      (keep_alives_sent_ - 1) * config().keep_alive_interval);
}

// RFC 9293 section 3.10.7.4; 2 MSL.
void Connection::enter_time_wait(Time now) noexcept {
  set_state(State::kTimeWait);
  time_wait_at_ = now + config().time_wait;
}

// Nothing more is received. What arrived stays readable.
void Connection::end(EndReason reason) noexcept {
  set_state(State::kClosed);
  end_reason_ = reason;
  to_send_.clear();
  held_ = syn_due_ = probe_due_ = override_due_ = keep_alive_due_ = false;
  ack_due_ = AckDue::kNo;
  extra_acks_ = 0;
  timer_ = Timer::kOff;
  time_wait_at_ = reordering_at_ = tail_probe_at_ = kNever;
  tail_probe_due_ = false;
  phase_ = Phase::kOpen;
  undo_.reset();
  board_.reset(snd_nxt_);
}

}  // namespace vtl::endpoint
