#include "tests/script/kernel/kernel_world.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "lab/must.h"

namespace vtl::endpoint::script {
namespace {

constexpr std::size_t kLargestPacket = 65536;

[[noreturn]] void failed(const std::string& what) {
  throw lab::LabError(Error{what + ": " + std::strerror(errno)});
}

lab::Fd open_tun() {
  lab::Fd fd(::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (!fd) failed("/dev/net/tun");
  ifreq request{};
  std::strncpy(request.ifr_name, "tun0", IFNAMSIZ - 1);
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  if (::ioctl(fd.get(), TUNSETIFF, &request) != 0) failed("a tun device");
  return fd;
}

}  // namespace

KernelWorld& KernelWorld::get() {
  static auto* const world = new KernelWorld;
  return *world;
}

wire::Ipv4Address KernelWorld::kernel_address() {
  return *wire::Ipv4Address::parse("10.0.0.1");
}

KernelWorld::KernelWorld() : lab_("/run/vtl-script") {
  // A choice on the host's routes would go before that of a listening socket.
  lab::TcpSettings tcp;
  tcp.congestion_control = "reno";
  host_ = lab::must(lab_.add_host("kernel", {.ipv6 = lab::Ipv6::kOff, .tcp = tcp}));
  inside_.emplace(host_->netns());
  tun_ = open_tun();
  lab::must(
      host_->ip("addr add 10.0.0.1/32 dev tun0\nlink set tun0 mtu 1500 txqueuelen 1000 up\n"
                "route add 10.64.0.0/10 dev tun0"));
  // A story's segments are its own: none is answered less often because of an earlier one, none
  // waits for a fuller one (by the clock, where it may) or for the pace of a path that was never
  // measured.
  for (const auto& [key, value] : std::map<std::string, std::string>{
           {"tcp_no_metrics_save", "1"},
           {"tcp_invalid_ratelimit", "0"},
           {"tcp_autocorking", "0"},
           {"tcp_tso_win_divisor", "255"},  // as little of the window as may go is sent at once
           {"tcp_moderate_rcvbuf", "0"},
           {"tcp_fastopen", "0"},
           {"tcp_comp_sack_nr", "0"},
       }) {
    set(key, value);
  }
}

wire::Ipv4Address KernelWorld::next_peer() noexcept {
  ++peers_;
  return wire::Ipv4Address({10, static_cast<std::uint8_t>(64 + (peers_ >> 16)),
                            static_cast<std::uint8_t>(peers_ >> 8),
                            static_cast<std::uint8_t>(peers_)});
}

void KernelWorld::set(const std::string& key, const std::string& value) {
  std::string& known = settings_[key];
  if (known == value) return;
  lab::must(host_->set_sysctl("net.ipv4." + key, value));
  known = value;
}

void KernelWorld::set_min_rto(wire::Ipv4Address peer, Duration floor) {
  lab::must(host_->ip(
      fmt::format("route add {}/32 dev tun0 rto_min {}ms", wire::to_string(peer), floor / 1ms)));
}

void KernelWorld::send(Bytes packet) {
  if (::write(tun_.get(), packet.data(), packet.size()) != static_cast<ssize_t>(packet.size())) {
    failed("a packet for the kernel");
  }
}

std::vector<std::uint8_t> KernelWorld::receive(Time limit) {
  std::vector<std::uint8_t> packet(kLargestPacket);
  for (;;) {
    const ssize_t n = ::read(tun_.get(), packet.data(), packet.size());
    if (n > 0) {
      packet.resize(static_cast<std::size_t>(n));
      return packet;
    }
    if (n < 0 && errno != EAGAIN && errno != EINTR) failed("a packet of the kernel");
    const Duration left = limit - now();
    if (left <= Duration::zero()) return {};
    const auto whole = std::chrono::ceil<std::chrono::milliseconds>(left).count();
    pollfd poll_fd{tun_.get(), POLLIN, 0};
    ::poll(&poll_fd, 1, static_cast<int>(std::min<std::int64_t>(whole, 1000)));
  }
}

}  // namespace vtl::endpoint::script
