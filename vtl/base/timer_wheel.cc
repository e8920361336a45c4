#include "vtl/base/timer_wheel.h"

#include <algorithm>
#include <bit>
#include <cassert>

namespace vtl {

void Timer::cancel() noexcept {
  if (wheel_ != nullptr) wheel_->unlink(*this);
}

TimerWheel::TimerWheel(Duration tick, Time start) : tick_(tick), start_(start) {
  assert(tick > Duration::zero());
}

TimerWheel::~TimerWheel() {
  for (Timer* head : slots_) {
    while (head != nullptr) {
      Timer* next = head->next_;
      head->wheel_ = nullptr;
      head->prev_ = head->next_ = nullptr;
      head = next;
    }
  }
}

std::uint64_t TimerWheel::tick_of(Time t) const noexcept {
  if (t <= start_) return 0;
  const auto since = static_cast<std::uint64_t>((t - start_).count());
  return since / static_cast<std::uint64_t>(tick_.count());
}

void TimerWheel::arm(Timer& timer, Time deadline) {
  timer.cancel();
  if (deadline == kNever) return;
  timer.deadline_ = deadline;
  const std::uint64_t floor = tick_of(deadline);
  const bool exact = start_ + tick_ * static_cast<std::int64_t>(floor) >= deadline;
  timer.tick_ = std::max(exact ? floor : floor + 1, now_tick_ + 1);
  place(timer);
  ++armed_;
}

void TimerWheel::place(Timer& timer) {
  const std::uint64_t distance = timer.tick_ - now_tick_;
  std::uint32_t level = 0;
  while (level + 1 < kLevels && distance >= (1ULL << (kSlotBits * (level + 1)))) ++level;
  // Beyond the last wheel's horizon a timer waits in its farthest slot and is placed again there.
  const std::uint64_t horizon =
      (1ULL << (kSlotBits * kLevels)) - (1ULL << (kSlotBits * (kLevels - 1)));
  const std::uint64_t tick = now_tick_ + std::min(distance, horizon);
  const auto slot = static_cast<std::uint32_t>((tick >> (kSlotBits * level)) & (kSlots - 1));
  timer.slot_ = level * kSlots + slot;
  timer.wheel_ = this;
  push(slots_[timer.slot_], timer);
  occupied_[level] |= 1ULL << slot;
}

void TimerWheel::push(Timer*& head, Timer& timer) noexcept {
  timer.prev_ = nullptr;
  timer.next_ = head;
  if (head != nullptr) head->prev_ = &timer;
  head = &timer;
}

void TimerWheel::unlink(Timer& timer) noexcept {
  if (timer.prev_ != nullptr) timer.prev_->next_ = timer.next_;
  if (timer.next_ != nullptr) timer.next_->prev_ = timer.prev_;
  if (slots_[timer.slot_] == &timer) {
    slots_[timer.slot_] = timer.next_;
    if (timer.next_ == nullptr) {
      occupied_[timer.slot_ / kSlots] &= ~(1ULL << (timer.slot_ % kSlots));
    }
  }
  timer.prev_ = timer.next_ = nullptr;
  timer.wheel_ = nullptr;
  --armed_;
}

// Fires timers of the present tick, one at a time from the head: a callback may cancel any other
// timer of this slot, and what it arms lands on a later tick.
std::size_t TimerWheel::fire_tick(std::size_t most) {
  const auto slot = static_cast<std::uint32_t>(now_tick_ & (kSlots - 1));
  std::size_t fired = 0;
  while (fired < most && slots_[slot] != nullptr) {
    Timer& timer = *slots_[slot];
    unlink(timer);
    ++fired;
    timer.on_fire_();
  }
  return fired;
}

std::size_t TimerWheel::advance(Time now, std::size_t most) {
  const std::uint64_t target = tick_of(now);
  std::size_t fired = fire_tick(most);  // what the last call left
  while (now_tick_ < target && fired < most) {
    // Skip the ticks on which nothing is placed, up to the next turn of the finest wheel.
    if (armed_ == 0) {
      now_tick_ = target;
      break;
    }
    const auto in_turn = static_cast<std::uint32_t>(now_tick_ & (kSlots - 1));
    if (in_turn + 1 < kSlots) {
      const std::uint64_t ahead = occupied_[0] >> (in_turn + 1);
      const std::uint64_t skip =
          ahead != 0 ? static_cast<std::uint64_t>(std::countr_zero(ahead)) : kSlots - 2 - in_turn;
      now_tick_ = std::min(now_tick_ + skip, target - 1);
    }
    ++now_tick_;
    // Cascade from the coarsest wheel that turned over down to level 1.
    for (std::uint32_t level = kLevels - 1; level > 0; --level) {
      const std::uint64_t width = 1ULL << (kSlotBits * level);
      if ((now_tick_ & (width - 1)) != 0) continue;
      const auto slot =
          static_cast<std::uint32_t>((now_tick_ >> (kSlotBits * level)) & (kSlots - 1));
      Timer* head = slots_[level * kSlots + slot];
      slots_[level * kSlots + slot] = nullptr;
      occupied_[level] &= ~(1ULL << slot);
      while (head != nullptr) {
        Timer* next = head->next_;
        place(*head);
        head = next;
      }
    }
    fired += fire_tick(most - fired);
  }
  return fired;
}

Time TimerWheel::next_deadline() const noexcept {
  if (armed_ == 0) return kNever;
  if (slots_[now_tick_ & (kSlots - 1)] != nullptr) {
    return start_ + tick_ * static_cast<std::int64_t>(now_tick_);
  }
  std::uint64_t best = ~0ULL;
  for (std::uint32_t level = 0; level < kLevels; ++level) {
    if (occupied_[level] == 0) continue;
    const std::uint32_t shift = kSlotBits * level;
    const auto here = static_cast<std::uint32_t>((now_tick_ >> shift) & (kSlots - 1));
    // The distance to the next occupied slot, in slots of this level, counted from the one after.
    const std::uint64_t rotated =
        std::rotr(occupied_[level], static_cast<int>((here + 1) % kSlots));
    const auto steps = static_cast<std::uint64_t>(std::countr_zero(rotated)) + 1;
    best = std::min(best, ((now_tick_ >> shift) + steps) << shift);
  }
  return start_ + tick_ * static_cast<std::int64_t>(best);
}

}  // namespace vtl
