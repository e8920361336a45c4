#include "vtl/transport/udt_library.h"

#include <errno.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <udt/udt.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "vtl/base/log.h"
#include "vtl/transport/socket_address.h"
#include "vtl/transport/udt_ending.h"
#include "vtl/transport/udt_option.h"
#include "vtl/transport/udt_rate_control.h"

namespace vtl::transport {
namespace {

constexpr int kBacklog = 1024;
constexpr int kCloseLinger = 10;  // seconds in which libudt delivers the tail of a closed socket

/// Packet size first: the buffers are counted in packets; the window before the receive buffer,
/// which it caps.
bool set_options(UDTSOCKET u, const Options& options, RateCounters& counters) {
  const int mss = options.mss;
  const int buffer = static_cast<int>(std::min<std::size_t>(options.buffer, 0x3fffffff));
  const int window = std::max(256, buffer / (mss - 28) + 1);
  const linger tail{1, kCloseLinger};
  UdtRateControlFactory control(static_cast<std::size_t>(window), counters);
  if (options.rate_control == RateControlKind::kVtl &&
      UDT::setsockopt(u, 0, UDT_CC, &control, sizeof control) == UDT::ERROR)  // copies it
    return false;
  return set_udt_option(u, UDT_MSS, mss) && set_udt_option(u, UDT_FC, window) &&
         set_udt_option(u, UDT_SNDBUF, buffer) && set_udt_option(u, UDT_RCVBUF, buffer) &&
         set_udt_option(u, UDP_SNDBUF, static_cast<int>(options.udp_buffer)) &&
         set_udt_option(u, UDP_RCVBUF, static_cast<int>(options.udp_buffer)) &&
         set_udt_option(u, UDT_LINGER, tail) && set_udt_option(u, UDT_REUSEADDR, true);
}

/// Where accepted sockets go while a listener exists.
struct Sink {
  Reactor* reactor;
  AcceptFunction on_accept;
};

class Port final : public UdtPort {
 public:
  Port(UDTSOCKET base, wire::SocketAddress address, const Options& options,
       std::unique_ptr<RateCounters> counters)
      : base_(base),
        address_(address),
        mss_(options.mss),
        rate_control_(options.rate_control),
        counters_(std::move(counters)) {}

  wire::SocketAddress address() const noexcept override { return address_; }
  const RateCounters& rate_counters() const noexcept override { return *counters_; }
  [[nodiscard]] std::uint16_t mss() const noexcept { return mss_; }
  [[nodiscard]] RateControlKind rate_control() const noexcept { return rate_control_; }

  Outcome<int> make_socket(const Options& options) override {
    const SystemAddress local(address_);
    const UDTSOCKET u = UDT::socket(local.family(), SOCK_STREAM, 0);
    if (u == UDT::INVALID_SOCK)
      return fail(fmt::format("peer {}: no UDT socket: {}", options.name, udt_error()));
    if (!set_options(u, options, *counters_) || !set_udt_option(u, UDT_SNDSYN, false) ||
        !set_udt_option(u, UDT_RCVSYN, false) ||
        UDT::bind(u, local.data(), static_cast<int>(local.size())) == UDT::ERROR) {
      std::string why = udt_error();
      UDT::close(u);
      return fail(fmt::format("peer {}: UDT socket: {}", options.name, why));
    }
    return u;
  }

  Outcome<std::unique_ptr<RawListener>> listen(const Options& options, Reactor& reactor,
                                               AcceptFunction on_accept) override;

  void stop() {
    UDT::close(base_);
    if (thread_.joinable()) thread_.join();
  }

 private:
  class Listener;
  void accept_loop();

  UDTSOCKET base_;
  wire::SocketAddress address_;
  std::uint16_t mss_;
  RateControlKind rate_control_;
  std::unique_ptr<RateCounters> counters_;
  std::mutex mutex_;
  std::shared_ptr<Sink> sink_;  // under mutex_; null: nobody listens
  bool listening_ = false;      // under mutex_: libudt listens and the thread runs
  std::thread thread_;
};

class Port::Listener final : public RawListener {
 public:
  Listener(Port& port, std::shared_ptr<Sink> sink) : port_(port), sink_(std::move(sink)) {}
  ~Listener() override {
    const std::lock_guard lock(port_.mutex_);
    if (port_.sink_ == sink_) port_.sink_.reset();
  }
  wire::SocketAddress address() const noexcept override { return port_.address_; }

 private:
  Port& port_;
  std::shared_ptr<Sink> sink_;
};

Outcome<std::unique_ptr<RawListener>> Port::listen(const Options& options, Reactor& reactor,
                                                   AcceptFunction on_accept) {
  const std::lock_guard lock(mutex_);
  if (sink_)
    return fail(
        fmt::format("peer {}: {} (udt) is listened on already", options.name, to_string(address_)));
  if (!listening_) {
    if (UDT::listen(base_, kBacklog) == UDT::ERROR)
      return fail(fmt::format("peer {}: cannot listen on {} (udt): {}", options.name,
                              to_string(address_), udt_error()));
    listening_ = true;
    thread_ = std::thread([this] { accept_loop(); });
  }
  sink_ = std::make_shared<Sink>(Sink{&reactor, std::move(on_accept)});
  return std::make_unique<Listener>(*this, sink_);
}

void Port::accept_loop() {
  while (true) {
    SystemAddress from;
    int size = static_cast<int>(SystemAddress::kCapacity);
    const UDTSOCKET u = UDT::accept(base_, from.data(), &size);
    if (u == UDT::INVALID_SOCK) {
      if (UDT::getsockstate(base_) != LISTENING) return;
      continue;
    }
    set_udt_option(u, UDT_SNDSYN, false);
    set_udt_option(u, UDT_RCVSYN, false);
    const std::lock_guard lock(mutex_);
    if (!sink_) {
      UDT::close(u);
      continue;
    }
    std::weak_ptr<Sink> sink = sink_;
    sink_->reactor->post([sink, u, address = from.value()] {
      if (const auto alive = sink.lock())
        alive->on_accept(u, address);
      else
        UDT::close(u);
    });
  }
}

/// Every port of the process. Never destroyed: libudt's threads outlive static destructors.
class Ports {
 public:
  static Ports& instance() {
    static Ports* ports = new Ports;
    return *ports;
  }

  Outcome<UdtPort*> get(const Options& options) {
    const std::lock_guard lock(mutex_);
    const wire::IpAddress any = options.remote && options.remote->address.is_v6()
                                    ? wire::IpAddress(wire::Ipv6Address())
                                    : wire::IpAddress(wire::Ipv4Address());
    const wire::SocketAddress wanted =
        options.local.value_or(wire::SocketAddress{any, wire::Port(0)});
    for (Entry& entry : ports_) {
      const wire::SocketAddress have = entry.port->address();
      if (have.address.version() != wanted.address.version()) continue;
      if (!options.local && entry.ephemeral && entry.port->mss() == options.mss &&
          entry.port->rate_control() == options.rate_control)
        return entry.port.get();
      if (!options.local || wanted.port.value() == 0 || have.port != wanted.port) continue;
      if (have.address != wanted.address)
        return fail(fmt::format("peer {}: {} and {} (udt) in one process need different ports",
                                options.name, to_string(have), to_string(wanted)));
      if (entry.port->mss() != options.mss)
        return fail(fmt::format("peer {}: all peers on {} (udt) need the same mss, which is {}",
                                options.name, to_string(have), entry.port->mss()));
      if (entry.port->rate_control() != options.rate_control)
        return fail(fmt::format("peer {}: all peers on {} (udt) need the same rate_control",
                                options.name, to_string(have)));
      return entry.port.get();
    }
    return make(options, wanted);
  }

 private:
  struct Entry {
    std::unique_ptr<Port> port;
    bool ephemeral;
  };

  Ports() {
    UDT::startup();
    std::atexit([] { instance().stop(); });
  }

  void stop() {
    const std::lock_guard lock(mutex_);
    for (Entry& entry : ports_) entry.port->stop();
    if (stop_ending_udt_attempts())
      UDT::cleanup();  // it would free what the receiving threads still read
  }

  Outcome<UdtPort*> make(const Options& options, const wire::SocketAddress& wanted) {
    const SystemAddress local(wanted);
    const int fd = ::socket(local.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
      return fail(fmt::format("peer {}: no UDP socket: {}", options.name, std::strerror(errno)));
    SystemAddress bound;
    socklen_t size = SystemAddress::kCapacity;
    if (::bind(fd, local.data(), local.size()) != 0 ||
        ::getsockname(fd, bound.data(), &size) != 0) {
      const int why = errno;
      ::close(fd);
      return fail(fmt::format("peer {}: cannot use {} (udp): {}", options.name, to_string(wanted),
                              std::strerror(why)));
    }
    const UDTSOCKET base = UDT::socket(local.family(), SOCK_STREAM, 0);
    auto counters = std::make_unique<RateCounters>();
    if (base == UDT::INVALID_SOCK || !set_options(base, options, *counters) ||
        UDT::bind2(base, fd) == UDT::ERROR) {
      std::string why = udt_error();
      if (base != UDT::INVALID_SOCK) UDT::close(base);
      ::close(fd);
      return fail(fmt::format("peer {}: UDT on {}: {}", options.name, to_string(wanted), why));
    }
    const int octets = static_cast<int>(options.udp_buffer);
    ::setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &octets, sizeof octets);
    ::setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &octets, sizeof octets);
    ports_.push_back({std::make_unique<Port>(base, bound.value(), options, std::move(counters)),
                      !options.local});
    return ports_.back().port.get();
  }

  std::mutex mutex_;
  std::vector<Entry> ports_;
};

}  // namespace

Outcome<UdtPort*> udt_port(const Options& options) {
  return Ports::instance().get(options);
}

void close_udt(int socket) {
  if (UDT::getsockstate(socket) == CONNECTING)
    end_udt_attempt(socket);
  else
    UDT::close(socket);
}

std::string udt_error() {
  std::string text = UDT::getlasterror_desc();
  while (!text.empty() && (text.back() == '\n' || text.back() == '.')) text.pop_back();
  return text;
}

}  // namespace vtl::transport
