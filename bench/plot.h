// Plot: lines over a common x axis, one panel beside the other, written as SVG and PNG by gnuplot.
//
// Every series has its colour and its point shape by its place in the list, the same in each panel,
// so that panels can be compared; a legend names them once.
//
// Thread rule: any thread; write_plot() runs gnuplot and waits for it.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "vtl/base/result.h"

namespace vtl::bench {

struct Series {
  std::string name;
  std::vector<std::pair<double, double>> points;
};
struct Panel {
  std::string title;
  std::vector<Series> series;
};
struct Plot {
  std::string title;
  std::string x_label;
  std::string y_label;
  std::vector<Panel> panels;
};

enum class PlotFormat : std::uint8_t { kSvg, kPng };

/// What gnuplot is told; the plot goes to `file`.
[[nodiscard]] std::string gnuplot_script(const Plot& plot, PlotFormat format,
                                         const std::filesystem::path& file);

/// Writes STEM.svg and STEM.png; an error carries gnuplot's own words.
[[nodiscard]] Outcome<void> write_plot(const Plot& plot, const std::filesystem::path& stem);

}  // namespace vtl::bench
