// Worker: a thread with an event loop; the engine's implementation of Reactor.
//
// Theory of operation. One turn of the loop waits in epoll (with a nanosecond timeout, so that
// timers are finer than a millisecond), reads the clock once, then runs in this order: descriptor
// callbacks, posted tasks, due timers, polled tasks, and last the turn tasks that any of these
// scheduled. Turn tasks are how work is collected: a link flushes what its services emitted during
// the turn in one batch (but for much at once: link.h). Each of these does bounded work, so a turn
// is short and everyone's turn comes.
//
// With `busy_poll` set, the loop does not sleep until that much time has passed since it last found
// work: lower latency for a burning core.
//
// Thread rule: post() and stop() from any thread; before start() and after join() everything from
// the owner's thread; otherwise from the worker's own thread only.
// Invariants: a watch, poll task or turn task may be destroyed or removed inside any callback, its
// own included; its callback is not entered again. Posted tasks run in the order of posting; what
// was posted before stop() runs before the loop ends.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "vtl/base/counter.h"
#include "vtl/base/reactor.h"
#include "vtl/base/result.h"
#include "vtl/base/time.h"
#include "vtl/packet/packet.h"

namespace vtl::engine {

struct WorkerOptions {
  Duration tick = 50us;                   ///< resolution of timers
  Duration busy_poll = Duration::zero();  ///< spin this long after the last work; zero: never
  Duration poll_interval = 500us;         ///< how often idle poll tasks are asked
  std::optional<std::uint32_t> cpu = std::nullopt;  ///< bind the thread to this CPU
  PacketPool::Limits pool = {};
};

/// Something to run once at the end of a turn. Its destructor unschedules it.
class TurnTask {
 public:
  virtual ~TurnTask();
  TurnTask() = default;
  TurnTask(const TurnTask&) = delete;
  TurnTask& operator=(const TurnTask&) = delete;
  virtual void run_turn() = 0;

 private:
  friend class Worker;
  TurnTask** scheduled_in_ = nullptr;  // this task's place in the worker's list
};

/// Something that has no descriptor to wait for: asked every turn.
class PollTask {
 public:
  virtual ~PollTask() = default;
  /// Does bounded work; true when there may be more at once.
  virtual bool poll() = 0;
};

/// What the loop did; any thread reads.
struct WorkerCounters {
  Counter turns, sleeps, events, posted, timers;
};

class Worker final : public Reactor {
 public:
  /// `number`: from 0, the worker's name in listings.
  [[nodiscard]] static Outcome<std::unique_ptr<Worker>> create(std::uint32_t number,
                                                               const WorkerOptions& options);
  ~Worker() override;
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// Runs the loop on a thread of its own, all signals blocked.
  [[nodiscard]] Outcome<void> start();
  /// Runs the loop on the calling thread until stop().
  void run();
  /// One turn of the loop on the calling thread, sleeping as run() would: to drive it by hand.
  void turn();
  /// Ends the loop after what is already posted. Any thread; once is enough.
  void stop();
  /// Whether start() made a thread that was not joined yet.
  [[nodiscard]] bool started() const noexcept { return thread_.joinable(); }
  /// Waits for the thread's end.
  void join();
  [[nodiscard]] bool on_own_thread() const noexcept {
    return thread_id_.load(std::memory_order_relaxed) == std::this_thread::get_id();
  }

  [[nodiscard]] Time now() const noexcept override { return now_; }
  void post(std::function<void()> task) override;
  [[nodiscard]] std::unique_ptr<FdWatch> watch(int fd, Readiness interest,
                                               std::function<void(Readiness)> on_ready) override;
  [[nodiscard]] TimerWheel& timers() noexcept override { return *timers_; }
  [[nodiscard]] std::uint32_t worker() const noexcept override { return number_; }

  [[nodiscard]] PacketPool& pool() noexcept { return pool_; }
  [[nodiscard]] const WorkerCounters& counters() const noexcept { return counters_; }

  /// Runs `task` at the end of this turn (of the next, when called outside a turn); scheduling it
  /// twice is the same as once.
  void schedule(TurnTask& task);
  /// Asks `task` every turn until removed. Removing may happen inside poll().
  void add_poll(PollTask& task);
  void remove_poll(PollTask& task) noexcept;

 private:
  struct Watched;
  class Watch;

  Worker(std::uint32_t number, const WorkerOptions& options, int epoll_fd, int event_fd);
  void wait();
  [[nodiscard]] Duration sleep_time();
  void run_posted();
  void run_polls();
  void run_turn_tasks();
  void set_interest(Watched& watched, Readiness interest);
  void bury(Watched* watched) noexcept;

  const std::uint32_t number_;
  const WorkerOptions options_;
  const int epoll_fd_;
  const int event_fd_;
  SystemClock clock_;
  Time now_;
  Time last_work_;
  bool found_work_ = false;
  bool has_pwait2_ = true;
  PacketPool pool_;
  std::unique_ptr<TimerWheel> timers_;
  WorkerCounters counters_;

  std::vector<TurnTask*> turn_tasks_;
  std::vector<PollTask*> polls_;
  bool polls_removed_ = false;
  std::vector<Watched*> graveyard_;
  std::size_t live_watches_ = 0;

  std::mutex posted_mutex_;
  std::vector<std::function<void()>> posted_;  // guarded by posted_mutex_
  std::vector<std::function<void()>> running_;
  std::atomic<bool> wakened_{false};
  std::atomic<bool> stopping_{false};
  std::atomic<std::thread::id> thread_id_{};
  std::thread thread_;
};

}  // namespace vtl::engine
