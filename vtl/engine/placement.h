// Placement: which workers run which link. Pure.
//
// Links that share an interface form a group, and a group runs on the same workers. Where every
// interface and link of the group allow several workers it runs on all of them; otherwise on one,
// and such groups are dealt out in turn.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "vtl/base/result.h"

namespace vtl::engine {

struct EngineConfig;

struct Placement {
  struct Range {
    std::uint32_t first = 0;  ///< the first worker
    std::uint32_t count = 0;  ///< consecutive workers from it; 0: not used
    [[nodiscard]] bool contains(std::uint32_t worker) const noexcept {
      return worker >= first && worker < first + count;
    }
  };
  std::vector<Range> interfaces;       ///< as EngineConfig::interfaces
  std::vector<Range> links;            ///< as EngineConfig::links
  std::vector<std::size_t> guest;      ///< of each link, the index of its guest interface
  std::vector<std::size_t> network;    ///< of each link, or kNone
  std::vector<std::uint32_t> sharing;  ///< of each interface, how many links have it as network

  static constexpr std::size_t kNone = ~std::size_t{0};
};

/// Checks the names and finds the placement. The error says which name is wrong and why.
[[nodiscard]] Outcome<Placement> place(const EngineConfig& config);

}  // namespace vtl::engine
