// Theory of operation. One epoll set, edge-triggered: a socket's readiness is remembered until a
// call says that it is over. A connection speaks SOCKS with its client (State below), then
// connects, then has two ways. A way moves octets from a socket into a pipe and from the pipe into
// the other socket with splice(), which passes pages and copies none. Pipes are lent to a way only
// while it has octets in them, so silent connections cost two sockets. What ends during a batch of
// events is closed after it, so that no event reaches another's descriptor.
#include "bench/socks_relay.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "lab/fd.h"

namespace vtl::bench {
namespace {

using lab::Fd;

constexpr int kPipeSize = 1 << 20;
constexpr std::size_t kMostPipesKept = 1024;
constexpr int kRoundsOfTurn = 8;
constexpr int kBacklog = 4096;
constexpr std::size_t kHandshake = 2048;  // greeting 257, password 513, request 262, and first data
constexpr unsigned kSplice = SPLICE_F_MOVE | SPLICE_F_NONBLOCK;

// RFC 1928, 6.
enum class Reply : std::uint8_t {
  kDone = 0,
  kFailure = 1,
  kNetworkUnreachable = 3,
  kHostUnreachable = 4,
  kRefused = 5,
  kNoSuchCommand = 7,
  kNoSuchAddress = 8,
};

Reply reply_for(int error) {
  switch (error) {
    case ECONNREFUSED:
      return Reply::kRefused;
    case ENETUNREACH:
      return Reply::kNetworkUnreachable;
    case EHOSTUNREACH:
    case ETIMEDOUT:
      return Reply::kHostUnreachable;
    default:
      return Reply::kFailure;
  }
}

std::unexpected<Error> system_failure(std::string_view what) {
  return fail(fmt::format("{}: {}", what, std::strerror(errno)));
}

struct Pipe {
  Fd read, write;
};

struct Side {
  Fd fd;
  bool readable = false, writable = false;
};

/// Octets from one side to the other.
struct Way {
  std::optional<Pipe> pipe;
  std::size_t held = 0;   // octets in the pipe
  bool at_end = false;    // the source has ended
  bool finished = false;  // and the other side knows
};

enum class State : std::uint8_t { kGreeting, kPassword, kRequest, kConnecting, kRelaying, kOver };

struct Connection {
  State state = State::kGreeting;
  std::array<Side, 2> sides;  // client, server
  std::array<Way, 2> ways;    // from the client, from the server
  std::vector<char> input;    // of the handshake; then what came behind the request
};

struct Target {
  sockaddr_storage address{};
  socklen_t size = 0;
};

std::optional<Target> target_of(int family, const void* octets, std::uint16_t port) {
  Target target;
  if (family == AF_INET) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    std::memcpy(&in.sin_addr, octets, 4);
    std::memcpy(&target.address, &in, target.size = sizeof in);
  } else {
    sockaddr_in6 in{};
    in.sin6_family = AF_INET6;
    in.sin6_port = htons(port);
    std::memcpy(&in.sin6_addr, octets, 16);
    std::memcpy(&target.address, &in, target.size = sizeof in);
  }
  return target;
}

class Relay {
 public:
  explicit Relay(const SocksRelayOptions& options) : options_(options) {}

  Outcome<void> open();
  void serve();

 private:
  static constexpr std::uint64_t kInput = UINT64_MAX;
  static constexpr std::uint64_t kListener = UINT64_MAX - 1;

  bool watch(int fd, std::uint32_t events, std::uint64_t name) {
    epoll_event event{.events = events, .data = {.u64 = name}};
    return ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
  }
  void accept_some();
  void handle(std::uint64_t name, std::uint32_t events);
  void advance(std::size_t slot);
  void shake_hands(std::size_t slot);
  std::size_t take_greeting(Connection& c);
  std::size_t take_password(Connection& c);
  std::size_t take_request(std::size_t slot);
  void connect(std::size_t slot, const Target& target);
  void connected(Connection& c, std::uint32_t events);
  void answer(Connection& c, Reply reply);
  bool move(Connection& c, std::size_t from);
  void finish(Connection& c, bool reset);
  std::optional<Pipe> lend();
  void give_back(Way& way);
  void sweep();

  const SocksRelayOptions& options_;
  Fd epoll_, listener_;
  bool accepting_ = true;
  std::vector<std::unique_ptr<Connection>> slots_;
  std::vector<std::size_t> free_, over_, again_;
  std::vector<Pipe> pipes_;
};

Outcome<void> Relay::open() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return system_failure("getrlimit");
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) return system_failure("raising the limit of files");
  epoll_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
  listener_ = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(options_.port);
  if (::inet_pton(AF_INET, options_.address.c_str(), &address.sin_addr) != 1)
    return fail(fmt::format("'{}' is no IPv4 address", options_.address));
  const int on = 1;
  ::setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (!epoll_ || !listener_ ||
      ::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener_.get(), kBacklog) != 0)
    return system_failure(fmt::format("listening on {}:{}", options_.address, options_.port));
  // Standard input may be a file, which epoll refuses: then only a signal ends the program.
  (void)watch(STDIN_FILENO, EPOLLIN, kInput);
  if (!watch(listener_.get(), EPOLLIN, kListener)) return system_failure("epoll_ctl");
  return {};
}

void Relay::serve() {
  std::array<epoll_event, 256> events;
  for (;;) {
    const int n = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()),
                               again_.empty() ? -1 : 0);
    for (int i = 0; i < n; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      if (event.data.u64 == kInput) {
        char octet;
        if (::read(STDIN_FILENO, &octet, 1) <= 0) return;
      } else if (event.data.u64 == kListener) {
        accept_some();
      } else {
        handle(event.data.u64, event.events);
      }
    }
    for (const std::size_t slot : std::exchange(again_, {})) advance(slot);
    sweep();
  }
}

void Relay::accept_some() {
  for (int i = 0; i < 64; ++i) {
    if (slots_.size() - free_.size() >= options_.connections) {
      // Until one is over the others wait in the kernel's queue.
      ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, listener_.get(), nullptr);
      accepting_ = false;
      return;
    }
    Fd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd) return;
    const int on = 1;
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (free_.empty()) {
      free_.push_back(slots_.size());
      slots_.push_back(nullptr);
    }
    const std::size_t slot = free_.back();
    free_.pop_back();
    slots_[slot] = std::make_unique<Connection>();
    Connection& c = *slots_[slot];
    c.sides[0] = {.fd = std::move(fd), .readable = false, .writable = false};
    if (!watch(c.sides[0].fd.get(), EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, slot << 1))
      finish(c, true);
  }
}

void Relay::handle(std::uint64_t name, std::uint32_t events) {
  const std::size_t slot = name >> 1;
  Connection& c = *slots_[slot];
  Side& side = c.sides[name & 1];
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP)) != 0) side.readable = true;
  if ((events & EPOLLOUT) != 0) side.writable = true;
  if (c.state == State::kConnecting && (name & 1) == 1) {
    connected(c, events);
  } else if ((events & EPOLLERR) != 0) {
    finish(c, true);
  }
  advance(slot);
}

void Relay::advance(std::size_t slot) {
  if (!slots_[slot]) return;  // over since it was named
  Connection& c = *slots_[slot];
  if (c.state < State::kConnecting && c.sides[0].readable) shake_hands(slot);
  if (c.state == State::kRelaying) {
    const bool more_out = move(c, 0);
    const bool more_in = c.state == State::kRelaying && move(c, 1);
    if (c.state == State::kRelaying && c.ways[0].finished && c.ways[1].finished) finish(c, false);
    if (c.state == State::kRelaying && (more_out || more_in)) again_.push_back(slot);
  }
  if (c.state == State::kOver) over_.push_back(slot);
}

/// Takes what has come and goes as far as it reaches.
void Relay::shake_hands(std::size_t slot) {
  Connection& c = *slots_[slot];
  std::array<char, kHandshake> some;
  const ssize_t n = ::recv(c.sides[0].fd.get(), some.data(), kHandshake - c.input.size(), 0);
  if (n < 0 && errno == EAGAIN) {
    c.sides[0].readable = false;
    return;
  }
  if (n <= 0) return finish(c, n < 0);
  c.input.insert(c.input.end(), some.data(), some.data() + n);
  std::size_t taken = 1;
  while (taken > 0 && c.state < State::kConnecting) {
    taken = c.state == State::kGreeting   ? take_greeting(c)
            : c.state == State::kPassword ? take_password(c)
                                          : take_request(slot);
    c.input.erase(c.input.begin(), c.input.begin() + static_cast<std::ptrdiff_t>(taken));
  }
  if (c.state < State::kConnecting) {
    if (c.input.size() == kHandshake) return finish(c, true);
    again_.push_back(slot);  // until recv() says that there is no more
  }
}

void say(const Connection& c, std::string_view octets) {
  // Fits any socket buffer; a client that is gone shows by its own event.
  (void)!::send(c.sides[0].fd.get(), octets.data(), octets.size(), MSG_NOSIGNAL);
}

std::uint8_t octet_at(const Connection& c, std::size_t i) {
  return static_cast<std::uint8_t>(c.input[i]);
}

/// RFC 1928, 3. How many octets were taken; none while the greeting is not whole.
std::size_t Relay::take_greeting(Connection& c) {
  if (c.input.size() < 2) return 0;
  const std::size_t size = 2U + octet_at(c, 1);
  if (c.input.size() < size) return 0;
  const char method = options_.user.empty() ? '\x00' : '\x02';
  const std::string_view offered(c.input.data() + 2, size - 2);
  if (octet_at(c, 0) != 5 || offered.find(method) == std::string_view::npos) {
    say(c, std::string_view("\x05\xff", 2));
    finish(c, false);
    return size;
  }
  say(c, std::string{'\x05', method});
  c.state = method == 0 ? State::kRequest : State::kPassword;
  return size;
}

/// RFC 1929, 2.
std::size_t Relay::take_password(Connection& c) {
  if (c.input.size() < 2) return 0;
  const std::size_t user_size = octet_at(c, 1);
  if (c.input.size() < 3 + user_size) return 0;
  const std::size_t size = 3 + user_size + octet_at(c, 2 + user_size);
  if (c.input.size() < size) return 0;
  const std::string_view user(c.input.data() + 2, user_size);
  const std::string_view password(c.input.data() + 3 + user_size, size - 3 - user_size);
  const bool good = octet_at(c, 0) == 1 && user == options_.user && password == options_.password;
  say(c, good ? std::string_view("\x01\x00", 2) : std::string_view("\x01\x01", 2));
  if (good)
    c.state = State::kRequest;
  else
    finish(c, false);
  return size;
}

/// RFC 1928, 4 and 5.
std::size_t Relay::take_request(std::size_t slot) {
  Connection& c = *slots_[slot];
  constexpr std::size_t kFixed = 4;
  if (c.input.size() < kFixed + 1) return 0;
  const std::uint8_t type = octet_at(c, 3);
  const std::size_t length = type == 1 ? 4U : type == 4 ? 16U : 1U + octet_at(c, kFixed);
  const std::size_t size = kFixed + length + 2;
  if (type != 1 && type != 3 && type != 4) {
    answer(c, Reply::kNoSuchAddress);
    return c.input.size();
  }
  if (c.input.size() < size) return 0;
  if (octet_at(c, 0) != 5 || octet_at(c, 1) != 1) {
    answer(c, Reply::kNoSuchCommand);
    return size;
  }
  const auto port = static_cast<std::uint16_t>(octet_at(c, size - 2) << 8 | octet_at(c, size - 1));
  const char* const octets = c.input.data() + kFixed;
  std::optional<Target> target;
  if (type == 3) {
    const auto known = options_.names.find(std::string(octets + 1, length - 1));
    std::array<char, 16> address;
    if (known != options_.names.end()) {
      for (const int family : {AF_INET, AF_INET6})
        if (::inet_pton(family, known->second.c_str(), address.data()) == 1)
          target = target_of(family, address.data(), port);
    }
  } else {
    target = target_of(type == 1 ? AF_INET : AF_INET6, octets, port);
  }
  if (target)
    connect(slot, *target);
  else
    answer(c, Reply::kHostUnreachable);
  return size;
}

void Relay::connect(std::size_t slot, const Target& target) {
  Connection& c = *slots_[slot];
  Fd fd(::socket(target.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int on = 1;
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (!fd ||
      (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&target.address), target.size) != 0 &&
       errno != EINPROGRESS))
    return answer(c, reply_for(errno));
  c.sides[1].fd = std::move(fd);
  c.state = State::kConnecting;
  if (!watch(c.sides[1].fd.get(), EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, slot << 1 | 1))
    answer(c, Reply::kFailure);
}

void Relay::connected(Connection& c, std::uint32_t events) {
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(c.sides[1].fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) return answer(c, reply_for(error));
  if ((events & EPOLLOUT) == 0) return;
  answer(c, Reply::kDone);
  c.state = State::kRelaying;
  // First data: a new connection's buffer has room for a handshake's rest.
  if (!c.input.empty() && ::send(c.sides[1].fd.get(), c.input.data(), c.input.size(),
                                 MSG_NOSIGNAL) != static_cast<ssize_t>(c.input.size()))
    return finish(c, true);
  c.input = {};
}

/// Answers the request; every reply but one is the last word.
void Relay::answer(Connection& c, Reply reply) {
  const std::string text{'\x05', static_cast<char>(reply), 0, 1, 0, 0, 0, 0, 0, 0};
  say(c, text);
  if (reply != Reply::kDone) finish(c, false);
}

/// Moves what can be moved now. True when there may be more at once.
bool Relay::move(Connection& c, std::size_t from) {
  Way& way = c.ways[from];
  Side& source = c.sides[from];
  Side& sink = c.sides[1 - from];
  for (int round = 0; round < kRoundsOfTurn; ++round) {
    bool moved = false;
    if (!way.at_end && source.readable) {
      if (!way.pipe) way.pipe = lend();
      if (!way.pipe) return false;
      const ssize_t n =
          ::splice(source.fd.get(), nullptr, way.pipe->write.get(), nullptr, kPipeSize, kSplice);
      if (n == 0) way.at_end = true;
      if (n > 0) way.held += static_cast<std::size_t>(n);
      if (n < 0 && errno != EAGAIN) return finish(c, true), false;
      // With octets in the pipe it may be the pipe that is full.
      if (n < 0 && way.held == 0) source.readable = false;
      moved = n > 0;
    }
    if (way.held > 0 && sink.writable) {
      const ssize_t n =
          ::splice(way.pipe->read.get(), nullptr, sink.fd.get(), nullptr, way.held, kSplice);
      if (n > 0) way.held -= static_cast<std::size_t>(n);
      if (n < 0 && errno != EAGAIN) return finish(c, true), false;
      if (n < 0) sink.writable = false;
      moved = moved || n > 0;
    }
    if (way.held == 0) give_back(way);
    if (way.held == 0 && way.at_end && !way.finished) {
      ::shutdown(sink.fd.get(), SHUT_WR);
      way.finished = true;
    }
    if (!moved) return false;
  }
  return true;
}

void Relay::finish(Connection& c, bool reset) {
  if (reset) {
    const linger abort{.l_onoff = 1, .l_linger = 0};
    for (const Side& side : c.sides)
      if (side.fd) ::setsockopt(side.fd.get(), SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
  }
  c.state = State::kOver;
}

std::optional<Pipe> Relay::lend() {
  if (!pipes_.empty()) {
    Pipe pipe = std::move(pipes_.back());
    pipes_.pop_back();
    return pipe;
  }
  int ends[2];
  if (::pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) return std::nullopt;
  ::fcntl(ends[1], F_SETPIPE_SZ, kPipeSize);  // what the kernel grants
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

void Relay::give_back(Way& way) {
  if (way.pipe && pipes_.size() < kMostPipesKept) pipes_.push_back(std::move(*way.pipe));
  way.pipe.reset();
}

/// Closes what is over; a connection may be named more than once.
void Relay::sweep() {
  for (const std::size_t slot : over_) {
    if (!slots_[slot]) continue;
    slots_[slot].reset();
    free_.push_back(slot);
  }
  if (!over_.empty() && !accepting_) accepting_ = watch(listener_.get(), EPOLLIN, kListener);
  over_.clear();
}

}  // namespace

Outcome<void> serve_socks(const SocksRelayOptions& options) {
  Relay relay(options);
  if (auto opened = relay.open(); !opened) return opened;
  fmt::print("serving\n");
  std::fflush(stdout);
  relay.serve();
  return {};
}

}  // namespace vtl::bench
