#include "vtl/iface/device.h"

#include <fmt/format.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace vtl::iface {

void OwnedFd::close() noexcept {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

// Runs one SIOCGIF* or SIOCSIF* request on the device; false with errno set.
bool Device::ask(unsigned long request, ifreq& answer) const noexcept {
  std::memcpy(answer.ifr_name, name_.c_str(), name_.size() + 1);
  return ::ioctl(socket_.get(), request, &answer) == 0;
}

Outcome<Device> Device::find(const std::string& what, const std::string& name) {
  const auto absent = [&] {
    return fail(
        fmt::format("{} {}: no such network device; `ip link` lists those there are", what, name));
  };
  if (name.empty() || name.size() > kMaxDeviceName) return absent();
  Device out(OwnedFd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)), name);
  if (!out.find_again()) return absent();
  return out;
}

bool Device::find_again() noexcept {
  ifreq index{};
  ifreq address{};
  if (!ask(SIOCGIFINDEX, index) || !ask(SIOCGIFHWADDR, address)) return false;
  index_ = index.ifr_ifindex;
  const auto family = address.ifr_hwaddr.sa_family;
  is_ethernet_ = family == ARPHRD_ETHER || family == ARPHRD_LOOPBACK;
  std::array<std::uint8_t, wire::MacAddress::kSize> octets{};
  std::memcpy(octets.data(), address.ifr_hwaddr.sa_data, octets.size());
  mac_ = wire::MacAddress(octets);
  return true;
}

bool Device::exists() const noexcept {
  ifreq answer{};
  return ask(SIOCGIFINDEX, answer) && answer.ifr_ifindex == index_;
}

bool Device::is_running() const noexcept {
  ifreq answer{};
  if (!exists() || !ask(SIOCGIFFLAGS, answer)) return false;
  constexpr int kBoth = IFF_UP | IFF_RUNNING;
  return (answer.ifr_flags & kBoth) == kBoth;
}

std::size_t Device::mtu() const noexcept {
  ifreq answer{};
  return ask(SIOCGIFMTU, answer) ? static_cast<std::size_t>(answer.ifr_mtu) : 1500;
}

bool Device::set_up() const noexcept {
  ifreq answer{};
  if (!ask(SIOCGIFFLAGS, answer)) return false;
  answer.ifr_flags = static_cast<short>(answer.ifr_flags | IFF_UP);
  return ask(SIOCSIFFLAGS, answer);
}

}  // namespace vtl::iface
