// Transfers: the unmodified program between two hosts of the lab, watched and measured.
//
// Thread rule: one thread. Every transfer has a bound; what it started has ended when it returns.
#pragma once

#include <vector>

#include "bench/cpu.h"
#include "bench/iperf.h"
#include "bench/progress.h"
#include "bench/results.h"
#include "lab/host.h"

namespace vtl::bench {

/// What is shared by all measurements of a run.
struct Bench {
  Progress& progress;
  CpuMeter cpu;
};

/// Calibrates a meter before the first measurement; when other work keeps the machine busy, the
/// reader is told so, now and in the results.
[[nodiscard]] Outcome<CpuMeter> calibrate_cpu(Progress& progress, Results& results, Duration span);

/// Programs of the lab; the pointers are valid while they are used.
using Programs = std::vector<lab::Process*>;

/// Measures the processor time of a stretch: the machine's, less the idle rate, less what the
/// excluded programs (an emulated path's own work) used themselves. It is never less than what the
/// subject's own programs used: on a machine that has other work that is the better figure.
class CpuStretch {
 public:
  [[nodiscard]] static Outcome<CpuStretch> begin(const CpuMeter& meter, Programs excluded = {},
                                                 Programs subject = {});
  /// A program of the subject that was started after begin().
  void add_subject(lab::Process& program) { subject_.push_back(&program); }
  /// Seconds since begin().
  [[nodiscard]] Outcome<double> seconds();

 private:
  CpuMeter meter_;
  Programs excluded_;
  Programs subject_;
  Duration excluded_at_start_{};
  Duration subject_at_start_{};
};

struct Transfer {
  const lab::Host& client;
  const lab::Host& server;
  IperfRun run;
  Programs excluded{};  ///< an emulated path's
  Programs subject{};   ///< what runs between client and server and is not excluded
};

struct Measured {
  IperfReport report;
  double cpu_seconds = 0;
  [[nodiscard]] double cpu_per_gb() const {
    return report.octets > 0 ? cpu_seconds / (report.octets / 1e9) : 0;
  }
};

/// Runs iperf3 from client to server and shows its rate while it runs. Errors name the step.
[[nodiscard]] Outcome<Measured> measure(Bench& bench, const Transfer& transfer);

/// Octets that came in on all devices but the loopback of the namespace that `pid` lives in.
[[nodiscard]] double received_octets(pid_t pid);

/// Waits until `to` answers a ping from `host`.
[[nodiscard]] Outcome<void> wait_for_ping(const lab::Host& host, const std::string& to,
                                          Duration bound);

}  // namespace vtl::bench
