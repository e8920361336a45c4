// PeerTransport: the streams to and from one peer on one worker, over any kind of channel.
//
// Theory of operation. It owns the connections. To open a stream it takes a ready connection that
// is idle, or makes one; in the background it keeps Options::warm of them ready. An attempt that
// fails marks the peer down: streams are refused at once then, and a probe tries again after a time
// that doubles. A connection that breaks is tried again at once. Idle
// connections are asked whether the peer lives: one that is silent, or a peer that comes back as
// another instance, ends all streams with the instance that is gone. Streams from the peer come
// over the hub (hub.h) of the local address.
//
// Connections die in callbacks and are destroyed in the deferred turn, a posted task that also
// sends what was gathered in a turn and tells handlers what may not be told inside their own calls.
//
// Thread rule: the reactor's thread. Bounds: max_streams streams; `memory` octets under way toward
// here, which is what their windows add up to; as many idle connections as kMaxIdle; max_half_open
// greeted connections.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include <absl/container/flat_hash_map.h>
#include "vtl/transport/connection.h"
#include "vtl/transport/hub.h"
#include "vtl/transport/kind.h"
#include "vtl/transport/options.h"
#include "vtl/transport/transport.h"

namespace vtl::transport {

class PeerTransport final : public Transport, public ConnectionOwner, public HubMember {
 public:
  static Outcome<std::unique_ptr<Transport>> make(const Kind& kind, const Options& options,
                                                  Reactor& reactor);
  ~PeerTransport() override;

  // Transport
  std::string_view kind() const noexcept override { return kind_.name; }
  std::unique_ptr<Stream> open(Bytes preface, StreamHandler& handler) override;
  void listen(std::function<void(std::unique_ptr<IncomingStream>)> on_incoming) override {
    on_incoming_ = std::move(on_incoming);
  }
  bool peer_up() const noexcept override { return up_; }
  const TransportCounters& counters() const noexcept override { return counters_; }
  const RateCounters* rate_counters() const noexcept override { return carrier_->rate_counters(); }
  wire::SocketAddress local_address() const noexcept override;

  // ConnectionOwner
  Reactor& reactor() noexcept override { return reactor_; }
  TransportCounters& counters_mutable() noexcept override { return counters_; }
  std::optional<Key> find_key(const KeyId& id) noexcept override;
  const Key& own_key() const noexcept override { return key_; }
  const Instance& instance() const noexcept override { return instance_; }
  void defer(Connection& connection) override;
  void on_ready(Connection& connection) override;
  bool on_open_request(Connection& connection, Bytes preface) override;
  void on_free(Connection& connection) override;
  void on_dead(Connection& connection, std::optional<StreamError> reason) override;
  void on_authentication_failure(const Connection& connection, std::string_view why) override;
  bool widen(std::size_t more) noexcept override;
  void narrow(std::size_t less) noexcept override { counters_.window_bytes.sub(less); }
  bool tight() const noexcept override;
  std::size_t share() const noexcept override;
  std::size_t max_window() const noexcept override;
  Duration linger() const noexcept override { return options_.linger; }
  Duration handshake_timeout() const noexcept override { return options_.handshake_timeout; }
  Duration answer_timeout() const noexcept override { return options_.answer_timeout; }

  // HubMember
  const Options& options() const noexcept override { return options_; }
  std::weak_ptr<void> alive() const noexcept override { return alive_; }
  Outcome<void> become_home() override;
  void take_over(Connection::Moved moved) override;

 private:
  static constexpr std::size_t kMaxIdle = 64;

  PeerTransport(const Kind& kind, const Options& options, Reactor& reactor);
  Connection* attempt();
  Connection& add(std::unique_ptr<Connection> connection);
  void on_accept(int pipe, const wire::SocketAddress& from);
  void deliver(Connection& connection, Bytes preface);
  void refill();
  void mark_down();
  void heartbeat();
  template <class Lost>
  void fail_all(Lost lost);
  void run_deferred();
  void set_busy(Connection& connection, bool busy);
  [[nodiscard]] bool has_room() noexcept;
  void set_half_open(Connection& connection, bool half_open);
  std::unique_ptr<Stream> refused(StreamHandler& handler, StreamError reason);

  const Kind& kind_;
  Options options_;
  Reactor& reactor_;
  Key key_;
  Instance instance_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  TransportCounters counters_;
  std::function<void(std::unique_ptr<IncomingStream>)> on_incoming_;

  bool up_ = true;
  Duration backoff_;
  Timer probe_;
  Timer heartbeat_;
  std::size_t streams_ = 0;
  std::size_t half_open_ = 0;
  std::size_t attempts_ = 0;  // opened connections that are not ready and carry no stream
  bool deferred_posted_ = false;

  std::unique_ptr<Carrier> carrier_;
  std::shared_ptr<Hub> hub_;
  std::unique_ptr<RawListener> listener_;
  absl::flat_hash_map<Connection*, std::unique_ptr<Connection>> connections_;
  std::vector<Connection*> idle_;      // ready, opened here, without a stream; the last is taken
  std::vector<Connection*> deferred_;  // to be run in the deferred turn
};

}  // namespace vtl::transport
