// FlowTable: what a service knows about each flow, bounded in number and in age.
//
// Entries are found by wire::FlowKey, in either direction of the flow, and have stable addresses.
// They are kept in the order of their last use. At the bound, insert() evicts the least recently
// used entry that its owner is willing to lose, looking at no more than kEvictionScan of the
// oldest; when none of these may go, it fails and counts `full`: the caller drops or passes the
// frame (kFlowTableFull). expire() removes what was idle for too long, a bounded number at a time.
//
// Thread rule: one thread; counters from any.
// Invariants: size() <= capacity; an entry is in the map and in the order of use, or in neither.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cassert>
#include <cstdint>
#include <functional>
#include <list>
#include <utility>

#include "vtl/base/counter.h"
#include "vtl/base/time.h"
#include "vtl/wire/flow_key.h"

namespace vtl::engine {

struct FlowTableCounters {
  Counter flows, inserted, evicted, expired, full;
};

template <class Value>
class FlowTable {
 public:
  struct Entry {
    wire::FlowKey key;  ///< as it was inserted
    Time used;
    Value value;
  };
  struct Found {
    Entry* entry = nullptr;
    bool reversed = false;  ///< found by the key of the opposite direction
    explicit operator bool() const noexcept { return entry != nullptr; }
    Entry* operator->() const noexcept { return entry; }
  };
  /// Whether an entry may be evicted, and what must be done before it goes.
  using MayEvict = std::function<bool(const Entry&)>;
  using OnRemove = std::function<void(Entry&)>;

  static constexpr std::size_t kEvictionScan = 8;

  explicit FlowTable(
      std::size_t capacity, MayEvict may_evict = [](const Entry&) { return true; },
      OnRemove on_remove = [](Entry&) {})
      : capacity_(capacity), may_evict_(std::move(may_evict)), on_remove_(std::move(on_remove)) {
    assert(capacity > 0);
  }
  FlowTable(const FlowTable&) = delete;
  FlowTable& operator=(const FlowTable&) = delete;

  /// The flow of `key`, in whichever direction it was inserted; now the most recently used.
  [[nodiscard]] Found find(const wire::FlowKey& key, Time now) {
    const auto at = map_.find(canonical(key));
    if (at == map_.end()) return {};
    Entry* entry = &*at->second;
    if (entry->used != now) {  // otherwise its place is right for this turn
      entry->used = now;
      order_.splice(order_.end(), order_, at->second);
    }
    return {entry, entry->key != key};
  }
  /// The same without counting as a use.
  [[nodiscard]] Found peek(const wire::FlowKey& key) {
    const auto at = map_.find(canonical(key));
    if (at == map_.end()) return {};
    Entry* entry = &*at->second;
    return {entry, entry->key != key};
  }

  /// Adds a flow that is not there; null at the bound.
  [[nodiscard]] Entry* insert(const wire::FlowKey& key, Value value, Time now) {
    if (map_.size() >= capacity_ && !evict_one()) {
      counters_.full.add();
      return nullptr;
    }
    if (spare_.empty()) {
      order_.push_back(Entry{key, now, std::move(value)});
    } else {
      order_.splice(order_.end(), spare_, spare_.begin());
      order_.back() = Entry{key, now, std::move(value)};
    }
    const auto at = std::prev(order_.end());
    [[maybe_unused]] const bool added = map_.emplace(canonical(key), at).second;
    assert(added && "the flow is there already");
    counters_.inserted.add();
    counters_.flows.set(map_.size());
    return &*at;
  }

  /// Removes an entry; on_remove is called.
  void erase(Entry* entry) { remove(map_.find(canonical(entry->key))); }

  /// Removes up to `limit` entries not used since `now - max_idle`; returns how many.
  std::size_t expire(Time now, Duration max_idle, std::size_t limit = 64) {
    std::size_t n = 0;
    while (n < limit && !order_.empty() && now - order_.front().used > max_idle) {
      erase(&order_.front());
      counters_.expired.add();
      ++n;
    }
    return n;
  }

  /// As erase(), counted as expired.
  void expire(Entry* entry) {
    erase(entry);
    counters_.expired.add();
  }

  /// The least recently used entry; null when there is none.
  [[nodiscard]] Entry* oldest() noexcept { return order_.empty() ? nullptr : &order_.front(); }

  /// Calls visit(entry) for every flow, least recently used first.
  template <class Visit>
  void for_each(Visit&& visit) const {
    for (const Entry& entry : order_) visit(entry);
  }

  [[nodiscard]] std::size_t size() const noexcept { return map_.size(); }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] const FlowTableCounters& counters() const noexcept { return counters_; }

 private:
  using Order = std::list<Entry>;
  using Map = absl::flat_hash_map<wire::FlowKey, typename Order::iterator>;

  // Both directions of a flow have the same canonical key.
  static wire::FlowKey canonical(const wire::FlowKey& key) {
    return key.destination < key.source ? key.reversed() : key;
  }

  bool evict_one() {
    std::size_t seen = 0;
    for (auto& entry : order_) {
      if (seen++ == kEvictionScan) break;
      if (!may_evict_(entry)) continue;
      erase(&entry);
      counters_.evicted.add();
      return true;
    }
    return false;
  }

  void remove(typename Map::iterator at) {
    assert(at != map_.end());
    const auto place = at->second;
    on_remove_(*place);
    map_.erase(at);
    // The node is kept for the next flow, without the old value's resources.
    place->value = Value{};
    spare_.splice(spare_.begin(), order_, place);
    counters_.flows.set(map_.size());
  }

  std::size_t capacity_;
  MayEvict may_evict_;
  OnRemove on_remove_;
  Order order_;  // least recently used first
  Order spare_;
  Map map_;
  FlowTableCounters counters_;
};

}  // namespace vtl::engine
