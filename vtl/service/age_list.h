// AgeList: items in the order in which they came, the oldest at hand, any of them taken out at
// once.
//
// An intrusive list: no memory of its own, so it needs no bound of its own. Item has a member
// `AgePlace<Item>`, which is this class's. Thread rule: one thread. Invariant: an item is destroyed
// only after it has left.
#pragma once

#include <cassert>
#include <cstddef>

namespace vtl::service {

template <class Item>
struct AgePlace {
  Item* older = nullptr;
  Item* newer = nullptr;
  bool held = false;
};

/// `kPlace`: the member.
template <class Item, AgePlace<Item> Item::* kPlace>
class AgeList {
 public:
  /// Gives `item`, which has none, the last place.
  void enter(Item& item) noexcept {
    assert(!(item.*kPlace).held);
    item.*kPlace = {newest_, nullptr, true};
    (newest_ != nullptr ? (newest_->*kPlace).newer : oldest_) = &item;
    newest_ = &item;
    ++size_;
  }

  /// False: it had no place.
  bool leave(Item& item) noexcept {
    AgePlace<Item>& place = item.*kPlace;
    if (!place.held) return false;
    (place.older != nullptr ? (place.older->*kPlace).newer : oldest_) = place.newer;
    (place.newer != nullptr ? (place.newer->*kPlace).older : newest_) = place.older;
    place = {};
    --size_;
    return true;
  }

  /// Null: there is none.
  [[nodiscard]] Item* oldest() const noexcept { return oldest_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  std::size_t size_ = 0;
  Item* oldest_ = nullptr;
  Item* newest_ = nullptr;
};

}  // namespace vtl::service
