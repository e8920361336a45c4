#include "vtl/service/split/split_connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "vtl/service/played_table.h"

namespace vtl::service {
namespace {

using endpoint::Endpoint;
using endpoint::EndReason;
using endpoint::State;

/// Octets moved in one direction in one pump(): bounds its work, so that one bulk connection does
/// not hold up the others.
constexpr std::size_t kPumpQuantum = std::size_t{256} << 10;

bool broke(const Endpoint& endpoint) {
  return endpoint.state() == State::kClosed && endpoint.end_reason() != EndReason::kNone;
}

bool only_lingers(const Endpoint& endpoint) {
  return endpoint.finished() || endpoint.state() == State::kTimeWait;
}

}  // namespace

SplitConnection::SplitConnection(Table& table, Opening opening, Endpoint client, Endpoint server,
                                 Time now)
    : table_(table),
      ends_{End{.endpoint = std::move(client),
                .source = opening.server_mac,
                .destination = opening.client_mac,
                .still = {}},
            End{.endpoint = std::move(server),
                .source = opening.client_mac,
                .destination = opening.server_mac,
                .still = {}}},
      key_(opening.key),
      direction_(opening.direction),
      dscp_(opening.dscp),
      pcp_(opening.pcp),
      syn_frame_(std::move(opening.syn_frame)),
      timer_([this] { pump(); }),
      born_(now) {}

void SplitConnection::process(Side side, const endpoint::Segment& segment,
                              const wire::MacAddress& source, const wire::MacAddress& destination,
                              Time now) {
  if (end(side).endpoint.fits(segment)) {
    End& other = end(side == Side::kClient ? Side::kServer : Side::kClient);
    other.source = source;
    other.destination = destination;
  }
  end(side).endpoint.process(segment, now);
}

bool SplitConnection::icmp_error(Side side, const TcpIcmpError& error, Time now) {
  Endpoint& endpoint = end(side).endpoint;
  if (!endpoint.in_flight(error.seq)) return false;
  if (error.mss) {
    endpoint.packet_too_big(*error.mss, error.seq, now);
  } else if (phase_ == Phase::kOpening && side == Side::kServer && error.unreachable) {
    // Whether that ends the attempt is the client's own decision: its next SYN begins anew.
    send_unreachable(table_.context(), toward(Side::kClient), syn_frame_, *error.unreachable);
    endpoint.icmp_error(/*hard=*/true, now);
    over();
  } else {
    endpoint.icmp_error(error.hard, now);
  }
  return true;
}

void SplitConnection::pump() {
  if (phase_ == Phase::kOver) return;
  const Time now = table_.context().reactor().now();
  if (phase_ == Phase::kOpening) follow_handshake(now);
  if (phase_ == Phase::kOver) return;
  End& client = end(Side::kClient);
  End& server = end(Side::kServer);
  bool more = false;
  if (phase_ == Phase::kOpen) {
    if (client.endpoint.state() >= State::kEstablished) table_.established(*this);
    more = move(client, server, now);
    more = move(server, client, now) || more;
    follow_reset(client, server, now);
    follow_reset(server, client, now);
  }
  const bool client_ended = send(Side::kClient, now);
  const bool server_ended = send(Side::kServer, now);
  follow_end();
  if (phase_ == Phase::kOver) return;
  if (must_yield(now)) {
    table_.starved().note_yield();
    abort();
    return;
  }
  table_.starved().set(*this, lacks());
  count_memory();
  if (more || client_ended || server_ended) table_.schedule(*this);
  table_.context().reactor().timers().arm(timer_, next_time(now));
}

Time SplitConnection::next_time(Time now) const noexcept {
  Time at = rest_.until();
  for (const End& e : ends_) {
    // What found no packet buffer is due at once: the list of the starved knows when to try again.
    if (!e.refused) at = std::min(at, e.endpoint.poll_at(now));
    at = std::min(at, e.still.until(now));
  }
  return at;
}

Lacks SplitConnection::lacks() const noexcept {
  const Endpoint& client = end(Side::kClient).endpoint;
  const Endpoint& server = end(Side::kServer).endpoint;
  Lacks out;
  out.packets = end(Side::kClient).refused || end(Side::kServer).refused;
  if (phase_ != Phase::kOpen) return out;
  out.received = client.receive_starved() || server.receive_starved();
  out.to_send = (client.readable() > 0 && server.send_starved()) ||
                (server.readable() > 0 && client.send_starved());
  const auto none = [&](std::size_t Endpoint::Chunks::* use) {
    return client.chunks().*use == 0 && server.chunks().*use == 0;
  };
  out.first_received = out.received && none(&Endpoint::Chunks::received);
  out.first_to_send = out.to_send && none(&Endpoint::Chunks::to_send);
  return out;
}

// What stands still in a kind of memory of which others wait for their first chunk.
bool SplitConnection::must_yield(Time now) noexcept {
  const auto& starved = table_.starved();
  bool yields = false;
  for (const Side side : {Side::kClient, Side::kServer}) {
    End& from = end(side);
    const Endpoint& to = end(side == Side::kClient ? Side::kServer : Side::kClient).endpoint;
    const std::size_t received = from.endpoint.chunks().received;
    const std::size_t to_send = to.chunks().to_send;
    if (!from.still.observe(received + to_send, from.octets - to.unacknowledged(), now)) continue;
    yields |= (received > 0 && starved.short_of(ChunkPool::Use::kReceived)) ||
              (to_send > 0 && starved.short_of(ChunkPool::Use::kToSend));
  }
  return yields;
}

void SplitConnection::follow_handshake(Time now) {
  Endpoint& client = end(Side::kClient).endpoint;
  Endpoint& server = end(Side::kServer).endpoint;
  if (client.state() == State::kClosed) {  // the client gave up
    server.abort(now);
    return;
  }
  switch (server.state()) {
    case State::kSynSent:
    case State::kSynReceived:
      return;
    case State::kClosed:
      break;
    default:
      phase_ = Phase::kOpen;
      syn_frame_.reset();
      client.accept(now);
      return;
  }
  switch (server.end_reason()) {
    case EndReason::kTimedOut:
      // The server was silent, so VTL is: the client's own timer tells it.
      over();
      return;
    case EndReason::kUnreachable:
      send_unreachable(table_.context(), toward(Side::kClient), syn_frame_,
                       IcmpError::kHostUnreachable);
      over();
      return;
    default:
      client.refuse(now);
      return;
  }
}

// True: there is more to move than this call may.
bool SplitConnection::move(End& from, End& to, Time now) {
  if (from.endpoint.receive_starved()) from.endpoint.consume(0, now);  // announces what is there
  const std::size_t moved = to.endpoint.take_from(from.endpoint, kPumpQuantum, now);
  from.octets += moved;
  if (from.endpoint.readable() > 0) return moved >= kPumpQuantum;
  if (from.endpoint.at_end() && !to.shut) {
    to.shut = true;
    to.endpoint.shutdown(now);
  }
  return false;
}

// `from` broke: `to` is reset behind what came before.
void SplitConnection::follow_reset(const End& from, End& to, Time now) {
  if (!broke(from.endpoint)) return;
  if (to.endpoint.state() == State::kClosed) {
    to.endpoint.abort(now);  // drops what nobody takes any more
    return;
  }
  if (rest_.waits(from.endpoint.readable() + to.endpoint.unacknowledged(), now)) return;
  to.endpoint.abort(now);
}

// True: a deadline that passed ended the endpoint, which is still to be followed.
bool SplitConnection::send(Side side, Time now) {
  engine::ServiceContext& context = table_.context();
  End& e = end(side);
  FramePath path{.source_mac = e.source,
                 .destination_mac = e.destination,
                 .key = side == Side::kServer ? key_ : key_.reversed(),
                 .dscp = dscp_,
                 .pcp = pcp_,
                 .ip_id = e.ip_id};
  const bool was_closed = e.endpoint.state() == State::kClosed;
  e.refused = false;
  e.endpoint.dispatch(now, [&](const endpoint::OutSegment& segment) {
    e.refused = !emit_tcp_frame(context, toward(side), path, segment);
    return !e.refused;
  });
  e.ip_id = path.ip_id;
  return !was_closed && e.endpoint.state() == State::kClosed;
}

void SplitConnection::follow_end() {
  const Endpoint& client = end(Side::kClient).endpoint;
  const Endpoint& server = end(Side::kServer).endpoint;
  if (client.finished() && server.finished()) {
    over();
  } else if (phase_ == Phase::kOpen && only_lingers(client) && only_lingers(server)) {
    phase_ = Phase::kLingering;
    table_.lingers(*this);
  }
}

void SplitConnection::abort() {
  if (phase_ == Phase::kOver) return;
  const Time now = table_.context().reactor().now();
  for (const Side side : {Side::kClient, Side::kServer}) {
    end(side).endpoint.abort(now);
    static_cast<void>(send(side, now));
  }
  over();
}

void SplitConnection::give_up() {
  if (phase_ == Phase::kOver) return;
  const Time now = table_.context().reactor().now();
  end(Side::kServer).endpoint.abort(now);
  static_cast<void>(send(Side::kServer, now));
  over();
}

void SplitConnection::over() {
  timer_.cancel();
  phase_ = Phase::kOver;
  if (half_open.held) table_.owner().on_not_opened(end(Side::kServer).endpoint.end_reason());
  table_.over(*this);
}

void SplitConnection::leave() noexcept {
  timer_.cancel();
  phase_ = Phase::kOver;
  table_.owner().on_memory(-static_cast<std::ptrdiff_t>(memory_));
  memory_ = 0;
}

bool SplitConnection::may_be_replaced_by(const endpoint::Segment& syn) const noexcept {
  const Endpoint& client = end(Side::kClient).endpoint;
  return phase_ == Phase::kOver ||
         (phase_ == Phase::kLingering && (client.finished() || client.yields_to(syn)));
}

engine::FlowInfo SplitConnection::info(Time now) const {
  const bool client_is_guest = direction_ == engine::Direction::kOutbound;
  const End& guest = end(client_is_guest ? Side::kClient : Side::kServer);
  const End& network = end(client_is_guest ? Side::kServer : Side::kClient);
  engine::FlowInfo flow;
  flow.link = table_.context().link_name();
  flow.worker = table_.context().reactor().worker();
  flow.key = key_;
  flow.state = phase_ == Phase::kOpening ? "opening"
                                         : fmt::format("{}/{}", to_string(guest.endpoint.state()),
                                                       to_string(network.endpoint.state()));
  flow.bytes_out = guest.octets;
  flow.bytes_in = network.octets;
  if (const Duration rtt = guest.endpoint.smoothed_rtt(); rtt > Duration::zero()) {
    flow.rtt_guest = rtt;
  }
  if (const Duration rtt = network.endpoint.smoothed_rtt(); rtt > Duration::zero()) {
    flow.rtt_network = rtt;
  }
  flow.transform = "split";
  flow.age = now - born_;
  return flow;
}

void SplitConnection::count_memory() {
  std::size_t octets = sizeof(SplitConnection) - sizeof(ends_) + syn_frame_.size();
  for (const End& e : ends_) octets += sizeof(End) - sizeof(Endpoint) + e.endpoint.memory();
  if (octets == memory_) return;
  table_.owner().on_memory(static_cast<std::ptrdiff_t>(octets - memory_));
  memory_ = octets;
}

}  // namespace vtl::service
