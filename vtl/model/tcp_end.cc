#include "vtl/model/tcp_end.h"

namespace vtl::model {
namespace {

using wire::SeqNum;

// An end whose SYN was not seen was past it when the model was made.
bool syn_acknowledged(const TcpEnd& self, const TcpEnd& peer) noexcept {
  return self.has(TcpEnd::kSynSent) &&
         (peer.has(TcpEnd::kAckKnown) || self.scale == TcpEnd::kScaleUnknown);
}

bool fin_acknowledged(const TcpEnd& self, const TcpEnd& peer) noexcept {
  return self.has(TcpEnd::kFinSent) && peer.has(TcpEnd::kAckKnown) && peer.ack >= self.next;
}

bool was_reset(const TcpEnd& a, const TcpEnd& b) noexcept {
  return a.has(TcpEnd::kResetSent) || b.has(TcpEnd::kResetSent);
}

// A SYN may use the ports again: RFC 9293 section 3.10.7.4, RFC 6191.
bool is_over(const TcpEnd& a, const TcpEnd& b) noexcept {
  const auto ended = [](TcpState s) { return s == TcpState::kClosed || s == TcpState::kTimeWait; };
  return ended(state(a, b)) && ended(state(b, a));
}

// The end's own SYN was seen, and nothing that it has acknowledged: it waits for the other's SYN.
bool is_opening(const TcpEnd& end) noexcept {
  return end.has(TcpEnd::kSynSent) && !end.has(TcpEnd::kAckKnown) &&
         end.scale != TcpEnd::kScaleUnknown;
}

// What a SYN tells beside how far it goes.
void take_syn(TcpEnd& sender, const wire::TcpFields& segment) noexcept {
  const wire::TcpOptions& o = segment.options;
  if (!sender.has(TcpEnd::kAckKnown)) sender.ack = segment.seq;
  sender.set(TcpEnd::kSynSent);
  sender.mss = o.mss.value_or(TcpEnd::kDefaultMss);
  sender.scale = o.window_scale.value_or(TcpEnd::kNoScale);
  if (o.sack_permitted) sender.set(TcpEnd::kSackPermitted);
  if (o.timestamps) sender.set(TcpEnd::kTimestamps);
}

// Whether a SYN from an end that has already spoken is a repetition; otherwise what it is.
Sync judge_second_syn(const TcpEnd& sender, const TcpEnd& receiver, SeqNum first,
                      SeqNum end) noexcept {
  if (is_over(sender, receiver)) return Sync::kNewConnection;
  if (end == sender.next ||
      (first < sender.next && syn_acknowledged(sender, receiver) && end <= receiver.ack)) {
    return Sync::kRepeated;
  }
  return syn_acknowledged(sender, receiver) ? Sync::kOutOfWindow : Sync::kNewConnection;
}

// A reset counts when it lies between what the receiver has acknowledged and what the sender has
// sent, for the receiver waits somewhere there; being inside the window is not enough (RFC 5961
// section 3). From an end that has not spoken it counts when it acknowledges the other's SYN.
Sync take_reset(TcpEnd& sender, const TcpEnd& receiver, const wire::TcpFields& segment) noexcept {
  const bool refuses = segment.flags.ack() && receiver.has(TcpEnd::kSeqKnown) &&
                       segment.ack == receiver.next && !sender.has(TcpEnd::kSeqKnown);
  const bool in_place = sender.has(TcpEnd::kSeqKnown) && segment.seq <= sender.next &&
                        (segment.seq == sender.next ||
                         (receiver.has(TcpEnd::kAckKnown) && segment.seq >= receiver.ack));
  if (!refuses && !in_place) return Sync::kOutOfWindow;
  if (sender.has(TcpEnd::kResetSent)) return Sync::kRepeated;
  sender.set(TcpEnd::kResetSent);
  return Sync::kAdvanced;
}

// Whether the segment acknowledges what the receiver may have sent (RFC 9293 section 3.10.7.4).
bool is_possible_ack(const TcpEnd& sender, const TcpEnd& receiver,
                     const wire::TcpFields& segment) noexcept {
  constexpr std::int32_t kMaxWindow = 1 << 30;         // RFC 7323 section 2.2
  constexpr std::int32_t kMaxUnscaledWindow = 0xffff;  // data may ride on a SYN (RFC 7413)
  if (!segment.flags.ack()) return true;
  if (!receiver.has(TcpEnd::kSeqKnown)) return segment.flags.rst();
  const std::int32_t ahead = segment.ack - receiver.next;
  if (sender.has(TcpEnd::kAckKnown) || segment.flags.rst()) return ahead <= 0;
  if (is_opening(receiver)) return ahead <= 0 && segment.ack > receiver.ack;  // 3.10.7.3
  // The first acknowledgement of this end. When the handshake was not seen, it tells how far the
  // other has come.
  if (ahead > 0) return sender.scale == TcpEnd::kScaleUnknown && ahead <= kMaxWindow;
  return ahead >= -(receiver.scale == TcpEnd::kScaleUnknown ? kMaxWindow : kMaxUnscaledWindow);
}

// The window and the acknowledgement of a segment that is `fresh`: not older than what was seen.
bool take_ack(TcpEnd& sender, const TcpEnd& receiver, const wire::TcpFields& segment,
              bool fresh) noexcept {
  const bool syn = segment.flags.syn();
  // After a SYN whose sender offers scaling, segments will tell the window scaled.
  if (!segment.flags.ack()) {
    if (syn && fresh) {
      sender.window = sender.scale <= TcpEnd::kMaxScale
                          ? static_cast<std::uint16_t>(segment.window >> sender.scale)
                          : segment.window;
    }
    return false;
  }
  const bool first = !sender.has(TcpEnd::kAckKnown);
  const bool advanced = first || segment.ack > sender.ack;
  if (!first && segment.ack < sender.ack) return false;
  sender.ack = segment.ack;
  sender.set(TcpEnd::kAckKnown);
  // Where the handshake was not seen the shift may be anything: allow the most.
  const std::uint8_t shift =
      syn ? std::uint8_t{0} : window_shift(sender, receiver).value_or(TcpEnd::kMaxScale);
  const SeqNum edge = segment.ack + (static_cast<std::uint32_t>(segment.window) << shift);
  if (first) sender.limit = wire::max(edge, receiver.next);  // what was seen was allowed
  if (edge > sender.limit) sender.limit = edge;
  const std::uint16_t window =
      syn ? static_cast<std::uint16_t>(segment.window >> window_shift(sender, receiver).value_or(0))
          : segment.window;
  const bool current = fresh || advanced;  // a new acknowledgement brings its own window
  const bool changed = current && window != sender.window;
  if (current) sender.window = window;
  return advanced || changed;
}

}  // namespace

std::optional<std::uint8_t> window_shift(const TcpEnd& self, const TcpEnd& peer) noexcept {
  if (self.scale == TcpEnd::kNoScale || peer.scale == TcpEnd::kNoScale) return std::uint8_t{0};
  if (self.scale == TcpEnd::kScaleUnknown) return std::nullopt;
  return self.scale;  // where the other's is unknown, this one was an answer to it
}

Sync follow(TcpEnd& sender, TcpEnd& receiver, const wire::TcpFields& segment,
            std::uint32_t payload) noexcept {
  const wire::TcpFlags flags = segment.flags;
  const std::uint32_t length = payload + (flags.syn() ? 1 : 0) + (flags.fin() ? 1 : 0);
  const SeqNum end = segment.seq + length;
  const bool known = sender.has(TcpEnd::kSeqKnown);

  if (!is_possible_ack(sender, receiver, segment)) return Sync::kBadAck;
  if (flags.rst()) return take_reset(sender, receiver, segment);
  if (!known && !flags.syn() && is_opening(receiver)) return Sync::kOutOfWindow;
  if (flags.syn() && known) {
    const Sync judged = judge_second_syn(sender, receiver, segment.seq, end);
    if (judged != Sync::kRepeated || !flags.ack()) return judged;
  }
  if (was_reset(sender, receiver)) return Sync::kRepeated;  // it crossed the reset on its way
  if (known && receiver.has(TcpEnd::kAckKnown) && !flags.syn() && end > receiver.limit + 1) {
    return Sync::kOutOfWindow;  // one octet beyond is a zero-window probe
  }
  if (known && sender.has(TcpEnd::kFinSent) && end > sender.next) return Sync::kOutOfWindow;

  if (flags.ack() && segment.ack > receiver.next) receiver.next = segment.ack;
  const bool fresh = !known || end >= sender.next;
  bool news = !known || end > sender.next;
  if (flags.syn() && !sender.has(TcpEnd::kSynSent)) take_syn(sender, segment);
  if (news) sender.next = end;
  sender.set(TcpEnd::kSeqKnown);
  news |= take_ack(sender, receiver, segment, fresh);
  if (flags.fin() && !sender.has(TcpEnd::kFinSent) && end == sender.next) {
    sender.set(TcpEnd::kFinSent);
    if (fin_acknowledged(receiver, sender)) sender.set(TcpEnd::kClosedSecond);
    news = true;
  }
  if (segment.options.timestamps) {
    const std::uint32_t value = segment.options.timestamps->value;
    if (news || SeqNum(value) > SeqNum(sender.timestamp)) sender.timestamp = value;
  }
  return news ? Sync::kAdvanced : Sync::kRepeated;
}

TcpState state(const TcpEnd& self, const TcpEnd& peer) noexcept {
  if (was_reset(self, peer)) return TcpState::kClosed;
  if (!self.has(TcpEnd::kSynSent)) {
    return peer.has(TcpEnd::kSynSent) ? TcpState::kListen : TcpState::kClosed;
  }
  if (!syn_acknowledged(self, peer)) {
    return self.has(TcpEnd::kAckKnown) ? TcpState::kSynReceived : TcpState::kSynSent;
  }
  const bool peer_closed = fin_acknowledged(peer, self);
  if (!self.has(TcpEnd::kFinSent)) {
    return peer_closed ? TcpState::kCloseWait : TcpState::kEstablished;
  }
  const bool done = fin_acknowledged(self, peer);
  if (self.has(TcpEnd::kClosedSecond)) return done ? TcpState::kClosed : TcpState::kLastAck;
  if (peer_closed) return done ? TcpState::kTimeWait : TcpState::kClosing;
  return done ? TcpState::kFinWait2 : TcpState::kFinWait1;
}

std::string_view to_string(TcpState state) noexcept {
  switch (state) {
    case TcpState::kClosed:
      return "closed";
    case TcpState::kListen:
      return "listen";
    case TcpState::kSynSent:
      return "syn-sent";
    case TcpState::kSynReceived:
      return "syn-received";
    case TcpState::kEstablished:
      return "established";
    case TcpState::kFinWait1:
      return "fin-wait-1";
    case TcpState::kFinWait2:
      return "fin-wait-2";
    case TcpState::kCloseWait:
      return "close-wait";
    case TcpState::kClosing:
      return "closing";
    case TcpState::kLastAck:
      return "last-ack";
    case TcpState::kTimeWait:
      return "time-wait";
  }
  return "unknown";
}

std::string_view to_string(Sync sync) noexcept {
  switch (sync) {
    case Sync::kAdvanced:
      return "advanced";
    case Sync::kRepeated:
      return "repeated";
    case Sync::kOutOfWindow:
      return "out-of-window";
    case Sync::kBadAck:
      return "bad-ack";
    case Sync::kNewConnection:
      return "new-connection";
    case Sync::kNoMatch:
      return "no-match";
    case Sync::kMalformed:
      return "malformed";
  }
  return "unknown";
}

}  // namespace vtl::model
