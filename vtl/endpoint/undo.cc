// Needless recoveries: what was held for lost had only been late. The reduction of the window is
// taken back (RFC 4015), and nothing more is sent again.
//
// Three proofs, each enough: the acknowledgement of the first retransmission echoes a timestamp
// that is older than it (Eifel, RFC 3522); after a timeout something is acknowledged that was sent
// only once (F-RTO, RFC 5682); every octet that was sent again came twice (D-SACK, RFC 3708).
#include <algorithm>
#include <utility>

#include "vtl/endpoint/connection.h"

namespace vtl::endpoint {

void ResentRanges::add(wire::SeqNum begin, wire::SeqNum end, bool once_more) {
  if (once_more) unprovable_ = true;
  if (unprovable_) return;
  if (!ranges_.empty() && ranges_.back().end == begin) {
    ranges_.back().end = end;
  } else if (ranges_.size() < kMost) {
    ranges_.push_back({begin, end});
  } else {
    unprovable_ = true;
  }
}

bool ResentRanges::explain(wire::SeqNum begin, wire::SeqNum end) {
  if (unprovable_) return false;
  absl::InlinedVector<Range, 4> left;
  for (const Range& range : ranges_) {
    const wire::SeqNum from = max(range.begin, begin);
    const wire::SeqNum to = min(range.end, end);
    if (from >= to) {
      left.push_back(range);
      continue;
    }
    told_ = true;
    if (range.begin < from) left.push_back({range.begin, from});
    if (to < range.end) left.push_back({to, range.end});
  }
  ranges_ = std::move(left);
  if (ranges_.size() > kMost) unprovable_ = true;
  return told_ && ranges_.empty() && !unprovable_;
}

void Connection::remember_for_undo() {
  undo_ = std::make_unique<Undo>(congestion_);
}

bool Connection::proves_needless(const AckNews& news) noexcept {
  if (!undo_) return false;
  if (undo_->over && snd_una_ > undo_->until) {
    undo_.reset();
    return false;
  }
  if (undo_->sent && !undo_->echo_decided && news.advanced && news.ack > undo_->first) {
    undo_->echo_decided = true;
    if (news.older_echo) return true;
  }
  // Without SACK an acknowledgement that jumps over what went again may jump over what lay beyond
  // the gap all the time.
  if (phase_ == Phase::kTimeoutRecovery && doubt_ != TimeoutDoubt::kNone && news.original &&
      (sack_ || !news.again)) {
    return true;
  }
  if (news.duplicates > 0 && undo_->sent) {
    return undo_->resent.explain(news.duplicates_end - news.duplicates, news.duplicates_end);
  }
  return false;
}

void Connection::undo_recovery() {
  ++stats_.needless_recoveries;
  congestion_.restore(undo_->before);
  if (phase_ == Phase::kFastRecovery) rack_.overtaken();
  board_.find_again();
  phase_ = Phase::kOpen;
  doubt_ = TimeoutDoubt::kNone;
  undo_.reset();
  credit_ = 0;
  duplicate_acks_ = 0;
  rtx_forced_ = false;
  timeouts_in_a_row_ = 0;
}

// RFC 5682 section 2.1. The first acknowledgement after the timeout moves on, yet not over
// everything: new data goes out, if there is any, and the next acknowledgement tells.
void Connection::step_timeout_doubt(const AckNews& news) noexcept {
  if (doubt_ == TimeoutDoubt::kNone) return;
  const bool unsent = data_end() > snd_nxt_ && window_room() > 0 && may_send_data();
  if (doubt_ == TimeoutDoubt::kFirstAck && news.advanced && snd_una_ < recover_ && unsent) {
    doubt_ = TimeoutDoubt::kSecondAck;
  } else if (news.advanced || news.duplicate || news.delivered > 0) {
    // Step 3a: two new segments are out beside the one that is to go now.
    const bool right = doubt_ == TimeoutDoubt::kSecondAck && !news.advanced;
    if (right) congestion_.set_window(std::max<std::uint32_t>(congestion_.window(), 3U * mss_));
    doubt_ = TimeoutDoubt::kNone;
  }
}

}  // namespace vtl::endpoint
