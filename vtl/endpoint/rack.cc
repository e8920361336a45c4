#include "vtl/endpoint/rack.h"

#include <algorithm>

namespace vtl::endpoint {

using wire::SeqNum;

void Rack::delivered(const Scoreboard::Run& run, bool echo_is_older, Duration min_rtt,
                     Time now) noexcept {
  const Duration rtt = now - run.sent_at;
  // Which of its sendings has arrived? One that would have been faster than the path has not.
  const bool ambiguous = run.again && (echo_is_older || rtt < min_rtt);
  if (!ambiguous) {
    const bool later =
        !any_ || run.sent_at > sent_at_ || (run.sent_at == sent_at_ && run.end > end_seq_);
    if (later) {
      rtt_ = rtt;
      sent_at_ = run.sent_at;
      end_seq_ = run.end;
    }
    any_ = true;
  }
  if (run.end > farthest_) {
    farthest_ = run.end;
  } else if (run.end < farthest_ && !run.again) {
    reordering_seen_ = true;
  }
}

void Rack::duplicate_reported(SeqNum nxt) noexcept {
  if (in_duplicate_round_) return;
  in_duplicate_round_ = true;
  duplicate_round_ = nxt;
  widen_ = static_cast<std::uint8_t>(std::min<int>(widen_ + 1, kMaxWiden));
  persist_ = kPersist;
}

void Rack::acknowledged(SeqNum una) noexcept {
  if (in_duplicate_round_ && una >= duplicate_round_) in_duplicate_round_ = false;
}

void Rack::recovery_ended() noexcept {
  if (persist_ > 0 && --persist_ == 0) widen_ = 1;
}

Duration Rack::reordering_window(const View& view) const noexcept {
  if (!reordering_seen_ && view.eager) return Duration::zero();
  return std::min(widen_ * view.min_rtt / 4, view.smoothed_rtt);
}

Rack::Verdict Rack::detect(Scoreboard& board, const View& view, Time now) const {
  Verdict verdict;
  if (!any_) return verdict;
  // Nothing is overdue at the instant at which it was sent, however short the path.
  const Duration patience = std::max(rtt_ + reordering_window(view), Duration{1});
  Time last = Time::min();
  verdict.lost = board.lose_if([&](const Scoreboard::Run& run) {
    const bool before = run.sent_at < sent_at_ || (run.sent_at == sent_at_ && run.end <= end_seq_);
    if (!before) return false;
    const Time due = run.sent_at + patience;
    if (due <= now) return true;
    last = std::max(last, due);
    return false;
  });
  if (last != Time::min()) verdict.check_at = last;
  return verdict;
}

}  // namespace vtl::endpoint
