// Two Transports joined in memory, on one Reactor: the contract of transport.h without a network.
//
// Each direction of a stream buffers at most `capacity` octets, so backpressure is real. Everything
// is called back through post(), never from inside the call that caused it. A reset is told after
// the octets before it were read.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "vtl/transport/transport.h"

namespace vtl::test {

class MemoryTransport final : public transport::Transport {
 public:
  MemoryTransport(Reactor& reactor, std::size_t capacity)
      : reactor_(reactor), capacity_(capacity) {}
  static void join(MemoryTransport& a, MemoryTransport& b) {
    a.other_ = &b;
    b.other_ = &a;
  }

  [[nodiscard]] std::string_view kind() const noexcept override { return "memory"; }
  [[nodiscard]] bool peer_up() const noexcept override { return up; }
  [[nodiscard]] const transport::TransportCounters& counters() const noexcept override {
    return counters_;
  }
  void listen(std::function<void(std::unique_ptr<transport::IncomingStream>)> on) override {
    on_incoming_ = std::move(on);
  }

  [[nodiscard]] std::unique_ptr<transport::Stream> open(
      Bytes preface, transport::StreamHandler& handler) override {
    auto pipe = std::make_shared<Pipe>();
    pipe->ends[0].handler = &handler;
    pipe->capacity = capacity_;
    pipe->reactor = &reactor_;
    reactor_.post([this, pipe, bytes = std::vector<std::uint8_t>(preface.begin(), preface.end())] {
      if (!up || !other_->on_incoming_) {
        if (auto* h = std::exchange(pipe->ends[0].handler, nullptr)) {
          h->on_refused(transport::StreamError::kPeerDown);
        }
        return;
      }
      other_->on_incoming_(std::make_unique<Incoming>(pipe, bytes));
    });
    return std::make_unique<End>(pipe, 0);
  }

  bool up = true;

 private:
  struct Side {
    transport::StreamHandler* handler = nullptr;
    std::deque<std::uint8_t> inbox;                 // octets this side can read
    bool shut = false;                              // this side writes no more
    bool aborted = false;                           // and not for an end in order
    bool starved = true;                            // owed an on_readable
    bool blocked = false;                           // owed an on_writable
    std::optional<transport::StreamError> reset{};  // owed once the inbox is empty
  };
  struct Pipe {
    std::array<Side, 2> ends;
    std::size_t capacity = 0;
    Reactor* reactor = nullptr;
    std::function<void()> cancelled;
  };

  static void call(const std::shared_ptr<Pipe>& pipe, int side,
                   void (transport::StreamHandler::*what)()) {
    pipe->reactor->post([pipe, side, what] {
      if (auto* h = pipe->ends[static_cast<std::size_t>(side)].handler) (h->*what)();
    });
  }

  static void tell_reset(const std::shared_ptr<Pipe>& pipe, int side) {
    auto& end = pipe->ends[static_cast<std::size_t>(side)];
    if (!end.reset) return;
    pipe->reactor->post([pipe, &end, reason = *std::exchange(end.reset, std::nullopt)] {
      if (auto* h = std::exchange(end.handler, nullptr)) h->on_reset(reason);
    });
  }

  class End final : public transport::Stream {
   public:
    End(std::shared_ptr<Pipe> pipe, int side) : pipe_(std::move(pipe)), side_(side) {}
    ~End() override {
      if (!(me().shut && peer().shut)) abort(transport::StreamError::kReset);
      me().handler = nullptr;
      if (pipe_->cancelled) pipe_->reactor->post(std::exchange(pipe_->cancelled, nullptr));
    }
    std::size_t write(Bytes bytes) override {
      if (me().shut) return 0;
      const std::size_t room = pipe_->capacity - std::min(pipe_->capacity, peer().inbox.size());
      const std::size_t n = std::min(room, bytes.size());
      peer().inbox.insert(peer().inbox.end(), bytes.begin(),
                          bytes.begin() + static_cast<std::ptrdiff_t>(n));
      if (n < bytes.size()) me().blocked = true;
      if (n > 0) wake_reader();
      return n;
    }
    std::size_t read(MutableBytes out) override {
      const std::size_t n = std::min(out.size(), me().inbox.size());
      std::copy_n(me().inbox.begin(), n, out.begin());
      me().inbox.erase(me().inbox.begin(), me().inbox.begin() + static_cast<std::ptrdiff_t>(n));
      if (n == 0 && !at_end()) me().starved = true;
      if (me().inbox.empty()) tell_reset(pipe_, side_);
      if (n > 0 && peer().blocked) {
        peer().blocked = false;
        call(pipe_, 1 - side_, &transport::StreamHandler::on_writable);
      }
      return n;
    }
    [[nodiscard]] bool at_end() const noexcept override {
      return me().inbox.empty() && peer().shut && !peer().aborted;
    }
    void shutdown() override {
      me().shut = true;
      wake_reader();
    }
    void abort(transport::StreamError reason) override {
      if (me().shut && peer().shut) return;
      me().shut = peer().shut = me().aborted = true;
      me().handler = nullptr;
      peer().reset = reason;
      if (peer().inbox.empty()) tell_reset(pipe_, 1 - side_);
    }
    [[nodiscard]] Duration round_trip() const noexcept override { return 1ms; }
    [[nodiscard]] std::size_t unsent() const noexcept override { return peer().inbox.size(); }

   private:
    [[nodiscard]] Side& me() const { return pipe_->ends[static_cast<std::size_t>(side_)]; }
    [[nodiscard]] Side& peer() const { return pipe_->ends[static_cast<std::size_t>(1 - side_)]; }
    void wake_reader() {
      if (!peer().starved) return;
      peer().starved = false;
      call(pipe_, 1 - side_, &transport::StreamHandler::on_readable);
    }
    std::shared_ptr<Pipe> pipe_;
    int side_;
  };

  class Incoming final : public transport::IncomingStream {
   public:
    Incoming(std::shared_ptr<Pipe> pipe, std::vector<std::uint8_t> preface)
        : pipe_(std::move(pipe)), preface_(std::move(preface)) {}
    ~Incoming() override {
      if (pipe_) refuse(transport::StreamError::kLimit);
    }
    [[nodiscard]] Bytes preface() const noexcept override { return preface_; }
    [[nodiscard]] wire::SocketAddress from() const noexcept override { return {}; }
    std::unique_ptr<transport::Stream> accept(transport::StreamHandler& handler) override {
      pipe_->ends[1].handler = &handler;
      pipe_->cancelled = nullptr;
      call(pipe_, 0, &transport::StreamHandler::on_open);
      return std::make_unique<End>(std::exchange(pipe_, nullptr), 1);
    }
    void refuse(transport::StreamError reason) override {
      const auto pipe = std::exchange(pipe_, nullptr);
      pipe->cancelled = nullptr;
      pipe->ends[0].shut = pipe->ends[1].shut = true;
      pipe->reactor->post([pipe, reason] {
        if (auto* h = std::exchange(pipe->ends[0].handler, nullptr)) h->on_refused(reason);
      });
    }
    void on_cancelled(std::function<void()> callback) override {
      pipe_->cancelled = std::move(callback);
    }

   private:
    std::shared_ptr<Pipe> pipe_;
    std::vector<std::uint8_t> preface_;
  };

  Reactor& reactor_;
  std::size_t capacity_;
  MemoryTransport* other_ = nullptr;
  std::function<void(std::unique_ptr<transport::IncomingStream>)> on_incoming_;
  transport::TransportCounters counters_;
};

}  // namespace vtl::test
