#include "vtl/cli/table.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cstdlib>
#include <utility>

namespace vtl::cli {
namespace {

constexpr std::string_view kBold = "\033[1m";
constexpr std::string_view kPlain = "\033[0m";

std::string printable(std::string text) {
  for (auto& c : text) {
    const auto octet = static_cast<unsigned char>(c);
    if (octet < 0x20 || octet == 0x7f) c = '?';
  }
  return text;
}

std::string three_digits(double value, std::string_view unit) {
  if (value >= 99.95) return fmt::format("{:.0f} {}", value, unit);
  if (value >= 9.995) return fmt::format("{:.1f} {}", value, unit);
  return fmt::format("{:.2f} {}", value, unit);
}

}  // namespace

void Table::add_row(std::vector<std::string> cells) {
  assert(cells.size() == columns_.size());
  for (auto& cell : cells) cell = printable(std::move(cell));
  rows_.push_back(std::move(cells));
}

std::string Table::render(bool colour) const {
  std::vector<std::size_t> widths;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    std::size_t width = columns_[i].title.size();
    for (const auto& row : rows_) width = std::max(width, row[i].size());
    widths.push_back(width);
  }
  std::string out;
  const auto add_line = [&](const auto& cell_of) {
    std::string line;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      if (i > 0) line += "  ";
      const std::string& cell = cell_of(i);
      line += columns_[i].align == Align::kRight ? fmt::format("{:>{}}", cell, widths[i])
                                                 : fmt::format("{:<{}}", cell, widths[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    return line;
  };
  const auto titles =
      add_line([&](std::size_t i) -> const std::string& { return columns_[i].title; });
  out += colour ? fmt::format("{}{}{}\n", kBold, titles, kPlain) : titles + "\n";
  for (const auto& row : rows_) {
    out += add_line([&](std::size_t i) -> const std::string& { return row[i]; }) + "\n";
  }
  return out;
}

bool stdout_takes_colour() {
  const char* const no_color = std::getenv("NO_COLOR");
  return isatty(STDOUT_FILENO) == 1 && (no_color == nullptr || *no_color == '\0');
}

std::string human_octets(std::uint64_t octets) {
  constexpr std::array<std::string_view, 7> kUnits = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  if (octets < 1000) return fmt::format("{} B", octets);
  double value = static_cast<double>(octets);
  std::size_t unit = 0;
  while (value >= 999.5 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  return three_digits(value, kUnits[unit]);
}

std::string human_seconds(double seconds) {
  if (seconds < 0) return "-";
  if (seconds < 1e-3) return fmt::format("{:.0f} us", seconds * 1e6);
  if (seconds < 1) return three_digits(seconds * 1e3, "ms");
  if (seconds < 120) return three_digits(seconds, "s");
  if (seconds < 2 * 3600) return fmt::format("{:.0f} min", seconds / 60);
  if (seconds < 48 * 3600) return fmt::format("{:.0f} h", seconds / 3600);
  return fmt::format("{:.0f} d", seconds / 86400);
}

}  // namespace vtl::cli
