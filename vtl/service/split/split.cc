#include "vtl/service/split/split.h"

#include <utility>

#include "vtl/packet/checksum.h"
#include "vtl/wire/ethernet.h"

namespace vtl::service {
namespace {

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
    : options_(std::move(options)), filter_(std::move(filter)) {}

void Split::start(engine::ServiceContext& context) {
  context_ = &context;
  SplitOwner& owner = *this;
  table_ = std::make_unique<PlayedTable<SplitConnection>>(context, owner, played_options(options_));
}

void Split::process(Direction direction, Batch& batch) {
  table_->process(batch, [&](Packet& packet) { process_frame(direction, packet); });
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
  if (SplitConnection* const connection = table_->find(*key)) {
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
    context_->drop(std::move(packet), segment.error());
    return;
  }
  const Side side = direction == connection.direction() ? Side::kClient : Side::kServer;
  if (side == Side::kClient && opens_connection(segment->header.flags) &&
      connection.may_be_replaced_by(*segment) && filter_.matches(packet.bytes(), packet.layout())) {
    const wire::FlowKey key = connection.key();
    table_->retire(connection);
    take_syn(direction, key, std::move(packet));
    return;
  }
  connection.process(side, *segment,
                     wire::MacAddress::load(packet.bytes(), wire::EthernetView::kSourceOffset),
                     wire::MacAddress::load(packet.bytes(), wire::EthernetView::kDestinationOffset),
                     context_->reactor().now());
  table_->schedule(connection);
}

void Split::take_syn(Direction direction, const wire::FlowKey& key, Packet packet) {
  if (!table_->running()) {
    context_->drop(std::move(packet), DropReason::kLinkStopping);
    return;
  }
  const auto segment = to_segment(packet);
  if (!segment) {
    context_->drop(std::move(packet), segment.error());
    return;
  }
  if (!table_->has_room()) {
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
  endpoint::Endpoint client =
      table_->ends().accept_syn(engine::opposite(direction), key.reversed(), *segment, now);
  endpoint::Endpoint server = table_->ends().connect(direction, key, segment->header.options, now);
  opening.syn_frame = keep_for_answer(std::move(packet));
  ++counters_.opened;
  table_->make_half_open_room();
  table_->insert(std::make_unique<SplitConnection>(*table_, std::move(opening), std::move(client),
                                                   std::move(server), now));
}

void Split::take_icmp(Direction direction, Packet& packet) {
  const auto error = read_tcp_icmp_error(packet);
  if (!error) return;
  SplitConnection* const connection = table_->find(error->key);
  if (connection == nullptr) return;
  // The error comes back from where the quoted segment was sent.
  const Side side = direction == connection->direction() ? Side::kClient : Side::kServer;
  if ((side == Side::kServer) != (error->key == connection->key())) return;
  if (!verify_checksums(packet)) {
    context_->drop(std::move(packet), DropReason::kBadChecksum);
    return;
  }
  if (!connection->icmp_error(side, *error, context_->reactor().now())) return;
  table_->schedule(*connection);
  packet.reset();
}

void Split::on_not_opened(EndReason server) noexcept {
  switch (server) {
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

void Split::stop(std::function<void()> done) {
  table_->stop(std::move(done));
}

void Split::list_flows(std::vector<engine::FlowInfo>& out) const {
  table_->list_flows(out);
}

void Split::list_metrics(std::vector<engine::ServiceMetric>& out) const {
  const auto count = [&](const char* name, const char* help, std::uint64_t value) {
    out.push_back({name, help, static_cast<double>(value), true});
  };
  table_->list_metrics(out);
  out.push_back({"memory_bytes", "Octets held for connections: ends, buffers, table",
                 static_cast<double>(memory_ + table_->memory()), false});
  count("opened_total", "Connections taken from their clients", counters_.opened);
  count("refused_total", "Connections refused by their server", counters_.refused);
  count("unreachable_total", "Connections whose server could not be reached",
        counters_.unreachable);
  count("silent_total", "Connections whose server never answered", counters_.silent);
}

}  // namespace vtl::service
