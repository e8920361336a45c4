#include "vtl/transport/peer_transport.h"

#include <fmt/format.h>
#include <bit>

#include <algorithm>
#include <utility>

#include "vtl/base/log.h"
#include "vtl/transport/make_transport.h"
#include "vtl/transport/streams.h"
#include "vtl/transport/tcp_channel.h"
#include "vtl/transport/udt_channel.h"

namespace vtl::transport {

const Kind kUdt{"udt", make_udt_carrier, make_udt_listener, discard_udt};
const Kind kTcp{"tcp", make_tcp_carrier, make_tcp_listener, discard_tcp};

namespace {

/// The instance of what this process opens without listening.
const Instance& process_instance() {
  static const Instance instance = random_instance();
  return instance;
}

template <class T>
Outcome<void> in_range(const Options& options, std::string_view what, T value, T low, T high,
                       std::string_view range) {
  if (value >= low && value <= high) return {};
  return fail(fmt::format("peer {}: {} must be {}", options.name, what, range));
}

}  // namespace

Outcome<void> check(const Options& o) {
  if (!o.remote && !o.local)
    return fail(
        fmt::format("peer {}: needs an address to reach it at, or one to listen on", o.name));
  if (o.remote && (o.remote->address.version() == 0 || o.remote->port.value() == 0))
    return fail(fmt::format("peer {}: its address needs a host and a port", o.name));
  if (o.local && o.local->address.version() == 0)
    return fail(fmt::format("peer {}: the local address needs a host", o.name));
  if (o.remote && o.local && o.remote->address.version() != o.local->address.version())
    return fail(fmt::format("peer {}: {} cannot be reached from {}: one is IPv4, the other IPv6",
                            o.name, to_string(*o.remote), to_string(*o.local)));
  if (o.key.size() < Options::kMinKey)
    return fail(fmt::format("peer {}: the key must have at least {} characters, and has {}", o.name,
                            Options::kMinKey, o.key.size()));
  constexpr std::size_t kKi = 1024;
  for (const auto& ok :
       {in_range(o, "buffer", o.buffer, 64 * kKi, kKi * kKi * kKi, "64 KiB to 1 GiB"),
        in_range(o, "memory", o.memory, kKi * kKi, kKi * kKi * kKi * kKi, "1 MiB to 1 TiB"),
        in_range(o, "udp_buffer", o.udp_buffer, 64 * kKi, 256 * kKi * kKi, "64 KiB to 256 MiB"),
        in_range<std::uint16_t>(o, "mss", o.mss, 576, 9000, "576 to 9000"),
        in_range<std::uint32_t>(o, "warm", o.warm, 0, 64, "0 to 64"),
        in_range<std::uint32_t>(o, "max_streams", o.max_streams, 1, 65536, "1 to 65536"),
        in_range<std::uint32_t>(o, "max_half_open", o.max_half_open, 1, 65536, "1 to 65536"),
        in_range<Duration>(o, "handshake_timeout", o.handshake_timeout, 100ms, 60s,
                           "100 ms to 60 s"),
        in_range<Duration>(o, "answer_timeout", o.answer_timeout, 1s, 600s, "1 s to 600 s"),
        in_range<Duration>(o, "linger", o.linger, 1s, 600s, "1 s to 600 s"),
        in_range<Duration>(o, "idle_timeout", o.idle_timeout, 1s, 3600s, "1 s to 1 h"),
        in_range<Duration>(o, "keepalive", o.keepalive, 10ms, 60s, "10 ms to 60 s"),
        in_range<Duration>(o, "silence", o.silence, 50ms, 600s, "50 ms to 600 s"),
        in_range<Duration>(o, "probe_min", o.probe_min, 10ms, 60s, "10 ms to 60 s"),
        in_range<Duration>(o, "probe_max", o.probe_max, o.probe_min, 600s,
                           "at least probe_min and at most 600 s")})
    if (!ok) return ok;
  return {};
}

Outcome<std::unique_ptr<Transport>> make_udt(const Options& options, Reactor& reactor) {
  return PeerTransport::make(kUdt, options, reactor);
}
Outcome<std::unique_ptr<Transport>> make_tcp(const Options& options, Reactor& reactor) {
  return PeerTransport::make(kTcp, options, reactor);
}

Outcome<std::unique_ptr<Transport>> PeerTransport::make(const Kind& kind, const Options& options,
                                                        Reactor& reactor) {
  if (auto ok = check(options); !ok) return std::unexpected(ok.error());
  std::unique_ptr<PeerTransport> transport(new PeerTransport(kind, options, reactor));
  if (options.local) {
    transport->hub_ = Hub::get(kind, *options.local);
    transport->instance_ = transport->hub_->instance();
    if (auto joined = transport->hub_->join(*transport); !joined) {
      transport->hub_.reset();
      return std::unexpected(joined.error());
    }
    transport->options_.local = transport->local_address();  // the port that the system chose
  }
  auto carrier = kind.make_carrier(transport->options_, reactor);
  if (!carrier) return std::unexpected(carrier.error());
  transport->carrier_ = std::move(*carrier);
  transport->refill();
  return transport;
}

PeerTransport::PeerTransport(const Kind& kind, const Options& options, Reactor& reactor)
    : kind_(kind),
      options_(options),
      reactor_(reactor),
      key_(options.key),
      instance_(process_instance()),
      backoff_(options.probe_min),
      probe_([this] {
        if (attempts_ == 0) attempt();
      }),
      heartbeat_([this] { heartbeat(); }) {
  reactor_.timers().arm(heartbeat_, reactor_.now() + options_.keepalive);
}

PeerTransport::~PeerTransport() {
  listener_.reset();
  if (hub_) hub_->leave(*this);
  alive_.reset();
  deferred_.clear();
  connections_.clear();
}

wire::SocketAddress PeerTransport::local_address() const noexcept {
  return listener_ ? listener_->address() : options_.local.value_or(wire::SocketAddress{});
}

// --- opening ---

std::unique_ptr<Stream> PeerTransport::refused(StreamHandler& handler, StreamError reason) {
  auto stream = std::make_unique<RefusedStream>();
  counters_.refused.add();
  reactor_.post([alive = stream->alive(), &handler, reason] {
    if (*alive) handler.on_refused(reason);
  });
  return stream;
}

std::unique_ptr<Stream> PeerTransport::open(Bytes preface, StreamHandler& handler) {
  if (preface.size() > kMaxPreface) return refused(handler, StreamError::kProtocol);
  if (!options_.remote || !up_) return refused(handler, StreamError::kPeerDown);
  if (!has_room()) return refused(handler, StreamError::kLimit);
  Connection* connection = nullptr;
  while (connection == nullptr && !idle_.empty()) {
    if (!idle_.back()->dead()) connection = idle_.back();
    idle_.pop_back();
  }
  if (connection == nullptr) {
    connection = attempt();
    if (connection == nullptr) return refused(handler, StreamError::kPeerDown);
    --attempts_;  // it carries a stream now
  }
  set_busy(*connection, true);
  auto stream = connection->open(preface, handler);
  refill();
  return stream;
}

Connection* PeerTransport::attempt() {
  auto channel = carrier_->connect();
  if (!channel) {
    log::debug("{}", channel.error().message);
    mark_down();
    return nullptr;
  }
  ++attempts_;
  return &add(std::make_unique<Connection>(*this, std::move(*channel), Connection::Role::kOpener));
}

Connection& PeerTransport::add(std::unique_ptr<Connection> connection) {
  Connection& ref = *connection;
  connections_.emplace(&ref, std::move(connection));
  return ref;
}

void PeerTransport::refill() {
  if (!options_.remote || !up_) return;
  while (idle_.size() + attempts_ < options_.warm)
    if (attempt() == nullptr) return;
}

void PeerTransport::mark_down() {
  counters_.connect_failures.add();
  if (up_) log::warn("peer {} is down", options_.name);
  up_ = false;
  if (probe_.armed()) return;
  reactor_.timers().arm(probe_, reactor_.now() + backoff_);
  backoff_ = std::min(backoff_ * 2, options_.probe_max);
}

void PeerTransport::on_ready(Connection& connection) {
  if (connection.role() == Connection::Role::kAcceptor) {
    set_half_open(connection, false);
    // The peer keeps some ready for its next streams; more than all bounds together is no use.
    if (connections_.size() > options_.max_streams + options_.max_half_open + kMaxIdle) {
      connection.close();
    }
    return;
  }
  if (!up_) log::info("peer {} is up", options_.name);
  up_ = true;
  backoff_ = options_.probe_min;
  probe_.cancel();
  // The peer listens with one instance at a time: connections to another one lead nowhere.
  fail_all([&](const Connection& other) {
    return other.role() == Connection::Role::kOpener &&
           other.peer_instance() != connection.peer_instance();
  });
  if (!connection.busy) {
    --attempts_;
    idle_.push_back(&connection);
    if (idle_.size() > options_.warm) connection.expire(options_.idle_timeout);
  }
  refill();
}

template <class Lost>
void PeerTransport::fail_all(Lost lost) {
  std::vector<Connection*> gone;  // collected first: failing may add connections
  for (const auto& [connection, owned] : connections_)
    if (connection->proven() && !connection->dead() && lost(*connection))
      gone.push_back(connection);
  for (Connection* connection : gone) connection->lose(StreamError::kPeerDown);
}

void PeerTransport::heartbeat() {
  reactor_.timers().arm(heartbeat_, reactor_.now() + options_.keepalive);
  std::vector<Instance> silent;
  for (const auto& [connection, owned] : connections_)
    if (!connection->beat(options_.silence)) silent.push_back(connection->peer_instance());
  if (silent.empty()) return;
  log::warn("peer {} has been silent for {} ms", options_.name,
            std::chrono::duration_cast<std::chrono::milliseconds>(options_.silence).count());
  fail_all([&](const Connection& other) {
    return std::find(silent.begin(), silent.end(), other.peer_instance()) != silent.end();
  });
}

void PeerTransport::on_free(Connection& connection) {
  set_busy(connection, false);
  if (connection.role() == Connection::Role::kAcceptor) return;
  if (idle_.size() >= kMaxIdle) {
    connection.close();
    return;
  }
  if (idle_.size() >= options_.warm) connection.expire(options_.idle_timeout);
  idle_.push_back(&connection);
}

void PeerTransport::on_dead(Connection& connection, std::optional<StreamError> reason) {
  const bool was_busy = connection.busy;
  set_busy(connection, false);
  set_half_open(connection, false);
  std::erase(idle_, &connection);
  if (connection.role() != Connection::Role::kOpener) return;
  if (!connection.proven()) {
    if (!was_busy) --attempts_;
    if (reason) mark_down();
    return;
  }
  if (reason) refill();
}

// --- accepting ---

Outcome<void> PeerTransport::become_home() {
  auto listener = kind_.make_listener(
      options_, reactor_,
      [this](int pipe, const wire::SocketAddress& from) { on_accept(pipe, from); });
  if (!listener) return std::unexpected(listener.error());
  listener_ = std::move(*listener);
  return {};
}

void PeerTransport::on_accept(int pipe, const wire::SocketAddress& from) {
  if (half_open_ >= options_.max_half_open) {
    counters_.half_open_limited.add();
    kind_.discard(pipe);
    return;
  }
  Connection& connection = add(std::make_unique<Connection>(*this, carrier_->adopt(pipe, from),
                                                            Connection::Role::kAcceptor));
  set_half_open(connection, true);
}

std::optional<Key> PeerTransport::find_key(const KeyId& id) noexcept {
  if (hub_) return hub_->find_key(id);
  return std::nullopt;
}

bool PeerTransport::on_open_request(Connection& connection, Bytes preface) {
  switch (hub_ ? hub_->route(*this, connection.key_id(), preface) : Hub::Route::kHere) {
    case Hub::Route::kHere:
      deliver(connection, preface);
      return false;
    case Hub::Route::kThere:
      hub_->hand_over(*this, connection.move_out(preface));
      return true;
    case Hub::Route::kNowhere:
      break;
  }
  connection.refuse_request(StreamError::kPeerDown);
  return false;
}

void PeerTransport::take_over(Connection::Moved moved) {
  const std::vector<std::uint8_t> preface = std::move(moved.preface);
  auto channel = carrier_->adopt(moved.pipe, moved.from);
  deliver(add(std::make_unique<Connection>(*this, std::move(channel), std::move(moved))), preface);
}

void PeerTransport::deliver(Connection& connection, Bytes preface) {
  if (!on_incoming_ || !has_room()) {
    connection.refuse_request(StreamError::kLimit);
    return;
  }
  set_busy(connection, true);
  on_incoming_(connection.take_request(preface));
}

// --- bookkeeping ---

void PeerTransport::set_busy(Connection& connection, bool busy) {
  if (connection.busy == busy) return;
  connection.busy = busy;
  streams_ += busy ? 1 : std::size_t{0} - 1;
  if (busy) {
    counters_.window_bytes.add(Connection::kFirstWindow);
  } else {
    counters_.window_bytes.sub(connection.window());
  }
}

bool PeerTransport::has_room() noexcept {
  if (streams_ >= options_.max_streams) return false;
  if (counters_.window_bytes.value() + Connection::kFirstWindow <= options_.memory) return true;
  counters_.memory_refused.add();
  return false;
}

bool PeerTransport::tight() const noexcept {
  return counters_.window_bytes.value() > options_.memory / 4 * 3;
}

std::size_t PeerTransport::share() const noexcept {
  return options_.memory / 4 * 3 / std::max<std::size_t>(1, streams_);
}

bool PeerTransport::widen(std::size_t more) noexcept {
  if (counters_.window_bytes.value() + more > options_.memory / 4 * 3) {
    counters_.window_limited.add();
    return false;
  }
  counters_.window_bytes.add(more);
  return true;
}

std::size_t PeerTransport::max_window() const noexcept {
  return std::max(Connection::kFirstWindow, 2 * options_.buffer);
}

void PeerTransport::set_half_open(Connection& connection, bool half_open) {
  if (connection.half_open == half_open) return;
  connection.half_open = half_open;
  half_open_ += half_open ? 1 : std::size_t{0} - 1;
}

void PeerTransport::on_authentication_failure(const Connection& connection, std::string_view why) {
  counters_.authentication_failures.add();
  if (std::has_single_bit(counters_.authentication_failures.value()))
    log::warn("peer {}: {} is not authenticated: {}", options_.name,
              to_string(connection.peer_address()), why);
}

void PeerTransport::defer(Connection& connection) {
  if (connection.deferred) return;
  connection.deferred = true;
  deferred_.push_back(&connection);
  if (std::exchange(deferred_posted_, true)) return;
  reactor_.post([this, alive = std::weak_ptr<bool>(alive_)] {
    if (!alive.expired()) run_deferred();
  });
}

void PeerTransport::run_deferred() {
  deferred_posted_ = false;
  const std::vector<Connection*> turn = std::exchange(deferred_, {});
  for (Connection* connection : turn) connection->deferred = false;
  for (Connection* connection : turn) {
    connection->run_deferred();
    if (connection->dead() && !connection->deferred) connections_.erase(connection);
  }
}

}  // namespace vtl::transport
