#include "vtl/transport/connection.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <utility>

#include "vtl/transport/streams.h"

namespace vtl::transport {
namespace {

StreamError error_from(std::uint8_t octet) noexcept {
  if (octet < static_cast<std::uint8_t>(StreamError::kRefused) ||
      octet > static_cast<std::uint8_t>(StreamError::kProtocol))
    return StreamError::kProtocol;
  return static_cast<StreamError>(octet);
}

}  // namespace

Connection::Connection(ConnectionOwner& owner, std::unique_ptr<Channel> channel, Role role)
    : owner_(owner),
      channel_(std::move(channel)),
      role_(role),
      link_(role == Role::kOpener ? Link::kConnecting : Link::kGreeting),
      timer_([this] { on_deadline(); }) {
  channel_->set_handler(*this);
  arm(owner_.handshake_timeout());
  if (role_ == Role::kAcceptor) {
    acceptor_.emplace(owner_.instance());
    queue(RecordType::kChallenge, acceptor_->challenge());
    update_interest();
  }
}

Connection::Connection(ConnectionOwner& owner, std::unique_ptr<Channel> channel, Moved moved)
    : owner_(owner),
      channel_(std::move(channel)),
      role_(Role::kAcceptor),
      link_(Link::kReady),
      proven_(true),
      session_(moved.session),
      key_id_(moved.key_id),
      peer_instance_(moved.peer_instance),
      pending_(std::move(moved.unsent)),
      timer_([this] { on_deadline(); }) {
  channel_->set_handler(*this);
  state_ = StreamState::kDeciding;
  update_interest();
  if (!pending_.empty()) later();
}

Connection::~Connection() {
  if (stream_ != nullptr) stream_->detach();
  if (request_ != nullptr) request_->detach();
}

wire::SocketAddress Connection::peer_address() const noexcept {
  return channel_ ? channel_->peer_address() : wire::SocketAddress{};
}

// --- the link ---

void Connection::arm(Duration in) {
  owner_.reactor().timers().arm(timer_, owner_.reactor().now() + in);
}

void Connection::on_deadline() {
  switch (link_) {
    case Link::kConnecting:
    case Link::kGreeting:
    case Link::kProving:
      fail(StreamError::kPeerDown);
      return;
    case Link::kReady:
      if (lost_) {
        // The reader of a lost stream holds what is left for as long as it reads.
        if (consumed_ - read_at_look_ < kLostProgress)
          fail(*lost_);
        else
          watch_lost_reader();
      } else if (state_ == StreamState::kOpening) {
        fail(StreamError::kTimedOut);
      } else if (state_ == StreamState::kNone) {
        close();
      } else if (stream_ == nullptr && linger_on()) {
        return;
      } else {
        fail(StreamError::kTimedOut);
      }
      return;
    case Link::kResetting:
      die(std::nullopt);
      return;
    case Link::kDead:
      return;
  }
}

void Connection::on_channel_connected() {
  assert(link_ == Link::kConnecting);
  link_ = Link::kGreeting;
  update_interest();
}

void Connection::on_channel_ready(Readiness ready) {
  if (lost_) return;
  const auto bits = static_cast<std::uint8_t>(ready);
  if ((bits & static_cast<std::uint8_t>(Readiness::kWritable)) != 0 && !dead()) {
    blocked_ = false;
    flush();
    tell_writable();
  }
  if ((bits & static_cast<std::uint8_t>(Readiness::kReadable)) != 0 && !dead()) pump();
  if (!dead()) update_interest();
}

void Connection::on_channel_broken() {
  lose(StreamError::kPeerDown);
}

void Connection::lose(StreamError reason) {
  if (dead() || lost_) return;
  ours_delivered_ = fin_sent_ && (fin_ended_ || unsent() == 0);
  const bool reading =
      link_ == Link::kReady && state_ == StreamState::kOpen && stream_ != nullptr && !at_end();
  if (!reading) {
    end_lost(reason);
    return;
  }
  stop_sending(reason);
  drained_ = false;
  drain();
}

/// Takes over what the channel still holds for a lost stream, a part in each turn: the peer of a
/// channel that stands may go on sending.
void Connection::drain() {
  for (int i = 0; i < kRecordsPerTurn && !drained_ && !dead(); ++i) drained_ = !read_record();
  if (!drained_) later();
}

/// The stream only reads on, until end_lost().
void Connection::stop_sending(StreamError reason) {
  lost_ = reason;
  drained_ = true;
  watch_lost_reader();
  pending_.clear();
  head_ = 0;
  open_record_ = kNoRecord;
  write_armed_ = false;
  channel_->want(Readiness::kNone);
  later();
}

void Connection::watch_lost_reader() {
  read_at_look_ = consumed_;
  arm(kLostPatience);
}

/// Nothing is left to be read.
void Connection::end_lost(StreamError reason) {
  if (link_ == Link::kResetting || (link_ == Link::kReady && state_ == StreamState::kNone)) {
    die(StreamError::kPeerDown);
    return;
  }
  // The peer left without END: all that it sent was read, and nothing of ours is left here.
  if (fin_received_ && (ours_delivered_ || fin_ended_)) {
    if (stream_ != nullptr) stream_->finish();
    stream_ = nullptr;
    handler_ = nullptr;
    die(StreamError::kPeerDown);
    return;
  }
  fail(reason);
}

void Connection::fail(StreamError reason) {
  if (dead()) return;
  news_ = reason;
  die(reason);
}

void Connection::die(std::optional<StreamError> reason) {
  if (dead()) return;
  link_ = Link::kDead;
  timer_.cancel();
  pending_.clear();
  head_ = 0;
  if (channel_) channel_->want(Readiness::kNone);
  owner_.on_dead(*this, reason);
  later();
}

bool Connection::beat(Duration silence) {
  if (link_ != Link::kReady || state_ != StreamState::kNone) return true;
  const Time now = owner_.reactor().now();
  if (asked_) return now - *asked_ < silence;
  asked_ = now;
  queue(RecordType::kPing);
  return true;
}

void Connection::close() {
  assert(state_ == StreamState::kNone);
  die(std::nullopt);
}

void Connection::run_deferred() {
  if (lost_ && !dead()) {
    drain();
    if (dead()) return;
    if (read_armed_ && (fin_received_ || !inbox_.empty())) {
      read_armed_ = false;
      handler_->on_readable();
    }
    if (!dead() && drained_ && inbox_.empty()) end_lost(*lost_);
    return;
  }
  if (!dead()) {
    flush();
    tell_writable();
    if (!dead()) check_finished();
    if (!dead()) update_interest();
    return;
  }
  channel_.reset();
  if (!news_) return;
  const StreamError reason = *std::exchange(news_, std::nullopt);
  if (request_ != nullptr) {
    std::exchange(request_, nullptr)->cancelled();
    return;
  }
  if (stream_ == nullptr) return;
  std::exchange(stream_, nullptr)->detach();
  StreamHandler* handler = std::exchange(handler_, nullptr);
  if (state_ == StreamState::kOpening) {
    owner_.counters_mutable().refused.add();
    handler->on_refused(reason);
  } else {
    owner_.counters_mutable().reset.add();
    handler->on_reset(reason);
  }
}

// --- records ---

bool Connection::protocol_error() {
  fail(StreamError::kProtocol);
  return false;
}

bool Connection::handle(const Record& record) {
  switch (record.type) {
    case RecordType::kChallenge:
      return on_challenge(record.body);
    case RecordType::kResponse:
      return on_response(record.body);
    case RecordType::kWelcome:
      return on_welcome(record.body);
    case RecordType::kOpen:
      return on_open_record(record.body);
    case RecordType::kAccept:
    case RecordType::kRefuse:
      return on_answer(record);
    case RecordType::kFin:
      if (state_ != StreamState::kOpen || fin_received_) return protocol_error();
      if (reads_no_answers()) return protocol_error();
      fin_received_ = true;
      send_end();
      if (read_armed_ && handler_ != nullptr && !lost_) {
        read_armed_ = false;
        handler_->on_readable();
      }
      return !dead();
    case RecordType::kEnd:
      if (state_ != StreamState::kOpen || !fin_sent_ || fin_ended_) return protocol_error();
      fin_ended_ = true;
      check_finished();
      return !dead();
    case RecordType::kReset:
      return on_reset_record(error_from(record.body[0]));
    case RecordType::kPing:
      if (link_ != Link::kReady) return protocol_error();
      if (pending_.size() - head_ < kStage) queue(RecordType::kPong);
      return true;
    case RecordType::kPong:
      asked_.reset();
      heard_ = true;
      return link_ == Link::kReady || protocol_error();
    case RecordType::kCredit:
      return on_credit(record.body);
    case RecordType::kData:
      break;
  }
  return protocol_error();
}

/// The opener may use the connection again after END: so not before the reader has everything.
void Connection::send_end() {
  if (end_sent_ || !at_end()) return;
  end_sent_ = true;
  queue(RecordType::kEnd);
}

bool Connection::on_credit(Bytes body) {
  if (state_ != StreamState::kOpen || fin_ended_) return protocol_error();
  allowed_ += load_be32(body, 0);
  if (allowed_ - written_ > kMaxWindow) return protocol_error();
  if (write_armed_ && !blocked_) later();
  return true;
}

bool Connection::on_challenge(Bytes body) {
  if (role_ != Role::kOpener || link_ != Link::kGreeting) return protocol_error();
  opener_.emplace(owner_.own_key(), owner_.instance());
  const auto response = opener_->on_challenge(body);
  if (!response) return refuse_peer(response.error(), body);
  peer_instance_ = opener_->peer();
  key_id_ = owner_.own_key().id();
  session_ = opener_->session();
  link_ = Link::kProving;
  queue(RecordType::kResponse, *response);
  if (state_ == StreamState::kOpening) queue_open();
  return true;
}

bool Connection::on_response(Bytes body) {
  if (role_ != Role::kAcceptor || link_ != Link::kGreeting) return protocol_error();
  const auto id = AcceptorHandshake::key_id(body);
  if (!id) return refuse_peer(id.error(), body);
  const std::optional<Key> key = owner_.find_key(*id);
  if (!key) return refuse_peer(AuthError::kUnknownKey);
  const auto welcome = acceptor_->on_response(*key, body);
  if (!welcome) return refuse_peer(welcome.error(), body);
  session_ = acceptor_->session();
  peer_instance_ = acceptor_->peer();
  key_id_ = *id;
  acceptor_.reset();
  link_ = Link::kReady;
  proven_ = true;
  timer_.cancel();
  queue(RecordType::kWelcome, *welcome);
  owner_.on_ready(*this);
  return !dead();
}

bool Connection::on_welcome(Bytes body) {
  if (role_ != Role::kOpener || link_ != Link::kProving) return protocol_error();
  if (const auto ok = opener_->on_welcome(body); !ok) return refuse_peer(ok.error());
  opener_.reset();
  link_ = Link::kReady;
  proven_ = true;
  timer_.cancel();
  if (state_ == StreamState::kOpening) arm(owner_.answer_timeout());
  owner_.on_ready(*this);
  return !dead();
}

bool Connection::refuse_peer(AuthError error, Bytes said) {
  owner_.on_authentication_failure(*this, explain(error, said));
  news_ = StreamError::kNotAuthenticated;
  if (role_ == Role::kAcceptor) {
    const std::array<std::uint8_t, 1> reason{
        static_cast<std::uint8_t>(StreamError::kNotAuthenticated)};
    queue(RecordType::kRefuse, reason);
    link_ = Link::kResetting;
    arm(2s);
    return false;
  }
  die(StreamError::kNotAuthenticated);
  return false;
}

bool Connection::on_open_record(Bytes body) {
  if (role_ != Role::kAcceptor || link_ != Link::kReady || state_ != StreamState::kNone)
    return protocol_error();
  if (pending_.size() - head_ >= kStage) return protocol_error();  // asks, and reads no answers
  const Bytes preface = body.subspan(kMacSize);
  const Mac expected = session_.next_preface_mac(preface);
  if (!equal_constant_time(expected, body.first(kMacSize)))
    return refuse_peer(AuthError::kBadProof);
  timer_.cancel();
  state_ = StreamState::kDeciding;
  return !owner_.on_open_request(*this, preface) && !dead();
}

bool Connection::on_answer(const Record& record) {
  const bool refused = record.type == RecordType::kRefuse;
  if (role_ != Role::kOpener) return protocol_error();
  if (refused && (link_ == Link::kGreeting || link_ == Link::kProving)) {
    const StreamError reason = error_from(record.body[0]);
    if (reason == StreamError::kNotAuthenticated)
      owner_.on_authentication_failure(*this, "the peer refused our key");
    fail(reason);
    return false;
  }
  if (link_ != Link::kReady || state_ != StreamState::kOpening) return protocol_error();
  timer_.cancel();
  StreamHandler* handler = handler_;
  if (!refused) {
    state_ = StreamState::kOpen;
    read_armed_ = true;
    owner_.counters_mutable().opened.add();
    handler->on_open();
    return !dead();
  }
  state_ = StreamState::kNone;
  asked_.reset();
  handler_ = nullptr;
  std::exchange(stream_, nullptr)->detach();
  owner_.counters_mutable().refused.add();
  owner_.on_free(*this);
  handler->on_refused(error_from(record.body[0]));
  return !dead();
}

bool Connection::on_reset_record(StreamError reason) {
  if (link_ != Link::kReady) return protocol_error();  // nobody has proved anything yet
  if (state_ == StreamState::kOpen && stream_ != nullptr && (lost_ || !inbox_.empty())) {
    stop_sending(reason);
    return false;
  }
  if (state_ != StreamState::kNone) news_ = reason;
  die(std::nullopt);
  return false;
}

// --- the stream's life ---

std::unique_ptr<Stream> Connection::open(Bytes preface, StreamHandler& handler) {
  assert(role_ == Role::kOpener && state_ == StreamState::kNone && !dead());
  auto stream = std::make_unique<PeerStream>(*this);
  stream_ = stream.get();
  handler_ = &handler;
  state_ = StreamState::kOpening;
  preface_.assign(preface.begin(), preface.end());
  if (link_ == Link::kReady) {
    arm(owner_.answer_timeout());
    queue_open();
  } else if (link_ == Link::kProving) {
    queue_open();
  }
  return stream;
}

void Connection::queue_open() {
  std::vector<std::uint8_t> body(kMacSize + preface_.size());
  const Mac mac = session_.next_preface_mac(preface_);
  std::copy(mac.begin(), mac.end(), body.begin());
  std::copy(preface_.begin(), preface_.end(), body.begin() + kMacSize);
  preface_.clear();
  preface_.shrink_to_fit();
  queue(RecordType::kOpen, body);
}

std::unique_ptr<IncomingStream> Connection::take_request(Bytes preface) {
  assert(state_ == StreamState::kDeciding && request_ == nullptr);
  auto request = std::make_unique<PendingStream>(*this, preface);
  request_ = request.get();
  return request;
}

std::unique_ptr<Stream> Connection::accept(StreamHandler& handler) {
  request_ = nullptr;
  auto stream = std::make_unique<PeerStream>(*this);
  stream_ = stream.get();
  handler_ = &handler;
  read_armed_ = true;
  owner_.counters_mutable().accepted.add();
  if (dead() || link_ != Link::kReady) {  // it broke in this very turn: told in the deferred turn
    state_ = StreamState::kOpen;
    return stream;
  }
  state_ = StreamState::kOpen;
  queue(RecordType::kAccept);
  return stream;
}

void Connection::refuse(StreamError reason) {
  request_ = nullptr;
  if (link_ != Link::kReady) return;
  state_ = StreamState::kNone;
  const std::array<std::uint8_t, 1> body{static_cast<std::uint8_t>(reason)};
  asked_.reset();
  owner_.counters_mutable().refused.add();
  queue(RecordType::kRefuse, body);
  owner_.on_free(*this);
}

Connection::Moved Connection::move_out(Bytes preface) {
  Moved moved;
  moved.from = channel_->peer_address();
  moved.session = session_;
  moved.key_id = key_id_;
  moved.peer_instance = peer_instance_;
  moved.unsent.assign(pending_.begin() + static_cast<std::ptrdiff_t>(head_), pending_.end());
  moved.preface.assign(preface.begin(), preface.end());
  moved.pipe = channel_->release();
  state_ = StreamState::kNone;
  die(std::nullopt);
  return moved;
}

void Connection::shutdown() {
  if (link_ != Link::kReady || state_ != StreamState::kOpen || fin_sent_ || lost_) return;
  fin_sent_ = true;
  write_armed_ = false;
  queue(RecordType::kFin);
}

void Connection::abort(StreamError reason) {
  stream_ = nullptr;
  handler_ = nullptr;
  news_.reset();
  if (dead() || link_ == Link::kResetting) return;
  owner_.counters_mutable().reset.add();
  if (link_ == Link::kConnecting || link_ == Link::kGreeting || lost_) {
    die(lost_);
    return;
  }
  const std::array<std::uint8_t, 1> body{static_cast<std::uint8_t>(reason)};
  queue(RecordType::kReset, body);
  link_ = Link::kResetting;
  arm(std::min<Duration>(owner_.linger(), 5s));
}

void Connection::release_stream() {
  if (fin_sent_ && at_end() && !lost_) {
    stream_ = nullptr;
    handler_ = nullptr;
    if (dead()) return;
    linger_ends_ = owner_.reactor().now() + kMaxLinger;
    heard_ = true;
    static_cast<void>(linger_on());
    return;
  }
  abort(StreamError::kReset);
}

// What was acknowledged to the one end is still on its way to the other, which may read slowly: as
// long as it moves, or the peer at least answers, it is waited for.
bool Connection::linger_on() {
  const std::size_t left = unsent();
  const bool moves = left < lingering_ || std::exchange(heard_, false);
  lingering_ = left;
  if (!moves || owner_.reactor().now() >= linger_ends_) return false;
  if (left == 0) queue(RecordType::kPing);
  arm(owner_.linger());
  return true;
}

void Connection::check_finished() {
  if (link_ != Link::kReady || state_ != StreamState::kOpen || lost_) return;
  if (!fin_sent_ || !fin_ended_ || !at_end()) return;
  if (stream_ != nullptr) std::exchange(stream_, nullptr)->finish();
  handler_ = nullptr;
  state_ = StreamState::kNone;
  fin_sent_ = fin_ended_ = fin_received_ = end_sent_ = false;
  asked_.reset();
  read_armed_ = write_armed_ = false;
  timer_.cancel();
  owner_.on_free(*this);  // gives the window back
  written_ = consumed_ = 0;
  allowed_ = granted_ = window_ = kFirstWindow;
  emptied_ = false;
}

Duration Connection::round_trip() const noexcept {
  return channel_ ? channel_->round_trip() : Duration::zero();
}

std::size_t Connection::unsent() const noexcept {
  return pending_.size() - head_ + (channel_ ? channel_->unsent() : 0);
}

}  // namespace vtl::transport
