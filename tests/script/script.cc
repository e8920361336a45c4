#include "tests/script/script.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace vtl::endpoint::script {
namespace {

std::uint8_t flag_bits(std::string_view text) {
  std::uint8_t bits = 0;
  for (const char c : text) {
    switch (c) {
      case 'S':
        bits |= wire::TcpFlags::kSyn;
        break;
      case 'F':
        bits |= wire::TcpFlags::kFin;
        break;
      case 'R':
        bits |= wire::TcpFlags::kRst;
        break;
      case 'P':
        bits |= wire::TcpFlags::kPsh;
        break;
      case 'A':
      case '.':
        bits |= wire::TcpFlags::kAck;
        break;
      case 'E':
        bits |= wire::TcpFlags::kEce;
        break;
      case 'C':
        bits |= wire::TcpFlags::kCwr;
        break;
      case 'U':
        bits |= wire::TcpFlags::kUrg;
        break;
      default:
        ADD_FAILURE() << "no such flag: " << c;
    }
  }
  return bits;
}

std::string show(const Script::Sent& sent) {
  return wire::to_string(sent.header) + " len " + std::to_string(sent.data.size());
}

}  // namespace

Config plain() {
  Config config;
  config.offer_timestamps = false;
  config.offer_window_scale = false;
  config.offer_sack = false;
  config.congestion = Congestion::kNewReno;
  config.receive_buffer = 65535;
  config.max_super_frame = config.mss;
  return config;
}

Script::Script(Config config, Peer peer, std::uint32_t our_iss, std::uint32_t peer_iss)
    : config_(config),
      peer_(peer),
      our_iss_(our_iss),
      peer_iss_(peer_iss),
      start_(Duration{100s}),
      now_(start_) {}

Script& Script::connect() {
  endpoint_ = Endpoint::connect(config_, {wire::Port(80), wire::Port(4000)}, our_iss_, now_);
  return *this;
}

Script& Script::syn(bool hold, std::string_view flags) {
  std::string data;
  Segment in = build(Seg{}.seq(0).flags(flags), data);
  peer_next_ = 1;
  endpoint_ =
      Endpoint::accept_syn(config_, {wire::Port(80), wire::Port(4000)}, our_iss_, in, hold, now_);
  return *this;
}

Script& Script::established(bool active) {
  if (active) {
    connect();
    expect({Seg{}.seq(0).flags("S")});
    send(Seg{}.seq(0).flags("SA").ack(1));
    expect({Seg{}.seq(1).ack(1).flags("A").len(0)});
  } else {
    syn();
    expect({Seg{}.seq(0).ack(1).flags("SA")});
    send(Seg{}.ack(1));
    quiet();
  }
  return state(State::kEstablished);
}

Script& Script::flight(std::uint32_t octets, bool active) {
  established(active);
  write(octets);
  std::uint32_t out = 0;
  for (const Sent& sent : take()) out += static_cast<std::uint32_t>(sent.data.size());
  EXPECT_EQ(out, octets) << "the initial window did not let all of it go";
  return *this;
}

Script& Script::fin_wait_1() {
  established();
  shutdown();
  expect({Seg{}.seq(1).flags("FA")});
  return state(State::kFinWait1);
}

Script& Script::fin_wait_2() {
  fin_wait_1();
  send(Seg{}.ack(2));
  quiet();
  return state(State::kFinWait2);
}

Script& Script::close_wait() {
  established();
  send(Seg{}.flags("FA"));
  expect({Seg{}.seq(1).ack(2).flags("A")});
  return state(State::kCloseWait);
}

Script& Script::closing() {
  fin_wait_1();
  send(Seg{}.flags("FA").ack(1));
  expect({Seg{}.seq(2).ack(2).flags("A")});
  return state(State::kClosing);
}

Script& Script::last_ack() {
  close_wait();
  shutdown();
  expect({Seg{}.seq(1).ack(2).flags("FA")});
  return state(State::kLastAck);
}

Script& Script::time_wait() {
  fin_wait_2();
  send(Seg{}.flags("FA").ack(2));
  expect({Seg{}.seq(2).ack(2).flags("A")});
  return state(State::kTimeWait);
}

Segment Script::build(const Seg& want, std::string& data) {
  Segment out;
  wire::TcpFields& h = out.header;
  h.source = wire::Port(4000);
  h.destination = wire::Port(80);
  h.flags.bits = flag_bits(want.flags_.value_or("A"));
  h.seq = peer_iss_ + want.seq_.value_or(peer_next_);
  if (h.flags.ack()) h.ack = our_iss_ + want.ack_.value_or(our_next_);
  h.window = static_cast<std::uint16_t>(want.window_.value_or(peer_.window));
  if (h.flags.syn()) {
    h.options.mss = want.mss_ ? want.mss_ : peer_.mss;
    h.options.window_scale = want.scale_ ? want.scale_ : peer_.scale;
    h.options.sack_permitted = peer_.sack;
  }
  if (want.stamps_) {
    h.options.timestamps = want.stamps_;
  } else if (peer_.stamps && want.has_stamps_.value_or(true)) {
    const auto ms = static_cast<std::uint32_t>((now_ - start_) / 1ms);
    h.options.timestamps = wire::TcpTimestamps{7000 + ms, last_stamp_};
  }
  if (want.data_) {
    data = *want.data_;
  } else if (want.length_) {
    data.assign(*want.length_, '\0');
    for (std::size_t i = 0; i < data.size(); ++i) {
      data[i] = static_cast<char>('a' + (h.seq - peer_iss_ + i) % 26);
    }
  }
  out.payload = Bytes(reinterpret_cast<const std::uint8_t*>(data.data()), data.size());
  out.segments = want.pieces_.value_or(1);
  out.ce = want.ce_;
  return out;
}

Script& Script::send(Seg want) {
  std::string data;
  const Segment out = build(want, data);
  endpoint_->process(out, now_);
  const auto end = static_cast<std::uint32_t>(out.header.seq - peer_iss_) +
                   static_cast<std::uint32_t>(data.size()) + (out.header.flags.syn() ? 1U : 0U) +
                   (out.header.flags.fin() ? 1U : 0U);
  if (!want.seq_ || out.header.flags.syn()) peer_next_ = std::max(peer_next_, end);
  return *this;
}

void Script::run() {
  for (int turn = 0; turn < 1000; ++turn) {
    if (endpoint_->poll_at(now_) > now_) return;
    endpoint_->dispatch(now_, [&](const OutSegment& out) {
      Sent sent{out.header, {}, out.segment_size, out.retransmission, out.ect};
      for (const Bytes piece : out.payload) {
        sent.data.append(reinterpret_cast<const char*>(piece.data()), piece.size());
      }
      EXPECT_EQ(sent.data.size(), out.payload_size);
      if (!out.header.flags.rst()) {
        const std::uint32_t end = static_cast<std::uint32_t>(out.header.seq - our_iss_) +
                                  static_cast<std::uint32_t>(sent.data.size()) +
                                  (out.header.flags.syn() ? 1U : 0U) +
                                  (out.header.flags.fin() ? 1U : 0U);
        our_next_ = std::max(our_next_, end);
      }
      if (out.header.options.timestamps) last_stamp_ = out.header.options.timestamps->value;
      sent_.push_back(std::move(sent));
      return true;
    });
  }
  FAIL() << "poll_at() says now, but dispatch() makes no progress";
}

void Script::match(const Seg& want, const Sent& got, std::size_t index) const {
  SCOPED_TRACE("segment " + std::to_string(index) + ": " + show(got));
  const wire::TcpFields& h = got.header;
  if (want.seq_) {
    EXPECT_EQ(static_cast<std::uint32_t>(h.seq - our_iss_), *want.seq_) << "seq";
  }
  if (want.ack_) {
    EXPECT_EQ(static_cast<std::uint32_t>(h.ack - peer_iss_), *want.ack_) << "ack";
  }
  if (want.window_) {
    EXPECT_EQ(h.window, *want.window_) << "window";
  }
  if (want.length_) {
    EXPECT_EQ(got.data.size(), *want.length_) << "length";
  }
  if (want.data_) {
    EXPECT_EQ(got.data, *want.data_) << "data";
  }
  if (want.flags_) {
    // PSH is told by the data, not by the story.
    const auto mask = static_cast<std::uint8_t>(
        want.flags_->find('P') == std::string::npos ? ~wire::TcpFlags::kPsh : 0xff);
    EXPECT_EQ(h.flags.bits & mask, flag_bits(*want.flags_)) << "flags, want " << *want.flags_;
  }
  if (want.mss_) {
    EXPECT_EQ(h.options.mss, want.mss_) << "mss";
  }
  if (want.scale_) {
    EXPECT_EQ(h.options.window_scale, want.scale_) << "window scale";
  }
  if (want.has_scale_) {
    EXPECT_EQ(h.options.window_scale.has_value(), *want.has_scale_);
  }
  if (want.stamps_) {
    ASSERT_TRUE(h.options.timestamps.has_value()) << "timestamps";
    EXPECT_EQ(h.options.timestamps->echo, want.stamps_->echo) << "TSecr";
  }
  if (want.has_stamps_) {
    EXPECT_EQ(h.options.timestamps.has_value(), *want.has_stamps_);
  }
  if (want.sack_) {
    std::vector<std::pair<std::uint32_t, std::uint32_t>> blocks;
    for (std::size_t b = 0; b < h.options.sack_count; ++b) {
      blocks.emplace_back(static_cast<std::uint32_t>(h.options.sack[b].left - peer_iss_),
                          static_cast<std::uint32_t>(h.options.sack[b].right - peer_iss_));
    }
    EXPECT_EQ(blocks, *want.sack_) << "SACK blocks";
  }
  if (want.ect_) {
    EXPECT_EQ(got.ect, *want.ect_) << "ECT";
  }
  if (want.retransmission_) {
    EXPECT_EQ(got.retransmission, *want.retransmission_);
  }
}

Script& Script::expect(std::vector<Seg> segments) {
  const std::vector<Sent> got = take();
  EXPECT_EQ(got.size(), segments.size()) << "segments sent";
  if (got.size() != segments.size()) {
    for (const Sent& sent : got) ADD_FAILURE() << "sent: " << show(sent);
    return *this;
  }
  for (std::size_t i = 0; i < got.size(); ++i) match(segments[i], got[i], i);
  return *this;
}

std::vector<Script::Sent> Script::take() {
  run();
  return std::exchange(sent_, {});
}

Script& Script::swallow() {
  (void)take();
  return *this;
}

Script& Script::at(double ms) {
  const Time target =
      start_ + std::chrono::duration_cast<Duration>(std::chrono::duration<double, std::milli>(ms));
  EXPECT_GE(target, now_) << "the clock does not go back";
  run();
  for (int turn = 0; turn < 100000; ++turn) {
    const Time next = endpoint_->poll_at(now_);
    if (next >= target) break;
    now_ = std::max(now_, next);
    run();
  }
  for (const Sent& sent : sent_) {
    ADD_FAILURE() << "sent before " << ms << " ms: " << show(sent);
  }
  sent_.clear();
  now_ = target;
  return *this;
}

Script& Script::after(double ms) {
  return at(std::chrono::duration<double, std::milli>(now_ - start_).count() + ms);
}

double Script::until_sent(double limit_ms) {
  const Time limit = now_ + std::chrono::duration_cast<Duration>(
                                std::chrono::duration<double, std::milli>(limit_ms));
  for (int turn = 0; turn < 100000; ++turn) {
    const Time next = endpoint_->poll_at(now_);
    if (next > limit) {
      now_ = limit;
      break;
    }
    now_ = std::max(now_, next);
    run();
    if (!sent_.empty()) break;
  }
  return std::chrono::duration<double, std::milli>(now_ - start_).count();
}

Script& Script::write(std::uint32_t octets) {
  std::string text(octets, '\0');
  for (char& c : text) c = static_cast<char>('A' + written_++ % 26);
  written_ -= octets;
  return write(text);
}

Script& Script::write(std::string_view text) {
  const std::size_t n = endpoint_->write(
      Bytes(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()), now_);
  EXPECT_EQ(n, text.size()) << "the send buffer is too small for the story";
  written_ += static_cast<std::uint32_t>(n);
  return *this;
}

Script& Script::shutdown() {
  endpoint_->shutdown(now_);
  return *this;
}

Script& Script::abort() {
  endpoint_->abort(now_);
  return *this;
}

Script& Script::read_all() {
  return read(endpoint_->readable());
}

Script& Script::read(std::size_t n) {
  while (n > 0) {
    const std::size_t step = std::min(n, endpoint_->peek().size());
    if (step == 0) {
      ADD_FAILURE() << n << " octets more were to be read";
      break;
    }
    endpoint_->consume(step, now_);
    n -= step;
  }
  return *this;
}

std::string Script::unread() const {
  const Bytes bytes = endpoint_->peek();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Script& Script::state(State expected) {
  EXPECT_EQ(to_string(endpoint_->state()), to_string(expected));
  return *this;
}

Script& Script::reason(EndReason expected) {
  EXPECT_EQ(to_string(endpoint_->end_reason()), to_string(expected));
  return *this;
}

}  // namespace vtl::endpoint::script
