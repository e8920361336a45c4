#include "bench/endpoint_bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>

#include "bench/connections.h"
#include "bench/crowd.h"
#include "bench/traffic.h"
#include "bench/vtl_host.h"
#include "lab/lab.h"
#include "lab/vtl_program.h"
#include "lab/wait.h"

namespace vtl::bench {
namespace {

constexpr const char* kServer = "10.2.0.2";
constexpr const char* kSplitSocket = "/run/vtl/split.sock";  // as split_config() says
constexpr int kIperfPort = 5201;
constexpr int kManyStreams = 16;
/// How long the many connections are held at least: VTL's ends and the clients probe every 10 s.
constexpr Duration kHold = 25s;
/// Open before the first figure of memory is taken: what is only needed once is there then.
constexpr std::uint32_t kFirstOpen = 500;
constexpr Duration kBound = 120s;

/// Client and server, and the middle that joins them.
struct Scene {
  lab::Lab lab;
  lab::Host* client = nullptr;
  lab::Host* middle = nullptr;
  lab::Host* server = nullptr;
  std::vector<lab::Process> programs;  ///< that run in the middle
  std::string target = kServer;        ///< what the client connects to
};

struct Case {
  const char* name;
  Outcome<void> (*join)(Scene& scene);
};

Outcome<void> join_kernel(Scene& scene) {
  return scene.middle->add_bridge("br0", {"guest0", "wan0"});
}

// The relay as its users run it on such a machine: one thread, data spliced in the kernel where
// that is possible, and the client's address lost.
std::string haproxy_config() {
  std::string text = R"(global
  maxconn 8000
  maxpipes 500
  nbthread 1
defaults
  mode tcp
  option splice-auto
  timeout connect 10s
  timeout client 1h
  timeout server 1h
)";
  const auto listen = [&](int port) {
    text += fmt::format("listen p{0}\n  bind 10.2.0.3:{0} backlog 4096\n  server s {1}:{0}\n", port,
                        kServer);
  };
  listen(kIperfPort);
  for (int i = 0; i < kPorts; ++i) listen(kFirstPort + i);
  return text;
}

Outcome<void> join_relay(Scene& scene) {
  if (auto done = scene.middle->ip("addr add 10.2.0.3/24 dev guest0\naddr add 10.2.0.4/24 dev "
                                   "wan0\nroute add 10.2.0.1/32 dev guest0\nroute add 10.2.0.2/32 "
                                   "dev wan0 src 10.2.0.4");
      !done)
    return done;
  for (const char* device : {"all", "guest0", "wan0"}) {
    if (auto done =
            scene.middle->set_sysctl(fmt::format("net.ipv4.conf.{}.rp_filter", device), "0");
        !done)
      return done;
  }
  scene.target = "10.2.0.3";
  const auto file = scene.middle->folder() / "haproxy.cfg";
  if (auto written = write_file(file, haproxy_config()); !written) return written;
  auto relay = scene.middle->start({.argv = {"haproxy", "-db", "-f", file.string()}});
  if (!relay) return std::unexpected(relay.error());
  if (auto up = relay->wait_for_port(lab::Protocol::kTcp, kIperfPort, 10s); !up) return up;
  scene.programs.push_back(std::move(*relay));
  return {};
}

Outcome<void> join_split(Scene& scene) {
  auto process = lab::start_vtl(*scene.middle, split_config(), {.name = "split"});
  if (!process) return std::unexpected(process.error());
  scene.programs.push_back(std::move(*process));
  return {};
}

constexpr std::array<Case, 3> kCases{{
    {"direct", join_kernel},
    {"kernel-relay", join_relay},
    {"vtl-split", join_split},
}};

Outcome<void> build(Scene& scene, const Case& which) {
  for (auto [name, slot] : {std::pair{"client", &scene.client}, std::pair{"server", &scene.server},
                            std::pair{"middle", &scene.middle}}) {
    auto host =
        scene.lab.add_host(fmt::format("{}-{}", which.name, name),
                           {.ipv6 = slot == &scene.middle ? lab::Ipv6::kNoNoise : lab::Ipv6::kOn});
    if (!host) return std::unexpected(host.error());
    *slot = *host;
    if (auto done = prepare_for_many(**slot); !done) return done;
  }
  if (auto done = scene.lab.connect({*scene.client, "eth0"}, {*scene.middle, "guest0"}); !done)
    return done;
  if (auto done = scene.lab.connect({*scene.middle, "wan0"}, {*scene.server, "eth0"}); !done)
    return done;
  if (auto done = scene.client->ip("addr add 10.2.0.1/24 dev eth0\n"); !done) return done;
  if (auto done = scene.server->ip("addr add 10.2.0.2/24 dev eth0\n"); !done) return done;
  if (auto done = which.join(scene); !done) return done;
  return wait_for_ping(*scene.client, scene.target, 10s);
}

Programs subject(Scene& scene) {
  Programs list;
  for (lab::Process& program : scene.programs) list.push_back(&program);
  return list;
}

/// Frames that came in from a device of the middle, and that went out on it.
struct Frames {
  std::uint64_t in = 0;
  std::uint64_t out = 0;
};

Outcome<Frames> frames_of(Scene& scene, const std::string& device) {
  std::ifstream table(fmt::format("/proc/{}/net/dev", scene.programs.front().pid()));
  for (std::string line; std::getline(table, line);) {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos || !line.substr(0, colon).ends_with(device)) continue;
    std::istringstream words(line.substr(colon + 1));
    std::array<std::uint64_t, 10> numbers{};  // eight of receiving, then octets and frames sent
    for (auto& number : numbers) words >> number;
    if (words) return Frames{.in = numbers[1], .out = numbers[9]};
  }
  return fail(fmt::format("cannot read the frames of {}", device));
}

Outcome<double> held_by_programs(Scene& scene) {
  double sum = 0;
  for (const lab::Process& program : scene.programs) {
    const auto held = held_by(program);
    if (!held) return held;
    sum += *held;
  }
  return sum;
}

/// Octets that the split itself counts for its connections.
Outcome<double> counted_by_split(Scene& scene) {
  const auto told = scene.middle->run(
      {.argv = {lab::vtl_binary().string(), "stats", "--json", "--socket", kSplitSocket}}, 10s);
  if (!told) return std::unexpected(told.error());
  const auto stats = nlohmann::json::parse(told->output(), nullptr, /*allow_exceptions=*/false);
  if (stats.is_object())
    for (const auto& service : stats.value("services", nlohmann::json::array()))
      if (const auto metrics = service.value("metrics", nlohmann::json::object());
          metrics.contains("memory_bytes"))
        return metrics["memory_bytes"].get<double>();
  return fail("vtl stats tells no memory_bytes");
}

class EndpointBench {
 public:
  EndpointBench(const BenchOptions& options, Bench& bench, Results& results)
      : options_(options), bench_(bench), results_(results) {}

  Outcome<void> build_all() {
    for (const Case& which : kCases) {
      if (!options_.cases.empty() &&
          std::ranges::find(options_.cases, which.name) == options_.cases.end())
        continue;
      auto scene = std::make_unique<Scene>();
      if (auto built = build(*scene, which); !built)
        return fail(fmt::format("{}: {}", which.name, built.error().message));
      worlds_.push_back({which.name, std::move(scene)});
    }
    return {};
  }

  Outcome<void> run() {
    for (int i = 0; i < options_.repeat; ++i) {
      for (const int streams : {1, kManyStreams})
        if (auto done = measure_all([&](World& w) { return measure_tcp(w, streams); }); !done)
          return done;
      if (auto done = measure_all([&](World& w) { return measure_rate(w); }); !done) return done;
    }
    // Memory in new processes: what earlier connections gave back would be used again unseen.
    worlds_.clear();
    if (auto built = build_all(); !built) return built;
    return measure_all([&](World& w) { return measure_memory(w); });
  }

 private:
  struct World {
    const char* name;
    std::unique_ptr<Scene> scene;
    [[nodiscard]] bool is(std::string_view which) const { return which == name; }
  };

  template <class Measure>
  Outcome<void> measure_all(Measure&& one) {
    relay_figure_.reset();
    for (World& world : worlds_)
      if (auto done = one(world); !done)
        return fail(fmt::format("{}: {}", world.name, done.error().message));
    return {};
  }

  /// Notes a figure, and the split's in the relay's: those of one round, for the machine may have
  /// other work in the next.
  void add(const World& world, const std::string& metric, const char* unit, double value) {
    results_.add(world.name, metric, unit, value);
    if (world.is("kernel-relay")) relay_figure_ = value;
    if (world.is("vtl-split") && relay_figure_.value_or(0) > 0)
      results_.add(world.name, metric + "-of-relay", "ratio", value / *relay_figure_);
  }

  Outcome<void> measure_tcp(World& world, int streams) {
    bench_.progress.begin(
        fmt::format("{}, {} TCP stream{}", world.name, streams, streams == 1 ? "" : "s"));
    Scene& scene = *world.scene;
    const auto measured = measure(bench_, {.client = *scene.client,
                                           .server = *scene.server,
                                           .run = {.server = scene.target,
                                                   .port = kIperfPort,
                                                   .streams = streams,
                                                   .seconds = options_.seconds},
                                           .subject = subject(scene)});
    if (!measured) return std::unexpected(measured.error());
    const double rate = measured->report.bits_per_second;
    add(world, fmt::format("tcp-{}-stream{}", streams, streams == 1 ? "" : "s"), "bit/s", rate);
    if (streams == 1) results_.add(world.name, "cpu-per-gb", "s", measured->cpu_per_gb());
    bench_.progress.end(bit_rate(rate));
    return {};
  }

  Outcome<void> measure_rate(World& world) {
    bench_.progress.begin(fmt::format("{}, connections", world.name));
    Scene& scene = *world.scene;
    auto servers = start_servers(*scene.server);
    if (!servers) return std::unexpected(servers.error());
    const auto rate = connection_rate(*scene.client, scene.target, options_.seconds);
    if (!rate) return std::unexpected(rate.error());
    add(world, "connections", "1/s", *rate);
    bench_.progress.end(fmt::format("{:.0f} a second", *rate));
    return {};
  }

  Outcome<void> measure_memory(World& world) {
    const std::uint32_t count = options_.quick ? 2'000 : 6'000;
    const std::uint32_t many = options_.quick ? 10'000 : 100'000;
    bench_.progress.begin(fmt::format("{}, memory of {} idle connections", world.name, count));
    Scene& scene = *world.scene;
    auto servers = start_servers(*scene.server, world.is("vtl-split") ? many : kFirstOpen + count);
    if (!servers) return std::unexpected(servers.error());
    Crowd clients;
    if (auto open = hold(*scene.client, scene.target, clients, kFirstOpen); !open) return open;
    const auto before = held_by_programs(scene);
    const auto kernel_before = held_by_kernel();
    if (auto open = hold(*scene.client, scene.target, clients, count); !open) return open;
    const auto after = held_by_programs(scene);
    const auto kernel_after = held_by_kernel();
    for (const auto* held : {&before, &kernel_before, &after, &kernel_after})
      if (!*held) return std::unexpected(held->error());
    const double own = std::max(0.0, *after - *before) / count;
    const double kernel = std::max(0.0, *kernel_after - *kernel_before) / count;
    if (world.is("direct")) kernel_of_direct_ = kernel;
    // The kernel's part of a relay is what its sockets cost beyond those of client and server.
    const bool relays = world.is("kernel-relay");
    const double figure = world.scene->programs.empty() ? kernel
                          : relays
                              ? own + std::max(0.0, kernel - kernel_of_direct_.value_or(kernel))
                              : own;
    results_.add(world.name, "memory-per-connection", "octets", figure);
    if (relays) results_.add(world.name, "memory-per-connection-program", "octets", own);
    bench_.progress.end(fmt::format("{:.0f} octets each", figure));
    if (world.is("vtl-split"))
      if (auto done = hold_many(world, clients, kFirstOpen + count, many); !done) return done;
    return disperse(clients);
  }

  /// `open` connections are; there shall be `count`, and both ends of each probe.
  Outcome<void> hold_many(World& world, Crowd& clients, std::uint32_t open, std::uint32_t count) {
    bench_.progress.begin(fmt::format("{}, {} connections held", world.name, count));
    Scene& scene = *world.scene;
    const auto before = held_by_programs(scene);
    if (!before) return std::unexpected(before.error());
    if (auto opened = hold(*scene.client, scene.target, clients, count - open); !opened)
      return opened;
    const auto probed = watch_probes(scene, clients, count);
    if (!probed) return std::unexpected(probed.error());
    const auto after = held_by_programs(scene);
    if (!after) return std::unexpected(after.error());
    for (lab::Process& client : clients)
      if (auto asked = client.write_input("again\n"); !asked) return asked;
    for (lab::Process& client : clients)
      if (auto answered = client.wait_for_line("^answered ", kBound); !answered)
        return std::unexpected(answered.error());
    const auto counted = counted_by_split(scene);
    if (!counted) return std::unexpected(counted.error());
    results_.add(world.name, "connections-held", "connections", count);
    results_.add(world.name, "memory-per-connection-counted", "octets", *counted / count);
    results_.add(world.name, "memory-per-connection-held", "octets",
                 std::max(0.0, *after - *before) / (count - open));
    results_.add(world.name, "keep-alives-sent", "frames", static_cast<double>(probed->out));
    results_.add(world.name, "keep-alives-answered", "frames", static_cast<double>(probed->in));
    results_.note(
        fmt::format("{} connections held: {} keep-alives to their server, {} answers, then a "
                    "request on each and its answer",
                    count, probed->out, probed->in));
    if (options_.quick)
      results_.note(fmt::format("--quick holds {} connections at once, not 100000", count));
    bench_.progress.end(fmt::format("all answered after {} keep-alives", probed->out));
    return {};
  }

  /// Waits until the connections were probed, and held for long enough; what crossed the server's
  /// device meanwhile. Nobody speaks but the keep-alives.
  Outcome<Frames> watch_probes(Scene& scene, Crowd& clients, std::uint32_t count) {
    const Duration least = options_.quick ? Duration(0) : kHold;
    const std::uint64_t wanted = std::uint64_t{count} * (options_.quick ? 1 : 2);
    const SystemClock clock;
    const Time begin = clock.now();
    const auto first = frames_of(scene, "wan0");
    if (!first) return first;
    Frames seen;
    const auto one_ended = [&] {
      return std::ranges::any_of(clients, [](lab::Process& client) { return !client.running(); });
    };
    while (clock.now() - begin < least || std::min(seen.in, seen.out) < wanted) {
      if (clock.now() - begin > kBound || lab::wait_until(one_ended, 500ms)) {
        return fail(fmt::format("{} connections shall be held: {} keep-alives, {} answers, {}",
                                count, seen.out, seen.in,
                                one_ended() ? "then one ended" : "and no more in two minutes"));
      }
      const auto now = frames_of(scene, "wan0");
      if (!now) return now;
      seen = {.in = now->in - first->in, .out = now->out - first->out};
      bench_.progress.show(
          std::min(1.0, static_cast<double>(seen.in) / static_cast<double>(wanted)),
          fmt::format("{} keep-alives answered", seen.in));
    }
    return seen;
  }

  const BenchOptions& options_;
  Bench& bench_;
  Results& results_;
  std::vector<World> worlds_;
  std::optional<double> relay_figure_;  // of the metric that is being measured
  std::optional<double> kernel_of_direct_;
};

int cases_of(const BenchOptions& options) {
  return static_cast<int>(options.cases.empty() ? kCases.size() : options.cases.size());
}

bool splits(const BenchOptions& options) {
  return options.cases.empty() ||
         std::ranges::find(options.cases, "vtl-split") != options.cases.end();
}

}  // namespace

std::vector<std::string> endpoint_cases() {
  std::vector<std::string> names;
  for (const Case& which : kCases) names.emplace_back(which.name);
  return names;
}

Outcome<Results> run_endpoint_bench(const BenchOptions& options) {
  Results results("endpoint");
  results.set("seconds", std::to_string(options.seconds));
  results.set("repeat", std::to_string(options.repeat));
  const int cases = cases_of(options);
  const int steps = cases * (3 * options.repeat + 1) + (splits(options) ? 1 : 0);
  Progress progress(stderr, steps);
  progress.say(fmt::format("bench endpoint: {} measurements, {}", steps,
                           rough_time(cases * (3 * options.repeat * (options.seconds + 0.6) + 3) +
                                      (options.quick ? 16 : 60))));
  auto meter = calibrate_cpu(progress, results, options.quick ? 500ms : 2s);
  if (!meter) return std::unexpected(meter.error());
  Bench bench{progress, *meter};
  EndpointBench experiment(options, bench, results);
  if (auto built = experiment.build_all(); !built) return std::unexpected(built.error());
  if (auto done = experiment.run(); !done) return std::unexpected(done.error());
  return results;
}

std::string endpoint_table(const Results& results, Look look) {
  Table table(
      {"case", "1 stream", "16 streams", "connections/s", "octets/connection", "CPU s per GB"});
  const auto whole = [](double value) { return fmt::format("{:.0f}", value); };
  for (const Case& which : kCases) {
    const auto one = results.value(which.name, "tcp-1-stream");
    if (!one) continue;
    std::vector<std::string> cells{
        which.name,
        bit_rate(*one),
        or_dash(results.value(which.name, "tcp-16-streams"), bit_rate),
        or_dash(results.value(which.name, "connections"), whole),
        or_dash(results.value(which.name, "memory-per-connection"), whole),
        or_dash(results.value(which.name, "cpu-per-gb"), time_span)};
    if (std::string_view(which.name).starts_with("vtl"))
      table.add_bold(std::move(cells));
    else
      table.add(std::move(cells));
  }
  std::string text = table.render(look);
  if (!results.value("vtl-split", "connections-of-relay")) return text;
  Table ratios({"vtl-split to kernel-relay, aim 0.8", "1 stream", "16 streams", "connections/s"});
  std::vector<std::string> cells{"median of the rounds"};
  for (const char* metric : {"tcp-1-stream", "tcp-16-streams", "connections"})
    cells.push_back(or_dash(results.value("vtl-split", fmt::format("{}-of-relay", metric)), ratio));
  ratios.add_bold(std::move(cells));
  return text + "\n" + ratios.render(look);
}

}  // namespace vtl::bench
