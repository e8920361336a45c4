// Two gateways, the segments on their guest sides, and nothing else: on a virtual clock.
//
//   client endpoints -- [ gateway A ] == memory transport == [ gateway B ] -- server endpoints
//
// The segment between an endpoint and its gateway may lose frames (seeded). Frames that a gateway
// lets pass toward the network reach the other gateway's network side, as on a bridge.
#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "tests/support/memory_transport.h"
#include "tests/support/virtual_hosts.h"
#include "vtl/service/gateway/gateway.h"

namespace vtl::test {

class GatewayWorld {
 public:
  explicit GatewayWorld(service::GatewayOptions options = {}, double loss = 0,
                        std::uint64_t seed = 1, std::size_t stream_capacity = 256 << 10)
      : rng_(seed),
        loss_(loss),
        transport_a_(reactor, stream_capacity),
        transport_b_(reactor, stream_capacity),
        context_a_(reactor, pool, &transport_a_),
        context_b_(reactor, pool, &transport_b_) {
    MemoryTransport::join(transport_a_, transport_b_);
    options.peer = "peer";
    gateway_a = std::move(service::Gateway::create(options).value());
    gateway_b = std::move(service::Gateway::create(options).value());
    client.mac = kClientMac;
    client.ip = wire::Ipv4Address(10, 0, 0, 1);
    server.mac = kServerMac;
    server.ip = wire::Ipv4Address(10, 0, 0, 2);
    gateway_a->start(context_a_);
    gateway_b->start(context_b_);
  }

  ~GatewayWorld() {
    gateway_a.reset();
    gateway_b.reset();
  }

  /// A connection from the client to the server's port 80.
  TestHost::Connection& connect(std::uint16_t port, const endpoint::Config& config,
                                std::uint16_t vlan = 0) {
    wire::FlowKey key;
    key.source = {client.ip, wire::Port(port)};
    key.destination = {server.ip, wire::Port(80)};
    key.vlan = vlan;
    return client.connect(key, server.mac, config,
                          wire::SeqNum(static_cast<std::uint32_t>(rng_.next())), reactor.now());
  }

  bool run_until(const std::function<bool()>& done, Duration bound) {
    return run_hosts(reactor, {&client, &server}, done, bound, [this] { return turn(); });
  }
  void wait(Duration duration) {
    run_until([] { return false; }, duration);
  }

  [[nodiscard]] TestContext& context_a() { return context_a_; }
  [[nodiscard]] TestContext& context_b() { return context_b_; }
  bool mark_ce = false;  ///< the segments' queues mark what may be marked (RFC 3168)
  void peer_up(bool up) { transport_a_.up = transport_b_.up = up; }

  // In the order of who needs whom: packets die before the pool, gateways before their contexts.
  PacketPool pool;
  VirtualReactor reactor;
  TestHost client;
  TestHost server;
  std::unique_ptr<service::Gateway> gateway_a;
  std::unique_ptr<service::Gateway> gateway_b;

 private:
  bool turn() {
    bool progress = false;
    progress |= dispatch(client, *gateway_a);
    progress |= dispatch(server, *gateway_b);
    progress |= deliver(context_a_, client, *gateway_b);
    progress |= deliver(context_b_, server, *gateway_a);
    return progress;
  }

  bool dispatch(TestHost& host, service::Gateway& gateway) {
    Batch batch = host.dispatch(pool, reactor.now(), mark_ce);
    const bool any = !batch.empty();
    pass(gateway, engine::Direction::kOutbound, batch);
    return any;
  }

  void pass(service::Gateway& gateway, engine::Direction direction, Batch& batch) {
    std::erase_if(batch, [&](const Packet& p) { return !p || rng_.chance(loss_); });
    if (!batch.empty()) gateway.process(direction, batch);
    TestContext& from = &gateway == gateway_a.get() ? context_a_ : context_b_;
    for (Packet& p : batch) {
      if (p) from.emitted[static_cast<std::size_t>(direction)].push_back(std::move(p));
    }
  }

  bool deliver(TestContext& context, TestHost& host, service::Gateway& other) {
    Batch inbound = std::exchange(context.emitted[1], {});
    for (Packet& packet : inbound) {
      if (!rng_.chance(loss_)) host.receive(std::move(packet), reactor.now());
    }
    Batch outbound = std::exchange(context.emitted[0], {});
    const bool any = !outbound.empty() || !inbound.empty();
    pass(other, engine::Direction::kInbound, outbound);
    return any;
  }

  Rng rng_;
  double loss_;
  MemoryTransport transport_a_;
  MemoryTransport transport_b_;
  TestContext context_a_;
  TestContext context_b_;
};

inline void serve(GatewayWorld& world) {
  world.server.on_syn = [&world](const wire::FlowKey& key, const endpoint::Segment& syn) {
    return std::make_unique<endpoint::Endpoint>(
        endpoint::Endpoint::accept_syn({}, {key.source.port, key.destination.port},
                                       wire::SeqNum(77), syn, false, world.reactor.now()));
  };
}

inline endpoint::Endpoint* client_side(GatewayWorld& world, std::uint16_t port) {
  for (auto& [key, connection] : world.client.connections) {
    if (key.source.port.value() == port) return connection.endpoint.get();
  }
  return nullptr;
}

inline TestHost::Connection* server_side(GatewayWorld& world, std::uint16_t client_port) {
  for (auto& [key, connection] : world.server.connections) {
    if (key.destination.port.value() == client_port) return &connection;
  }
  return nullptr;
}

/// Both ends of the client's connection from `port` say what they can; true when all was said.
inline bool converse(GatewayWorld& world, std::uint16_t port, Talker& from_client,
                     Talker& from_server) {
  const Time now = world.reactor.now();
  endpoint::Endpoint* const client = client_side(world, port);
  const bool said = client == nullptr || from_client.step(*client, now);
  auto* const server = server_side(world, port);
  return server != nullptr && from_server.step(*server->endpoint, now) && said;
}

inline double metric(const service::Gateway& gateway, std::string_view name) {
  return metric_of(gateway, name);
}

/// The server's end of an established connection whose client takes 16 KiB and no more until it
/// reads. Null: it was not established.
inline endpoint::Endpoint* stalled_client(GatewayWorld& world, std::uint16_t port) {
  endpoint::Config small;
  small.receive_buffer = 16 << 10;
  auto& client = world.connect(port, small);
  const bool established = world.run_until(
      [&] {
        return server_side(world, port) != nullptr &&
               client.endpoint->state() == endpoint::State::kEstablished;
      },
      5s);
  return established ? server_side(world, port)->endpoint.get() : nullptr;
}

}  // namespace vtl::test
