#include "bench/anonymizer_bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>

#include "bench/crowd.h"
#include "bench/dns_load.h"
#include "bench/socks_relay.h"
#include "bench/traffic.h"
#include "bench/vtl_host.h"
#include "lab/lab.h"
#include "lab/vtl_program.h"

namespace vtl::bench {
namespace {

constexpr const char* kServer = "10.2.0.2";
constexpr const char* kGateway = "10.137.0.1";  // the anonymizer's own address, of its default
constexpr const char* kTap = "guest0";
/// Open before the first figure of memory is taken: what is only needed once is there then.
constexpr std::uint32_t kFirstOpen = 500;

/// Client and server, and what stands between them.
struct Scene {
  lab::Lab lab;
  lab::TcpSettings tcp;  ///< of every host
  lab::Host* client = nullptr;
  lab::Host* middle = nullptr;  ///< none in `direct`
  lab::Host* server = nullptr;
  std::optional<lab::Process> proxy;    ///< the SOCKS server
  std::optional<lab::Process> carrier;  ///< what brings the connections to it: VTL, redsocks

  [[nodiscard]] Programs subject() {
    Programs list;
    for (auto* program : {&proxy, &carrier})
      if (program->has_value()) list.push_back(&**program);
    return list;
  }
};

struct Case {
  const char* name;
  Outcome<void> (*join)(Scene& scene);
  const char* program = nullptr;  ///< which it needs and may not be there
  bool is_vtl = false;
};

Outcome<lab::Process> start_socks_server(const lab::Host& host) {
  auto proxy = host.start({.argv = {(own_program().parent_path() / "vtl-socks-relay").string()},
                           .name = "socks",
                           .input_from = lab::Input::kPipe});
  if (!proxy) return proxy;
  if (auto up = proxy->wait_for_line("^serving$", 5s); !up) return std::unexpected(up.error());
  return proxy;
}

Outcome<void> give_address(lab::Host& host, const std::string& device, const std::string& address) {
  return host.ip(fmt::format("addr add {} dev {}\n", address, device));
}

Outcome<void> join_directly(Scene& scene) {
  if (auto done = scene.lab.connect({*scene.client, "eth0"}, {*scene.server, "eth0"}); !done)
    return done;
  if (auto done = give_address(*scene.client, "eth0", "10.2.0.1/24"); !done) return done;
  if (auto done = give_address(*scene.server, "eth0", "10.2.0.2/24"); !done) return done;
  return wait_for_ping(*scene.client, kServer, 10s);
}

/// The host between: a way to the server, and the SOCKS server.
Outcome<void> add_middle(Scene& scene, const std::string& name) {
  auto middle = scene.lab.add_host(name, {.ipv6 = lab::Ipv6::kNoNoise, .tcp = scene.tcp});
  if (!middle) return std::unexpected(middle.error());
  scene.middle = *middle;
  if (auto done = prepare_for_many(*scene.middle); !done) return done;
  if (auto done = scene.lab.connect({*scene.middle, "wan0"}, {*scene.server, "eth0"}); !done)
    return done;
  if (auto done = give_address(*scene.middle, "wan0", "10.2.0.1/24"); !done) return done;
  if (auto done = give_address(*scene.server, "eth0", "10.2.0.2/24"); !done) return done;
  if (auto done = scene.middle->ip("link set dev lo up\n"); !done) return done;
  auto proxy = start_socks_server(*scene.middle);
  if (!proxy) return std::unexpected(proxy.error());
  scene.proxy = std::move(*proxy);
  return wait_for_ping(*scene.middle, kServer, 10s);
}

Outcome<void> start_anonymizer(Scene& scene, const std::string& type) {
  auto vtl = lab::start_vtl(*scene.middle, anonymizer_config(type, kTap), {.name = "anonymizer"});
  if (!vtl) return std::unexpected(vtl.error());
  scene.carrier = std::move(*vtl);
  return {};
}

/// The client's device is there: its address, and the way out.
Outcome<void> settle_client(Scene& scene, const std::string& device) {
  return scene.client->ip(
      fmt::format("addr add 10.137.0.2/24 dev {0}\nlink set dev {0} up\n"
                  "route add default via {1}\n",
                  device, kGateway));
}

Outcome<void> join_veth(Scene& scene) {
  if (auto done = add_middle(scene, "vtl-veth-middle"); !done) return done;
  if (auto done = scene.lab.connect({*scene.client, "eth0"}, {*scene.middle, kTap}); !done)
    return done;
  if (auto done = start_anonymizer(scene, "af_packet"); !done) return done;
  return settle_client(scene, "eth0");
}

// VTL makes the device in its own host; its other end is the kernel of whatever host it lies in.
Outcome<void> join_tap(Scene& scene) {
  if (auto done = add_middle(scene, "vtl-tap-middle"); !done) return done;
  if (auto done = start_anonymizer(scene, "tap"); !done) return done;
  if (auto done =
          scene.middle->ip(fmt::format("link set {} netns {}\n", kTap, scene.client->name()));
      !done)
    return done;
  if (auto done = settle_client(scene, kTap); !done) return done;
  return scene.client->wait_for_carrier(kTap);
}

// The redirector as its users run it: the kernel's own TCP toward the client, which believes to be
// connected before the proxy was asked. With its stock buffers.
Outcome<void> join_redsocks(Scene& scene) {
  constexpr int kRedirectTo = 12345;
  if (auto done = add_middle(scene, "redsocks-middle"); !done) return done;
  if (auto done = scene.lab.connect({*scene.client, "eth0"}, {*scene.middle, kTap}); !done)
    return done;
  const auto file = scene.middle->folder() / "redsocks.conf";
  if (auto written = write_file(
          file, fmt::format("base {{ log_info = off; daemon = off; redirector = iptables; }}\n"
                            "redsocks {{ local_ip = 0.0.0.0; local_port = {}; ip = 127.0.0.1; "
                            "port = {}; type = socks5; }}\n",
                            kRedirectTo, SocksRelayOptions{}.port));
      !written)
    return written;
  auto relay = scene.middle->start({.argv = {"redsocks", "-c", file.string()}});
  if (!relay) return std::unexpected(relay.error());
  if (auto up = relay->wait_for_port(lab::Protocol::kTcp, kRedirectTo, 10s); !up) return up;
  scene.carrier = std::move(*relay);
  if (auto done = give_address(*scene.middle, kTap, fmt::format("{}/24", kGateway)); !done)
    return done;
  const auto rules = scene.middle->run(
      {.argv = {"nft", "-f", "-"},
       .input = fmt::format("table ip socks {{ chain guest {{ type nat hook prerouting priority "
                            "dstnat; policy accept; iifname {} meta l4proto tcp redirect to "
                            ":{}; }}; }}\n",
                            kTap, kRedirectTo)},
      10s);
  if (!rules) return std::unexpected(rules.error());
  return settle_client(scene, "eth0");
}

constexpr std::array<Case, 4> kCases{{
    {"direct", join_directly},
    {"redsocks", join_redsocks, "redsocks"},
    {"vtl-veth", join_veth, nullptr, true},
    {"vtl-tap", join_tap, nullptr, true},
}};

struct TcpMetric {
  const char* name;
  int streams;
  bool reverse;
  const char* label;
};
constexpr std::array<TcpMetric, 4> kTcpMetrics{{
    {"tcp-1-stream", 1, false, "1 TCP stream"},
    {"tcp-8-streams", 8, false, "8 TCP streams"},
    {"tcp-1-stream-reverse", 1, true, "1 TCP stream, server to client"},
    {"tcp-8-streams-reverse", 8, true, "8 TCP streams, server to client"},
}};

Outcome<void> build(Scene& scene, const Case& which) {
  for (auto [name, slot] :
       {std::pair{"client", &scene.client}, std::pair{"server", &scene.server}}) {
    auto host = scene.lab.add_host(fmt::format("{}-{}", which.name, name), {.tcp = scene.tcp});
    if (!host) return std::unexpected(host.error());
    *slot = *host;
    if (auto done = prepare_for_many(**slot); !done) return done;
  }
  if (auto done = which.join(scene); !done) return done;
  return {};
}

bool takes_part(const BenchOptions& options, const Case& which) {
  const bool wanted =
      options.cases.empty() || std::ranges::find(options.cases, which.name) != options.cases.end();
  return wanted && (which.program == nullptr || lab::has_program(which.program));
}

class AnonymizerBench {
 public:
  AnonymizerBench(const BenchOptions& options, Bench& bench, Results& results)
      : options_(options), bench_(bench), results_(results) {}

  Outcome<void> build_all() {
    for (const Case& which : kCases) {
      if (!takes_part(options_, which)) continue;
      auto scene = std::make_unique<Scene>();
      scene->tcp.congestion_control = options_.congestion;
      if (auto built = build(*scene, which); !built)
        return fail(fmt::format("{}: {}", which.name, built.error().message));
      worlds_.push_back({which.name, which.is_vtl, std::move(scene)});
    }
    return {};
  }

  Outcome<void> run() {
    for (int i = 0; i < options_.repeat; ++i) {
      for (const TcpMetric& metric : kTcpMetrics)
        if (auto done = measure_all([&](World& w) { return measure_tcp(w, metric); }); !done)
          return done;
      if (auto done = measure_all([&](World& w) { return measure_rate(w); }); !done) return done;
      if (auto done = measure_all([&](World& w) { return measure_answers(w); }); !done) return done;
    }
    // Memory in new processes: what earlier connections gave back would be used again unseen.
    worlds_.clear();
    if (auto built = build_all(); !built) return built;
    return measure_all([&](World& w) { return measure_memory(w); });
  }

 private:
  struct World {
    const char* name;
    bool is_vtl;
    std::unique_ptr<Scene> scene;
    [[nodiscard]] bool is_direct() const { return scene->middle == nullptr; }
  };

  template <class Measure>
  Outcome<void> measure_all(Measure&& one) {
    direct_figure_.reset();
    for (World& world : worlds_)
      if (auto done = one(world); !done)
        return fail(fmt::format("{}: {}", world.name, done.error().message));
    return {};
  }

  /// Notes a figure, and what part it is of the direct one: those of one round, for the machine
  /// may have other work in the next.
  void add(const World& world, const std::string& metric, const char* unit, double value) {
    results_.add(world.name, metric, unit, value);
    if (world.is_direct()) {
      direct_figure_ = value;
    } else if (direct_figure_.value_or(0) > 0) {
      results_.add(world.name, metric + "-of-direct", "ratio", value / *direct_figure_);
    }
  }

  Outcome<void> measure_tcp(World& world, const TcpMetric& metric) {
    bench_.progress.begin(fmt::format("{}, {}", world.name, metric.label));
    Scene& scene = *world.scene;
    const auto own_before = used_by(scene.carrier), proxy_before = used_by(scene.proxy);
    const auto measured = measure(bench_, {.client = *scene.client,
                                           .server = *scene.server,
                                           .run = {.server = kServer,
                                                   .streams = metric.streams,
                                                   .reverse = metric.reverse,
                                                   .seconds = options_.seconds},
                                           .subject = scene.subject()});
    if (!measured) return std::unexpected(measured.error());
    const double rate = measured->report.bits_per_second;
    add(world, metric.name, "bit/s", rate);
    if (metric.streams == 1) {
      const std::string suffix = metric.reverse ? "-reverse" : "";
      const double gb = measured->report.octets / 1e9;
      results_.add(world.name, "cpu-per-gb" + suffix, "s", measured->cpu_per_gb());
      if (!world.is_direct() && gb > 0) {
        results_.add(world.name, "cpu-per-gb-own" + suffix, "s",
                     (used_by(scene.carrier) - own_before) / gb);
        results_.add(world.name, "cpu-per-gb-proxy" + suffix, "s",
                     (used_by(scene.proxy) - proxy_before) / gb);
      }
    }
    bench_.progress.end(bit_rate(rate));
    return {};
  }

  /// Seconds of processor time that a program has used so far.
  static double used_by(std::optional<lab::Process>& program) {
    return program ? std::chrono::duration<double>(program->cpu().total()).count() : 0;
  }

  Outcome<void> measure_rate(World& world) {
    bench_.progress.begin(fmt::format("{}, connections", world.name));
    Scene& scene = *world.scene;
    auto servers = start_servers(*scene.server);
    if (!servers) return std::unexpected(servers.error());
    const auto rate = connection_rate(*scene.client, kServer, options_.seconds);
    if (!rate) return std::unexpected(rate.error());
    add(world, "connections", "1/s", *rate);
    bench_.progress.end(fmt::format("{:.0f} a second", *rate));
    return {};
  }

  Outcome<void> measure_answers(World& world) {
    if (!world.is_vtl) return {};  // nobody answers there
    bench_.progress.begin(fmt::format("{}, name look-ups", world.name));
    const auto client = world.scene->client->run(
        {.argv = {own_program().string(), "dns-rate", kGateway, std::to_string(options_.seconds)},
         .name = "dns-rate"},
        std::chrono::seconds(options_.seconds) + 10s);
    if (!client) return std::unexpected(client.error());
    const auto report = parse_dns_report(client->output());
    if (!report) return std::unexpected(report.error());
    if (report->answered == 0 || (report->refused + report->lost) * 100 > report->answered)
      return fail(fmt::format("{} look-ups were answered, {} refused, {} lost", report->answered,
                              report->refused, report->lost));
    const double rate = static_cast<double>(report->answered) / report->seconds;
    add(world, "dns-answers", "1/s", rate);
    bench_.progress.end(fmt::format("{:.0f} a second", rate));
    return {};
  }

  Outcome<void> measure_memory(World& world) {
    if (!world.is_vtl && !world.is_direct()) return {};  // redsocks holds fewer
    const std::uint32_t count = options_.quick ? 2'000 : 6'000;
    bench_.progress.begin(fmt::format("{}, memory of {} idle connections", world.name, count));
    Scene& scene = *world.scene;
    auto servers = start_servers(*scene.server, kFirstOpen + count);
    if (!servers) return std::unexpected(servers.error());
    const auto held = [&] { return scene.carrier ? held_by(*scene.carrier) : held_by_kernel(); };
    Crowd clients;
    if (auto open = hold(*scene.client, kServer, clients, kFirstOpen); !open) return open;
    const auto before = held();
    if (!before) return std::unexpected(before.error());
    if (auto open = hold(*scene.client, kServer, clients, count); !open) return open;
    const auto after = held();
    if (!after) return std::unexpected(after.error());
    const double figure = std::max(0.0, *after - *before) / count;
    results_.add(world.name, "memory-per-connection", "octets", figure);
    bench_.progress.end(fmt::format("{:.0f} octets each", figure));
    return disperse(clients);
  }

  const BenchOptions& options_;
  Bench& bench_;
  Results& results_;
  std::vector<World> worlds_;
  std::optional<double> direct_figure_;  // of the metric that is being measured
};

}  // namespace

std::vector<std::string> anonymizer_cases() {
  std::vector<std::string> names;
  for (const Case& which : kCases) names.emplace_back(which.name);
  return names;
}

Outcome<Results> run_anonymizer_bench(const BenchOptions& options) {
  Results results("anonymizer");
  results.set("seconds", std::to_string(options.seconds));
  results.set("repeat", std::to_string(options.repeat));
  results.set("congestion", options.congestion);
  int cases = 0, of_vtl = 0;
  for (const Case& which : kCases) {
    if (takes_part(options, which)) {
      ++cases;
      of_vtl += which.is_vtl ? 1 : 0;
    } else if (which.program != nullptr && !lab::has_program(which.program)) {
      results.note(
          fmt::format("{0} is left out: there is no program {0} (apt install {0})", which.program));
    }
  }
  const int of_round = cases * (static_cast<int>(kTcpMetrics.size()) + 1) + of_vtl;
  const int held = of_vtl + (takes_part(options, kCases.front()) ? 1 : 0);
  const int steps = of_round * options.repeat + held;
  Progress progress(stderr, steps);
  progress.say(fmt::format("bench anonymizer: {} measurements, {}", steps,
                           rough_time(of_round * options.repeat * (options.seconds + 0.6) +
                                      held * (options.quick ? 2 : 5))));
  auto meter = calibrate_cpu(progress, results, options.quick ? 500ms : 2s);
  if (!meter) return std::unexpected(meter.error());
  Bench bench{progress, *meter};
  AnonymizerBench experiment(options, bench, results);
  if (auto built = experiment.build_all(); !built) return std::unexpected(built.error());
  if (auto done = experiment.run(); !done) return std::unexpected(done.error());
  return results;
}

std::string anonymizer_table(const Results& results, Look look) {
  const auto whole = [](double value) { return fmt::format("{:.0f}", value); };
  Table figures({"case", "1 stream", "8 streams", "1, reverse", "8, reverse", "connections/s",
                 "DNS answers/s"});
  Table costs({"case", "octets/connection", "CPU s per GB", "its own", "the proxy's",
               "reverse: its own", "the proxy's"});
  Table ratios(
      {"to direct, aim 0.5", "1 stream", "8 streams", "1, reverse", "8, reverse", "connections/s"});
  bool any_ratio = false;
  for (const Case& which : kCases) {
    const auto value = [&](const std::string& metric) { return results.value(which.name, metric); };
    if (!value("tcp-1-stream")) continue;
    std::vector<std::string> rates{which.name}, parts{which.name};
    for (const TcpMetric& metric : kTcpMetrics) {
      rates.push_back(or_dash(value(metric.name), bit_rate));
      parts.push_back(or_dash(value(fmt::format("{}-of-direct", metric.name)), ratio));
    }
    rates.push_back(or_dash(value("connections"), whole));
    rates.push_back(or_dash(value("dns-answers"), whole));
    parts.push_back(or_dash(value("connections-of-direct"), ratio));
    std::vector<std::string> cost{which.name, or_dash(value("memory-per-connection"), whole)};
    for (const char* metric : {"cpu-per-gb", "cpu-per-gb-own", "cpu-per-gb-proxy",
                               "cpu-per-gb-own-reverse", "cpu-per-gb-proxy-reverse"})
      cost.push_back(or_dash(value(metric), time_span));
    figures.add(std::move(rates));
    costs.add(std::move(cost));
    if (!value("tcp-1-stream-of-direct")) continue;
    ratios.add_bold(std::move(parts));
    any_ratio = true;
  }
  return figures.render(look) + "\n" + costs.render(look) +
         (any_ratio ? "\n" + ratios.render(look) : "");
}

}  // namespace vtl::bench
