// What an acknowledgement tells of what we sent: the cumulative acknowledgement, SACK and D-SACK
// blocks (RFC 2018, 2883), and what follows from them (RFC 8985 section 6, RFC 5681 section 3.2).
//
// on_acknowledgement() keeps one order: was the recovery needless, is it over, is more lost, and
// only then the window. With SACK losses are found by time (rack.h). Without, three duplicate
// acknowledgements find the first segment lost and every partial acknowledgement the next one
// (RFC 6582); each duplicate stands for one segment that left the network.
#include <algorithm>
#include <array>

#include "vtl/endpoint/connection.h"

namespace vtl::endpoint {

AckNews Connection::take_acknowledgement(const Segment& segment, Time now) {
  const wire::TcpFields& in = segment.header;
  AckNews news;
  news.ack = in.ack;
  news.advanced = in.ack > snd_una_;
  const auto& stamps = in.options.timestamps;
  const bool echoes = timestamps_ && stamps && stamps->echo != 0;
  if (echoes && undo_ && undo_->sent) {
    news.older_echo = static_cast<std::int32_t>(stamps->echo - undo_->stamp) < 0;
  }
  const auto newly = [&](const Scoreboard::Run& run) {
    const bool older =
        echoes && static_cast<std::int32_t>(stamps->echo - timestamp(run.sent_at)) < 0;
    if (sack_) rack_.delivered(run, older, rtt_.minimum(), now);
    if (run.again) {
      news.again = true;
      news.echo_before_again = news.echo_before_again || older;
    } else if (run.begin < recover_) {
      news.original = true;
    }
  };
  news.delivered = board_.acknowledge(in.ack, newly);
  if (sack_) take_sack(in, news, newly);
  return news;
}

// The first block may tell what came twice: it lies below the acknowledgement or inside the second
// (RFC 2883 section 4). Blocks of what was never sent are not believed. The others come the latest
// first; they count from the front on, else what lies lower would seem to have been overtaken.
void Connection::take_sack(const wire::TcpFields& header, AckNews& news, Scoreboard::Newly newly) {
  const wire::TcpOptions& options = header.options;
  const wire::SeqNum una = max(snd_una_, header.ack);
  std::array<wire::SackBlock, wire::TcpOptions::kMaxSackBlocks> blocks;
  std::size_t count = 0;
  for (std::size_t i = 0; i < options.sack_count; ++i) {
    const auto [left, right] = options.sack[i];
    if (left >= right || right > snd_nxt_) continue;
    const bool inside_second = i == 0 && options.sack_count > 1 && left >= options.sack[1].left &&
                               right <= options.sack[1].right;
    if (i == 0 && (right <= una || inside_second)) {
      if (left < una - max_snd_wnd_) continue;  // older than anything a window could hold
      news.duplicates = static_cast<std::uint32_t>(right - left);
      news.duplicates_end = right;
    } else if (left >= una) {
      blocks[count++] = {left, right};
    }
  }
  std::sort(blocks.begin(), blocks.begin() + count,
            [](const auto& a, const auto& b) { return a.left < b.left; });
  for (std::size_t i = 0; i < count; ++i) {
    news.sacked = true;
    news.delivered += board_.deliver(blocks[i].left, blocks[i].right, newly);
  }
}

void Connection::on_acknowledgement(const AckNews& news, Time now) {
  if (news.advanced) rack_.acknowledged(snd_una_);
  if (news.duplicates > 0 && !told_of_tail_probe(news)) rack_.duplicate_reported(snd_nxt_);
  settle_tail_probe(news);
  if (proves_needless(news)) undo_recovery();
  step_timeout_doubt(news);
  const bool over = phase_ != Phase::kOpen && snd_una_ >= recover_;
  // All that is outstanding now was sent during the recovery. Losses of it are of another window:
  // they begin the next one.
  const bool more_lost =
      over && sack_ && (board_.lost() > 0 || board_.any_again(snd_una_, snd_nxt_));
  if (over) leave_recovery();

  const std::uint32_t delivered = sack_ ? news.delivered : credit_duplicates(news);
  const std::uint32_t lost = sack_ ? detect_losses(now) : count_duplicates(news);
  if ((lost > 0 || more_lost) && phase_ == Phase::kOpen) enter_fast_recovery();
  if (phase_ == Phase::kFastRecovery) {
    reduce_rate(delivered, news.advanced && lost == 0);
  } else if (news.advanced && !over && window_limited_) {  // RFC 7661: an unused window stays
    std::uint32_t acked = news.delivered;
    // After a timeout one acknowledgement may cover what had arrived long before; only SACK tells
    // (RFC 3465 section 2.3).
    if (phase_ == Phase::kTimeoutRecovery && !sack_)
      acked = std::min<std::uint32_t>(acked, 2U * mss_);
    congestion_.on_ack(acked, rtt_.smoothed(), now);
  }
  // RFC 6298, 5.3. Without SACK only the first partial acknowledgement restarts the timer (RFC 6582
  // section 4, the impatient variant): where more was lost than one segment a round trip can repair
  // in time, the timeout sends the rest in slow start.
  const bool repeats = phase_ == Phase::kFastRecovery && !sack_ && partial_seen_;
  if (news.advanced && phase_ == Phase::kFastRecovery) partial_seen_ = true;
  if (news.advanced && timer_ == Timer::kRetransmission && !repeats) {
    arm(timer_, rtt_.timeout(), now);
  }
  if (news.advanced || news.delivered > 0) tail_moved_ = true;
}

// RFC 8985 section 6.2, step 5.
std::uint32_t Connection::detect_losses(Time now) {
  reordering_at_ = kNever;
  if (phase_ == Phase::kOpen && board_.delivered() == 0) return 0;
  const bool many = board_.delivered() >= static_cast<std::uint32_t>(kDuplicateAckThreshold) * mss_;
  const Rack::Verdict verdict =
      rack_.detect(board_, {rtt_.minimum(), rtt_.smoothed(), phase_ != Phase::kOpen || many}, now);
  reordering_at_ = verdict.check_at;
  if (verdict.lost > 0) timed_end_.reset();
  return verdict.lost;
}

// Without SACK: what the acknowledgement says was delivered (RFC 6937 section 3). A duplicate
// stands for one segment; an acknowledgement that covers what duplicates stood for says it the
// second time.
std::uint32_t Connection::credit_duplicates(const AckNews& news) {
  if (news.advanced) {
    const std::uint32_t beyond = news.delivered > mss_ ? news.delivered - mss_ : 0;
    const std::uint32_t said = std::min(credit_, beyond);
    credit_ = phase_ == Phase::kFastRecovery ? credit_ - said : 0;
    duplicate_acks_ = 0;
    return news.delivered - said;
  }
  if (!news.duplicate) return 0;
  if (duplicate_acks_ < UINT16_MAX) ++duplicate_acks_;
  // Outside of recovery two of them let new segments out (RFC 3042).
  const bool limited =
      phase_ == Phase::kOpen && duplicate_acks_ >= kDuplicateAckThreshold && snd_una_ <= recover_;
  if (phase_ == Phase::kTimeoutRecovery || limited) return 0;
  credit_ = std::min(credit_ + mss_, outstanding());
  return mss_;
}

// Without SACK: octets that are lost by now. A recovery begins beyond `recover_` only: what a
// timeout sent twice causes duplicates of its own (RFC 6582 section 3.2, step 1).
std::uint32_t Connection::count_duplicates(const AckNews& news) {
  const bool begins = phase_ == Phase::kOpen && news.duplicate && snd_una_ > recover_ &&
                      duplicate_acks_ == kDuplicateAckThreshold;
  const bool partial = phase_ == Phase::kFastRecovery && news.advanced;
  if (!begins && !partial) return 0;
  timed_end_.reset();
  rtx_forced_ = true;  // RFC 6582 section 3.2, steps 2 and 3: whatever the window says
  return board_.lose(snd_una_, snd_una_ + mss_);
}

}  // namespace vtl::endpoint
