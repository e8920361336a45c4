// A split, a host on each side of it, and nothing else: on a virtual clock.
//
//   client -- [ split ] -- server
//
// Each side may lose frames (seeded). What the split lets pass goes on to the other host, as on a
// bridge.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <utility>

#include "tests/support/virtual_hosts.h"
#include "vtl/service/split/split.h"

namespace vtl::test {

class SplitWorld {
 public:
  explicit SplitWorld(service::SplitOptions options = {}, std::uint64_t seed = 1)
      : context(reactor, pool), rng_(seed) {
    split = std::move(service::Split::create(std::move(options)).value());
    client.mac = kClientMac;
    client.ip = wire::Ipv4Address(10, 0, 0, 1);
    server.mac = kServerMac;
    server.ip = wire::Ipv4Address(10, 0, 0, 2);
    split->start(context);
  }
  ~SplitWorld() { split.reset(); }
  SplitWorld(const SplitWorld&) = delete;
  SplitWorld& operator=(const SplitWorld&) = delete;

  /// The server answers every SYN from now on.
  void serve(const endpoint::Config& config = {}) {
    server.on_syn = [this, config](const wire::FlowKey& key, const endpoint::Segment& syn) {
      return std::make_unique<endpoint::Endpoint>(
          endpoint::Endpoint::accept_syn(config, {key.source.port, key.destination.port},
                                         wire::SeqNum(77), syn, false, reactor.now()));
    };
  }

  /// A connection from the client to the server's port 80.
  TestHost::Connection& connect(std::uint16_t port, const endpoint::Config& config = {},
                                std::uint16_t vlan = 0) {
    return client.connect(key_of(port, vlan), server.mac, config,
                          wire::SeqNum(static_cast<std::uint32_t>(rng_.next())), reactor.now());
  }
  /// The server's end of it; null: there is none.
  [[nodiscard]] TestHost::Connection* server_side(std::uint16_t port, std::uint16_t vlan = 0) {
    const auto it = server.connections.find(key_of(port, vlan).reversed());
    return it == server.connections.end() ? nullptr : &it->second;
  }
  [[nodiscard]] endpoint::Endpoint& client_end(std::uint16_t port) {
    return *client.connections.at(key_of(port)).endpoint;
  }
  [[nodiscard]] endpoint::Endpoint& server_end(std::uint16_t port) {
    return *server.connections.at(key_of(port).reversed()).endpoint;
  }
  [[nodiscard]] bool established(std::uint16_t port) {
    const auto* const there = server_side(port);
    return there != nullptr && there->endpoint->state() == endpoint::State::kEstablished &&
           client_end(port).state() == endpoint::State::kEstablished;
  }
  /// As the client sends it.
  [[nodiscard]] wire::FlowKey key_of(std::uint16_t port, std::uint16_t vlan = 0) const {
    wire::FlowKey key;
    key.source = {client.ip, wire::Port(port)};
    key.destination = {server.ip, wire::Port(80)};
    key.vlan = vlan;
    return key;
  }

  /// Gives the split one frame from the host that sends in `direction`; true: it let it pass.
  bool inject(engine::Direction direction, Packet packet) {
    Batch batch;
    batch.push_back(std::move(packet));
    split->process(direction, batch);
    const bool passed = static_cast<bool>(batch.front());
    if (passed) context.emit(direction, std::move(batch.front()));
    return passed;
  }

  bool run_until(const std::function<bool()>& done, Duration bound) {
    return run_hosts(reactor, {&client, &server}, done, bound, [this] { return turn(); });
  }
  void wait(Duration duration) {
    run_until([] { return false; }, duration);
  }
  [[nodiscard]] double metric(std::string_view name) const { return metric_of(*split, name); }

  // In the order of who needs whom: packets die before the pool, the split before its context.
  PacketPool pool;
  VirtualReactor reactor;
  TestContext context;
  TestHost client;
  TestHost server;
  double client_loss = 0, server_loss = 0;  ///< of the frames of that side, either way
  /// Sees every frame that leaves the split.
  std::function<void(engine::Direction, const Packet&)> watch;
  std::unique_ptr<service::Split> split;

 private:
  bool turn() {
    bool progress = send(client, engine::Direction::kOutbound, client_loss);
    progress |= send(server, engine::Direction::kInbound, server_loss);
    progress |= deliver(server, engine::Direction::kOutbound, server_loss);
    progress |= deliver(client, engine::Direction::kInbound, client_loss);
    return progress;
  }
  bool send(TestHost& host, engine::Direction direction, double loss) {
    Batch batch = host.dispatch(pool, reactor.now());
    const bool any = !batch.empty();
    std::erase_if(batch, [&](const Packet& p) { return !p || rng_.chance(loss); });
    if (!batch.empty()) split->process(direction, batch);
    for (Packet& p : batch) {
      if (p) context.emit(direction, std::move(p));
    }
    return any;
  }
  bool deliver(TestHost& host, engine::Direction direction, double loss) {
    Batch batch = std::exchange(context.emitted[static_cast<std::size_t>(direction)], {});
    for (Packet& packet : batch) {
      if (watch) watch(direction, packet);
      if (!rng_.chance(loss)) host.receive(std::move(packet), reactor.now());
    }
    return !batch.empty();
  }

  Rng rng_;
};

}  // namespace vtl::test
