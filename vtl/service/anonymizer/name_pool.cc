// Theory of operation. Entries stand in two lists by age, of all and of their account, while nobody
// pins them; use() moves them to the young end. The oldest of all is what lifetime ends; the oldest
// of an account is what goes at a bound. Both tests look at one entry only, for in a list by age
// nobody behind it is older.
#include "vtl/service/anonymizer/name_pool.h"

#include <algorithm>
#include <cassert>

namespace vtl::service {
namespace {

using wire::IpAddress, wire::Ipv4Address, wire::Ipv6Address;

// Addresses of a network that may be given: not its first (the network itself, or RFC 4291's
// anycast of the routers), and not its last (IPv4's broadcast).
std::uint64_t usable(const wire::IpNetwork& network) noexcept {
  const unsigned bits = (network.address().is_v4() ? 32U : 128U) - network.length();
  const std::uint64_t all = std::uint64_t{1} << std::min(bits, 32U);
  assert(all >= 4);
  return all - 2;
}

NamePoolOptions sane(NamePoolOptions options) {
  options.max_names = std::max<std::size_t>(1, options.max_names);
  options.max_names_per_guest = std::max<std::size_t>(1, options.max_names_per_guest);
  options.lifetime = std::max(options.lifetime, 2 * options.ttl);
  return options;
}

std::uint32_t places(const NamePoolOptions& options) {
  std::uint64_t count = std::min<std::uint64_t>(NamePool::kMaxAddresses, usable(options.v4));
  if (options.v6.address().is_v6()) count = std::min(count, usable(options.v6));
  return static_cast<std::uint32_t>(count);
}

// `name` in lower case in `out`.
std::string_view folded(std::string_view name, std::array<char, NamePool::kMaxName>& out) noexcept {
  std::ranges::transform(name, out.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  });
  return {out.data(), name.size()};
}

// The last 64 bits of an IPv6 address.
constexpr std::size_t kLowHalf = 8;

}  // namespace

NamePool::NamePool(const NamePoolOptions& options, Rng& rng)
    : options_(sane(options)),
      places_(places(options_)),
      first_(static_cast<Place>(rng.below(places_))),
      untouched_(places_) {}

IpAddress NamePool::address_of(Place place, AddressFamily family) const {
  if (family == AddressFamily::kV4) {
    return Ipv4Address(options_.v4.address().v4().value() + 1 + place);
  }
  std::array<std::uint8_t, Ipv6Address::kSize> octets = options_.v6.address().v6().octets();
  store_be64(octets, kLowHalf, load_be64(octets, kLowHalf) + 1 + place);
  return Ipv6Address(octets);
}

bool NamePool::contains(const IpAddress& address) const noexcept {
  return options_.v4.contains(address) || options_.v6.contains(address);
}

std::optional<NamePool::Place> NamePool::place_of(const IpAddress& address) const noexcept {
  std::uint64_t offset = 0;
  if (options_.v4.contains(address)) {
    offset = address.v4().value() - options_.v4.address().v4().value();
  } else if (options_.v6.contains(address)) {
    const Ipv6Address six = address.v6(), base = options_.v6.address().v6();
    // Bits of a short prefix's upper half would have to be the network's own.
    if (load_be64(six.octets(), 0) != load_be64(base.octets(), 0)) return std::nullopt;
    offset = load_be64(six.octets(), kLowHalf) - load_be64(base.octets(), kLowHalf);
  }
  if (offset == 0 || offset > places_) return std::nullopt;
  return static_cast<Place>(offset - 1);
}

void NamePool::leave_lists(Entry& entry) noexcept {
  (void)unpinned_.leave(entry);
  (void)accounts_[entry.account].unpinned.leave(entry);
}

void NamePool::use(Entry& entry, Time now) {
  entry.used = now;
  if (entry.pins > 0) return;
  leave_lists(entry);
  unpinned_.enter(entry);
  accounts_[entry.account].unpinned.enter(entry);
}

void NamePool::remove(Entry& entry) {
  leave_lists(entry);
  by_name_.erase(entry.name);
  by_place_.erase(entry.place);
  freed_.push_back(entry.place);
  --accounts_[entry.account].names;
  entry.name = {};
  entry.askers = {};
  spare_.push_back(&entry);
  counters_.names.set(by_name_.size());
}

void NamePool::forget(Time now, std::size_t most) {
  for (; most > 0; --most) {
    Entry* const oldest = unpinned_.oldest();
    if (oldest == nullptr || now - oldest->used < options_.lifetime) return;
    remove(*oldest);
    counters_.forgotten.add();
  }
}

Time NamePool::poll_at() const noexcept {
  const Entry* const oldest = unpinned_.oldest();
  return oldest == nullptr ? kNever : oldest->used + options_.lifetime;
}

std::uint8_t NamePool::account_of(GuestId guest) const noexcept {
  std::uint8_t free = kAccounts - 1;
  for (std::uint8_t i = 0; i + 1U < kAccounts; ++i) {
    if (accounts_[i].names == 0) {
      if (free == kAccounts - 1) free = i;
    } else if (accounts_[i].guest == guest) {
      return i;
    }
  }
  return free;
}

// Room for one more name of `account`; false: what would have to go is too young, or pinned.
bool NamePool::make_room(std::uint8_t account, Time now) {
  Account* loser = nullptr;
  if (accounts_[account].names >= options_.max_names_per_guest) {
    loser = &accounts_[account];
  } else if (size() >= options_.max_names || size() >= places_) {
    loser = &*std::ranges::max_element(accounts_, {},
                                       [](const Account& a) { return a.unpinned.size(); });
  }
  if (loser == nullptr) return true;
  Entry* const oldest = loser->unpinned.oldest();
  if (oldest == nullptr || now - oldest->used <= options_.ttl) return false;
  remove(*oldest);
  counters_.evicted.add();
  return true;
}

NamePool::Place NamePool::free_place() {
  if (untouched_ > 0) {
    const std::uint64_t given = places_ - untouched_--;
    return static_cast<Place>((first_ + given) % places_);
  }
  const Place place = freed_.front();
  freed_.pop_front();
  return place;
}

NamePool::Entry* NamePool::place_for(std::string_view name, GuestId guest, Time now) {
  const std::uint8_t account = account_of(guest);
  if (!make_room(account, now)) {
    counters_.refused.add();
    return nullptr;
  }
  if (spare_.empty()) spare_.push_back(&entries_.emplace_back());
  Entry& entry = *spare_.back();
  spare_.pop_back();
  entry.name = name;
  entry.place = free_place();
  entry.account = account;
  Account& owner = accounts_[account];
  owner.guest = guest;
  ++owner.names;
  by_name_.emplace(entry.name, &entry);
  by_place_.emplace(entry.place, &entry);
  counters_.given.add();
  counters_.names.set(by_name_.size());
  return &entry;
}

std::optional<IpAddress> NamePool::give(std::string_view name, AddressFamily family, GuestId guest,
                                        Time now) {
  if (name.ends_with('.')) name.remove_suffix(1);
  if (name.empty() || name.size() > kMaxName) return std::nullopt;
  if (family == AddressFamily::kV6 && !options_.v6.address().is_v6()) return std::nullopt;
  forget(now, 2);
  std::array<char, kMaxName> buffer;
  const std::string_view key = folded(name, buffer);
  const auto found = by_name_.find(key);
  Entry* const entry = found != by_name_.end() ? found->second : place_for(key, guest, now);
  if (entry == nullptr) return std::nullopt;
  use(*entry, now);
  note_asker(*entry, guest);
  return address_of(entry->place, family);
}

void NamePool::note_asker(Entry& entry, GuestId guest) {
  auto& askers = entry.askers;
  if (!askers.empty() && askers.back() == guest) return;
  const auto before = std::ranges::find(askers, guest);
  if (before != askers.end()) {
    askers.erase(before);
  } else if (askers.size() == kMaxAskers) {
    askers.erase(askers.begin());
  }
  askers.push_back(guest);
}

NamePool::Entry* NamePool::at(const IpAddress& address) const {
  const auto place = place_of(address);
  const auto found = place ? by_place_.find(*place) : by_place_.end();
  return found == by_place_.end() ? nullptr : found->second;
}

NamePool::Entry* NamePool::live(const IpAddress& address, Time now) {
  Entry* const found = at(address);
  if (found == nullptr) return nullptr;
  Entry& entry = *found;
  if (entry.pins == 0 && now - entry.used >= options_.lifetime) {
    remove(entry);
    counters_.forgotten.add();
    return nullptr;
  }
  use(entry, now);
  return &entry;
}

std::optional<std::string_view> NamePool::find(const IpAddress& address, Time now) {
  const Entry* const entry = live(address, now);
  if (entry == nullptr) return std::nullopt;
  return entry->name;
}

std::optional<std::string_view> NamePool::find_for(const IpAddress& address, GuestId guest,
                                                   Time now) {
  const Entry* const entry = at(address);
  if (entry == nullptr || std::ranges::find(entry->askers, guest) == entry->askers.end())
    return std::nullopt;
  return find(address, now);
}

bool NamePool::pin(const IpAddress& address, Time now) {
  Entry* const entry = live(address, now);
  if (entry == nullptr) return false;
  if (entry->pins++ == 0) {
    leave_lists(*entry);
    counters_.pinned.add();
  }
  return true;
}

void NamePool::unpin(const IpAddress& address, Time now) {
  Entry* const entry = at(address);
  if (entry == nullptr || entry->pins == 0) return;
  if (--entry->pins == 0) counters_.pinned.sub();
  use(*entry, now);
}

}  // namespace vtl::service
