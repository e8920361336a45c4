// PlayedTable: the connections whose ends a service plays: found by their flows, bounded, pumped
// once a turn, ended and counted. What every such service has, whatever its connections are.
//
// Theory of operation. The table owns the items, one for each connection. The service feeds a batch
// of frames through process(); what it finds for a frame it tells of the segment and schedules.
// Each scheduled item is pumped once after the batch: one acknowledgement and one write for all of
// its frames. An item that has news at another time schedules itself. One that is over says so, and
// leaves the table at the end of the turn; one that gives way to another leaves at once. Either is
// destroyed when no turn needs it any more, never inside one of its own calls.
//
//   opens -> [ half-open ] -> established() -> ... -> [ lingers() ] -> over()
//
// Bounds. At max_connections the oldest item that only waits out TIME-WAIT is forgotten; without
// one there is no room, which is counted. At max_half_open the oldest half-open one is given up
// (half_open.h). All buffers' memory comes from one pool of `memory` octets; who waits for it is on
// the list of the starved (starved.h).
//
// What an Item is. It is made with a reference to its table, and has
//   using Owner                         what else it needs of its service: owner()
//   static constexpr bool kFoundByBothDirections   whether frames of its flow's other direction
//   find
//                                       it too; else only those of key() do
//   const wire::FlowKey& or wire::FlowKey key() const
//   void pump()                         moves what is to be moved, sends what is due
//   void give_up()                      ends it without a word to whoever opened it; calls over()
//   void abort()                        resets both sides; calls over()
//   void leave() noexcept               it has left the table: nothing more may happen to it
//   bool is_over() const                over() was called, or leave()
//   void count_into(PlayedTotals&) const   adds its ends
//   engine::FlowInfo info(Time) const
//   AgePlace<Item> half_open, lingering, starving; Lacks lacking; bool scheduled = false
//                                       the table's; the item may ask whether half_open.held
// An item that is over calls nothing of its table, and its pump() does nothing.
//
// Thread rule: the reactor's thread. Invariants: every item in the table has its own flow; the
// context, the owner and this live longer than the items.
#pragma once

#include <absl/container/flat_hash_set.h>

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "vtl/base/chunk_pool.h"
#include "vtl/engine/flow_info.h"
#include "vtl/engine/service.h"
#include "vtl/packet/packet.h"
#include "vtl/service/age_list.h"
#include "vtl/service/half_open.h"
#include "vtl/service/played_end.h"
#include "vtl/service/played_totals.h"
#include "vtl/service/starved.h"
#include "vtl/service/turns.h"
#include "vtl/wire/flow_key.h"

namespace vtl::service {

struct PlayedOptions {
  std::size_t max_connections = 65536;          ///< at once, half-open ones included
  std::size_t max_half_open = 4096;             ///< whose handshakes are not done; at least 1
  std::size_t memory = std::size_t{512} << 20;  ///< octets buffered in all
  PlayedEndOptions ends;
};

/// Those that stand in a service's own options, under the same names.
template <class Options>
[[nodiscard]] PlayedOptions played_options(const Options& options) {
  return {.max_connections = options.max_connections,
          .max_half_open = options.max_half_open,
          .memory = options.memory,
          .ends = {.buffer = options.buffer,
                   .keep_alive = options.keep_alive,
                   .time_wait = options.time_wait}};
}

template <class Item>
class PlayedTable {
 public:
  using Owner = typename Item::Owner;

  PlayedTable(engine::ServiceContext& context, Owner& owner, const PlayedOptions& options)
      : context_(context),
        owner_(owner),
        max_connections_(options.max_connections),
        chunks_(options.memory),
        starved_(context.reactor(), chunks_, [this](Item& item) { schedule(item); }),
        ends_(context, chunks_, options.ends),
        half_open_(options.max_half_open),
        turns_(context.reactor(), [this] { run_turn(); }) {}
  /// Aborts what is there.
  ~PlayedTable() {
    for (const Owned& item : items_) {
      item->abort();
      leave_lists(*item);
    }
  }
  PlayedTable(const PlayedTable&) = delete;
  PlayedTable& operator=(const PlayedTable&) = delete;

  // For the service.

  /// Calls each(packet) for the frames of `batch`, then runs a turn.
  template <class Each>
  void process(Batch& batch, Each each) {
    turns_.hold(true);
    for (Packet& packet : batch) each(packet);
    turns_.hold(false);
    run_turn();
  }
  /// Null: there is none.
  [[nodiscard]] Item* find(const wire::FlowKey& key) const {
    const auto it = items_.find(key);
    return it == items_.end() ? nullptr : it->get();
  }
  [[nodiscard]] std::size_t size() const noexcept { return items_.size(); }

  /// Whether one more connection may begin beside those in the table and `arriving` ones, which
  /// have a place promised. Forgets one that lingers, or counts that there was no room.
  [[nodiscard]] bool has_room(std::size_t arriving = 0) {
    if (items_.size() + arriving < max_connections_ || evict_lingering()) return true;
    ++limit_connections_;
    return false;
  }
  /// To be called before insert(), and before what the new item takes of other bounds is taken.
  void make_half_open_room() {
    if (Item* const oldest = half_open_.make_room()) {
      oldest->give_up();
      retire(*oldest);
    }
  }
  /// A half-open connection; it is scheduled. There is none of its flow.
  void insert(std::unique_ptr<Item> item) {
    half_open_.enter(*item);
    schedule(*item);
    [[maybe_unused]] const bool fresh = items_.insert(std::move(item)).second;
    assert(fresh);
  }
  /// Takes `item`, which is in the table, out of it: another takes its place, or nothing is left of
  /// it. It is destroyed later.
  void retire(Item& item) {
    Owned owned = std::move(items_.extract(items_.find(item.key())).value());
    leave_lists(item);
    item.leave();
    item.count_into(totals_);
    turns_.retire(std::move(owned));
  }

  /// Ends in order: calls `done` once all that is left only lingers.
  void stop(std::function<void()> done) {
    running_ = false;
    stopped_ = std::move(done);
    check_stopped();
  }
  /// False once it was told to stop: no connection is to begin.
  [[nodiscard]] bool running() const noexcept { return running_; }

  void list_flows(std::vector<engine::FlowInfo>& out) const {
    const Time now = context_.reactor().now();
    for (const Owned& item : items_) out.push_back(item->info(now));
  }
  /// `arriving`: as for has_room().
  void list_metrics(std::vector<engine::ServiceMetric>& out, std::size_t arriving = 0) const;
  /// Octets of the table itself.
  [[nodiscard]] std::size_t memory() const noexcept {
    return items_.capacity() * (sizeof(Owned) + 1);
  }

  // For the items too.

  [[nodiscard]] engine::ServiceContext& context() noexcept { return context_; }
  [[nodiscard]] Owner& owner() noexcept { return owner_; }
  [[nodiscard]] PlayedEnds& ends() noexcept { return ends_; }
  [[nodiscard]] Starved<Item>& starved() noexcept { return starved_; }
  /// Calls item.pump() soon, once however often it was asked.
  void schedule(Item& item) { turns_.schedule(item); }
  /// The handshakes are done.
  void established(Item& item) noexcept {
    if (half_open_.leave(item)) ++established_;
  }
  /// Nothing moves any more: `item` only waits out TIME-WAIT. Told once.
  void lingers(Item& item) noexcept { lingering_.enter(item); }
  /// `item` has ended: it may be destroyed as soon as the caller has returned.
  void over(Item& item) {
    over_.push_back(item.key());
    turns_.post();
  }

 private:
  using Owned = std::unique_ptr<Item>;
  /// The table holds pointers only, and finds the key behind them.
  struct Key {
    using is_transparent = void;
    static wire::FlowKey of(const wire::FlowKey& key) {
      if constexpr (Item::kFoundByBothDirections) {
        if (key.destination < key.source) return key.reversed();
      }
      return key;
    }
    static wire::FlowKey of(const Owned& item) { return of(item->key()); }
  };
  struct Hash : Key {
    std::size_t operator()(const auto& item) const {
      return absl::Hash<wire::FlowKey>{}(Key::of(item));
    }
  };
  struct Equal : Key {
    bool operator()(const auto& a, const auto& b) const { return Key::of(a) == Key::of(b); }
  };

  void leave_lists(Item& item) noexcept {
    half_open_.leave(item);
    lingering_.leave(item);
    starved_.leave(item);
  }
  [[nodiscard]] bool evict_lingering() {
    Item* const oldest = lingering_.oldest();
    if (oldest == nullptr) return false;
    retire(*oldest);
    ++evicted_;
    return true;
  }
  void run_turn() {
    turns_.run([](Item& item) { item.pump(); }, [this] { retire_over(); });
    if (stopped_) check_stopped();
  }
  void retire_over() {
    for (const wire::FlowKey& key : over_) {
      // Another may have its place by now.
      if (Item* const item = find(key); item != nullptr && item->is_over()) retire(*item);
    }
    over_.clear();
  }
  void check_stopped() {
    if (items_.size() == lingering_.size()) std::exchange(stopped_, nullptr)();
  }

  engine::ServiceContext& context_;
  Owner& owner_;
  std::size_t max_connections_;
  ChunkPool chunks_;
  Starved<Item> starved_;
  PlayedEnds ends_;
  HalfOpenTable<Item> half_open_;
  AgeList<Item, &Item::lingering> lingering_;
  absl::flat_hash_set<Owned, Hash, Equal> items_;
  std::vector<wire::FlowKey> over_;
  Turns<Item> turns_;
  PlayedTotals totals_;  ///< of the connections that are over
  std::uint64_t established_ = 0, limit_connections_ = 0, evicted_ = 0;
  bool running_ = true;
  std::function<void()> stopped_;
};

template <class Item>
void PlayedTable<Item>::list_metrics(std::vector<engine::ServiceMetric>& out,
                                     std::size_t arriving) const {
  const auto count = [&](const char* name, const char* help, std::uint64_t value) {
    out.push_back({name, help, static_cast<double>(value), true});
  };
  const auto gauge = [&](const char* name, const char* help, std::size_t value) {
    out.push_back({name, help, static_cast<double>(value), false});
  };
  gauge("connections", "Connections now, half-open ones and those in TIME-WAIT included",
        items_.size());
  gauge("half_open", "Connections whose handshakes are not done", half_open_.size() + arriving);
  starved_.list_metrics(out);
  count("established_total", "Connections whose both handshakes were completed", established_);
  count("limit_connections_total", "Openings turned away at max_connections", limit_connections_);
  count("limit_half_open_total",
        "Half-open connections given up at max_half_open, the oldest first", half_open_.evicted());
  count("evicted_total", "Connections in TIME-WAIT forgotten early to make room", evicted_);
  totals_.list(out);
}

}  // namespace vtl::service
