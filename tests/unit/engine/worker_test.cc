#include "vtl/engine/worker.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <future>
#include <thread>

#include "tests/unit/engine/fake.h"

namespace vtl::engine {
namespace {

// A descriptor that is readable from the start.
class ReadyFd {
 public:
  ReadyFd() : fd_(::eventfd(1, EFD_NONBLOCK)) {}
  ~ReadyFd() { ::close(fd_); }
  [[nodiscard]] int get() const { return fd_; }
  void drain() const {
    std::uint64_t count = 0;
    EXPECT_EQ(::read(fd_, &count, sizeof count), static_cast<ssize_t>(sizeof count));
  }

 private:
  int fd_;
};

TEST(Worker, RunsPostedTasksInTheOrderOfPosting) {
  auto worker = std::move(*Worker::create(3, {}));
  ASSERT_TRUE(worker->start());
  std::vector<int> order;
  std::promise<void> done;
  for (int i = 0; i < 1000; ++i) worker->post([&order, i] { order.push_back(i); });
  worker->post([&] { done.set_value(); });
  done.get_future().wait();
  ASSERT_EQ(order.size(), 1000U);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
  EXPECT_EQ(worker->worker(), 3U);
}

TEST(Worker, RunsEveryTaskOfManyPostingThreads) {
  auto worker = std::move(*Worker::create(0, {}));
  ASSERT_TRUE(worker->start());
  constexpr int kThreads = 4;
  constexpr int kEach = 2000;
  int ran = 0;  // the worker's thread only
  std::vector<std::thread> posters;
  for (int t = 0; t < kThreads; ++t) {
    posters.emplace_back([&] {
      for (int i = 0; i < kEach; ++i) worker->post([&ran] { ++ran; });
    });
  }
  for (auto& poster : posters) poster.join();
  std::promise<int> result;
  worker->post([&] { result.set_value(ran); });
  EXPECT_EQ(result.get_future().get(), kThreads * kEach);
}

TEST(Worker, RunsWhatWasPostedBeforeStop) {
  auto worker = std::move(*Worker::create(0, {}));
  ASSERT_TRUE(worker->start());
  int ran = 0;
  for (int i = 0; i < 100; ++i) worker->post([&ran] { ++ran; });
  worker->stop();
  worker->join();
  EXPECT_EQ(ran, 100);
}

TEST(Worker, TaskPostedByATaskRuns) {
  HandWorker worker;
  bool inner = false;
  worker->post([&] { worker->post([&] { inner = true; }); });
  EXPECT_TRUE(worker.until([&] { return inner; }, 3));
}

TEST(Worker, ReadableDescriptorIsTold) {
  HandWorker worker;
  ReadyFd fd;
  int calls = 0;
  auto watch = worker->watch(fd.get(), Readiness::kReadable, [&](Readiness r) {
    EXPECT_EQ(r, Readiness::kReadable);
    ++calls;
  });
  worker.turns(3);
  EXPECT_EQ(calls, 3) << "level-triggered: as long as it is ready";
  fd.drain();
  worker->post([] {});
  worker.turn();
  EXPECT_EQ(calls, 3);
}

TEST(Worker, WatchWithoutInterestIsSilentAlsoAboutErrors) {
  HandWorker worker;
  std::array<int, 2> pair{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair.data()), 0);
  int calls = 0;
  auto watch = worker->watch(pair[0], Readiness::kReadable, [&](Readiness) { ++calls; });
  watch->set(Readiness::kNone);
  ::close(pair[1]);  // a hang-up, which epoll reports whatever the interest
  for (int i = 0; i < 3; ++i) {
    worker->post([] {});
    worker.turn();
  }
  EXPECT_EQ(calls, 0);
  watch->set(Readiness::kReadable);
  worker.turn();
  EXPECT_EQ(calls, 1);
  watch.reset();
  ::close(pair[0]);
}

TEST(Worker, WatchMayBeDestroyedInItsOwnCallback) {
  HandWorker worker;
  ReadyFd fd;
  int calls = 0;
  std::unique_ptr<FdWatch> watch;
  auto in_callback = std::make_shared<int>(7);
  watch = worker->watch(fd.get(), Readiness::kReadable, [&, in_callback](Readiness) {
    ++calls;
    watch.reset();
    EXPECT_EQ(*in_callback, 7) << "what the callback captured is still there";
  });
  worker.turn();
  worker->post([] {});
  worker.turn();
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(in_callback.use_count(), 1) << "and freed after the turn";
}

TEST(Worker, WatchDestroyedByAnotherCallbackOfTheSameTurnIsNotCalled) {
  HandWorker worker;
  ReadyFd a;
  ReadyFd b;
  int calls = 0;
  std::unique_ptr<FdWatch> watch_a;
  std::unique_ptr<FdWatch> watch_b;
  watch_a = worker->watch(a.get(), Readiness::kReadable, [&](Readiness) {
    ++calls;
    watch_b.reset();
  });
  watch_b = worker->watch(b.get(), Readiness::kReadable, [&](Readiness) {
    ++calls;
    watch_a.reset();
  });
  worker.turn();
  EXPECT_EQ(calls, 1);
}

TEST(Worker, DescriptorMayBeWatchedAgainInTheCallbackThatEndedItsWatch) {
  HandWorker worker;
  ReadyFd fd;
  int second = 0;
  std::unique_ptr<FdWatch> watch;
  watch = worker->watch(fd.get(), Readiness::kReadable, [&](Readiness) {
    watch.reset();
    watch = worker->watch(fd.get(), Readiness::kReadable, [&](Readiness) { ++second; });
  });
  worker.turns(2);
  EXPECT_EQ(second, 1);
}

TEST(Worker, TimerFiresAtItsDeadlineAndNotBefore) {
  HandWorker worker;
  Time fired{};
  Timer timer([&] { fired = worker->now(); });
  const Time deadline = worker->now() + 3ms;
  worker->timers().arm(timer, deadline);
  ASSERT_TRUE(worker.until([&] { return fired != Time{}; }));
  EXPECT_GE(fired, deadline);
}

TEST(Worker, IdleLoopWithATimerSleepsInsteadOfSpinning) {
  HandWorker worker(true);
  bool fired = false;
  Timer timer([&] { fired = true; });
  worker->timers().arm(timer, worker->now() + 20ms);
  const auto before = worker->counters().turns.value();
  ASSERT_TRUE(worker.until([&] { return fired; }));
  // The wheel wakes the loop to cascade; it must not be woken for every tick.
  EXPECT_LE(worker->counters().turns.value() - before, 40U);
}

class CountingTurn final : public TurnTask {
 public:
  explicit CountingTurn(std::function<void()> also = {}) : also_(std::move(also)) {}
  void run_turn() override {
    ++runs;
    if (also_) also_();
  }
  int runs = 0;

 private:
  std::function<void()> also_;
};

TEST(Worker, TurnTaskRunsOncePerTurnHoweverOftenScheduled) {
  HandWorker worker;
  CountingTurn task;
  worker->post([&] {
    worker->schedule(task);
    worker->schedule(task);
  });
  worker.turn();
  EXPECT_EQ(task.runs, 1);
  worker->post([] {});
  worker.turn();
  EXPECT_EQ(task.runs, 1);
}

TEST(Worker, DestroyedTurnTaskIsForgotten) {
  HandWorker worker;
  auto doomed = std::make_unique<CountingTurn>();
  CountingTurn killer([&] { doomed.reset(); });
  CountingTurn after;
  worker->schedule(killer);
  worker->schedule(*doomed);
  worker->schedule(after);
  worker.turn();
  EXPECT_EQ(killer.runs, 1);
  EXPECT_EQ(after.runs, 1);
}

TEST(Worker, TurnTasksThatScheduleThemselvesDoNotHoldTheLoop) {
  HandWorker worker;
  CountingTurn* self = nullptr;
  CountingTurn again([&] { worker->schedule(*self); });
  self = &again;
  worker->schedule(again);
  worker.turn();
  const int first = again.runs;
  EXPECT_GT(first, 0);
  worker.turn();
  EXPECT_GT(again.runs, first);
}

TEST(Worker, ManyTurnTasksAllRun) {
  HandWorker worker;
  std::vector<std::unique_ptr<CountingTurn>> tasks;
  for (int i = 0; i < 3000; ++i) tasks.push_back(std::make_unique<CountingTurn>());
  for (auto& task : tasks) worker->schedule(*task);
  tasks[2500].reset();
  worker.turns(4);
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    if (i == 2500) continue;
    EXPECT_EQ(tasks[i]->runs, 1) << i;
  }
}

TEST(Worker, RefusesACpuThatDoesNotExist) {
  auto worker = std::move(*Worker::create(0, {.cpu = 1023}));
  const auto started = worker->start();
  ASSERT_FALSE(started);
  EXPECT_NE(started.error().message.find("cpu 1023"), std::string::npos) << started.error().message;
}

}  // namespace
}  // namespace vtl::engine
