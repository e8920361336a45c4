#include "vtl/engine/worker.h"

#include <fmt/format.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <utility>

namespace vtl::engine {
namespace {

// What fires together emits together: no more packets are taken from the pool than can leave soon.
constexpr std::size_t kTimersPerTurn = 256;
constexpr int kEventsPerTurn = 64;
// A chain of tasks that schedule each other must not hold the loop: the rest runs next turn.
constexpr std::size_t kTurnTasksPerTurn = 1024;

std::uint32_t epoll_bits(Readiness interest) {
  const auto bits = static_cast<unsigned>(interest);
  return ((bits & 1U) != 0 ? EPOLLIN : 0U) | ((bits & 2U) != 0 ? EPOLLOUT : 0U);
}

Readiness readiness(std::uint32_t events) {
  // Errors and hang-ups are told as both: whoever reads or writes then learns what it is.
  if ((events & (EPOLLERR | EPOLLHUP)) != 0) return Readiness::kBoth;
  return static_cast<Readiness>(((events & EPOLLIN) != 0 ? 1 : 0) |
                                ((events & EPOLLOUT) != 0 ? 2 : 0));
}

}  // namespace

// What epoll points at. It outlives its Watch until the end of the turn, so that an event already
// fetched for it, or its own running callback, finds it alive.
struct Worker::Watched {
  int fd;
  Readiness interest = Readiness::kNone;
  bool dead = false;
  std::function<void(Readiness)> on_ready;
};

class Worker::Watch final : public FdWatch {
 public:
  Watch(Worker& worker, Watched* watched) : worker_(worker), watched_(watched) {}
  ~Watch() override { worker_.bury(watched_); }
  void set(Readiness interest) override { worker_.set_interest(*watched_, interest); }

 private:
  Worker& worker_;
  Watched* watched_;
};

TurnTask::~TurnTask() {
  if (scheduled_in_ != nullptr) *scheduled_in_ = nullptr;
}

Outcome<std::unique_ptr<Worker>> Worker::create(std::uint32_t number,
                                                const WorkerOptions& options) {
  const int epoll_fd = ::epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd < 0) return fail(fmt::format("cannot create an epoll set: {}", strerror(errno)));
  const int event_fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (event_fd < 0) {
    const int error = errno;
    ::close(epoll_fd);
    return fail(fmt::format("cannot create an event descriptor: {}", strerror(error)));
  }
  return std::unique_ptr<Worker>(new Worker(number, options, epoll_fd, event_fd));
}

Worker::Worker(std::uint32_t number, const WorkerOptions& options, int epoll_fd, int event_fd)
    : number_(number),
      options_(options),
      epoll_fd_(epoll_fd),
      event_fd_(event_fd),
      now_(clock_.now()),
      last_work_(now_),
      pool_(options.pool),
      timers_(std::make_unique<TimerWheel>(options.tick, now_)) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = nullptr;
  const int added = ::epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, event_fd_, &event);
  assert(added == 0);
  (void)added;
  turn_tasks_.reserve(kTurnTasksPerTurn);
}

Worker::~Worker() {
  stop();
  join();
  run_posted();  // what came after the loop's end still runs, once, on the owner's thread
  for (auto* watched : graveyard_) delete watched;
  assert(live_watches_ == 0 && "a watch must not outlive its worker");
  for (auto* task : turn_tasks_) {
    if (task != nullptr) task->scheduled_in_ = nullptr;
  }
  ::close(event_fd_);
  ::close(epoll_fd_);
}

Outcome<void> Worker::start() {
  assert(!thread_.joinable());
  if (options_.cpu && *options_.cpu >= CPU_SETSIZE) {
    return fail(fmt::format("cpu {} is out of range", *options_.cpu));
  }
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_setname_np(thread_.native_handle(), fmt::format("vtl-worker-{}", number_).c_str());
  if (options_.cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(*options_.cpu, &set);
    const int error = pthread_setaffinity_np(thread_.native_handle(), sizeof set, &set);
    if (error != 0) {
      stop();
      join();
      return fail(fmt::format("cannot bind worker {} to cpu {}: {}", number_, *options_.cpu,
                              strerror(error)));
    }
  }
  return {};
}

void Worker::run() {
  thread_id_.store(std::this_thread::get_id(), std::memory_order_relaxed);
  prctl(PR_SET_TIMERSLACK, 1UL);  // the default of 50 us would be added to every timer
  while (!stopping_.load(std::memory_order_acquire)) turn();
  run_posted();
  run_turn_tasks();
  thread_id_.store(std::thread::id{}, std::memory_order_relaxed);
}

void Worker::stop() {
  stopping_.store(true, std::memory_order_release);
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(event_fd_, &one, sizeof one);
}

void Worker::join() {
  if (thread_.joinable()) thread_.join();
}

void Worker::post(std::function<void()> task) {
  {
    const std::scoped_lock lock(posted_mutex_);
    posted_.push_back(std::move(task));
  }
  if (!wakened_.exchange(true, std::memory_order_acq_rel)) {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(event_fd_, &one, sizeof one);
  }
}

std::unique_ptr<FdWatch> Worker::watch(int fd, Readiness interest,
                                       std::function<void(Readiness)> on_ready) {
  auto watched = std::make_unique<Watched>();
  watched->fd = fd;
  watched->on_ready = std::move(on_ready);
  auto watch = std::make_unique<Watch>(*this, watched.get());
  ++live_watches_;
  set_interest(*watched.release(), interest);
  return watch;
}

void Worker::set_interest(Watched& watched, Readiness interest) {
  if (watched.interest == interest) return;
  // Without interest the descriptor leaves the set: epoll would report its errors all the same, and
  // the loop would spin on them.
  const int operation = interest == Readiness::kNone           ? EPOLL_CTL_DEL
                        : watched.interest == Readiness::kNone ? EPOLL_CTL_ADD
                                                               : EPOLL_CTL_MOD;
  epoll_event event{};
  event.events = epoll_bits(interest);
  event.data.ptr = &watched;
  const int result = ::epoll_ctl(epoll_fd_, operation, watched.fd, &event);
  assert((result == 0 || operation == EPOLL_CTL_DEL) && "the descriptor can be watched once");
  (void)result;
  watched.interest = interest;
}

void Worker::bury(Watched* watched) noexcept {
  set_interest(*watched, Readiness::kNone);
  watched->dead = true;
  --live_watches_;
  graveyard_.push_back(watched);
}

void Worker::schedule(TurnTask& task) {
  if (task.scheduled_in_ != nullptr) return;
  if (turn_tasks_.size() == turn_tasks_.capacity()) {
    std::vector<TurnTask*> larger;
    larger.reserve(turn_tasks_.capacity() * 2);
    for (auto* scheduled : turn_tasks_) {
      larger.push_back(scheduled);
      if (scheduled != nullptr) scheduled->scheduled_in_ = &larger.back();
    }
    turn_tasks_ = std::move(larger);
  }
  turn_tasks_.push_back(&task);
  task.scheduled_in_ = &turn_tasks_.back();
}

void Worker::add_poll(PollTask& task) {
  polls_.push_back(&task);
}

void Worker::remove_poll(PollTask& task) noexcept {
  std::replace(polls_.begin(), polls_.end(), &task, static_cast<PollTask*>(nullptr));
  polls_removed_ = true;
}

void Worker::turn() {
  counters_.turns.add();
  wait();
  run_posted();
  const std::size_t fired = timers_->advance(now_, kTimersPerTurn);
  counters_.timers.add(fired);
  found_work_ = found_work_ || fired > 0;
  run_polls();
  run_turn_tasks();
  for (auto* watched : graveyard_) delete watched;
  graveyard_.clear();
}

Duration Worker::sleep_time() {
  if (!turn_tasks_.empty() || stopping_.load(std::memory_order_acquire)) return Duration::zero();
  if (found_work_) last_work_ = now_;
  if (!polls_.empty() && found_work_) return Duration::zero();
  if (options_.busy_poll > Duration::zero() && now_ - last_work_ < options_.busy_poll) {
    return Duration::zero();
  }
  Duration sleep = Duration::max();
  const Time deadline = timers_->next_deadline();
  if (deadline != kNever) {
    // The turn's own work took time since now_ was read: sleep from the present.
    const Time present = clock_.now();
    sleep = std::max(deadline - present, Duration::zero());
  }
  if (!polls_.empty()) sleep = std::min(sleep, options_.poll_interval);
  return sleep;
}

void Worker::wait() {
  const Duration sleep = sleep_time();
  found_work_ = false;
  if (sleep > Duration::zero()) counters_.sleeps.add();
  std::array<epoll_event, kEventsPerTurn> events;
  int n = -1;
  errno = ENOSYS;
  if (has_pwait2_) {
    timespec timeout{};
    const auto seconds = std::chrono::floor<std::chrono::seconds>(sleep);
    timeout.tv_sec = seconds.count();
    timeout.tv_nsec = (sleep - seconds).count();
    n = ::epoll_pwait2(epoll_fd_, events.data(), kEventsPerTurn,
                       sleep == Duration::max() ? nullptr : &timeout, nullptr);
  }
  if (n < 0 && errno == ENOSYS) {
    // A kernel before 5.11: whole milliseconds, rounded down, so the last one is spun through.
    has_pwait2_ = false;
    const auto ms = std::chrono::floor<std::chrono::milliseconds>(sleep).count();
    n = ::epoll_wait(epoll_fd_, events.data(), kEventsPerTurn,
                     sleep == Duration::max() ? -1 : static_cast<int>(std::min<long>(ms, 60000)));
  }
  now_ = clock_.now();
  for (int i = 0; i < n; ++i) {
    auto* watched = static_cast<Watched*>(events[static_cast<std::size_t>(i)].data.ptr);
    if (watched == nullptr) {
      std::uint64_t count = 0;
      [[maybe_unused]] const auto got = ::read(event_fd_, &count, sizeof count);
      continue;
    }
    // Dead, or the interest was withdrawn by an earlier callback of this turn.
    if (watched->dead || watched->interest == Readiness::kNone) continue;
    counters_.events.add();
    found_work_ = true;
    watched->on_ready(readiness(events[static_cast<std::size_t>(i)].events));
  }
}

void Worker::run_posted() {
  if (!wakened_.load(std::memory_order_acquire)) return;
  // Lowered before the list is taken: what is posted from here on raises it, and wakes us, again.
  wakened_.store(false, std::memory_order_release);
  {
    const std::scoped_lock lock(posted_mutex_);
    running_.swap(posted_);
  }
  counters_.posted.add(running_.size());
  found_work_ = found_work_ || !running_.empty();
  for (auto& task : running_) task();
  running_.clear();
}

void Worker::run_polls() {
  bool more = false;
  for (std::size_t i = 0; i < polls_.size(); ++i) {
    if (polls_[i] != nullptr) more = polls_[i]->poll() || more;
  }
  found_work_ = found_work_ || more;
  if (polls_removed_) {
    std::erase(polls_, nullptr);
    polls_removed_ = false;
  }
}

void Worker::run_turn_tasks() {
  std::size_t done = 0;
  while (done < turn_tasks_.size() && done < kTurnTasksPerTurn) {
    TurnTask* task = turn_tasks_[done++];
    if (task == nullptr) continue;
    task->scheduled_in_ = nullptr;
    task->run_turn();
  }
  if (done == turn_tasks_.size()) {
    turn_tasks_.clear();
    return;
  }
  turn_tasks_.erase(turn_tasks_.begin(), turn_tasks_.begin() + static_cast<std::ptrdiff_t>(done));
  for (auto& task : turn_tasks_) {
    if (task != nullptr) task->scheduled_in_ = &task;
  }
}

}  // namespace vtl::engine
