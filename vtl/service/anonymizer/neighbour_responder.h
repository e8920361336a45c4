// NeighbourResponder: who has an address, on a link where nobody else is: we do. ARP (RFC 826), and
// for IPv6 neighbour discovery and router advertisements (RFC 4861).
//
// Every address has the one made-up MAC address, so that a guest with whatever configuration sends
// us what it sends. Not answered:
//   - a guest that asks whether an address is free for itself (RFC 5227's probes and announcements,
//     RFC 4862's duplicate address detection), unless the address is ours: the gateway's, or one of
//     the networks in `ours`
//   - addresses that a guest on the link is known to use: it said so in a message here (ARP sender,
//     source or target of neighbour discovery) within kInUse; it answers for itself
//   - IPv6 link-local addresses that are not ours, and what is no unicast address
// A neighbour advertisement for an address that is not ours has no Override flag: who really has it
// wins.
//
// With IPv6 on we are the router too: a solicitation is answered at once (the delay of RFC 4861
// section 6.2.6 keeps several routers apart, and there are no others), and poll_at()/dispatch()
// send what section 6.2.4 has unasked, into every VLAN from which a solicitation came.
//
// Bounds: kMaxInUse addresses that are known, those that nobody mentioned for longest go first;
// kMaxVlans VLANs. Thread rule: one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "vtl/base/aging_map.h"
#include "vtl/base/counter.h"
#include "vtl/base/function_ref.h"
#include "vtl/base/rng.h"
#include "vtl/base/time.h"
#include "vtl/packet/packet.h"
#include "vtl/wire/addresses.h"
#include "vtl/wire/ethernet.h"
#include "vtl/wire/ip_network.h"
#include "vtl/wire/ndp.h"

namespace vtl::service {

/// What we are in IPv6.
struct Ipv6Router {
  /// fe80::1
  wire::Ipv6Address link_local{{0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
  wire::IpNetwork prefix;      ///< of 64 bits: from it the guests make their addresses
  wire::Ipv6Address resolver;  ///< ours: where the guests ask for names
};

struct NeighbourOptions {
  wire::MacAddress mac;
  wire::Ipv4Address gateway;
  std::vector<wire::IpNetwork> ours;  ///< networks that no guest may take an address of
  std::uint16_t mtu = 1500;
  std::optional<Ipv6Router> ipv6;  ///< none: IPv6 is off, and nothing of it answered
};

struct NeighbourCounters {
  Counter answered;       ///< ARP requests and neighbour solicitations
  Counter defended;       ///< of these, about an address that is ours and that a guest wanted
  Counter advertised;     ///< router advertisements, asked for or not
  Counter left_to_guest;  ///< not answered, for a guest has the address or wants it
  Counter ignored;        ///< malformed, or nothing to answer
};

class NeighbourResponder {
 public:
  static constexpr Duration kInUse = 20min;
  static constexpr std::size_t kMaxInUse = 4096;
  static constexpr std::size_t kMaxVlans = 16;
  // RFC 4861 section 6.2.1 and section 10.
  static constexpr Duration kMaxInterval = 600s;
  static constexpr Duration kMinInterval = 200s;
  static constexpr Duration kInitialInterval = 16s;
  static constexpr unsigned kInitialAdvertisements = 3;
  static constexpr Duration kRouterLifetime = 3 * kMaxInterval;

  /// `rng` outlives it.
  NeighbourResponder(NeighbourOptions options, Rng& rng);

  /// ARP, or one of neighbour discovery's messages while IPv6 is on.
  [[nodiscard]] bool is_for(const Packet& packet) const noexcept;
  /// The frame that answers `question`; empty when there is no answer, or no buffer for it.
  /// is_for(question).
  [[nodiscard]] Packet answer(const Packet& question, Time now);

  /// When dispatch() has something to send; kNever while IPv6 is off.
  [[nodiscard]] Time poll_at() const noexcept { return next_advertisement_; }
  /// Sends the router advertisements that are due; what finds no buffer is left out until the next.
  void dispatch(PacketPool& pool, Time now, FunctionRef<void(Packet)> emit);

  [[nodiscard]] bool is_ours(const wire::IpAddress& address) const noexcept;
  /// The guest that is known to use the address, as said at the head of this file.
  [[nodiscard]] std::optional<wire::MacAddress> user_of(const wire::IpAddress& address,
                                                        std::uint16_t vlan, Time now);
  [[nodiscard]] const NeighbourOptions& options() const noexcept { return options_; }
  [[nodiscard]] const NeighbourCounters& counters() const noexcept { return counters_; }

 private:
  using Place = std::pair<std::uint16_t, wire::IpAddress>;  // VLAN, address
  struct User {
    wire::MacAddress mac;
    Time heard{};
  };
  /// What the header of a neighbour discovery message says, checked by RFC 4861's rules.
  struct Message {
    Bytes icmp;
    wire::Ipv6Address source;
    wire::MacAddress mac;
    std::uint16_t vlan = 0;
  };
  enum class Wanted : std::uint8_t { kResolved, kForItself };

  [[nodiscard]] Packet answer_arp(const Packet& question, Time now);
  [[nodiscard]] Packet answer_ndp(const Packet& question, Time now);
  [[nodiscard]] Packet answer_solicitation(const Packet& question, const Message& message,
                                           Time now);
  [[nodiscard]] Packet answer_router_solicitation(const Packet& question, const Message& message);
  [[nodiscard]] bool may_answer(const wire::IpAddress& target, std::uint16_t vlan, Wanted wanted,
                                Time now);
  void learn(const wire::IpAddress& address, std::uint16_t vlan, const wire::MacAddress& mac,
             Time now);
  void learn_vlan(const Packet& packet);
  [[nodiscard]] wire::RouterAdvertisementFields advertisement() const;
  void count(const Packet& answer, Counter& counter) noexcept;

  NeighbourOptions options_;
  Rng& rng_;
  AgingMap<Place, User> in_use_{kMaxInUse};
  std::vector<wire::EthernetFields> vlans_;  // untagged is the first
  Time next_advertisement_ = kNever;
  unsigned initial_left_ = kInitialAdvertisements;
  NeighbourCounters counters_;
};

}  // namespace vtl::service
