// Hosts on a virtual clock, and the context of the service that stands between them.
//
// Thread rule: one thread. Headers only.
#pragma once

#include <algorithm>
#include <array>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/support/virtual_reactor.h"
#include "vtl/base/rng.h"
#include "vtl/endpoint/endpoint.h"
#include "vtl/engine/service.h"
#include "vtl/packet/access.h"
#include "vtl/packet/derive.h"
#include "vtl/service/tcp_frame.h"
#include "vtl/wire/arp.h"

namespace vtl::test {

constexpr std::uint8_t kEct0 = 2, kCe = 3;  // RFC 3168 section 5
inline const wire::MacAddress kClientMac({2, 0, 0, 0, 0, 1});
inline const wire::MacAddress kServerMac({2, 0, 0, 0, 0, 2});

class TestContext final : public engine::ServiceContext {
 public:
  /// `transport`: to "peer"; null: there is none.
  TestContext(VirtualReactor& reactor, PacketPool& pool, transport::Transport* transport = nullptr)
      : reactor_(reactor), pool_(pool), transport_(transport) {}
  [[nodiscard]] Reactor& reactor() noexcept override { return reactor_; }
  [[nodiscard]] PacketPool& pool() noexcept override { return pool_; }
  [[nodiscard]] Rng& rng() noexcept override { return rng_; }
  [[nodiscard]] const std::string& link_name() const noexcept override { return name_; }
  [[nodiscard]] std::uint32_t workers() const noexcept override { return 1; }
  void emit(engine::Direction direction, Packet packet) override {
    if (packet.meta().gso.is_super()) gathers_next = !gathers_next;
    emitted[static_cast<std::size_t>(direction)].push_back(std::move(packet));
  }
  /// Every second super-frame goes in pieces; a test may say what becomes of the next.
  [[nodiscard]] bool gathers(engine::Direction) const noexcept override { return gathers_next; }
  [[nodiscard]] bool emit_gathered(engine::Direction direction, const Packet& head,
                                   std::span<const Bytes> payload) override {
    if (refuses_pieces) ++refused_pieces;
    if (refuses_pieces || !gathers_next) return false;
    std::size_t size = head.size();
    for (const Bytes piece : payload) size += piece.size();
    Packet whole = pool_.allocate(size);
    if (!whole) return false;
    auto at = std::ranges::copy(head.bytes(), whole.mutable_bytes().begin()).out;
    for (const Bytes piece : payload) at = std::ranges::copy(piece, at).out;
    whole.meta() = head.meta();
    ++gathered;
    emit(direction, std::move(whole));
    return true;
  }
  void drop(Packet, DropReason reason) override { drops.add(reason); }
  [[nodiscard]] std::size_t mtu(engine::Direction) const noexcept override { return 1500; }
  [[nodiscard]] wire::MacAddress interface_mac(engine::Direction) const noexcept override {
    return {};
  }
  /// "proxy" is what set_proxy() was given.
  [[nodiscard]] transport::Proxy* proxy(std::string_view name) noexcept override {
    return name == "proxy" ? proxy_ : nullptr;
  }
  void set_proxy(transport::Proxy& proxy) noexcept { proxy_ = &proxy; }
  [[nodiscard]] transport::Transport* peer(std::string_view name) noexcept override {
    return name == "peer" ? transport_ : nullptr;
  }

  std::array<Batch, 2> emitted;
  DropCounters drops;
  bool gathers_next = false;
  bool refuses_pieces = false;
  std::size_t refused_pieces = 0;
  std::size_t gathered = 0;  ///< super-frames that came in pieces

 private:
  VirtualReactor& reactor_;
  PacketPool& pool_;
  transport::Transport* transport_;
  transport::Proxy* proxy_ = nullptr;
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

  /// Opens a connection; `key` as this host sends it.
  Connection& connect(const wire::FlowKey& key, const wire::MacAddress& next_hop,
                      const endpoint::Config& config, wire::SeqNum iss, Time now);
  /// What this host sends now.
  [[nodiscard]] Batch dispatch(PacketPool& pool, Time now, bool mark_ce = false);
  void receive(Packet packet, Time now);
};

inline TestHost::Connection& TestHost::connect(const wire::FlowKey& key,
                                               const wire::MacAddress& next_hop,
                                               const endpoint::Config& config, wire::SeqNum iss,
                                               Time now) {
  constexpr std::uint32_t kTimestampOffset = 0;  // one clock for all connections of a host
  Connection connection;
  connection.path = {.source_mac = mac, .destination_mac = next_hop, .key = key};
  connection.endpoint = std::make_unique<endpoint::Endpoint>(endpoint::Endpoint::connect(
      config, {key.source.port, key.destination.port, kTimestampOffset}, iss, now));
  return connections[key] = std::move(connection);
}

inline Batch TestHost::dispatch(PacketPool& pool, Time now, bool mark_ce) {
  Batch batch = std::exchange(outbox, {});
  for (auto& [key, connection] : connections) {
    if (silent || connection.endpoint->poll_at(now) > now) continue;
    connection.endpoint->dispatch(now, [&](const endpoint::OutSegment& segment) {
      batch.push_back(service::make_tcp_frame(pool, connection.path, segment));
      if (mark_ce && ecn(batch.back()) == kEct0) set_ecn(batch.back(), kCe);
      return true;
    });
  }
  return batch;
}

inline void TestHost::receive(Packet packet, Time now) {
  if (silent) return;
  const Layout& layout = packet.layout();
  if (layout.network == NetworkKind::kArp) {
    const auto arp = wire::ArpView::parse(packet.bytes().subspan(layout.network_offset));
    if (answers_arp && arp && arp->target_ip() == ip) {
      outbox.push_back(arp_reply_for(packet, mac));
    }
    return;
  }
  const auto key = flow_key(packet.bytes(), layout);
  if (!key || layout.transport != TransportKind::kTcp ||
      wire::MacAddress::load(packet.bytes(), 0) != mac) {
    strangers.push_back(std::move(packet));
    return;
  }
  const auto segment = service::to_segment(packet);
  if (!segment) {
    strangers.push_back(std::move(packet));
    return;
  }
  const wire::FlowKey own = key->reversed();
  auto it = connections.find(own);
  if (it != connections.end() && segment->header.flags.syn() &&
      (it->second.endpoint->finished() || it->second.endpoint->yields_to(*segment))) {
    connections.erase(it);
    it = connections.end();
  }
  if (it == connections.end() && segment->header.flags.syn() && on_syn) {
    if (auto endpoint = on_syn(own, *segment)) {
      TestHost::Connection connection;
      connection.path = {.source_mac = mac,
                         .destination_mac = wire::MacAddress::load(packet.bytes(), 6),
                         .key = own};
      connection.endpoint = std::move(endpoint);
      connections.emplace(own, std::move(connection));
      return;
    }
  }
  if (it == connections.end()) {
    if (Packet reset = tcp_reset_for(packet)) outbox.push_back(std::move(reset));
    return;
  }
  it->second.endpoint->process(*segment, now);
}

/// Runs the reactor until `done` or until `bound` has passed; `turn` moves frames and returns true
/// while there are any. Time jumps to the next thing that anybody waits for, so that days are
/// cheap. True when `done` was met.
inline bool run_hosts(VirtualReactor& reactor, std::initializer_list<const TestHost*> hosts,
                      const std::function<bool()>& done, Duration bound,
                      const std::function<bool()>& turn) {
  const Time end = reactor.now() + bound;
  Timer beat([] {});
  return reactor.run_until(done, bound, [&] {
    if (turn()) return true;
    Time next = end;
    for (const TestHost* host : hosts) {
      if (host->silent) continue;
      for (const auto& [key, connection] : host->connections) {
        next = std::min(next, connection.endpoint->poll_at(reactor.now()));
      }
    }
    if (next > reactor.now()) reactor.timers().arm(beat, next);
    return false;
  });
}

/// Writes a known stream into an endpoint and checks one that comes out.
class Talker {
 public:
  Talker(std::uint64_t seed, std::size_t size) : size_(size), write_(seed), read_(~seed) {}
  static Talker answering(std::uint64_t seed, std::size_t size) {
    Talker t(seed, size);
    std::swap(t.write_, t.read_);
    return t;
  }

  /// Moves what can be moved; true when all was written, shut and read to the end.
  bool step(endpoint::Endpoint& e, Time now) {
    while (sent_ < size_ && e.writable() > 0) {
      std::array<std::uint8_t, 4096> block;
      const std::size_t n = std::min({block.size(), size_ - sent_, e.writable()});
      for (std::size_t i = 0; i < n; ++i) block[i] = octet(write_, sent_ + i);
      sent_ += e.write(Bytes{block.data(), n}, now);
    }
    if (sent_ == size_ && !shut_) {
      shut_ = true;
      e.shutdown(now);
    }
    while (e.readable() > 0 && !paused) {
      const Bytes bytes = e.peek();
      for (std::size_t i = 0; i < bytes.size(); ++i) {
        if (bytes[i] != octet(read_, received_ + i)) wrong_ = true;
      }
      received_ += bytes.size();
      e.consume(bytes.size(), now);
    }
    return shut_ && e.at_end();
  }

  [[nodiscard]] bool intact(std::size_t expected) const { return !wrong_ && received_ == expected; }
  [[nodiscard]] std::size_t sent() const { return sent_; }
  bool paused = false;

 private:
  static std::uint8_t octet(std::uint64_t seed, std::size_t i) {
    return static_cast<std::uint8_t>((seed * 31 + i * 2654435761U) >> 13);
  }
  std::size_t size_;
  std::uint64_t write_;
  std::uint64_t read_;
  std::size_t sent_ = 0;
  std::size_t received_ = 0;
  bool shut_ = false;
  bool wrong_ = false;
};

/// Reads what the endpoint has and returns how much that was.
inline std::size_t drain(endpoint::Endpoint& e, Time now) {
  std::size_t n = 0;
  while (e.readable() > 0) {
    const std::size_t piece = e.peek().size();
    n += piece;
    e.consume(piece, now);
  }
  return n;
}

/// A number of what the service lists. Throws where it lists none of that name.
inline double metric_of(const engine::Service& service, std::string_view name) {
  std::vector<engine::ServiceMetric> metrics;
  service.list_metrics(metrics);
  for (const auto& m : metrics) {
    if (m.name == name) return m.value;
  }
  throw std::out_of_range("no metric " + std::string(name));
}

}  // namespace vtl::test
