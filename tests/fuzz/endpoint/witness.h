// Witness: stands between a fuzz target and an Endpoint and checks what holds whatever the peer
// does. It knows nothing of how the endpoint works, only what went in and what came out.
//
// Checked of every segment that the endpoint sends:
// - its payload is what was written, at that place; its FIN follows all of it, after shutdown();
// - it ends inside a window that the peer once announced (a zero-window probe: one octet beyond);
// - what it acknowledges came, without a gap, and so did every octet that its SACK blocks name;
// - acknowledgements never go back, nor does the window's right edge (by less than its unit);
// - options only as negotiated; ECT never on what was sent before; sizes within their bounds.
// And at any time: what is read is what the peer sent at that place, every octet that was counted
// in is readable or was read, memory and the pool stay inside their bounds.
//
// The octets of a stream follow from their sequence numbers (content()), so segments that overlap
// agree, and an octet in the wrong place shows.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/input.h"
#include "vtl/base/rng.h"
#include "vtl/endpoint/endpoint.h"
#include "vtl/endpoint/scoreboard.h"

namespace vtl::endpoint::fuzz {

/// `n` < 65536 octets of a stream from `at` on. They repeat after 2^18 only.
inline Bytes content(std::uint32_t salt, wire::SeqNum at, std::size_t n) {
  constexpr std::size_t kPeriod = std::size_t{1} << 18;
  static const std::vector<std::uint8_t> kOctets = [] {
    Rng rng(1);
    std::vector<std::uint8_t> out(kPeriod);
    for (std::uint8_t& octet : out) octet = static_cast<std::uint8_t>(rng.next());
    out.insert(out.end(), out.begin(), out.begin() + 65536);
    return out;
  }();
  return Bytes(kOctets).subspan((at.value() + salt) % kPeriod, n);
}

/// A set of positions in a stream.
class Positions {
 public:
  void add(std::int64_t begin, std::int64_t end) {
    if (begin >= end) return;
    auto it = parts_.upper_bound(begin);
    if (it != parts_.begin() && std::prev(it)->second >= begin) --it;
    while (it != parts_.end() && it->first <= end) {
      begin = std::min(begin, it->first);
      end = std::max(end, it->second);
      it = parts_.erase(it);
    }
    parts_[begin] = end;
  }
  /// The end of the part that `at` lies in, or `at`.
  [[nodiscard]] std::int64_t end_of(std::int64_t at) const {
    const auto it = parts_.upper_bound(at);
    return it == parts_.begin() ? at : std::max(at, std::prev(it)->second);
  }
  [[nodiscard]] const std::map<std::int64_t, std::int64_t>& parts() const { return parts_; }
  void clear() { parts_.clear(); }

 private:
  std::map<std::int64_t, std::int64_t> parts_;
};

/// Four octets choose among the settings of an endpoint. `pool` is used when they say so.
inline Config config_from(vtl::fuzz::Input& in, ChunkPool& pool) {
  const std::uint8_t offers = in.octet(), sizes = in.octet(), manner = in.octet(),
                     times = in.octet();
  Config config;
  config.offer_timestamps = (offers & 1) != 0;
  config.offer_window_scale = (offers & 2) != 0;
  config.offer_sack = (offers & 4) == 0;
  config.ecn = std::array{Ecn::kRequest, Ecn::kAccept, Ecn::kOff, Ecn::kRequest}[offers >> 3 & 3];
  config.window_scale = std::array<std::uint8_t, 4>{3, 0, 14, 7}[offers >> 5 & 3];
  config.receive_buffer = std::array<std::size_t, 4>{100'000, 4000, 20'000, 300'000}[sizes & 3];
  config.receive_buffer_initial = config.receive_buffer >> ((sizes >> 2 & 3) * 2);
  config.send_buffer = std::array<std::size_t, 4>{60'000, 2000, 20'000, 200'000}[sizes >> 4 & 3];
  config.send_buffer_initial = config.send_buffer >> (sizes >> 6 & 3);
  config.mss = std::array<std::uint16_t, 4>{1460, 536, 200, 8960}[manner & 3];
  config.max_super_frame =
      std::array<std::size_t, 4>{65000, config.mss, 65535, 5000}[manner >> 2 & 3];
  config.nagle = (manner & 16) != 0;
  config.congestion = (manner & 32) != 0 ? Congestion::kNewReno : Congestion::kCubic;
  if ((manner & 64) != 0) config.pool = &pool;
  if ((manner & 128) != 0) config.default_mss = kDefaultMssV6;
  if ((times & 1) != 0) config.keep_alive_idle = 5s;
  if ((times & 2) != 0) config.user_timeout = 20s;
  if ((times & 4) != 0) config.syn_retries = 1;
  if ((times & 8) != 0) config.time_wait = 1s;
  if ((times & 16) != 0) config.delayed_ack = Duration::zero();
  return config;
}

class Witness {
 public:
  Witness(const Config& config, wire::SeqNum iss, std::uint32_t salt_out, std::uint32_t salt_in)
      : config_(config), iss_(iss), salt_out_(salt_out), salt_in_(salt_in), max_sent_(iss) {}

  /// `syn` is what accept_syn() was given.
  void accepted(const Segment& syn, bool hold) {
    held_ = hold;
    begin(syn);
  }
  void released() { held_ = false; }
  /// The program writes what it reads, by take_from(), and nothing else: echo() instead of write()
  /// and consume(). Before the connection begins.
  void be_echo() { echo_ = true; }
  /// The peer is one that does: what is read is what was written.
  void hear_echo() { hears_echo_ = true; }
  [[nodiscard]] bool is_echo() const { return echo_; }

  void process(Endpoint& endpoint, const Segment& s, Time now) {
    const wire::TcpFlags flags = s.header.flags;
    const bool opening = endpoint.state() == State::kSynSent;
    const bool listening = held_ && endpoint.state() == State::kSynReceived;
    if (listening && flags.syn() && !flags.ack() && !flags.rst() && s.header.seq != irs_) begin(s);
    if (irs_) take(s);
    endpoint.process(s, now);
    if (opening && endpoint.state() != State::kSynSent && endpoint.state() != State::kClosed) {
      begin(s);
    }
  }

  void write(Endpoint& endpoint, std::size_t most, Time now) {
    const std::size_t room = endpoint.writable();
    const std::size_t n = endpoint.write(content(salt_out_, out_at(written_), most), now);
    FUZZ_CHECK(n <= std::min(most, room));
    written_ += n;
  }
  void echo(Endpoint& endpoint, std::size_t most, Time now) {
    const std::size_t readable = endpoint.readable();
    const std::size_t n = endpoint.take_from(endpoint, most, now);
    FUZZ_CHECK(n <= readable && endpoint.readable() == readable - n);
    written_ += n;
    read_ += n;
  }
  void shutdown(Endpoint& endpoint, Time now) {
    if (endpoint.state() != State::kClosed) shut_ = true;
    endpoint.shutdown(now);
  }
  void abort(Endpoint& endpoint, Time now) {
    aborted_ = true;
    held_ = false;
    endpoint.abort(now);
  }
  void consume(Endpoint& endpoint, std::size_t most, Time now) {
    while (most > 0 && endpoint.readable() > 0) {
      const Bytes bytes = endpoint.peek();
      FUZZ_CHECK(!bytes.empty());
      const std::size_t n = std::min(bytes.size(), most);
      const wire::SeqNum at = *irs_ + 1 + static_cast<std::uint32_t>(read_);
      FUZZ_CHECK(std::ranges::equal(bytes.first(n), content(salt_in_, at, n)));
      endpoint.consume(n, now);
      read_ += n;
      most -= n;
    }
  }

  /// Runs dispatch() while there is something to do. `send` answers whether the interface took it.
  template <class Send>
  void drain(Endpoint& endpoint, Time now, Send send) {
    for (int turn = 0; endpoint.poll_at(now) <= now; ++turn) {
      FUZZ_CHECK(turn < 1000);
      int sent = 0;
      endpoint.dispatch(now, [&](const OutSegment& out) {
        FUZZ_CHECK(++sent < 5000);
        says(out);
        if (!send(out)) return false;
        sent_it(out);
        return true;
      });
    }
  }

  void check(const Endpoint& endpoint) const {
    const std::size_t unit = std::size_t{1} << config_.window_scale;
    FUZZ_CHECK(endpoint.readable() <= config_.receive_buffer + unit);
    // An empty send queue takes a whole chunk from another end.
    FUZZ_CHECK(endpoint.unacknowledged() <=
               std::max(config_.send_buffer, echo_ ? ChunkPool::kChunk : 0));
    FUZZ_CHECK(!endpoint.in_trouble() || endpoint.stats().timeouts >= 3);
    FUZZ_CHECK(endpoint.memory() <=
               config_.receive_buffer + config_.send_buffer + 4 * ChunkPool::kChunk + kOverhead);
    FUZZ_CHECK(endpoint.peek().empty() == (endpoint.readable() == 0));
    FUZZ_CHECK(!endpoint.all_acknowledged() || endpoint.unacknowledged() == 0);
    FUZZ_CHECK(!endpoint.finished() || endpoint.state() == State::kClosed);
    FUZZ_CHECK(!endpoint.send_starved() || (config_.pool != nullptr && endpoint.writable() == 0));
    FUZZ_CHECK(!endpoint.receive_starved() || config_.pool != nullptr);
    FUZZ_CHECK(!endpoint.in_flight(max_sent_));
    FUZZ_CHECK(endpoint.smoothed_rtt() >= Duration::zero());
    check_peers_options(endpoint.peer_options());
    FUZZ_CHECK(endpoint.effective_mss() > 0 && endpoint.effective_mss() <= config_.mss);
    if (!aborted_) {  // which throws away what was not read
      FUZZ_CHECK(endpoint.stats().bytes_in == read_ + endpoint.readable());
      if (endpoint.at_end()) FUZZ_CHECK(ends_.contains(static_cast<std::int64_t>(read_)));
    }

    if (config_.pool != nullptr) {
      FUZZ_CHECK(config_.pool->bytes_in_use() <= config_.pool->max_bytes());
    }
  }

  [[nodiscard]] std::uint64_t written() const { return written_; }
  [[nodiscard]] std::uint64_t read() const { return read_; }
  [[nodiscard]] bool held() const { return held_; }
  [[nodiscard]] wire::SeqNum max_sent() const { return max_sent_; }
  [[nodiscard]] const std::optional<wire::TcpOptions>& peers_options() const { return peer_; }

 private:
  // The scoreboard, the ranges of the reassembly, the connection itself, lists of chunks.
  static constexpr std::size_t kOverhead =
      Scoreboard::kMaxRuns * sizeof(Scoreboard::Run) + 256 * 16 + 4096;

  void check_peers_options(const wire::TcpOptions& known) const {
    if (!peer_) return;
    FUZZ_CHECK(known.mss == peer_->mss && known.window_scale == peer_->window_scale);
    FUZZ_CHECK(known.sack_permitted == peer_->sack_permitted);
    FUZZ_CHECK(known.timestamps.has_value() == peer_->timestamps.has_value());
  }

  [[nodiscard]] wire::SeqNum out_at(std::uint64_t position) const {
    return iss_ + 1 + static_cast<std::uint32_t>(position);
  }
  [[nodiscard]] std::int64_t in_offset(wire::SeqNum seq) const { return seq - (*irs_ + 1); }
  [[nodiscard]] unsigned peer_scale() const {
    const bool scaled = config_.offer_window_scale && peer_ && peer_->window_scale;
    return scaled ? std::min<unsigned>(*peer_->window_scale, 14) : 0;
  }
  [[nodiscard]] unsigned own_scale() const {
    const bool scaled = config_.offer_window_scale && peer_ && peer_->window_scale;
    return scaled ? own_scale_ : 0;
  }

  // The connection begins with this SYN.
  void begin(const Segment& syn) {
    irs_ = syn.header.seq;
    if (echo_) salt_out_ = salt_in_ + irs_->value() - iss_.value();
    if (hears_echo_) salt_in_ = salt_out_ + iss_.value() - irs_->value();
    peer_ = syn.header.options;
    peer_ecn_ = syn.header.flags.ece();
    came_.clear();
    ends_.clear();
    take(syn);
  }

  void take(const Segment& s) {
    const wire::TcpFields& h = s.header;
    const std::int64_t begin = in_offset(h.seq + (h.flags.syn() ? 1U : 0U));
    const std::int64_t end = begin + static_cast<std::int64_t>(s.payload.size());
    came_.add(begin, end);
    if (h.flags.fin()) ends_.insert(end);
    if (!h.flags.ack() || h.ack > max_sent_ || h.ack <= iss_) return;
    // The window of a SYN is never scaled (RFC 7323 section 2.2).
    const std::uint32_t window = std::uint32_t{h.window} << (h.flags.syn() ? 0 : peer_scale());
    edge_ = edge_ ? max(*edge_, h.ack + window) : h.ack + window;
  }

  void says(const OutSegment& out) const {
    const wire::TcpFields& h = out.header;
    std::array<std::uint8_t, wire::TcpView::kMaxSize> room;
    FUZZ_CHECK(h.size() <= room.size());
    h.emit(room);
    says_text(out);
    if (h.flags.ack()) says_acknowledgement(h);
    const wire::TcpOptions& o = h.options;
    if (!h.flags.syn()) {
      FUZZ_CHECK(!o.mss && !o.window_scale && !o.sack_permitted);
      FUZZ_CHECK(!o.timestamps || (config_.offer_timestamps && peer_ && peer_->timestamps));
    } else {
      FUZZ_CHECK(h.seq == iss_ && o.mss && *o.mss <= config_.mss);
    }
  }

  void says_text(const OutSegment& out) const {
    const wire::TcpFields& h = out.header;
    std::size_t size = 0;
    for (const Bytes piece : out.payload) {
      const wire::SeqNum at = h.seq + static_cast<std::uint32_t>(size);
      FUZZ_CHECK(std::ranges::equal(piece, content(salt_out_, at, piece.size())));
      size += piece.size();
    }
    FUZZ_CHECK(size == out.payload_size);
    FUZZ_CHECK(out.segment_size > 0 && out.segment_size <= config_.mss);
    FUZZ_CHECK(size <= std::max<std::size_t>(config_.max_super_frame, out.segment_size));
    const std::int64_t place = h.seq - (iss_ + 1);
    const auto end = place + static_cast<std::int64_t>(size);
    const auto written = static_cast<std::int64_t>(written_);
    if (size > 0) {
      FUZZ_CHECK(place >= 0 && end <= written);
      FUZZ_CHECK(out.retransmission == (h.seq < max_sent_));
    }
    if (h.flags.fin()) FUZZ_CHECK(shut_ && end == written);
    if (size == 0 && !h.flags.rst() && !h.flags.fin()) FUZZ_CHECK(h.seq <= max_sent_);
    if (out.ect) {
      FUZZ_CHECK(size > 0 && !out.retransmission && config_.ecn != Ecn::kOff && peer_ecn_);
    }
    const std::uint32_t occupied = static_cast<std::uint32_t>(size) + (h.flags.fin() ? 1U : 0U);
    if (occupied == 0) return;
    FUZZ_CHECK(edge_.has_value());
    FUZZ_CHECK(h.seq + occupied - *edge_ <= (occupied == 1 ? 1 : 0));
  }

  void says_acknowledgement(const wire::TcpFields& h) const {
    FUZZ_CHECK(irs_.has_value());
    FUZZ_CHECK(came(in_offset(h.ack)));
    const bool sack = config_.offer_sack && peer_ && peer_->sack_permitted;
    FUZZ_CHECK(sack || h.options.sack_count == 0);
    FUZZ_CHECK(h.options.sack_count <= (h.options.timestamps ? 3 : 4));
    for (std::size_t i = 0; i < h.options.sack_count; ++i) {
      const std::int64_t left = in_offset(h.options.sack[i].left);
      const std::int64_t right = in_offset(h.options.sack[i].right);
      FUZZ_CHECK(left < right && came_.end_of(left) >= right);
      if (i > 0) FUZZ_CHECK(h.options.sack[i].left > h.ack);  // only the first tells duplicates
    }
    if (h.flags.rst()) return;
    if (acknowledged_) FUZZ_CHECK(h.ack >= *acknowledged_);
    if (promised_ && !h.flags.syn()) {  // a SYN that goes again has no scale to say more with
      FUZZ_CHECK(right_edge(h) - *promised_ > -(std::int32_t{1} << own_scale()));
    }
  }

  // All before `offset` came: octets, and at the end perhaps a FIN.
  [[nodiscard]] bool came(std::int64_t offset) const {
    const std::int64_t text = came_.end_of(0);
    return offset >= 0 && (offset <= text || (offset - 1 <= text && ends_.contains(offset - 1)));
  }

  [[nodiscard]] wire::SeqNum right_edge(const wire::TcpFields& h) const {
    return h.ack + (std::uint32_t{h.window} << (h.flags.syn() ? 0 : own_scale()));
  }

  void sent_it(const OutSegment& out) {
    const wire::TcpFields& h = out.header;
    if (h.flags.rst()) return;
    if (h.flags.syn() && h.options.window_scale) own_scale_ = *h.options.window_scale;
    max_sent_ = max(max_sent_, h.seq + static_cast<std::uint32_t>(out.payload_size) +
                                   (h.flags.syn() ? 1U : 0U) + (h.flags.fin() ? 1U : 0U));
    if (!h.flags.ack()) return;
    acknowledged_ = h.ack;
    promised_ = promised_ ? max(*promised_, right_edge(h)) : right_edge(h);
  }

  Config config_;
  wire::SeqNum iss_;
  std::uint32_t salt_out_, salt_in_;
  wire::SeqNum max_sent_;
  std::optional<wire::SeqNum> irs_;
  std::optional<wire::TcpOptions> peer_;  // of the peer's SYN
  unsigned own_scale_ = 0;
  bool peer_ecn_ = false, held_ = false, shut_ = false, aborted_ = false, echo_ = false,
       hears_echo_ = false;
  Positions came_;  // from irs_ + 1
  std::set<std::int64_t> ends_;
  std::optional<wire::SeqNum> edge_, acknowledged_, promised_;
  std::uint64_t written_ = 0, read_ = 0;
};

}  // namespace vtl::endpoint::fuzz
