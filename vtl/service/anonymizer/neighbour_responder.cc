#include "vtl/service/anonymizer/neighbour_responder.h"

#include <algorithm>
#include <array>

#include "vtl/packet/access.h"
#include "vtl/packet/checksum.h"
#include "vtl/packet/derive.h"
#include "vtl/wire/arp.h"
#include "vtl/wire/icmpv6.h"
#include "vtl/wire/ipv6.h"

namespace vtl::service {
namespace {

using wire::IpAddress, wire::Ipv4Address, wire::Ipv6Address, wire::MacAddress;

constexpr std::uint8_t kHopLimit = 255;  // RFC 4861 section 7.1.1: nobody beyond the link sent it
constexpr std::uint8_t kGuestsHopLimit = 64;
constexpr std::uint32_t kPrefixValid = 86400,
                        kPrefixPreferred = 14400;  // RFC 4861 6.2.1, of 30/7 days
constexpr Ipv6Address kAllNodes({0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1});
constexpr MacAddress kAllNodesMac({0x33, 0x33, 0, 0, 0, 1});  // RFC 2464 section 7

// Some host's own.
bool is_host_address(const IpAddress& address) noexcept {
  if (address.is_v4()) {
    const Ipv4Address four = address.v4();
    return (four.value() >> 24) != 0 && !four.is_loopback() && four.value() < 0xe0000000;
  }
  const Ipv6Address six = address.v6();
  return !six.is_unspecified() && !six.is_multicast() && six != *Ipv6Address::parse("::1");
}

bool is_solicited_node(const Ipv6Address& address) noexcept {
  constexpr std::array<std::uint8_t, 13> kPrefix = {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff};
  return std::equal(kPrefix.begin(), kPrefix.end(), address.octets().begin());
}

/// The tags of a frame, and nothing else of it.
wire::EthernetFields tags_of(const Packet& packet) noexcept {
  wire::EthernetFields out;
  if (const auto view = wire::EthernetView::parse(packet.bytes())) {
    const wire::EthernetFields fields = view->fields();
    out.tag_count = fields.tag_count;
    out.tags = fields.tags;
  }
  return out;
}

struct Ends {
  MacAddress source_mac, destination_mac;
  Ipv6Address source, destination;
};

/// A message of neighbour discovery in a frame with these tags; empty without a buffer.
template <class Fields>
Packet ndp_frame(PacketPool& pool, wire::EthernetFields ethernet, const Ends& ends,
                 const Fields& message) {
  ethernet.source = ends.source_mac;
  ethernet.destination = ends.destination_mac;
  ethernet.ether_type = wire::EtherType::kIpv6;
  const std::size_t ip_at = ethernet.size(), icmp_at = ip_at + wire::Ipv6Fields::kSize;
  Packet out = pool.allocate(icmp_at + message.size());
  if (!out) return out;
  const MutableBytes frame = out.mutable_bytes();
  ethernet.emit(frame);
  wire::Ipv6Fields ip;
  ip.source = ends.source;
  ip.destination = ends.destination;
  ip.next_header = wire::IpProtocol::kIcmpv6;
  ip.hop_limit = kHopLimit;
  ip.payload_length = static_cast<std::uint16_t>(message.size());
  ip.emit(frame.subspan(ip_at));
  message.emit(frame.subspan(icmp_at));
  compute_checksums(out);
  return out;
}

}  // namespace

NeighbourResponder::NeighbourResponder(NeighbourOptions options, Rng& rng)
    : options_(std::move(options)), rng_(rng), vlans_(1) {
  if (options_.ipv6) next_advertisement_ = Time{};
}

bool NeighbourResponder::is_for(const Packet& packet) const noexcept {
  return is_arp(packet) || (options_.ipv6 && is_neighbor_discovery(packet));
}

bool NeighbourResponder::is_ours(const IpAddress& address) const noexcept {
  if (address == IpAddress(options_.gateway)) return true;
  if (options_.ipv6 && (address == IpAddress(options_.ipv6->link_local) ||
                        address == IpAddress(options_.ipv6->resolver))) {
    return true;
  }
  return std::ranges::any_of(options_.ours,
                             [&](const wire::IpNetwork& n) { return n.contains(address); });
}

void NeighbourResponder::learn(const IpAddress& address, std::uint16_t vlan, const MacAddress& mac,
                               Time now) {
  if (is_host_address(address) && !is_ours(address)) in_use_.put({vlan, address}, {mac, now});
}

std::optional<MacAddress> NeighbourResponder::user_of(const IpAddress& address, std::uint16_t vlan,
                                                      Time now) {
  const User* const user = in_use_.use({vlan, address});
  if (user == nullptr || now - user->heard >= kInUse) return std::nullopt;
  return user->mac;
}

bool NeighbourResponder::may_answer(const IpAddress& target, std::uint16_t vlan, Wanted wanted,
                                    Time now) {
  if (is_ours(target)) {
    if (wanted == Wanted::kForItself) counters_.defended.add();
    return true;
  }
  const bool link_local = target.is_v6() && target.v6().is_link_local();
  if (wanted == Wanted::kForItself || link_local || user_of(target, vlan, now)) {
    counters_.left_to_guest.add();
    return false;
  }
  return true;
}

void NeighbourResponder::count(const Packet& answer, Counter& counter) noexcept {
  if (answer) counter.add();
}

Packet NeighbourResponder::answer(const Packet& question, Time now) {
  if (is_malformed(question) || source_mac(question).is_multicast()) {
    counters_.ignored.add();
    return {};
  }
  return is_arp(question) ? answer_arp(question, now) : answer_ndp(question, now);
}

Packet NeighbourResponder::answer_arp(const Packet& question, Time now) {
  const auto view =
      wire::ArpView::parse(question.bytes().subspan(question.layout().network_offset));
  if (!view || view->sender_mac().is_multicast() || view->sender_mac() == options_.mac) {
    counters_.ignored.add();
    return {};
  }
  const wire::ArpFields arp = view->fields();
  const std::uint16_t vlan = question.layout().vlan;
  learn(arp.sender_ip, vlan, arp.sender_mac, now);
  if (arp.operation != wire::ArpOperation::kRequest || !is_host_address(arp.target_ip)) {
    counters_.ignored.add();
    return {};
  }
  const bool for_itself = arp.sender_ip.is_unspecified() || arp.sender_ip == arp.target_ip;
  const Wanted wanted = for_itself ? Wanted::kForItself : Wanted::kResolved;
  if (!may_answer(arp.target_ip, vlan, wanted, now)) return {};
  Packet out = arp_reply_for(question, options_.mac);
  count(out, counters_.answered);
  return out;
}

Packet NeighbourResponder::answer_ndp(const Packet& question, Time now) {
  const Layout& layout = question.layout();
  Message message;
  message.icmp =
      question.bytes().subspan(layout.transport_offset, layout.end - layout.transport_offset);
  message.source = source_address(question).v6();
  message.mac = source_mac(question);
  message.vlan = layout.vlan;
  // RFC 4861 sections 6.1.1, 7.1.1 and 7.1.2.
  if (layout.is_fragment || hop_limit(question) != kHopLimit || message.icmp[1] != 0 ||
      message.source.is_multicast() || !verify_checksums(question)) {
    counters_.ignored.add();
    return {};
  }
  switch (static_cast<wire::Icmpv6Type>(message.icmp[0])) {
    case wire::Icmpv6Type::kRouterSolicitation:
      learn(message.source, message.vlan, message.mac, now);
      return answer_router_solicitation(question, message);
    case wire::Icmpv6Type::kNeighbourSolicitation:
    case wire::Icmpv6Type::kNeighbourAdvertisement:
      return answer_solicitation(question, message, now);
    default:
      counters_.ignored.add();
      return {};
  }
}

Packet NeighbourResponder::answer_solicitation(const Packet& question, const Message& message,
                                               Time now) {
  const auto view = wire::NeighbourView::parse(message.icmp);
  if (!view || !is_host_address(view->target())) {
    counters_.ignored.add();
    return {};
  }
  const Ipv6Address target = view->target();
  if (view->is_advertisement()) {
    learn(target, message.vlan, message.mac, now);
    return {};
  }
  const bool for_itself = message.source.is_unspecified();
  if (for_itself &&
      (view->fields().link_address || !is_solicited_node(destination_address(question).v6()))) {
    counters_.ignored.add();
    return {};
  }
  learn(message.source, message.vlan, message.mac, now);
  const Wanted wanted = for_itself ? Wanted::kForItself : Wanted::kResolved;
  if (!may_answer(target, message.vlan, wanted, now)) return {};
  wire::NeighbourFields fields;
  fields.advertisement = true;
  fields.router = true;
  fields.solicited = !for_itself;
  fields.override_ = is_ours(target);
  fields.target = target;
  fields.link_address = options_.mac;
  const Ends ends{options_.mac, for_itself ? kAllNodesMac : message.mac, target,
                  for_itself ? kAllNodes : message.source};
  Packet out = ndp_frame(question.pool(), tags_of(question), ends, fields);
  count(out, counters_.answered);
  return out;
}

Packet NeighbourResponder::answer_router_solicitation(const Packet& question,
                                                      const Message& message) {
  learn_vlan(question);
  const bool nobody = message.source.is_unspecified();
  const Ends ends{options_.mac, nobody ? kAllNodesMac : message.mac, options_.ipv6->link_local,
                  nobody ? kAllNodes : message.source};
  Packet out = ndp_frame(question.pool(), tags_of(question), ends, advertisement());
  count(out, counters_.advertised);
  return out;
}

void NeighbourResponder::learn_vlan(const Packet& packet) {
  const wire::EthernetFields tags = tags_of(packet);
  if (vlans_.size() < kMaxVlans && std::ranges::find(vlans_, tags) == vlans_.end()) {
    vlans_.push_back(tags);
  }
}

wire::RouterAdvertisementFields NeighbourResponder::advertisement() const {
  constexpr auto kLifetime = static_cast<std::uint16_t>(
      std::chrono::duration_cast<std::chrono::seconds>(kRouterLifetime).count());
  wire::RouterAdvertisementFields out;
  out.hop_limit = kGuestsHopLimit;
  out.lifetime_seconds = kLifetime;
  out.source_link_address = options_.mac;
  out.mtu = options_.mtu;
  out.prefix = wire::NdpPrefix{.length = options_.ipv6->prefix.length(),
                               .on_link = true,
                               .autonomous = true,
                               .valid_seconds = kPrefixValid,
                               .preferred_seconds = kPrefixPreferred,
                               .prefix = options_.ipv6->prefix.address().v6()};
  out.dns = options_.ipv6->resolver;
  out.dns_seconds = kLifetime;  // RFC 8106 section 5.1: three times the interval at least
  return out;
}

void NeighbourResponder::dispatch(PacketPool& pool, Time now, FunctionRef<void(Packet)> emit) {
  if (now < next_advertisement_) return;
  const Ends ends{options_.mac, kAllNodesMac, options_.ipv6->link_local, kAllNodes};
  for (const wire::EthernetFields& tags : vlans_) {
    Packet out = ndp_frame(pool, tags, ends, advertisement());
    if (!out) break;
    out.meta().arrival = now;
    counters_.advertised.add();
    emit(std::move(out));
  }
  Duration interval =
      kMinInterval + Duration(static_cast<std::int64_t>(rng_.below(
                         static_cast<std::uint64_t>((kMaxInterval - kMinInterval).count()))));
  if (initial_left_ > 0) {
    --initial_left_;
    interval = std::min<Duration>(interval, kInitialInterval);
  }
  next_advertisement_ = now + interval;
}

}  // namespace vtl::service
