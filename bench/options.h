// What a person may ask of the experiments, with its defaults.
#pragma once

#include <string>
#include <vector>

namespace vtl::bench {

struct DemoOptions {
  int rate_mbit = 1000;
  int rtt_ms = 60;
  double loss_percent = 0.1;
  int seconds = 10;  ///< of every transfer
  std::string json_file{};
  std::string pcap_folder{};
};

struct BenchOptions {
  int seconds = 5;  ///< of every transfer
  int repeat = 1;   ///< the median of so many runs
  bool quick = false;
  std::string json_file{};
  std::string plot_stem{};           ///< wan: STEM.svg and STEM.png
  std::vector<std::string> cases{};  ///< empty: all
  std::vector<int> rtts_ms{};        ///< wan; empty: all
  std::vector<double> losses_percent{};
  int rate_mbit = 1000;
  std::uint32_t frames = 300'000;
  std::string congestion = "cubic";  ///< anonymizer: of every host's TCP
};

}  // namespace vtl::bench
