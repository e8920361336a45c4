#include "vtl/service/gateway/gateway.h"

#include <fmt/format.h>

#include <utility>

#include "vtl/base/log.h"

namespace vtl::service {
namespace {

using engine::Direction;
using transport::StreamError;

constexpr std::size_t kMaxPassed = 65536;

}  // namespace

/// An incoming stream on its way to a relay.
struct Gateway::Arrival {
  std::unique_ptr<transport::IncomingStream> incoming;  // null once cancelled or refused
  Preface preface;
  wire::MacAddress server_mac;
  std::size_t* count = nullptr;
  std::shared_ptr<bool> alive;

  ~Arrival() {
    if (*alive) --*count;
  }
  void refuse(StreamError reason) {
    if (incoming) incoming->refuse(reason);
    incoming.reset();
  }
};

Outcome<std::unique_ptr<Gateway>> Gateway::create(GatewayOptions options,
                                                  std::shared_ptr<NeighbourExchange> exchange,
                                                  std::shared_ptr<StreamRouter> router) {
  auto filter = Filter::compile(options.match);
  if (!filter) return std::unexpected(filter.error());
  if (router == nullptr) router = std::make_shared<StreamRouter>();
  return std::unique_ptr<Gateway>(
      new Gateway(std::move(options), std::move(*filter), std::move(exchange), std::move(router)));
}

Gateway::Gateway(GatewayOptions options, Filter filter, std::shared_ptr<NeighbourExchange> exchange,
                 std::shared_ptr<StreamRouter> router)
    : options_(std::move(options)),
      filter_(std::move(filter)),
      exchange_(std::move(exchange)),
      router_(std::move(router)),
      passed_(kMaxPassed),
      alive_(std::make_shared<bool>(true)) {}

Gateway::~Gateway() {
  table_.reset();  // resets them
  if (transport_ != nullptr) router_->leave(*this, *transport_);
  *alive_ = false;
}

void Gateway::start(engine::ServiceContext& context) {
  context_ = &context;
  RelayOwner& owner = *this;
  table_ = std::make_unique<PlayedTable<Relay>>(context, owner, played_options(options_));
  guest_side_ = std::make_unique<Neighbours>(context, Direction::kInbound, exchange_.get());
  network_side_ = std::make_unique<Neighbours>(context, Direction::kOutbound, exchange_.get());
  transport_ = context.peer(options_.peer);
  if (transport_ == nullptr) {
    // The configuration checks this; a program that builds its own engine may get it wrong.
    log::error("gateway on link {}: there is no peer named \"{}\"; connections pass as plain TCP",
               context.link_name(), options_.peer);
    return;
  }
  router_->join(*this, *transport_);
}

void Gateway::process(Direction direction, Batch& batch) {
  if (transport_ == nullptr) return;
  table_->process(batch, [&](Packet& packet) {
    if (direction == Direction::kOutbound) {
      process_from_guest(packet);
    } else {
      process_from_network(packet);
    }
  });
}

void Gateway::process_from_guest(Packet& packet) {
  const Layout& layout = packet.layout();
  if (layout.transport == TransportKind::kTcp) {
    if (const auto key = flow_key(packet.bytes(), layout); key && has_plain_tag(packet)) {
      if (Relay* const relay = table_->find(*key)) {
        take_segment(*relay, std::move(packet));
        return;
      }
      const auto tcp = wire::TcpView::parse(
          packet.bytes().subspan(layout.transport_offset, layout.end - layout.transport_offset));
      if (tcp && opens_connection(tcp->flags()) && may_open(packet) &&
          !was_passed(*key, tcp->seq()) && filter_.matches(packet.bytes(), layout)) {
        guest_side_->learn_source(packet);
        // What was just learned may have begun this very connection from the other side.
        if (Relay* const relay = table_->find(*key)) {
          take_segment(*relay, std::move(packet));
        } else {
          take_syn(*key, std::move(packet));
        }
        return;
      }
    }
  } else if (layout.transport == TransportKind::kIcmpv4 ||
             layout.transport == TransportKind::kIcmpv6) {
    take_icmp(packet);
    if (!packet) return;
  }
  guest_side_->learn_source(packet);
  network_side_->learn_destination(packet);
}

void Gateway::process_from_network(Packet& packet) {
  const Layout& layout = packet.layout();
  if (layout.transport == TransportKind::kTcp) {
    // Nobody but this gateway speaks to the guest side for a connection that it plays.
    const auto key = flow_key(packet.bytes(), layout);
    if (key && has_plain_tag(packet) && table_->find(key->reversed()) != nullptr) {
      context_->drop(std::move(packet), DropReason::kNotOfConnection);
      return;
    }
  }
  network_side_->learn_source(packet);
  guest_side_->learn_destination(packet);
}

void Gateway::take_segment(Relay& relay, Packet packet) {
  const auto segment = to_segment(packet);
  if (!segment) {
    context_->drop(std::move(packet), segment.error());
    return;
  }
  if (opens_connection(segment->header.flags) && relay.may_be_replaced_by(*segment) &&
      filter_.matches(packet.bytes(), packet.layout())) {
    const wire::FlowKey key = relay.key();
    table_->retire(relay);
    take_syn(key, std::move(packet));
    return;
  }
  relay.process(*segment, wire::MacAddress::load(packet.bytes(), wire::MacAddress::kSize),
                context_->reactor().now());
  table_->schedule(relay);
}

void Gateway::take_syn(const wire::FlowKey& key, Packet packet) {
  if (!table_->running()) {
    context_->drop(std::move(packet), DropReason::kLinkStopping);
    return;
  }
  if (!transport_->peer_up() && options_.on_peer_down == PeerDownPolicy::kPass) {
    pass(key, std::move(packet));
    return;
  }
  const auto segment = to_segment(packet);
  if (!segment) {
    context_->drop(std::move(packet), segment.error());
    return;
  }
  if (!has_room()) {
    context_->drop(std::move(packet), DropReason::kFlowTableFull);
    return;
  }
  Preface preface;
  preface.key = key;
  preface.next_hop_mac = wire::MacAddress::load(packet.bytes(), 0);
  preface.client_mac = wire::MacAddress::load(packet.bytes(), wire::MacAddress::kSize);
  preface.options = segment->header.options;
  preface.dscp = dscp_of(packet);
  std::array<std::uint8_t, Preface::kMaxSize> bytes;
  preface.emit(bytes);

  FramePath path{.source_mac = preface.next_hop_mac,
                 .destination_mac = preface.client_mac,
                 .key = key.reversed(),
                 .dscp = preface.dscp};
  endpoint::Endpoint endpoint =
      table_->ends().accept_syn(Direction::kInbound, path.key, *segment, context_->reactor().now());
  ++counters_.opened;
  table_->make_half_open_room();
  table_->insert(Relay::open(*table_, path, std::move(endpoint), keep_for_answer(std::move(packet)),
                             fmt::format("{} to {}", transport_->kind(), options_.peer),
                             [&](transport::StreamHandler& handler) {
                               return transport_->open(Bytes{bytes.data(), preface.size()},
                                                       handler);
                             }));
}

bool Gateway::knows_server(const Preface& preface) {
  return guest_side_->was_heard(preface.key.destination.address, preface.key.vlan);
}

void Gateway::find_server(const Preface& preface, std::function<void(bool found)> answer) {
  guest_side_->resolve_heard(
      preface.key.destination.address, preface.key.vlan, preface.client_mac,
      [answer = std::move(answer)](const std::optional<wire::MacAddress>& mac) {
        answer(mac.has_value());
      });
}

void Gateway::refused_stream(bool bad_preface) noexcept {
  ++(bad_preface ? counters_.bad_prefaces : counters_.unserved);
}

void Gateway::take_stream(std::unique_ptr<transport::IncomingStream> incoming,
                          const Preface& preface) {
  if (!table_->running()) {
    incoming->refuse(StreamError::kPeerDown);
    return;
  }
  if (!has_room()) {
    incoming->refuse(StreamError::kLimit);
    return;
  }
  ++arrivals_;
  auto arrival = std::make_shared<Arrival>();
  arrival->incoming = std::move(incoming);
  arrival->preface = preface;
  arrival->count = &arrivals_;
  arrival->alive = alive_;
  arrival->incoming->on_cancelled([weak = std::weak_ptr(arrival)] {
    if (const auto a = weak.lock()) a->incoming.reset();
  });
  resolve_server(arrival);
}

void Gateway::resolve_server(std::shared_ptr<Arrival> arrival) {
  const Preface& preface = arrival->preface;
  const wire::IpAddress server = preface.key.destination.address;
  const auto next = [this, arrival](std::optional<wire::MacAddress> mac) {
    if (!mac || !arrival->incoming) {
      ++counters_.unresolved;
      arrival->refuse(StreamError::kHostUnreachable);
      return;
    }
    arrival->server_mac = *mac;
    resolve_client(arrival);
  };
  const auto known = guest_side_->find(server, preface.key.vlan);
  const bool by_router = !known && options_.guest_next_hop.has_value();
  guest_side_->resolve(by_router ? *options_.guest_next_hop : server, preface.key.vlan,
                       preface.client_mac, next);
}

void Gateway::resolve_client(std::shared_ptr<Arrival> arrival) {
  const Preface& preface = arrival->preface;
  const wire::IpAddress client = preface.key.source.address;
  const auto next = [this, arrival](std::optional<wire::MacAddress> mac) {
    if (!mac || !arrival->incoming) {
      ++counters_.unresolved;
      arrival->refuse(StreamError::kHostUnreachable);
      return;
    }
    arrival->preface.client_mac = *mac;
    connect(arrival);
  };
  if (network_side_->find(client, preface.key.vlan)) {
    network_side_->resolve(client, preface.key.vlan, arrival->server_mac, next);
  } else if (preface.next_hop_mac == arrival->server_mac) {
    // The client's SYN was addressed to the server's own MAC: one segment from end to end.
    next(preface.client_mac);
  } else {
    network_side_->resolve(options_.network_next_hop.value_or(client), preface.key.vlan,
                           arrival->server_mac, next);
  }
}

void Gateway::connect(const std::shared_ptr<Arrival>& arrival) {
  const Preface& preface = arrival->preface;
  if (Relay* const old = table_->find(preface.key.reversed())) {
    // The client has opened this connection anew, so the old one is dead on its side.
    old->abort();
    table_->retire(*old);
  }
  if (!table_->running()) {
    arrival->refuse(StreamError::kPeerDown);
    return;
  }
  FramePath path{.source_mac = preface.client_mac,
                 .destination_mac = arrival->server_mac,
                 .key = preface.key,
                 .dscp = preface.dscp};
  endpoint::Endpoint endpoint = table_->ends().connect(Direction::kInbound, path.key,
                                                       preface.options, context_->reactor().now());
  ++counters_.accepted;
  table_->make_half_open_room();
  table_->insert(Relay::connect(*table_, path, std::move(endpoint),
                                fmt::format("{} from {}", transport_->kind(), options_.peer),
                                std::move(arrival->incoming)));
}

bool Gateway::has_room() {
  if (!table_->has_room(arrivals_)) return false;
  if (arrivals_ >= options_.max_half_open) {
    ++counters_.limit_arrivals;
    return false;
  }
  return true;
}

bool Gateway::pass_instead(Relay& relay) {
  if (options_.on_peer_down != PeerDownPolicy::kPass || !relay.is_opener()) {
    ++counters_.refused;
    return false;
  }
  // Without the frame (no buffer was left to keep it) the guest's next SYN passes.
  if (relay.syn_frame()) pass(relay.key(), relay.take_syn_frame());
  return true;
}

void Gateway::pass(const wire::FlowKey& key, Packet syn) {
  ++counters_.passed;
  const Layout& layout = syn.layout();
  if (const auto tcp = wire::TcpView::parse(
          syn.bytes().subspan(layout.transport_offset, layout.end - layout.transport_offset))) {
    passed_.put(key, tcp->seq());
  }
  context_->emit(Direction::kOutbound, std::move(syn));
}

bool Gateway::was_passed(const wire::FlowKey& key, wire::SeqNum seq) {
  const wire::SeqNum* passed = passed_.use(key);
  return passed != nullptr && *passed == seq;
}

void Gateway::stop(std::function<void()> done) {
  table_->stop(std::move(done));
}

void Gateway::list_flows(std::vector<engine::FlowInfo>& out) const {
  table_->list_flows(out);
}

void Gateway::list_metrics(std::vector<engine::ServiceMetric>& out) const {
  const auto count = [&](const char* name, const char* help, std::uint64_t value) {
    out.push_back({name, help, static_cast<double>(value), true});
  };
  table_->list_metrics(out, arrivals_);
  count("opened_total", "Connections taken from the guest", counters_.opened);
  count("accepted_total", "Connections played toward the guest side for the peer",
        counters_.accepted);
  count("refused_total", "Connections refused because the peer was away", counters_.refused);
  count("passed_total", "Connections let go as plain TCP because the peer was away",
        counters_.passed);
  count("limit_arrivals_total", "Streams refused while max_half_open of them looked for next hops",
        counters_.limit_arrivals);
  count("bad_prefaces_total", "Streams refused because their preface made no sense",
        counters_.bad_prefaces);
  count("unserved_total", "Streams refused because their server is in none of the guest networks",
        counters_.unserved);
  count("unresolved_total", "Streams refused because a next hop did not answer",
        counters_.unresolved);
}

}  // namespace vtl::service
