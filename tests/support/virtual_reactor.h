// A Reactor on a virtual clock: tasks run when told, time jumps to the next timer.
// Thread rule: one thread. File descriptors cannot be watched.
#pragma once

#include <cstdlib>
#include <deque>
#include <functional>
#include <memory>
#include <utility>

#include "vtl/base/reactor.h"

namespace vtl::test {

class VirtualReactor final : public Reactor {
 public:
  [[nodiscard]] Time now() const noexcept override { return clock_.now(); }
  void post(std::function<void()> task) override { tasks_.push_back(std::move(task)); }
  [[nodiscard]] std::unique_ptr<FdWatch> watch(int, Readiness,
                                               std::function<void(Readiness)>) override {
    std::abort();  // A test on virtual time has no descriptors.
  }
  [[nodiscard]] TimerWheel& timers() noexcept override { return timers_; }
  [[nodiscard]] std::uint32_t worker() const noexcept override { return 0; }

  /// Runs what was posted, and what that posts.
  void run_tasks() {
    while (!tasks_.empty()) {
      const auto task = std::move(tasks_.front());
      tasks_.pop_front();
      task();
    }
  }

  /// Runs tasks and timers until `done` or until virtual time has moved on by `bound`. `idle` runs
  /// whenever no task is left; it returns true when it made progress. True when `done` was met.
  bool run_until(
      const std::function<bool()>& done, Duration bound,
      const std::function<bool()>& idle = [] { return false; }) {
    const Time end = now() + bound;
    while (true) {
      run_tasks();
      if (done()) return true;
      if (idle()) continue;
      if (!tasks_.empty()) continue;
      const Time next = timers_.next_deadline();
      if (next > end) return false;
      clock_.set(std::max(next, now()));
      timers_.advance(now());
    }
  }

 private:
  ManualClock clock_;
  TimerWheel timers_{100us, clock_.now()};
  std::deque<std::function<void()>> tasks_;
};

}  // namespace vtl::test
