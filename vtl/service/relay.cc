#include "vtl/service/relay.h"

#include <algorithm>
#include <utility>

#include "vtl/service/played_table.h"

namespace vtl::service {
namespace {

using endpoint::EndReason;
using endpoint::State;
using transport::StreamError;

/// Octets moved toward the guest in one pump(): bounds its work, so that one bulk connection does
/// not hold up the others.
constexpr std::size_t kPumpQuantum = std::size_t{256} << 10;

StreamError to_stream_error(EndReason reason) {
  switch (reason) {
    case EndReason::kRefused:
      return StreamError::kRefused;
    case EndReason::kTimedOut:
      return StreamError::kTimedOut;
    case EndReason::kUnreachable:
      return StreamError::kHostUnreachable;
    case EndReason::kReset:
    case EndReason::kAborted:
    case EndReason::kNone:
      break;
  }
  return StreamError::kReset;
}

}  // namespace

Relay::Relay(Table& table, const FramePath& to_guest, endpoint::Endpoint endpoint, bool opener,
             std::string transform, Time now)
    : table_(table),
      path_(to_guest),
      endpoint_(std::move(endpoint)),
      timer_([this] { pump(); }),
      phase_(opener ? Phase::kOpening : Phase::kConnecting),
      opener_(opener),
      transform_(std::move(transform)),
      born_(now) {}

std::unique_ptr<Relay> Relay::open(Table& table, const FramePath& to_guest,
                                   endpoint::Endpoint endpoint, Packet syn_frame,
                                   std::string transform, OpenStream open_stream) {
  std::unique_ptr<Relay> relay(new Relay(table, to_guest, std::move(endpoint), true,
                                         std::move(transform), table.context().reactor().now()));
  relay->syn_frame_ = std::move(syn_frame);
  relay->stream_ = open_stream(*relay);
  return relay;
}

std::unique_ptr<Relay> Relay::connect(Table& table, const FramePath& to_guest,
                                      endpoint::Endpoint endpoint, std::string transform,
                                      std::unique_ptr<transport::IncomingStream> incoming) {
  std::unique_ptr<Relay> relay(new Relay(table, to_guest, std::move(endpoint), false,
                                         std::move(transform), table.context().reactor().now()));
  relay->incoming_ = std::move(incoming);
  relay->incoming_->on_cancelled([r = relay.get()] {
    r->incoming_.reset();
    r->stream_over_ = true;
    r->endpoint_.abort(r->table_.context().reactor().now());
    r->table_.schedule(*r);
  });
  return relay;
}

bool Relay::may_be_replaced_by(const endpoint::Segment& syn) const noexcept {
  return phase_ == Phase::kOver || endpoint_.finished() ||
         (stream_over_ && endpoint_.yields_to(syn));
}

// What the stream takes at once is never stored here.
void Relay::process(const endpoint::Segment& segment, const wire::MacAddress& mac, Time now) {
  if (endpoint_.fits(segment)) path_.destination_mac = mac;
  if (phase_ != Phase::kOpen || stream_ == nullptr || stream_over_) {
    endpoint_.process(segment, now);
    return;
  }
  const auto write = [this](Bytes bytes) {
    const std::size_t taken = stream_->write(bytes);
    bytes_from_guest_ += taken;
    return taken;
  };
  const endpoint::Reader reader(write);
  endpoint::Segment shown = segment;
  shown.reader = &reader;
  endpoint_.process(shown, now);
}

void Relay::icmp_error(const TcpIcmpError& error, Time now) {
  if (error.mss) {
    endpoint_.packet_too_big(*error.mss, error.seq, now);
  } else {
    endpoint_.icmp_error(error.hard, now);
  }
}

void Relay::leave() noexcept {
  timer_.cancel();
  phase_ = Phase::kOver;
  table_.owner().on_left(*this);
}

void Relay::pump() {
  if (phase_ == Phase::kOver) return;
  const Time now = table_.context().reactor().now();
  if (phase_ == Phase::kConnecting) follow_handshake();
  if (phase_ == Phase::kOpen && endpoint_.state() >= State::kEstablished) {
    table_.established(*this);
  }
  bool more = false;
  if (phase_ == Phase::kOpen && stream_) {
    if (endpoint_.receive_starved()) endpoint_.consume(0, now);  // announces what there is again
    guest_to_stream(now);
    more = stream_to_guest(now);
  }
  if (reset_due_ && !rest_.waits(endpoint_.unacknowledged(), now)) endpoint_.abort(now);
  send(now);
  follow_end(now);
  if (phase_ == Phase::kOver) return;
  if (must_yield(now)) {
    table_.starved().note_yield();
    abort(StreamError::kLimit);
    return;
  }
  table_.starved().set(*this, lacks());
  if (more) table_.schedule(*this);
  table_.context().reactor().timers().arm(timer_, next_time(now));
}

Time Relay::next_time(Time now) const noexcept {
  // What found no packet buffer is due at once: the list of the starved knows when to try again.
  const Time due = refused_ ? kNever : endpoint_.poll_at(now);
  return std::min({due, rest_.until(), from_guest_.until(now), to_guest_.until(now)});
}

Lacks Relay::lacks() const noexcept {
  Lacks out;
  out.packets = refused_;
  out.received = endpoint_.receive_starved();
  out.to_send = stream_ready_ && endpoint_.send_starved();
  const auto [received, to_send] = endpoint_.chunks();
  out.first_received = out.received && received == 0;
  out.first_to_send = out.to_send && to_send == 0;
  return out;
}

// What stands still in a kind of memory of which others wait for their first chunk.
bool Relay::must_yield(Time now) noexcept {
  const auto& starved = table_.starved();
  const auto [received, to_send] = endpoint_.chunks();
  const bool in = from_guest_.observe(received, bytes_from_guest_, now);
  const bool out = to_guest_.observe(to_send, bytes_to_guest_ - endpoint_.unacknowledged(), now);
  return (in && starved.short_of(ChunkPool::Use::kReceived)) ||
         (out && starved.short_of(ChunkPool::Use::kToSend));
}

void Relay::follow_handshake() {
  if (incoming_ == nullptr) return;
  switch (endpoint_.state()) {
    case State::kSynSent:
    case State::kSynReceived:
      return;
    case State::kClosed:
      incoming_->refuse(to_stream_error(endpoint_.end_reason()));
      incoming_.reset();
      stream_over_ = true;
      return;
    default:
      break;
  }
  // The handler may be called from inside accept(): be open before it.
  phase_ = Phase::kOpen;
  const auto incoming = std::exchange(incoming_, nullptr);
  stream_ = incoming->accept(*this);
  if (stream_ == nullptr) {  // the opener gave up in this very turn
    stream_over_ = true;
    endpoint_.abort(table_.context().reactor().now());
    return;
  }
  stream_ready_ = true;
}

void Relay::guest_to_stream(Time now) {
  while (endpoint_.readable() > 0) {
    const Bytes bytes = endpoint_.peek();
    const std::size_t taken = stream_->write(bytes);
    if (taken > 0) endpoint_.consume(taken, now);
    bytes_from_guest_ += taken;
    if (taken < bytes.size()) return;
  }
  if (endpoint_.at_end() && !stream_shut_) {
    stream_shut_ = true;
    stream_->shutdown();
  }
}

// True: there is more to move than this call may.
bool Relay::stream_to_guest(Time now) {
  std::size_t moved = 0;
  while (moved < kPumpQuantum) {
    bool dry = false;
    const auto read = [&](MutableBytes out) {
      const std::size_t n = stream_->read(out);
      dry = n == 0;
      return n;
    };
    const std::size_t n = endpoint_.write_from(kPumpQuantum - moved, read, now);
    bytes_to_guest_ += n;
    moved += n;
    if (dry) {
      stream_ready_ = false;
      if (stream_->at_end() && !endpoint_shut_) {
        endpoint_shut_ = true;
        endpoint_.shutdown(now);
      }
      return false;
    }
    if (n == 0) return false;  // no room
  }
  return true;
}

void Relay::send(Time now) {
  engine::ServiceContext& context = table_.context();
  refused_ = false;
  endpoint_.dispatch(now, [&](const endpoint::OutSegment& segment) {
    refused_ = !emit_tcp_frame(context, engine::Direction::kInbound, path_, segment);
    return !refused_;
  });
}

void Relay::follow_end(Time now) {
  const bool stream_done = stream_over_ || (stream_shut_ && endpoint_shut_);
  if (endpoint_.finished()) {
    if (stream_ && !stream_done) {
      if (rest_.waits(endpoint_.readable(), now)) return;
      stream_->abort(to_stream_error(endpoint_.end_reason()));
    }
    if (incoming_) {
      incoming_->refuse(to_stream_error(endpoint_.end_reason()));
    }
    over();
    return;
  }
  if (stream_done && endpoint_.state() == State::kTimeWait) {
    // What remains is the endpoint's quiet time; the stream's part is over.
    stream_over_ = true;
    stream_.reset();
    if (!lingering.held) table_.lingers(*this);
  }
}

void Relay::abort(StreamError reason) {
  if (phase_ == Phase::kOver) return;
  const Time now = table_.context().reactor().now();
  if (stream_ && !stream_over_) stream_->abort(reason);
  if (incoming_) incoming_->refuse(reason);
  stream_over_ = true;
  endpoint_.abort(now);
  send(now);
  over();
}

void Relay::give_up() {
  if (phase_ == Phase::kOver) return;
  if (stream_ && !stream_over_) stream_->abort(StreamError::kLimit);
  if (incoming_) incoming_->refuse(StreamError::kLimit);
  stream_over_ = true;
  over();
}

void Relay::over() {
  timer_.cancel();
  phase_ = Phase::kOver;
  table_.over(*this);
}

void Relay::on_open() {
  if (phase_ != Phase::kOpening) return;
  phase_ = Phase::kOpen;
  syn_frame_.reset();
  endpoint_.accept(table_.context().reactor().now());
  stream_ready_ = true;
  table_.schedule(*this);
}

void Relay::on_refused(StreamError reason) {
  if (phase_ != Phase::kOpening) return;
  const Time now = table_.context().reactor().now();
  stream_over_ = true;
  switch (reason) {
    case StreamError::kTimedOut:
    case StreamError::kLimit:
      // The server was silent, so VTL is: the guest's own timer tells it. At a limit of the far
      // side its next SYN may find room, as at one of ours.
      over();
      return;
    case StreamError::kHostUnreachable:
    case StreamError::kNetworkUnreachable:
      send_unreachable(table_.context(), engine::Direction::kInbound, syn_frame_,
                       reason == StreamError::kNetworkUnreachable ? IcmpError::kNetworkUnreachable
                                                                  : IcmpError::kHostUnreachable);
      over();
      return;
    case StreamError::kPeerDown:
    case StreamError::kNotAuthenticated:
      if (table_.owner().pass_instead(*this)) {
        over();
        return;
      }
      break;
    default:
      break;
  }
  endpoint_.refuse(now);
  table_.schedule(*this);
}

void Relay::on_readable() {
  stream_ready_ = true;
  table_.schedule(*this);
}
void Relay::on_writable() {
  table_.schedule(*this);
}

void Relay::on_reset(StreamError reason) {
  (void)reason;  // Toward the guest every broken stream is a reset.
  if (phase_ == Phase::kOver) return;
  stream_over_ = reset_due_ = true;
  table_.schedule(*this);
}

engine::FlowInfo Relay::info(Time now) const {
  engine::FlowInfo flow;
  flow.link = table_.context().link_name();
  flow.worker = table_.context().reactor().worker();
  flow.key = opener_ ? key() : path_.key;
  flow.state = phase_ == Phase::kOpening ? "opening" : std::string(to_string(endpoint_.state()));
  flow.bytes_out = bytes_from_guest_;
  flow.bytes_in = bytes_to_guest_;
  if (const Duration rtt = endpoint_.smoothed_rtt(); rtt > Duration::zero()) flow.rtt_guest = rtt;
  if (stream_) {
    if (const Duration rtt = stream_->round_trip(); rtt > Duration::zero()) flow.rtt_network = rtt;
  }
  flow.transform = transform_;
  flow.age = now - born_;
  return flow;
}

}  // namespace vtl::service
