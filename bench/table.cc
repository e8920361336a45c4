#include "bench/table.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace vtl::bench {
namespace {

constexpr std::string_view kBold = "\033[1m";
constexpr std::string_view kDim = "\033[2m";
constexpr std::string_view kGreen = "\033[1;32m";
constexpr std::string_view kReset = "\033[0m";

/// Three significant figures, without a trailing point.
std::string figures(double value) {
  const double size = std::abs(value);
  if (size >= 99.95) return fmt::format("{:.0f}", value);
  if (size >= 9.995) return fmt::format("{:.1f}", value);
  return fmt::format("{:.2f}", value);
}

std::string repeat(std::string_view piece, std::size_t times) {
  std::string text;
  for (std::size_t i = 0; i < times; ++i) text += piece;
  return text;
}

}  // namespace

Look look_of(std::FILE* stream) {
  const char* term = std::getenv("TERM");
  const bool plain = std::getenv("NO_COLOR") != nullptr || term == nullptr ||
                     std::string_view(term) == "dumb" || isatty(fileno(stream)) == 0;
  return plain ? Look::kPlain : Look::kPretty;
}

std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(
      text, [](char octet) { return (static_cast<unsigned char>(octet) & 0xC0U) != 0x80U; }));
}

void Table::add(std::vector<std::string> cells) {
  lines_.push_back({std::move(cells), false});
}

void Table::add_bold(std::vector<std::string> cells) {
  lines_.push_back({std::move(cells), true});
}

void Table::add_rule() {
  lines_.push_back({});
}

std::string Table::render(Look look) const {
  std::vector<std::size_t> widths;
  for (const std::string& title : header_) widths.push_back(width_of(title));
  for (const Line& line : lines_)
    for (std::size_t i = 0; i < line.cells.size() && i < widths.size(); ++i)
      widths[i] = std::max(widths[i], width_of(line.cells[i]));
  std::size_t total = 2 * widths.size();
  for (const std::size_t width : widths) total += width;

  const bool pretty = look == Look::kPretty;
  const std::string rule = pretty ? fmt::format("{}{}{}\n", kDim, repeat("─", total), kReset)
                                  : repeat("-", total) + "\n";
  const auto written = [&](const std::vector<std::string>& cells, std::string_view style) {
    std::string text;
    for (std::size_t i = 0; i < widths.size(); ++i) {
      const std::string cell = i < cells.size() ? cells[i] : "";
      const std::string pad(widths[i] - width_of(cell), ' ');
      text += i == 0 ? " " + cell + pad : "  " + pad + cell;
    }
    if (pretty && !style.empty()) return fmt::format("{}{}{}\n", style, text, kReset);
    while (text.ends_with(' ')) text.pop_back();
    return text + "\n";
  };
  std::string out = written(header_, kBold) + rule;
  for (const Line& line : lines_)
    out += line.cells.empty() ? rule : written(line.cells, line.bold ? kGreen : std::string_view{});
  return out;
}

std::string bit_rate(double bits_per_second) {
  if (bits_per_second >= 0.9995e9) return figures(bits_per_second / 1e9) + " Gbit/s";
  if (bits_per_second >= 0.9995e6) return figures(bits_per_second / 1e6) + " Mbit/s";
  return figures(bits_per_second / 1e3) + " kbit/s";
}

std::string time_span(double seconds) {
  if (seconds >= 0.9995) return figures(seconds) + " s";
  if (seconds >= 0.9995e-3) return figures(seconds * 1e3) + " ms";
  if (seconds >= 0.9995e-6) return figures(seconds * 1e6) + " us";
  return figures(seconds * 1e9) + " ns";
}

std::string ratio(double value) {
  return figures(value) + " x";
}

std::string rough_time(double seconds) {
  const int whole = static_cast<int>(std::lround(seconds));
  if (whole < 90) return fmt::format("about {} seconds", std::max(5, (whole + 4) / 5 * 5));
  return fmt::format("about {} minutes", (whole + 59) / 60);
}

std::string or_dash(std::optional<double> value, std::string (*words)(double)) {
  return value ? words(*value) : "-";
}

}  // namespace vtl::bench
