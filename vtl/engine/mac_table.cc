#include "vtl/engine/mac_table.h"

namespace vtl::engine {

void MacTable::learn(const wire::MacAddress& source, Place place, Time now) {
  if (source.is_multicast() || source.is_zero()) return;
  if (place >= used_.size()) used_.resize(place + 1);
  const auto found = entries_.find(source);
  if (found == entries_.end()) {
    if (used_[place] >= limits_.per_place) {
      counters_.full.add();
      return;
    }
    entries_.emplace(source, Entry{place, now});
    ++used_[place];
    counters_.learned.add();
    counters_.entries.set(entries_.size());
    return;
  }
  Entry& entry = found->second;
  if (entry.place != place) {
    if (now - entry.seen < limits_.move_hold) {
      counters_.move_refused.add();
      return;
    }
    if (used_[place] >= limits_.per_place) {
      counters_.full.add();
      return;
    }
    --used_[entry.place];
    ++used_[place];
    entry.place = place;
    counters_.moved.add();
  }
  entry.seen = now;
}

std::optional<MacTable::Place> MacTable::find(const wire::MacAddress& destination, Time now) const {
  const auto found = entries_.find(destination);
  if (found == entries_.end() || now - found->second.seen > limits_.max_age) return std::nullopt;
  return found->second.place;
}

void MacTable::expire(Time now) {
  absl::erase_if(entries_, [&](const auto& item) {
    const bool old = now - item.second.seen > limits_.max_age;
    if (old) --used_[item.second.place];
    return old;
  });
  counters_.entries.set(entries_.size());
}

}  // namespace vtl::engine
