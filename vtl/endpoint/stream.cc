// The stream's side of the connection: read, write, shut down, abort (RFC 9293 section 3.10).
#include <algorithm>

#include "vtl/endpoint/connection.h"

namespace vtl::endpoint {
namespace {

// The part of the pool that sending leaves alone: were all of it full of what stalled peers do not
// take, nobody could receive the acknowledgements and the data that make things move again.
constexpr std::size_t kReceiveShare = 4;

}  // namespace

void Connection::consume(std::size_t n, Time now) {
  received_.consume(n);
  read_now_ += static_cast<std::uint32_t>(n);
  announce_window();
  settle(now);
}

// The window is announced when it opens from (nearly) nothing, and when it opened by two segments
// and by a part of the buffer that is worth a segment of its own; acknowledgements tell the rest.
void Connection::announce_window() noexcept {
  const bool receiving =
      state_ == State::kEstablished || state_ == State::kFinWait1 || state_ == State::kFinWait2;
  if (!receiving || fin_received_) return;
  const std::int32_t opened = offer_window(false).right - rcv_adv_;
  if (opened <= 0) return;
  const std::int32_t left = rcv_adv_ - rcv_nxt_;
  const auto quarter = static_cast<std::int32_t>(receive_limit() / 4);
  const bool starved = left < 2 * offered_mss_;
  const bool worth = opened >= 2 * offered_mss_ && (opened >= quarter || left <= quarter);
  if (starved || worth) ack_now();
}

bool Connection::may_write() const noexcept {
  return !fin_queued_ && state_ != State::kClosed && state_ <= State::kCloseWait &&
         state_ != State::kFinWait1 && state_ != State::kFinWait2;
}

std::size_t Connection::writable() const noexcept {
  if (!may_write()) return 0;
  const std::size_t held = to_send_.size();
  const std::size_t limit = send_limit();
  std::size_t room = limit > held ? limit - held : 0;
  if (config().pool != nullptr) {
    const std::size_t most = config().pool->max_bytes();
    const std::size_t bound =
        most - std::min(most, std::max(most / kReceiveShare, ChunkPool::kChunk));
    const std::size_t used = config().pool->bytes_in_use();
    const std::size_t spare = bound > used ? bound - used : 0;
    room = std::min(room, spare - spare % ChunkPool::kChunk + to_send_.tail_room());
  }
  return room;
}

bool Connection::send_starved() const noexcept {
  return may_write() && to_send_.size() < send_limit() && writable() == 0;
}

bool Connection::receive_starved() const noexcept {
  const bool receiving =
      state_ == State::kEstablished || state_ == State::kFinWait1 || state_ == State::kFinWait2;
  return receiving && !fin_received_ && config().pool != nullptr && received_.readable() == 0 &&
         rcv_adv_ - rcv_nxt_ < 2 * offered_mss_ &&
         receive_limit() >= 4 * static_cast<std::size_t>(offered_mss_);
}

std::size_t Connection::write(Bytes data, Time now) {
  const std::size_t n = to_send_.append(data.first(std::min(data.size(), writable())));
  // What the path could take before a pause may be wrong after it.
  if (synchronized() && snd_una_ == snd_nxt_ && now - sent_at_ > rtt_.timeout()) {
    congestion_.on_idle();
  }
  settle(now);
  return n;
}

void Connection::shutdown(Time now) {
  if (fin_queued_ || state_ == State::kClosed) return;
  fin_queued_ = true;
  if (state_ == State::kEstablished) {
    set_state(State::kFinWait1);
  } else if (state_ == State::kCloseWait) {
    set_state(State::kLastAck);
  }
  settle(now);
}

void Connection::abort(Time now) {
  received_.clear();
  if (state_ == State::kClosed) return;
  if (held_) {
    refuse(now);
    return;
  }
  if (state_ != State::kSynSent && state_ != State::kTimeWait) {
    reset_due_ = true;
    reset_seq_ = acceptable_seq();
  }
  end(EndReason::kAborted);
}

// RFC 6191 section 2, RFC 9293 section 3.6.1.
bool Connection::yields_to(const Segment& syn) const noexcept {
  const wire::TcpFields& in = syn.header;
  if (state_ != State::kTimeWait || !in.flags.syn() || in.flags.ack() || in.flags.rst()) {
    return false;
  }
  if (timestamps_ && in.options.timestamps) {
    const auto newer = static_cast<std::int32_t>(in.options.timestamps->value - ts_recent_);
    if (newer != 0) return newer > 0;
  } else if (!timestamps_ && in.options.timestamps && config().offer_timestamps) {
    return true;  // PAWS guards the new one
  }
  return in.seq > rcv_nxt_;
}

bool Connection::finished() const noexcept {
  return state_ == State::kClosed && !reset_due_ && !bad_ack_ &&
         (readable() == 0 || end_reason_ != EndReason::kNone);
}

bool Connection::all_acknowledged() const noexcept {
  if (end_reason_ != EndReason::kNone || (state_ != State::kClosed && !synchronized()))
    return false;
  return to_send_.empty() && (!fin_queued_ || fin_acked_);
}

std::size_t Connection::memory() const noexcept {
  return sizeof(Connection) + to_send_.memory() + received_.memory() + board_.memory() +
         (undo_ ? sizeof(Undo) : 0);
}

}  // namespace vtl::endpoint
