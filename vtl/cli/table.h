// Table: rows for people. Columns are as wide as their widest cell; numbers stand to the right.
//
// Thread rule: one thread. Text that came from the network side (names, states) is printed with
// control characters replaced, so that it cannot drive the terminal.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vtl::cli {

enum class Align : std::uint8_t { kLeft, kRight };

struct Column {
  std::string title;
  Align align = Align::kLeft;
};

class Table {
 public:
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  /// One cell for each column.
  void add_row(std::vector<std::string> cells);
  [[nodiscard]] bool empty() const noexcept { return rows_.empty(); }
  /// With `colour` the titles are bold.
  [[nodiscard]] std::string render(bool colour) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

/// Whether standard output is a terminal that takes colours (NO_COLOR is not set).
[[nodiscard]] bool stdout_takes_colour();

/// "1.2 MB", "512 B": three digits, powers of ten, as rates are counted.
[[nodiscard]] std::string human_octets(std::uint64_t octets);
/// "12 ms", "3.4 s", "2 h": for reading, not for exactness. Negative: "-".
[[nodiscard]] std::string human_seconds(double seconds);

}  // namespace vtl::cli
