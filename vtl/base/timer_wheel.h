// TimerWheel: many timers, few of which ever fire.
//
// Theory of operation. A hashed hierarchical wheel (Varghese and Lauck, 1987): kLevels wheels of
// 64 slots each; level L's slots are 64^L ticks wide. Timers are intrusive list nodes, so arming,
// re-arming and cancelling are O(1) and allocate nothing. advance() fires what is due and cascades
// a coarser slot into finer ones when the wheel turns over. A timer never fires early; it fires at
// the first advance() at or after its deadline rounded up to a tick.
//
// Thread rule: one thread per wheel and its timers.
// Invariants: an armed timer is on exactly one slot; a destroyed timer is on none.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>

#include "vtl/base/time.h"

namespace vtl {

class TimerWheel;

/// A deadline with something to do. Not movable while armed; the destructor disarms it.
class Timer {
 public:
  explicit Timer(std::function<void()> on_fire) : on_fire_(std::move(on_fire)) {}
  ~Timer() { cancel(); }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  [[nodiscard]] bool armed() const noexcept { return wheel_ != nullptr; }
  /// The deadline asked for; kNever when not armed.
  [[nodiscard]] Time deadline() const noexcept { return armed() ? deadline_ : kNever; }
  void cancel() noexcept;

 private:
  friend class TimerWheel;
  Timer* prev_ = nullptr;
  Timer* next_ = nullptr;
  TimerWheel* wheel_ = nullptr;
  std::uint32_t slot_ = 0;
  std::uint64_t tick_ = 0;
  Time deadline_ = kNever;
  std::function<void()> on_fire_;
};

class TimerWheel {
 public:
  /// `tick`: resolution; `start`: the time of tick 0.
  TimerWheel(Duration tick, Time start);
  ~TimerWheel();
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  /// Arms (or re-arms) `timer` for `deadline`; kNever disarms it.
  void arm(Timer& timer, Time deadline);

  /// Fires what is due at `now`, the earliest first, at most `most`; the rest is due at once. A
  /// callback may arm and cancel any timer, itself included; what it arms for a time already past
  /// fires at the next call. Returns how many fired.
  std::size_t advance(Time now, std::size_t most = SIZE_MAX);

  /// When advance() should be called next (the past, where the last call left something): the
  /// earliest slot with a timer on it (no later than the earliest deadline, rounded up to a tick),
  /// or kNever.
  [[nodiscard]] Time next_deadline() const noexcept;

  [[nodiscard]] std::size_t size() const noexcept { return armed_; }

 private:
  std::size_t fire_tick(std::size_t most);
  friend class Timer;
  static constexpr std::uint32_t kSlotBits = 6;
  static constexpr std::uint32_t kSlots = 1U << kSlotBits;
  static constexpr std::uint32_t kLevels = 6;

  void place(Timer& timer);
  void unlink(Timer& timer) noexcept;
  void push(Timer*& head, Timer& timer) noexcept;
  [[nodiscard]] std::uint64_t tick_of(Time t) const noexcept;

  Duration tick_;
  Time start_;
  std::uint64_t now_tick_ = 0;  // every tick up to and including this one has been fired
  std::size_t armed_ = 0;
  std::array<Timer*, kSlots * kLevels> slots_{};
  std::array<std::uint64_t, kLevels> occupied_{};  // bit s of level L: slot s holds timers
};

}  // namespace vtl
