// DhcpServer: addresses for the guests of a link (RFC 2131), the only server there.
//
// A client is known by its client identifier, or by its hardware address where it has none. It
// gets the address that it had, or the one that it asks for, if that is free; else one that was
// never given, else the one that has been free for longest. An offer is held for kOffer, a lease
// for the lease time, and a declined address is set aside for kDeclined, or until nothing else is
// left. A client that the server does not know, for it was started anew meanwhile, keeps the
// address that it renews, if that is free; all others who ask for what they may not have are told
// so (NAK), for there is no other server that might know better.
//
// An address that somebody uses who never had it from here is not given to others: it is set aside
// as a declined one. Who that is the caller knows, of what guests say on the link (UserOf).
//
// Not for us, and ignored: messages of relays (giaddr), of another server's clients, replies, and
// releases that do not come from the address that is released. Clients are told everything that the
// server knows, whatever their parameter list says.
//
// Bounds: `max_leases` addresses, at most the network's, each with an identifier of at most 255
// octets. When all are leased there is no answer, and it is counted. Every message costs O(1),
// spread over all, and looks at kMaxTries addresses that others might use; beyond that it has no
// answer, and the next one finds others. Thread rule: one thread. Invariant: a lease stands in
// exactly one list, which its state names, and nobody else has its address.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>

#include "vtl/base/counter.h"
#include "vtl/base/time.h"
#include "vtl/packet/packet.h"
#include "vtl/service/age_list.h"
#include "vtl/wire/addresses.h"
#include "vtl/wire/dhcpv4.h"
#include "vtl/wire/ip_network.h"

namespace vtl::service {

struct DhcpServerOptions {
  wire::IpNetwork network;    ///< of version 4, at most 30 bits long
  wire::Ipv4Address gateway;  ///< within it: the server itself, the router and the resolver
  wire::MacAddress mac;       ///< the gateway's
  std::optional<std::uint16_t> mtu;
  Duration lease = 1h;  ///< at least a minute is taken
  std::size_t max_leases = 1024;
};

/// What goes back to a client, and where to.
struct DhcpReply {
  wire::DhcpFields message;
  wire::Ipv4Address address;
  wire::MacAddress mac;
  Bytes client_id;  ///< to be given back (RFC 6842); lies in what the client sent
};

struct DhcpCounters {
  Counter offers, acks, naks, declines, releases;
  Counter ignored;    ///< messages that are malformed or not for us
  Counter exhausted;  ///< clients for whom no address was left
  Counter in_use;     ///< addresses set aside, for a guest uses them
  Counter leased;     ///< gauge
};

class DhcpServer {
 public:
  static constexpr Duration kOffer = 10s;
  static constexpr Duration kDeclined = 10min;

  static constexpr unsigned kMaxTries = 64;
  /// The guest that uses an address in a VLAN.
  using UserOf = std::function<std::optional<wire::MacAddress>(wire::Ipv4Address address,
                                                               std::uint16_t vlan, Time now)>;

  explicit DhcpServer(const DhcpServerOptions& options, UserOf user_of = {});

  /// A UDP datagram to the server's port, at an address that is the server's or everybody's.
  [[nodiscard]] bool is_for(const Packet& packet) const noexcept;
  /// The frame that answers `request`; empty when there is no answer, or no buffer for it.
  /// is_for(request).
  [[nodiscard]] Packet answer(const Packet& request, Time now);
  /// The same without the frame. `source`: the IP address that `message` came from.
  [[nodiscard]] std::optional<DhcpReply> answer(Bytes message, wire::Ipv4Address source, Time now,
                                                std::uint16_t vlan = 0);

  [[nodiscard]] const DhcpServerOptions& options() const noexcept { return options_; }
  [[nodiscard]] const DhcpCounters& counters() const noexcept { return counters_; }

 private:
  enum class State : std::uint8_t { kFree, kOffered, kLeased, kDeclined };
  static constexpr std::size_t kStates = 4;
  struct Lease {
    std::string client;         // empty: nobody's
    wire::MacAddress hardware;  // that had it last
    wire::Ipv4Address address;
    State state = State::kFree;
    Time since{};
    AgePlace<Lease> place;
  };
  struct Request {
    wire::DhcpFields fields;
    std::string client;
    wire::Ipv4Address source;
    std::uint16_t vlan = 0;
  };

  [[nodiscard]] std::optional<DhcpReply> discover(const Request& request, Time now);
  [[nodiscard]] std::optional<DhcpReply> request(const Request& request, Time now);
  [[nodiscard]] std::optional<DhcpReply> inform(const Request& request);
  void decline(const Request& request, Time now);
  void release(const Request& request, Time now);

  [[nodiscard]] bool is_ours(wire::Ipv4Address address) const noexcept;
  [[nodiscard]] Duration holds(State state) const noexcept;
  [[nodiscard]] Lease* lease_of(const std::string& client) const;
  [[nodiscard]] Lease* usable_lease(const Request& request, Time now);
  // By another than who asks, or who had it last and may not know yet that it is not his any more.
  [[nodiscard]] bool is_used(const Request& request, wire::Ipv4Address address, Time now) const;
  // Null: somebody has it, it is none of ours, or the bound.
  [[nodiscard]] Lease* free_lease_at(const Request& request, wire::Ipv4Address address, Time now);
  // One that nobody has; the best of them. Null: there is none.
  [[nodiscard]] Lease* any_lease(const Request& request, Time now);
  [[nodiscard]] Lease* next_lease();
  void set_aside(Lease& lease, Time now);
  [[nodiscard]] Lease* new_lease(wire::Ipv4Address address);
  [[nodiscard]] std::optional<wire::Ipv4Address> untouched_address();
  void set_state(Lease& lease, State state, Time now);
  void assign(Lease& lease, const std::string& client);
  void age(Time now);
  [[nodiscard]] DhcpReply reply(const Request& request, wire::DhcpType type) const;
  void tell_all(wire::DhcpFields& message) const;
  [[nodiscard]] DhcpReply grant(const Request& request, Lease& lease, wire::DhcpType type);
  [[nodiscard]] DhcpReply refuse(const Request& request);

  DhcpServerOptions options_;
  UserOf user_of_;
  std::uint32_t next_;  // the lowest address that may never have been given
  std::deque<Lease> leases_;
  absl::flat_hash_map<std::string, Lease*> by_client_;
  absl::flat_hash_map<wire::Ipv4Address, Lease*> by_address_;
  std::array<AgeList<Lease, &Lease::place>, kStates> lists_;
  DhcpCounters counters_;
};

}  // namespace vtl::service
