// A SOCKS 5 server for tests, on the test's own reactor: it does as its plan says, and keeps what
// it was sent.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/support/test_reactor.h"
#include "vtl/base/descriptor.h"
#include "vtl/transport/socket_address.h"
#include "vtl/transport/socks_options.h"

namespace vtl::transport::test {

using vtl::test::TestReactor;

/// What the server does with a connection.
struct SocksPlan {
  std::string method{"\x05\x00", 2};  ///< answered to the methods
  std::string credentials{"\x01\x00", 2};
  std::string reply{"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00", 10};
  std::string behind;        ///< sent in the same piece as the reply
  std::size_t piece = 0;     ///< octets in one piece, one a turn; 0: all at once
  std::size_t first = 0;     ///< of the first piece, where it is another
  bool at_once = false;      ///< says all this before it hears anything
  bool silent = false;       ///< reads, and says nothing
  bool close_after = false;  ///< closes in order once all this was sent
  bool echo = false;         ///< sends back what comes behind the request, and its end
  bool stalls = false;       ///< reads nothing behind the request
};

/// One connection at the server.
class SocksSession {
 public:
  SocksSession(TestReactor& reactor, Descriptor fd, const SocksPlan& plan)
      : reactor_(reactor), fd_(std::move(fd)), plan_(plan) {
    watch_ = reactor_.watch(fd_.get(), Readiness::kReadable, [this](Readiness) { take(); });
    if (plan_.at_once) say(plan_.method + plan_.credentials + plan_.reply + plan_.behind);
  }
  ~SocksSession() { *alive_ = false; }

  std::string request;         ///< from the first octet to the end of the request
  std::string user, password;  ///< as sent
  std::string data;            ///< behind the request
  bool requested = false;      ///< all of the request has come
  bool ended = false;          ///< the client has shut its direction
  int error = 0;               ///< of recv()
  bool keeps = true;           ///< keep data; else only count it
  std::uint64_t received = 0;

  void say(const std::string& text) {
    out_ += text;
    if (!sending_) send_some();
  }
  [[nodiscard]] bool said_all() const { return out_.empty(); }
  void shut() { ::shutdown(fd_.get(), SHUT_WR); }
  void reset() {
    const linger now{1, 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close();
  }
  void close() {
    watch_.reset();
    fd_.reset();
  }
  [[nodiscard]] bool open() const { return fd_.get() >= 0; }
  void read_on() {
    plan_.stalls = false;
    watch_->set(Readiness::kReadable);
  }
  [[nodiscard]] int fd() const { return fd_.get(); }
  /// The test goes on with the socket.
  [[nodiscard]] Descriptor take_over() {
    watch_.reset();
    return std::move(fd_);
  }

 private:
  void take() {
    if (requested && plan_.stalls) return watch_->set(Readiness::kNone);
    std::array<char, 65536> buffer;
    const ssize_t n = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
      ended = n == 0;
      error = n < 0 ? errno : 0;
      watch_.reset();
      if (plan_.echo) shut();
      return;
    }
    const std::string_view text(buffer.data(), static_cast<std::size_t>(n));
    if (requested) return take_data(text);
    request += text;
    parse();
  }

  void take_data(std::string_view text) {
    received += text.size();
    if (keeps) data += text;
    if (plan_.echo) say(std::string(text));
  }

  // Of what has come so far: the next message that is whole is answered.
  void parse() {
    while (!requested) {
      const std::string_view rest = std::string_view(request).substr(parsed_);
      const auto at = [&](std::size_t i) { return static_cast<std::uint8_t>(rest[i]); };
      if (step_ == 0) {
        if (rest.size() < 2 || rest.size() < 2U + at(1)) return;
        step_ = at(2) == 2 ? 1 : 2;
        parsed_ += 2U + at(1);
        answer(plan_.method);
      } else if (step_ == 1) {
        if (rest.size() < 2 || rest.size() < 3U + at(1) ||
            rest.size() < 3U + at(1) + at(2U + at(1)))
          return;
        user = rest.substr(2, at(1));
        password = rest.substr(3U + at(1), at(2U + at(1)));
        parsed_ += 3U + user.size() + password.size();
        step_ = 2;
        answer(plan_.credentials);
      } else {
        if (rest.size() < 5) return;
        const std::size_t size = at(3) == 1 ? 10 : at(3) == 4 ? 22 : 7U + at(4);
        if (rest.size() < size) return;
        parsed_ += size;
        requested = true;
        const std::string more = request.substr(parsed_);
        request.resize(parsed_);
        answer(plan_.reply + plan_.behind);
        if (!more.empty()) take_data(more);
      }
    }
  }

  void answer(const std::string& text) {
    if (!plan_.at_once && !plan_.silent) say(text);
  }

  void send_some() {
    sending_ = false;
    if (fd_.get() < 0) return;
    const std::size_t most = plan_.first != 0   ? std::exchange(plan_.first, 0)
                             : plan_.piece != 0 ? plan_.piece
                                                : out_.size();
    const std::size_t size = std::min(most, out_.size());
    const ssize_t n = ::send(fd_.get(), out_.data(), size, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) return out_.clear();
    if (n > 0) out_.erase(0, static_cast<std::size_t>(n));
    if (out_.empty()) {
      if (plan_.close_after && requested) close();
      return;
    }
    sending_ = true;
    reactor_.post([this, alive = alive_] {
      if (*alive) send_some();
    });
  }

  TestReactor& reactor_;
  Descriptor fd_;
  SocksPlan plan_;
  int step_ = 0;
  std::size_t parsed_ = 0;
  std::string out_;
  bool sending_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::unique_ptr<FdWatch> watch_;
};

class SocksServer {
 public:
  explicit SocksServer(TestReactor& reactor) : reactor_(reactor) { listen(0); }

  SocksPlan plan;  ///< of connections to come
  std::vector<std::unique_ptr<SocksSession>> sessions;
  bool accepts = true;

  [[nodiscard]] wire::SocketAddress address() const { return address_; }
  [[nodiscard]] SocksSession& last() { return *sessions.back(); }

  /// As if the program ended: its connections are reset.
  void kill() {
    watch_.reset();
    fd_.reset();
    for (auto& session : sessions)
      if (session->open()) session->reset();
    sessions.clear();
  }
  void restart() { listen(address_.port.value()); }

 private:
  void listen(std::uint16_t port) {
    fd_ = Descriptor(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    const int one = 1;
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    const SystemAddress any({wire::Ipv4Address(127, 0, 0, 1), wire::Port(port)});
    ASSERT_EQ(::bind(fd_.get(), any.data(), any.size()), 0);
    ASSERT_EQ(::listen(fd_.get(), 4096), 0);
    SystemAddress local;
    socklen_t size = SystemAddress::kCapacity;
    ::getsockname(fd_.get(), local.data(), &size);
    address_ = local.value();
    watch_ = reactor_.watch(fd_.get(), Readiness::kReadable, [this](Readiness) { accept(); });
  }
  void accept() {
    for (int i = 0; i < 64; ++i) {
      Descriptor fd(::accept4(fd_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (fd.get() < 0) return;
      const int one = 1;
      ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
      if (accepts)
        sessions.push_back(std::make_unique<SocksSession>(reactor_, std::move(fd), plan));
    }
  }

  TestReactor& reactor_;
  wire::SocketAddress address_;
  Descriptor fd_;
  std::unique_ptr<FdWatch> watch_;
};

}  // namespace vtl::transport::test
