#include "tests/support/tcp_peer.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <future>
#include <memory>
#include <vector>

#include "vtl/base/bytes.h"
#include "vtl/base/rng.h"
#include "vtl/wire/addresses.h"

namespace vtl::test {
namespace {

std::unexpected<Error> kernel_says(const char* call, int code) {
  return fail(fmt::format("{}: {}", call, std::strerror(code)));
}

/// Milliseconds until `deadline`, for poll().
int left(std::chrono::steady_clock::time_point deadline) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(
      deadline - std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp<std::int64_t>(ms.count(), 0, 3'600'000));
}

Outcome<void> wait_for(int fd, short events, std::chrono::steady_clock::time_point deadline,
                       const char* call) {
  pollfd poll_fd{fd, events, 0};
  const int n = ::poll(&poll_fd, 1, left(deadline));
  if (n < 0) return kernel_says("poll", errno);
  if (n == 0) return fail(fmt::format("{}: nothing happened within the bound", call));
  return {};
}

class Sha256 {
 public:
  Sha256() { EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr); }
  void add(Bytes bytes) { EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()); }
  std::string hex() {
    std::array<std::uint8_t, EVP_MAX_MD_SIZE> digest;
    unsigned size = 0;
    EVP_DigestFinal_ex(context_.get(), digest.data(), &size);
    std::string text;
    for (unsigned i = 0; i < size; ++i) text += fmt::format("{:02x}", digest[i]);
    return text;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_{EVP_MD_CTX_new(),
                                                                   &EVP_MD_CTX_free};
};

struct Address {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  [[nodiscard]] sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

Address any_address(std::uint16_t port) {
  Address a;
  sockaddr_in6 in{};
  in.sin6_family = AF_INET6;
  in.sin6_port = htons(port);
  std::memcpy(&a.storage, &in, sizeof in);
  a.size = sizeof in;
  return a;
}

Outcome<Address> address_of(const std::string& text, std::uint16_t port) {
  const auto ip = wire::IpAddress::parse(text);
  if (!ip) return fail("not an address: " + text);
  Address a;
  sockaddr_in6 in{};
  in.sin6_family = AF_INET6;
  in.sin6_port = htons(port);
  MutableBytes octets{in.sin6_addr.s6_addr, 16};
  if (ip->is_v6()) {
    ip->v6().store(octets, 0);
  } else {
    octets[10] = octets[11] = 0xff;  // RFC 4291 section 2.5.5.2: IPv4-mapped
    ip->v4().store(octets, 12);
  }
  std::memcpy(&a.storage, &in, sizeof in);
  a.size = sizeof in;
  return a;
}

std::string text_of(const Address& a) {
  sockaddr_in6 in{};
  std::memcpy(&in, &a.storage, sizeof in);
  const Bytes octets{in.sin6_addr.s6_addr, 16};
  wire::SocketAddress s;
  s.port = wire::Port(ntohs(in.sin6_port));
  if (IN6_IS_ADDR_V4MAPPED(&in.sin6_addr)) {
    s.address = wire::Ipv4Address::load(octets, 12);
  } else {
    s.address = wire::Ipv6Address::load(octets, 0);
  }
  return to_string(s);
}

Outcome<lab::Fd> socket_in(const lab::Host& host) {
  const auto stay = host.enter();
  lab::Fd fd(::socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (fd.get() < 0) return kernel_says("socket", errno);
  const int off = 0;
  ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  return fd;
}

/// To any address of the host's.
Outcome<void> bind_port(const lab::Fd& fd, std::uint16_t port) {
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  Address a = any_address(port);
  if (::bind(fd.get(), a.get(), a.size) != 0) return kernel_says("bind", errno);
  return {};
}

constexpr std::size_t kBlock = std::size_t{256} << 10;

}  // namespace

Outcome<Tcp> Tcp::listen(const lab::Host& host, std::uint16_t port) {
  auto fd = socket_in(host);
  if (!fd) return std::unexpected(fd.error());
  if (auto bound = bind_port(*fd, port); !bound) return std::unexpected(bound.error());
  if (::listen(fd->get(), 1024) != 0) return kernel_says("listen", errno);
  return Tcp(std::move(*fd));
}

Outcome<Tcp> Tcp::connect(const lab::Host& host, const std::string& address, std::uint16_t port,
                          Duration bound, std::uint16_t source_port) {
  const auto deadline = std::chrono::steady_clock::now() + bound;
  auto fd = socket_in(host);
  if (!fd) return std::unexpected(fd.error());
  auto a = address_of(address, port);
  if (!a) return std::unexpected(a.error());
  if (source_port != 0) {
    if (auto done = bind_port(*fd, source_port); !done) return std::unexpected(done.error());
  }
  if (::connect(fd->get(), a->get(), a->size) != 0) {
    if (errno != EINPROGRESS) return kernel_says("connect", errno);
    if (auto ready = wait_for(fd->get(), POLLOUT, deadline, "connect"); !ready) {
      return std::unexpected(ready.error());
    }
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(fd->get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return kernel_says("connect", error);
  }
  return Tcp(std::move(*fd));
}

Outcome<Tcp> Tcp::accept(Duration bound) {
  if (auto ready = wait_for(fd_.get(), POLLIN, std::chrono::steady_clock::now() + bound, "accept");
      !ready) {
    return std::unexpected(ready.error());
  }
  lab::Fd fd(::accept4(fd_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (fd.get() < 0) return kernel_says("accept", errno);
  return Tcp(std::move(fd));
}

Outcome<Digest> Tcp::send(std::uint64_t seed, std::uint64_t octets, Duration bound) {
  const auto deadline = std::chrono::steady_clock::now() + bound;
  Rng rng(seed);
  Sha256 sha;
  std::vector<std::uint8_t> block(kBlock);
  Digest digest;
  while (digest.octets < octets) {
    const std::size_t n = std::min<std::uint64_t>(kBlock, octets - digest.octets);
    for (std::size_t i = 0; i < kBlock; i += 8) store_be64(block, i, rng.next());
    sha.add(Bytes{block.data(), n});
    for (std::size_t at = 0; at < n;) {
      const ssize_t sent = ::send(fd_.get(), block.data() + at, n - at, MSG_NOSIGNAL);
      if (sent > 0) {
        at += static_cast<std::size_t>(sent);
      } else if (errno != EAGAIN) {
        return kernel_says("send", errno);
      } else if (auto ready = wait_for(fd_.get(), POLLOUT, deadline, "send"); !ready) {
        return std::unexpected(ready.error());
      }
    }
    digest.octets += n;
  }
  digest.sha256 = sha.hex();
  return digest;
}

Outcome<Digest> Tcp::receive(std::uint64_t limit, Duration bound) {
  const auto deadline = std::chrono::steady_clock::now() + bound;
  Sha256 sha;
  std::vector<std::uint8_t> block(kBlock);
  Digest digest;
  while (digest.octets < limit) {
    const std::size_t want = std::min<std::uint64_t>(kBlock, limit - digest.octets);
    const ssize_t n = ::recv(fd_.get(), block.data(), want, 0);
    if (n == 0) break;
    if (n > 0) {
      sha.add(Bytes{block.data(), static_cast<std::size_t>(n)});
      digest.octets += static_cast<std::uint64_t>(n);
    } else if (errno != EAGAIN) {
      return kernel_says("recv", errno);
    } else if (auto ready = wait_for(fd_.get(), POLLIN, deadline, "recv"); !ready) {
      return std::unexpected(
          Error{fmt::format("{} after {} octets", ready.error().message, digest.octets)});
    }
  }
  digest.sha256 = sha.hex();
  return digest;
}

void Tcp::shut_writing() {
  ::shutdown(fd_.get(), SHUT_WR);
}

void Tcp::reset() {
  const linger at_once{1, 0};
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  fd_ = lab::Fd();
}

std::string Tcp::peer() const {
  Address a;
  ::getpeername(fd_.get(), a.get(), &a.size);
  return text_of(a);
}

std::string Tcp::local() const {
  Address a;
  ::getsockname(fd_.get(), a.get(), &a.size);
  return text_of(a);
}

Outcome<void> exchange(Tcp& client, Tcp& server, std::uint64_t up, std::uint64_t down) {
  const auto send = [](Tcp& from, std::uint64_t seed, std::uint64_t octets) {
    return std::async(std::launch::async, [&from, seed, octets] {
      auto digest = from.send(seed, octets);
      from.shut_writing();
      return digest;
    });
  };
  auto sending_up = send(client, 1, up);
  auto sending_down = send(server, 2, down);
  auto receiving_up = std::async(std::launch::async, [&server] { return server.receive(); });
  const auto got_down = client.receive();
  const auto got_up = receiving_up.get();
  const auto compare = [](const char* way, const Outcome<Digest>& sent,
                          const Outcome<Digest>& got) -> Outcome<void> {
    if (!sent) return fail(fmt::format("{}: {}", way, sent.error().message));
    if (!got) return fail(fmt::format("{}: {}", way, got.error().message));
    if (*sent == *got) return {};
    return fail(fmt::format("{}: sent {} octets, SHA-256 {}; got {}, {}", way, sent->octets,
                            sent->sha256, got->octets, got->sha256));
  };
  const auto sent_up = sending_up.get();
  const auto sent_down = sending_down.get();
  if (auto same = compare("client to server", sent_up, got_up); !same) return same;
  return compare("server to client", sent_down, got_down);
}

}  // namespace vtl::test
