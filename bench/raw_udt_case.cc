#include "bench/raw_udt_case.h"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "lab/wait.h"

namespace vtl::bench {
namespace {

constexpr const char* kPort = "9000";
constexpr Duration kGrace = 20s;
constexpr Duration kLook = 250ms;

lab::Program program(const char* role, PathScene& scene, int seconds) {
  return {.argv = {(own_program().parent_path() / "vtl-raw-udt").string(), role,
                   scene.topology().host_b_address(), kPort, std::to_string(seconds),
                   std::to_string(scene.path().window())},
          .name = "raw-udt"};
}

/// The receiver's last line: "octets seconds".
Outcome<IperfReport> parse_account(const std::string& output) {
  std::istringstream lines(output);
  std::string line;
  std::string last;
  while (std::getline(lines, line)) last = line;
  std::istringstream figures(last);
  IperfReport report;
  if (!(figures >> report.octets >> report.seconds) || report.seconds <= 0)
    return fail(fmt::format("'{}' is no account of a UDT stream", last));
  report.bits_per_second = report.octets * 8 / report.seconds;
  return report;
}

}  // namespace

Outcome<Measured> measure_raw_udt(Bench& bench, PathScene& scene, int seconds) {
  auto receiver = scene.topology().host_b().start(program("receive", scene, seconds));
  if (!receiver) return std::unexpected(receiver.error());
  if (auto ready = receiver->wait_for_line("listening", 5s); !ready)
    return std::unexpected(ready.error());
  auto stretch = CpuStretch::begin(bench.cpu, scene.wan());
  if (!stretch) return std::unexpected(stretch.error());
  auto sender = scene.topology().host_a().start(program("send", scene, seconds));
  if (!sender) return std::unexpected(sender.error());
  stretch->add_subject(*sender);
  stretch->add_subject(*receiver);

  const SystemClock clock;
  const Time start = clock.now();
  double octets = received_octets(receiver->pid());
  for (Time last = start; receiver->running() && clock.now() - start < seconds * 1s + kGrace;) {
    (void)lab::wait_until([&] { return !receiver->running(); }, kLook);
    const Time now = clock.now();
    const double total = received_octets(receiver->pid());
    const double span = std::chrono::duration<double>(now - last).count();
    bench.progress.show(std::chrono::duration<double>(now - start).count() / seconds,
                        bit_rate(std::max(0.0, total - octets) * 8 / span));
    octets = total;
    last = now;
  }
  const auto busy = stretch->seconds();
  if (!busy) return std::unexpected(busy.error());
  if (auto ended = receiver->wait_ok(1s); !ended) return std::unexpected(ended.error());
  const auto report = parse_account(receiver->output());
  if (!report) return std::unexpected(report.error());
  (void)sender->stop(2s);
  return Measured{*report, *busy};
}

}  // namespace vtl::bench
