#include "bench/demo.h"

#include <fmt/format.h>

#include <array>

#include "bench/path_scene.h"
#include "lab/capture.h"

namespace vtl::bench {
namespace {

constexpr const char* kPlain = "plain";
constexpr const char* kVtl = "vtl-udt";
constexpr int kSnapLength = 192;  // the headers, with every option

struct Demo {
  Bench bench;
  DemoOptions options;
  PathSettings path;
  Results& results;
};

/// Captures on both sides of a VTL: what the guest speaks, and what crosses the WAN.
Outcome<std::vector<lab::Capture>> start_captures(const std::string& folder, PathScene& scene) {
  std::vector<lab::Capture> captures;
  if (folder.empty()) return captures;
  for (lab::Host* host : {&scene.topology().host_a(), &scene.topology().host_b()})
    for (const auto& [device, side] :
         {std::pair{"guest0", "guest-side"}, std::pair{"wan0", "wan-side"}}) {
      auto capture =
          lab::Capture::start(*host, device,
                              {.file = fmt::format("{}/{}-{}.pcap", folder, host->name(), side),
                               .snap_length = kSnapLength});
      if (!capture) return std::unexpected(capture.error());
      captures.push_back(std::move(*capture));
    }
  return captures;
}

/// Both directions of one case.
Outcome<void> run_case(Demo& demo, PathScene& scene, const char* name, const char* label) {
  double octets = 0;
  double cpu = 0;
  const PathPoint point{demo.path.rtt_ms, demo.path.loss};
  for (const bool reverse : {false, true}) {
    demo.bench.progress.begin(
        fmt::format("{}, {}", label, reverse ? "server to client" : "client to server"));
    const auto measured = measure(demo.bench, {scene.topology().client(),
                                               scene.topology().server(),
                                               {.server = scene.topology().server_address(),
                                                .reverse = reverse,
                                                .seconds = demo.options.seconds},
                                               scene.wan(),
                                               scene.gateways()});
    if (!measured) return fail(fmt::format("{}: {}", label, measured.error().message));
    demo.results.add(name, reverse ? "throughput-reverse" : "throughput", "bit/s",
                     measured->report.bits_per_second, point);
    octets += measured->report.octets;
    cpu += measured->cpu_seconds;
    demo.bench.progress.end(bit_rate(measured->report.bits_per_second));
  }
  demo.results.add(name, "cpu-per-gb", "s", octets > 0 ? cpu / (octets / 1e9) : 0, point);
  return {};
}

Outcome<void> run_plain(Demo& demo) {
  demo.bench.progress.begin("the path, hosts with the kernel's bridge");
  auto scene = PathScene::create(demo.path, Hosts::kKernelBridge);
  if (!scene) return std::unexpected(scene.error());
  const auto round_trip = scene->ping_ms();
  if (!round_trip) return std::unexpected(round_trip.error());
  demo.bench.progress.end(fmt::format("ping takes {:.1f} ms", *round_trip));
  return run_case(demo, *scene, kPlain, "plain TCP");
}

Outcome<void> run_vtl_udt(Demo& demo) {
  demo.bench.progress.begin("the same path, hosts with VTL");
  auto scene = PathScene::create(demo.path, Hosts::kVtl);
  if (!scene) return std::unexpected(scene.error());
  if (auto started = scene->start_gateways(Carrier::kUdt); !started) return started;
  const auto round_trip = scene->ping_ms();
  if (!round_trip) return std::unexpected(round_trip.error());
  auto captures = start_captures(demo.options.pcap_folder, *scene);
  if (!captures) return std::unexpected(captures.error());
  demo.bench.progress.end(fmt::format("ping takes {:.1f} ms", *round_trip));
  if (auto done = run_case(demo, *scene, kVtl, "VTL over UDT"); !done) return done;
  for (lab::Capture& capture : *captures) {
    const lab::CaptureResult kept = capture.stop();
    demo.bench.progress.say(
        fmt::format("       {}: {} frames{}", kept.file.string(), kept.frames,
                    kept.dropped > 0 ? fmt::format(", {} missed", kept.dropped) : ""));
  }
  return scene->stop_gateways();
}

void add_ratios(Demo& demo) {
  const PathPoint point{demo.path.rtt_ms, demo.path.loss};
  for (const char* metric : {"throughput", "throughput-reverse", "cpu-per-gb"}) {
    const auto plain = demo.results.value(kPlain, metric, point);
    const auto vtl = demo.results.value(kVtl, metric, point);
    if (plain && vtl && *plain > 0)
      demo.results.add("ratio", metric, "ratio", *vtl / *plain, point);
  }
}

}  // namespace

Outcome<Results> run_demo(const DemoOptions& options) {
  const PathSettings path{options.rate_mbit, options.rtt_ms, options.loss_percent / 100};
  Results results("demo");
  results.set("rate", fmt::format("{} Mbit/s", options.rate_mbit));
  results.set("rtt", fmt::format("{} ms", options.rtt_ms));
  results.set("loss", fmt::format("{} %", options.loss_percent));
  results.set("seconds", std::to_string(options.seconds));
  results.set("program", "iperf3, 1 stream");
  Progress progress(stderr, 6);
  progress.say(
      fmt::format("VTL demo: iperf3, unmodified, across {}, {} ms round trip, {} % loss; {}",
                  bit_rate(options.rate_mbit * 1e6), options.rtt_ms, options.loss_percent,
                  rough_time(4 * (options.seconds + 1) + 6)));
  auto meter = calibrate_cpu(progress, results, 1s);
  if (!meter) return std::unexpected(meter.error());
  Demo demo{{progress, *meter}, options, path, results};
  if (auto done = run_plain(demo); !done) return std::unexpected(done.error());
  if (auto done = run_vtl_udt(demo); !done) return std::unexpected(done.error());
  add_ratios(demo);
  return results;
}

std::string demo_table(const Results& results, Look look) {
  Table table({"the same program", "client to server", "server to client", "CPU s per GB"});
  const auto cells = [&](const char* name, const char* label, std::string (*rate)(double),
                         std::string (*cpu)(double)) {
    std::vector<std::string> texts{label};
    for (const char* metric : {"throughput", "throughput-reverse", "cpu-per-gb"}) {
      std::optional<double> value;
      for (const Row& row : results.rows())
        if (row.name == name && row.metric == metric) value = row.value();
      texts.push_back(or_dash(value, std::string_view(metric) == "cpu-per-gb" ? cpu : rate));
    }
    return texts;
  };
  table.add(cells(kPlain, "plain TCP (cubic)", bit_rate, time_span));
  table.add(cells(kVtl, "through VTL, over UDT", bit_rate, time_span));
  table.add_rule();
  table.add_bold(cells("ratio", "VTL to plain", ratio, ratio));
  return table.render(look);
}

}  // namespace vtl::bench
