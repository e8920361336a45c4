// PeerStream and PendingStream: what a service holds of a connection.
//
// Thin handles: the connection may end before them and detaches them then. Thread rule: the
// reactor's thread.
#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "vtl/transport/connection.h"
#include "vtl/transport/transport.h"

namespace vtl::transport {

class PeerStream final : public Stream {
 public:
  explicit PeerStream(Connection& connection) : connection_(&connection) {}
  ~PeerStream() override {
    if (connection_ != nullptr) connection_->release_stream();
  }
  std::size_t write(Bytes bytes) override {
    return connection_ != nullptr ? connection_->write(bytes) : 0;
  }
  std::size_t read(MutableBytes out) override {
    return connection_ != nullptr ? connection_->read(out) : 0;
  }
  bool at_end() const noexcept override {
    return connection_ != nullptr ? connection_->at_end() : finished_;
  }
  void shutdown() override {
    if (connection_ != nullptr) connection_->shutdown();
  }
  void abort(StreamError reason) override {
    if (connection_ != nullptr) std::exchange(connection_, nullptr)->abort(reason);
  }
  Duration round_trip() const noexcept override {
    return connection_ != nullptr ? connection_->round_trip() : Duration::zero();
  }
  std::size_t unsent() const noexcept override {
    return connection_ != nullptr ? connection_->unsent() : 0;
  }

  /// The connection is gone.
  void detach() noexcept { connection_ = nullptr; }
  /// The stream ended in order both ways; the connection carries others now.
  void finish() noexcept {
    connection_ = nullptr;
    finished_ = true;
  }

 private:
  Connection* connection_;
  bool finished_ = false;
};

/// A stream that never had a connection: its refusal is on the way.
class RefusedStream final : public Stream {
 public:
  std::size_t write(Bytes) override { return 0; }
  std::size_t read(MutableBytes) override { return 0; }
  bool at_end() const noexcept override { return false; }
  void shutdown() override {}
  void abort(StreamError) override { *alive_ = false; }
  Duration round_trip() const noexcept override { return Duration::zero(); }
  std::size_t unsent() const noexcept override { return 0; }
  ~RefusedStream() override { *alive_ = false; }
  [[nodiscard]] std::shared_ptr<const bool> alive() const { return alive_; }

 private:
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

class PendingStream final : public IncomingStream {
 public:
  PendingStream(Connection& connection, Bytes preface)
      : connection_(&connection),
        from_(connection.peer_address()),
        preface_(preface.begin(), preface.end()) {}
  ~PendingStream() override {
    if (connection_ != nullptr) connection_->refuse(StreamError::kLimit);
  }
  Bytes preface() const noexcept override { return preface_; }
  wire::SocketAddress from() const noexcept override { return from_; }
  std::unique_ptr<Stream> accept(StreamHandler& handler) override {
    return connection_ != nullptr ? std::exchange(connection_, nullptr)->accept(handler) : nullptr;
  }
  void refuse(StreamError reason) override {
    if (connection_ != nullptr) std::exchange(connection_, nullptr)->refuse(reason);
  }
  void on_cancelled(std::function<void()> callback) override {
    on_cancelled_ = std::move(callback);
  }

  void detach() noexcept { connection_ = nullptr; }
  void cancelled() {
    connection_ = nullptr;
    if (on_cancelled_) std::exchange(on_cancelled_, nullptr)();
  }

 private:
  Connection* connection_;
  wire::SocketAddress from_;
  std::vector<std::uint8_t> preface_;
  std::function<void()> on_cancelled_;
};

}  // namespace vtl::transport
