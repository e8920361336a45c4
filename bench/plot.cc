#include "bench/plot.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstdio>

#include "bench/results.h"

namespace vtl::bench {
namespace {

struct Style {
  const char* colour;
  int shape;  // gnuplot's point types
};
// Told apart by people who see few colours, and in print, by shape.
constexpr std::array<Style, 8> kStyles{{{"#7f7f7f", 4},
                                        {"#e69f00", 6},
                                        {"#0072b2", 8},
                                        {"#cc79a7", 12},
                                        {"#009e73", 7},
                                        {"#d55e00", 9},
                                        {"#56b4e9", 5},
                                        {"#000000", 13}}};

/// In gnuplot's double quotes.
std::string in_quotes(std::string_view text) {
  std::string out = "\"";
  for (const char letter : text) {
    if (letter == '"' || letter == '\\') out += '\\';
    out += letter;
  }
  return out + "\"";
}

/// The data of all series as here-documents $p0s0, $p0s1, ...
std::string data_blocks(const Plot& plot) {
  std::string out;
  for (std::size_t p = 0; p < plot.panels.size(); ++p)
    for (std::size_t s = 0; s < plot.panels[p].series.size(); ++s) {
      out += fmt::format("$p{}s{} << EOD\n", p, s);
      for (const auto& [x, y] : plot.panels[p].series[s].points)
        out += fmt::format("{} {}\n", x, y);
      out += "EOD\n";
    }
  return out;
}

std::string plot_command(const Panel& panel, std::size_t p) {
  std::vector<std::string> curves;
  for (std::size_t s = 0; s < panel.series.size(); ++s) {
    if (panel.series[s].points.empty()) continue;
    const Style& style = kStyles[s % kStyles.size()];
    curves.push_back(fmt::format("$p{}s{} with linespoints lw 2 ps 1.1 lc rgb '{}' pt {} title {}",
                                 p, s, style.colour, style.shape, in_quotes(panel.series[s].name)));
  }
  return curves.empty() ? "plot NaN notitle\n" : fmt::format("plot {}\n", fmt::join(curves, ", "));
}

/// The highest y of all panels, so that they share one scale.
double highest(const Plot& plot) {
  double top = 0;
  for (const Panel& panel : plot.panels)
    for (const Series& series : panel.series)
      for (const auto& [x, y] : series.points) top = std::max(top, y);
  return top > 0 ? top : 1;
}

Outcome<void> run_gnuplot(const std::filesystem::path& script) {
  const std::string command = fmt::format("gnuplot '{}' 2>&1", script.string());
  std::FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return fail("cannot start gnuplot");
  std::string words;
  std::array<char, 512> piece{};
  while (std::fgets(piece.data(), piece.size(), pipe) != nullptr) words += piece.data();
  const int status = pclose(pipe);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return fail(fmt::format("gnuplot failed: {}", words.substr(0, 400)));
}

}  // namespace

std::string gnuplot_script(const Plot& plot, PlotFormat format, const std::filesystem::path& file) {
  const std::size_t columns = std::max<std::size_t>(1, plot.panels.size());
  const char* terminal = format == PlotFormat::kSvg
                             ? "svg size {},480 dynamic background rgb 'white' font 'sans,13'"
                             : "pngcairo size {},480 background rgb 'white' font 'sans,11'";
  std::string out = data_blocks(plot);
  out += fmt::format("set terminal {}\n", fmt::format(fmt::runtime(terminal), 560 * columns));
  out += fmt::format("set output {}\n", in_quotes(file.string()));
  out += fmt::format("set multiplot layout 1,{} title {} noenhanced\n", columns,
                     in_quotes(plot.title));
  out += "set border 3\nset tics nomirror out\nset grid ytics lc rgb '#dddddd'\n";
  out +=
      "set key below horizontal noenhanced\nset autoscale xfix\nset offsets graph 0.03, 0.03, 0, "
      "0\n";
  out += fmt::format("set xlabel {} noenhanced\nset ylabel {} noenhanced\n",
                     in_quotes(plot.x_label), in_quotes(plot.y_label));
  out += fmt::format("set yrange [0:{}]\n", highest(plot) * 1.08);
  for (std::size_t p = 0; p < plot.panels.size(); ++p) {
    out += fmt::format("set title {} noenhanced\n", in_quotes(plot.panels[p].title));
    out += plot_command(plot.panels[p], p);
  }
  return out + "unset multiplot\n";
}

Outcome<void> write_plot(const Plot& plot, const std::filesystem::path& stem) {
  for (const PlotFormat format : {PlotFormat::kSvg, PlotFormat::kPng}) {
    std::filesystem::path file = stem;
    file += format == PlotFormat::kSvg ? ".svg" : ".png";
    std::filesystem::path script = file;
    script += ".gnuplot";
    if (auto written = write_file(script, gnuplot_script(plot, format, file)); !written)
      return written;
    auto drawn = run_gnuplot(script);
    std::error_code ignored;
    std::filesystem::remove(script, ignored);
    if (!drawn) return drawn;
  }
  return {};
}

}  // namespace vtl::bench
