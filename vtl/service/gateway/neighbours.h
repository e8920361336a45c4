// Neighbours: which MAC leads to which IP address on one side of a link.
//
// Learned from what passes: the source of every IP packet and ARP message that comes from the side,
// and the destination that the other side uses to reach an address there (which is right also when
// a router stands on the way). What is not known is asked for: an ARP probe (RFC 5227: sender
// address zero) or a neighbour solicitation (RFC 4861 section 4.3), sent with the MAC that VTL is
// about to play, so that no address of VTL's own appears on the segment.
//
// Only a source says that the host is on this side: a shared uplink floods frames for a destination
// that it does not know, so each side sees them, whoever's they are. Whether the host itself was
// heard is therefore kept with each address, for kHeardFor after the last time.
//
// Bounds: kMaxEntries addresses (least recently used go first), kMaxPending questions at once
// (further ones fail at once), kTries questions kRetry apart.
// Thread rule: the worker of the link.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "vtl/base/aging_map.h"
#include "vtl/engine/service.h"

namespace vtl::service {

class Neighbours;

/// What the workers of one link tell each other: an ARP or neighbour discovery message reaches one
/// of them only, whoever has asked. Thread rule: any thread; taken when an address is new or has
/// moved, and every few minutes while its host speaks, never for each frame.
class NeighbourExchange {
 public:
  void join(Neighbours& member, Reactor& reactor);
  void leave(Neighbours& member);
  /// Posts the news to all other members of the same side.
  /// `from_host`: see Neighbours::hear().
  void tell(const Neighbours& from, const wire::IpAddress& address, std::uint16_t vlan,
            const wire::MacAddress& mac, bool from_host);

 private:
  struct Member {
    Neighbours* neighbours;
    Reactor* reactor;
    std::weak_ptr<bool> alive;
  };
  std::mutex mutex_;
  std::vector<Member> members_;
};

class Neighbours {
 public:
  static constexpr std::size_t kMaxEntries = 16384;
  static constexpr std::size_t kMaxPending = 1024;
  static constexpr int kTries = 3;
  static constexpr Duration kRetry = 1s;  // RFC 4861 section 10: RETRANS_TIMER
  static constexpr Duration kHeardFor = 20min;

  using Answer = std::function<void(std::optional<wire::MacAddress>)>;

  /// `toward`: the direction in which frames leave for this side. `exchange`: with the same side on
  /// the link's other workers; may be null.
  Neighbours(engine::ServiceContext& context, engine::Direction toward,
             NeighbourExchange* exchange = nullptr);
  ~Neighbours();

  /// A frame that came from this side.
  void learn_source(const Packet& packet);
  /// A frame that is on its way to this side.
  void learn_destination(const Packet& packet);
  /// News from another worker. `from_host`: the host itself spoke, else others sent to it.
  void hear(const wire::IpAddress& address, std::uint16_t vlan, const wire::MacAddress& mac,
            bool from_host);
  [[nodiscard]] engine::Direction toward() const noexcept { return toward_; }
  [[nodiscard]] std::weak_ptr<bool> alive() const noexcept { return alive_; }

  [[nodiscard]] std::optional<wire::MacAddress> find(const wire::IpAddress& address,
                                                     std::uint16_t vlan);
  /// The host itself was heard on this side in the last kHeardFor.
  [[nodiscard]] bool was_heard(const wire::IpAddress& address, std::uint16_t vlan);
  /// Answers now if the address is known, else after asking for it; nullopt: nobody answered.
  /// `played`: the source MAC of the question.
  void resolve(const wire::IpAddress& address, std::uint16_t vlan, const wire::MacAddress& played,
               Answer answer);
  /// As resolve(), but asks also for an address that was only sent to.
  void resolve_heard(const wire::IpAddress& address, std::uint16_t vlan,
                     const wire::MacAddress& played, Answer answer);

 private:
  struct Key {
    wire::IpAddress address;
    std::uint16_t vlan = 0;
    constexpr bool operator==(const Key&) const = default;
    template <class H>
    friend H AbslHashValue(H h, const Key& k) {
      return H::combine(std::move(h), k.address, k.vlan);
    }
  };
  struct Known {
    wire::MacAddress mac;
    std::optional<Time> heard;  ///< from the host itself; none: others sent to it
  };
  struct Question;

  void learn(const Key& key, const wire::MacAddress& mac, bool from_host);
  void put(const Key& key, const wire::MacAddress& mac, bool from_host);
  void learn_advertised(Bytes frame, const Layout& layout);
  void ask_for(const Key& key, const wire::MacAddress& played, Answer answer);
  void ask(Question& question);
  void close(const Key& key, std::optional<wire::MacAddress> mac);

  engine::ServiceContext& context_;
  engine::Direction toward_;
  NeighbourExchange* exchange_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  AgingMap<Key, Known> known_{kMaxEntries};
  Key last_source_;
  wire::MacAddress last_source_mac_;
  Key last_destination_;
  wire::MacAddress last_destination_mac_;
  absl::flat_hash_map<Key, std::unique_ptr<Question>> questions_;
  Timer age_;
};

}  // namespace vtl::service
