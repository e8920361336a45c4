// Kernel sockets inside lab hosts, driven by the test's own thread: a TCP connection whose two ends
// live in different hosts, and datagrams.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "lab/fd.h"
#include "lab/host.h"
#include "lab/must.h"
#include "lab/wait.h"
#include "vtl/base/bytes.h"

namespace vtl::test {

inline std::pair<sockaddr_storage, socklen_t> socket_address(const std::string& address,
                                                             std::uint16_t port) {
  sockaddr_storage out{};
  if (address.find(':') == std::string::npos) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    ::inet_pton(AF_INET, address.c_str(), &in.sin_addr);
    std::memcpy(&out, &in, sizeof in);
    return {out, sizeof in};
  }
  sockaddr_in6 in{};
  in.sin6_family = AF_INET6;
  in.sin6_port = htons(port);
  ::inet_pton(AF_INET6, address.c_str(), &in.sin6_addr);
  std::memcpy(&out, &in, sizeof in);
  return {out, sizeof in};
}

[[noreturn]] inline void throw_errno(const std::string& what) {
  throw lab::LabError(Error{what + ": " + std::strerror(errno)});
}

/// A non-blocking socket in `host`, bound to `address` (empty: any of IPv4) and `port`.
inline lab::Fd bound_socket(const lab::Host& host, int type, const std::string& address,
                            std::uint16_t port) {
  const auto inside = host.enter();
  const auto [name, size] = socket_address(address, port);
  lab::Fd fd(::socket(name.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int one = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&name), size) != 0) throw_errno("bind");
  return fd;
}

inline bool ready(int fd, short what, int milliseconds) {
  pollfd p{fd, what, 0};
  return ::poll(&p, 1, milliseconds) == 1;
}

/// Both ends of one TCP connection, client first.
inline std::pair<lab::Fd, lab::Fd> connected(const lab::Host& client,
                                             const std::string& client_address,
                                             const lab::Host& server,
                                             const std::string& server_address,
                                             std::uint16_t port) {
  const lab::Fd listener = bound_socket(server, SOCK_STREAM, server_address, port);
  if (::listen(listener.get(), 1) != 0) throw_errno("listen");
  lab::Fd from = bound_socket(client, SOCK_STREAM, client_address, 0);
  const auto [name, size] = socket_address(server_address, port);
  if (::connect(from.get(), reinterpret_cast<const sockaddr*>(&name), size) != 0 &&
      errno != EINPROGRESS) {
    throw_errno("connect");
  }
  if (!ready(listener.get(), POLLIN, 10'000)) {
    throw lab::LabError(Error{"no connection arrived at the server"});
  }
  lab::Fd to(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!to) throw_errno("accept");
  if (!ready(from.get(), POLLOUT, 10'000)) throw_errno("connect");
  return {std::move(from), std::move(to)};
}

/// Sends all of `data` from one end to the other and answers what arrived; ends early, short, when
/// nothing moves for 10 s.
inline std::vector<std::uint8_t> transfer(int from, int to, Bytes data) {
  std::vector<std::uint8_t> out;
  out.reserve(data.size());
  std::vector<std::uint8_t> chunk(1 << 18);
  std::size_t sent = 0;
  while (out.size() < data.size()) {
    pollfd fds[] = {{to, POLLIN, 0}, {sent < data.size() ? from : -1, POLLOUT, 0}};
    if (::poll(fds, 2, 10'000) <= 0) return out;
    if (fds[1].revents != 0) {
      const ssize_t n = ::send(from, data.data() + sent, std::min(chunk.size(), data.size() - sent),
                               MSG_NOSIGNAL);
      if (n > 0) sent += static_cast<std::size_t>(n);
      if (n < 0 && errno != EAGAIN) return out;
    }
    if (fds[0].revents != 0) {
      const ssize_t n = ::recv(to, chunk.data(), chunk.size(), 0);
      if (n > 0) out.insert(out.end(), chunk.begin(), chunk.begin() + n);
      if (n == 0) return out;
    }
  }
  return out;
}

}  // namespace vtl::test
