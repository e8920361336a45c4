// Tail loss probe (RFC 8985 section 7). When the last segments of a flight are lost nothing follows
// that could tell of it. Two round trips after the last news one segment goes out to draw an
// acknowledgement: a new one, or the last again. What it brings back is then an ordinary matter of
// SACK and RACK, and no timeout is needed.
#include <algorithm>

#include "vtl/endpoint/connection.h"

namespace vtl::endpoint {
namespace {

constexpr Duration kProbeSlack = 2ms;  // clocks and wheels are coarse; a probe is never urgent
constexpr Duration kProbeWithoutRtt = 1s;

}  // namespace

bool Connection::may_probe_tail() const noexcept {
  return sack_ && synchronized() && phase_ == Phase::kOpen && !tail_probe_out_ &&
         snd_una_ != snd_nxt_ && snd_wnd_ > 0 && board_.delivered() == 0 && board_.lost() == 0;
}

// Section 7.2. Where the retransmission timeout is due first the probe goes in its place.
void Connection::schedule_tail_probe(Time now) noexcept {
  if (!may_probe_tail()) {
    tail_probe_at_ = kNever;
    tail_probe_due_ = false;
    return;
  }
  if (!tail_moved_) return;
  tail_moved_ = false;
  Duration wait = kProbeWithoutRtt;
  if (rtt_.smoothed() > Duration::zero()) wait = 2 * rtt_.smoothed() + kProbeSlack;
  if (outstanding() <= mss_) wait += kMaxAckDelay;
  tail_probe_at_ = std::min(now + wait, timer_at_);
}

Plan Connection::plan_tail_probe() const noexcept {
  if (!tail_probe_due_ || board_.runs().empty()) return {};
  const wire::SeqNum end = data_end();
  const std::int32_t unsent = end - snd_nxt_;
  const std::uint32_t room = window_room();
  if (unsent > 0 && room > 0) {
    const std::uint32_t length = std::min({static_cast<std::uint32_t>(unsent), room, mss_ + 0U});
    const bool whole = length == static_cast<std::uint32_t>(unsent);
    return {Reason::kTailProbe, snd_nxt_, length, whole && fin_unsent() && room > length};
  }
  const bool fin = snd_nxt_ > end;
  const wire::SeqNum last = fin ? end : snd_nxt_;
  const wire::SeqNum begin = max(board_.runs().back().begin, last - mss_);
  if (snd_nxt_ > snd_una_ + snd_wnd_) return {};  // the window was pulled back over it
  const std::int32_t length = std::max<std::int32_t>(last - begin, 0);
  return {Reason::kTailProbe, min(begin, last), static_cast<std::uint32_t>(length), fin};
}

void Connection::on_tail_probe_sent(bool again, Time now) noexcept {
  tail_probe_due_ = false;
  tail_probe_out_ = true;
  tail_probe_again_ = again;
  tail_probe_end_ = snd_nxt_;
  tail_probe_at_ = kNever;
  ++stats_.tail_probes;
  arm(Timer::kRetransmission, rtt_.timeout(), now);
}

// Section 7.4.2: what is said to have come twice is the probe.
bool Connection::told_of_tail_probe(const AckNews& news) const noexcept {
  return tail_probe_out_ && tail_probe_again_ && news.duplicates > 0 &&
         news.duplicates_end == tail_probe_end_;
}

// Section 7.4.2: was the probe a second copy of what had arrived, or did it repair a loss that
// nobody else will answer for?
void Connection::settle_tail_probe(const AckNews& news) noexcept {
  if (!tail_probe_out_ || news.ack < tail_probe_end_) return;
  if (!tail_probe_again_ || told_of_tail_probe(news)) {
    tail_probe_out_ = false;
  } else if (news.ack > tail_probe_end_) {
    tail_probe_out_ = false;
    congestion_.on_loss(congestion_.window());
    undo_.reset();
  } else if (!news.advanced && news.duplicate && !news.sacked) {
    tail_probe_out_ = false;
  }
}

}  // namespace vtl::endpoint
