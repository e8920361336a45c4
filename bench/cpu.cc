#include "bench/cpu.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

namespace vtl::bench {
namespace {

double seconds_of(Duration span) {
  return std::chrono::duration<double>(span).count();
}

}  // namespace

Outcome<Duration> parse_busy(std::string_view proc_stat, long ticks_per_second) {
  std::istringstream line{std::string(proc_stat.substr(0, proc_stat.find('\n')))};
  std::string label;
  line >> label;
  // user nice system idle iowait irq softirq (proc(5))
  std::array<std::uint64_t, 7> ticks{};
  for (std::uint64_t& count : ticks) line >> count;
  if (label != "cpu" || !line || ticks_per_second <= 0)
    return fail("/proc/stat does not begin with a line of the machine's processor times");
  const std::uint64_t busy = ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6];
  return Duration(static_cast<std::int64_t>(busy) * (1'000'000'000 / ticks_per_second));
}

Outcome<Duration> machine_busy() {
  std::ifstream stat("/proc/stat");
  std::string line;
  if (!std::getline(stat, line)) return fail("cannot read /proc/stat");
  return parse_busy(line, sysconf(_SC_CLK_TCK));
}

Outcome<CpuMeter> CpuMeter::calibrate(Duration span) {
  CpuMeter meter;
  if (auto begun = meter.start(); !begun) return std::unexpected(begun.error());
  std::this_thread::sleep_until(std::chrono::steady_clock::now() + span);
  const auto busy = meter.busy_seconds();
  if (!busy) return std::unexpected(busy.error());
  meter.idle_rate_ = *busy / seconds_of(span);
  return meter;
}

Outcome<void> CpuMeter::start() {
  const auto busy = machine_busy();
  if (!busy) return std::unexpected(busy.error());
  busy_at_start_ = *busy;
  started_ = SystemClock{}.now();
  return {};
}

Outcome<double> CpuMeter::busy_seconds() const {
  const auto busy = machine_busy();
  if (!busy) return std::unexpected(busy.error());
  const double idle = idle_rate_ * seconds_of(SystemClock{}.now() - started_);
  return std::max(0.0, seconds_of(*busy - busy_at_start_) - idle);
}

std::string CpuMeter::warning() const {
  if (idle_rate_ < 0.1) return {};
  return fmt::format(
      "other work kept {:.1f} of {} processors busy when the run began: its figures, processor "
      "time "
      "above all, are not to be trusted",
      idle_rate_, sysconf(_SC_NPROCESSORS_ONLN));
}

}  // namespace vtl::bench
