// Reactor: what a worker's event loop offers to the code that runs on it.
//
// The engine implements it; iface backends and transports see only this, so that they need not know
// the engine. Everything called back runs on the reactor's own thread.
// Thread rule: post() from any thread; all else from the reactor's thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "vtl/base/time.h"
#include "vtl/base/timer_wheel.h"

namespace vtl {

/// What to wait for on a file descriptor; a bit set.
enum class Readiness : std::uint8_t { kNone = 0, kReadable = 1, kWritable = 2, kBoth = 3 };

/// An interest in a file descriptor; its destructor ends the interest. The descriptor stays the
/// caller's and must outlive the watch.
class FdWatch {
 public:
  virtual ~FdWatch() = default;
  virtual void set(Readiness interest) = 0;
};

class Reactor {
 public:
  virtual ~Reactor() = default;

  /// The time at which this turn of the loop began.
  [[nodiscard]] virtual Time now() const noexcept = 0;

  /// Runs `task` on the reactor's thread, after what was posted before. Any thread.
  virtual void post(std::function<void()> task) = 0;

  /// Calls `on_ready` while `fd` is ready for the interest (level-triggered).
  [[nodiscard]] virtual std::unique_ptr<FdWatch> watch(int fd, Readiness interest,
                                                       std::function<void(Readiness)> on_ready) = 0;

  [[nodiscard]] virtual TimerWheel& timers() noexcept = 0;

  /// Which worker this is, from 0.
  [[nodiscard]] virtual std::uint32_t worker() const noexcept = 0;
};

}  // namespace vtl
