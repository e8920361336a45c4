#include "bench/bridge_bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "bench/frames.h"
#include "bench/traffic.h"
#include "bench/vtl_host.h"
#include "lab/lab.h"
#include "lab/vtl_program.h"

namespace vtl::bench {
namespace {

constexpr const char* kClient = "10.0.0.1";
constexpr const char* kServer = "10.0.0.2";
constexpr std::uint16_t kFramePort = 4321;

/// Client and server, and the middle that joins them.
struct Scene {
  lab::Lab lab;
  lab::Host* client = nullptr;
  lab::Host* middle = nullptr;
  lab::Host* server = nullptr;
  std::vector<lab::Process> programs;

  /// What runs in the middle.
  [[nodiscard]] Programs subject() {
    Programs list;
    for (lab::Process& program : programs) list.push_back(&program);
    return list;
  }
};

struct Case {
  const char* name;
  bool middle;  ///< false: client and server are on one veth pair
  lab::Offloads offloads;
  Outcome<void> (*join)(Scene& scene);
};

Outcome<void> join_nothing(Scene& /*scene*/) {
  return {};
}

Outcome<void> join_kernel(Scene& scene) {
  return scene.middle->add_bridge("br0", {"guest0", "wan0"});
}

Outcome<void> join_vtl(Scene& scene, const BridgeSettings& settings) {
  auto process = lab::start_vtl(*scene.middle, bridge_config(settings), {.name = settings.name});
  if (!process) return std::unexpected(process.error());
  scene.programs.push_back(std::move(*process));
  return {};
}

template <int kWorkers>
Outcome<void> join_workers(Scene& scene) {
  return join_vtl(scene, {.workers = kWorkers});
}

Outcome<void> join_watched(Scene& scene) {
  return join_vtl(scene, {.cut_through = false});
}

Outcome<void> join_pcap(Scene& scene) {
  return join_vtl(scene, {.interface_type = "pcap"});
}

Outcome<void> join_pcap_pair(Scene& scene) {
  BridgeSettings out{.name = "outbound", .interface_type = "pcap", .network_to_guest = false};
  if (auto done = join_vtl(scene, out); !done) return done;
  BridgeSettings in{.name = "inbound", .interface_type = "pcap", .guest_to_network = false};
  return join_vtl(scene, in);
}

// libpcap tells nothing of unfinished checksums and libnet sends no frame above the MTU, so for
// these two the guests' offloads are off, as in 2007.
constexpr std::array<Case, 7> kCases{{
    {"veth", false, lab::Offloads::kKeep, join_nothing},
    {"kernel-bridge", true, lab::Offloads::kKeep, join_kernel},
    {"vtl-1-worker", true, lab::Offloads::kKeep, join_workers<1>},
    {"vtl-2-workers", true, lab::Offloads::kKeep, join_workers<2>},
    {"vtl-1-worker-watched", true, lab::Offloads::kKeep, join_watched},
    {"pcap-1-process", true, lab::Offloads::kOff, join_pcap},
    {"pcap-2-processes", true, lab::Offloads::kOff, join_pcap_pair},
}};

struct TcpMetric {
  const char* name;
  int streams;
  bool reverse;
  const char* label;
};
constexpr std::array<TcpMetric, 3> kTcpMetrics{{
    {"tcp-1-stream", 1, false, "1 TCP stream"},
    {"tcp-4-streams", 4, false, "4 TCP streams"},
    {"tcp-1-stream-reverse", 1, true, "1 TCP stream, server to client"},
}};
constexpr int kStepsOfCase = static_cast<int>(kTcpMetrics.size()) + 1;

Outcome<void> build(Scene& scene, const Case& which) {
  for (auto [name, slot] : {std::pair{"client", &scene.client}, std::pair{"server", &scene.server},
                            std::pair{"middle", &scene.middle}}) {
    auto host = scene.lab.add_host(
        name, {.ipv6 = slot == &scene.middle ? lab::Ipv6::kNoNoise : lab::Ipv6::kOn});
    if (!host) return std::unexpected(host.error());
    *slot = *host;
  }
  const lab::LinkOptions link{.offloads = which.offloads};
  lab::Host& near = which.middle ? *scene.middle : *scene.server;
  if (auto done = scene.lab.connect({*scene.client, "eth0"},
                                    {near, which.middle ? "guest0" : "eth0"}, link);
      !done)
    return done;
  if (which.middle)
    if (auto done = scene.lab.connect({*scene.middle, "wan0"}, {*scene.server, "eth0"}, link);
        !done)
      return done;
  if (auto done = scene.client->ip(fmt::format("addr add {}/24 dev eth0\n", kClient)); !done)
    return done;
  if (auto done = scene.server->ip(fmt::format("addr add {}/24 dev eth0\n", kServer)); !done)
    return done;
  if (auto done = which.join(scene); !done) return done;
  return wait_for_ping(*scene.client, kServer, 10s);
}

Outcome<void> measure_tcp(Bench& bench, Scene& scene, const Case& which, const TcpMetric& metric,
                          int seconds, Results& results) {
  bench.progress.begin(fmt::format("{}, {}", which.name, metric.label));
  const auto measured = measure(bench, {*scene.client,
                                        *scene.server,
                                        {.server = kServer,
                                         .streams = metric.streams,
                                         .reverse = metric.reverse,
                                         .seconds = seconds}});
  if (!measured) return fail(fmt::format("{}: {}", which.name, measured.error().message));
  results.add(which.name, metric.name, "bit/s", measured->report.bits_per_second);
  if (&metric == &kTcpMetrics.front())
    results.add(which.name, "cpu-per-gb", "s", measured->cpu_per_gb());
  bench.progress.end(bit_rate(measured->report.bits_per_second));
  return {};
}

Outcome<void> measure_frames(Bench& bench, Scene& scene, const Case& which, std::uint32_t count,
                             Results& results) {
  bench.progress.begin(fmt::format("{}, {} small frames", which.name, count));
  const std::string self = own_program().string();
  const std::string port = std::to_string(kFramePort);
  auto receiver = scene.server->start({.argv = {self, "receive-frames", port}, .name = "frames"});
  if (!receiver) return std::unexpected(receiver.error());
  if (auto bound = receiver->wait_for_port(lab::Protocol::kUdp, kFramePort, 5s); !bound)
    return bound;
  auto stretch = CpuStretch::begin(bench.cpu, {}, scene.subject());
  if (stretch) stretch->add_subject(*receiver);
  if (!stretch) return std::unexpected(stretch.error());
  auto sender = scene.client->run(
      {.argv = {self, "send-frames", kServer, port, std::to_string(count)}, .name = "frames"},
      120s);
  if (sender) stretch->add_subject(*sender);
  const auto busy = stretch->seconds();
  if (!sender) return fail(fmt::format("{}: {}", which.name, sender.error().message));
  if (!busy) return std::unexpected(busy.error());
  const auto report = parse_frame_report(sender->output());
  if (!report) return std::unexpected(report.error());
  if (report->delivered == 0) return fail(fmt::format("{}: no small frame arrived", which.name));
  const double per_frame = *busy / report->delivered;
  results.add(which.name, "cpu-per-frame", "ns", per_frame * 1e9);
  results.add(which.name, "frames-delivered", "ratio",
              static_cast<double>(report->delivered) / report->sent);
  bench.progress.end(fmt::format("{} of processor time each", time_span(per_frame)));
  return {};
}

Outcome<void> run_case(Bench& bench, const Case& which, const BenchOptions& options,
                       Results& results) {
  Scene scene;
  if (auto built = build(scene, which); !built)
    return fail(fmt::format("{}: {}", which.name, built.error().message));
  for (const TcpMetric& metric : kTcpMetrics)
    if (auto done = measure_tcp(bench, scene, which, metric, options.seconds, results); !done)
      return done;
  return measure_frames(bench, scene, which, options.frames, results);
}

bool chosen(const BenchOptions& options, const char* name) {
  return options.cases.empty() || std::ranges::find(options.cases, name) != options.cases.end();
}

}  // namespace

std::vector<std::string> bridge_cases() {
  std::vector<std::string> names;
  for (const Case& which : kCases) names.emplace_back(which.name);
  return names;
}

Outcome<Results> run_bridge_bench(const BenchOptions& options) {
  Results results("bridge");
  results.set("seconds", std::to_string(options.seconds));
  results.set("repeat", std::to_string(options.repeat));
  results.set("frames", std::to_string(options.frames));
  const auto cases =
      std::ranges::count_if(kCases, [&](const Case& which) { return chosen(options, which.name); });
  const int steps = static_cast<int>(cases) * kStepsOfCase * options.repeat;
  Progress progress(stderr, steps);
  const double seconds_of_case = 3 * (options.seconds + 0.4) + 1 + options.frames * 8e-6;
  progress.say(
      fmt::format("bench bridge: {} measurements, {}", steps,
                  rough_time(seconds_of_case * static_cast<double>(cases) * options.repeat)));
  auto meter = calibrate_cpu(progress, results, options.quick ? 500ms : 2s);
  if (!meter) return std::unexpected(meter.error());
  Bench bench{progress, *meter};
  for (int i = 0; i < options.repeat; ++i)
    for (const Case& which : kCases)
      if (chosen(options, which.name))
        if (auto done = run_case(bench, which, options, results); !done)
          return std::unexpected(done.error());
  return results;
}

std::string bridge_table(const Results& results, Look look) {
  Table table({"case", "1 stream", "4 streams", "1, reverse", "CPU s per GB", "CPU per frame",
               "of the kernel bridge"});
  const auto kernel = results.value("kernel-bridge", "tcp-1-stream");
  for (const Case& which : kCases) {
    const auto one = results.value(which.name, "tcp-1-stream");
    if (!one) continue;
    const auto per_frame = results.value(which.name, "cpu-per-frame");
    std::vector<std::string> cells{
        which.name,
        bit_rate(*one),
        or_dash(results.value(which.name, "tcp-4-streams"), bit_rate),
        or_dash(results.value(which.name, "tcp-1-stream-reverse"), bit_rate),
        or_dash(results.value(which.name, "cpu-per-gb"), time_span),
        per_frame ? time_span(*per_frame / 1e9) : "-",
        kernel && *kernel > 0 ? ratio(*one / *kernel) : "-"};
    if (std::string_view(which.name).starts_with("vtl"))
      table.add_bold(std::move(cells));
    else
      table.add(std::move(cells));
  }
  return table.render(look);
}

}  // namespace vtl::bench
