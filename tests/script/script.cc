#include "tests/script/script.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <stdexcept>

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
      case 'U':
        bits |= wire::TcpFlags::kUrg;
        break;
      case 'E':
        bits |= wire::TcpFlags::kEce;
        break;
      case 'C':
        bits |= wire::TcpFlags::kCwr;
        break;
      default:
        ADD_FAILURE() << "no such flag: " << c;
    }
  }
  return bits;
}

Duration span(double ms) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double, std::milli>(ms));
}

double milliseconds(Duration d) {
  return std::chrono::duration<double, std::milli>(d).count();
}

std::string show(const Sent& sent) {
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
    : peer_(peer),
      subject_(make_subject(config, our_iss)),
      peer_iss_(peer_iss),
      start_(subject_->now()),
      moment_(start_) {}

Script::~Script() {
  const auto used = [](const auto& differs) {
    if (differs) ADD_FAILURE() << "nothing was expected where the kernel differs: " << differs->why;
  };
  used(segments_differ_);
  used(state_differs_);
  used(reason_differs_);
  used(moment_differs_);
}

Script& Script::connect() {
  moment_ = now();
  subject_->connect();
  return *this;
}

Script& Script::syn(bool hold, std::string_view flags, std::string_view text) {
  std::string data;
  moment_ = now();
  const Segment in = build(Seg{}.seq(0).flags(flags).data(text), data);
  peer_next_ = 1;
  subject_->listen(in, hold);
  return *this;
}

Script& Script::new_syn(std::uint32_t iss, Seg segment) {
  peer_iss_ = wire::SeqNum(iss);
  our_iss_.reset();
  our_next_ = written_ = our_edge_ = last_stamp_ = 0;
  peer_next_ = 1;
  return send(std::move(segment).seq(0).flags("S"));
}

Script& Script::syn_sent() {
  connect();
  expect({Seg{}.seq(0).flags("S")});
  return state(State::kSynSent);
}

Script& Script::syn_received() {
  syn();
  expect({Seg{}.seq(0).ack(1).flags("SA")});
  return state(State::kSynReceived);
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
  if (h.flags.ack()) h.ack = our_iss_.value_or(wire::SeqNum(0)) + want.ack_.value_or(our_next_);
  h.window = static_cast<std::uint16_t>(want.window_.value_or(peer_.window));
  h.urgent = want.urgent_.value_or(0);
  if (h.flags.syn()) {
    h.options.mss = want.mss_ ? want.mss_ : peer_.mss;
    h.options.window_scale = want.scale_ ? want.scale_ : peer_.scale;
    h.options.sack_permitted = want.sack_permitted_.value_or(peer_.sack);
  }
  if (want.stamps_) {
    h.options.timestamps = want.stamps_;
  } else if (peer_.stamps && want.has_stamps_.value_or(true)) {
    const auto ms = static_cast<std::uint32_t>((now() - start_) / 1ms);
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
  if (want.sack_) {
    const wire::SeqNum ours = our_iss_.value_or(wire::SeqNum(0));
    for (const auto& [left, right] : *want.sack_) {
      h.options.sack[h.options.sack_count++] = {ours + left, ours + right};
    }
  }
  out.payload = Bytes(reinterpret_cast<const std::uint8_t*>(data.data()), data.size());
  out.segments = want.pieces_.value_or(1);
  out.ce = want.ce_;
  return out;
}

Script& Script::send(Seg want) {
  std::string data;
  moment_ = now();
  const Segment out = build(want, data);
  subject_->deliver(out);
  const auto end = static_cast<std::uint32_t>(out.header.seq - peer_iss_) +
                   static_cast<std::uint32_t>(data.size()) + (out.header.flags.syn() ? 1U : 0U) +
                   (out.header.flags.fin() ? 1U : 0U);
  if (!want.seq_ || out.header.flags.syn()) peer_next_ = std::max(peer_next_, end);
  return *this;
}

// Learns from what was sent: where its numbers begin, what an obedient peer acknowledges, what the
// peer may send.
void Script::note(Sent& sent) {
  const wire::TcpFields& h = sent.header;
  if (h.flags.syn() && !our_iss_) our_iss_ = h.seq;
  if (h.flags.syn()) {
    scaling_ = h.options.window_scale.has_value() && peer_.scale.has_value();
    our_scale_ = scaling_ ? *h.options.window_scale : std::uint8_t{0};
  }
  if (h.options.timestamps) last_stamp_ = h.options.timestamps->value;
  if (h.flags.rst() || !our_iss_) return;
  const auto begin = static_cast<std::uint32_t>(h.seq - *our_iss_);
  const std::uint32_t length = static_cast<std::uint32_t>(sent.data.size()) +
                               (h.flags.syn() ? 1U : 0U) + (h.flags.fin() ? 1U : 0U);
  if (length > 0 && begin < our_next_) sent.retransmission = true;
  our_next_ = std::max(our_next_, begin + length);
  if (h.flags.ack()) {
    const std::uint32_t window = std::uint32_t{h.window} << (h.flags.syn() ? 0 : our_scale_);
    our_edge_ = static_cast<std::uint32_t>(h.ack - peer_iss_) + window;
  }
}

void Script::match(const Seg& want, const Sent& got, std::size_t index) const {
  SCOPED_TRACE("segment " + std::to_string(index) + ": " + show(got));
  const wire::TcpFields& h = got.header;
  if (want.seq_) {
    const auto seq = static_cast<std::uint32_t>(h.seq - our_iss_.value_or(wire::SeqNum(0)));
    EXPECT_EQ(seq, *want.seq_) << "seq";
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
  if (want.sack_permitted_) {
    EXPECT_EQ(h.options.sack_permitted, *want.sack_permitted_) << "SACK permitted";
  }
  if (want.ect_) {
    EXPECT_EQ(got.ect, *want.ect_) << "ECT";
  }
  if (want.retransmission_) {
    EXPECT_EQ(got.retransmission, *want.retransmission_);
  }
}

Script& Script::expect(std::vector<Seg> segments) {
  segments = pick(segments_differ_, std::move(segments));
  const std::vector<Sent> got = take(segments.size());
  EXPECT_EQ(got.size(), segments.size()) << "segments sent";
  if (got.size() != segments.size()) {
    for (const Sent& sent : got) ADD_FAILURE() << "sent: " << show(sent);
    return *this;
  }
  for (std::size_t i = 0; i < got.size(); ++i) match(segments[i], got[i], i);
  return *this;
}

Script& Script::expect_stream(std::uint32_t seq, std::uint32_t octets) {
  const std::uint32_t begin = seq;
  for (const Sent& sent : take(1)) {
    match(Seg{}.seq(seq), sent, 0);
    EXPECT_LE(sent.data.size(), 65535U);
    seq += static_cast<std::uint32_t>(sent.data.size());
  }
  EXPECT_EQ(seq - begin, octets) << "octets sent";
  return *this;
}

std::vector<Script::Sent> Script::take(std::size_t expected) {
  std::vector<Sent> sent = subject_->take(expected);
  for (Sent& each : sent) note(each);
  return sent;
}

Script& Script::swallow() {
  (void)take();
  return *this;
}

Script& Script::icmp_error(bool hard) {
  moment_ = now();
  subject_->icmp_error(hard);
  return *this;
}

Script& Script::icmp_too_big(std::uint16_t mtu, std::optional<std::uint32_t> seq) {
  moment_ = now();
  std::optional<wire::SeqNum> quoted;
  if (seq) quoted = our_iss_.value_or(wire::SeqNum(0)) + *seq;
  subject_->icmp_too_big(mtu, quoted);
  return *this;
}

Script& Script::fill_window() {
  constexpr std::uint32_t kPiece = 1000;
  for (int turn = 0; turn < 10'000; ++turn) {
    swallow();
    if (our_edge_ <= peer_next_) return *this;
    send(Seg{}.len(std::min(our_edge_ - peer_next_, kPiece)));
    // An acknowledgement may be delayed while the window stands open.
    if (our_edge_ == peer_next_) subject_->run_until(now() + 1s);
  }
  ADD_FAILURE() << "the window does not shut";
  return *this;
}

Script& Script::at(double ms) {
  const Time target = start_ + span(ms);
  EXPECT_GE(target, moment_) << "the clock does not go back";
  if (kernel() && target - now() > 1s) throw std::logic_error("the kernel's clock is real");
  moment_ = target;
  for (int turn = 0; turn < 10'000 && subject_->run_until(target); ++turn) {
    for (const Sent& sent : take()) {
      ADD_FAILURE() << "sent before " << ms << " ms: " << show(sent);
    }
  }
  return *this;
}

Script& Script::after(double ms) {
  return at(milliseconds(moment_ - start_) + ms);
}

Script& Script::later(double ms, std::vector<Seg> segments) {
  ms = pick(moment_differs_, ms);
  // The kernel's timers count ticks, and its clock is read at another moment than ours.
  constexpr double kTicks = 15;
  EXPECT_TRUE(subject_->run_until(now() + span(ms) + subject_->lateness())) << "nothing was sent";
  EXPECT_GE(milliseconds(now() - moment_), ms - (kernel() ? kTicks : 1)) << "sent too early";
  moment_ = kernel() ? moment_ + span(ms) : now();
  return expect(std::move(segments));
}

double Script::until_sent(double limit_ms) {
  subject_->run_until(now() + span(limit_ms) + 1ns);
  moment_ = now();
  return milliseconds(moment_ - start_);
}

Script& Script::write(std::uint32_t octets) {
  std::string text(octets, '\0');
  for (char& c : text) c = static_cast<char>('A' + written_++ % 26);
  written_ -= octets;
  return write(text);
}

Script& Script::write(std::string_view text) {
  moment_ = now();
  const std::size_t n = subject_->write(text);
  EXPECT_EQ(n, text.size()) << "the send buffer is too small for the story";
  written_ += static_cast<std::uint32_t>(n);
  return *this;
}

Script& Script::write_refused() {
  EXPECT_EQ(subject_->write("x"), 0U);
  return *this;
}

Script& Script::shutdown() {
  moment_ = now();
  subject_->shutdown();
  return *this;
}

Script& Script::abort() {
  subject_->abort();
  return *this;
}

Script& Script::read_all() {
  return read(readable());
}

Script& Script::read(std::size_t n) {
  const std::size_t done = subject_->read(n);
  EXPECT_EQ(done, n) << "octets to be read";
  return *this;
}

Script& Script::state(State expected) {
  expected = pick(state_differs_, expected);
  EXPECT_EQ(to_string(subject_->state()), to_string(expected));
  return *this;
}

Script& Script::reason(EndReason expected) {
  expected = pick(reason_differs_, expected);
  if (const auto reason = subject_->reason()) {
    EXPECT_EQ(to_string(*reason), to_string(expected));
  }
  return *this;
}

Script& Script::counts(std::uint32_t EndpointStats::* which, std::uint32_t expected) {
  if (Endpoint* endpoint = subject_->endpoint()) {
    EXPECT_EQ(endpoint->stats().*which, expected);
  }
  return *this;
}

Script& Script::kernel_differs(std::string_view why, std::vector<Seg> segments) {
  if (kernel()) segments_differ_ = {std::string(why), std::move(segments)};
  return *this;
}

Script& Script::kernel_differs(std::string_view why, State state) {
  if (kernel()) state_differs_ = {std::string(why), state};
  return *this;
}

Script& Script::kernel_differs(std::string_view why, EndReason reason) {
  if (kernel()) reason_differs_ = {std::string(why), reason};
  return *this;
}

Script& Script::kernel_differs(std::string_view why, double ms) {
  if (kernel()) moment_differs_ = {std::string(why), ms};
  return *this;
}

Script& Script::kernel_setting(const std::string& key, const std::string& value) {
  subject_->setting(key, value);
  return *this;
}

Script& Script::kernel_also(std::string_view /*why*/, std::vector<Seg> segments) {
  return kernel() ? later(0, std::move(segments)) : *this;
}

Endpoint& Script::endpoint() {
  Endpoint* endpoint = subject_->endpoint();
  if (endpoint == nullptr) throw std::logic_error("this story is of an endpoint: ENDPOINT_STORY");
  return *endpoint;
}

namespace {

class Story : public ::testing::Test {
 public:
  explicit Story(void (*story)()) : story_(story) {}
  void TestBody() override { tell(story_); }

 private:
  void (*story_)();
};

}  // namespace

bool register_story(const char* group, const char* name, const char* file, int line,
                    const char* endpoint_only, void (*story)()) {
  if (endpoint_only != nullptr && subject_is_kernel()) return false;
  ::testing::RegisterTest(group, name, nullptr, nullptr, file, line,
                          [story]() -> ::testing::Test* { return new Story(story); });
  return true;
}

}  // namespace vtl::endpoint::script
