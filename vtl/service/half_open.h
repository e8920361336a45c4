// HalfOpenTable: the connections of a service whose handshake is not done, oldest first, bounded.
//
// What holds a place is the oldest to lose it: at the bound a new connection takes the place of the
// one that waits for longest, and whoever owns that one gives it up: without a word to whoever
// opened it, whose next SYN begins anew, and with a reset to the far side where that has answered
// already, or a flood of SYNs here would be one of established connections there. So a flood costs
// what the bound says, on both sides, and a handshake that is done within (bound / SYNs a second)
// seconds is done also in the flood. Cookies would save nothing here: the SYN of a connection that
// VTL plays is answered only when the far side has answered, so there is state before there is an
// answer.
//
// Item has a member `AgePlace<Item> half_open`, which is this class's. No memory of its own.
// Thread rule: one thread. Invariant: an item is destroyed only after it has left.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>

#include "vtl/service/age_list.h"

namespace vtl::service {

template <class Item>
class HalfOpenTable {
 public:
  /// `bound`: at least 1.
  explicit HalfOpenTable(std::size_t bound) noexcept : bound_(bound == 0 ? 1 : bound) {}

  /// To be called before enter(). At the bound the oldest has left: it is returned, to be given up;
  /// else null.
  [[nodiscard]] Item* make_room() noexcept {
    if (size() < bound_) return nullptr;
    Item* const evicted = items_.oldest();
    items_.leave(*evicted);
    ++evicted_;
    return evicted;
  }

  /// Gives `item` the last place; there is room.
  void enter(Item& item) noexcept {
    assert(size() < bound_);
    items_.enter(item);
  }

  /// The handshake is done, or the connection over. False: it had no place.
  bool leave(Item& item) noexcept { return items_.leave(item); }

  [[nodiscard]] std::size_t size() const noexcept { return items_.size(); }
  /// How many lost their place to a newer one.
  [[nodiscard]] std::uint64_t evicted() const noexcept { return evicted_; }

 private:
  AgeList<Item, &Item::half_open> items_;
  std::size_t bound_;
  std::uint64_t evicted_ = 0;
};

}  // namespace vtl::service
