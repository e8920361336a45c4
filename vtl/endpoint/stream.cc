// The stream's side of the connection: read, write, shut down, abort (RFC 9293 section 3.10).
#include <algorithm>

#include "vtl/endpoint/connection.h"

namespace vtl::endpoint {

void Connection::consume(std::size_t n, Time now) {
  received_.consume(n);
  on_read(n, now);
}

void Connection::on_read(std::size_t n, Time now) {
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

std::size_t Connection::send_room() const noexcept {
  if (!may_write()) return 0;
  const std::size_t limit = send_limit();
  return limit - std::min(limit, to_send_.size());
}

std::size_t Connection::writable() const noexcept {
  const std::size_t room = send_room();
  if (config().pool == nullptr) return room;
  const std::size_t chunks =
      config().pool->available(ChunkPool::Use::kToSend, to_send_.chunk_count());
  return std::min(room, chunks * ChunkPool::kChunk + to_send_.tail_room());
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
  on_written(now);
  return n;
}

std::size_t Connection::write_from(std::size_t most, ByteQueue::Fill fill, Time now) {
  const std::size_t n = to_send_.append_from(std::min(most, writable()), fill);
  if (n > 0) on_written(now);
  return n;
}

// A chunk that changes hands costs the pool nothing and asks it for nothing: were it full of what
// arrived, nothing else could go on (chunk_pool.h).
std::size_t Connection::take_from(Connection& from, std::size_t most, Time now) {
  const bool one_pool = config().pool == from.config().pool;
  std::size_t taken = 0;
  while (taken < most && from.readable() > 0 && send_room() > 0) {
    const Bytes front = from.peek();
    ReceiveBuffer& received = from.received_;
    const std::size_t offset = received.front_offset();
    std::size_t n = front.size();
    if (one_pool && received.front_is_alone() && to_send_.fits(offset) &&
        (n <= send_room() || to_send_.empty())) {
      to_send_.adopt(received.release_front(), offset, n);
    } else {
      n = to_send_.append(front.first(std::min(n, writable())));
      if (n == 0) break;
      received.consume(n);
    }
    taken += n;
  }
  if (taken == 0) return 0;
  from.on_read(taken, now);
  on_written(now);
  return taken;
}

void Connection::on_written(Time now) {
  // What the path could take before a pause may be wrong after it.
  if (synchronized() && snd_una_ == snd_nxt_ && now - sent_at_ > rtt_.timeout()) {
    congestion_.on_idle();
  }
  settle(now);
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

Endpoint::Chunks Connection::chunks() const noexcept {
  return {received_.chunk_count(), to_send_.chunk_count()};
}

std::size_t Connection::memory() const noexcept {
  return sizeof(Connection) + to_send_.memory() + received_.memory() + board_.memory() +
         (undo_ ? sizeof(Undo) : 0);
}

}  // namespace vtl::endpoint
