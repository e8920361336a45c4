// The doors of the endpoint: what endpoint.h promises, handed to the Connection.
#include "vtl/endpoint/endpoint.h"

#include <algorithm>
#include <utility>

#include "vtl/endpoint/connection.h"

namespace vtl::endpoint {

std::string_view to_string(State state) noexcept {
  switch (state) {
    case State::kClosed:
      return "closed";
    case State::kListen:
      return "listen";
    case State::kSynSent:
      return "syn-sent";
    case State::kSynReceived:
      return "syn-received";
    case State::kEstablished:
      return "established";
    case State::kFinWait1:
      return "fin-wait-1";
    case State::kFinWait2:
      return "fin-wait-2";
    case State::kCloseWait:
      return "close-wait";
    case State::kClosing:
      return "closing";
    case State::kLastAck:
      return "last-ack";
    case State::kTimeWait:
      return "time-wait";
  }
  return "unknown";
}

std::string_view to_string(EndReason reason) noexcept {
  switch (reason) {
    case EndReason::kNone:
      return "none";
    case EndReason::kRefused:
      return "refused";
    case EndReason::kReset:
      return "reset";
    case EndReason::kTimedOut:
      return "timed-out";
    case EndReason::kAborted:
      return "aborted";
    case EndReason::kUnreachable:
      return "unreachable";
  }
  return "unknown";
}

Endpoint::Endpoint(std::unique_ptr<Connection> connection) noexcept
    : connection_(std::move(connection)) {}
Endpoint::Endpoint(Endpoint&&) noexcept = default;
Endpoint& Endpoint::operator=(Endpoint&&) noexcept = default;
Endpoint::~Endpoint() = default;

SharedConfig ConfigCache::share(const Config& config) {
  const auto known = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& entry) { return entry.asked == config; });
  if (known != entries_.end()) return known->shared;
  if (entries_.size() < kMost) return entries_.emplace_back(config, config).shared;
  Entry& reused = entries_[oldest_++ % kMost];
  reused = {config, config};
  return reused.shared;
}

Endpoint Endpoint::connect(const SharedConfig& config, const Identity& identity, wire::SeqNum iss,
                           Time now) {
  auto connection = std::make_unique<Connection>(config, identity, iss, now);
  connection->open_active(now);
  return Endpoint(std::move(connection));
}

Endpoint Endpoint::accept_syn(const SharedConfig& config, const Identity& identity,
                              wire::SeqNum iss, const Segment& syn, bool hold, Time now) {
  auto connection = std::make_unique<Connection>(config, identity, iss, now);
  connection->open_passive(syn, hold, now);
  return Endpoint(std::move(connection));
}

void Endpoint::accept(Time now, std::uint16_t far_mss) {
  connection_->accept(now, far_mss);
}
void Endpoint::refuse(Time now) {
  connection_->refuse(now);
}
void Endpoint::process(const Segment& segment, Time now) {
  connection_->process(segment, now);
}
void Endpoint::dispatch(Time now, Emit emit) {
  connection_->dispatch(now, emit);
}
Time Endpoint::poll_at(Time now) const noexcept {
  return connection_->poll_at(now);
}
std::size_t Endpoint::readable() const noexcept {
  return connection_->readable();
}
Bytes Endpoint::peek() const noexcept {
  return connection_->peek();
}
void Endpoint::consume(std::size_t n, Time now) {
  connection_->consume(n, now);
}
bool Endpoint::at_end() const noexcept {
  return connection_->at_end();
}
std::size_t Endpoint::writable() const noexcept {
  return connection_->writable();
}
std::size_t Endpoint::write(Bytes data, Time now) {
  return connection_->write(data, now);
}
std::size_t Endpoint::write_from(std::size_t most, ByteQueue::Fill fill, Time now) {
  return connection_->write_from(most, fill, now);
}
std::size_t Endpoint::take_from(Endpoint& from, std::size_t most, Time now) {
  return connection_->take_from(*from.connection_, most, now);
}
std::size_t Endpoint::unacknowledged() const noexcept {
  return connection_->unacknowledged();
}
void Endpoint::shutdown(Time now) {
  connection_->shutdown(now);
}
void Endpoint::abort(Time now) {
  connection_->abort(now);
}
bool Endpoint::send_starved() const noexcept {
  return connection_->send_starved();
}

bool Endpoint::receive_starved() const noexcept {
  return connection_->receive_starved();
}

bool Endpoint::fits(const Segment& segment) const noexcept {
  return connection_->fits(segment);
}
bool Endpoint::in_flight(wire::SeqNum seq) const noexcept {
  return connection_->in_flight(seq);
}

void Endpoint::icmp_error(bool hard, Time now) {
  connection_->icmp_error(hard, now);
}
void Endpoint::packet_too_big(std::uint16_t mss, wire::SeqNum seq, Time now) {
  connection_->packet_too_big(mss, seq, now);
}
void Endpoint::limit_mss(std::uint16_t mss, Time now) {
  connection_->limit_mss(mss, now);
}
bool Endpoint::yields_to(const Segment& syn) const noexcept {
  return connection_->yields_to(syn);
}
State Endpoint::state() const noexcept {
  return connection_->state();
}
EndReason Endpoint::end_reason() const noexcept {
  return connection_->end_reason();
}
bool Endpoint::in_trouble() const noexcept {
  return connection_->in_trouble();
}
bool Endpoint::finished() const noexcept {
  return connection_->finished();
}
bool Endpoint::all_acknowledged() const noexcept {
  return connection_->all_acknowledged();
}
Duration Endpoint::smoothed_rtt() const noexcept {
  return connection_->smoothed_rtt();
}
const EndpointStats& Endpoint::stats() const noexcept {
  return connection_->stats();
}
wire::TcpOptions Endpoint::peer_options() const noexcept {
  return connection_->peer_options();
}
std::uint16_t Endpoint::effective_mss() const noexcept {
  return connection_->effective_mss();
}
std::size_t Endpoint::memory() const noexcept {
  return sizeof(Endpoint) + connection_->memory();
}

Endpoint::Chunks Endpoint::chunks() const noexcept {
  return connection_->chunks();
}

std::optional<wire::TcpFields> reset_for(const Segment& segment) noexcept {
  const wire::TcpFields& in = segment.header;
  if (in.flags.rst()) return std::nullopt;
  wire::TcpFields out;
  out.source = in.destination;
  out.destination = in.source;
  if (in.flags.ack()) {
    out.seq = in.ack;
    out.flags.bits = wire::TcpFlags::kRst;
    return out;
  }
  const auto length = static_cast<std::uint32_t>(segment.payload.size()) +
                      (in.flags.syn() ? 1U : 0U) + (in.flags.fin() ? 1U : 0U);
  out.ack = in.seq + length;
  out.flags.bits = wire::TcpFlags::kRst | wire::TcpFlags::kAck;
  return out;
}

}  // namespace vtl::endpoint
