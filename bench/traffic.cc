#include "bench/traffic.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "lab/wait.h"

namespace vtl::bench {
namespace {

constexpr Duration kGrace = 25s;  // beyond the set time: connecting, slow ends of long paths
constexpr Duration kLook = 250ms;

double seconds_of(Duration span) {
  return std::chrono::duration<double>(span).count();
}

Duration used_by(const Programs& programs) {
  Duration sum{};
  for (lab::Process* program : programs) sum += program->cpu().total();
  return sum;
}

/// Shows the receiver's rate until the client has ended or `bound` has passed.
void watch(Progress& progress, lab::Process& client, pid_t receiver, Duration bound, int seconds) {
  const SystemClock clock;
  const Time start = clock.now();
  Time last = start;
  double octets = received_octets(receiver);
  while (client.running() && clock.now() - start < bound) {
    (void)lab::wait_until([&] { return !client.running(); }, kLook);
    const Time now = clock.now();
    const double total = received_octets(receiver);
    const double rate = std::max(0.0, total - octets) * 8 / seconds_of(now - last);
    progress.show(seconds_of(now - start) / seconds, bit_rate(rate));
    octets = total;
    last = now;
  }
}

}  // namespace

Outcome<CpuMeter> calibrate_cpu(Progress& progress, Results& results, Duration span) {
  auto meter = CpuMeter::calibrate(span);
  if (!meter) return meter;
  if (const std::string warning = meter->warning(); !warning.empty()) {
    progress.say("note: " + warning);
    results.note(warning);
  }
  return meter;
}

Outcome<CpuStretch> CpuStretch::begin(const CpuMeter& meter, Programs excluded, Programs subject) {
  CpuStretch stretch;
  stretch.meter_ = meter;
  stretch.excluded_ = std::move(excluded);
  stretch.subject_ = std::move(subject);
  stretch.excluded_at_start_ = used_by(stretch.excluded_);
  stretch.subject_at_start_ = used_by(stretch.subject_);
  if (auto begun = stretch.meter_.start(); !begun) return std::unexpected(begun.error());
  return stretch;
}

Outcome<double> CpuStretch::seconds() {
  const auto busy = meter_.busy_seconds();
  if (!busy) return busy;
  const double machine = *busy - seconds_of(used_by(excluded_) - excluded_at_start_);
  return std::max(machine, seconds_of(used_by(subject_) - subject_at_start_));
}

Outcome<Measured> measure(Bench& bench, const Transfer& transfer) {
  const IperfRun& run = transfer.run;
  auto server = transfer.server.start({.argv = server_command(run.port)});
  if (!server) return std::unexpected(server.error());
  if (auto listening =
          server->wait_for_port(lab::Protocol::kTcp, static_cast<std::uint16_t>(run.port), 5s);
      !listening)
    return std::unexpected(listening.error());

  auto stretch = CpuStretch::begin(bench.cpu, transfer.excluded, transfer.subject);
  if (!stretch) return std::unexpected(stretch.error());
  auto client = transfer.client.start({.argv = client_command(run)});
  if (!client) return std::unexpected(client.error());
  stretch->add_subject(*server);
  stretch->add_subject(*client);
  const Duration bound = std::chrono::seconds(run.seconds) + kGrace;
  watch(bench.progress, *client, run.reverse ? client->pid() : server->pid(), bound, run.seconds);
  if (client->running())
    return fail(fmt::format("iperf3 from {} to {} did not end within {} s", transfer.client.name(),
                            run.server, seconds_of(bound)));
  const auto busy = stretch->seconds();
  if (!busy) return std::unexpected(busy.error());
  const auto report = parse_iperf(client->output());
  if (!report)
    return fail(fmt::format("from {} to {}: {}", transfer.client.name(), run.server,
                            report.error().message));
  return Measured{*report, *busy};
}

double received_octets(pid_t pid) {
  std::ifstream table(fmt::format("/proc/{}/net/dev", pid));
  double sum = 0;
  for (std::string line; std::getline(table, line);) {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos || line.substr(0, colon).ends_with(" lo")) continue;
    std::istringstream figures(line.substr(colon + 1));
    double octets = 0;
    if (figures >> octets) sum += octets;
  }
  return sum;
}

Outcome<void> wait_for_ping(const lab::Host& host, const std::string& to, Duration bound) {
  const bool answered = lab::wait_until(
      [&] {
        return host.run({.argv = {"ping", "-n", "-q", "-c", "1", "-W", "1", to}}, 3s).has_value();
      },
      bound);
  if (answered) return {};
  return fail(fmt::format("{} does not answer a ping from {}: the path between them is not up", to,
                          host.name()));
}

}  // namespace vtl::bench
