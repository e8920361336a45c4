#include "vtl/transport/tcp_channel.h"

#include <errno.h>
#include <fmt/format.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "vtl/base/descriptor.h"
#include "vtl/transport/socket_address.h"
#include "vtl/transport/socket_buffers.h"

namespace vtl::transport {
namespace {

constexpr std::size_t kMaxPieces = 4;

int set_int(int fd, int level, int name, int value) {
  return ::setsockopt(fd, level, name, &value, sizeof value);
}

/// False when the kernel does not have it or does not let us.
bool use_congestion_control(int fd, const Options& options) {
  return options.congestion.empty() ||
         ::setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, options.congestion.data(),
                      static_cast<socklen_t>(options.congestion.size())) == 0;
}

/// What every socket of a transport gets before it connects or listens.
Outcome<void> prepare(int fd, const Options& options) {
  set_send_buffer(fd, options.buffer);
  set_receive_buffer(fd, options.buffer);
  set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  if (!use_congestion_control(fd, options))
    return fail(
        fmt::format("peer {}: the kernel has no congestion control '{}' ({}); see "
                    "net.ipv4.tcp_available_congestion_control",
                    options.name, options.congestion, std::strerror(errno)));
  return {};
}

Outcome<Descriptor> make_socket(const wire::SocketAddress& address, const Options& options) {
  Descriptor fd(::socket(address.address.is_v6() ? AF_INET6 : AF_INET,
                         SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (fd.get() < 0)
    return fail(fmt::format("peer {}: no TCP socket: {}", options.name, std::strerror(errno)));
  if (auto ok = prepare(fd.get(), options); !ok) return std::unexpected(ok.error());
  return fd;
}

class TcpChannel final : public Channel {
 public:
  TcpChannel(Descriptor fd, Reactor& reactor, const wire::SocketAddress& peer, bool connecting)
      : fd_(std::move(fd)), peer_(peer), connecting_(connecting) {
    watch_ = reactor.watch(fd_.get(), connecting ? Readiness::kWritable : Readiness::kNone,
                           [this](Readiness ready) { on_ready(ready); });
  }

  void set_handler(ChannelHandler& handler) noexcept override { handler_ = &handler; }

  Result<std::size_t, ChannelError> write(std::span<const Bytes> pieces) override {
    std::array<iovec, kMaxPieces> vectors;
    std::size_t count = 0;
    for (const Bytes piece : pieces.first(std::min(pieces.size(), kMaxPieces)))
      vectors[count++] = {const_cast<std::uint8_t*>(piece.data()), piece.size()};
    msghdr message{};
    message.msg_iov = vectors.data();
    message.msg_iovlen = count;
    const ssize_t n = ::sendmsg(fd_.get(), &message, MSG_NOSIGNAL);
    if (n >= 0) return static_cast<std::size_t>(n);
    if (errno == EAGAIN || errno == EINTR || errno == ENOBUFS) return 0;
    return std::unexpected(ChannelError::kBroken);
  }

  Result<std::size_t, ChannelError> read(std::span<const MutableBytes> pieces) override {
    if (drained_) return 0;
    std::array<iovec, kMaxPieces> vectors;
    std::size_t count = 0;
    std::size_t room = 0;
    for (const MutableBytes piece : pieces.first(std::min(pieces.size(), kMaxPieces))) {
      vectors[count++] = {piece.data(), piece.size()};
      room += piece.size();
    }
    const ssize_t n = ::readv(fd_.get(), vectors.data(), static_cast<int>(count));
    if (n > 0) {
      drained_ = static_cast<std::size_t>(n) < room;
      return static_cast<std::size_t>(n);
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
      drained_ = errno == EAGAIN;
      return 0;
    }
    return std::unexpected(ChannelError::kBroken);
  }

  void want(Readiness interest) override {
    if (interest == Readiness::kNone) drained_ = false;
    if (connecting_ || !watch_) return;
    if (interest != interest_) watch_->set(interest);
    interest_ = interest;
  }

  void end_writing() override { ::shutdown(fd_.get(), SHUT_WR); }
  bool gathers() const noexcept override { return true; }

  Duration round_trip() const noexcept override {
    tcp_info info{};
    socklen_t size = sizeof info;
    if (::getsockopt(fd_.get(), IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return Duration::zero();
    return std::chrono::microseconds(info.tcpi_rtt);
  }

  std::size_t unsent() const noexcept override {
    int octets = 0;
    return ::ioctl(fd_.get(), SIOCOUTQ, &octets) == 0 && octets > 0
               ? static_cast<std::size_t>(octets)
               : 0;
  }

  wire::SocketAddress peer_address() const noexcept override { return peer_; }

  int release() noexcept override {
    watch_.reset();
    return fd_.release();
  }

 private:
  void on_ready(Readiness ready) {
    drained_ = false;
    if (connecting_) {
      int error = 0;
      socklen_t size = sizeof error;
      ::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
      connecting_ = false;
      watch_->set(Readiness::kNone);
      interest_ = Readiness::kNone;
      if (error != 0)
        handler_->on_channel_broken();
      else
        handler_->on_channel_connected();
      return;
    }
    if (interest_ == Readiness::kNone) {  // not asked for: the connection is in error
      watch_.reset();                     // it would be told again and again
      handler_->on_channel_broken();
      return;
    }
    handler_->on_channel_ready(ready);
  }

  Descriptor fd_;
  wire::SocketAddress peer_;
  bool connecting_;
  bool drained_ = false;  // the last read took all there was: not before the next event
  Readiness interest_ = Readiness::kNone;
  ChannelHandler* handler_ = nullptr;
  std::unique_ptr<FdWatch> watch_;
};

class TcpCarrier final : public Carrier {
 public:
  TcpCarrier(const Options& options, Reactor& reactor) : options_(options), reactor_(reactor) {}

  Outcome<std::unique_ptr<Channel>> connect() override {
    const wire::SocketAddress& remote = *options_.remote;
    auto fd = make_socket(remote, options_);
    if (!fd) return std::unexpected(fd.error());
    if (options_.local) {
      set_int(fd->get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
      const SystemAddress source({options_.local->address, wire::Port(0)});
      if (::bind(fd->get(), source.data(), source.size()) != 0)
        return fail(fmt::format("peer {}: cannot send from {}: {}", options_.name,
                                to_string(options_.local->address), std::strerror(errno)));
    }
    const SystemAddress to(remote);
    if (::connect(fd->get(), to.data(), to.size()) != 0 && errno != EINPROGRESS)
      return fail(fmt::format("peer {}: cannot reach {}: {}", options_.name, to_string(remote),
                              std::strerror(errno)));
    insist_on_congestion_control(fd->get());
    return std::make_unique<TcpChannel>(std::move(*fd), reactor_, remote, true);
  }

  std::unique_ptr<Channel> adopt(int pipe, const wire::SocketAddress& from) override {
    insist_on_congestion_control(pipe);
    return std::make_unique<TcpChannel>(Descriptor(pipe), reactor_, from, false);
  }

 private:
  // A route with a congestion control of its own (`ip route ... congctl`) gives it to a socket that
  // connects or is accepted, over what the socket had. A locked one stays: the operator's word.
  void insist_on_congestion_control(int fd) const { (void)use_congestion_control(fd, options_); }

  Options options_;
  Reactor& reactor_;
};

class TcpListener final : public RawListener {
 public:
  TcpListener(Descriptor fd, Reactor& reactor, AcceptFunction on_accept)
      : fd_(std::move(fd)), on_accept_(std::move(on_accept)) {
    watch_ = reactor.watch(fd_.get(), Readiness::kReadable, [this](Readiness) { accept_some(); });
  }

  wire::SocketAddress address() const noexcept override {
    SystemAddress local;
    socklen_t size = SystemAddress::kCapacity;
    ::getsockname(fd_.get(), local.data(), &size);
    return local.value();
  }

 private:
  static constexpr int kPerTurn = 64;

  void accept_some() {
    for (int i = 0; i < kPerTurn; ++i) {
      SystemAddress from;
      socklen_t size = SystemAddress::kCapacity;
      const int pipe = ::accept4(fd_.get(), from.data(), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (pipe < 0) return;  // none left, or one that is gone already; level-triggered
      on_accept_(pipe, from.value());
    }
  }

  Descriptor fd_;
  AcceptFunction on_accept_;
  std::unique_ptr<FdWatch> watch_;
};

}  // namespace

Outcome<std::unique_ptr<Carrier>> make_tcp_carrier(const Options& options, Reactor& reactor) {
  // A congestion control that the kernel lacks is told now, not at the first stream.
  const wire::SocketAddress any{wire::Ipv4Address(), wire::Port(0)};
  if (auto probe = make_socket(options.remote.value_or(options.local.value_or(any)), options);
      !probe)
    return std::unexpected(probe.error());
  return std::make_unique<TcpCarrier>(options, reactor);
}

Outcome<std::unique_ptr<RawListener>> make_tcp_listener(const Options& options, Reactor& reactor,
                                                        AcceptFunction on_accept) {
  auto fd = make_socket(*options.local, options);
  if (!fd) return std::unexpected(fd.error());
  set_int(fd->get(), SOL_SOCKET, SO_REUSEADDR, 1);
  const SystemAddress local(*options.local);
  if (::bind(fd->get(), local.data(), local.size()) != 0 || ::listen(fd->get(), 1024) != 0)
    return fail(fmt::format("peer {}: cannot listen on {} (tcp): {}", options.name,
                            to_string(*options.local), std::strerror(errno)));
  return std::make_unique<TcpListener>(std::move(*fd), reactor, std::move(on_accept));
}

void discard_tcp(int pipe) {
  ::close(pipe);
}

}  // namespace vtl::transport
