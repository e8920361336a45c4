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
namespace {

// Runs one SIOCGIF* or SIOCSIF* request on the device; false with errno set.
bool ask(unsigned long request, const std::string& device, ifreq& answer) {
  if (device.empty() || device.size() > kMaxDeviceName) {
    errno = ENODEV;
    return false;
  }
  const OwnedFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return false;
  std::memcpy(answer.ifr_name, device.c_str(), device.size() + 1);
  return ::ioctl(fd.get(), request, &answer) == 0;
}

}  // namespace

void OwnedFd::close() noexcept {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

Outcome<Device> find_device(const std::string& what, const std::string& device) {
  ifreq answer{};
  const auto index = device_index(device);
  if (!index || !ask(SIOCGIFHWADDR, device, answer)) {
    return fail(fmt::format("{} {}: no such network device; `ip link` lists those there are", what,
                            device));
  }
  Device out{.index = *index, .mac = {}, .is_ethernet = false};
  out.is_ethernet =
      answer.ifr_hwaddr.sa_family == ARPHRD_ETHER || answer.ifr_hwaddr.sa_family == ARPHRD_LOOPBACK;
  std::array<std::uint8_t, wire::MacAddress::kSize> octets{};
  std::memcpy(octets.data(), answer.ifr_hwaddr.sa_data, octets.size());
  out.mac = wire::MacAddress(octets);
  return out;
}

std::optional<std::size_t> device_mtu(const std::string& device) noexcept {
  ifreq answer{};
  if (!ask(SIOCGIFMTU, device, answer)) return std::nullopt;
  return static_cast<std::size_t>(answer.ifr_mtu);
}

std::optional<int> device_index(const std::string& device) noexcept {
  ifreq answer{};
  if (!ask(SIOCGIFINDEX, device, answer)) return std::nullopt;
  return answer.ifr_ifindex;
}

bool device_is_running(const std::string& device) noexcept {
  ifreq answer{};
  if (!ask(SIOCGIFFLAGS, device, answer)) return false;
  constexpr int kBoth = IFF_UP | IFF_RUNNING;
  return (answer.ifr_flags & kBoth) == kBoth;
}

bool set_device_up(const std::string& device) noexcept {
  ifreq answer{};
  if (!ask(SIOCGIFFLAGS, device, answer)) return false;
  answer.ifr_flags = static_cast<short>(answer.ifr_flags | IFF_UP);
  return ask(SIOCSIFFLAGS, device, answer);
}

}  // namespace vtl::iface
