// CpuMeter: how much processor time the whole machine was busy, less what it spends when idle.
//
// Forwarding happens in the kernel's soft interrupts, which belong to no process: only the
// machine's own account (/proc/stat) sees all of it. So a figure counts user, nice, system, irq
// and softirq time of all processors; idle, iowait and time stolen by a hypervisor do not count.
// Whatever else runs on the machine is in it too: a short idle measurement before the run gives
// the rate that is taken off.
//
// Limits: the kernel counts in ticks of 10 ms; below a second of run the figure is coarse.
// Thread rule: any thread.
#pragma once

#include <string>
#include <string_view>

#include "vtl/base/result.h"
#include "vtl/base/time.h"

namespace vtl::bench {

/// Busy time in the first line of /proc/stat; `ticks_per_second` is sysconf(_SC_CLK_TCK).
[[nodiscard]] Outcome<Duration> parse_busy(std::string_view proc_stat, long ticks_per_second);

/// Busy time of the machine since it started.
[[nodiscard]] Outcome<Duration> machine_busy();

class CpuMeter {
 public:
  /// Watches the machine for `span` while nothing of ours runs, and keeps its idle rate:
  /// seconds of processor time per second of wall time.
  [[nodiscard]] static Outcome<CpuMeter> calibrate(Duration span);

  /// Begins a run.
  [[nodiscard]] Outcome<void> start();
  /// Busy time since start() less the idle rate, in seconds; never below 0.
  [[nodiscard]] Outcome<double> busy_seconds() const;
  /// Processors kept busy by other work, as calibrate() found it.
  [[nodiscard]] double idle_rate() const noexcept { return idle_rate_; }
  /// What a reader must know when that is more than a tenth of one; else empty.
  [[nodiscard]] std::string warning() const;

 private:
  double idle_rate_ = 0;
  Duration busy_at_start_{};
  Time started_{};
};

}  // namespace vtl::bench
