// A trivial forwarder between two interfaces, for tests of interfaces: what one reads the other
// writes. Runs on a thread of its own until destroyed.
#pragma once

#include <poll.h>

#include <array>
#include <atomic>
#include <memory>
#include <thread>
#include <utility>

#include "vtl/iface/interface.h"

namespace vtl::test {

class Forwarder {
 public:
  Forwarder(std::unique_ptr<iface::Interface> a, std::unique_ptr<iface::Interface> b)
      : a_(std::move(a)), b_(std::move(b)), thread_([this] { run(); }) {}
  ~Forwarder() {
    stop_.store(true);
    thread_.join();
  }
  Forwarder(const Forwarder&) = delete;
  Forwarder& operator=(const Forwarder&) = delete;

  /// Counters only, while it runs.
  [[nodiscard]] const iface::Interface& a() const { return *a_; }
  [[nodiscard]] const iface::Interface& b() const { return *b_; }

 private:
  struct Way {
    iface::Interface& from;
    iface::Interface& to;
    Batch waiting{};
    bool closed = false;
  };

  void pass(Way& way, PacketPool& pool) {
    if (way.waiting.empty() &&
        way.from.read(pool, clock_.now(), way.waiting) == iface::ReadStatus::kClosed) {
      way.closed = true;
    }
    const std::size_t done = way.to.write(way.waiting);
    way.waiting.erase(way.waiting.begin(), way.waiting.begin() + static_cast<std::ptrdiff_t>(done));
  }

  void run() {
    PacketPool pool;
    {
      std::array<Way, 2> ways{Way{*a_, *b_}, Way{*b_, *a_}};
      while (!stop_.load()) {
        std::array<pollfd, 2> fds{};
        for (std::size_t i = 0; i < 2; ++i) {
          fds[i] = {ways[i].closed ? -1 : ways[i].from.fd(), POLLIN, 0};
        }
        const bool waiting = !ways[0].waiting.empty() || !ways[1].waiting.empty();
        ::poll(fds.data(), fds.size(), waiting ? 1 : 20);
        for (Way& way : ways) pass(way, pool);
      }
    }
    // Interfaces keep buffers of the pool: they go first.
    a_.reset();
    b_.reset();
  }

  SystemClock clock_;
  std::unique_ptr<iface::Interface> a_, b_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace vtl::test
