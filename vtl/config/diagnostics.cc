#include "vtl/config/diagnostics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace vtl::config {

void Diagnostics::add(Mark mark, std::string message) {
  if (++count_ <= kMost) list_.push_back({mark, std::move(message)});
}

std::vector<std::string> Diagnostics::lines() const {
  auto sorted = list_;
  std::ranges::stable_sort(sorted, {}, &Diagnostic::mark);
  std::vector<std::string> out;
  out.reserve(sorted.size() + 1);
  for (const auto& d : sorted) {
    out.push_back(fmt::format("{}:{}:{}: {}", file_, d.mark.line, d.mark.column, d.message));
  }
  if (count_ > kMost) out.push_back(fmt::format("{}: and {} more", file_, count_ - kMost));
  return out;
}

std::string Diagnostics::to_string() const {
  return fmt::format("{}", fmt::join(lines(), "\n"));
}

namespace {

// Levenshtein's distance with transpositions of neighbours, ignoring case.
std::size_t distance(std::string_view a, std::string_view b) {
  const auto same = [](char x, char y) {
    return std::tolower(static_cast<unsigned char>(x)) ==
           std::tolower(static_cast<unsigned char>(y));
  };
  std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (std::size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = same(a[i - 1], b[j - 1]) ? 0 : 1;
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + change});
      if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1])) {
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
      }
    }
  }
  return d[a.size()][b.size()];
}

}  // namespace

std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates) {
  if (word.empty() || word.size() > 64) return {};
  std::string_view best;
  std::size_t least = std::max<std::size_t>(1, word.size() / 3) + 1;
  for (const auto candidate : candidates) {
    const auto d = distance(word, candidate);
    if (d < least) {
      least = d;
      best = candidate;
    }
  }
  return best;
}

std::string join(std::span<const std::string_view> words, std::string_view last) {
  std::string out;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) out += i + 1 == words.size() ? fmt::format(" {} ", last) : ", ";
    out += words[i];
  }
  return out;
}

std::string suggestion(std::string_view word, std::span<const std::string_view> candidates) {
  if (const auto best = nearest(word, candidates); !best.empty()) {
    return fmt::format("; did you mean '{}'?", best);
  }
  if (candidates.empty()) return "; there are none";
  return fmt::format("; there {} {}", candidates.size() == 1 ? "is" : "are",
                     join(candidates, "and"));
}

}  // namespace vtl::config
