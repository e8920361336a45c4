// Two gateways, the segments on their guest sides, and nothing else: on a virtual clock.
//
//   client endpoints -- [ gateway A ] == memory transport == [ gateway B ] -- server endpoints
//
// The segment between an endpoint and its gateway may lose frames (seeded). Frames that a gateway
// lets pass toward the network reach the other gateway's network side, as on a bridge.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/memory_transport.h"
#include "tests/support/virtual_reactor.h"
#include "vtl/base/rng.h"
#include "vtl/packet/access.h"
#include "vtl/packet/derive.h"
#include "vtl/service/gateway/gateway.h"
#include "vtl/service/tcp_frame.h"
#include "vtl/wire/arp.h"

namespace vtl::test {

constexpr std::uint8_t kEct0 = 2, kCe = 3;  // RFC 3168 section 5
inline const wire::MacAddress kClientMac({2, 0, 0, 0, 0, 1});
inline const wire::MacAddress kServerMac({2, 0, 0, 0, 0, 2});

class TestContext final : public engine::ServiceContext {
 public:
  TestContext(VirtualReactor& reactor, PacketPool& pool, transport::Transport& transport)
      : reactor_(reactor), pool_(pool), transport_(transport) {}
  [[nodiscard]] Reactor& reactor() noexcept override { return reactor_; }
  [[nodiscard]] PacketPool& pool() noexcept override { return pool_; }
  [[nodiscard]] Rng& rng() noexcept override { return rng_; }
  [[nodiscard]] const std::string& link_name() const noexcept override { return name_; }
  [[nodiscard]] std::uint32_t workers() const noexcept override { return 1; }
  void emit(engine::Direction direction, Packet packet) override {
    emitted[static_cast<std::size_t>(direction)].push_back(std::move(packet));
  }
  void drop(Packet, DropReason reason) override { drops.add(reason); }
  [[nodiscard]] std::size_t mtu(engine::Direction) const noexcept override { return 1500; }
  [[nodiscard]] wire::MacAddress interface_mac(engine::Direction) const noexcept override {
    return {};
  }
  [[nodiscard]] transport::Transport* peer(std::string_view name) noexcept override {
    return name == "peer" ? &transport_ : nullptr;
  }

  std::array<Batch, 2> emitted;
  DropCounters drops;

 private:
  VirtualReactor& reactor_;
  PacketPool& pool_;
  transport::Transport& transport_;
  Rng rng_{1};
  std::string name_ = "link";
};

/// A host on a guest segment: answers ARP, and hands segments to the endpoint of their flow.
struct TestHost {
  wire::MacAddress mac;
  wire::Ipv4Address ip;
  /// Called for a SYN to a port with no endpoint: may make one. False: the host resets it.
  std::function<std::unique_ptr<endpoint::Endpoint>(const wire::FlowKey&, const endpoint::Segment&)>
      on_syn;
  bool silent = false;  ///< answers nothing at all
  bool answers_arp = true;
  struct Connection {
    service::FramePath path;  // of the frames this host sends
    std::unique_ptr<endpoint::Endpoint> endpoint;
  };
  std::map<wire::FlowKey, Connection> connections;  // by the flow as this host sends it
  std::vector<Packet> strangers;                    // frames that no endpoint here wants
  Batch outbox;                                     // answers that are no endpoint's
};

class GatewayWorld {
 public:
  explicit GatewayWorld(service::GatewayOptions options = {}, double loss = 0,
                        std::uint64_t seed = 1, std::size_t stream_capacity = 256 << 10)
      : rng_(seed),
        loss_(loss),
        transport_a_(reactor, stream_capacity),
        transport_b_(reactor, stream_capacity),
        context_a_(reactor, pool, transport_a_),
        context_b_(reactor, pool, transport_b_) {
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
  /// Of the client: one clock for all its connections.
  static constexpr std::uint32_t kTimestampOffset = 0;

  TestHost::Connection& connect(std::uint16_t port, const endpoint::Config& config,
                                std::uint16_t vlan = 0) {
    wire::FlowKey key;
    key.source = {client.ip, wire::Port(port)};
    key.destination = {server.ip, wire::Port(80)};
    key.vlan = vlan;
    TestHost::Connection connection;
    connection.path = {.source_mac = client.mac, .destination_mac = server.mac, .key = key};
    connection.endpoint = std::make_unique<endpoint::Endpoint>(endpoint::Endpoint::connect(
        config, {key.source.port, key.destination.port, kTimestampOffset},
        wire::SeqNum(static_cast<std::uint32_t>(rng_.next())), reactor.now()));
    return client.connections[key] = std::move(connection);
  }

  bool run_until(const std::function<bool()>& done, Duration bound) {
    // A wake-up every millisecond, for the endpoints' own timers.
    Timer beat([&] { reactor.timers().arm(*beat_, reactor.now() + 1ms); });
    beat_ = &beat;
    reactor.timers().arm(beat, reactor.now() + 1ms);
    return reactor.run_until(done, bound, [&] { return turn(); });
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
    Batch batch = std::exchange(host.outbox, {});
    for (auto& [key, connection] : host.connections) {
      if (host.silent || connection.endpoint->poll_at(reactor.now()) > reactor.now()) continue;
      connection.endpoint->dispatch(reactor.now(), [&](const endpoint::OutSegment& segment) {
        batch.push_back(service::make_tcp_frame(pool, connection.path, segment));
        if (mark_ce && ecn(batch.back()) == kEct0) set_ecn(batch.back(), kCe);
        return true;
      });
    }
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
      if (!rng_.chance(loss_)) receive(host, std::move(packet));
    }
    Batch outbound = std::exchange(context.emitted[0], {});
    const bool any = !outbound.empty() || !inbound.empty();
    pass(other, engine::Direction::kInbound, outbound);
    return any;
  }

  void receive(TestHost& host, Packet packet) {
    if (host.silent) return;
    const Layout& layout = packet.layout();
    if (layout.network == NetworkKind::kArp) {
      const auto arp = wire::ArpView::parse(packet.bytes().subspan(layout.network_offset));
      if (host.answers_arp && arp && arp->target_ip() == host.ip) {
        host.outbox.push_back(arp_reply_for(packet, host.mac));
      }
      return;
    }
    const auto key = flow_key(packet.bytes(), layout);
    if (!key || layout.transport != TransportKind::kTcp ||
        wire::MacAddress::load(packet.bytes(), 0) != host.mac) {
      host.strangers.push_back(std::move(packet));
      return;
    }
    const auto segment = service::to_segment(packet);
    if (!segment) {
      host.strangers.push_back(std::move(packet));
      return;
    }
    const wire::FlowKey own = key->reversed();
    auto it = host.connections.find(own);
    if (it != host.connections.end() && segment->header.flags.syn() &&
        (it->second.endpoint->finished() || it->second.endpoint->yields_to(*segment))) {
      host.connections.erase(it);
      it = host.connections.end();
    }
    if (it == host.connections.end() && segment->header.flags.syn() && host.on_syn) {
      if (auto endpoint = host.on_syn(own, *segment)) {
        TestHost::Connection connection;
        connection.path = {.source_mac = host.mac,
                           .destination_mac = wire::MacAddress::load(packet.bytes(), 6),
                           .key = own};
        connection.endpoint = std::move(endpoint);
        host.connections.emplace(own, std::move(connection));
        return;
      }
    }
    if (it == host.connections.end()) {
      if (Packet reset = tcp_reset_for(packet)) host.outbox.push_back(std::move(reset));
      return;
    }
    it->second.endpoint->process(*segment, reactor.now());
  }

  Rng rng_;
  double loss_;
  MemoryTransport transport_a_;
  MemoryTransport transport_b_;
  TestContext context_a_;
  TestContext context_b_;
  Timer* beat_ = nullptr;
};

}  // namespace vtl::test
