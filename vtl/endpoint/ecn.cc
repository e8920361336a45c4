// Explicit congestion notification (RFC 3168), as both a sender and a receiver of data.
//
// Negotiated with ECE and CWR on the SYN and ECE on the SYN,ACK. As a receiver: a data segment that
// came marked makes every acknowledgement carry ECE until the peer says CWR. As a sender: new data
// goes out as ECT(0), never a retransmission, a probe or a bare acknowledgement; an ECE reduces the
// window as a loss would, once a round trip; whatever reduced it, the next new data says CWR. That
// needs no hook in the recovery of losses: the congestion control counts its reductions.
#include "vtl/endpoint/connection.h"

namespace vtl::endpoint {

using wire::TcpFlags;

// A SYN that went unanswered may have been dropped for its ECN bits: the next one goes without
// (section 6.1.1.1).
std::uint8_t Connection::ecn_syn_bits() const noexcept {
  if (state_ != State::kSynSent) return ecn_ ? TcpFlags::kEce : std::uint8_t{0};
  const bool asks = config().ecn == Ecn::kRequest && syn_timeouts_ == 0;
  return asks ? static_cast<std::uint8_t>(TcpFlags::kEce | TcpFlags::kCwr) : std::uint8_t{0};
}

// Section 6.1.1.
void Connection::learn_ecn(TcpFlags syn) noexcept {
  const bool asked = config().ecn == Ecn::kRequest && syn_timeouts_ == 0;
  if (syn.ack()) {
    ecn_ = asked && syn.ece() && !syn.cwr();
  } else {
    ecn_ = (active_ ? asked : config().ecn != Ecn::kOff) && syn.ece() && syn.cwr();
  }
}

// A repeated SYN that no longer asks takes it back (section 6.1.1.1). One that asks after one that
// did not, as when the network swaps the two, gains nothing: a SYN,ACK without ECN may be out
// (section 6.1.1: then no ECT).
void Connection::learn_repeated_ecn(TcpFlags syn) noexcept {
  if (!syn.ece() || !syn.cwr()) ecn_ = false;
}

void Connection::told_reduction(wire::SeqNum end) noexcept {
  cwr_told_ = congestion_.reductions();
  cwr_end_ = end;
}

// A data segment inside the window (section 6.1.5: what lies outside tells nothing).
void Connection::receive_ecn(const Segment& segment) noexcept {
  if (!ecn_) return;
  if (segment.header.flags.cwr()) ecn_echo_ = false;
  if (!segment.ce) return;
  ++stats_.ce_received;
  if (!ecn_echo_) ack_now();  // the sooner the peer slows down the fewer of its octets are lost
  ecn_echo_ = true;
}

// Section 6.1.2. `flight`: octets in flight when the acknowledgement came. The peer repeats its ECE
// until it hears of the reduction: until the CWR is acknowledged there is no second one.
void Connection::on_congestion_echo(wire::SeqNum ack, std::uint32_t flight) noexcept {
  window_limited_ = false;  // nor does the window grow by such an acknowledgement
  if (cwr_due() || ack < cwr_end_) return;
  ++stats_.ecn_reductions;
  congestion_.on_loss(flight);
  echo_end_ = snd_nxt_;
  undo_.reset();  // whatever else was needless, this one was not
}

}  // namespace vtl::endpoint
