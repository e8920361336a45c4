#include "vtl/service/split/split.h"

#include <algorithm>
#include <utility>

#include "vtl/packet/checksum.h"
#include "vtl/service/initial_numbers.h"
#include "vtl/wire/ethernet.h"

namespace vtl::service {
namespace {

using endpoint::Endpoint;
using endpoint::EndReason;
using engine::Direction;
using Side = SplitConnection::Side;

}  // namespace

Outcome<std::unique_ptr<Split>> Split::create(SplitOptions options) {
  auto filter = Filter::compile(options.match);
  if (!filter) return std::unexpected(filter.error());
  return std::unique_ptr<Split>(new Split(std::move(options), std::move(*filter)));
}

Split::Split(SplitOptions options, Filter filter)
    : options_(std::move(options)),
      filter_(std::move(filter)),
      half_open_(options_.max_half_open) {}

Split::~Split() {
  for (const Owned& connection : connections_) connection->abort();
}

void Split::start(engine::ServiceContext& context) {
  context_ = &context;
  chunks_ = std::make_unique<ChunkPool>(options_.memory);
  turns_ = std::make_unique<Turns<SplitConnection>>(context.reactor(), [this] { run_turn(); });
  starved_ = std::make_unique<Starved<SplitConnection>>(
      context.reactor(), *chunks_,
      [this](SplitConnection& connection) { turns_->schedule(connection); });
  running_ = true;
}

void Split::process(Direction direction, Batch& batch) {
  turns_->hold(true);
  for (Packet& packet : batch) process_frame(direction, packet);
  turns_->hold(false);
  run_turn();
}

void Split::process_frame(Direction direction, Packet& packet) {
  switch (packet.layout().transport) {
    case TransportKind::kTcp:
      process_tcp(direction, packet);
      break;
    case TransportKind::kIcmpv4:
    case TransportKind::kIcmpv6:
      take_icmp(direction, packet);
      break;
    default:
      break;
  }
}

void Split::process_tcp(Direction direction, Packet& packet) {
  const Layout& layout = packet.layout();
  const auto key = flow_key(packet.bytes(), layout);
  if (!key || !has_plain_tag(packet)) return;
  if (SplitConnection* const connection = find(*key)) {
    const bool from_client = direction == connection->direction();
    if (from_client == (*key == connection->key())) {
      take_segment(*connection, direction, std::move(packet));
    } else {  // nobody but VTL speaks to an end for the other one
      context_->drop(std::move(packet), DropReason::kNotOfConnection);
    }
    return;
  }
  if (!takes_from(direction) || !may_open(packet)) return;
  const auto tcp = wire::TcpView::parse(
      packet.bytes().subspan(layout.transport_offset, layout.end - layout.transport_offset));
  if (tcp && opens_connection(tcp->flags()) && filter_.matches(packet.bytes(), layout)) {
    take_syn(direction, *key, std::move(packet));
  }
}

bool Split::takes_from(Direction direction) const noexcept {
  switch (options_.from) {
    case OpenedFrom::kGuest:
      return direction == Direction::kOutbound;
    case OpenedFrom::kNetwork:
      return direction == Direction::kInbound;
    case OpenedFrom::kBoth:
      break;
  }
  return true;
}

void Split::take_segment(SplitConnection& connection, Direction direction, Packet packet) {
  const auto segment = to_segment(packet);
  if (!segment) {
    context_->drop(std::move(packet), segment.error() == SegmentError::kBadChecksum
                                          ? DropReason::kBadChecksum
                                          : DropReason::kMalformedTransport);
    return;
  }
  const Side side = direction == connection.direction() ? Side::kClient : Side::kServer;
  if (side == Side::kClient && opens_connection(segment->header.flags) &&
      connection.may_be_replaced_by(*segment) && filter_.matches(packet.bytes(), packet.layout())) {
    const wire::FlowKey key = connection.key();
    retire(key);
    take_syn(direction, key, std::move(packet));
    return;
  }
  connection.process(side, *segment,
                     wire::MacAddress::load(packet.bytes(), wire::EthernetView::kSourceOffset),
                     wire::MacAddress::load(packet.bytes(), wire::EthernetView::kDestinationOffset),
                     context_->reactor().now());
  turns_->schedule(connection);
}

void Split::take_syn(Direction direction, const wire::FlowKey& key, Packet packet) {
  if (!running_) {
    context_->drop(std::move(packet), DropReason::kLinkStopping);
    return;
  }
  const auto segment = to_segment(packet);
  if (!segment) {
    context_->drop(std::move(packet), segment.error() == SegmentError::kBadChecksum
                                          ? DropReason::kBadChecksum
                                          : DropReason::kMalformedTransport);
    return;
  }
  if (!make_room()) {
    context_->drop(std::move(packet), DropReason::kFlowTableFull);
    return;
  }
  const Time now = context_->reactor().now();
  SplitConnection::Opening opening{
      .key = key,
      .direction = direction,
      .client_mac = wire::MacAddress::load(packet.bytes(), wire::EthernetView::kSourceOffset),
      .server_mac = wire::MacAddress::load(packet.bytes(), wire::EthernetView::kDestinationOffset),
      .dscp = dscp_of(packet),
      .pcp = pcp_of(packet),
      .syn_frame = {}};
  Endpoint client = client_end(direction, key, *segment, now);
  Endpoint server = server_end(direction, key, *segment, now);
  opening.syn_frame = keep_syn(std::move(packet));
  SplitOwner& owner = *this;
  auto connection = std::make_unique<SplitConnection>(owner, std::move(opening), std::move(client),
                                                      std::move(server), now);
  half_open_.enter(*connection);
  ++counters_.opened;
  turns_->schedule(*connection);
  connections_.insert(std::move(connection));
}

Endpoint Split::client_end(Direction direction, const wire::FlowKey& key,
                           const endpoint::Segment& syn, Time now) {
  const wire::FlowKey back = key.reversed();
  endpoint::Config config = end_config(engine::opposite(direction), back);
  config.syn_retries = kSynAckRetries;
  return Endpoint::accept_syn(configs_.share(config), played_identity(back),
                              InitialNumbers::of_process().sequence(back, now), syn, /*hold=*/true,
                              now);
}

// Offers what the client offered: where it knows no option, the server's own frames have none.
Endpoint Split::server_end(Direction direction, const wire::FlowKey& key,
                           const endpoint::Segment& syn, Time now) {
  endpoint::Config config = end_config(direction, key);
  const wire::TcpOptions& offered = syn.header.options;
  config.offer_window_scale = offered.window_scale.has_value();
  config.offer_timestamps = offered.timestamps.has_value();
  config.offer_sack = offered.sack_permitted;
  return Endpoint::connect(configs_.share(config), played_identity(key),
                           InitialNumbers::of_process().sequence(key, now), now);
}

endpoint::Config Split::end_config(Direction toward, const wire::FlowKey& key) const {
  return played_config({.mtu = context_->mtu(toward),
                        .buffer = options_.buffer,
                        .keep_alive = options_.keep_alive,
                        .time_wait = options_.time_wait,
                        .pool = chunks_.get()},
                       key);
}

bool Split::make_room() {
  if (connections_.size() >= options_.max_connections && !evict_lingering()) {
    ++counters_.limit_connections;
    return false;
  }
  if (SplitConnection* const oldest = half_open_.make_room()) {
    oldest->give_up();
    retire(oldest->key());
  }
  return true;
}

bool Split::evict_lingering() {
  const SplitConnection* const oldest = lingering_.oldest();
  if (oldest == nullptr) return false;
  retire(oldest->key());
  ++counters_.evicted;
  return true;
}

void Split::take_icmp(Direction direction, Packet& packet) {
  const auto error = read_tcp_icmp_error(packet);
  if (!error) return;
  SplitConnection* const connection = find(error->key);
  if (connection == nullptr) return;
  // The error comes back from where the quoted segment was sent.
  const Side side = direction == connection->direction() ? Side::kClient : Side::kServer;
  if ((side == Side::kServer) != (error->key == connection->key())) return;
  if (!verify_checksums(packet)) {
    context_->drop(std::move(packet), DropReason::kBadChecksum);
    return;
  }
  if (!connection->icmp_error(side, *error, context_->reactor().now())) return;
  turns_->schedule(*connection);
  packet.reset();
}

SplitConnection* Split::find(const wire::FlowKey& key) const {
  const auto it = connections_.find(key);
  return it == connections_.end() ? nullptr : it->get();
}

void Split::retire(const wire::FlowKey& key) {
  const auto it = connections_.find(key);
  if (it == connections_.end()) return;
  Owned connection = std::move(connections_.extract(it).value());
  half_open_.leave(*connection);
  lingering_.leave(*connection);
  connection->leave();
  memory_ -= connection->memory();
  for (const Side side : {Side::kClient, Side::kServer}) totals_.add(connection->endpoint(side));
  turns_->retire(std::move(connection));
}

void Split::run_turn() {
  turns_->run(
      [](SplitConnection& connection) { connection.pump(); },
      [this] {
        for (const wire::FlowKey& key : over_) {
          const SplitConnection* const connection = find(key);
          if (connection != nullptr && connection->phase() == SplitConnection::Phase::kOver) {
            retire(key);
          }
        }
        over_.clear();
      });
  if (stopped_) check_stopped();
}

void Split::on_established(SplitConnection& connection) {
  if (half_open_.leave(connection)) ++counters_.established;
}

void Split::on_lingering(SplitConnection& connection) {
  lingering_.enter(connection);
}

void Split::on_over(SplitConnection& connection) {
  if (connection.half_open.held) {
    switch (connection.server_end()) {
      case EndReason::kRefused:
        ++counters_.refused;
        break;
      case EndReason::kTimedOut:
        ++counters_.silent;
        break;
      case EndReason::kUnreachable:
        ++counters_.unreachable;
        break;
      default:
        break;
    }
  }
  over_.push_back(connection.key());
  turns_->post();
}

void Split::stop(std::function<void()> done) {
  running_ = false;
  stopped_ = std::move(done);
  check_stopped();
}

void Split::check_stopped() {
  if (connections_.size() == lingering_.size()) std::exchange(stopped_, nullptr)();
}

void Split::list_flows(std::vector<engine::FlowInfo>& out) const {
  const Time now = context_->reactor().now();
  for (const Owned& connection : connections_) out.push_back(connection->info(now));
}

void Split::list_metrics(std::vector<engine::ServiceMetric>& out) const {
  const auto count = [&](const char* name, const char* help, std::uint64_t value) {
    out.push_back({name, help, static_cast<double>(value), true});
  };
  const auto gauge = [&](const char* name, const char* help, std::size_t value) {
    out.push_back({name, help, static_cast<double>(value), false});
  };
  gauge("connections", "Connections now, half-open ones and those in TIME-WAIT included",
        connections_.size());
  gauge("half_open", "Connections whose handshakes are not done", half_open_.size());
  if (starved_) starved_->list_metrics(out);
  gauge("memory_bytes", "Octets held for connections: ends, buffers, table",
        memory_ + connections_.capacity() * (sizeof(Owned) + 1));
  count("opened_total", "Connections taken from their clients", counters_.opened);
  count("established_total", "Connections whose both handshakes were completed",
        counters_.established);
  count("refused_total", "Connections refused by their server", counters_.refused);
  count("unreachable_total", "Connections whose server could not be reached",
        counters_.unreachable);
  count("silent_total", "Connections whose server never answered", counters_.silent);
  count("limit_connections_total", "SYNs dropped at max_connections", counters_.limit_connections);
  count("limit_half_open_total",
        "Half-open connections given up at max_half_open, the oldest first", half_open_.evicted());
  count("evicted_total", "Connections in TIME-WAIT forgotten early to make room",
        counters_.evicted);
  totals_.list(out);
}

}  // namespace vtl::service
