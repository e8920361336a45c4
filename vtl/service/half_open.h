// HalfOpenTable: the connections of a service whose handshake is not done, oldest first, bounded.
//
// What holds a place is the oldest to lose it: at the bound a new connection takes the place of the
// one that waits for longest, and whoever owns that one gives it up without a word. So a flood of
// SYNs costs what the bound says, a handshake that is done within (bound / SYNs a second) seconds
// is done also in the flood, and one that was pushed out has its next SYN. Cookies would save
// nothing here: the SYN of a connection that VTL plays is answered only when the far side has
// answered, so there is state before there is an answer.
//
// Item has a member `HalfOpenPlace<Item> half_open`, which is this class's. No memory of its own.
// Thread rule: one thread. Invariant: an item is destroyed only after it has left.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>

namespace vtl::service {

template <class Item>
struct HalfOpenPlace {
  Item* older = nullptr;
  Item* newer = nullptr;
  bool held = false;
};

template <class Item>
class HalfOpenTable {
 public:
  /// `bound`: at least 1.
  explicit HalfOpenTable(std::size_t bound) noexcept : bound_(bound == 0 ? 1 : bound) {}

  /// To be called before enter(). At the bound the oldest has left: it is returned, to be given up;
  /// else null.
  [[nodiscard]] Item* make_room() noexcept {
    if (size_ < bound_) return nullptr;
    Item* const evicted = oldest_;
    leave(*evicted);
    ++evicted_;
    return evicted;
  }

  /// Gives `item` the last place; there is room.
  void enter(Item& item) noexcept {
    assert(!item.half_open.held && size_ < bound_);
    item.half_open = {newest_, nullptr, true};
    (newest_ != nullptr ? newest_->half_open.newer : oldest_) = &item;
    newest_ = &item;
    ++size_;
  }

  /// The handshake is done, or the connection over. False: it had no place.
  bool leave(Item& item) noexcept {
    HalfOpenPlace<Item>& place = item.half_open;
    if (!place.held) return false;
    (place.older != nullptr ? place.older->half_open.newer : oldest_) = place.newer;
    (place.newer != nullptr ? place.newer->half_open.older : newest_) = place.older;
    place = {};
    --size_;
    return true;
  }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  /// How many lost their place to a newer one.
  [[nodiscard]] std::uint64_t evicted() const noexcept { return evicted_; }

 private:
  std::size_t bound_;
  std::size_t size_ = 0;
  std::uint64_t evicted_ = 0;
  Item* oldest_ = nullptr;
  Item* newest_ = nullptr;
};

}  // namespace vtl::service
