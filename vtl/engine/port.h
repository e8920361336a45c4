// Port: one interface on one worker, with what the engine adds to it: reading by readiness or by
// polling, a bounded transmit backlog, and backpressure.
//
// Theory of operation. While the interface takes what is written, the port holds nothing. When
// write() falls short the rest goes to the backlog, and the ports that feed this one (its
// `feeders`) stop reading until the backlog is empty again: frames wait where they are, in the
// feeder's own queue, instead of being dropped here. What arrives all the same (emitted by
// services, or from a shared uplink, which is nobody's to pause) is queued too, up to the limits. A
// frame beyond the limits, or one that has waited for longer than max_wait, is dropped and counted
// as tx-queue-full. An empty packet at the head of the backlog is a frame that the interface has in
// part: it stays until the interface is done with it, however long, and pauses nobody.
//
// An interface that reports kClosed is read and polled no more, for good; it is still written to
// (it counts what it cannot send), and the port tells `on_closed`. The opposite direction of the
// link goes on, and so does the interface's attending to its device.
//
// Thread rule: the worker's thread; counters from any.
// Invariants: frames leave in the order in which they were pushed; only the head of the backlog may
// be an empty packet; frames wait behind it exactly while the feeders are paused by this port.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "vtl/base/counter.h"
#include "vtl/engine/worker.h"
#include "vtl/iface/interface.h"
#include "vtl/packet/packet.h"

namespace vtl::engine {

/// Where a batch goes next. push() takes every packet and leaves the batch cleared.
class FrameSink {
 public:
  virtual ~FrameSink() = default;
  virtual void push(Batch& batch) = 0;
  /// Frames leave VTL here: push() calls no link and no service.
  [[nodiscard]] virtual bool is_last() const noexcept { return false; }
  /// Whether push_gathered() is worth trying now; only where is_last().
  [[nodiscard]] virtual bool gathers() const noexcept { return false; }
  /// As Interface::write_gathered(), behind all that was pushed before.
  [[nodiscard]] virtual bool push_gathered(const Packet& head, std::span<const Bytes> payload) {
    (void)head, (void)payload;
    return false;
  }
};

struct PortLimits {
  std::size_t frames = 1024;                 ///< in the backlog; rounded up to a power of two
  std::size_t bytes = std::size_t{8} << 20;  ///< in the backlog
  Duration max_wait = 500ms;                 ///< of a frame in the backlog
  Duration retry = 250us;  ///< between attempts, for an interface that cannot signal writable
  std::uint32_t batches_per_turn = 4;  ///< read before others get their turn
};

struct PortCounters {
  Counter blocked;  ///< how often the transmit queue was full
  Counter paused;   ///< how often reading stopped because a queue it feeds was full
  Counter backlog;  ///< frames waiting now
  DropCounters drops;
};

class Port final : public FrameSink, private PollTask {
 public:
  Port(Worker& worker, std::string name, std::unique_ptr<iface::Interface> interface,
       const PortLimits& limits = {});
  ~Port() override;
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

  /// Frames that are read go to `receiver` from now on.
  void start(FrameSink& receiver, std::function<void()> on_closed = {});
  /// Reads no more.
  void stop_reading();
  /// `feeder` stops reading while this port's transmit queue is full.
  void add_feeder(Port& feeder) { feeders_.push_back(&feeder); }

  /// The kernel forwards what `cut` says (Interface::leave_to).
  [[nodiscard]] bool leave_to(const iface::CutThrough& cut) { return interface_->leave_to(cut); }

  /// Sends the batch, or queues it.
  void push(Batch& batch) override;
  [[nodiscard]] bool is_last() const noexcept override { return true; }
  [[nodiscard]] bool gathers() const noexcept override {
    return count_ == 0 && interface_->gathers();
  }
  [[nodiscard]] bool push_gathered(const Packet& head, std::span<const Bytes> payload) override {
    return count_ == 0 && interface_->write_gathered(head, payload);
  }
  /// Tries to send the backlog now.
  void flush();

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] const iface::Interface& interface() const noexcept { return *interface_; }
  [[nodiscard]] const PortCounters& counters() const noexcept { return counters_; }
  [[nodiscard]] bool closed() const noexcept { return closed_; }
  [[nodiscard]] bool blocked() const noexcept { return count_ > 0; }

 private:
  bool poll() override;
  [[nodiscard]] bool read();
  void on_ready(Readiness readiness);
  void look();
  void update_interest();
  void pause();
  void resume();
  void close();
  [[nodiscard]] std::size_t write(std::span<Packet> frames);
  void enqueue(Packet packet);
  Packet pop_front();
  void drop_expired();
  void arm_retry();
  /// Whether the head of the backlog is a frame that the interface has in part.
  [[nodiscard]] bool in_part() const noexcept { return count_ > 0 && !frames_[head_]; }
  void after_backlog_change();
  [[nodiscard]] bool polled() const noexcept { return interface_->fd() < 0; }

  Worker& worker_;
  const std::string name_;
  const PortLimits limits_;
  std::unique_ptr<iface::Interface> interface_;
  FrameSink* receiver_ = nullptr;
  std::function<void()> on_closed_;
  std::unique_ptr<FdWatch> watch_;
  std::unique_ptr<FdWatch> events_;  // of the interface (Interface::events_fd)
  Timer retry_;
  Timer look_;  // at an interface that is down: it may be gone, and nothing tells
  Batch batch_;
  std::vector<Port*> feeders_;
  std::uint32_t pauses_ = 0;  // ports whose full queue stops this one's reading
  bool closed_ = false;
  bool feeders_paused_ = false;
  PortCounters counters_;

  // The backlog, a ring whose size is a power of two; made at its first use.
  std::vector<Packet> frames_;
  std::vector<Time> since_;
  std::size_t head_ = 0;
  std::size_t count_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace vtl::engine
