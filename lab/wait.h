// wait_until(): waits for a state, with a bound; never for a time.
#pragma once

#include <algorithm>
#include <chrono>
#include <thread>

#include "vtl/base/time.h"

namespace vtl::lab {

/// Asks `predicate` until it is true (answers true) or until `bound` has passed (answers what a
/// last question gave). It asks often at first and at least every 20 ms later on.
template <class Predicate>
[[nodiscard]] bool wait_until(Predicate&& predicate, Duration bound) {
  const auto deadline = std::chrono::steady_clock::now() + bound;
  for (Duration pause = 500us; !predicate(); pause = std::min<Duration>(pause * 2, 20ms)) {
    if (std::chrono::steady_clock::now() >= deadline) return predicate();
    std::this_thread::sleep_for(pause);
  }
  return true;
}

}  // namespace vtl::lab
