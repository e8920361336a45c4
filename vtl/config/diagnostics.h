// Diagnostics: the mistakes found in one configuration file, all of them, each with its place.
//
// Thread rule: one thread. Reading goes on after a mistake, so that a person sees every mistake at
// once; whoever reads a value that was wrong gets the default and the file as a whole is refused.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vtl::config {

/// Where in the file; both from 1.
struct Mark {
  int line = 1;
  int column = 1;
  auto operator<=>(const Mark&) const = default;
};

struct Diagnostic {
  Mark mark;
  /// What is wrong and what would be right.
  std::string message;
};

class Diagnostics {
 public:
  /// More than this many are counted, not kept.
  static constexpr std::size_t kMost = 100;

  /// `file`: the name as the user gave it.
  explicit Diagnostics(std::string file) : file_(std::move(file)) {}

  void add(Mark mark, std::string message);

  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
  [[nodiscard]] std::size_t count() const noexcept { return count_; }
  [[nodiscard]] const std::string& file() const noexcept { return file_; }
  /// "file:line:column: message", one line each, in the order of the file.
  [[nodiscard]] std::string to_string() const;
  [[nodiscard]] std::vector<std::string> lines() const;

 private:
  std::string file_;
  std::vector<Diagnostic> list_;
  std::size_t count_ = 0;
};

/// The candidate that a person who wrote `word` most likely meant; empty when none is near.
[[nodiscard]] std::string_view nearest(std::string_view word,
                                       std::span<const std::string_view> candidates);

/// "a, b and c"; with `quote` around each.
[[nodiscard]] std::string join(std::span<const std::string_view> words, std::string_view last);

/// "; did you mean 'x'?", or, when nothing is near, "; there are: a, b and c", or "; there are
/// none".
[[nodiscard]] std::string suggestion(std::string_view word,
                                     std::span<const std::string_view> candidates);

}  // namespace vtl::config
