// Results: the figures of one experiment, from repeated samples to rows, JSON and medians.
//
// A row is named by its case, metric and, for experiments over a path, round trip and loss. Adding
// a row of the same name again adds a sample: the value told is the median of the samples.
//
// Thread rule: one thread. Invariants: rows keep the order in which they were first added.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vtl/base/result.h"

namespace vtl::bench {

/// The middle sample, or the mean of the middle two; 0 when there is none.
[[nodiscard]] double median(std::vector<double> samples);

/// Where on the path a figure was measured.
struct PathPoint {
  int rtt_ms = 0;
  double loss = 0;  ///< of each direction's frames, 0 to 1
  bool operator==(const PathPoint&) const = default;
};

struct Row {
  std::string name;    ///< the case
  std::string metric;  ///< "throughput"
  std::string unit;    ///< "bit/s"
  std::optional<PathPoint> path;
  std::vector<double> samples;
  [[nodiscard]] double value() const { return median(samples); }
};

class Results {
 public:
  explicit Results(std::string bench) : bench_(std::move(bench)) {}

  void add(std::string_view name, std::string_view metric, std::string_view unit, double value,
           std::optional<PathPoint> path = {});
  /// A setting of the run, told in the JSON ("rate" = "1000 Mbit/s").
  void set(std::string name, std::string value);
  /// Something a reader must know: a case that was left out, and why.
  void note(std::string text);

  /// The median of a row, or nothing when there is no such row.
  [[nodiscard]] std::optional<double> value(std::string_view name, std::string_view metric,
                                            std::optional<PathPoint> path = {}) const;
  [[nodiscard]] const std::vector<Row>& rows() const noexcept { return rows_; }
  [[nodiscard]] const std::vector<std::string>& notes() const noexcept { return notes_; }

  /// {"bench", "machine", "settings", "notes", "rows": [{"case", "metric", "unit", "value", ...}]}
  [[nodiscard]] std::string to_json() const;
  /// Writes the JSON to `file`, making its folder when there is none.
  [[nodiscard]] Outcome<void> write_json(const std::filesystem::path& file) const;

 private:
  std::string bench_;
  std::vector<std::pair<std::string, std::string>> settings_;
  std::vector<std::string> notes_;
  std::vector<Row> rows_;
};

/// Writes a file whole, making its folder when there is none.
[[nodiscard]] Outcome<void> write_file(const std::filesystem::path& file, std::string_view text);

}  // namespace vtl::bench
