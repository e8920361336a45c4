// A network device as the operating system tells of it, and owned file descriptors.
#pragma once

#include <string>
#include <utility>

#include "vtl/base/result.h"
#include "vtl/wire/addresses.h"

struct ifreq;

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

/// The longest device name: IFNAMSIZ - 1.
inline constexpr std::size_t kMaxDeviceName = 15;

/// A device of the network namespace in which it was found; it may be gone by now. Every question
/// is a system call.
class Device {
 public:
  /// `what` names the asker in the message: "af_packet eth0: no such network device...".
  [[nodiscard]] static Outcome<Device> find(const std::string& what, const std::string& name);

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] int index() const noexcept { return index_; }
  [[nodiscard]] const wire::MacAddress& mac() const noexcept { return mac_; }
  /// Ethernet, or loopback, which has Ethernet headers too.
  [[nodiscard]] bool is_ethernet() const noexcept { return is_ethernet_; }

  /// Becomes the device that has the name now; false, and nothing changes, when there is none.
  [[nodiscard]] bool find_again() noexcept;
  /// Still there: no other device has taken its name either.
  [[nodiscard]] bool exists() const noexcept;
  /// There, up and with carrier.
  [[nodiscard]] bool is_running() const noexcept;
  /// Octets after the Ethernet header; 1500 when the device is gone.
  [[nodiscard]] std::size_t mtu() const noexcept;
  /// Sets the device administratively up; false with errno set.
  [[nodiscard]] bool set_up() const noexcept;

 private:
  Device(OwnedFd socket, std::string name) : socket_(std::move(socket)), name_(std::move(name)) {}
  [[nodiscard]] bool ask(unsigned long request, ifreq& answer) const noexcept;

  OwnedFd socket_;  // in the device's namespace, whatever the thread's is later
  std::string name_;
  int index_ = 0;
  wire::MacAddress mac_;
  bool is_ethernet_ = false;
};

}  // namespace vtl::iface
