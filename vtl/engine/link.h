// Link: one guest, one network side, and the chain of services between them, on one worker.
//
// Theory of operation. The chain of n services has n + 1 boundaries: 0 is the guest's edge, n the
// network's; service i stands between boundaries i and i + 1. An outbound batch enters at 0 and
// climbs to n, an inbound one the other way. At each boundary the taps see the batch, then the next
// service gets it; packets that the service took away are removed. What a service emits waits at
// the boundary where it enters and is merged there: behind what the running process() leaves in its
// batch, or, when nothing is running, at the end of the worker's turn. So frames that a timer or a
// transport emits one by one leave in one batch. But once 128 KiB wait at a boundary they go on at
// once: more would push each other, and what the services copied them from, out of the processor's
// cache before the interface reads them. And a super-frame of TCP that nobody is to see between its
// service and the edge is not even put together (emit_gathered()): with taps, further services or
// an observer on its way it is. Both happen only where the edge is an interface's and not a hub's,
// while nothing runs in that direction, and never inside one another: so no service is called
// inside its own call.
//
// The order of frames at one boundary in one direction is kept. Work is bounded: the flush at the
// end of the turn makes at most kFlushRounds passes over the boundaries, the rest waits for the
// next turn; an early one is part of the work of who emits, and passes each boundary once.
//
// Thread rule: the worker's thread; counters from any.
// Invariants: the services live from start() to close(); after close() what a service's destructor
// still emits goes straight to the edge in its direction.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "vtl/base/counter.h"
#include "vtl/engine/fast_path.h"
#include "vtl/engine/port.h"
#include "vtl/engine/service.h"
#include "vtl/engine/worker.h"

namespace vtl::engine {

/// Sees the frames that pass a link's network edge, on the worker; it may not change them. Bounded
/// work per frame, bounded memory.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void observe(Direction direction, std::span<const Packet> frames, Time now) = 0;
  /// Called once, before observe(): flows may be given to `path`, which outlives the observer.
  virtual void use(FastPath& path) { (void)path; }
  /// Called once, before observe(): `played` tells the flows that a service of the link lists.
  virtual void leave_out(std::function<bool(const wire::FlowKey&)> played) { (void)played; }
  virtual void list_flows(std::vector<FlowInfo>& out) const { (void)out; }
  virtual void list_metrics(std::vector<ServiceMetric>& out) const { (void)out; }
};

struct LinkCounters {
  struct OneWay {
    Counter frames;  ///< that entered at this direction's edge; a super-frame counts once
    Counter bytes;
  };
  std::array<OneWay, 2> ways;  ///< by Direction
  DropCounters drops;          ///< outside any service

  [[nodiscard]] const OneWay& way(Direction d) const { return ways[static_cast<std::size_t>(d)]; }
};

/// What a link needs to know of the world, given once.
struct LinkSetup {
  std::string name;
  std::uint32_t workers = 1;
  std::uint64_t seed = 0;
  FrameSink* guest = nullptr;    ///< where inbound frames end
  FrameSink* network = nullptr;  ///< where outbound frames end; null: there is no network side
  const iface::Interface* guest_interface = nullptr;
  const iface::Interface* network_interface = nullptr;  ///< null as above
  std::function<transport::Transport*(std::string_view)> find_peer;
  std::function<transport::Proxy*(std::string_view)> find_proxy;
};

class Link final : private TurnTask {
 public:
  using TapFunction =
      std::function<void(Direction, std::uint32_t boundary, std::span<const Packet>)>;

  Link(Worker& worker, LinkSetup setup);
  ~Link() override;
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  /// Appends to the chain, before start().
  void add_service(std::unique_ptr<Service> service);
  void set_observer(std::unique_ptr<Observer> observer) { observer_ = std::move(observer); }
  /// The kernel may forward what every service can do without and the observer gives away.
  void set_fast_path(std::shared_ptr<iface::CutThrough> kernel);
  /// Why there is none, for listings.
  void set_fast_path_missing(std::string why) { fast_path_missing_ = std::move(why); }
  /// Starts the services, from the guest's side to the network's.
  void start();
  /// Asks every service to stop; `done` is called once all have, perhaps at once.
  void stop(std::function<void()> done);
  /// Ends the chain: what is pending leaves, the services are destroyed.
  void close();

  /// Where the guest's frames enter, and the network's.
  [[nodiscard]] FrameSink& entry(Direction direction) noexcept {
    return entries_[static_cast<std::size_t>(direction)];
  }

  /// Shows the frames that pass `boundary` (0 to services()) to `tap` until removed. Meanwhile
  /// nothing is cut through.
  std::uint32_t add_tap(std::uint32_t boundary, TapFunction tap);
  void remove_tap(std::uint32_t id);

  [[nodiscard]] const std::string& name() const noexcept { return setup_.name; }
  [[nodiscard]] std::uint32_t services() const noexcept {
    return static_cast<std::uint32_t>(slots_.size());
  }
  [[nodiscard]] const Service& service(std::uint32_t i) const noexcept;
  [[nodiscard]] Service& service(std::uint32_t i) noexcept;
  [[nodiscard]] const DropCounters& service_drops(std::uint32_t i) const noexcept;
  [[nodiscard]] const LinkCounters& counters() const noexcept { return counters_; }
  void list_flows(std::vector<FlowInfo>& out) const;
  [[nodiscard]] const Observer* observer() const noexcept { return observer_.get(); }
  [[nodiscard]] const FastPath* fast_path() const noexcept { return fast_path_.get(); }
  [[nodiscard]] const std::string& fast_path_missing() const noexcept { return fast_path_missing_; }

 private:
  class Slot;
  struct Entry final : FrameSink {
    void push(Batch& batch) override { link->enter(direction, batch); }
    Link* link = nullptr;
    Direction direction{};
  };
  struct Tap {
    std::uint32_t id;
    std::uint32_t boundary;
    TapFunction function;
  };

  void run_turn() override;
  [[nodiscard]] std::size_t mtu();
  void enter(Direction direction, Batch& batch);
  void run(Direction direction, std::uint32_t boundary, Batch& batch);
  void leave(Direction direction, Batch& batch);
  void flush_boundary(Direction direction, std::uint32_t boundary);
  [[nodiscard]] FrameSink* sink(Direction direction) const noexcept;
  [[nodiscard]] bool may_flush_early(Direction direction) const noexcept;
  void flush_early(Direction direction, std::uint32_t boundary);
  void emit(Direction direction, std::uint32_t boundary, Packet packet);
  [[nodiscard]] bool gathers(Direction direction, std::uint32_t boundary) const noexcept;
  [[nodiscard]] bool emit_gathered(Direction direction, std::uint32_t boundary, const Packet& head,
                                   std::span<const Bytes> payload);
  void show_taps(Direction direction, std::uint32_t boundary, const Batch& batch);
  /// What services emitted, and waits at a boundary.
  struct Emitted {
    Batch frames;
    std::size_t bytes = 0;
  };
  [[nodiscard]] Emitted& pending(Direction direction, std::uint32_t boundary) {
    return pending_[static_cast<std::size_t>(direction)][boundary];
  }

  Worker& worker_;
  LinkSetup setup_;
  std::array<Entry, 2> entries_;
  std::vector<std::unique_ptr<Slot>> slots_;
  std::unique_ptr<FastPath> fast_path_;
  std::string fast_path_missing_;
  std::unique_ptr<Observer> observer_;
  std::array<std::vector<Emitted>, 2> pending_;  // by direction, then boundary
  std::array<bool, 2> runs_{};                   // by direction: run() is at work
  bool flushing_early_ = false;                  // before the end of the turn
  std::vector<Tap> taps_;
  std::uint32_t next_tap_ = 1;
  bool closing_ = false;
  std::size_t mtu_ = 0;
  Time mtu_valid_until_{};
  LinkCounters counters_;
};

}  // namespace vtl::engine
