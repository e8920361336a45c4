// Starved: the connections of a service that wait for memory which others hold, and for nothing
// else.
//
// Theory of operation. Nothing tells a connection when others give memory back, so one list keeps
// those that wait, and one timer looks after them: every kRetry it walks over at most kTurn of
// them, the one that waits for longest first, and wakes as many as there are chunks of the kind
// that they lack. However many wait, a spent pool costs nothing but that timer. Packet
// buffers are not counted here: up to kTurn of those that lack them try again in each turn.
//
// Item has members `AgePlace<Item> starving` and `Lacks lacking`, which are this class's. No memory
// of its own.
// Thread rule: the reactor's thread. Invariant: an item is destroyed only after it has left.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "vtl/base/chunk_pool.h"
#include "vtl/base/reactor.h"
#include "vtl/base/timer_wheel.h"
#include "vtl/engine/service.h"
#include "vtl/service/age_list.h"

namespace vtl::service {

/// What a connection waits for.
struct Lacks {
  bool received : 1 = false;  ///< a chunk to receive into
  bool to_send : 1 = false;   ///< a chunk to send from
  bool packets : 1 = false;   ///< a buffer for a frame
  /// Of the chunks that it lacks, it has not one.
  bool first_received : 1 = false, first_to_send : 1 = false;
  [[nodiscard]] bool any() const noexcept { return received || to_send || packets; }
};

template <class Item>
class Starved {
 public:
  static constexpr std::size_t kTurn = 256;
  static constexpr Duration kRetry = 10ms;

  /// `wake`: is to pump an item soon; it has left the list. `pool` lives as long as this.
  Starved(Reactor& reactor, const ChunkPool& pool, std::function<void(Item&)> wake)
      : reactor_(reactor), pool_(pool), wake_(std::move(wake)), timer_([this] { serve(); }) {}
  Starved(const Starved&) = delete;
  Starved& operator=(const Starved&) = delete;

  /// What `item` waits for now; nothing: it leaves. One that waits already keeps its place.
  void set(Item& item, Lacks lacks) {
    if (!lacks.any()) {
      leave(item);
    } else if (item.starving.held) {
      waiting_.remove(item.lacking);
      waiting_.add(lacks);
      item.lacking = lacks;
    } else {
      enter(item, lacks);
      ++entered_;
      if (!timer_.armed()) reactor_.timers().arm(timer_, reactor_.now() + kRetry);
    }
  }
  void leave(Item& item) noexcept {
    if (list_.leave(item)) waiting_.remove(item.lacking);
  }

  /// Not even a first chunk is left, or there are fewer than items that wait for their first one:
  /// who stands still gives way, as many as are waited for.
  [[nodiscard]] bool short_of(ChunkPool::Use use) const noexcept {
    const std::size_t waiting =
        use == ChunkPool::Use::kReceived ? waiting_.first_received : waiting_.first_to_send;
    return pool_.available(use, 0) < std::max<std::size_t>(waiting, 1);
  }
  /// An item stood still while the pool was spent, and was reset.
  void note_yield() noexcept { ++yielded_; }

  [[nodiscard]] std::size_t size() const noexcept { return list_.size(); }
  [[nodiscard]] std::uint64_t yielded() const noexcept { return yielded_; }

  /// Those of the pool and of the list.
  void list_metrics(std::vector<engine::ServiceMetric>& out) const {
    const auto gauge = [&](const char* name, const char* help, std::size_t value) {
      out.push_back({name, help, static_cast<double>(value), false});
    };
    const auto count = [&](const char* name, const char* help, std::uint64_t value) {
      out.push_back({name, help, static_cast<double>(value), true});
    };
    gauge("buffer_bytes", "Octets of buffer memory in use", pool_.bytes_in_use());
    gauge("buffer_held_bytes", "Octets of buffer memory in use or kept for later",
          pool_.bytes_held());
    gauge("starved", "Connections that wait for memory and for nothing else", list_.size());
    count("starved_total", "Times a connection began to wait for memory", entered_);
    count("yielded_total",
          "Connections reset because they stood still while no memory was left for others",
          yielded_);
    count("left_out_bytes_total",
          "Octets that came in order, found no memory and were left to be sent again",
          pool_.left_out());
  }

 private:
  struct Waiting {  // how many, by what they lack
    std::size_t received = 0, to_send = 0, packets = 0, first_received = 0, first_to_send = 0;
    void add(Lacks lacks) noexcept {
      received += static_cast<std::size_t>(lacks.received);
      to_send += static_cast<std::size_t>(lacks.to_send);
      packets += static_cast<std::size_t>(lacks.packets);
      first_received += static_cast<std::size_t>(lacks.first_received);
      first_to_send += static_cast<std::size_t>(lacks.first_to_send);
    }
    void remove(Lacks lacks) noexcept {
      received -= static_cast<std::size_t>(lacks.received);
      to_send -= static_cast<std::size_t>(lacks.to_send);
      packets -= static_cast<std::size_t>(lacks.packets);
      first_received -= static_cast<std::size_t>(lacks.first_received);
      first_to_send -= static_cast<std::size_t>(lacks.first_to_send);
    }
  };

  void enter(Item& item, Lacks lacks) noexcept {
    list_.enter(item);
    waiting_.add(lacks);
    item.lacking = lacks;
  }
  void serve() {
    std::size_t received = pool_.available(ChunkPool::Use::kReceived, 0);
    std::size_t to_send = pool_.available(ChunkPool::Use::kToSend, 0);
    const auto take = [](std::size_t& left) { return left > 0 && left-- > 0; };
    for (std::size_t n = std::min(list_.size(), kTurn); n > 0; --n) {
      if (!((received > 0 && waiting_.received > 0) || (to_send > 0 && waiting_.to_send > 0) ||
            waiting_.packets > 0)) {
        break;
      }
      Item& item = *list_.oldest();
      const Lacks lacks = item.lacking;
      leave(item);
      if (lacks.packets || (lacks.received && take(received)) || (lacks.to_send && take(to_send))) {
        wake_(item);
      } else {  // what it lacks is not there, what others lack is
        enter(item, lacks);
      }
    }
    if (list_.size() > 0) reactor_.timers().arm(timer_, reactor_.now() + kRetry);
  }

  Reactor& reactor_;
  const ChunkPool& pool_;
  std::function<void(Item&)> wake_;
  Timer timer_;
  AgeList<Item, &Item::starving> list_;
  Waiting waiting_;
  std::uint64_t entered_ = 0;
  std::uint64_t yielded_ = 0;
};

}  // namespace vtl::service
