// NamePool: addresses of private networks that stand for names.
//
// A guest that looks a name up gets an address of the pool; a connection to that address is then
// opened at the proxy by the name, so that the name leaves the host nowhere else. One name has one
// place, and that place one address of each family.
//
// Life of a name: every give(), find() of its address and unpin() makes it young. Not used for
// `lifetime` it is forgotten, unless it is pinned by connections. Its address is the last to be
// used again: first those that were never used, then those that have been free for longest. The
// first one is drawn, so that a pool that is made anew after a restart hardly gives an address that
// some cache still knows under another name.
//
// At the bound a name goes that was not used for longest, if that is longer than `ttl`, so that no
// cache outlives what it holds, and it is not pinned; else there is none to give. Whose: guests
// share the pool, and a name counts for the guest that asked for it first. A guest that holds
// `max_names_per_guest` loses one of its own; at `max_names` the guest with most names that are not
// pinned loses one. So nobody loses young names to others, and who asks for millions of names harms
// himself. The first kAccounts - 1 guests with names are counted each on its own, all others as
// one, and a guest that pretends to be many gains no more than that.
//
// Who asked for a name is kept with it, the last kMaxAskers of them: find_for() tells a name to
// those only. That closes PTR alone: a guest that connects to another's address at random still
// reaches what the name stands for, so guests that must not know of each other need links of their
// own.
//
// Bounds: `max_names` names of at most kMaxName octets, at most kMaxAddresses of an address range
// in use; with names of usual length about 250 octets each, with the longest 500: 33 MB at the
// default bound, 8 octets for each guest but the first that asked for a name, and 4 octets for each
// address that was ever given. Every call is O(1), for a new name O(kAccounts). Thread rule: one
// thread. Invariant: addresses() and the names are one to one; what is pinned is in no list of
// those that may go.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/container/inlined_vector.h>

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vtl/base/counter.h"
#include "vtl/base/rng.h"
#include "vtl/base/time.h"
#include "vtl/service/age_list.h"
#include "vtl/wire/addresses.h"
#include "vtl/wire/ip_network.h"

namespace vtl::service {

/// Who asks, as the caller tells guests apart (by their addresses, say); opaque.
using GuestId = std::uint64_t;

enum class AddressFamily : std::uint8_t { kV4, kV6 };

struct NamePoolOptions {
  /// 198.18.0.0/15, the range for benchmarks (RFC 2544), reaches nobody.
  wire::IpNetwork v4{wire::Ipv4Address(198, 18, 0, 0), 15};
  /// None of version 6: IPv6 is off.
  wire::IpNetwork v6;
  std::size_t max_names = 65536;
  std::size_t max_names_per_guest = 16384;
  /// Since the last use; at least twice `ttl` is taken.
  Duration lifetime = 10min;
  /// For how long a cache may hold an address that was given.
  Duration ttl = 60s;
};

struct NamePoolCounters {
  Counter names;      ///< gauge
  Counter pinned;     ///< gauge: names that connections use
  Counter given;      ///< names that got a place
  Counter forgotten;  ///< names not used for their lifetime
  Counter evicted;    ///< names that went at a bound
  Counter refused;    ///< names that got no place at a bound
};

class NamePool {
 public:
  static constexpr std::size_t kMaxName = 255;
  static constexpr std::size_t kAccounts = 64;
  static constexpr std::size_t kMaxAskers = 16;
  static constexpr std::uint32_t kMaxAddresses = 1U << 20;

  /// Networks of at least four addresses: v4 is one, v6 may be none. Bounds of 0 are taken for 1.
  NamePool(const NamePoolOptions& options, Rng& rng);

  /// The address that stands for `name`: without regard to case and a last dot, at most kMaxName
  /// octets. None: the family is off, the name has no such length, or a bound.
  [[nodiscard]] std::optional<wire::IpAddress> give(std::string_view name, AddressFamily family,
                                                    GuestId guest, Time now);
  /// The name in lower case that `address` stands for; valid until the next call that is not const.
  [[nodiscard]] std::optional<std::string_view> find(const wire::IpAddress& address, Time now);
  /// The same for a guest that give() gave the address to; to others there is none, and their
  /// asking keeps no name.
  [[nodiscard]] std::optional<std::string_view> find_for(const wire::IpAddress& address,
                                                         GuestId guest, Time now);
  /// Holds the name of `address` until unpin() was called as often. False: it stands for none.
  [[nodiscard]] bool pin(const wire::IpAddress& address, Time now);
  void unpin(const wire::IpAddress& address, Time now);
  /// Lies in one of the networks, whether it stands for a name or not.
  [[nodiscard]] bool contains(const wire::IpAddress& address) const noexcept;

  /// Forgets names that are too old, at most `most`; give() does so for two.
  void forget(Time now, std::size_t most);
  /// When forget() has something to do; kNever without names that may go.
  [[nodiscard]] Time poll_at() const noexcept;

  [[nodiscard]] std::size_t size() const noexcept { return by_name_.size(); }
  [[nodiscard]] const NamePoolOptions& options() const noexcept { return options_; }
  [[nodiscard]] const NamePoolCounters& counters() const noexcept { return counters_; }

 private:
  struct Entry {
    std::string name;
    std::uint32_t place = 0;  // its address, counted from the network's first
    std::uint32_t pins = 0;
    std::uint8_t account = 0;
    Time used{};
    AgePlace<Entry> of_all, of_account;
    absl::InlinedVector<GuestId, 1> askers;  // who asked last at the back
  };
  struct Account {
    GuestId guest = 0;
    std::size_t names = 0;
    AgeList<Entry, &Entry::of_account> unpinned;
  };
  using Place = std::uint32_t;

  [[nodiscard]] wire::IpAddress address_of(Place place, AddressFamily family) const;
  [[nodiscard]] std::optional<Place> place_of(const wire::IpAddress& address) const noexcept;
  [[nodiscard]] Entry* live(const wire::IpAddress& address, Time now);
  [[nodiscard]] Entry* place_for(std::string_view name, GuestId guest, Time now);
  [[nodiscard]] std::uint8_t account_of(GuestId guest) const noexcept;
  [[nodiscard]] bool make_room(std::uint8_t account, Time now);
  [[nodiscard]] Place free_place();
  [[nodiscard]] Entry* at(const wire::IpAddress& address) const;
  static void note_asker(Entry& entry, GuestId guest);
  void use(Entry& entry, Time now);
  void leave_lists(Entry& entry) noexcept;
  void remove(Entry& entry);

  NamePoolOptions options_;
  Place places_;     // how many addresses there are to give
  Place first_;      // the one that was given first
  Place untouched_;  // how many were never given
  std::deque<Place> freed_;
  std::deque<Entry> entries_;  // stable addresses; those that are not held wait in spare_
  std::vector<Entry*> spare_;
  absl::flat_hash_map<std::string_view, Entry*> by_name_;  // the entry's own name
  absl::flat_hash_map<Place, Entry*> by_place_;
  AgeList<Entry, &Entry::of_all> unpinned_;
  std::array<Account, kAccounts> accounts_;  // the last one is for all who found no other
  NamePoolCounters counters_;
};

}  // namespace vtl::service
