#include "vtl/transport/tor_control.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cstring>
#include <utility>

#include "vtl/base/log.h"
#include "vtl/base/secure_random.h"
#include "vtl/transport/socket_address.h"

namespace vtl::transport {
namespace {

// The path may be what a stranger at the control port says: nothing but a regular file is opened.
Outcome<TorControlSession::Cookie> read_cookie(const std::string& path) {
  struct stat file{};
  TorControlSession::Cookie cookie{};
  const auto cannot = [&](std::string_view why) {
    return fail(fmt::format("cannot read Tor's cookie {}: {}", printable(path, 200), why));
  };
  const auto failed = [&] {
    return cannot(errno == EACCES ? "permission denied; let VTL's user be in the file's group "
                                    "(CookieAuthFileGroupReadable), or give it a password"
                                  : std::strerror(errno));
  };
  if (::stat(path.c_str(), &file) != 0) return failed();
  if (!S_ISREG(file.st_mode) || file.st_size != static_cast<off_t>(cookie.size()))
    return cannot("that is no file of 32 octets");
  const Descriptor fd(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (fd.get() < 0) return failed();
  if (::read(fd.get(), cookie.data(), cookie.size()) != static_cast<ssize_t>(cookie.size()))
    return cannot("it is cut short");
  return cookie;
}

TorControlSession::Nonce fresh_nonce() {
  TorControlSession::Nonce nonce;
  vtl::fill_random(nonce);
  return nonce;
}

}  // namespace

TorControl::TorControl(const TorControlOptions& options, std::string name, Reactor& reactor)
    : options_(options), name_(std::move(name)), reactor_(reactor), timer_([this] { on_timer(); }) {
  status_.error = "not asked yet";
  arm(Duration::zero());
}

TorControl::~TorControl() = default;

void TorControl::arm(Duration in) {
  reactor_.timers().arm(timer_, reactor_.now() + in);
}

void TorControl::connect() {
  const SystemAddress to(options_.address);
  connected_ = false;
  fd_ = Descriptor(::socket(to.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (fd_.get() < 0) return fail(std::strerror(errno));
  if (::connect(fd_.get(), to.data(), to.size()) != 0 && errno != EINPROGRESS)
    return fail(std::strerror(errno));
  session_.emplace(options_, fresh_nonce(), read_cookie);
  output_ = session_->take_output();
  interest_ = Readiness::kWritable;
  watch_ = reactor_.watch(fd_.get(), interest_, [this](Readiness ready) { on_ready(ready); });
  arm(options_.timeout);
}

void TorControl::on_timer() {
  if (!session_) return connect();
  if (!session_->idle())
    return fail(fmt::format(
        "no answer within {} ms",
        std::chrono::duration_cast<std::chrono::milliseconds>(options_.timeout).count()));
  session_->ask();
  output_ += session_->take_output();
  arm(options_.timeout);
  send_some();
}

void TorControl::on_ready(Readiness ready) {
  const auto bits = static_cast<std::uint8_t>(ready);
  if (!output_.empty() && (bits & static_cast<std::uint8_t>(Readiness::kWritable)) != 0)
    send_some();
  if (session_ && connected_ && (bits & static_cast<std::uint8_t>(Readiness::kReadable)) != 0)
    receive_some();
}

void TorControl::send_some() {
  while (!output_.empty()) {
    const ssize_t n = ::send(fd_.get(), output_.data(), output_.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) break;
    if (n < 0) return fail(std::strerror(errno));
    connected_ = true;
    output_.erase(0, static_cast<std::size_t>(n));
  }
  set_interest();
}

void TorControl::set_interest() {
  const Readiness interest = output_.empty() ? Readiness::kReadable
                             : connected_    ? Readiness::kBoth
                                             : Readiness::kWritable;
  if (interest != interest_) watch_->set(interest);
  interest_ = interest;
}

void TorControl::receive_some() {
  std::array<std::uint8_t, kPerTurn> octets;
  const ssize_t n = ::recv(fd_.get(), octets.data(), octets.size(), 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) return fail(n < 0 ? std::strerror(errno) : "it closed the connection");
  const bool was_idle = session_->idle();
  if (!session_->receive(Bytes(octets).first(static_cast<std::size_t>(n))))
    return fail(session_->error());
  output_ += session_->take_output();
  if (!was_idle && session_->idle()) answered();
  send_some();
}

void TorControl::answered() {
  status_ = session_->status();
  if (std::exchange(told_, false)) log::info("proxy {}: its control port answers again", name_);
  arm(options_.poll);
}

void TorControl::fail(std::string why) {
  status_ = TorStatus();
  status_.error = fmt::format("control port {}: {}", to_string(options_.address), why);
  if (!std::exchange(told_, true))
    log::warn("proxy {}: {}; tried again until it answers", name_, status_.error);
  watch_.reset();
  fd_.reset();
  session_.reset();
  output_.clear();
  arm(options_.poll);
}

}  // namespace vtl::transport
