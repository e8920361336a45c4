#include "vtl/transport/socks_stream.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

namespace vtl::transport {
namespace {

constexpr Duration kLook = 15s;
// transport.h: who reads less in a minute after the break is told without the rest.
constexpr Duration kLostPatience = 60s;
constexpr std::size_t kLostProgress = 4096;

StreamError reason_of(int error) {
  return error == ECONNRESET || error == EPIPE || error == ENOTCONN ? StreamError::kReset
                                                                    : StreamError::kPeerDown;
}

}  // namespace

SocksStream::SocksStream(SocksState& state, SocksUser* user, StreamHandler& handler)
    : SocksConnection(state, user), handler_(handler) {}

SocksStream::~SocksStream() {
  if (end_ && shut_ && !over_) close(true);
}

void SocksStream::open(const Destination& destination, std::string_view isolation) {
  if (!can_be_asked_for(destination.host))
    return fail_soon(Failure::kRefused, StreamError::kHostUnreachable);
  dial({SocksCommand::kConnect, destination.host, destination.port,
        state().credentials_for(isolation)},
       true, state().options().sends_all_at_once());
}

// --- before the proxy's answer ---

void SocksStream::on_sent() {
  if (!state().options().optimistic) return;
  open_ = true;
  handler_.on_open();
}

void SocksStream::on_answer(const SocksHandshake& handshake) {
  (void)handshake;  // where the proxy's connection begins matters to nobody
  state().counters().opened.add();
  granted_ = true;
  drained_ = true;  // an event tells otherwise
  rest();
  if (std::exchange(open_, true)) return;
  handler_.on_open();
}

void SocksStream::on_failure(Failure failure, StreamError reason) {
  switch (failure) {
    case Failure::kRefused:
      state().counters().refused.add();
      break;
    case Failure::kSilent:
      state().counters().timed_out.add();
      break;
    case Failure::kLimited:
      state().counters().limited.add();
      break;
    case Failure::kBroken:
      break;
  }
  over_ = true;
  if (open_)
    handler_.on_reset(reason);
  else
    handler_.on_refused(reason);
}

// --- the stream ---

std::size_t SocksStream::write(Bytes bytes) {
  if (!open_ || shut_ || over_ || lost_ || bytes.empty()) return 0;
  for (;;) {
    const ssize_t n = ::send(fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno != EAGAIN && errno != ENOBUFS && errno != ENOMEM) {
      // Before the answer, a refusal may lie there to be read.
      if (granted_) lose(reason_of(errno));
      return 0;
    }
    const std::size_t taken = n > 0 ? static_cast<std::size_t>(n) : 0;
    state().counters().bytes_out.add(taken);
    if (taken < bytes.size()) {
      blocked_ = true;
      want(Readiness::kWritable);
    }
    return taken;
  }
}

std::size_t SocksStream::read(MutableBytes out) {
  if (!reads() || out.empty()) return 0;
  if (drained_ && !lost_) return read_nothing();
  for (;;) {
    const ssize_t n = ::recv(fd(), out.data(), out.size(), 0);
    if (n > 0) {
      const auto size = static_cast<std::size_t>(n);
      drained_ = size < out.size();
      read_since_ += size;
      if (shut_) heard_ = state().reactor().now();
      state().counters().bytes_in.add(size);
      return size;
    }
    if (n < 0 && errno == EINTR) continue;
    // A broken connection, once told of it, ends like one that was closed.
    if (n == 0 && !lost_ && !late_) {
      end_of_input();
      return 0;
    }
    drained_ = true;
    if (n == 0) lose(StreamError::kTimedOut);
    if (n < 0 && errno != EAGAIN) lose(reason_of(errno));
    return read_nothing();
  }
}

std::size_t SocksStream::read_nothing() {
  told_ = false;
  if (lost_)
    arm(Duration::zero());
  else
    want(Readiness::kReadable);
  return 0;
}

void SocksStream::end_of_input() {
  end_ = true;
  told_ = false;
  if (withheld_) return pass_end();
  stand_still(Readiness::kReadable);
}

void SocksStream::shutdown() {
  if (!open_ || over_ || shut_ || lost_) return;
  shut_ = true;
  blocked_ = false;
  if (end_ || state().options().end_waits_for() == Duration::zero()) return pass_end();
  withheld_ = true;
  heard_ = state().reactor().now();
  if (granted_) rest();
}

/// Tells the proxy that our direction has ended.
void SocksStream::pass_end() {
  withheld_ = false;
  if (::shutdown(fd(), SHUT_WR) != 0 && granted_) return lose(reason_of(errno));
  if (end_) {
    unwatch();
    disarm();
  }
}

void SocksStream::abort(StreamError reason) {
  (void)reason;  // TCP has one
  over_ = true;
  close(false);
}

// What was told in vain is waited for no more. With nothing else to wait for, the connection is
// looked at now and then.
void SocksStream::stand_still(Readiness told_in_vain) {
  if (end_ && shut_) {
    unwatch();
    disarm();
    return;
  }
  want_no_more(told_in_vain);
  if (granted_ && !armed()) rest();
}

/// Arms the timer for what is to be looked at, if anything is.
void SocksStream::rest() {
  if (withheld_ || late_) {
    const Time silent = heard_ + state().options().end_waits_for();
    arm(std::clamp(silent - state().reactor().now(), Duration::zero(), kLook));
  } else if (wanted() == Readiness::kNone) {
    arm(kLook);
  }
}

/// The connection is broken. What had arrived may still be read; the timer tells.
void SocksStream::lose(StreamError reason) {
  if (lost_) return;
  lost_ = reason;
  blocked_ = false;
  unwatch();
  arm(Duration::zero());
}

/// After an event that nobody had asked for.
void SocksStream::note_error() {
  int error = 0;
  socklen_t size = sizeof error;
  if (::getsockopt(fd(), SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error != 0)
    lose(reason_of(error));
}

bool SocksStream::nothing_left() const {
  std::uint8_t octet = 0;
  return end_ || ::recv(fd(), &octet, 1, MSG_PEEK) <= 0;
}

void SocksStream::on_ready(Readiness ready, const bool& gone) {
  if (without(ready, wanted()) != Readiness::kNone) note_error();
  if (lost_) return;
  if (has(ready, Readiness::kReadable)) {
    drained_ = false;
    if (told_ || end_) {
      stand_still(Readiness::kReadable);
    } else {
      told_ = true;
      handler_.on_readable();
      if (gone || over_ || lost_) return;
    }
  }
  if (has(ready, Readiness::kWritable)) {
    if (!std::exchange(blocked_, false))
      stand_still(Readiness::kWritable);
    else
      handler_.on_writable();
  }
}

void SocksStream::on_timer(const bool& gone) {
  (void)gone;
  if (lost_) return tell_break();
  if (wanted() == Readiness::kNone) look_for_a_break();
  if (!lost_ && (withheld_ || late_)) look_for_silence();
  if (!lost_) rest();
}

void SocksStream::look_for_a_break() {
  pollfd look{fd(), 0, 0};
  if (::poll(&look, 1, 0) > 0) note_error();
}

/// After shutdown(), while the destination has not ended.
void SocksStream::look_for_silence() {
  const Time now = state().reactor().now();
  if (now - heard_ < state().options().end_waits_for()) return;
  std::uint8_t octet = 0;
  const ssize_t n = ::recv(fd(), &octet, 1, MSG_PEEK);
  if (n < 0 && errno != EAGAIN && errno != EINTR) return lose(reason_of(errno));
  heard_ = now;
  if (n >= 0 || unsent() > 0) return;  // this waits for its reader, or that for the proxy
  if (std::exchange(late_, true)) return lose(StreamError::kTimedOut);
  pass_end();
}

void SocksStream::tell_break() {
  if (nothing_left() || (waited_ && read_since_ < kLostProgress)) return tell_reset();
  waited_ = true;
  read_since_ = 0;
  arm(kLostPatience);
  if (!std::exchange(told_, true)) handler_.on_readable();
}

Duration SocksStream::round_trip() const noexcept {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (!granted_ || over_ || ::getsockopt(fd(), IPPROTO_TCP, TCP_INFO, &info, &size) != 0)
    return Duration::zero();
  return std::chrono::microseconds(info.tcpi_rtt);
}

std::size_t SocksStream::unsent() const noexcept {
  int octets = 0;
  if (over_ || ::ioctl(fd(), SIOCOUTQ, &octets) != 0 || octets < 0) return 0;
  return static_cast<std::size_t>(octets);
}

void SocksStream::tell_reset() {
  state().counters().reset.add();
  over_ = true;
  close(false);
  handler_.on_reset(*lost_);
}

}  // namespace vtl::transport
