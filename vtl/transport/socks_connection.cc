#include "vtl/transport/socks_connection.h"

#include <errno.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <utility>

#include "vtl/transport/socket_address.h"
#include "vtl/transport/socket_buffers.h"

namespace vtl::transport {
namespace {

constexpr std::size_t kMostOfAnAnswer = 512;  // the longest is shorter

void set_int(int fd, int level, int name, int value) {
  ::setsockopt(fd, level, name, &value, sizeof value);
}

bool is_loopback(const wire::IpAddress& address) {
  if (address.is_v4()) return address.v4().value() >> 24 == 127;
  return address == wire::IpAddress(*wire::Ipv6Address::parse("::1"));
}

/// A proxy's machine that vanishes is noticed by TCP's own probes.
void keep_alive(int fd) {
  set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, 60);
  set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, 15);
  set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, 8);
}

/// Errors of socket() and connect() that are a lack of ours.
bool is_lack(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM ||
         error == EADDRNOTAVAIL || error == EAGAIN;
}

std::string in_words(Duration time) {
  return fmt::format("{}", std::chrono::duration<double>(time));
}

}  // namespace

SocksConnection::SocksConnection(SocksState& state, SocksUser* user)
    : state_(state),
      user_(user),
      begun_(state.reactor().now()),
      timer_([this] { enter_timer(); }) {}

SocksConnection::~SocksConnection() {
  close(false);
  if (gone_ != nullptr) *gone_ = true;
}

std::string SocksConnection::where() const {
  return to_string(state_.options().address);
}

void SocksConnection::dial(const SocksRequest& request, bool counts, bool pipelined) {
  if (counts && !state_.enter(user_)) {
    fail_soon(Failure::kLimited, StreamError::kLimit);
    return;
  }
  counted_ = counts;
  with_credentials_ = request.credentials.has_value();
  handshake_ = std::make_unique<SocksHandshake>(request, pipelined);
  connect();
}

void SocksConnection::connect() {
  const SystemAddress to(state_.options().address);
  fd_ = Descriptor(::socket(to.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  int error = fd_.get() < 0 ? errno : 0;
  if (error == 0) {
    set_int(fd_.get(), IPPROTO_TCP, TCP_NODELAY, 1);
    set_send_buffer(fd_.get(), state_.options().socket_buffer);
    set_receive_buffer(fd_.get(), state_.options().socket_buffer);
    if (!is_loopback(state_.options().address.address)) keep_alive(fd_.get());
    if (::connect(fd_.get(), to.data(), to.size()) != 0 && errno != EINPROGRESS && errno != EINTR)
      error = errno;
  }
  if (error != 0 && is_lack(error)) {
    state_.lacking(fmt::format("no connection to {}: {}", where(), std::strerror(error)));
    fail_soon(Failure::kLimited, StreamError::kLimit);
    return;
  }
  // What is open once it is sent is not sent here: on_sent() is not called inside dial().
  if (error == 0 && !state_.options().optimistic && !flush()) error = errno;
  if (error != 0) {
    state_.unreachable(fmt::format("cannot reach {}: {}", where(), std::strerror(error)),
                       with_credentials_);
    fail_soon(Failure::kBroken, StreamError::kPeerDown);
    return;
  }
  arm(state_.options().connect_timeout);
  watch(connected_ && handshake_->to_send().empty() ? Readiness::kReadable : Readiness::kWritable);
}

void SocksConnection::watch(Readiness interest) {
  if (!watch_) {
    watch_ = state_.reactor().watch(fd_.get(), interest,
                                    [this](Readiness ready) { enter_event(ready); });
  } else if (interest != wanted_) {
    watch_->set(interest);
  }
  wanted_ = interest;
}

void SocksConnection::want(Readiness bit) {
  if (fd_.get() >= 0) watch(wanted_ | bit);
}

void SocksConnection::want_no_more(Readiness bit) {
  if (fd_.get() >= 0) watch(without(wanted_, bit));
}

void SocksConnection::unwatch() noexcept {
  watch_.reset();
  wanted_ = Readiness::kNone;
}

void SocksConnection::arm(Duration in) {
  state_.reactor().timers().arm(timer_, state_.reactor().now() + in);
}

void SocksConnection::fail_soon(Failure failure, StreamError reason) {
  close(false);
  failure_ = {failure, reason};
  arm(Duration::zero());
}

void SocksConnection::close(bool in_order) noexcept {
  timer_.cancel();
  unwatch();
  handshake_.reset();
  if (fd_.get() >= 0 && !in_order) {
    const linger reset{1, 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  }
  fd_.reset();
  if (std::exchange(counted_, false)) state_.leave(user_);
}

void SocksConnection::enter_event(Readiness ready) {
  bool gone = false;
  gone_ = &gone;
  if (handshake_) {
    proceed(ready, gone);
  } else {
    on_ready(ready, gone);
  }
  if (!gone) gone_ = nullptr;
}

void SocksConnection::enter_timer() {
  bool gone = false;
  gone_ = &gone;
  if (failure_) {
    const auto [failure, reason] = *std::exchange(failure_, std::nullopt);
    on_failure(failure, reason);
  } else if (!handshake_) {
    on_timer(gone);
  } else if (handshake_->negotiated()) {
    fail(Failure::kSilent, StreamError::kTimedOut);
  } else {
    state_.unreachable(
        fmt::format("{} {} within {}", where(),
                    connected_ ? "takes connections and does not answer" : "does not answer",
                    in_words(state_.options().connect_timeout)),
        with_credentials_);
    fail(Failure::kSilent, StreamError::kPeerDown);
  }
  if (!gone) gone_ = nullptr;
}

void SocksConnection::proceed(Readiness ready, const bool& gone) {
  // What breaks after the proxy may have answered is told by reading.
  if (!flush() && !connected_) return break_off(errno);
  if (!connected_) return;
  if (has(ready, Readiness::kReadable)) {
    read_answers(gone);
    if (gone || fd_.get() < 0) return;
  }
  if (handshake_ && !told_sent_) {
    const bool rest = !handshake_->to_send().empty();
    watch(rest ? Readiness::kBoth : Readiness::kReadable);
    if (!handshake_->all_sent()) return;
    told_sent_ = true;
    return on_sent();
  }
  if (handshake_ && has(ready, Readiness::kWritable) && has(wanted_, Readiness::kWritable))
    on_ready(Readiness::kWritable, gone);
}

/// Sends what may be sent now. False, and errno, when the connection is broken.
bool SocksConnection::flush() {
  for (Bytes bytes = handshake_->to_send(); !bytes.empty(); bytes = handshake_->to_send()) {
    const ssize_t n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n >= 0) {
      connected_ = true;
      handshake_->sent(static_cast<std::size_t>(n));
    } else if (errno != EINTR) {
      return errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM;
    }
  }
  return true;
}

void SocksConnection::read_answers(const bool& gone) {
  std::array<std::uint8_t, kMostOfAnAnswer> answer;
  while (!gone && handshake_) {
    const std::size_t room = std::min(handshake_->missing(), answer.size());
    const ssize_t n = ::recv(fd_.get(), answer.data(), room, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) return break_off(n < 0 ? errno : 0);
    const auto size = static_cast<std::size_t>(n);
    take(Bytes(answer).first(size), gone);
    if (size < room) return;
  }
}

void SocksConnection::take(Bytes bytes, const bool& gone) {
  const bool before = handshake_->negotiated();
  (void)handshake_->receive(bytes);
  if (!before && handshake_->negotiated()) {
    arm(begun_ + state_.options().answer_timeout - state_.reactor().now());
    state_.reached();
    if (gone) return;
    on_negotiated();
    if (gone || !handshake_) return;
  }
  switch (handshake_->state()) {
    case SocksHandshake::State::kUnderWay:
      (void)flush();  // a break is told by reading
      return;
    case SocksHandshake::State::kFailed:
      return refuse();
    case SocksHandshake::State::kDone:
      const auto handshake = std::move(handshake_);
      disarm();
      return on_answer(*handshake);
  }
}

/// The proxy has refused, or is none.
// Who does not want to keep streams apart meets this first.
std::string_view SocksConnection::hint(SocksFailure failure) const noexcept {
  const bool ours = with_credentials_ && !state_.options().credentials;
  if (failure == SocksFailure::kNoMethod && ours) {
    return " than the user and password by which streams are kept apart (isolation: none does "
           "without)";
  }
  return "";
}

void SocksConnection::refuse() {
  const SocksFailure failure = handshake_->failure();
  if (failure == SocksFailure::kNotSocks) state_.counters().protocol_errors.add();
  if (!handshake_->negotiated())
    state_.unreachable(fmt::format("{}: {}{}", where(), to_string(failure), hint(failure)),
                       with_credentials_);
  fail(failure == SocksFailure::kNotSocks ? Failure::kBroken : Failure::kRefused,
       to_stream_error(failure));
}

/// Before the last answer; `error`: 0 when the proxy closed the connection.
void SocksConnection::break_off(int error) {
  if (!connected_) {
    state_.unreachable(fmt::format("cannot reach {}: {}", where(), std::strerror(error)),
                       with_credentials_);
  } else if (!handshake_->negotiated()) {
    state_.unreachable(fmt::format("{} ends connections before it answers: {}", where(),
                                   error == 0 ? "closed" : std::strerror(error)),
                       with_credentials_);
  }
  fail(Failure::kBroken, StreamError::kPeerDown);
}

void SocksConnection::fail(Failure failure, StreamError reason) {
  close(false);
  on_failure(failure, reason);
}

}  // namespace vtl::transport
