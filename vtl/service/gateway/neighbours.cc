#include "vtl/service/gateway/neighbours.h"

#include <array>
#include <utility>

#include "vtl/packet/checksum.h"
#include "vtl/wire/arp.h"
#include "vtl/wire/ethernet.h"
#include "vtl/wire/ipv4.h"
#include "vtl/wire/ipv6.h"
#include "vtl/wire/ndp.h"

namespace vtl::service {
namespace {

constexpr Duration kAge = 10min;  // two of these without use and an address is asked for again
// A host that speaks on is noted, and told of, again after this. The last source is looked at anew
// only every kAge, so the two together bound how old a note gets.
constexpr Duration kHeardAgain = kAge / 2;
static_assert(kHeardAgain + kAge < Neighbours::kHeardFor);

wire::IpAddress source_of(Bytes frame, const Layout& layout) {
  if (layout.network == NetworkKind::kIpv4) {
    return wire::Ipv4Address::load(frame, layout.network_offset + wire::Ipv4View::kSourceOffset);
  }
  return wire::Ipv6Address::load(frame, layout.network_offset + wire::Ipv6View::kSourceOffset);
}

wire::IpAddress destination_of(Bytes frame, const Layout& layout) {
  if (layout.network == NetworkKind::kIpv4) {
    return wire::Ipv4Address::load(frame,
                                   layout.network_offset + wire::Ipv4View::kDestinationOffset);
  }
  return wire::Ipv6Address::load(frame, layout.network_offset + wire::Ipv6View::kDestinationOffset);
}

bool is_host(const wire::IpAddress& address) {
  if (address.is_v4()) {
    const auto v4 = address.v4();
    return !v4.is_unspecified() && !v4.is_multicast() && !v4.is_broadcast();
  }
  return !address.v6().is_unspecified() && !address.v6().is_multicast();
}

wire::EthernetFields ethernet(const wire::MacAddress& source, const wire::MacAddress& destination,
                              std::uint16_t vlan, wire::EtherType type) {
  wire::EthernetFields fields;
  fields.source = source;
  fields.destination = destination;
  fields.ether_type = type;
  if (vlan != 0) {
    fields.tag_count = 1;
    fields.tags[0].vid = vlan;
  }
  return fields;
}

/// RFC 5227 section 2.1.1: sender address zero, so that nobody learns anything from the question.
Packet arp_probe(PacketPool& pool, const wire::MacAddress& played, wire::Ipv4Address target,
                 std::uint16_t vlan) {
  const auto header = ethernet(played, wire::MacAddress::broadcast(), vlan, wire::EtherType::kArp);
  Packet packet = pool.allocate(header.size() + wire::ArpFields::kSize);
  if (!packet) return packet;
  wire::ArpFields arp;
  arp.sender_mac = played;
  arp.target_ip = target;
  header.emit(packet.mutable_bytes());
  arp.emit(packet.mutable_bytes().subspan(header.size()));
  return packet;
}

/// RFC 4861 section 4.3 from the unspecified address, as duplicate address detection asks
/// (RFC 4862 section 5.4.2): the answer comes to all nodes.
Packet neighbour_solicitation(PacketPool& pool, const wire::MacAddress& played,
                              const wire::Ipv6Address& target, std::uint16_t vlan) {
  const auto& t = target.octets();
  const wire::Ipv6Address group(
      {0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, t[13], t[14], t[15]});
  const wire::MacAddress group_mac({0x33, 0x33, 0xff, t[13], t[14], t[15]});
  const auto header = ethernet(played, group_mac, vlan, wire::EtherType::kIpv6);
  wire::NeighbourFields solicitation;
  solicitation.target = target;
  const auto length = static_cast<std::uint16_t>(solicitation.size());
  Packet packet = pool.allocate(header.size() + wire::Ipv6Fields::kSize + length);
  if (!packet) return packet;
  wire::Ipv6Fields ip;
  ip.destination = group;
  ip.next_header = wire::IpProtocol::kIcmpv6;
  ip.hop_limit = 255;  // RFC 4861 section 7.1.1
  ip.payload_length = length;
  header.emit(packet.mutable_bytes());
  ip.emit(packet.mutable_bytes().subspan(header.size()));
  solicitation.emit(packet.mutable_bytes().subspan(header.size() + wire::Ipv6Fields::kSize));
  packet.headers_changed();
  compute_checksums(packet);
  return packet;
}

}  // namespace

/// A question on the wire and who waits for its answer.
struct Neighbours::Question {
  Question(Neighbours& owner, Key k, wire::MacAddress p)
      : key(k), played(p), timer([&owner, this] { owner.ask(*this); }) {}
  Key key;
  wire::MacAddress played;
  int tries = 0;
  std::vector<Answer> waiting;
  Timer timer;
};

void NeighbourExchange::join(Neighbours& member, Reactor& reactor) {
  const std::scoped_lock lock(mutex_);
  members_.push_back({&member, &reactor, member.alive()});
}

void NeighbourExchange::leave(Neighbours& member) {
  const std::scoped_lock lock(mutex_);
  std::erase_if(members_, [&](const Member& m) { return m.neighbours == &member; });
}

void NeighbourExchange::tell(const Neighbours& from, const wire::IpAddress& address,
                             std::uint16_t vlan, const wire::MacAddress& mac, bool from_host) {
  const std::scoped_lock lock(mutex_);
  for (const Member& m : members_) {
    if (m.neighbours == &from || m.neighbours->toward() != from.toward()) continue;
    m.reactor->post([neighbours = m.neighbours, alive = m.alive, address, vlan, mac, from_host] {
      if (!alive.expired()) neighbours->hear(address, vlan, mac, from_host);
    });
  }
}

Neighbours::Neighbours(engine::ServiceContext& context, engine::Direction toward,
                       NeighbourExchange* exchange)
    : context_(context), toward_(toward), exchange_(exchange), age_([this] {
        known_.rotate();
        last_source_ = last_destination_ = {};
        context_.reactor().timers().arm(age_, context_.reactor().now() + kAge);
      }) {
  if (exchange_ != nullptr) exchange_->join(*this, context_.reactor());
  context_.reactor().timers().arm(age_, context_.reactor().now() + kAge);
}

Neighbours::~Neighbours() {
  if (exchange_ != nullptr) exchange_->leave(*this);
}

void Neighbours::hear(const wire::IpAddress& address, std::uint16_t vlan,
                      const wire::MacAddress& mac, bool from_host) {
  const Key key{address, vlan};
  if (!from_host && known_.use(key) != nullptr) return;
  put(key, mac, from_host);
}

void Neighbours::learn_source(const Packet& packet) {
  const Layout& layout = packet.layout();
  const Bytes frame = packet.bytes();
  if (layout.error) return;
  Key key;
  key.vlan = layout.vlan;
  wire::MacAddress mac = wire::MacAddress::load(frame, wire::EthernetView::kSourceOffset);
  if (layout.is_ip()) {
    key.address = source_of(frame, layout);
  } else if (layout.network == NetworkKind::kArp) {
    const auto arp = wire::ArpView::parse(frame.subspan(layout.network_offset));
    if (!arp) return;
    key.address = arp->sender_ip();
    mac = arp->sender_mac();
  } else {
    return;
  }
  if (key == last_source_ && mac == last_source_mac_) return;
  if (mac.is_multicast() || mac.is_zero() || !is_host(key.address)) return;
  last_source_ = key;
  last_source_mac_ = mac;
  learn(key, mac, true);
  if (layout.transport == TransportKind::kIcmpv6) learn_advertised(frame, layout);
}

void Neighbours::learn_advertised(Bytes frame, const Layout& layout) {
  // A neighbour advertisement tells of its target, which need not be its source.
  const auto message = wire::NeighbourView::parse(
      frame.subspan(layout.transport_offset, layout.end - layout.transport_offset));
  if (!message || !message->is_advertisement() || !is_host(message->target())) return;
  learn({message->target(), layout.vlan},
        wire::MacAddress::load(frame, wire::EthernetView::kSourceOffset), true);
}

void Neighbours::learn_destination(const Packet& packet) {
  const Layout& layout = packet.layout();
  if (layout.error || !layout.is_ip()) return;
  const Bytes frame = packet.bytes();
  const Key key{destination_of(frame, layout), layout.vlan};
  const auto mac = wire::MacAddress::load(frame, wire::EthernetView::kDestinationOffset);
  if (key == last_destination_ && mac == last_destination_mac_) return;
  if (mac.is_multicast() || mac.is_zero() || !is_host(key.address)) return;
  last_destination_ = key;
  last_destination_mac_ = mac;
  // What the host itself says of its address counts more than where others send.
  if (known_.use(key) == nullptr) learn(key, mac, false);
}

void Neighbours::learn(const Key& key, const wire::MacAddress& mac, bool from_host) {
  const Known* before = known_.use(key);
  const bool told = before != nullptr && before->mac == mac && before->heard &&
                    context_.reactor().now() - *before->heard < kHeardAgain;
  if (told) return;
  if (exchange_ != nullptr) exchange_->tell(*this, key.address, key.vlan, mac, from_host);
  put(key, mac, from_host);
}

void Neighbours::put(const Key& key, const wire::MacAddress& mac, bool from_host) {
  known_.put(key, {mac, from_host ? std::optional(context_.reactor().now()) : std::nullopt});
  // A frame for the host does not tell that it is there, which is what was asked.
  if (from_host && !questions_.empty() && questions_.contains(key)) close(key, mac);
}

std::optional<wire::MacAddress> Neighbours::find(const wire::IpAddress& address,
                                                 std::uint16_t vlan) {
  const Known* known = known_.use({address, vlan});
  return known != nullptr ? std::optional(known->mac) : std::nullopt;
}

bool Neighbours::was_heard(const wire::IpAddress& address, std::uint16_t vlan) {
  const Known* known = known_.use({address, vlan});
  return known != nullptr && known->heard && context_.reactor().now() - *known->heard < kHeardFor;
}

void Neighbours::resolve(const wire::IpAddress& address, std::uint16_t vlan,
                         const wire::MacAddress& played, Answer answer) {
  if (const auto mac = find(address, vlan)) {
    answer(mac);
    return;
  }
  ask_for({address, vlan}, played, std::move(answer));
}

void Neighbours::resolve_heard(const wire::IpAddress& address, std::uint16_t vlan,
                               const wire::MacAddress& played, Answer answer) {
  if (was_heard(address, vlan)) {
    answer(find(address, vlan));
    return;
  }
  ask_for({address, vlan}, played, std::move(answer));
}

void Neighbours::ask_for(const Key& key, const wire::MacAddress& played, Answer answer) {
  if (const auto it = questions_.find(key); it != questions_.end()) {
    if (it->second->waiting.size() >= kMaxPending) {
      answer(std::nullopt);
    } else {
      it->second->waiting.push_back(std::move(answer));
    }
    return;
  }
  if (questions_.size() >= kMaxPending || !is_host(key.address)) {
    answer(std::nullopt);
    return;
  }
  auto& question =
      *questions_.emplace(key, std::make_unique<Question>(*this, key, played)).first->second;
  question.waiting.push_back(std::move(answer));
  ask(question);
}

void Neighbours::ask(Question& question) {
  if (question.tries++ == kTries) {
    close(question.key, std::nullopt);
    return;
  }
  const wire::IpAddress& target = question.key.address;
  Packet packet = target.is_v4()
                      ? arp_probe(context_.pool(), question.played, target.v4(), question.key.vlan)
                      : neighbour_solicitation(context_.pool(), question.played, target.v6(),
                                               question.key.vlan);
  if (packet) context_.emit(toward_, std::move(packet));
  context_.reactor().timers().arm(question.timer, context_.reactor().now() + kRetry);
}

void Neighbours::close(const Key& key, std::optional<wire::MacAddress> mac) {
  const auto it = questions_.find(key);
  // Out of the table first, for an answer may ask again; destroyed in a later turn, for this may
  // run inside the question's own timer.
  const std::shared_ptr<Question> question = std::move(it->second);
  questions_.erase(it);
  question->timer.cancel();
  context_.reactor().post([question] {});
  for (const Answer& answer : question->waiting) answer(mac);
}

}  // namespace vtl::service
