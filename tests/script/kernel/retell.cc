// A story told to the kernel is told again when it failed while this machine stood still: its clock
// is real, and what a timer of the kernel's brings meanwhile is no answer to the story. A story
// that fails on a machine that runs, or ten times, fails.
#include <fmt/core.h>
#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "tests/script/subject.h"

namespace vtl::endpoint::script {
namespace {

using std::chrono::steady_clock;

constexpr int kTimes = 10;
constexpr auto kStep = std::chrono::milliseconds(1);
constexpr auto kStandstill = std::chrono::milliseconds(20);

// Wakes every millisecond, and sees by how much it was late.
class Watch {
 public:
  Watch() : thread_([this] { run(); }) {}
  ~Watch() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    stopped_.notify_one();
    thread_.join();
  }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  [[nodiscard]] std::chrono::milliseconds longest() const {
    return std::chrono::duration_cast<std::chrono::milliseconds>(longest_.load());
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    auto before = steady_clock::now();
    while (!stopped_.wait_for(lock, kStep, [this] { return stop_; })) {
      const auto now = steady_clock::now();
      longest_ = std::max(longest_.load(), now - before - kStep);
      before = now;
    }
  }

  std::mutex mutex_;
  std::condition_variable stopped_;
  bool stop_ = false;
  std::atomic<steady_clock::duration> longest_ = steady_clock::duration::zero();
  std::thread thread_;
};

void report(const ::testing::TestPartResultArray& results) {
  for (int i = 0; i < results.size(); ++i) {
    const ::testing::TestPartResult& part = results.GetTestPartResult(i);
    if (part.failed()) ADD_FAILURE_AT(part.file_name(), part.line_number()) << part.message();
  }
}

bool failed(const ::testing::TestPartResultArray& results) {
  for (int i = 0; i < results.size(); ++i) {
    if (results.GetTestPartResult(i).failed()) return true;
  }
  return false;
}

}  // namespace

void tell(void (*story)()) {
  for (int time = 1;; ++time) {
    ::testing::TestPartResultArray results;
    const Watch watch;
    {
      ::testing::ScopedFakeTestPartResultReporter reporter(
          ::testing::ScopedFakeTestPartResultReporter::INTERCEPT_ONLY_CURRENT_THREAD, &results);
      story();
    }
    if (!failed(results)) return;
    if (time == kTimes || watch.longest() < kStandstill) return report(results);
    fmt::print("told again: this machine stood still for {} ms\n", watch.longest().count());
  }
}

}  // namespace vtl::endpoint::script
