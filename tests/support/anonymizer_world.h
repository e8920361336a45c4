// An anonymizer, its guest, and a proxy in memory: on a virtual clock.
//
//   guest -- [ anonymizer ] == memory proxy
//
// Thread rule: one thread. Headers only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/memory_proxy.h"
#include "tests/support/virtual_hosts.h"
#include "vtl/service/anonymizer/anonymizer.h"
#include "vtl/wire/dns.h"
#include "vtl/wire/udp.h"

namespace vtl::test {

class AnonymizerWorld {
 public:
  explicit AnonymizerWorld(service::AnonymizerOptions options = {})
      : proxy(reactor), context(reactor, pool) {
    options.proxies = {"proxy"};
    context.set_proxy(proxy);
    anonymizer = std::make_unique<service::Anonymizer>(std::move(options));
    guest.mac = kClientMac;
    guest.ip = wire::Ipv4Address(10, 137, 0, 9);
    anonymizer->start(context);
  }
  ~AnonymizerWorld() { anonymizer.reset(); }
  AnonymizerWorld(const AnonymizerWorld&) = delete;
  AnonymizerWorld& operator=(const AnonymizerWorld&) = delete;

  /// The proxy connects every stream from now on, to a server in servers.
  void serve() {
    proxy.on_stream = [this](std::unique_ptr<transport::IncomingStream> incoming) {
      servers.push_back(std::make_unique<FarEnd>(std::move(incoming)));
    };
  }

  [[nodiscard]] wire::FlowKey key_of(std::uint16_t port, const wire::SocketAddress& to) const {
    wire::FlowKey key;
    key.source = {guest.ip, wire::Port(port)};
    key.destination = to;
    return key;
  }
  TestHost::Connection& connect(std::uint16_t port, const std::string& to,
                                const endpoint::Config& config = {}) {
    return guest.connect(key_of(port, *wire::SocketAddress::parse(to)), kRouterMac, config,
                         wire::SeqNum(port), reactor.now());
  }
  [[nodiscard]] endpoint::Endpoint& end(std::uint16_t port, const std::string& to) {
    return *guest.connections.at(key_of(port, *wire::SocketAddress::parse(to))).endpoint;
  }

  /// Gives the anonymizer one frame; false: it let it be.
  bool inject(Packet packet, engine::Direction direction = engine::Direction::kOutbound) {
    Batch batch;
    batch.push_back(std::move(packet));
    anonymizer->process(direction, batch);
    return !batch.front();
  }

  bool run_until(const std::function<bool()>& done, Duration bound = 10s) {
    return run_hosts(reactor, {&guest}, done, bound, [this] { return turn(); });
  }
  void wait(Duration duration) {
    run_until([] { return false; }, duration);
  }
  [[nodiscard]] double metric(std::string_view name) const { return metric_of(*anonymizer, name); }
  [[nodiscard]] std::uint64_t drops(DropReason reason) const { return context.drops.value(reason); }

  inline static const wire::MacAddress kRouterMac{{2, 0, 0, 0, 0, 9}};

  // In the order of who needs whom: packets die before the pool, the service before its context.
  PacketPool pool;
  VirtualReactor reactor;
  MemoryProxy proxy;
  TestContext context;
  TestHost guest;
  std::vector<std::unique_ptr<FarEnd>> servers;
  std::uint64_t leaked = 0;  ///< frames toward the network
  std::unique_ptr<service::Anonymizer> anonymizer;

 private:
  bool turn() {
    Batch batch = guest.dispatch(pool, reactor.now());
    const bool any = !batch.empty();
    if (any) anonymizer->process(engine::Direction::kOutbound, batch);
    for (const Packet& packet : batch) leaked += packet ? 1 : 0;
    leaked += std::exchange(context.emitted[0], {}).size();
    Batch inbound = std::exchange(context.emitted[1], {});
    for (Packet& packet : inbound) guest.receive(std::move(packet), reactor.now());
    return any || !inbound.empty();
  }
};

}  // namespace vtl::test
