// An endpoint against a peer that a script plays, honestly or not, at times of its choosing.
//
// Five octets choose the settings and how the connection was made (config_from(), Attack()); then
// come actions, each an octet and what it needs (Attack::act()). There are two ways to speak to the
// endpoint. segment() says anything: its numbers are deltas from what the peer would send. The
// other is a receiver that keeps book: what the endpoint sent is on its way until an action
// delivers or drops it, and answer() acknowledges what was delivered, with the SACK blocks,
// timestamps and window that belong to it, then changes any of them if the input says so. So a few
// octets reach deep states of the sender, and a few more lie about them. Checked after each action:
// all that witness.h lists, and that dispatch() makes progress when poll_at() says now. At the end
// the peer falls silent: then the endpoint may wait only for what it need not wait for, or ends.
#include <deque>

#include "tests/fuzz/endpoint/witness.h"

namespace {

using namespace vtl;
using namespace vtl::endpoint;
using endpoint::fuzz::content;
using endpoint::fuzz::Witness;
using vtl::fuzz::Input;

constexpr std::uint32_t kSaltOut = 0x1234567, kSaltIn = 0x7654321;
constexpr std::uint32_t kNear31 = 0x7ffffe00U, kNear32 = 0xfffffe00U;
constexpr std::size_t kPool = 10 * ChunkPool::kChunk;
constexpr std::size_t kMostSent = 2500;

/// Small signed steps mostly, segments, and now and then anything.
std::uint32_t delta(Input& in) {
  const std::uint8_t kind = in.octet();
  if (kind < 128) return kind - 32U;
  if (kind < 250) return (kind - 128U) * 1460U;
  return in.any();
}

/// The receiving half of the scripted peer.
class Receiver {
 public:
  explicit Receiver(wire::SeqNum iss) : first_(iss + 1) {}

  void arrives(wire::SeqNum begin, wire::SeqNum end, std::uint32_t stamp) {
    const std::int64_t from = begin - first_, to = end - first_;
    if (begin <= next()) stamp_ = stamp;
    if (from >= to) return;
    duplicate_.reset();
    if (got_.end_of(from) >= to) duplicate_ = wire::SackBlock{begin, end};
    got_.add(from, to);
    last_ = from;
  }
  [[nodiscard]] wire::SeqNum next() const {
    return first_ + static_cast<std::uint32_t>(got_.end_of(0));
  }
  [[nodiscard]] std::uint32_t stamp() const { return stamp_; }
  /// A duplicate first and once, then the block of what came last, then the others.
  void add_blocks(wire::TcpOptions& options) {
    const std::size_t most = options.timestamps ? 3 : wire::TcpOptions::kMaxSackBlocks;
    if (duplicate_) options.sack[options.sack_count++] = *std::exchange(duplicate_, {});
    const std::int64_t next = got_.end_of(0);
    const auto add = [&](bool holds_last) {
      for (const auto& [begin, end] : got_.parts()) {
        const bool last = begin <= last_ && last_ < end;
        if (begin <= next || last != holds_last || options.sack_count == most) continue;
        options.sack[options.sack_count++] = {first_ + static_cast<std::uint32_t>(begin),
                                              first_ + static_cast<std::uint32_t>(end)};
      }
    };
    add(true);
    add(false);
  }
  /// Goes back on all beyond a gap.
  void renege() {
    const std::int64_t next = got_.end_of(0);
    got_.clear();
    got_.add(0, next);
  }

 private:
  wire::SeqNum first_;
  endpoint::fuzz::Positions got_;
  std::int64_t last_ = 0;
  std::uint32_t stamp_ = 0;
  std::optional<wire::SackBlock> duplicate_;
};

class Attack {
 public:
  explicit Attack(Input& in) : in_(in), config_(endpoint::fuzz::config_from(in, pool_)) {
    const std::uint8_t how = in_.octet();  // 1 active, 2 held, 4 where the numbers begin, 16 echo
    iss_ = wire::SeqNum((how & 4) != 0 ? kNear31 : kNear32);
    peer_next_ = wire::SeqNum((how & 4) != 0 ? kNear32 : kNear31);
    receiver_.emplace(iss_);
    witness_.emplace(config_, iss_, kSaltOut, kSaltIn);
    if ((how & 16) != 0) witness_->be_echo();
    Endpoint::Identity identity{wire::Port(80), wire::Port(4000)};
    if ((how & 8) != 0) identity.timestamp_offset = 0x7ff00000U;
    if ((how & 1) != 0) {
      endpoint_ = Endpoint::connect(config_, identity, iss_, now_);
    } else {
      Segment syn;
      syn.header = header();
      syn.header.flags.bits = static_cast<std::uint8_t>(wire::TcpFlags::kSyn | (how & 0xc0));
      peer_next_ = syn.header.seq + 1;
      endpoint_ = Endpoint::accept_syn(config_, identity, iss_, syn, (how & 2) != 0, now_);
      witness_->accepted(syn, (how & 2) != 0);
    }
    drain();
  }
  ~Attack() {
    for (std::uint8_t* const chunk : taken_) pool_.release(chunk, ChunkPool::Use::kToSend);
    endpoint_.reset();
    if (pool_.bytes_in_use() != 0) std::abort();
  }
  Attack(const Attack&) = delete;
  Attack& operator=(const Attack&) = delete;

  void run() {
    for (int turn = 0; turn < 1000 && !in_.empty(); ++turn) {
      act();
      if (lazy_) {
        lazy_ = false;
      } else {
        drain();
      }
      witness_->check(*endpoint_);
    }
    fall_silent();
  }

 private:
  struct Sent {
    wire::SeqNum begin, end;
    std::uint32_t stamp;
  };

  wire::TcpFields header() {
    wire::TcpFields h;
    h.source = wire::Port(4000);
    h.destination = wire::Port(80);
    h.seq = peer_next_ + delta(in_);
    h.ack = max_sent() + delta(in_);
    h.flags.bits = in_.octet();
    h.window = in_.word();
    const std::uint8_t options = in_.octet();
    if ((options & 1) != 0) h.options.mss = in_.word();
    if ((options & 2) != 0) h.options.window_scale = in_.octet();
    if ((options & 4) != 0) h.options.timestamps = {stamp() + delta(in_), heard() + delta(in_)};
    h.options.sack_permitted = (options & 8) != 0;
    if ((options & 16) != 0) add_any_blocks(h.options);
    return h;
  }

  // Blocks that are or could be of what the endpoint sent.
  void add_any_blocks(wire::TcpOptions& options) {
    const std::size_t count = in_.octet() % (wire::TcpOptions::kMaxSackBlocks + 1);
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint8_t which = in_.octet();
      wire::SackBlock block;
      if (!sent_.empty() && which < 192) {
        const std::size_t first = which % sent_.size();
        const std::size_t last = std::min(first + in_.octet() % 8, sent_.size() - 1);
        block = {sent_[first].begin, sent_[last].end};
      } else {
        block.left = max_sent() + delta(in_);
        block.right = block.left + delta(in_);
      }
      options.sack[options.sack_count++] = block;
    }
  }

  // Says anything.
  void segment() {
    Segment s;
    s.header = header();
    const std::size_t size = in_.octet() < 200 ? in_.octet() : in_.word() % 20'000;
    s.segments = static_cast<std::uint16_t>(1 + in_.octet() % 44);
    const std::uint8_t how = in_.octet();
    s.ce = (how & 1) != 0;
    hear(s, size, how < 128);
  }

  // `counts`: the peer goes on behind it.
  void hear(Segment s, std::size_t size, bool counts) {
    const wire::SeqNum begin = s.header.seq + (s.header.flags.syn() ? 1U : 0U);
    s.payload = content(kSaltIn, begin, size);
    witness_->process(*endpoint_, s, now_);
    if (counts) {
      peer_next_ = begin + static_cast<std::uint32_t>(size) + (s.header.flags.fin() ? 1U : 0U);
    }
  }

  // Acknowledges what was delivered, then changes what the input says.
  void answer(std::uint8_t how) {
    Segment s;
    wire::TcpFields& h = s.header;
    h.source = wire::Port(4000);
    h.destination = wire::Port(80);
    h.seq = peer_next_;
    h.ack = receiver_->next();
    h.flags.bits = wire::TcpFlags::kAck;
    h.window = window_;
    const auto& ours = witness_->peers_options();
    if (ours && ours->timestamps) h.options.timestamps = {stamp(), receiver_->stamp()};
    if (ours && ours->sack_permitted) receiver_->add_blocks(h.options);
    if ((how & 1) != 0) h.ack += delta(in_);
    if ((how & 2) != 0) h.seq += delta(in_);
    if ((how & 4) != 0) h.flags.bits = in_.octet();
    if ((how & 8) != 0) h.options.timestamps = {stamp() + delta(in_), heard() + delta(in_)};
    if ((how & 16) != 0 && h.options.sack_count > 0) {
      wire::SackBlock& block = h.options.sack[in_.octet() % h.options.sack_count];
      block.left += delta(in_);
      block.right += delta(in_);
    }
    if ((how & 32) != 0) window_ = h.window = in_.word();
    const std::size_t size = (how & 64) != 0 ? in_.word() % 20'000 : 0;
    if (size > 0) s.segments = static_cast<std::uint16_t>(1 + size / 1400);
    s.ce = (how & 192) == 192;
    hear(s, size, true);
    if (how == 128) {  // thrice more
      for (int i = 0; i < 3; ++i) hear(s, 0, true);
    }
  }

  // A SYN,ACK as it should be, to begin with.
  void answer_syn() {
    const std::uint8_t offers = in_.octet();
    Segment s;
    s.header.seq = peer_next_;
    s.header.ack = iss_ + 1;
    s.header.flags.bits = wire::TcpFlags::kSyn | wire::TcpFlags::kAck;
    if ((offers & 1) != 0) s.header.flags.bits |= wire::TcpFlags::kEce;
    s.header.window = window_;
    s.header.options.mss = (offers & 2) != 0 ? 1460 : 536;
    if ((offers & 4) != 0) s.header.options.window_scale = offers >> 6;
    if ((offers & 8) != 0) s.header.options.timestamps = {stamp(), heard()};
    s.header.options.sack_permitted = (offers & 16) != 0;
    hear(s, 0, true);
  }

  void deliver() {
    const std::size_t first = in_.octet(), count = 1 + in_.octet() % 8;
    for (std::size_t i = 0; i < count && first < sent_.size(); ++i) {
      const Sent sent = sent_[first];
      sent_.erase(sent_.begin() + static_cast<std::ptrdiff_t>(first));
      receiver_->arrives(sent.begin, sent.end, sent.stamp);
    }
  }
  // Every other one arrives and is acknowledged at once: as many holes as there can be.
  void comb() {
    const std::size_t left = in_.octet() % 4;
    for (std::size_t at = left; at < sent_.size(); ++at) {
      const Sent sent = sent_[at];
      sent_.erase(sent_.begin() + static_cast<std::ptrdiff_t>(at));
      receiver_->arrives(sent.begin, sent.end, sent.stamp);
      answer(0);
    }
  }
  // The same from the peer: small pieces with as small gaps, the last first or last.
  void crumbs() {
    const std::uint32_t count = in_.octet() * 4U, size = 1U + in_.octet() % 64;
    const bool backwards = in_.octet() < 64;
    for (std::uint32_t i = 0; i < count; ++i) {
      Segment s;
      s.header.seq = peer_next_ + size * (1 + 2 * (backwards ? count - i : i));
      s.header.ack = receiver_->next();
      s.header.flags.bits = wire::TcpFlags::kAck;
      s.header.window = window_;
      hear(s, size, false);
    }
  }
  void deliver_all() {
    for (const Sent& sent : std::exchange(sent_, {})) {
      receiver_->arrives(sent.begin, sent.end, sent.stamp);
    }
  }
  void drop() {
    const std::size_t first = in_.octet(), count = 1 + in_.octet() % 8;
    for (std::size_t i = 0; i < count && first < sent_.size(); ++i) {
      sent_.erase(sent_.begin() + static_cast<std::ptrdiff_t>(first));
    }
  }
  // As it was once: a copy that the network kept.
  void deliver_copy() {
    const std::uint8_t which = in_.octet();
    if (which >= sent_.size()) return;
    receiver_->arrives(sent_[which].begin, sent_[which].end, sent_[which].stamp);
  }

  void too_big() {
    const std::uint16_t mss = in_.word();
    const std::uint8_t which = in_.octet();
    const wire::SeqNum seq =
        which < sent_.size() ? sent_[which].begin : receiver_->next() + delta(in_);
    endpoint_->packet_too_big(mss, seq, now_);
  }

  void squeeze_pool() {
    const std::uint8_t how = in_.octet();
    if ((how & 1) == 0) {
      for (std::uint8_t* const chunk : std::exchange(taken_, {}))
        pool_.release(chunk, ChunkPool::Use::kToSend);
      endpoint_->consume(0, now_);
    }
    for (int i = 0; i < how >> 4; ++i) {
      if (std::uint8_t* const chunk = pool_.allocate(ChunkPool::Use::kToSend))
        taken_.push_back(chunk);
    }
  }

  void wake(int times) {
    for (int i = 0; i < times; ++i) {
      const Time at = endpoint_->poll_at(now_);
      if (at == kNever) return;
      now_ = std::max(now_, at);
      drain();
    }
  }

  void act() {
    switch (in_.octet() % 32) {
      case 0:
        now_ += Duration{1ms} * in_.word();
        break;
      case 1:
        now_ += Duration{100us} * in_.octet();
        break;
      case 2: {
        const std::uint8_t days = in_.octet();
        now_ += days < 128 ? Duration{1s} * days : Duration{24h} * (days - 127);
        break;
      }
      case 3:
        wake(1 + in_.octet() % 8);
        break;
      case 4:
      case 5:
        if (witness_->is_echo()) {
          witness_->echo(*endpoint_, in_.word(), now_);
        } else {
          witness_->write(*endpoint_, in_.word(), now_);
        }
        break;
      case 6:
        if (!witness_->is_echo()) witness_->consume(*endpoint_, in_.word(), now_);
        break;
      case 7:
        if (in_.octet() < 64) witness_->shutdown(*endpoint_, now_);
        break;
      case 8:
        if (in_.octet() < 8) witness_->abort(*endpoint_, now_);
        break;
      case 9:
        endpoint_->accept(now_, in_.word());
        witness_->released();
        break;
      case 10:
        if (in_.octet() < 64) {
          endpoint_->refuse(now_);
          witness_->released();
        }
        break;
      case 11:
        endpoint_->limit_mss(in_.word(), now_);
        break;
      case 12:
        too_big();
        break;
      case 13:
        endpoint_->icmp_error(in_.octet() < 32, now_);
        break;
      case 14:
        refusals_ = in_.octet() % 4;
        break;
      case 15:
        lazy_ = true;  // the next action comes before the endpoint could send
        break;
      case 16:
        squeeze_pool();
        break;
      case 17:
        receiver_->renege();
        break;
      case 18:
        look_at_syn();
        break;
      case 19:
        deliver_all();
        break;
      case 20:
      case 21:
        deliver();
        break;
      case 22:
        drop();
        break;
      case 23:
        deliver_copy();
        break;
      case 24:
      case 25:
        answer(in_.octet());
        break;
      case 26:
        deliver_all();
        answer(in_.octet());
        break;
      case 27:
        answer_syn();
        break;
      case 28:
        comb();
        break;
      case 29:
        crumbs();
        break;
      default:
        segment();
    }
  }

  void look_at_syn() {
    Segment s;
    s.header = header();
    const bool yields = endpoint_->yields_to(s);
    if (yields) FUZZ_CHECK(endpoint_->state() == State::kTimeWait && s.header.flags.syn());
    if (const auto reset = reset_for(s)) {
      FUZZ_CHECK(reset->flags.rst() && !s.header.flags.rst());
    }
    FUZZ_CHECK(!to_string(endpoint_->state()).empty());
    FUZZ_CHECK(!to_string(endpoint_->end_reason()).empty());
  }

  void drain() {
    witness_->drain(*endpoint_, now_, [&](const OutSegment& out) {
      if (refusals_ > 0) {
        --refusals_;
        return false;
      }
      on_its_way(out);
      return true;
    });
  }

  // As it is on the wire: cut.
  void on_its_way(const OutSegment& out) {
    const wire::TcpFields& h = out.header;
    if (h.options.timestamps) heard_ = h.options.timestamps->value;
    if (h.flags.rst() || h.flags.syn()) return;
    const wire::SeqNum end = h.seq + static_cast<std::uint32_t>(out.payload_size);
    for (wire::SeqNum at = h.seq; at < end; at += out.segment_size) {
      if (sent_.size() >= kMostSent) sent_.pop_front();
      sent_.push_back({at, min(at + out.segment_size, end), heard_});
    }
    if (h.flags.fin()) sent_.push_back({end, end + 1, heard_});
  }

  // Nothing more is heard. What is not acknowledged is given up, what is in vain ends, and else
  // there is nothing that wakes the endpoint.
  void fall_silent() {
    refusals_ = 0;
    for (int turn = 0;; ++turn) {
      FUZZ_CHECK(turn < 500);
      drain();
      witness_->check(*endpoint_);
      const Time at = endpoint_->poll_at(now_);
      if (at == kNever) break;
      now_ = at;
    }
    const State state = endpoint_->state();
    FUZZ_CHECK(witness_->held() || endpoint_->unacknowledged() == 0);
    FUZZ_CHECK(state != State::kSynSent && state != State::kTimeWait);
    FUZZ_CHECK(state != State::kFinWait1 && state != State::kClosing && state != State::kLastAck);
    FUZZ_CHECK(witness_->held() || state != State::kSynReceived);
    witness_->consume(*endpoint_, SIZE_MAX, now_);
    witness_->check(*endpoint_);
  }

  // The clock of the peer's timestamps, and the last that came from the endpoint.
  [[nodiscard]] std::uint32_t stamp() const {
    return static_cast<std::uint32_t>(now_.time_since_epoch() / 1ms);
  }
  [[nodiscard]] std::uint32_t heard() const { return heard_; }
  [[nodiscard]] wire::SeqNum max_sent() const { return witness_->max_sent(); }

  Input& in_;
  ChunkPool pool_{kPool};
  Config config_;
  Time now_{Duration{1000s}};
  wire::SeqNum iss_, peer_next_;
  std::optional<Receiver> receiver_;
  std::optional<Witness> witness_;
  std::optional<Endpoint> endpoint_;
  std::deque<Sent> sent_;
  std::vector<std::uint8_t*> taken_;
  std::uint32_t heard_ = 0;
  std::uint16_t window_ = 60'000;
  int refusals_ = 0;
  bool lazy_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input in(data, size);
  Attack(in).run();
  return 0;
}
