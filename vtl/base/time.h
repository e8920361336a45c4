// Time as the product knows it: nanoseconds on a clock that never goes back.
//
// The rooms below engine/ read no clock: time is an argument. Only a ClockSource reads one.
#pragma once

#include <chrono>
#include <cstdint>

namespace vtl {

using namespace std::chrono_literals;  // NOLINT: durations are written 30ms everywhere.

/// The product's time line. It has no now(): ask a ClockSource.
struct MonotonicClock {
  using rep = std::int64_t;
  using period = std::nano;
  using duration = std::chrono::nanoseconds;
  using time_point = std::chrono::time_point<MonotonicClock>;
  static constexpr bool is_steady = true;
};

using Time = MonotonicClock::time_point;
using Duration = std::chrono::nanoseconds;

/// Later than every event; "never" for a deadline.
inline constexpr Time kNever = Time::max();

/// Where time comes from. Thread rule: as the implementation says.
class ClockSource {
 public:
  virtual ~ClockSource() = default;
  [[nodiscard]] virtual Time now() const noexcept = 0;
};

/// CLOCK_MONOTONIC. Any thread.
class SystemClock final : public ClockSource {
 public:
  [[nodiscard]] Time now() const noexcept override;
};

/// A clock that moves when told to: virtual time for tests and the simulator. One thread.
class ManualClock final : public ClockSource {
 public:
  [[nodiscard]] Time now() const noexcept override { return now_; }
  void advance(Duration by) noexcept { now_ += by; }
  void set(Time to) noexcept { now_ = to; }

 private:
  Time now_{Duration{1s}};
};

}  // namespace vtl
