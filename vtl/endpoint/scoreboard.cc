#include "vtl/endpoint/scoreboard.h"

#include <algorithm>
#include <cassert>

namespace vtl::endpoint {

using wire::SeqNum;

namespace {

constexpr std::size_t kMostRuns = 2 * Scoreboard::kMaxRuns;

}  // namespace

void Scoreboard::reset(SeqNum at) noexcept {
  std::vector<Run>().swap(runs_);
  repeated_ = false;
  begin_ = end_ = at;
  delivered_ = lost_ = 0;
}

// The run that holds `at`; runs_.size() for end().
std::size_t Scoreboard::find(SeqNum at) const noexcept {
  const auto run = std::upper_bound(runs_.begin(), runs_.end(), at,
                                    [](SeqNum s, const Run& r) { return s < r.end; });
  return static_cast<std::size_t>(run - runs_.begin());
}

// A run begins at `at` now; its index.
std::size_t Scoreboard::cut(SeqNum at) {
  const std::size_t i = find(at);
  if (i == runs_.size() || runs_[i].begin == at) return i;
  Run head = runs_[i];
  head.end = at;
  runs_[i].begin = at;
  runs_.insert(runs_.begin() + static_cast<std::ptrdiff_t>(i), head);
  return i + 1;
}

// Two cuts at most, and there is room for them below `most` runs.
bool Scoreboard::may_cut(SeqNum begin, SeqNum end, std::size_t most) const noexcept {
  if (runs_.size() + 2 <= most) return true;
  const auto is_edge = [&](SeqNum at) {
    const std::size_t i = find(at);
    return i == runs_.size() || runs_[i].begin == at;
  };
  return is_edge(begin) && is_edge(end);
}

void Scoreboard::set_fate(Run& run, Fate fate) noexcept {
  const auto sum = [&](Fate f) -> std::uint32_t* {
    return f == Fate::kDelivered ? &delivered_ : f == Fate::kLost ? &lost_ : nullptr;
  };
  if (auto* const before = sum(run.fate)) *before -= run.size();
  run.fate = fate;
  if (auto* const after = sum(fate)) *after += run.size();
}

// Neighbours that do not differ become one, among runs first - 1 to last.
void Scoreboard::join_around(std::size_t first, std::size_t last) {
  if (first > 0) --first;
  last = std::min(last + 1, runs_.size());
  if (first >= last) return;
  std::size_t kept = first;
  for (std::size_t i = first + 1; i < last; ++i) {
    Run& before = runs_[kept];
    const Run run = runs_[i];
    // Of what has arrived nobody asks the time again.
    const bool same =
        before.fate == run.fate && (run.fate == Fate::kDelivered ||
                                    (before.sent_at == run.sent_at && before.again == run.again));
    if (same) {
      before.end = run.end;
    } else {
      runs_[++kept] = run;
    }
  }
  runs_.erase(runs_.begin() + static_cast<std::ptrdiff_t>(kept + 1),
              runs_.begin() + static_cast<std::ptrdiff_t>(last));
}

void Scoreboard::sent(SeqNum begin, SeqNum end, Time now, Duration grain) {
  if (begin >= end) return;
  if (begin != end_) {
    sent_again(begin, end, now);
    return;
  }
  Run* const last = runs_.empty() ? nullptr : &runs_.back();
  const bool full = runs_.size() >= kMostRuns;
  const bool fresh = last != nullptr && !repeated_ && now - last->sent_at <= grain;
  if (last != nullptr && last->fate == Fate::kSent && !last->again && (full || fresh)) {
    last->end = end;
  } else if (full) {
    // It shares the fate that costs least to be wrong about: lost, and sent once more.
    set_fate(*last, Fate::kLost);
    lost_ += static_cast<std::uint32_t>(end - begin);
    last->end = end;
  } else {
    runs_.push_back({.begin = begin, .end = end, .sent_at = now});
  }
  end_ = end;
  repeated_ = false;
}

void Scoreboard::sent_again(SeqNum begin, SeqNum end, Time now) {
  assert(begin >= begin_ && end <= end_);
  repeated_ = true;
  // Without room to cut, the whole run counts as sent.
  const bool cuts = may_cut(begin, end, kMostRuns);
  const std::size_t first = cuts ? cut(begin) : find(begin);
  const std::size_t last = cuts ? cut(end) : std::min(find(end - 1) + 1, runs_.size());
  for (std::size_t i = first; i < last; ++i) {
    if (runs_[i].fate == Fate::kDelivered) continue;
    set_fate(runs_[i], Fate::kSent);
    runs_[i].sent_at = now;
    runs_[i].again = true;
  }
  join_around(first, last);
}

std::uint32_t Scoreboard::acknowledge(SeqNum ack, Newly newly) {
  if (ack <= begin_) return 0;
  std::uint32_t news = 0;
  std::size_t whole = 0;
  for (; whole < runs_.size() && runs_[whole].begin < ack; ++whole) {
    Run& run = runs_[whole];
    Run part = run;
    part.end = min(run.end, ack);
    if (run.fate == Fate::kDelivered) {
      delivered_ -= part.size();
    } else {
      if (run.fate == Fate::kLost) lost_ -= part.size();
      news += part.size();
      newly(part);
    }
    if (run.end > ack) {
      run.begin = ack;
      break;
    }
  }
  runs_.erase(runs_.begin(), runs_.begin() + static_cast<std::ptrdiff_t>(whole));
  begin_ = ack;
  end_ = max(end_, ack);
  if (runs_.empty()) std::vector<Run>().swap(runs_);
  return news;
}

std::uint32_t Scoreboard::deliver(SeqNum begin, SeqNum end, Newly newly) {
  begin = max(begin, begin_);
  end = min(end, end_);
  if (begin >= end) return 0;
  if (!may_cut(begin, end, kMaxRuns)) {
    ++ignored_;
    return 0;
  }
  const std::uint32_t before = delivered_;
  const std::size_t first = cut(begin);
  const std::size_t last = cut(end);
  for (std::size_t i = first; i < last; ++i) {
    if (runs_[i].fate == Fate::kDelivered) continue;
    newly(runs_[i]);
    set_fate(runs_[i], Fate::kDelivered);
  }
  join_around(first, last);
  return delivered_ - before;
}

std::uint32_t Scoreboard::lose(SeqNum begin, SeqNum end) {
  begin = max(begin, begin_);
  end = min(end, end_);
  if (begin >= end) return 0;
  const std::uint32_t before = lost_;
  const bool cuts = may_cut(begin, end, kMaxRuns);
  if (!cuts) ++ignored_;
  const std::size_t first = cuts ? cut(begin) : find(begin);
  const std::size_t last = cuts ? cut(end) : std::min(find(end - 1) + 1, runs_.size());
  for (std::size_t i = first; i < last; ++i) {
    if (runs_[i].fate == Fate::kSent) set_fate(runs_[i], Fate::kLost);
  }
  join_around(first, last);
  return lost_ - before;
}

std::uint32_t Scoreboard::lose_if(FunctionRef<bool(const Run&)> is_lost) {
  const std::uint32_t before = lost_;
  for (Run& run : runs_) {
    if (run.fate == Fate::kSent && is_lost(run)) set_fate(run, Fate::kLost);
  }
  if (lost_ != before) join_around(0, runs_.size());
  return lost_ - before;
}

void Scoreboard::find_again() {
  for (Run& run : runs_) {
    if (run.fate == Fate::kLost) set_fate(run, Fate::kSent);
  }
  join_around(0, runs_.size());
}

void Scoreboard::doubt_deliveries() {
  for (Run& run : runs_) {
    if (run.fate == Fate::kDelivered) set_fate(run, Fate::kSent);
  }
  join_around(0, runs_.size());
}

std::optional<Scoreboard::Run> Scoreboard::first_lost() const noexcept {
  if (lost_ == 0) return std::nullopt;
  const auto run = std::ranges::find(runs_, Fate::kLost, &Run::fate);
  if (run == runs_.end()) return std::nullopt;
  return *run;
}

SeqNum Scoreboard::lost_reach(SeqNum begin, std::uint32_t most) const noexcept {
  SeqNum reach = begin;
  for (std::size_t i = find(begin); i < runs_.size() && runs_[i].begin < begin + most; ++i) {
    if (runs_[i].fate == Fate::kSent) break;
    if (runs_[i].fate == Fate::kLost) reach = min(runs_[i].end, begin + most);
  }
  return reach;
}

bool Scoreboard::any_again(SeqNum begin, SeqNum end) const noexcept {
  for (std::size_t i = find(begin); i < runs_.size() && runs_[i].begin < end; ++i) {
    if (runs_[i].again) return true;
  }
  return false;
}

}  // namespace vtl::endpoint
