#include "vtl/control/server.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <list>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "vtl/base/log.h"
#include "vtl/control/listings.h"
#include "vtl/control/protocol.h"
#include "vtl/control/socket.h"

namespace vtl::control {
namespace {

constexpr std::size_t kDumpChunk = std::size_t{64} << 10;
constexpr Duration kAcceptPause = 1s;

// Errors that say "later", not "over".
bool would_block(int error) {
  return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

struct Connection {
  Descriptor fd;
  Time deadline;
  std::string request{};
  std::string output{};  // what is still to be sent
  std::size_t sent = 0;
  bool answered = false;
  std::unique_ptr<Dump> dump{};
  bool finishing = false;  // the dump takes no more frames; its rest is being sent

  [[nodiscard]] bool has_output() const { return sent < output.size(); }
};

}  // namespace

class Server::Loop {
 public:
  Loop(Listener listener, Descriptor wake, Source& source, const std::function<void()>& on_thread)
      : listener_(std::move(listener)),
        wake_(std::move(wake)),
        source_(source),
        thread_([this, on_thread] {
          on_thread();
          run();
        }) {}

  ~Loop() {
    const std::uint64_t one = 1;
    while (write(wake_.get(), &one, sizeof(one)) < 0 && errno == EINTR) {
    }
    thread_.join();
  }

 private:
  void run() {
    std::vector<pollfd> fds;
    for (;;) {
      // poll() passes over a descriptor of -1.
      const bool accepting = clock_.now() >= accept_from_;
      fds.assign({{wake_.get(), POLLIN, 0}, {accepting ? listener_.get() : -1, POLLIN, 0}});
      for (const auto& connection : connections_) append(fds, connection);
      // Deadlines are checked at every turn, and a turn comes at least once a second.
      if (poll(fds.data(), fds.size(), 1000) < 0 && errno != EINTR) return;
      if (fds[0].revents != 0) return;
      const Time now = clock_.now();
      for (auto it = connections_.begin(); it != connections_.end();) {
        it = advance(*it, now) ? std::next(it) : connections_.erase(it);
      }
      if (fds[1].revents != 0) accept_all(now);
    }
  }

  static void append(std::vector<pollfd>& fds, const Connection& connection) {
    const bool writes = connection.has_output();
    const auto interest = static_cast<short>(writes ? POLLOUT : POLLIN);
    fds.push_back({connection.fd.get(), interest, 0});
    if (connection.dump && !writes) fds.push_back({connection.dump->fd(), POLLIN, 0});
  }

  void accept_all(Time now) {
    for (;;) {
      Descriptor fd(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!fd) {
        if (errno == ECONNABORTED || errno == EINTR) continue;
        if (!would_block(errno)) accept_later(now);
        return;
      }
      starved_ = false;
      if (connections_.size() >= kMaxConnections) continue;
      connections_.push_back({.fd = std::move(fd), .deadline = now + kRequestTime});
    }
  }

  // Out of descriptors or of memory: those who wait stay in the listener's queue meanwhile.
  void accept_later(Time now) {
    accept_from_ = now + kAcceptPause;
    if (!std::exchange(starved_, true)) log::warn(starved_text_);
  }

  // Does what the connection is ready for; false when it is over.
  bool advance(Connection& c, Time now) {
    if (!c.answered && !read_request(c, now)) return false;
    if (c.dump && !c.has_output() && !serve_dump(c, now)) return false;
    if (!send_output(c)) return false;
    if (c.has_output()) return (c.dump && !c.finishing) || now < c.deadline;
    return c.dump != nullptr || (!c.answered && now < c.deadline);
  }

  // False: the client is gone.
  bool read_request(Connection& c, Time now) {
    std::array<char, kMaxRequest> chunk;
    const auto n = recv(c.fd.get(), chunk.data(), chunk.size(), 0);
    if (n < 0) return would_block(errno);
    if (n == 0) return false;
    c.request.append(chunk.data(), static_cast<std::size_t>(n));
    const auto end = c.request.find('\n');
    if (end == std::string::npos && c.request.size() <= kMaxRequest) return true;
    c.answered = true;
    c.deadline = now + kRequestTime;
    answer(c, std::string_view(c.request).substr(0, end));
    return true;
  }

  void answer(Connection& c, std::string_view line) {
    const auto request = parse_request(line);
    if (!request) {
      c.output = failure_line(request.error().message);
      return;
    }
    switch (request->command) {
      case Request::Command::kStatus:
        c.output = success_line(status_json(source_.status()));
        return;
      case Request::Command::kFlows:
        c.output = success_line(flows_json(source_.list_flows()));
        return;
      case Request::Command::kStats:
        c.output = success_line(stats_json(source_.status(), source_.list_metrics()));
        return;
      case Request::Command::kAct: {
        const auto acted = source_.act(request->act);
        c.output = acted ? success_line("\"done\"") : failure_line(acted.error().message);
        return;
      }
      case Request::Command::kStop:
        source_.request_stop();
        c.output = success_line("\"stopping\"");
        return;
      case Request::Command::kDump:
        break;
    }
    auto dump = source_.open_dump(request->dump);
    if (dump) {
      c.dump = std::move(*dump);
      c.output = success_line("\"pcapng follows\"");
    } else {
      c.output = failure_line(dump.error().message);
    }
  }

  // A dump's client says nothing more but that it wants no more: the end of its stream. What it
  // says all the same is read and let go: left where it is it would wake the loop for ever. False:
  // the dump is over.
  static bool serve_dump(Connection& c, Time now) {
    std::array<char, kMaxRequest> chunk;
    const auto n = recv(c.fd.get(), chunk.data(), chunk.size(), MSG_DONTWAIT);
    if (n < 0 && !would_block(errno)) return false;
    if (n == 0 && !std::exchange(c.finishing, true)) c.dump->finish();
    c.output.resize(kDumpChunk);
    c.sent = 0;
    auto* const data = reinterpret_cast<std::uint8_t*>(c.output.data());
    c.output.resize(c.dump->read({data, kDumpChunk}));
    if (!c.finishing) return true;
    c.deadline = now + kRequestTime;
    return c.has_output();
  }

  static bool send_output(Connection& c) {
    while (c.has_output()) {
      const auto n = send(c.fd.get(), c.output.data() + c.sent, c.output.size() - c.sent,
                          MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n < 0) return would_block(errno);
      c.sent += static_cast<std::size_t>(n);
    }
    return true;
  }

  const Listener listener_;
  // Made beforehand: when it is needed there may be nothing to make it with.
  const std::string starved_text_ = fmt::format(
      "control socket {}: no descriptor or memory for a connection; tried again every "
      "second",
      listener_.path());
  const Descriptor wake_;
  Source& source_;
  SystemClock clock_;
  std::list<Connection> connections_;
  Time accept_from_{};    // the listener is not watched before
  bool starved_ = false;  // the last accept found no descriptor or memory
  std::thread thread_;    // last: it uses all of the above
};

Server::Server(std::unique_ptr<Loop> loop) : loop_(std::move(loop)) {}
Server::~Server() = default;

Outcome<std::unique_ptr<Server>> Server::start(Listener listener, Source& source,
                                               const std::function<void()>& on_thread) {
  Descriptor wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake) {
    return fail(fmt::format("control socket {}: {}", listener.path(), std::strerror(errno)));
  }
  return std::unique_ptr<Server>(
      new Server(std::make_unique<Loop>(std::move(listener), std::move(wake), source, on_thread)));
}

}  // namespace vtl::control
