// Counter: a number one thread raises and any thread may read.
//
// Thread rule: one writer, any readers. No lock and no read-modify-write instruction on the data
// path: the writer does a relaxed load and a relaxed store.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "vtl/base/drop_reason.h"

namespace vtl {

class Counter {
 public:
  void add(std::uint64_t n = 1) noexcept {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  void sub(std::uint64_t n = 1) noexcept {
    value_.store(value_.load(std::memory_order_relaxed) - n, std::memory_order_relaxed);
  }
  void set(std::uint64_t n) noexcept { value_.store(n, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t value() const noexcept {
    return value_.load(std::memory_order_relaxed);
  }

 private:
  std::atomic<std::uint64_t> value_{0};
};

/// One counter per DropReason.
class DropCounters {
 public:
  void add(DropReason reason, std::uint64_t n = 1) noexcept {
    counters_[static_cast<std::size_t>(reason)].add(n);
  }
  [[nodiscard]] std::uint64_t value(DropReason reason) const noexcept {
    return counters_[static_cast<std::size_t>(reason)].value();
  }
  [[nodiscard]] std::uint64_t total() const noexcept {
    std::uint64_t sum = 0;
    for (const auto& counter : counters_) sum += counter.value();
    return sum;
  }

 private:
  std::array<Counter, kDropReasons> counters_;
};

}  // namespace vtl
