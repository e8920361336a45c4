#include "bench/wan_bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "bench/path_scene.h"
#include "bench/raw_udt_case.h"

namespace vtl::bench {
namespace {

enum class Kind : std::uint8_t { kPlainTcp, kRawUdt, kGateway };

struct Case {
  const char* name;
  Kind kind;
  bool tuned;  ///< the guests' buffers are raised
  const char* congestion;
  Carrier carrier;
  [[nodiscard]] Hosts hosts() const {
    return kind == Kind::kPlainTcp ? Hosts::kKernelBridge : Hosts::kVtl;
  }
  [[nodiscard]] bool needs_bbr() const {
    return std::string_view(congestion) == "bbr" ||
           (kind == Kind::kGateway && carrier == Carrier::kTcpBbr);
  }
};

constexpr std::array<Case, 6> kCases{{
    {"tcp-default", Kind::kPlainTcp, false, "cubic", Carrier::kUdt},
    {"tcp-cubic-tuned", Kind::kPlainTcp, true, "cubic", Carrier::kUdt},
    {"tcp-bbr-tuned", Kind::kPlainTcp, true, "bbr", Carrier::kUdt},
    {"udt-raw", Kind::kRawUdt, false, "cubic", Carrier::kUdt},
    {"vtl-udt", Kind::kGateway, false, "cubic", Carrier::kUdt},
    {"vtl-tcp-bbr", Kind::kGateway, false, "cubic", Carrier::kTcpBbr},
}};

constexpr std::array<int, 6> kRttsMs{0, 10, 30, 60, 120, 240};
constexpr std::array<double, 2> kLossesPercent{0, 0.1};

struct Run {
  Bench bench;
  const BenchOptions& options;
  std::vector<const Case*> cases;
  Results& results;
};

void record(Run& run, const Case& which, const PathScene& scene, const Measured& measured) {
  const PathPoint point{scene.path().rtt_ms, scene.path().loss};
  run.results.add(which.name, "throughput", "bit/s", measured.report.bits_per_second, point);
  run.results.add(which.name, "cpu-per-gb", "s", measured.cpu_per_gb(), point);
  run.bench.progress.end(bit_rate(measured.report.bits_per_second));
}

Outcome<Measured> measure_guests(Run& run, PathScene& scene) {
  lab::Topology& topology = scene.topology();
  return measure(run.bench, {topology.client(),
                             topology.server(),
                             {.server = topology.server_address(), .seconds = run.options.seconds},
                             scene.wan(),
                             scene.gateways()});
}

Outcome<Measured> measure_case(Run& run, PathScene& scene, const Case& which) {
  switch (which.kind) {
    case Kind::kPlainTcp: {
      const auto settings = which.tuned
                                ? lab::TcpSettings::raised(scene.path().window(), which.congestion)
                                : lab::TcpSettings::stock();
      if (auto set = scene.set_guest_tcp(settings); !set) return std::unexpected(set.error());
      return measure_guests(run, scene);
    }
    case Kind::kRawUdt:
      return measure_raw_udt(run.bench, scene, run.options.seconds);
    case Kind::kGateway: {
      if (auto started = scene.start_gateways(which.carrier); !started)
        return std::unexpected(started.error());
      auto measured = measure_guests(run, scene);
      if (auto stopped = scene.stop_gateways(); !stopped) return std::unexpected(stopped.error());
      return measured;
    }
  }
  return fail("no such kind of case");
}

/// All chosen cases at one point of the path, those over the kernel's bridge first.
Outcome<void> run_point(Run& run, const PathSettings& path) {
  for (const Hosts hosts : {Hosts::kKernelBridge, Hosts::kVtl}) {
    std::optional<PathScene> scene;
    for (const Case* which : run.cases) {
      if (which->hosts() != hosts) continue;
      run.bench.progress.begin(
          fmt::format("{} ms, loss {} %, {}", path.rtt_ms, path.loss * 100, which->name));
      if (!scene) {
        auto built = PathScene::create(path, hosts);
        if (!built) return std::unexpected(built.error());
        scene.emplace(std::move(*built));
      }
      const auto measured = measure_case(run, *scene, *which);
      if (!measured)
        return fail(fmt::format("{} at {} ms, loss {} %: {}", which->name, path.rtt_ms,
                                path.loss * 100, measured.error().message));
      record(run, *which, *scene, *measured);
    }
  }
  return {};
}

/// The chosen cases; those that this kernel cannot run are left out with a note.
Outcome<std::vector<const Case*>> choose_cases(const BenchOptions& options, Results& results) {
  lab::Lab lab;
  const auto host = lab.add_host("probe");
  if (!host) return std::unexpected(host.error());
  const bool bbr = has_bbr(**host);
  std::vector<const Case*> cases;
  for (const Case& which : kCases) {
    if (!options.cases.empty() &&
        std::ranges::find(options.cases, which.name) == options.cases.end())
      continue;
    if (which.needs_bbr() && !bbr)
      results.note(
          fmt::format("{} is left out: this kernel has no bbr (modprobe tcp_bbr)", which.name));
    else
      cases.push_back(&which);
  }
  return cases;
}

std::vector<PathSettings> choose_points(const BenchOptions& options) {
  if (options.quick && options.rtts_ms.empty() && options.losses_percent.empty())
    return {{options.rate_mbit, 10, 0}, {options.rate_mbit, 60, 0}, {options.rate_mbit, 60, 0.001}};
  std::vector<int> rtts = options.rtts_ms;
  if (rtts.empty()) rtts.assign(kRttsMs.begin(), kRttsMs.end());
  std::vector<double> losses = options.losses_percent;
  if (losses.empty()) losses.assign(kLossesPercent.begin(), kLossesPercent.end());
  std::vector<PathSettings> points;
  for (const double loss : losses)
    for (const int rtt : rtts) points.push_back({options.rate_mbit, rtt, loss / 100});
  return points;
}

std::vector<PathPoint> points_of(const Results& results) {
  std::vector<PathPoint> points;
  for (const Row& row : results.rows())
    if (row.path && std::ranges::find(points, *row.path) == points.end())
      points.push_back(*row.path);
  std::ranges::sort(points, {},
                    [](const PathPoint& point) { return std::pair(point.loss, point.rtt_ms); });
  return points;
}

std::string percent(double loss) {
  return fmt::format("{:g} %", loss * 100);
}

std::string table_of(const Results& results, Look look, const char* metric,
                     std::string (*words)(double)) {
  std::vector<std::string> header{"round trip", "loss"};
  for (const Case& which : kCases) header.emplace_back(which.name);
  header.emplace_back("vtl-udt to udt-raw");
  Table table(header);
  std::optional<double> loss;
  for (const PathPoint& point : points_of(results)) {
    if (loss && *loss != point.loss) table.add_rule();
    loss = point.loss;
    std::vector<std::string> cells{fmt::format("{} ms", point.rtt_ms), percent(point.loss)};
    for (const Case& which : kCases)
      cells.push_back(or_dash(results.value(which.name, metric, point), words));
    const auto vtl = results.value("vtl-udt", metric, point);
    const auto raw = results.value("udt-raw", metric, point);
    cells.push_back(vtl && raw && *raw > 0 ? ratio(*vtl / *raw) : "-");
    table.add(std::move(cells));
  }
  return table.render(look);
}

}  // namespace

std::vector<std::string> wan_cases() {
  std::vector<std::string> names;
  for (const Case& which : kCases) names.emplace_back(which.name);
  return names;
}

Outcome<Results> run_wan_bench(const BenchOptions& options) {
  Results results("wan");
  results.set("rate", fmt::format("{} Mbit/s", options.rate_mbit));
  results.set("seconds", std::to_string(options.seconds));
  results.set("repeat", std::to_string(options.repeat));
  auto cases = choose_cases(options, results);
  if (!cases) return std::unexpected(cases.error());
  const auto points = choose_points(options);
  const int steps = static_cast<int>(cases->size() * points.size()) * options.repeat;
  Progress progress(stderr, steps);
  progress.say(fmt::format("bench wan: {} measurements, {}", steps,
                           rough_time(steps * (options.seconds + 0.8) + 3)));
  for (const std::string& note : results.notes()) progress.say("note: " + note);
  auto meter = calibrate_cpu(progress, results, options.quick ? 500ms : 2s);
  if (!meter) return std::unexpected(meter.error());
  Run run{{progress, *meter}, options, std::move(*cases), results};
  for (int i = 0; i < options.repeat; ++i)
    for (const PathSettings& point : points)
      if (auto done = run_point(run, point); !done) return std::unexpected(done.error());
  return results;
}

std::string wan_table(const Results& results, Look look) {
  return fmt::format("throughput\n{}\nprocessor time per GB\n{}",
                     table_of(results, look, "throughput", bit_rate),
                     table_of(results, look, "cpu-per-gb", time_span));
}

Plot wan_plot(const Results& results) {
  Plot plot{"Bandwidth against latency", "round trip, ms", "throughput, Mbit/s", {}};
  const auto points = points_of(results);
  for (std::size_t i = 0; i < points.size(); ++i) {
    if (i > 0 && points[i - 1].loss == points[i].loss) continue;
    Panel panel{"loss " + percent(points[i].loss), {}};
    for (const Case& which : kCases) {
      Series series{which.name, {}};
      for (const PathPoint& point : points)
        if (point.loss == points[i].loss)
          if (const auto value = results.value(which.name, "throughput", point))
            series.points.emplace_back(point.rtt_ms, *value / 1e6);
      panel.series.push_back(std::move(series));
    }
    plot.panels.push_back(std::move(panel));
  }
  return plot;
}

}  // namespace vtl::bench
