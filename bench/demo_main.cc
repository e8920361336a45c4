// vtl-demo: what `./dev demo` runs.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>

#include "bench/demo.h"
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
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (quick && seconds->count() == 0) options.seconds = 5;
  return demo(options);
}

}  // namespace
}  // namespace vtl::bench

int main(int argc, char** argv) {
  return vtl::bench::run(argc, argv);
}
