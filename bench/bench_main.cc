// vtl-bench: the experiments. `vtl-bench bridge`, `vtl-bench wan`, `vtl-bench endpoint`, `vtl-bench
// anonymizer`; --help tells the options.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>

#include "bench/anonymizer_bench.h"
#include "bench/bridge_bench.h"
#include "bench/connections.h"
#include "bench/dns_load.h"
#include "bench/endpoint_bench.h"
#include "bench/frames.h"
#include "bench/options.h"
#include "bench/table.h"
#include "bench/wan_bench.h"
#include "lab/sandbox.h"

namespace vtl::bench {
namespace {

int failed(const Error& error) {
  fmt::print(stderr, "vtl-bench: {}\n", error.message);
  return 1;
}

void add_common(CLI::App& command, BenchOptions& options, const std::vector<std::string>& cases) {
  command.add_option("--json", options.json_file, "write the figures to this file");
  command.add_flag("--quick", options.quick, "within 50 seconds: short runs, fewer points");
  command.add_option("--seconds", options.seconds, "of every transfer")->check(CLI::Range(1, 600));
  command.add_option("--repeat", options.repeat, "times; the median is told")
      ->check(CLI::Range(1, 99));
  command.add_option("--case", options.cases, "only these cases")->check(CLI::IsMember(cases));
}

int tell(const Results& results, const std::string& table, const BenchOptions& options) {
  fmt::print("\n{}", table);
  for (const std::string& note : results.notes()) fmt::print("note: {}\n", note);
  if (options.json_file.empty()) return 0;
  if (auto written = results.write_json(options.json_file); !written)
    return failed(written.error());
  return 0;
}

int run_bridge(BenchOptions options) {
  lab::enter_sandbox();
  const auto results = run_bridge_bench(options);
  if (!results) return failed(results.error());
  return tell(*results, bridge_table(*results, look_of(stdout)), options);
}

int run_endpoint(const BenchOptions& options) {
  lab::enter_sandbox();
  const auto results = run_endpoint_bench(options);
  if (!results) return failed(results.error());
  return tell(*results, endpoint_table(*results, look_of(stdout)), options);
}

int run_anonymizer(const BenchOptions& options) {
  lab::enter_sandbox();
  const auto results = run_anonymizer_bench(options);
  if (!results) return failed(results.error());
  return tell(*results, anonymizer_table(*results, look_of(stdout)), options);
}

/// STEM of the plot: what was asked for, or the JSON file's name without its end.
std::string plot_stem(const BenchOptions& options) {
  if (!options.plot_stem.empty()) return options.plot_stem;
  return std::filesystem::path(options.json_file).replace_extension().string();
}

int run_wan(const BenchOptions& options) {
  lab::enter_sandbox();
  const auto results = run_wan_bench(options);
  if (!results) return failed(results.error());
  const int code = tell(*results, wan_table(*results, look_of(stdout)), options);
  const std::string stem = plot_stem(options);
  if (stem.empty()) return code;
  if (auto drawn = write_plot(wan_plot(*results), stem); !drawn) return failed(drawn.error());
  fmt::print("plot: {0}.svg {0}.png\n", stem);
  return code;
}

int send(const FrameRun& run) {
  const auto report = send_frames(run);
  if (!report) return failed(report.error());
  fmt::print("{}\n", to_line(*report));
  return 0;
}

int receive(std::uint16_t port) {
  const auto received = receive_frames(port);
  return received ? 0 : failed(received.error());
}

int rate(const ConnectionRun& run) {
  const auto report = rate_of_connections(run);
  if (!report) return failed(report.error());
  fmt::print("{}\n", to_line(*report));
  return 0;
}

int look_up(const std::string& server, int seconds) {
  const auto report = measure_dns({.server = server, .span = std::chrono::seconds(seconds)});
  if (!report) return failed(report.error());
  fmt::print("{}\n", to_line(*report));
  return 0;
}

int ended(const Outcome<void>& done) {
  return done ? 0 : failed(done.error());
}

int run(int argc, char** argv) {
  CLI::App app{"The experiments of VTL: what it costs, what it gains"};
  app.require_subcommand(1);
  BenchOptions options;
  FrameRun frames;
  int code = 0;

  CLI::App* bridge = app.add_subcommand("bridge", "what standing under a guest costs");
  add_common(*bridge, options, bridge_cases());
  bridge->add_option("--frames", options.frames, "small frames a case")
      ->check(CLI::Range(1000U, 100'000'000U));

  CLI::App* wan = app.add_subcommand("wan", "bandwidth against latency, with and without loss");
  add_common(*wan, options, wan_cases());
  wan->add_option("--rate", options.rate_mbit, "of the path, Mbit/s")
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();
  wan->add_option("--rtt", options.rtts_ms, "round trips, ms; default 0 10 30 60 120 240")
      ->check(CLI::Range(0, 2000));
  wan->add_option("--loss", options.losses_percent,
                  "of each direction's frames, percent; default 0 0.1")
      ->check(CLI::Range(0.0, 50.0));
  wan->add_option("--plot", options.plot_stem,
                  "write STEM.svg and STEM.png; default: the name of the JSON file");

  CLI::App* endpoint =
      app.add_subcommand("endpoint", "connections that end in the middle and begin again there");
  add_common(*endpoint, options, endpoint_cases());

  CLI::App* anonymizer =
      app.add_subcommand("anonymizer", "all of a guest's connections through a SOCKS proxy");
  add_common(*anonymizer, options, anonymizer_cases());
  anonymizer
      ->add_option("--congestion", options.congestion, "congestion control of every host's TCP")
      ->capture_default_str();

  // What the endpoint and the anonymizer experiment run on their hosts.
  ConnectionRun connections;
  CLI::App* serve = app.add_subcommand("serve-connections")->group("");
  CLI::App* rate_of = app.add_subcommand("connection-rate")->group("");
  rate_of->add_option("server", connections.server)->required();
  rate_of->add_option("seconds", connections.seconds)->required();
  CLI::App* hold = app.add_subcommand("hold-connections")->group("");
  hold->add_option("server", connections.server)->required();
  hold->add_option("count", connections.count)->required();

  CLI::App* dns_rate = app.add_subcommand("dns-rate")->group("");
  dns_rate->add_option("server", connections.server)->required();
  dns_rate->add_option("seconds", connections.seconds)->required();

  // What the bridge experiment runs on its hosts.
  CLI::App* sender = app.add_subcommand("send-frames")->group("");
  sender->add_option("server", frames.server)->required();
  sender->add_option("port", frames.port)->required();
  sender->add_option("count", frames.count)->required();
  CLI::App* receiver = app.add_subcommand("receive-frames")->group("");
  receiver->add_option("port", frames.port)->required();

  bridge->callback([&] {
    if (options.quick && bridge->count("--seconds") == 0) options.seconds = 1;
    if (options.quick && bridge->count("--frames") == 0) options.frames = 60'000;
    code = run_bridge(options);
  });
  wan->callback([&] {
    if (options.quick && wan->count("--seconds") == 0) options.seconds = 1;
    code = run_wan(options);
  });
  endpoint->callback([&] {
    if (endpoint->count("--seconds") == 0) options.seconds = options.quick ? 1 : 3;
    if (endpoint->count("--repeat") == 0) options.repeat = options.quick ? 1 : 5;
    code = run_endpoint(options);
  });
  anonymizer->callback([&] {
    if (anonymizer->count("--seconds") == 0) options.seconds = options.quick ? 1 : 3;
    if (anonymizer->count("--repeat") == 0) options.repeat = options.quick ? 1 : 5;
    code = run_anonymizer(options);
  });
  serve->callback([&] { code = ended(serve_connections()); });
  rate_of->callback([&] { code = rate(connections); });
  hold->callback([&] { code = ended(hold_connections(connections)); });
  dns_rate->callback([&] { code = look_up(connections.server, connections.seconds); });
  sender->callback([&] { code = send(frames); });
  receiver->callback([&] { code = receive(frames.port); });
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return code;
}

}  // namespace
}  // namespace vtl::bench

int main(int argc, char** argv) {
  return vtl::bench::run(argc, argv);
}
