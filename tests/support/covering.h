// Covering rows: few combinations of many settings, in which every pair of levels of two settings
// occurs. The full product of the settings is out of reach; faults hang on one or two of them.
//
// Greedy and deterministic: each row begins with a pair that no row has yet, and takes for every
// other setting, in an order drawn anew, the level that covers most; the best of some tries stays.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <numeric>
#include <set>
#include <tuple>
#include <vector>

#include "vtl/base/rng.h"

namespace vtl::test {

using CoveringRow = std::vector<std::size_t>;  // the level of each setting

struct CoveringPair {
  std::size_t setting, level, other_setting, other_level;  // setting < other_setting
  auto operator<=>(const CoveringPair&) const = default;
};

/// All pairs of levels of settings that have so many each.
inline std::set<CoveringPair> covering_pairs(const std::vector<std::size_t>& levels) {
  std::set<CoveringPair> out;
  for (std::size_t a = 0; a < levels.size(); ++a) {
    for (std::size_t b = a + 1; b < levels.size(); ++b) {
      for (std::size_t x = 0; x < levels[a]; ++x) {
        for (std::size_t y = 0; y < levels[b]; ++y) out.insert({a, x, b, y});
      }
    }
  }
  return out;
}

inline std::vector<CoveringRow> covering_rows(const std::vector<std::size_t>& levels,
                                              std::uint64_t seed = 1) {
  constexpr std::size_t kUnset = SIZE_MAX;
  constexpr int kTries = 40;
  Rng rng(seed);
  auto open = covering_pairs(levels);
  const auto gain_of = [&](const CoveringRow& row, std::size_t setting, std::size_t level) {
    std::size_t gain = 0;
    for (std::size_t other = 0; other < row.size(); ++other) {
      if (other == setting || row[other] == kUnset) continue;
      gain += other < setting ? open.contains({other, row[other], setting, level})
                              : open.contains({setting, level, other, row[other]});
    }
    return gain;
  };
  std::vector<CoveringRow> rows;
  while (!open.empty()) {
    CoveringRow best;
    std::size_t best_gain = 0;
    for (int attempt = 0; attempt < kTries; ++attempt) {
      const CoveringPair& first =
          *std::next(open.begin(), static_cast<std::ptrdiff_t>(rng.below(open.size())));
      CoveringRow row(levels.size(), kUnset);
      row[first.setting] = first.level;
      row[first.other_setting] = first.other_level;
      std::size_t gain = 1;
      std::vector<std::size_t> order(levels.size());
      std::iota(order.begin(), order.end(), std::size_t{0});
      for (std::size_t i = order.size() - 1; i > 0; --i)
        std::swap(order[i], order[rng.below(i + 1)]);
      for (const std::size_t setting : order) {
        if (row[setting] != kUnset) continue;
        std::size_t level = rng.below(levels[setting]);
        for (std::size_t other = 0; other < levels[setting]; ++other) {
          if (gain_of(row, setting, other) > gain_of(row, setting, level)) level = other;
        }
        gain += gain_of(row, setting, level);
        row[setting] = level;
      }
      if (gain > best_gain) {
        best_gain = gain;
        best = row;
      }
    }
    for (std::size_t a = 0; a < best.size(); ++a) {
      for (std::size_t b = a + 1; b < best.size(); ++b) open.erase({a, best[a], b, best[b]});
    }
    rows.push_back(best);
  }
  return rows;
}

}  // namespace vtl::test
