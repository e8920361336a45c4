// What the operating system tells of a network device, asked by name over an ioctl.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "vtl/base/result.h"
#include "vtl/wire/addresses.h"

namespace vtl::iface {

/// A file descriptor that closes itself.
class OwnedFd {
 public:
  OwnedFd() = default;
  explicit OwnedFd(int fd) noexcept : fd_(fd) {}
  OwnedFd(OwnedFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  OwnedFd& operator=(OwnedFd&& other) noexcept {
    if (this != &other) {
      close();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~OwnedFd() { close(); }
  OwnedFd(const OwnedFd&) = delete;
  OwnedFd& operator=(const OwnedFd&) = delete;
  explicit operator bool() const noexcept { return fd_ >= 0; }
  [[nodiscard]] int get() const noexcept { return fd_; }
  void close() noexcept;

 private:
  int fd_ = -1;
};

struct Device {
  int index = 0;
  wire::MacAddress mac;
  bool is_ethernet = false;  ///< or loopback, which has Ethernet headers too
};

/// The longest device name: IFNAMSIZ - 1.
inline constexpr std::size_t kMaxDeviceName = 15;

/// `what` names the asker in the message: "af_packet eth0: no such device...".
[[nodiscard]] Outcome<Device> find_device(const std::string& what, const std::string& device);

/// nullopt when the device is gone. A system call each.
[[nodiscard]] std::optional<std::size_t> device_mtu(const std::string& device) noexcept;
[[nodiscard]] std::optional<int> device_index(const std::string& device) noexcept;
/// Up and with carrier.
[[nodiscard]] bool device_is_running(const std::string& device) noexcept;
/// Sets the device administratively up.
[[nodiscard]] bool set_device_up(const std::string& device) noexcept;

}  // namespace vtl::iface
