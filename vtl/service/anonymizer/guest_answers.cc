#include "vtl/service/anonymizer/guest_answers.h"

#include <array>
#include <utility>

#include "vtl/base/secure_random.h"
#include "vtl/packet/access.h"
#include "vtl/packet/checksum.h"
#include "vtl/packet/derive.h"
#include "vtl/service/anonymizer/dns_stream.h"
#include "vtl/service/anonymizer/echo_responder.h"

namespace vtl::service {
namespace {

constexpr wire::Port kDnsPort{53};

// Locally administered, and the same after every start, so that no guest's cache is wrong then.
wire::MacAddress mac_of(const std::string& link) {
  std::uint32_t hash = 2166136261U;  // FNV-1a
  for (const char c : link) hash = (hash ^ static_cast<std::uint8_t>(c)) * 16777619U;
  return wire::MacAddress({0x02, 0x56, 0x54, static_cast<std::uint8_t>(hash >> 16),
                           static_cast<std::uint8_t>(hash >> 8), static_cast<std::uint8_t>(hash)});
}

wire::Ipv4Address first_of(const wire::IpNetwork& network) {
  return wire::Ipv4Address(network.address().v4().value() + 1);
}

wire::Ipv6Address first_v6_of(const wire::IpNetwork& network) {
  std::array<std::uint8_t, wire::Ipv6Address::kSize> octets{};
  network.address().v6().store(octets, 0);
  octets.back() |= 1;
  return wire::Ipv6Address::load(octets, 0);
}

}  // namespace

class GuestAnswers::CountedLookUp final : public transport::LookUp {
 public:
  CountedLookUp(std::shared_ptr<std::size_t> count, std::unique_ptr<transport::LookUp> look_up)
      : count_(std::move(count)), look_up_(std::move(look_up)) {
    ++*count_;
  }
  ~CountedLookUp() override { --*count_; }

 private:
  std::shared_ptr<std::size_t> count_;  // it may be destroyed after the answers
  std::unique_ptr<transport::LookUp> look_up_;
};

GuestAnswers::GuestAnswers(engine::ServiceContext& context, const Parts& parts)
    : context_(context),
      parts_(parts),
      mac_(mac_of(context.link_name())),
      dns_(parts.options.dns, parts.names, parts.egress),
      advertise_([this] { advertise(); }) {
  fill_random(guest_key_);
  const AnonymizerOptions& options = parts_.options;
  const auto mtu = static_cast<std::uint16_t>(context.mtu(engine::Direction::kInbound));
  if (options.dhcp) {
    dhcp_.emplace(DhcpServerOptions{.network = options.guest_network,
                                    .gateway = first_of(options.guest_network),
                                    .mac = mac_,
                                    .mtu = mtu},
                  [this](wire::Ipv4Address address, std::uint16_t vlan, Time at) {
                    return neighbours_->user_of(address, vlan, at);
                  });
  }
  NeighbourOptions neighbours{.mac = mac_,
                              .gateway = first_of(options.guest_network),
                              .ours = {options.names.v4},
                              .mtu = mtu,
                              .ipv6 = {}};
  if (options.ipv6) {
    neighbours.ours.push_back(options.names.v6);
    neighbours.ipv6 = Ipv6Router{.prefix = options.guest_network_v6,
                                 .resolver = first_v6_of(options.guest_network_v6)};
  }
  neighbours_.emplace(std::move(neighbours), context.rng());
  advertise();
}

GuestAnswers::~GuestAnswers() = default;

GuestId GuestAnswers::guest_of(const wire::MacAddress& mac, const wire::IpAddress& address,
                               std::uint16_t vlan) const {
  constexpr std::size_t kVlan = wire::MacAddress::kSize, kVersion = kVlan + 2,
                        kAddress = kVersion + 1;
  constexpr std::size_t kNetwork = wire::Ipv6Address::kSize / 2;
  std::array<std::uint8_t, kAddress + wire::Ipv6Address::kSize> octets{};
  mac.store(octets, 0);
  store_be16(octets, kVlan, vlan);
  octets[kVersion] = address.is_v6() ? 6 : 4;
  if (address.is_v4()) {
    address.v4().store(octets, kAddress);
  } else {
    address.v6().store(octets, kAddress);
  }
  return siphash(guest_key_, Bytes(octets).first(kAddress + kNetwork));
}

bool GuestAnswers::take(Packet& packet) {
  const Layout& layout = packet.layout();
  if (neighbours_->is_for(packet)) {
    emit(neighbours_->answer(packet, now()));
    packet.reset();
    advertise();
    return true;
  }
  if (dhcp_ && layout.transport == TransportKind::kUdp && dhcp_->is_for(packet)) {
    if (!verify_checksums(packet)) {
      context_.drop(std::move(packet), DropReason::kBadChecksum);
    } else {
      emit(dhcp_->answer(packet, now()));
      packet.reset();
    }
    return true;
  }
  if (is_multicast(packet)) return false;
  const bool dns = layout.transport == TransportKind::kUdp && destination_port(packet) == kDnsPort;
  const bool echo = parts_.options.echo && is_echo_request(packet);
  if (!dns && !echo) return false;
  if (!verify_checksums(packet)) {
    context_.drop(std::move(packet), DropReason::kBadChecksum);
  } else if (dns) {
    answer_dns(std::move(packet));
  } else {
    Packet reply = echo_reply_for(packet);
    counters_.echoes += reply ? 1 : 0;
    emit(std::move(reply));
    packet.reset();
  }
  return true;
}

void GuestAnswers::answer_dns(Packet packet) {
  std::array<std::uint8_t, DnsResponder::kMaxAnswer> room;
  DnsOutcome outcome = dns_.answer(
      payload(packet), room,
      guest_of(source_mac(packet), source_address(packet), packet.layout().vlan), now());
  if (outcome.look_up) {
    look_up(std::move(packet), *std::move(outcome.look_up));
  } else if (!outcome.answer.empty()) {
    emit(reply_to(packet, outcome.answer));
  }
}

void GuestAnswers::look_up(Packet packet, DnsOutcome::LookUp look_up) {
  const std::uint64_t number = next_question_++;
  auto under_way = ask(source_address(packet), packet.layout().vlan, look_up.host,
                       [this, number](const auto& host) { found(number, host); });
  if (under_way == nullptr) {
    context_.drop(std::move(packet), DropReason::kMemoryBound);
    return;
  }
  waiting_.emplace(number, Waiting{keep_for_answer(std::move(packet)), std::move(look_up.asked),
                                   std::move(under_way)});
}

std::unique_ptr<transport::LookUp> GuestAnswers::ask(const wire::IpAddress& guest,
                                                     std::uint16_t vlan,
                                                     const transport::Host& host,
                                                     transport::LookUpAnswer answer) {
  if (*look_ups_ >= kMaxLookUps) {
    ++counters_.look_ups_limited;
    return nullptr;
  }
  return std::make_unique<CountedLookUp>(
      look_ups_,
      parts_.proxy.look_up(host, parts_.identities.of(guest, vlan, host), std::move(answer)));
}

void GuestAnswers::found(std::uint64_t number,
                         const Result<transport::Host, transport::StreamError>& host) {
  const auto it = waiting_.find(number);
  if (it == waiting_.end()) return;
  std::array<std::uint8_t, DnsResponder::kMaxAnswer> room;
  const Packet& question = it->second.question;  // empty: there was no buffer to keep it in
  if (question) emit(reply_to(question, dns_.finish(it->second.asked, host, room)));
  waiting_.erase(it);
}

std::unique_ptr<transport::Stream> GuestAnswers::open_stream(const FramePath& to_guest,
                                                             transport::StreamHandler& handler) {
  const wire::IpAddress guest = to_guest.key.destination.address;
  const std::uint16_t vlan = to_guest.key.vlan;
  return std::make_unique<DnsStream>(
      context_.reactor(), dns_, handler, guest_of(to_guest.destination_mac, guest, vlan),
      [this, guest, vlan](const transport::Host& host, transport::LookUpAnswer answer) {
        return ask(guest, vlan, host, std::move(answer));
      });
}

void GuestAnswers::advertise() {
  neighbours_->dispatch(context_.pool(), now(), [this](Packet packet) { emit(std::move(packet)); });
  if (neighbours_->poll_at() != kNever) {
    context_.reactor().timers().arm(advertise_, neighbours_->poll_at());
  }
}

void GuestAnswers::emit(Packet packet) {
  if (packet) context_.emit(engine::Direction::kInbound, std::move(packet));
}

void GuestAnswers::list_metrics(std::vector<engine::ServiceMetric>& out) const {
  const auto count = [&](const char* name, const char* help, std::uint64_t value) {
    out.push_back({name, help, static_cast<double>(value), true});
  };
  const auto gauge = [&](const char* name, const char* help, std::uint64_t value) {
    out.push_back({name, help, static_cast<double>(value), false});
  };
  const NamePoolCounters& names = parts_.names.counters();
  gauge("names", "Names that have an address", names.names.value());
  gauge("names_in_use", "Of these, names that connections use", names.pinned.value());
  count("names_given_total", "Names that were given an address", names.given.value());
  count("names_evicted_total", "Names that lost their address at a bound", names.evicted.value());
  count("names_refused_total", "Names for which no address was left", names.refused.value());
  const DnsCounters& dns = dns_.counters();
  count("dns_queries_total", "DNS messages of guests", dns.queries.value());
  count("dns_addresses_total", "Answered with an address", dns.addresses.value());
  count("dns_names_total", "Answered with a name", dns.names.value());
  count("dns_empty_total", "Answered with nothing, as there is nothing", dns.empty.value());
  count("dns_no_such_name_total", "Answered with NXDOMAIN", dns.no_such_name.value());
  count("dns_refused_total", "Answered with REFUSED", dns.refused.value());
  count("dns_failed_total", "Answered with SERVFAIL", dns.failed.value());
  count("dns_malformed_total", "Answered with FORMERR", dns.malformed.value());
  count("dns_not_implemented_total", "Answered with NOTIMP or BADVERS",
        dns.not_implemented.value());
  count("dns_ignored_total", "Not answered", dns.ignored.value());
  count("dns_look_ups_total", "Looked up at the proxy", dns.look_ups.value());
  gauge("dns_look_ups_waiting", "Look-ups under way", *look_ups_);
  count("dns_look_ups_limited_total",
        "Questions not looked up because too many look-ups were under way",
        counters_.look_ups_limited);
  count("echoes_total", "ICMP echo requests answered", counters_.echoes);
  const NeighbourCounters& neighbours = neighbours_->counters();
  count("neighbours_answered_total", "ARP requests and neighbour solicitations answered",
        neighbours.answered.value());
  count("neighbours_left_total", "Of these, not answered: a guest has the address, or wants it",
        neighbours.left_to_guest.value());
  count("neighbours_ignored_total", "ARP and neighbour discovery messages without an answer",
        neighbours.ignored.value());
  count("router_advertisements_total", "Router advertisements sent", neighbours.advertised.value());
  if (!dhcp_) return;
  const DhcpCounters& dhcp = dhcp_->counters();
  gauge("dhcp_leases", "Addresses leased", dhcp.leased.value());
  count("dhcp_offers_total", "DHCP offers", dhcp.offers.value());
  count("dhcp_acks_total", "DHCP requests granted", dhcp.acks.value());
  count("dhcp_naks_total", "DHCP requests refused", dhcp.naks.value());
  count("dhcp_declines_total", "Addresses that a guest found in use", dhcp.declines.value());
  count("dhcp_ignored_total", "DHCP messages that were malformed or not for us",
        dhcp.ignored.value());
  count("dhcp_in_use_total", "Addresses not given, for a guest uses them", dhcp.in_use.value());
  count("dhcp_exhausted_total", "DHCP clients for whom no address was left",
        dhcp.exhausted.value());
}

}  // namespace vtl::service
