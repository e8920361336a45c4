// Theory of operation. A lease is an address that somebody was told of; it is made when an address
// is given for the first time, and never unmade. Each state has a list by age, and one time for
// which it holds, so the oldest of a list is the first whose time is over: age() moves those to the
// free list, whose oldest is the next to be given to somebody else. A free lease remembers its last
// client.
#include "vtl/service/anonymizer/dhcp_server.h"

#include <algorithm>
#include <cassert>

#include "vtl/packet/access.h"
#include "vtl/packet/checksum.h"
#include "vtl/service/anonymizer/answer_frame.h"
#include "vtl/wire/ipv4.h"
#include "vtl/wire/udp.h"

namespace vtl::service {
namespace {

using wire::DhcpType, wire::Ipv4Address, wire::MacAddress;

constexpr Ipv4Address kEverybody(255, 255, 255, 255);

std::uint32_t seconds(Duration duration) noexcept {
  constexpr std::int64_t kMost = 0x7fffffff;
  const auto count = std::chrono::duration_cast<std::chrono::seconds>(duration).count();
  return static_cast<std::uint32_t>(std::min<std::int64_t>(count, kMost));
}

std::uint32_t mask_of(std::uint8_t length) noexcept {
  return length == 0 ? 0 : ~std::uint32_t{0} << (32 - length);
}

// What the client is known by; a tag keeps the two kinds apart.
std::string client_of(const wire::DhcpView& view, const MacAddress& hardware) {
  const auto id = view.option(wire::DhcpOption::kClientId);
  if (!id || id->empty()) {
    return "h" + std::string(hardware.octets().begin(), hardware.octets().end());
  }
  return "i" + std::string(id->begin(), id->end());
}

// Puts the client's identifier behind the options of a message that begins `out` (RFC 6842 section
// 3); there is room for it behind DhcpFields::kSize.
void append_client_id(MutableBytes out, Bytes id) noexcept {
  constexpr auto kEnd = static_cast<std::uint8_t>(wire::DhcpOption::kEnd);
  std::size_t at = wire::DhcpView::kMinSize;
  while (out[at] != kEnd) at += 2U + out[at + 1];
  out[at++] = static_cast<std::uint8_t>(wire::DhcpOption::kClientId);
  out[at++] = static_cast<std::uint8_t>(id.size());
  std::ranges::copy(id, out.subspan(at).begin());
  out[at + id.size()] = kEnd;
}

DhcpServerOptions sane(DhcpServerOptions options) {
  options.lease = std::max<Duration>(options.lease, 1min);
  return options;
}

}  // namespace

DhcpServer::DhcpServer(const DhcpServerOptions& options, UserOf user_of)
    : options_(sane(options)),
      user_of_(std::move(user_of)),
      next_(options.network.address().v4().value() + 1) {
  assert(options_.network.address().is_v4() && options_.network.length() <= 30);
}

bool DhcpServer::is_for(const Packet& packet) const noexcept {
  if (!is_ipv4(packet) || !is_udp(packet) || is_fragment(packet)) return false;
  if (destination_port(packet) != wire::kDhcpServerPort) return false;
  const Ipv4Address to = destination_address(packet).v4();
  const Ipv4Address all(options_.network.address().v4().value() |
                        ~mask_of(options_.network.length()));
  return to == options_.gateway || to == kEverybody || to == all;
}

Packet DhcpServer::answer(const Packet& request, Time now) {
  if (!verify_checksums(request)) {
    counters_.ignored.add();
    return {};
  }
  const auto reply =
      answer(payload(request), source_address(request).v4(), now, request.layout().vlan);
  if (!reply) return {};
  constexpr std::size_t kUdp = wire::Ipv4View::kMinSize;
  constexpr std::size_t kMessage = kUdp + wire::UdpFields::kSize;
  const Bytes id = reply->client_id;
  const std::size_t size = wire::DhcpFields::kSize + (id.empty() ? 0 : 2 + id.size());
  Packet out = answer_frame(request, options_.mac, reply->mac, kMessage + size);
  if (!out) return out;
  const MutableBytes ip_packet = out.mutable_bytes().subspan(request.layout().network_offset);
  wire::Ipv4Fields ip;
  ip.source = options_.gateway;
  ip.destination = reply->address;
  ip.protocol = wire::IpProtocol::kUdp;
  ip.payload_length = static_cast<std::uint16_t>(wire::UdpFields::kSize + size);
  ip.emit(ip_packet);
  wire::UdpFields{wire::kDhcpServerPort, wire::kDhcpClientPort, static_cast<std::uint16_t>(size)}
      .emit(ip_packet.subspan(kUdp));
  reply->message.emit(ip_packet.subspan(kMessage));
  if (!id.empty()) append_client_id(ip_packet.subspan(kMessage), id);
  compute_checksums(out);
  return out;
}

std::optional<DhcpReply> DhcpServer::answer(Bytes message, Ipv4Address source, Time now,
                                            std::uint16_t vlan) {
  const auto view = wire::DhcpView::parse(message);
  if (!view) {
    counters_.ignored.add();
    return std::nullopt;
  }
  Request asked{view->fields(), {}, source, vlan};
  const wire::DhcpFields& fields = asked.fields;
  if (fields.reply || !fields.relay.is_unspecified() || fields.hardware.is_multicast() ||
      fields.hardware.is_zero()) {
    counters_.ignored.add();
    return std::nullopt;
  }
  asked.client = client_of(*view, fields.hardware);
  age(now);
  std::optional<DhcpReply> reply;
  switch (fields.type) {
    case DhcpType::kDiscover:
      reply = discover(asked, now);
      break;
    case DhcpType::kRequest:
      reply = this->request(asked, now);
      break;
    case DhcpType::kInform:
      reply = inform(asked);
      break;
    case DhcpType::kDecline:
      decline(asked, now);
      break;
    case DhcpType::kRelease:
      release(asked, now);
      break;
    case DhcpType::kOffer:
    case DhcpType::kAck:
    case DhcpType::kNak:
      counters_.ignored.add();
      break;
  }
  if (reply) reply->client_id = view->option(wire::DhcpOption::kClientId).value_or(Bytes{});
  counters_.leased.set(lists_[static_cast<std::size_t>(State::kLeased)].size());
  return reply;
}

// The client's lease, but where somebody else has come to use its address since it ended.
DhcpServer::Lease* DhcpServer::usable_lease(const Request& request, Time now) {
  Lease* const lease = lease_of(request.client);
  if (lease == nullptr || lease->state == State::kLeased) return lease;
  if (!is_used(request, lease->address, now)) return lease;
  set_aside(*lease, now);
  return nullptr;
}

std::optional<DhcpReply> DhcpServer::discover(const Request& request, Time now) {
  Lease* lease = usable_lease(request, now);
  if (lease == nullptr) {
    lease = free_lease_at(request, request.fields.requested.value_or(Ipv4Address{}), now);
    if (lease == nullptr) lease = any_lease(request, now);
    if (lease == nullptr) {
      counters_.exhausted.add();
      return std::nullopt;
    }
    assign(*lease, request.client);
  }
  if (lease->state != State::kLeased) set_state(*lease, State::kOffered, now);
  counters_.offers.add();
  return grant(request, *lease, DhcpType::kOffer);
}

// RFC 2131 section 4.3.2: which of the four kinds it is, its fields say.
std::optional<DhcpReply> DhcpServer::request(const Request& request, Time now) {
  const wire::DhcpFields& fields = request.fields;
  Lease* lease = usable_lease(request, now);
  if (fields.server && *fields.server != options_.gateway) {
    // The client has chosen another server.
    if (lease != nullptr && lease->state == State::kOffered) set_state(*lease, State::kFree, now);
    counters_.ignored.add();
    return std::nullopt;
  }
  const bool has_address = !fields.client.is_unspecified();
  const Ipv4Address wanted = has_address ? fields.client : fields.requested.value_or(Ipv4Address{});
  if (wanted.is_unspecified()) {
    counters_.ignored.add();
    return std::nullopt;
  }
  // A client that is not selecting may be one that we knew before we were started anew.
  const bool has_other = lease != nullptr && lease->address != wanted;
  if (!fields.server && (lease == nullptr || (has_other && lease->state == State::kFree))) {
    lease = free_lease_at(request, wanted, now);
    if (lease != nullptr) assign(*lease, request.client);
  }
  if (lease == nullptr || lease->address != wanted) return refuse(request);
  set_state(*lease, State::kLeased, now);
  lease->hardware = fields.hardware;
  counters_.acks.add();
  return grant(request, *lease, DhcpType::kAck);
}

std::optional<DhcpReply> DhcpServer::inform(const Request& request) {
  if (!options_.network.contains(request.fields.client)) {
    counters_.ignored.add();
    return std::nullopt;
  }
  counters_.acks.add();
  DhcpReply out = reply(request, DhcpType::kAck);
  tell_all(out.message);
  return out;
}

void DhcpServer::decline(const Request& request, Time now) {
  Lease* const lease = lease_of(request.client);
  if (lease == nullptr || request.fields.server != options_.gateway ||
      request.fields.requested != lease->address || lease->state == State::kFree) {
    counters_.ignored.add();
    return;
  }
  assign(*lease, {});
  set_state(*lease, State::kDeclined, now);
  counters_.declines.add();
}

void DhcpServer::release(const Request& request, Time now) {
  Lease* const lease = lease_of(request.client);
  if (lease == nullptr || request.fields.server != options_.gateway ||
      request.fields.client != lease->address || request.source != lease->address ||
      lease->state != State::kLeased) {
    counters_.ignored.add();
    return;
  }
  set_state(*lease, State::kFree, now);
  counters_.releases.add();
}

/// Whether a client may have it.
bool DhcpServer::is_ours(Ipv4Address address) const noexcept {
  const std::uint32_t host = address.value() & ~mask_of(options_.network.length());
  return options_.network.contains(address) && address != options_.gateway && host != 0 &&
         host != ~mask_of(options_.network.length());
}

Duration DhcpServer::holds(State state) const noexcept {
  switch (state) {
    case State::kOffered:
      return kOffer;
    case State::kLeased:
      return options_.lease;
    case State::kDeclined:
      return kDeclined;
    case State::kFree:
      break;
  }
  return Duration::max();
}

void DhcpServer::set_state(Lease& lease, State state, Time now) {
  (void)lists_[static_cast<std::size_t>(lease.state)].leave(lease);
  lease.state = state;
  lease.since = now;
  lists_[static_cast<std::size_t>(state)].enter(lease);
}

void DhcpServer::age(Time now) {
  for (const State state : {State::kOffered, State::kLeased, State::kDeclined}) {
    auto& list = lists_[static_cast<std::size_t>(state)];
    while (Lease* const oldest = list.oldest()) {
      if (now - oldest->since < holds(state)) break;
      set_state(*oldest, State::kFree, now);
    }
  }
}

/// Makes it the one lease of `client`, or of nobody.
void DhcpServer::assign(Lease& lease, const std::string& client) {
  if (!lease.client.empty()) by_client_.erase(lease.client);
  lease.client = client;
  if (client.empty()) return;
  Lease*& known = by_client_[client];
  if (known != nullptr) known->client.clear();
  known = &lease;
}

DhcpServer::Lease* DhcpServer::lease_of(const std::string& client) const {
  const auto found = by_client_.find(client);
  return found == by_client_.end() ? nullptr : found->second;
}

std::optional<Ipv4Address> DhcpServer::untouched_address() {
  for (; options_.network.contains(Ipv4Address(next_)); ++next_) {
    const Ipv4Address address(next_);
    if (is_ours(address) && !by_address_.contains(address)) return address;
  }
  return std::nullopt;
}

DhcpServer::Lease* DhcpServer::new_lease(Ipv4Address address) {
  if (leases_.size() >= options_.max_leases) return nullptr;
  Lease& lease = leases_.emplace_back();
  lease.address = address;
  by_address_[address] = &lease;
  lists_[static_cast<std::size_t>(State::kFree)].enter(lease);
  return &lease;
}

bool DhcpServer::is_used(const Request& request, Ipv4Address address, Time now) const {
  const auto user = user_of_ ? user_of_(address, request.vlan, now) : std::nullopt;
  if (!user || *user == request.fields.hardware) return false;
  const auto found = by_address_.find(address);
  return found == by_address_.end() || found->second->hardware != *user;
}

void DhcpServer::set_aside(Lease& lease, Time now) {
  assign(lease, {});
  set_state(lease, State::kDeclined, now);
  counters_.in_use.add();
}

DhcpServer::Lease* DhcpServer::free_lease_at(const Request& request, Ipv4Address address,
                                             Time now) {
  if (!is_ours(address) || is_used(request, address, now)) return nullptr;
  const auto found = by_address_.find(address);
  if (found == by_address_.end()) return new_lease(address);
  Lease* const lease = found->second;
  // What was set aside because it is used is there for the one who uses it.
  const bool kept = lease->state == State::kDeclined && user_of_ &&
                    user_of_(address, request.vlan, now) == request.fields.hardware;
  return lease->state == State::kFree || kept ? lease : nullptr;
}

DhcpServer::Lease* DhcpServer::any_lease(const Request& request, Time now) {
  for (unsigned tries = 0; tries < kMaxTries; ++tries) {
    Lease* const lease = next_lease();
    if (lease == nullptr || !is_used(request, lease->address, now)) return lease;
    set_aside(*lease, now);
  }
  return nullptr;
}

DhcpServer::Lease* DhcpServer::next_lease() {
  Lease* lease = nullptr;
  if (const auto address = untouched_address()) lease = new_lease(*address);
  if (lease == nullptr) lease = lists_[static_cast<std::size_t>(State::kFree)].oldest();
  if (lease == nullptr) lease = lists_[static_cast<std::size_t>(State::kDeclined)].oldest();
  return lease;
}

/// Without options but its type; to where RFC 2131 section 4.1 wants it.
DhcpReply DhcpServer::reply(const Request& request, DhcpType type) const {
  const wire::DhcpFields& asked = request.fields;
  DhcpReply out;
  out.message.reply = true;
  out.message.type = type;
  out.message.transaction = asked.transaction;
  out.message.broadcast = asked.broadcast;
  out.message.hardware = asked.hardware;
  out.message.server = options_.gateway;
  out.address = kEverybody;
  out.mac = MacAddress::broadcast();
  if (type == DhcpType::kAck && !asked.client.is_unspecified()) {
    out.message.client = asked.client;
    out.address = asked.client;
    out.mac = asked.hardware;
  }
  return out;
}

void DhcpServer::tell_all(wire::DhcpFields& message) const {
  message.mask = Ipv4Address(mask_of(options_.network.length()));
  message.router = options_.gateway;
  message.dns = options_.gateway;
  message.mtu = options_.mtu;
}

DhcpReply DhcpServer::grant(const Request& request, Lease& lease, DhcpType type) {
  DhcpReply out = reply(request, type);
  tell_all(out.message);
  out.message.yours = lease.address;
  const std::uint32_t time = seconds(options_.lease);
  out.message.lease_seconds = time;
  out.message.renewal_seconds = time / 2;  // RFC 2131 section 4.4.5
  out.message.rebinding_seconds = static_cast<std::uint32_t>(std::uint64_t{time} * 7 / 8);
  if (out.address == kEverybody && !request.fields.broadcast) {
    out.address = lease.address;
    out.mac = request.fields.hardware;
  }
  return out;
}

DhcpReply DhcpServer::refuse(const Request& request) {
  counters_.naks.add();
  return reply(request, DhcpType::kNak);
}

}  // namespace vtl::service
