// A Proxy in memory: what is asked of it is kept, and a test decides what becomes of each stream.
//
// Thread rule: the reactor's thread. Headers only.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/memory_transport.h"
#include "vtl/transport/proxy.h"

namespace vtl::test {

/// "example.org:80", "192.0.2.1:80".
inline std::string text_of(const transport::Destination& to) {
  const auto* const name = std::get_if<std::string>(&to.host);
  return (name != nullptr ? *name : to_string(std::get<wire::IpAddress>(to.host))) + ":" +
         std::to_string(to.port.value());
}

class MemoryProxy final : public transport::Proxy {
 public:
  struct Asked {
    std::string destination;
    std::string isolation;
  };

  explicit MemoryProxy(Reactor& reactor, std::size_t capacity = std::size_t{256} << 10)
      : reactor_(reactor), near_(reactor, capacity), far_(reactor, capacity) {
    MemoryTransport::join(near_, far_);
    far_.listen([this](std::unique_ptr<transport::IncomingStream> incoming) {
      on_stream(std::move(incoming));
    });
  }

  [[nodiscard]] std::string_view kind() const noexcept override { return "memory"; }
  [[nodiscard]] std::unique_ptr<transport::Stream> open(
      const transport::Destination& destination, std::string_view isolation,
      transport::StreamHandler& handler) override {
    asked.push_back({text_of(destination), std::string(isolation)});
    near_.up = is_up;
    const std::string& text = asked.back().destination;
    return near_.open({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}, handler);
  }
  [[nodiscard]] bool looks_up() const noexcept override { return true; }
  [[nodiscard]] std::unique_ptr<transport::LookUp> look_up(
      const transport::Host& host, std::string_view isolation,
      transport::LookUpAnswer answer) override {
    asked.push_back({text_of({host, wire::Port(0)}), std::string(isolation)});
    auto question = std::make_unique<Question>();
    if (holds_look_ups) return question;
    reactor_.post([alive = std::weak_ptr(question->alive), answer = std::move(answer),
                   found = on_look_up(host)] {
      if (!alive.expired()) answer(found);
    });
    return question;
  }
  [[nodiscard]] bool stands_at(const wire::IpAddress& address) override {
    return std::ranges::find(own, address) != own.end();
  }
  [[nodiscard]] bool up() const noexcept override { return is_up; }
  [[nodiscard]] transport::ProxyStatus status() const override { return {}; }
  [[nodiscard]] const transport::ProxyCounters& counters() const noexcept override {
    return counters_;
  }

  bool is_up = true;
  bool holds_look_ups = false;       ///< they have no answer
  std::vector<wire::IpAddress> own;  ///< addresses of the proxy's own host
  std::vector<Asked> asked;
  /// Refuses, until a test says otherwise.
  std::function<void(std::unique_ptr<transport::IncomingStream>)> on_stream =
      [](std::unique_ptr<transport::IncomingStream> incoming) {
        incoming->refuse(transport::StreamError::kRefused);
      };
  std::function<Result<transport::Host, transport::StreamError>(const transport::Host&)>
      on_look_up = [](const transport::Host&) -> Result<transport::Host, transport::StreamError> {
    return std::unexpected(transport::StreamError::kHostUnreachable);
  };

 private:
  struct Question final : transport::LookUp {
    std::shared_ptr<bool> alive = std::make_shared<bool>(true);
  };
  Reactor& reactor_;
  MemoryTransport near_, far_;
  transport::ProxyCounters counters_;
};

/// A server behind a proxy: what it was sent, and what it sends.
class FarEnd final : public transport::StreamHandler {
 public:
  explicit FarEnd(std::unique_ptr<transport::IncomingStream> incoming)
      : stream_(incoming->accept(*this)) {
    read();
  }
  void on_open() override {}
  void on_refused(transport::StreamError) override {}
  void on_readable() override { read(); }
  void on_writable() override { push(); }
  void on_reset(transport::StreamError reason) override { reset = reason; }

  void send(std::string text) {
    out_ += text;
    push();
  }
  void shutdown() { stream_->shutdown(); }
  void abort() { stream_->abort(transport::StreamError::kReset); }

  std::string got;
  bool ended = false;  ///< the guest writes no more
  std::optional<transport::StreamError> reset;

 private:
  void read() {
    if (stream_ == nullptr) return;
    std::array<std::uint8_t, 4096> chunk;
    while (const std::size_t n = stream_->read(chunk)) {
      got.append(reinterpret_cast<const char*>(chunk.data()), n);
    }
    ended = stream_->at_end();
  }
  void push() {
    const std::size_t n =
        stream_->write({reinterpret_cast<const std::uint8_t*>(out_.data()), out_.size()});
    out_.erase(0, n);
  }
  std::string out_;
  std::unique_ptr<transport::Stream> stream_;
};

}  // namespace vtl::test
