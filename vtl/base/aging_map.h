// AgingMap: a bounded map that forgets what was not used for longest, roughly.
//
// Two generations. A use moves an entry to the young one; when the young one is half the bound, or
// rotate() is called by a timer, the old one is dropped and the young one grows old. So a lookup is
// at most two probes, memory never exceeds the bound, and an entry lives for one to two rotations
// after its last use. No lists, no per-entry time.
// Thread rule: one thread.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace vtl {

template <class Key, class Value>
class AgingMap {
 public:
  explicit AgingMap(std::size_t max_entries) : half_(std::max<std::size_t>(1, max_entries / 2)) {}

  /// Inserts or replaces.
  void put(const Key& key, Value value) {
    if (const auto it = young_.find(key); it != young_.end()) {
      it->second = std::move(value);
      return;
    }
    old_.erase(key);
    if (young_.size() >= half_) {
      evicted_ += old_.size();
      rotate();
    }
    young_.emplace(key, std::move(value));
  }

  /// The value, made young again, or null. Valid until the next call that changes the map.
  [[nodiscard]] Value* use(const Key& key) {
    if (const auto it = young_.find(key); it != young_.end()) return &it->second;
    const auto it = old_.find(key);
    if (it == old_.end()) return nullptr;
    Value value = std::move(it->second);
    put(key, std::move(value));
    return &young_.find(key)->second;
  }

  void erase(const Key& key) {
    young_.erase(key);
    old_.erase(key);
  }

  /// Drops what was not used since the last rotation.
  void rotate() {
    old_ = std::move(young_);
    young_.clear();
  }

  [[nodiscard]] std::size_t size() const noexcept { return young_.size() + old_.size(); }
  /// Entries let go because of the bound.
  [[nodiscard]] std::uint64_t evicted() const noexcept { return evicted_; }

 private:
  std::size_t half_;
  std::uint64_t evicted_ = 0;
  absl::flat_hash_map<Key, Value> young_;
  absl::flat_hash_map<Key, Value> old_;
};

}  // namespace vtl
