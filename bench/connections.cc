#include "bench/connections.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <functional>
#include <sstream>
#include <vector>

#include "lab/fd.h"

namespace vtl::bench {
namespace {

using Steady = std::chrono::steady_clock;

constexpr std::size_t kRequest = 100;
constexpr std::size_t kAnswer = 1000;
constexpr char kClose = 'c';
constexpr char kKeep = 'k';
constexpr int kBacklog = 4096;
constexpr auto kPatience = std::chrono::seconds(10);  // without any answer: given up
constexpr int kKeepAliveSeconds = 10;

std::unexpected<Error> system_failure(std::string_view what) {
  return fail(fmt::format("{}: {}", what, std::strerror(errno)));
}

Outcome<void> raise_file_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return system_failure("getrlimit");
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) return system_failure("raising the limit of files");
  return {};
}

sockaddr_in address_of(const std::string& text, std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (!text.empty()) inet_pton(AF_INET, text.c_str(), &address.sin_addr);
  return address;
}

/// An epoll set over descriptors that it owns, found by their number.
class Loop {
 public:
  static Outcome<Loop> create() {
    Loop loop;
    loop.epoll_ = lab::Fd(epoll_create1(EPOLL_CLOEXEC));
    if (!loop.epoll_) return system_failure("epoll_create1");
    return loop;
  }
  bool add(int fd, std::uint32_t events) { return control(EPOLL_CTL_ADD, fd, events); }
  bool change(int fd, std::uint32_t events) { return control(EPOLL_CTL_MOD, fd, events); }
  /// Calls handle(fd, events) for what is ready within `milliseconds`; how many were.
  int wait(int milliseconds, const std::function<void(int, std::uint32_t)>& handle) {
    const int n =
        epoll_wait(epoll_.get(), ready_.data(), static_cast<int>(ready_.size()), milliseconds);
    for (int i = 0; i < n; ++i) {
      handle(ready_[static_cast<std::size_t>(i)].data.fd,
             ready_[static_cast<std::size_t>(i)].events);
    }
    return n;
  }

 private:
  bool control(int operation, int fd, std::uint32_t events) {
    epoll_event event{.events = events, .data = {.fd = fd}};
    return epoll_ctl(epoll_.get(), operation, fd, &event) == 0;
  }
  lab::Fd epoll_;
  std::array<epoll_event, 256> ready_{};
};

/// How far the exchange on each descriptor is; -1: nothing is under way.
class Octets {
 public:
  int& operator[](int fd) {
    const auto i = static_cast<std::size_t>(fd);
    if (i >= octets_.size()) octets_.resize(i + 1024, -1);
    return octets_[i];
  }

 private:
  std::vector<int> octets_;
};

class Server {
 public:
  static Outcome<Server> create() {
    Server server;
    auto loop = Loop::create();
    if (!loop) return std::unexpected(loop.error());
    server.loop_ = std::move(*loop);
    for (std::uint16_t i = 0; i < kPorts; ++i) {
      lab::Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
      const int on = 1;
      setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
      setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
      const sockaddr_in address = address_of("", static_cast<std::uint16_t>(kFirstPort + i));
      if (!fd || bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
          listen(fd.get(), kBacklog) != 0) {
        return system_failure("listening");
      }
      if (!server.loop_.add(fd.get(), EPOLLIN)) return system_failure("epoll_ctl");
      server.listeners_.push_back(std::move(fd));
    }
    if (!server.loop_.add(STDIN_FILENO, EPOLLIN)) return system_failure("epoll_ctl");
    return server;
  }

  void serve() {
    bool ended = false;
    while (!ended) {
      loop_.wait(1000, [&](int fd, std::uint32_t) {
        if (fd == STDIN_FILENO) {
          char octet;
          ended = read(STDIN_FILENO, &octet, 1) <= 0;
        } else if (is_listener(fd)) {
          take(fd);
        } else {
          answer(fd);
        }
      });
    }
  }

 private:
  [[nodiscard]] bool is_listener(int fd) const {
    return std::ranges::any_of(listeners_, [&](const lab::Fd& l) { return l.get() == fd; });
  }
  void take(int listener) {
    for (int i = 0; i < 64; ++i) {
      const int fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return;
      read_[fd] = 0;
      if (!loop_.add(fd, EPOLLIN)) close(fd);
    }
  }
  void answer(int fd) {
    static constexpr std::array<char, kAnswer> kOctets{};
    std::array<char, kRequest> request;
    const auto want = kRequest - static_cast<std::size_t>(read_[fd]);
    const ssize_t n = recv(fd, request.data(), want, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
      close(fd);
      return;
    }
    // The last octet tells what to do, as the first does: it came with it or before.
    read_[fd] += static_cast<int>(n);
    if (read_[fd] < static_cast<int>(kRequest)) return;
    read_[fd] = 0;
    const bool last = request[static_cast<std::size_t>(n) - 1] == kClose;
    // An answer fits any socket buffer: a short write means that the client is gone.
    if (send(fd, kOctets.data(), kAnswer, MSG_NOSIGNAL) != static_cast<ssize_t>(kAnswer) || last) {
      close(fd);
    }
  }

  Loop loop_;
  std::vector<lab::Fd> listeners_;
  Octets read_;
};

/// A connection being made: to one of the server's ports after the other.
class Caller {
 public:
  explicit Caller(std::string server) : server_(std::move(server)) {}
  /// The descriptor, or -1.
  int begin(bool keep_alive) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    if (keep_alive) {
      const int on = 1;
      setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
      setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &kKeepAliveSeconds, sizeof kKeepAliveSeconds);
      setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &kKeepAliveSeconds, sizeof kKeepAliveSeconds);
    }
    const sockaddr_in address =
        address_of(server_, static_cast<std::uint16_t>(kFirstPort + next_++ % kPorts));
    if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
        errno != EINPROGRESS) {
      close(fd);
      return -1;
    }
    return fd;
  }
  static bool ask(int fd, char what) {
    std::array<char, kRequest> request;
    request.fill(what);
    return send(fd, request.data(), kRequest, MSG_NOSIGNAL) == static_cast<ssize_t>(kRequest);
  }

 private:
  std::string server_;
  std::uint32_t next_ = 0;
};

/// Reads what there is; octets, 0 at the end, -1 on failure; nothing now: -2.
int drain(int fd) {
  std::array<char, 2 * kAnswer> octets;
  const ssize_t n = recv(fd, octets.data(), octets.size(), 0);
  if (n < 0 && errno == EAGAIN) return -2;
  return static_cast<int>(n);
}

class Holder {
 public:
  Holder(const ConnectionRun& run, Loop loop)
      : run_(run), loop_(std::move(loop)), caller_(run.server) {}

  /// Opens all and has one answer on each.
  Outcome<void> open() {
    last_ = Steady::now();
    while (answered_ < run_.count) {
      while (fds_.size() < run_.count && fds_.size() - answered_ < run_.parallel) {
        const int fd = caller_.begin(true);
        if (fd < 0) return system_failure(fmt::format("connection {}", fds_.size() + 1));
        fds_.emplace_back(fd);
        got_[fd] = -1;
        if (!loop_.add(fd, EPOLLOUT)) return system_failure("epoll_ctl");
      }
      if (auto done = step(); !done) return done;
    }
    return {};
  }

  Outcome<void> ask_all() {
    answered_ = 0;
    last_ = Steady::now();
    std::size_t asked = 0;
    while (answered_ < fds_.size()) {
      for (; asked < fds_.size() && asked - answered_ < run_.parallel; ++asked) {
        if (!Caller::ask(fds_[asked].get(), kKeep)) return system_failure("asking again");
        got_[fds_[asked].get()] = 0;
      }
      if (auto done = step(); !done) return done;
    }
    return {};
  }

 private:
  Outcome<void> step() {
    std::string trouble;
    const int n = loop_.wait(1000, [&](int fd, std::uint32_t events) {
      if (got_[fd] < 0 && (events & EPOLLOUT) != 0) {
        if (!Caller::ask(fd, kKeep) || !loop_.change(fd, EPOLLIN)) trouble = "asking";
        got_[fd] = 0;
        return;
      }
      const int octets = drain(fd);
      if (octets == -2) return;
      if (octets <= 0) {
        trouble = octets == 0 ? "closed by the server" : std::strerror(errno);
        return;
      }
      got_[fd] += octets;
      if (got_[fd] >= static_cast<int>(kAnswer)) ++answered_;
    });
    if (!trouble.empty()) {
      return fail(fmt::format("{} of {} connections were answered, then one failed: {}", answered_,
                              fds_.size(), trouble));
    }
    if (n > 0) last_ = Steady::now();
    if (Steady::now() - last_ > kPatience) {
      return fail(fmt::format("{} of {} connections were answered, then none for 10 s", answered_,
                              fds_.size()));
    }
    return {};
  }

  ConnectionRun run_;
  Loop loop_;
  Caller caller_;
  std::vector<lab::Fd> fds_;
  Octets got_;
  std::size_t answered_ = 0;
  Steady::time_point last_;
};

}  // namespace

Outcome<void> serve_connections() {
  if (auto raised = raise_file_limit(); !raised) return raised;
  auto server = Server::create();
  if (!server) return std::unexpected(server.error());
  fmt::print("serving\n");
  std::fflush(stdout);
  server->serve();
  return {};
}

Outcome<ConnectionReport> rate_of_connections(const ConnectionRun& run) {
  if (auto raised = raise_file_limit(); !raised) return std::unexpected(raised.error());
  auto loop = Loop::create();
  if (!loop) return std::unexpected(loop.error());
  Caller caller(run.server);
  Octets asked;
  ConnectionReport report;
  std::uint32_t under_way = 0;
  const auto begin = Steady::now();
  const auto end = begin + std::chrono::seconds(run.seconds);
  auto last = begin;
  const auto finish = [&](int fd, bool well) {
    close(fd);
    --under_way;
    ++(well ? report.done : report.failed);
  };
  while (Steady::now() < end || under_way > 0) {
    while (Steady::now() < end && under_way < run.parallel) {
      const int fd = caller.begin(false);
      if (fd < 0 || !loop->add(fd, EPOLLOUT)) return system_failure("connecting");
      asked[fd] = -1;
      ++under_way;
    }
    const int n = loop->wait(100, [&](int fd, std::uint32_t) {
      if (asked[fd] < 0) {
        asked[fd] = 0;
        if (!Caller::ask(fd, kClose) || !loop->change(fd, EPOLLIN)) finish(fd, false);
        return;
      }
      const int octets = drain(fd);
      if (octets == -2) return;
      if (octets > 0) {
        asked[fd] += octets;
      } else {
        finish(fd, octets == 0 && asked[fd] == static_cast<int>(kAnswer));
      }
    });
    if (n > 0) last = Steady::now();
    if (Steady::now() - last > kPatience) {
      report.failed += under_way;
      break;
    }
  }
  report.seconds = std::chrono::duration<double>(last - begin).count();
  return report;
}

Outcome<void> hold_connections(const ConnectionRun& run) {
  if (auto raised = raise_file_limit(); !raised) return raised;
  auto loop = Loop::create();
  if (!loop) return std::unexpected(loop.error());
  Holder holder(run, std::move(*loop));
  if (auto opened = holder.open(); !opened) return opened;
  fmt::print("open {}\n", run.count);
  std::fflush(stdout);
  std::array<char, 16> line;
  for (std::uint32_t round = 1; read(STDIN_FILENO, line.data(), line.size()) > 0; ++round) {
    if (auto asked = holder.ask_all(); !asked) return asked;
    fmt::print("answered {} in round {}\n", run.count, round);
    std::fflush(stdout);
  }
  return {};
}

std::string to_line(const ConnectionReport& report) {
  return fmt::format("{} {} {}", report.done, report.failed, report.seconds);
}

Outcome<ConnectionReport> parse_connection_report(std::string_view line) {
  std::istringstream words{std::string(line)};
  ConnectionReport report;
  if (words >> report.done >> report.failed >> report.seconds) return report;
  return fail(fmt::format("not an account of connections: {}", line));
}

}  // namespace vtl::bench
