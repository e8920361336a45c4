// MacTable: behind which place each MAC address was last seen, learned from source addresses.
//
// Bounded: `per_place` entries for each place, so that a guest that invents addresses fills its own
// share only. At the bound a new address is not learned (counted): frames to it are flooded, as to
// any unknown address. An entry is forgotten when it was not seen for max_age. An entry moves to
// another place only when its present one has been silent for move_hold: a guest cannot take over
// the address of a neighbour that is talking, and a migrated guest is found again at once.
//
// Thread rule: one thread.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "vtl/base/counter.h"
#include "vtl/base/time.h"
#include "vtl/wire/addresses.h"

namespace vtl::engine {

class MacTable {
 public:
  struct Limits {
    std::size_t per_place = 4096;
    Duration max_age = 300s;
    Duration move_hold = 1s;
  };
  struct Counters {
    Counter entries, learned, moved, move_refused, full;
  };
  using Place = std::uint32_t;

  MacTable() : MacTable(Limits{}) {}
  explicit MacTable(Limits limits) : limits_(limits) {}

  /// A frame from `source` came in at `place`. Group and zero addresses are not learned.
  void learn(const wire::MacAddress& source, Place place, Time now);
  [[nodiscard]] std::optional<Place> find(const wire::MacAddress& destination, Time now) const;
  /// Forgets what was not seen for max_age. To be called every now and then.
  void expire(Time now);
  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }

 private:
  struct Entry {
    Place place;
    Time seen;
  };
  Limits limits_;
  Counters counters_;
  absl::flat_hash_map<wire::MacAddress, Entry> entries_;
  std::vector<std::size_t> used_;  // entries per place
};

}  // namespace vtl::engine
