// Theory of operation. fd() is an epoll descriptor that stands for whatever is waited for: the
// listening socket, a connection attempt, the retry timer, or the machine's connection; and for
// `more_`, an event descriptor that is readable exactly while a whole frame is buffered. It is
// readable when any of them is. read() looks at all of it: it accepts, completes, retries, and then
// takes frames off the connection.
//
// States: kIdle (listening, or waiting for the retry timer), kConnecting, kConnected. When the
// machine has gone (`ended_`) the whole frames that it sent are delivered before kConnected is
// left, which forgets what was half-read and half-sent: the next machine begins at a frame's start.
#include "vtl/iface/qemu.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "vtl/iface/backend.h"
#include "vtl/iface/device.h"
#include "vtl/iface/stream_address.h"

namespace vtl::iface {
namespace {

constexpr std::size_t kLengthSize = 4;
constexpr std::size_t kReadAhead = 256 * 1024;
constexpr std::size_t kMinFrame = 14;
constexpr std::size_t kLinkLayer = 14 + 8;  // Ethernet and two tags
static_assert(kReadAhead > kLengthSize + kMaxFrame);

enum class State : std::uint8_t { kIdle, kConnecting, kConnected };

class Qemu final : public Backend {
 public:
  Qemu(const QemuOptions& options, StreamAddress address, OwnedFd epoll, OwnedFd waiter,
       OwnedFd more)
      : Backend(options.name.empty() ? options.address : options.name),
        options_(options),
        address_(std::move(address)),
        epoll_(std::move(epoll)),
        waiter_(std::move(waiter)),
        more_(std::move(more)),
        in_(kReadAhead) {
    watch(EPOLL_CTL_ADD, waiter_.get(), EPOLLIN);
    watch(EPOLL_CTL_ADD, more_.get(), EPOLLIN);
    if (!options_.listen) connect();
  }
  ~Qemu() override {
    if (options_.listen && !address_.path.empty()) ::unlink(address_.path.c_str());
  }

  [[nodiscard]] int fd() const noexcept override { return epoll_.get(); }
  [[nodiscard]] wire::MacAddress mac() const noexcept override { return {}; }
  [[nodiscard]] bool is_up() const noexcept override { return state_ == State::kConnected; }
  [[nodiscard]] Capabilities capabilities() const noexcept override {
    return {.mtu = options_.mtu};
  }

  [[nodiscard]] ReadStatus read(PacketPool& pool, Time now, Batch& batch) override {
    if (state_ == State::kIdle) look_at_waiter();
    if (state_ == State::kConnecting) look_at_attempt();
    if (state_ != State::kConnected) return ReadStatus::kOk;
    if (!ended_) receive();
    const bool full = take_frames(pool, now, batch);
    const bool more = frame_is_buffered();
    if (ended_ && !more) disconnect();
    tell_more(more);
    return full || more ? ReadStatus::kMore : ReadStatus::kOk;
  }

 private:
  [[nodiscard]] Carries carries() const noexcept override { return {}; }

  void watch(int operation, int fd, std::uint32_t events) {
    epoll_event event{.events = events, .data = {.fd = fd}};
    ::epoll_ctl(epoll_.get(), operation, fd, &event);
  }

  // The listening socket or the retry timer.
  void look_at_waiter() {
    if (options_.listen) {
      OwnedFd next(::accept4(waiter_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (next) use(std::move(next));
      return;
    }
    std::uint64_t expired = 0;
    if (::read(waiter_.get(), &expired, sizeof expired) > 0) connect();
  }

  void connect() {
    connection_ =
        OwnedFd(::socket(address_.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!connection_) return try_later();
    if (::connect(connection_.get(), address_.get(), address_.size) == 0) {
      use(std::move(connection_));
    } else if (errno == EINPROGRESS) {
      state_ = State::kConnecting;
      watch(EPOLL_CTL_ADD, connection_.get(), EPOLLOUT);
    } else {
      connection_.close();
      try_later();
    }
  }

  void look_at_attempt() {
    epoll_event event{};
    const bool told = ::epoll_wait(epoll_.get(), &event, 1, 0) == 1;
    if (!told || event.data.fd != connection_.get()) return;
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(connection_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    watch(EPOLL_CTL_DEL, connection_.get(), 0);
    if (error == 0) {
      use(std::move(connection_));
      return;
    }
    connection_.close();
    state_ = State::kIdle;
    try_later();
  }

  void try_later() {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(options_.retry);
    const itimerspec when{
        .it_interval = {},
        .it_value = {.tv_sec = seconds.count(), .tv_nsec = (options_.retry - seconds).count()}};
    ::timerfd_settime(waiter_.get(), 0, &when, nullptr);
  }

  void use(OwnedFd connection) {
    connection_ = std::move(connection);
    if (address_.path.empty()) {
      const int one = 1;
      ::setsockopt(connection_.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    // Others that call wait in the listening socket's queue.
    if (options_.listen) watch(EPOLL_CTL_MOD, waiter_.get(), 0);
    watch(EPOLL_CTL_ADD, connection_.get(), EPOLLIN | EPOLLRDHUP);
    state_ = State::kConnected;
  }

  void disconnect() {
    connection_.close();
    ended_ = false;
    in_size_ = 0;
    unsent_.clear();
    state_ = State::kIdle;
    if (options_.listen) {
      watch(EPOLL_CTL_MOD, waiter_.get(), EPOLLIN);
    } else {
      try_later();
    }
  }

  void receive() {
    if (in_size_ == in_.size()) return;
    const ssize_t got =
        ::recv(connection_.get(), in_.data() + in_size_, in_.size() - in_size_, MSG_DONTWAIT);
    ended_ = got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
    if (got > 0) in_size_ += static_cast<std::size_t>(got);
  }

  // Whether take_frames() would take something: a lying length counts.
  [[nodiscard]] bool frame_is_buffered() const {
    if (in_size_ < kLengthSize) return false;
    const std::size_t length = load_be32(in_, 0);
    return !is_possible(length) || in_size_ - kLengthSize >= length;
  }
  [[nodiscard]] static bool is_possible(std::size_t length) {
    return length >= kMinFrame && length <= kMaxFrame;
  }

  void tell_more(bool more) {
    if (more == told_more_) return;
    told_more_ = more;
    std::uint64_t count = 1;
    // Neither can fail: the counter is 0 before the one and 1 before the other.
    [[maybe_unused]] const auto ignored = more ? ::write(more_.get(), &count, sizeof count)
                                               : ::read(more_.get(), &count, sizeof count);
  }

  // Delivers whole frames, at most kMaxBatch; true when these were as many.
  bool take_frames(PacketPool& pool, Time now, Batch& batch) {
    const Bytes bytes = Bytes(in_).first(in_size_);
    std::size_t at = 0;
    std::size_t count = 0;
    for (; count < kMaxBatch && in_size_ - at >= kLengthSize; ++count) {
      const std::size_t length = load_be32(bytes, at);
      if (!is_possible(length)) {
        counters_.drops.add(DropReason::kRxError);
        disconnect();
        return false;
      }
      if (in_size_ - at - kLengthSize < length) break;
      Packet packet = pool.copy_of(bytes.subspan(at + kLengthSize, length));
      at += kLengthSize + length;
      if (!packet) {
        counters_.drops.add(DropReason::kNoPacketBuffer);
        continue;
      }
      packet.meta().arrival = now;
      received(packet);
      batch.push_back(std::move(packet));
    }
    in_size_ -= at;
    std::memmove(in_.data(), in_.data() + at, in_size_);
    return count == kMaxBatch;
  }

  [[nodiscard]] bool finish_frame() override {
    while (!unsent_.empty()) {
      const ssize_t gone =
          ::send(connection_.get(), unsent_.data(), unsent_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (gone < 0 && no_room_now()) return false;
      if (gone < 0) {  // the machine is gone: read() tells
        unsent_.clear();
        return true;
      }
      unsent_.erase(unsent_.begin(), unsent_.begin() + gone);
    }
    return true;
  }

  static bool no_room_now() { return errno == EAGAIN || errno == ENOBUFS || errno == EINTR; }

  [[nodiscard]] std::size_t send_some(std::span<Packet> frames) override {
    const std::size_t longest = options_.mtu + kLinkLayer;
    std::size_t done = 0;
    while (done < frames.size()) {
      Packet& first = frames[done];
      if (!first) {  // finish_frame() has sent its rest
        ++done;
        continue;
      }
      if (state_ != State::kConnected || first.size() > longest) {
        dropped(first,
                first.size() > longest ? DropReason::kTxTooLarge : DropReason::kInterfaceDown);
        ++done;
        continue;
      }
      std::size_t end = done + 1;
      while (end < frames.size() && end - done < kMaxBatch && frames[end].size() <= longest) ++end;
      const std::size_t gone = send_run(frames.subspan(done, end - done));
      done += gone;
      if (gone == 0 || !unsent_.empty()) return done;
    }
    return done;
  }

  // One system call for up to kMaxBatch frames, none of them empty. Of a frame that went in part
  // the rest is kept: it is counted and left empty, but it is not among those that are done.
  std::size_t send_run(std::span<Packet> frames) {
    std::array<std::array<std::uint8_t, kLengthSize>, kMaxBatch> lengths;
    std::array<iovec, 2 * kMaxBatch> pieces;
    for (std::size_t i = 0; i < frames.size(); ++i) {
      const std::size_t size = frames[i].size();
      store_be32(lengths[i], 0, static_cast<std::uint32_t>(size));
      pieces[2 * i] = {lengths[i].data(), kLengthSize};
      pieces[2 * i + 1] = {frames[i].mutable_bytes().data(), size};
    }
    msghdr message{};
    message.msg_iov = pieces.data();
    message.msg_iovlen = 2 * frames.size();
    const ssize_t gone = ::sendmsg(connection_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (gone < 0 && no_room_now()) return 0;
    if (gone < 0) {  // the machine is gone: read() tells, the frames are lost
      for (Packet& frame : frames) dropped(frame, DropReason::kInterfaceDown);
      return frames.size();
    }
    std::size_t left = static_cast<std::size_t>(gone);
    std::size_t done = 0;
    while (left > 0) {
      Packet& frame = frames[done];
      const std::size_t whole = kLengthSize + frame.size();
      if (left < whole) {
        keep_rest(lengths[done], frame.bytes(), left);
        sent(frame);
        break;
      }
      left -= whole;
      sent(frame);
      ++done;
    }
    return done;
  }

  void keep_rest(Bytes length, Bytes frame, std::size_t gone) {
    for (const Bytes part : {length, frame}) {
      const std::size_t skip = std::min(gone, part.size());
      unsent_.insert(unsent_.end(), part.begin() + static_cast<std::ptrdiff_t>(skip), part.end());
      gone -= skip;
    }
  }

  QemuOptions options_;
  StreamAddress address_;
  OwnedFd epoll_;
  OwnedFd waiter_;  // the listening socket, or the timer of the next attempt
  OwnedFd more_;    // readable while a whole frame is in in_
  OwnedFd connection_;
  State state_ = State::kIdle;
  bool ended_ = false;  // the machine sends no more; what it sent is still being delivered
  bool told_more_ = false;
  std::vector<std::uint8_t> in_;
  std::size_t in_size_ = 0;
  std::vector<std::uint8_t> unsent_;
};

std::unexpected<Error> qemu_failed(const QemuOptions& options, const char* what) {
  return fail(fmt::format("qemu {}: {}: {}", options.address, what, std::strerror(errno)));
}

// Makes the folder of the socket and removes what a program that is gone left there; a socket that
// answers is left alone.
Outcome<void> prepare_path(const QemuOptions& options, const StreamAddress& address) {
  const auto folder = std::filesystem::path(address.path).parent_path();
  if (!folder.empty()) ::mkdir(folder.c_str(), S_IRWXU | S_IRGRP | S_IXGRP | S_IROTH | S_IXOTH);
  struct stat status{};
  if (::lstat(address.path.c_str(), &status) != 0) return {};
  if (!S_ISSOCK(status.st_mode)) {
    return fail(fmt::format("qemu {}: a file that is no socket stands there; choose another path",
                            options.address));
  }
  const OwnedFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (::connect(probe.get(), address.get(), address.size) != 0 && errno == ECONNREFUSED) {
    ::unlink(address.path.c_str());
  }
  return {};
}

Outcome<OwnedFd> open_listener(const QemuOptions& options, const StreamAddress& address) {
  OwnedFd fd(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return qemu_failed(options, "socket");
  if (address.path.empty()) {
    const int one = 1;
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  } else if (auto prepared = prepare_path(options, address); !prepared) {
    return std::unexpected(prepared.error());
  }
  if (::bind(fd.get(), address.get(), address.size) != 0) {
    if (errno == EADDRINUSE) {
      return fail(fmt::format("qemu {}: in use by another program; choose another address",
                              options.address));
    }
    return qemu_failed(options, "cannot listen");
  }
  if (::listen(fd.get(), 1) != 0) return qemu_failed(options, "cannot listen");
  return fd;
}

}  // namespace

Outcome<std::unique_ptr<Interface>> open_qemu(const QemuOptions& options) {
  auto address = parse_stream_address(options.address);
  if (!address) return fail("qemu: " + address.error().message);
  if (options.retry <= Duration::zero()) {
    return fail(fmt::format("qemu {}: retry must be longer than 0", options.address));
  }
  OwnedFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return qemu_failed(options, "epoll");
  OwnedFd waiter;
  if (options.listen) {
    auto listener = open_listener(options, *address);
    if (!listener) return std::unexpected(listener.error());
    waiter = std::move(*listener);
  } else {
    waiter = OwnedFd(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
    if (!waiter) return qemu_failed(options, "timer");
  }
  OwnedFd more(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!more) return qemu_failed(options, "eventfd");
  return std::make_unique<Qemu>(options, std::move(*address), std::move(epoll), std::move(waiter),
                                std::move(more));
}

}  // namespace vtl::iface
