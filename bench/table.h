// Table: figures in aligned columns, with rules and colour on a terminal, plain when piped.
//
// And the words for figures: 941 Mbit/s, 1.32 s, 15.2 x. Widths count characters, not octets.
//
// Thread rule: one thread.
#pragma once

#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vtl::bench {

enum class Look : std::uint8_t {
  kPlain,   ///< ASCII, no escapes: for a pipe or a file
  kPretty,  ///< rules and colours: for a terminal
};
/// kPretty when `stream` is a terminal that takes colours (NO_COLOR and TERM=dumb are heeded).
[[nodiscard]] Look look_of(std::FILE* stream);

class Table {
 public:
  /// The first column is a name and stands left; the others are figures and stand right.
  explicit Table(std::vector<std::string> header) : header_(std::move(header)) {}

  void add(std::vector<std::string> cells);
  /// A row that a reader should see first.
  void add_bold(std::vector<std::string> cells);
  /// A rule between what is above and below.
  void add_rule();
  [[nodiscard]] std::string render(Look look) const;

 private:
  struct Line {
    std::vector<std::string> cells;  // empty: a rule
    bool bold = false;
  };
  std::vector<std::string> header_;
  std::vector<Line> lines_;
};

/// Characters of UTF-8 text.
[[nodiscard]] std::size_t width_of(std::string_view text);

/// "941 Mbit/s", "8.42 Gbit/s"; three figures.
[[nodiscard]] std::string bit_rate(double bits_per_second);
/// "1.32 s", "85 ms", "3.1 us", "412 ns".
[[nodiscard]] std::string time_span(double seconds);
/// "15.2 x", "0.71 x".
[[nodiscard]] std::string ratio(double value);
/// "about 3 minutes", "about 40 seconds".
[[nodiscard]] std::string rough_time(double seconds);
/// The words for `value`, or "-" when there is none.
[[nodiscard]] std::string or_dash(std::optional<double> value, std::string (*words)(double));

}  // namespace vtl::bench
