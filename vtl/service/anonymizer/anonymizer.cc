#include "vtl/service/anonymizer/anonymizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "vtl/base/log.h"
#include "vtl/packet/access.h"
#include "vtl/packet/checksum.h"
#include "vtl/packet/derive.h"
#include "vtl/service/icmp_error.h"
#include "vtl/service/tcp_frame.h"
#include "vtl/transport/failover.h"

namespace vtl::service {
namespace {

using engine::Direction;
using transport::Host;
using transport::StreamError;

constexpr wire::Port kDnsPort{53};

/// Nobody's own: what is sent there, or from there, is of no connection.
bool is_group(const wire::IpAddress& address) {
  if (address.is_v6()) return address.v6().is_multicast() || address.v6().is_unspecified();
  return address.v4().is_multicast() || address.v4().is_broadcast() ||
         address.v4().is_unspecified();
}

DropReason blocked_udp(const Packet& packet) {
  if (is_multicast(packet)) return DropReason::kBlockedGroup;
  const std::uint16_t port = destination_port(packet).value();
  return port == 443 || port == 80 ? DropReason::kBlockedQuic : DropReason::kBlockedUdp;
}

std::string way_to(std::string_view proxy, const Host& host, wire::Port port) {
  const auto* const name = std::get_if<std::string>(&host);
  return fmt::format("{}, {}", proxy,
                     name != nullptr
                         ? fmt::format("{}:{}", *name, port.value())
                         : to_string(wire::SocketAddress{std::get<wire::IpAddress>(host), port}));
}

}  // namespace

Anonymizer::Anonymizer(AnonymizerOptions options)
    : options_(std::move(options)), identities_(options_.isolation) {}

Anonymizer::~Anonymizer() = default;

void Anonymizer::start(engine::ServiceContext& context) {
  context_ = &context;
  RelayOwner& owner = *this;
  table_ = std::make_unique<PlayedTable<Relay>>(context, owner, played_options(options_));
  std::vector<transport::Proxy*> proxies;
  for (const auto& name : options_.proxies) {
    if (auto* const proxy = context.proxy(name)) {
      proxies.push_back(proxy);
    } else {
      // The configuration checks this; a program that builds its own engine may get it wrong.
      log::error("anonymizer on link {}: there is no proxy named \"{}\"", context.link_name(),
                 name);
    }
  }
  proxy_ = transport::make_failover(std::move(proxies));
  egress_ = EgressList(options_.egress, [this](const wire::IpAddress& address) {
    return proxy_->stands_at(address);
  });
  names_ = std::make_unique<NamePool>(options_.names, context.rng());
  answers_ = std::make_unique<GuestAnswers>(
      context, GuestAnswers::Parts{options_, *names_, egress_, *proxy_, identities_});
}

void Anonymizer::process(Direction direction, Batch& batch) {
  table_->process(batch, [&](Packet& packet) {
    if (direction == Direction::kInbound) {
      context_->drop(std::move(packet), DropReason::kBlockedInbound);
    } else {
      take_frame(std::move(packet));
    }
  });
}

void Anonymizer::take_frame(Packet packet) {
  const auto drop = [&](DropReason reason) { context_->drop(std::move(packet), reason); };
  const Layout& layout = packet.layout();
  if (layout.error) return drop(*layout.error);
  if (layout.network == NetworkKind::kOther) return drop(DropReason::kBlockedEtherType);
  if (layout.network == NetworkKind::kIpv6 && !options_.ipv6) return drop(DropReason::kBlockedIpv6);
  if (layout.is_fragment) return drop(DropReason::kBlockedFragment);
  const bool asks = layout.network == NetworkKind::kArp || is_udp(packet) ||
                    (is_icmp(packet) && !is_icmp_error(packet));
  if (asks && answers_->take(packet)) return;
  switch (layout.transport) {
    case TransportKind::kTcp:
      return take_tcp(std::move(packet));
    case TransportKind::kUdp:
      return drop(blocked_udp(packet));
    case TransportKind::kIcmpv4:
    case TransportKind::kIcmpv6:
      return take_icmp(std::move(packet));
    default:
      return drop(is_multicast(packet) ? DropReason::kBlockedGroup : DropReason::kBlockedProtocol);
  }
}

void Anonymizer::take_tcp(Packet packet) {
  const auto key = flow_key(packet.bytes(), packet.layout());
  if (!key || is_multicast(packet) || is_group(key->destination.address) ||
      is_group(key->source.address)) {
    context_->drop(std::move(packet), DropReason::kBlockedGroup);
    return;
  }
  if (!has_plain_tag(packet)) {
    context_->drop(std::move(packet), DropReason::kBlockedEtherType);
    return;
  }
  if (Relay* const relay = table_->find(*key)) {
    take_segment(*relay, std::move(packet));
  } else if (opens_connection(tcp_flags(packet)) && may_open(packet)) {
    take_syn(*key, std::move(packet));
  } else {
    answer_reset(std::move(packet));
  }
}

void Anonymizer::take_segment(Relay& relay, Packet packet) {
  const auto segment = to_segment(packet);
  if (!segment) {
    context_->drop(std::move(packet), segment.error());
    return;
  }
  if (opens_connection(segment->header.flags) && relay.may_be_replaced_by(*segment)) {
    const wire::FlowKey key = relay.key();
    table_->retire(relay);
    take_syn(key, std::move(packet));
    return;
  }
  relay.process(*segment, source_mac(packet), context_->reactor().now());
  table_->schedule(relay);
}

void Anonymizer::take_syn(const wire::FlowKey& key, Packet packet) {
  if (!table_->running()) {
    context_->drop(std::move(packet), DropReason::kLinkStopping);
    return;
  }
  const auto segment = to_segment(packet);
  if (!segment) {
    context_->drop(std::move(packet), segment.error());
    return;
  }
  const bool look_up = key.destination.port == kDnsPort;
  const auto host = look_up ? Host(key.destination.address) : judge(key, packet);
  if (!host) return;
  if (!table_->has_room()) {
    context_->drop(std::move(packet), DropReason::kFlowTableFull);
    return;
  }
  open(key, *segment, std::move(packet), *host);
}

std::optional<Host> Anonymizer::judge(const wire::FlowKey& key, Packet& packet) {
  const wire::IpAddress& address = key.destination.address;
  Host host = address;
  if (names_->contains(address)) {
    const auto name = names_->find(address, context_->reactor().now());
    if (!name) {
      ++counters_.unnamed;
      send_unreachable(*context_, Direction::kInbound, packet, IcmpError::kHostUnreachable);
      packet.reset();
      return std::nullopt;
    }
    host = std::string(*name);
  }
  // The guests' network is nobody's beyond this link: a proxy could only find its own one there.
  const bool local = options_.guest_network.contains(address) ||
                     (options_.ipv6 && options_.guest_network_v6.contains(address));
  if (local || !egress_.may_connect(host, key.destination.port)) {
    ++counters_.denied;
    answer_reset(std::move(packet));
    return std::nullopt;
  }
  return host;
}

void Anonymizer::open(const wire::FlowKey& key, const endpoint::Segment& syn, Packet packet,
                      const Host& host) {
  const Time now = context_->reactor().now();
  const FramePath path{.source_mac = destination_mac(packet),
                       .destination_mac = source_mac(packet),
                       .key = key.reversed(),
                       .pcp = pcp_of(packet)};
  endpoint::Endpoint endpoint = table_->ends().accept_syn(Direction::kInbound, path.key, syn, now);
  ++counters_.opened;
  table_->make_half_open_room();
  const bool look_up = key.destination.port == kDnsPort;
  if (!look_up) (void)names_->pin(key.destination.address, now);
  table_->insert(Relay::open(
      *table_, path, std::move(endpoint), keep_for_answer(std::move(packet)),
      look_up ? "dns" : way_to(proxy_->kind(), host, key.destination.port),
      [&](transport::StreamHandler& handler) -> std::unique_ptr<transport::Stream> {
        if (look_up) {
          ++counters_.dns_streams;
          return answers_->open_stream(path, handler);
        }
        return proxy_->open({host, key.destination.port},
                            identities_.of(key.source.address, key.vlan, host), handler);
      }));
}

void Anonymizer::take_icmp(Packet packet) {
  const auto error = read_tcp_icmp_error(packet);
  // The guest tells of what it was sent: the quoted flow is the connection's way back.
  Relay* const relay = error ? table_->find(error->key.reversed()) : nullptr;
  if (relay == nullptr) {
    context_->drop(std::move(packet),
                   is_multicast(packet) ? DropReason::kBlockedGroup : DropReason::kBlockedIcmp);
    return;
  }
  if (!verify_checksums(packet)) {
    context_->drop(std::move(packet), DropReason::kBadChecksum);
    return;
  }
  if (!relay->in_flight(error->seq)) {
    context_->drop(std::move(packet), DropReason::kNotOfConnection);
    return;
  }
  relay->icmp_error(*error, context_->reactor().now());
  table_->schedule(*relay);
}

void Anonymizer::answer_reset(Packet packet) {
  Packet reset = tcp_reset_for(packet);
  if (!reset) return;
  ++counters_.resets;
  context_->emit(Direction::kInbound, std::move(reset));
}

void Anonymizer::on_left(const Relay& relay) noexcept {
  const wire::SocketAddress to = relay.key().destination;
  if (to.port != kDnsPort) names_->unpin(to.address, context_->reactor().now());
}

bool Anonymizer::pass_instead(Relay& relay) {
  (void)relay;
  ++counters_.proxy_down;
  return false;
}

Outcome<void> Anonymizer::act(std::string_view action) {
  if (action != "new-identity") return Service::act(action);
  if (!identities_.any()) {
    return fail("with isolation: none the proxy knows no identities; say isolation: guest");
  }
  identities_.renew();
  ++counters_.identities;
  return {};
}

void Anonymizer::stop(std::function<void()> done) {
  table_->stop(std::move(done));
}

void Anonymizer::list_flows(std::vector<engine::FlowInfo>& out) const {
  table_->list_flows(out);
}

void Anonymizer::list_metrics(std::vector<engine::ServiceMetric>& out) const {
  const auto count = [&](const char* name, const char* help, std::uint64_t value) {
    out.push_back({name, help, static_cast<double>(value), true});
  };
  table_->list_metrics(out);
  count("opened_total", "Connections for which a stream was asked for", counters_.opened);
  count("denied_total", "Connections that the egress list denied", counters_.denied);
  count("unnamed_total", "Connections to an address of the name network that stands for no name",
        counters_.unnamed);
  count("resets_total", "Segments that were answered by a reset without a connection",
        counters_.resets);
  count("dns_streams_total", "Connections to port 53, answered here", counters_.dns_streams);
  count("proxy_down_total", "Connections refused because no proxy could be reached",
        counters_.proxy_down);
  count("identities_total", "New identities asked for", counters_.identities);
  answers_->list_metrics(out);
}

}  // namespace vtl::service
