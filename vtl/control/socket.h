// Socket helpers of control: an owned descriptor, and local stream sockets by path.
#pragma once

#include <string>
#include <utility>

#include "vtl/base/result.h"

namespace vtl::control {

/// A file descriptor that is closed with its owner.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor();

  [[nodiscard]] int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

/// A listener with the file that is its address, which goes with it.
class Listener {
 public:
  Listener(Descriptor fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
  Listener(Listener&&) noexcept = default;
  Listener& operator=(Listener&&) = delete;
  ~Listener();

  [[nodiscard]] int get() const noexcept { return fd_.get(); }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  Descriptor fd_;
  std::string path_;
};

/// A non-blocking listener at `path`, readable and writable for its owner only. Makes the last
/// folder of the path, removes a socket that a dead process left, and refuses when a living one
/// answers there or when something else stands there.
[[nodiscard]] Outcome<Listener> listen_local(const std::string& path);

/// A blocking connection to `path`.
[[nodiscard]] Outcome<Descriptor> connect_local(const std::string& path);

}  // namespace vtl::control
