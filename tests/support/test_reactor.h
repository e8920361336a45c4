// TestReactor: a plain Reactor on epoll and an eventfd, for tests that need real descriptors.
//
// One thread runs it: run_until() turns the loop until a state is reached, bounded by a time that
// is far beyond what the state needs. skip() lets hours pass for timers. post() from any thread.
#pragma once

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "tests/support/sanitizer.h"
#include "vtl/base/reactor.h"

namespace vtl::test {

/// Bounds of waiting are this much longer where everything takes longer.
constexpr int kPatience = kThreadSanitizer ? 6 : 1;

class TestReactor final : public Reactor {
 public:
  explicit TestReactor(std::uint32_t worker = 0)
      : worker_(worker),
        epoll_(::epoll_create1(EPOLL_CLOEXEC)),
        wake_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
        now_(clock_.now()),
        timers_(1ms, now_) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = 0;
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event);
  }
  ~TestReactor() override {
    ::close(wake_);
    ::close(epoll_);
  }
  TestReactor(const TestReactor&) = delete;
  TestReactor& operator=(const TestReactor&) = delete;

  Time now() const noexcept override { return now_; }
  TimerWheel& timers() noexcept override { return timers_; }
  std::uint32_t worker() const noexcept override { return worker_; }

  void post(std::function<void()> task) override {
    {
      const std::lock_guard lock(mutex_);
      posted_.push_back(std::move(task));
    }
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto n = ::write(wake_, &one, sizeof one);
  }

  std::unique_ptr<FdWatch> watch(int fd, Readiness interest,
                                 std::function<void(Readiness)> on_ready) override {
    return std::make_unique<Watch>(*this, fd, interest, std::move(on_ready));
  }

  /// Runs until `state` holds; false when it did not within kPatience times `bound`.
  template <class State>
  [[nodiscard]] bool run_until(State state, Duration bound = 20s) {
    const Time end = clock_.now() + kPatience * bound;
    while (!state()) {
      if (clock_.now() > end) return false;
      turn(20);
    }
    return true;
  }
  /// Lets so much time pass in no time; what is due by then fires in the turns that follow.
  void skip(Duration time) { skipped_ += time; }
  /// How often a watch's interest was changed, each a system call.
  [[nodiscard]] std::uint64_t interest_changes() const noexcept { return interest_changes_; }
  /// Runs for a while: only for "nothing happens meanwhile".
  void run_for(Duration time) {
    const Time end = clock_.now() + time;
    while (clock_.now() < end) turn(5);
  }

 private:
  class Watch final : public FdWatch {
   public:
    Watch(TestReactor& reactor, int fd, Readiness interest, std::function<void(Readiness)> on_ready)
        : reactor_(reactor),
          fd_(fd),
          id_(++reactor.next_id_),
          on_ready_(std::make_shared<std::function<void(Readiness)>>(std::move(on_ready))) {
      reactor_.watches_[id_] = this;
      change(interest);
    }
    ~Watch() override {
      reactor_.watches_.erase(id_);
      change(Readiness::kNone);
    }
    void set(Readiness interest) override {
      if (interest != interest_) ++reactor_.interest_changes_;
      change(interest);
    }
    [[nodiscard]] std::shared_ptr<std::function<void(Readiness)>> callback() const {
      return on_ready_;
    }

   private:
    // As the engine's workers do: without interest the descriptor leaves the set, and its errors
    // are not told.
    void change(Readiness interest) {
      if (interest == interest_) return;
      const int operation = interest == Readiness::kNone    ? EPOLL_CTL_DEL
                            : interest_ == Readiness::kNone ? EPOLL_CTL_ADD
                                                            : EPOLL_CTL_MOD;
      const auto bits = static_cast<std::uint8_t>(interest);
      epoll_event event{};
      event.events = ((bits & 1) != 0 ? EPOLLIN : 0U) | ((bits & 2) != 0 ? EPOLLOUT : 0U);
      event.data.u64 = id_;
      ::epoll_ctl(reactor_.epoll_, operation, fd_, &event);
      interest_ = interest;
    }
    TestReactor& reactor_;
    int fd_;
    std::uint64_t id_;
    Readiness interest_ = Readiness::kNone;
    std::shared_ptr<std::function<void(Readiness)>> on_ready_;
  };

  [[nodiscard]] Time present() const noexcept { return clock_.now() + skipped_; }

  void turn(int wait_ms) {
    if (timers_.next_deadline() != kNever) {
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(timers_.next_deadline() - present());
      wait_ms = static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, wait_ms));
    }
    std::array<epoll_event, 64> events;
    const int n = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), wait_ms);
    now_ = present();
    for (int i = 0; i < n; ++i) deliver(events[static_cast<std::size_t>(i)]);
    timers_.advance(now_);
    std::vector<std::function<void()>> tasks;
    {
      const std::lock_guard lock(mutex_);
      tasks.swap(posted_);
    }
    for (auto& task : tasks) task();
  }

  void deliver(const epoll_event& event) {
    if (event.data.u64 == 0) {
      std::uint64_t count = 0;
      [[maybe_unused]] const auto n = ::read(wake_, &count, sizeof count);
      return;
    }
    const std::uint64_t id = event.data.u64;  // the structure is packed: no reference into it
    const auto at = watches_.find(id);
    if (at == watches_.end()) return;  // ended earlier in this turn
    std::uint8_t bits = 0;
    if ((event.events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) bits |= 1;
    if ((event.events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) bits |= 2;
    const auto callback = at->second->callback();
    (*callback)(static_cast<Readiness>(bits));
  }

  SystemClock clock_;
  Duration skipped_{0};
  std::uint64_t interest_changes_ = 0;
  std::uint32_t worker_;
  int epoll_;
  int wake_;
  Time now_;
  TimerWheel timers_;
  std::mutex mutex_;
  std::vector<std::function<void()>> posted_;
  std::map<std::uint64_t, Watch*> watches_;
  std::uint64_t next_id_ = 0;
};

}  // namespace vtl::test
