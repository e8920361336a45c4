// The path's MTU: news of it, and when to believe them (RFC 1191, RFC 8201, RFC 5927 section 7).
//
// Anybody may send an ICMP "packet too big" about a connection whose addresses and ports he
// guesses. So it counts only when it quotes what is outstanding and asks for less than was sent.
// While no segment of more than it asks for was acknowledged it tells of a path that nobody knows
// yet, and is believed at once. Later it contradicts what the peer acknowledged: then the path must
// have changed, and it waits for the sign of that, a retransmission timeout; any progress before
// refutes it. The size is never raised again: paths of connections that live that long are rare.
#include <algorithm>
#include <utility>

#include "vtl/endpoint/connection.h"

namespace vtl::endpoint {

// What was sent in larger segments did not arrive: it goes again, and that is no sign of
// congestion.
void Connection::limit_mss(std::uint16_t mss, Time now) {
  path_mss_ = mss;
  const std::uint16_t before = mss_;
  if (state_ < State::kEstablished) return;
  set_mss();
  if (mss_ < before && snd_una_ != snd_nxt_) mark_lost(snd_una_, snd_nxt_);
  settle(now);
}

void Connection::packet_too_big(std::uint16_t mss, wire::SeqNum seq, Time now) {
  const int options = timestamps_ ? kTimestampsOctets : 0;
  if (!synchronized() || !in_flight(seq) || mss >= mss_ + options) {
    ++stats_.mtu_ignored;
  } else if (mss >= arrived_mss_) {
    limit_mss(mss, now);
  } else {
    claimed_mss_ = mss;
  }
}

// `acked` octets arrived, in segments of which some were full if they are as many as one takes.
void Connection::note_arrived(std::uint32_t acked) noexcept {
  claimed_mss_ = 0;
  if (acked < mss_) return;
  const int options = timestamps_ ? kTimestampsOctets : 0;
  arrived_mss_ = std::max(arrived_mss_, static_cast<std::uint16_t>(mss_ + options));
}

void Connection::believe_path(Time now) {
  if (claimed_mss_ == 0) return;
  arrived_mss_ = 0;  // on another path
  limit_mss(std::exchange(claimed_mss_, std::uint16_t{0}), now);
}

}  // namespace vtl::endpoint
