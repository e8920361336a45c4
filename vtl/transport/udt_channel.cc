#include "vtl/transport/udt_channel.h"

#include <errno.h>
#include <fmt/format.h>
#include <sys/timerfd.h>
#include <udt/udt.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "vtl/transport/socket_address.h"
#include "vtl/transport/udt_library.h"

namespace vtl::transport {
namespace {

constexpr std::size_t kUdtHeaders = 28 + 16;  // IPv4 and UDP as libudt counts them, and its own
constexpr std::uint64_t kBurst = 16;          // packets: libudt's first window
constexpr std::uint64_t kMaxBurst = 512;      // packets
constexpr Duration kConnectTime = 2s;         // libudt gives up after 3 s: udt_ending.h
constexpr Duration kTick = 1ms;
constexpr int kIdleTicks = 10;      // an idle channel is asked every so many ticks
constexpr Duration kActive = 50ms;  // a channel without news for this long is idle

bool contains(Readiness set, Readiness bit) {
  return (static_cast<std::uint8_t>(set) & static_cast<std::uint8_t>(bit)) != 0;
}

class UdtChannel;

/// Asks the channels of a carrier for their state.
class Poller {
 public:
  explicit Poller(Reactor& reactor)
      : reactor_(reactor), fd_(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)) {
    if (fd_ >= 0) watch_ = reactor.watch(fd_, Readiness::kReadable, [this](Readiness) { tick(); });
  }
  ~Poller() {
    watch_.reset();
    if (fd_ >= 0) ::close(fd_);
  }
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  [[nodiscard]] bool works() const noexcept { return fd_ >= 0; }
  [[nodiscard]] Time now() const noexcept { return reactor_.now(); }
  void add(UdtChannel& channel) {
    channels_.push_back(&channel);
    wake();
  }
  void remove(UdtChannel& channel) noexcept {
    const auto at = std::find(channels_.begin(), channels_.end(), &channel);
    if (at != channels_.end()) *at = nullptr;  // tick() may be walking the list
  }
  /// Something was asked for: tick fast.
  void wake() { set_interval(kTick); }

 private:
  void tick();
  void set_interval(Duration interval) {
    if (interval == interval_) return;
    interval_ = interval;
    itimerspec spec{};
    spec.it_value.tv_nsec = spec.it_interval.tv_nsec = interval.count();
    ::timerfd_settime(fd_, 0, &spec, nullptr);
  }

  Reactor& reactor_;
  int fd_;
  Duration interval_ = Duration::zero();
  int turn_ = 0;
  std::vector<UdtChannel*> channels_;
  std::unique_ptr<FdWatch> watch_;
};

class UdtChannel final : public Channel {
 public:
  UdtChannel(UDTSOCKET u, Poller& poller, const wire::SocketAddress& peer, std::size_t mss,
             bool connecting)
      : u_(u), poller_(poller), peer_(peer), payload_(mss - kUdtHeaders), connecting_(connecting) {
    int size = sizeof(int);
    int octets = 0;
    if (UDT::getsockopt(u_, 0, UDT_SNDBUF, &octets, &size) != UDT::ERROR)
      send_packets_ = std::max<std::size_t>(1, static_cast<std::size_t>(octets) / (mss - 28));
    touch();
    made_ = touched_;
    poller_.add(*this);
  }
  ~UdtChannel() override {
    poller_.remove(*this);
    if (u_ != UDT::INVALID_SOCK) close_udt(u_);
  }
  UdtChannel(const UdtChannel&) = delete;
  UdtChannel& operator=(const UdtChannel&) = delete;

  void set_handler(ChannelHandler& handler) noexcept override { handler_ = &handler; }

  Result<std::size_t, ChannelError> write(std::span<const Bytes> pieces) override {
    std::size_t taken = 0;
    for (const Bytes piece : pieces) {
      if (full_) break;
      const auto n = send(piece);
      if (!n) return n;
      taken += *n;
      if (*n < piece.size()) break;
    }
    if (taken > 0) touch();
    return taken;
  }

  Result<std::size_t, ChannelError> read(std::span<const MutableBytes> pieces) override {
    std::size_t got = 0;
    for (const MutableBytes piece : pieces) {
      if (drained_) break;
      if (piece.empty()) continue;
      const int n =
          UDT::recv(u_, reinterpret_cast<char*>(piece.data()), static_cast<int>(piece.size()), 0);
      if (n == UDT::ERROR) {
        drained_ = true;
        if (UDT::getlasterror_code() == UDT::ERRORINFO::EASYNCRCV) break;
        if (got > 0) break;  // told at the next read
        return std::unexpected(ChannelError::kBroken);
      }
      got += static_cast<std::size_t>(n);
      drained_ = static_cast<std::size_t>(n) < piece.size();
    }
    if (got > 0) touch();
    return got;
  }

  void want(Readiness interest) override {
    if (interest == Readiness::kNone) drained_ = false;
    if (interest != interest_) touch();
    interest_ = interest;
  }
  void end_writing() override {}
  bool gathers() const noexcept override { return false; }

  Duration round_trip() const noexcept override {
    UDT::TRACEINFO info;
    if (UDT::perfmon(u_, &info, false) == UDT::ERROR) return Duration::zero();
    return std::chrono::duration_cast<Duration>(
        std::chrono::duration<double, std::milli>(info.msRTT));
  }
  std::size_t unsent() const noexcept override { return packets_buffered() * payload_; }
  wire::SocketAddress peer_address() const noexcept override { return peer_; }

  int release() noexcept override {
    poller_.remove(*this);
    return std::exchange(u_, UDT::INVALID_SOCK);
  }

  [[nodiscard]] bool active() const noexcept {
    return connecting_ || full_ || poller_.now() - touched_ < kActive;
  }

  /// Asks libudt for the state and tells the handler what it waits for.
  void poll() {
    if (over_ || handler_ == nullptr) return;
    if (connecting_) {
      poll_connect();
      return;
    }
    int event = 0;
    int size = sizeof event;
    const bool lives = UDT::getsockopt(u_, 0, UDT_EVENT, &event, &size) != UDT::ERROR;
    const bool broken = !lives || (event & UDT_EPOLL_ERR) != 0;
    std::uint8_t ready = 0;
    if ((event & UDT_EPOLL_IN) != 0 || broken) {
      drained_ = false;
      if (contains(interest_, Readiness::kReadable))
        ready |= static_cast<std::uint8_t>(Readiness::kReadable);
    }
    if (full_ && !broken && packets_buffered() <= send_packets_ - send_packets_ / 4) full_ = false;
    if (!full_ && contains(interest_, Readiness::kWritable))
      ready |= static_cast<std::uint8_t>(Readiness::kWritable);
    if (broken && !contains(interest_, Readiness::kReadable)) {
      over_ = true;
      handler_->on_channel_broken();
      return;
    }
    if (ready != 0) handler_->on_channel_ready(static_cast<Readiness>(ready));
  }

 private:
  void touch() {
    touched_ = poller_.now();
    poller_.wake();
  }

  void poll_connect() {
    const UDTSTATUS state = UDT::getsockstate(u_);
    const bool undecided = state == CONNECTING || state == OPENED || state == INIT;
    if (undecided && poller_.now() < made_ + kConnectTime) return;
    connecting_ = false;
    touch();
    if (state == CONNECTED) {
      handler_->on_channel_connected();
    } else {
      over_ = true;
      handler_->on_channel_broken();
    }
  }

  [[nodiscard]] std::size_t packets_buffered() const noexcept {
    int packets = 0;
    int size = sizeof packets;
    if (UDT::getsockopt(u_, 0, UDT_SNDDATA, &packets, &size) == UDT::ERROR || packets < 0) return 0;
    return static_cast<std::size_t>(packets);
  }

  /// Sends in bursts that end on a packet that is not full, so that each is acknowledged at once:
  /// several in a window of slow start, fewer as the window grows, for acknowledgements cost too.
  Result<std::size_t, ChannelError> send(Bytes bytes) {
    std::size_t sent = 0;
    while (sent < bytes.size() && !full_) {
      const auto packets = std::clamp<std::uint64_t>(taken_ / payload_ / 8, kBurst, kMaxBurst);
      const std::size_t burst = static_cast<std::size_t>(packets) * payload_ - 1;
      std::size_t size = std::min(burst, bytes.size() - sent);
      if (size > 1 && size % payload_ == 0) --size;  // the last octet gets a packet of its own
      const auto n = send_once(bytes.subspan(sent, size));
      if (!n) return n;
      sent += *n;
      taken_ += *n;
    }
    return sent;
  }

  Result<std::size_t, ChannelError> send_once(Bytes bytes) {
    const int n = UDT::send(u_, reinterpret_cast<const char*>(bytes.data()),
                            static_cast<int>(bytes.size()), 0);
    if (n == UDT::ERROR) {
      if (UDT::getlasterror_code() != UDT::ERRORINFO::EASYNCSND)
        return std::unexpected(ChannelError::kBroken);
      full_ = true;
      return 0;
    }
    full_ = static_cast<std::size_t>(n) < bytes.size();
    return static_cast<std::size_t>(n);
  }

  UDTSOCKET u_;
  Poller& poller_;
  wire::SocketAddress peer_;
  std::size_t payload_;           // octets of stream in a full packet
  std::uint64_t taken_ = 0;       // octets given to libudt
  std::size_t send_packets_ = 1;  // the send buffer's size
  bool connecting_;
  bool over_ = false;     // the handler was told the end
  bool drained_ = false;  // nothing to read before the next tick
  bool full_ = false;     // nothing to write before a quarter of the buffer is free
  Readiness interest_ = Readiness::kNone;
  Time made_{};
  Time touched_{};
  ChannelHandler* handler_ = nullptr;
};

void Poller::tick() {
  std::uint64_t expired = 0;
  if (::read(fd_, &expired, sizeof expired) < 0) return;
  const bool everyone = interval_ != kTick || ++turn_ >= kIdleTicks;
  if (everyone) turn_ = 0;
  bool active = false;
  for (std::size_t i = 0; i < channels_.size(); ++i) {  // a callback may add to the list
    if (channels_[i] == nullptr || (!everyone && !channels_[i]->active())) continue;
    channels_[i]->poll();
    if (channels_[i] != nullptr) active = active || channels_[i]->active();
  }
  if (everyone) std::erase(channels_, nullptr);
  set_interval(channels_.empty() ? Duration::zero() : active ? kTick : kTick * kIdleTicks);
}

class UdtCarrier final : public Carrier {
 public:
  UdtCarrier(const Options& options, Reactor& reactor, UdtPort& port)
      : options_(options), port_(port), poller_(reactor) {}

  [[nodiscard]] bool works() const noexcept { return poller_.works(); }

  Outcome<std::unique_ptr<Channel>> connect() override {
    auto u = port_.make_socket(options_);
    if (!u) return std::unexpected(u.error());
    const SystemAddress to(*options_.remote);
    if (UDT::connect(*u, to.data(), static_cast<int>(to.size())) == UDT::ERROR) {
      std::string why = udt_error();
      UDT::close(*u);
      return fail(fmt::format("peer {}: cannot reach {}: {}", options_.name,
                              to_string(*options_.remote), why));
    }
    return std::make_unique<UdtChannel>(*u, poller_, *options_.remote, options_.mss, true);
  }

  std::unique_ptr<Channel> adopt(int pipe, const wire::SocketAddress& from) override {
    return std::make_unique<UdtChannel>(pipe, poller_, from, options_.mss, false);
  }

  const RateCounters* rate_counters() const noexcept override {
    return options_.rate_control == RateControlKind::kVtl ? &port_.rate_counters() : nullptr;
  }

 private:
  Options options_;
  UdtPort& port_;
  Poller poller_;
};

}  // namespace

Outcome<std::unique_ptr<Carrier>> make_udt_carrier(const Options& options, Reactor& reactor) {
  const auto port = udt_port(options);
  if (!port) return std::unexpected(port.error());
  auto carrier = std::make_unique<UdtCarrier>(options, reactor, **port);
  if (!carrier->works())
    return fail(
        fmt::format("peer {}: no timer descriptor: {}", options.name, std::strerror(errno)));
  return carrier;
}

Outcome<std::unique_ptr<RawListener>> make_udt_listener(const Options& options, Reactor& reactor,
                                                        AcceptFunction on_accept) {
  const auto port = udt_port(options);
  if (!port) return std::unexpected(port.error());
  return (*port)->listen(options, reactor, std::move(on_accept));
}

void discard_udt(int pipe) {
  UDT::close(pipe);
}

}  // namespace vtl::transport
