// vtl-demo: what `./dev demo` runs.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>

#include "bench/demo.h"
#include "bench/tor_demo.h"
#include "lab/sandbox.h"

namespace vtl::bench {
namespace {

int failed(const Error& error) {
  fmt::print(stderr, "vtl-demo: {}\n", error.message);
  return 1;
}

/// The folder for captures, as an absolute path that exists.
Outcome<std::string> made_folder(const std::string& name) {
  if (name.empty()) return name;
  std::error_code error;
  const auto folder = std::filesystem::absolute(name, error);
  if (!error) std::filesystem::create_directories(folder, error);
  if (error) return fail(fmt::format("cannot make the folder {}: {}", name, error.message()));
  return folder.string();
}

int demo(DemoOptions options) {
  const auto folder = made_folder(options.pcap_folder);
  if (!folder) return failed(folder.error());
  options.pcap_folder = *folder;
  lab::enter_sandbox();
  const auto results = run_demo(options);
  if (!results) return failed(results.error());
  fmt::print("\n{}", demo_table(*results, look_of(stdout)));
  if (options.json_file.empty()) return 0;
  const auto written = results->write_json(options.json_file);
  return written ? 0 : failed(written.error());
}

int tor_demo(const std::string& json_file) {
  lab::enter_sandbox();
  const auto shown = run_tor_demo();
  if (!shown) return failed(shown.error());
  fmt::print("\n{}", tor_demo_table(*shown, look_of(stdout)));
  if (json_file.empty()) return 0;
  const auto written = shown->results.write_json(json_file);
  return written ? 0 : failed(written.error());
}

int run(int argc, char** argv) {
  CLI::App app{
      "One unmodified program (iperf3) over plain TCP and over VTL-UDT, across the same emulated\n"
      "long path, in a sandbox that vanishes at the end."};
  DemoOptions options;
  bool quick = false;
  app.add_option("--rate", options.rate_mbit, "of the path, Mbit/s")
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();
  app.add_option("--rtt", options.rtt_ms, "round trip, ms")
      ->check(CLI::Range(0, 2000))
      ->capture_default_str();
  app.add_option("--loss", options.loss_percent, "of each direction's frames, percent")
      ->check(CLI::Range(0.0, 50.0))
      ->capture_default_str();
  CLI::Option* seconds = app.add_option("--seconds", options.seconds, "of every transfer")
                             ->check(CLI::Range(1, 600))
                             ->capture_default_str();
  app.add_flag("--quick", quick, "within 50 seconds");
  app.add_option("--json", options.json_file, "write the figures to this file");
  app.add_option("--pcap", options.pcap_folder,
                 "keep captures of both sides of each VTL in this folder (headers only)");
  std::string tor_json;
  CLI::App* tor = app.add_subcommand(
      "tor", "the same curl with and without VTL, and what the server saw: about a minute");
  tor->add_option("--json", tor_json, "write what was seen to this file");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (tor->parsed()) return tor_demo(tor_json);
  if (quick && seconds->count() == 0) options.seconds = 5;
  return demo(options);
}

}  // namespace
}  // namespace vtl::bench

int main(int argc, char** argv) {
  return vtl::bench::run(argc, argv);
}
