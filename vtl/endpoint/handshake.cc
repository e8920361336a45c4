// Opening a connection: active, passive, held, simultaneous (RFC 9293 sections 3.5 and 3.10.7.2
// to 3.10.7.4).
//
// A passive connection begins at the received SYN. While it is held nothing is sent and the SYN's
// repetitions are swallowed, so the peer sees what a slow server would show; accept() lets the
// SYN,ACK go, refuse() answers as a closed port would.
#include <algorithm>
#include <cassert>

#include "vtl/endpoint/connection.h"

namespace vtl::endpoint {
namespace {

constexpr std::size_t kMaxReceiveBuffer = std::size_t{1} << 30;  // RFC 7323 section 2.2

// Where our timestamp clock begins, so that it tells nothing of the host's uptime (RFC 7323
// section 7.1). A finalizer of splitmix64.
std::uint32_t spread(std::uint32_t seed) {
  std::uint64_t z = (seed + 0x9e3779b97f4a7c15ULL) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return static_cast<std::uint32_t>(z >> 32);
}

Config sane(Config config) {
  config.mss = std::max(config.mss, kMinMss);
  config.default_mss = std::max(config.default_mss, kMinMss);
  config.window_scale = std::min(config.window_scale, kMaxWindowScale);
  config.receive_buffer = std::clamp<std::size_t>(config.receive_buffer, 1, kMaxReceiveBuffer);
  config.receive_buffer_initial =
      std::clamp<std::size_t>(config.receive_buffer_initial, 1, config.receive_buffer);
  // The least window there is to offer must be a small part of the buffer, or none ever is.
  while (config.window_scale > 0 &&
         std::size_t{1} << config.window_scale > config.receive_buffer_initial / 4) {
    --config.window_scale;
  }
  config.send_buffer_initial = std::min(config.send_buffer_initial, config.send_buffer);
  config.delayed_ack = std::min(config.delayed_ack, kMaxDelayedAck);
  config.max_super_frame = std::clamp<std::size_t>(config.max_super_frame, 1, 65535);
  return config;
}

}  // namespace

SharedConfig::SharedConfig(const Config& config)
    : config_(std::make_shared<const Config>(sane(config))) {}

Connection::Connection(const SharedConfig& config, const Endpoint::Identity& identity,
                       wire::SeqNum iss, Time now)
    : shared_config_(config),
      local_(identity.local),
      remote_(identity.remote),
      offered_mss_(config->mss),
      path_mss_(UINT16_MAX),
      mss_(std::min(config->default_mss, config->mss)),
      iss_(iss),
      snd_una_(iss),
      snd_nxt_(iss),
      snd_max_(iss),
      to_send_(config->pool),
      received_(config->pool),
      receive_limit_(static_cast<std::uint32_t>(config->receive_buffer_initial)),
      round_at_(now),
      ts_offset_(identity.timestamp_offset.value_or(spread(iss.value()))),
      rtt_(config->initial_rto, config->min_rto, config->max_rto),
      cwr_end_(iss),
      congestion_(config->congestion, mss_),
      recover_(iss),
      progress_at_(now),
      heard_at_(now),
      sent_at_(now) {}

void Connection::open_active(Time /*now*/) {
  active_ = true;
  syn_due_ = true;
  set_state(State::kSynSent);
}

void Connection::open_passive(const Segment& syn, bool hold, Time now) {
  assert(syn.header.flags.syn());
  learn_syn(syn, now);
  held_ = hold;
  syn_due_ = !hold;
  set_state(State::kSynReceived);
}

void Connection::accept(Time now, std::uint16_t far_mss) {
  if (!held_) return;
  held_ = false;
  syn_due_ = true;
  if (far_mss != 0) offered_mss_ = std::clamp(far_mss, kMinMss, config().mss);
  progress_at_ = now;
}

void Connection::refuse(Time /*now*/) {
  if (!held_) return;
  held_ = false;
  reset_due_ = true;
  reset_seq_ = wire::SeqNum(0);
  end(EndReason::kAborted);
}

bool Connection::in_flight(wire::SeqNum seq) const noexcept {
  return snd_una_ <= seq && seq < snd_max_;
}

bool Connection::fits(const Segment& segment) const noexcept {
  const wire::TcpFields& in = segment.header;
  if (!in.flags.ack() || in.flags.rst() || held_ || state_ == State::kClosed) return false;
  if (!synchronized()) {
    const bool ours = in.ack > iss_ && in.ack <= snd_nxt_;
    return state_ == State::kSynSent ? ours && in.flags.syn() : ours && in.seq <= rcv_adv_;
  }
  const auto behind = static_cast<std::uint32_t>(config().receive_buffer);
  return in.ack <= snd_max_ && in.ack >= snd_una_ - max_snd_wnd_ && in.seq <= rcv_adv_ &&
         in.seq >= rcv_nxt_ - behind;
}

void Connection::icmp_error(bool hard, Time /*now*/) {
  if (hard && !held_ && (state_ == State::kSynSent || state_ == State::kSynReceived)) {
    end(EndReason::kUnreachable);
  } else {
    soft_error_ = true;
  }
}

// Takes what the peer's SYN says. The window field of a SYN is never scaled (RFC 7323 section 2.2).
void Connection::learn_syn(const Segment& syn, Time now) {
  const wire::TcpFields& header = syn.header;
  peer_mss_ = header.options.mss;
  peer_scale_ = header.options.window_scale;
  peer_stamps_ = header.options.timestamps.has_value();
  peer_sack_ = header.options.sack_permitted;
  irs_ = header.seq;
  rcv_nxt_ = irs_ + 1;
  const auto offered =
      static_cast<std::uint32_t>(std::min<std::size_t>(UINT16_MAX, receive_limit_));
  rcv_adv_ = active_ && snd_nxt_ != iss_ ? rcv_nxt_ + offered : rcv_nxt_;
  last_ack_sent_ = rcv_nxt_;
  timestamps_ = config().offer_timestamps && header.options.timestamps.has_value();
  if (timestamps_) {
    ts_recent_ = header.options.timestamps->value;
    ts_recent_at_ = now;
  }
  learn_ecn(header.flags);
  sack_ = config().offer_sack && header.options.sack_permitted;
  const bool scaled = config().offer_window_scale && header.options.window_scale.has_value();
  send_scale_ = scaled ? std::min(*header.options.window_scale, kMaxWindowScale) : std::uint8_t{0};
  receive_scale_ = scaled ? config().window_scale : std::uint8_t{0};
  snd_wnd_ = header.window;
  max_snd_wnd_ = std::max(max_snd_wnd_, snd_wnd_);
  snd_wl1_ = header.seq;
  snd_wl2_ = header.flags.ack() ? header.ack : iss_;
  set_mss();
}

wire::TcpOptions Connection::peer_options() const noexcept {
  wire::TcpOptions options;
  options.mss = peer_mss_;
  options.window_scale = peer_scale_;
  options.sack_permitted = peer_sack_;
  if (peer_stamps_) options.timestamps.emplace();
  return options;
}

// RFC 9293 section 3.7.1: what both ends and the path take, less the options of every segment.
void Connection::set_mss() noexcept {
  std::uint16_t mss =
      std::max(std::min(peer_mss_.value_or(config().default_mss), config().mss), kMinMss);
  mss = std::min(mss, std::max(path_mss_, kMinPathMss));
  if (timestamps_) mss = static_cast<std::uint16_t>(mss - kTimestampsOctets);
  mss_ = mss;
  congestion_.set_mss(mss_);
}

void Connection::process_held(const Segment& segment, Time now) {
  const wire::TcpFields& in = segment.header;
  if (in.flags.rst()) {
    if (in.seq == rcv_nxt_) end(EndReason::kReset);
  } else if (in.flags.ack()) {
    bad_ack_ = in.ack;  // as in LISTEN: nothing was sent that it could acknowledge
  } else if (in.flags.syn()) {
    ++stats_.duplicates;
    if (in.seq != irs_) {
      learn_syn(segment, now);  // the peer gave up and begins anew
    } else {
      learn_repeated_ecn(in.flags);
      update_timestamp(segment, now);  // by which the peer measures how long its last SYN took
    }
  }
}

// RFC 9293 section 3.10.7.3.
void Connection::process_syn_sent(const Segment& segment, Time now) {
  const wire::TcpFields& in = segment.header;
  if (in.flags.ack() && (in.ack <= iss_ || in.ack > snd_nxt_)) {
    ++stats_.out_of_window;
    if (!in.flags.rst()) bad_ack_ = in.ack;
    return;
  }
  if (in.flags.rst()) {
    if (in.flags.ack()) end(EndReason::kRefused);
    return;
  }
  if (!in.flags.syn()) return;
  learn_syn(segment, now);
  heard_at_ = now;
  if (!in.flags.ack()) {  // simultaneous open
    set_state(State::kSynReceived);
    syn_due_ = true;
    return;
  }
  syn_due_ = false;
  enter_established(now);
  ack_now();
  if (!segment.payload.empty() || in.flags.fin()) {
    Segment rest = segment;
    rest.header.seq += 1;
    process_text(rest, now);
  }
}

// The ACK of our SYN,ACK. False: unacceptable, answered with a reset.
bool Connection::process_syn_received(const Segment& segment, Time now) {
  const wire::TcpFields& in = segment.header;
  if (in.ack <= iss_ || in.ack > snd_nxt_) {
    ++stats_.out_of_window;
    bad_ack_ = in.ack;
    return false;
  }
  syn_due_ = false;
  enter_established(now);
  snd_wnd_ = static_cast<std::uint32_t>(in.window) << send_scale_;
  max_snd_wnd_ = std::max(max_snd_wnd_, snd_wnd_);
  snd_wl1_ = in.seq;
  snd_wl2_ = in.ack;
  return true;
}

void Connection::enter_established(Time now) {
  if (timed_end_) {
    rtt_.sample(now - timed_at_);
    timed_end_.reset();
  }
  set_state(fin_queued_ ? State::kFinWait1 : State::kEstablished);
  snd_una_ = iss_ + 1;
  recover_ = echo_end_ = iss_;
  board_.reset(snd_una_);
  rack_.reset(snd_una_);
  timer_ = Timer::kOff;
  progress_at_ = now;
  sent_at_ = now;
  if (syns_sent_ > 1) {
    congestion_.begin_with_one_segment();
    rtt_.restart_at(kTimeoutAfterSynLoss);
  }
}

}  // namespace vtl::endpoint
