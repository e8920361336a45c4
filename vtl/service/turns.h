// Turns: which of a service's connections are to be pumped, each once a turn.
//
// Theory of operation. Whoever has news for an item schedules it; the owner runs a turn at the end
// of each batch of frames, and else one is posted. What a pump schedules anew waits for the next
// turn, so that frames are read in between. An item that ended is retired: it is destroyed when no
// turn needs it any more, never inside one of its own calls.
//
// Item has a member `bool scheduled`, false at first, which is this class's.
// Thread rule: the reactor's thread. What was posted does nothing once the Turns is destroyed.
#pragma once

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "vtl/base/reactor.h"

namespace vtl::service {

template <class Item>
class Turns {
 public:
  /// `turn`: what a posted turn does; it calls run().
  Turns(Reactor& reactor, std::function<void()> turn) : reactor_(reactor), turn_(std::move(turn)) {}
  ~Turns() { *alive_ = false; }
  Turns(const Turns&) = delete;
  Turns& operator=(const Turns&) = delete;

  void schedule(Item& item) {
    if (item.scheduled) return;
    item.scheduled = true;
    next_.push_back(&item);
    post();
  }
  void retire(std::unique_ptr<Item> item) {
    retired_.push_back(std::move(item));
    post();
  }
  /// A turn comes, whatever is scheduled.
  void post() {
    if (posted_ || held_) return;
    posted_ = true;
    reactor_.post([this, alive = alive_] {
      if (!*alive) return;
      posted_ = false;
      turn_();
    });
  }
  /// While true nothing is posted: the caller runs a turn itself at the end.
  void hold(bool held) noexcept { held_ = held; }

  /// Calls pump(item) for what is scheduled, then settle(), and destroys what is retired.
  template <class Pump, class Settle>
  void run(Pump pump, Settle settle) {
    if (running_) return;
    running_ = held_ = true;
    now_.swap(next_);
    for (Item* item : now_) {
      item->scheduled = false;
      pump(*item);
    }
    now_.clear();
    settle();
    std::erase_if(retired_, [](const auto& item) { return !item->scheduled; });
    running_ = held_ = false;
    if (!next_.empty() || !retired_.empty()) post();
  }

 private:
  Reactor& reactor_;
  std::function<void()> turn_;
  std::vector<Item*> next_;
  std::vector<Item*> now_;
  std::vector<std::unique_ptr<Item>> retired_;
  bool posted_ = false;
  bool held_ = false;
  bool running_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace vtl::service
