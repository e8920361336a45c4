// Gateway: carries the guest's TCP connections to a peer VTL over a transport made for the path.
//
// What. Takes the TCP connections of the link's guest that match a filter off the wire, carries
// their octets to the peer, whose gateway plays the client, with the client's own address, port and
// MAC, toward the real server. Works in both directions: it also takes the streams that the peer
// opens and plays those clients toward its own guest side. Everything else passes as it is.
//
// Configuration.
//   peer: NAME                 required; an entry of `peers`, of other links' gateways too
//   match: EXPRESSION          "tcp"; pcap-filter, asked with the guest's SYN
//   on_peer_down: refuse|pass  refuse; pass lets connections go as plain TCP while the peer is away
//   max_connections: N         65536 on each worker
//   max_half_open: N           4096 on each worker
//   buffer: SIZE               4MiB a connection and direction, at most; it begins with less
//   memory: SIZE               512MiB in all on each worker
//   guest_networks: [NETWORK]  none; where several gateways share a peer: whose streams are whose
//   guest_next_hop, network_next_hop: ADDRESS   routers, for hosts that no frame has told about
//   keep_alive: DURATION       2h; 0s turns it off
//   time_wait: DURATION        10s
//
// Limits and what happens at them. At max_connections the oldest connection that only waits out
// TIME-WAIT is forgotten, and without one a SYN is dropped (the guest sends it again) and an
// incoming stream refused. At max_half_open the oldest half-open connection is given up
// (half_open.h), and streams that still look for their next hops are refused. All are counted. A
// spent memory budget closes windows; where it has nothing left for others, a connection that
// stands still for a minute is reset (standstill.h). IP fragments of TCP pass, and so do
// connections with two VLAN tags or one of IEEE 802.1ad, and those whose SYN has a priority tag
// (VLAN 0).
//
// What does not go through: as for a split (split.h), and the priority in a VLAN tag.
//
// Counters: see list_metrics() and played_totals.h. Drops: bad-checksum, malformed-transport,
// flow-table-full, not-of-connection, next-hop-unresolved.
//
// Example.
//   - gateway: { peer: siteb, match: "tcp and not port 22", on_peer_down: pass }
//
// Theory of operation. A table (played_table.h) holds a Relay for each connection, by the flow as
// the guest's frames carry it.
//
// Thread rule: one instance per worker, called on it only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "vtl/base/aging_map.h"
#include "vtl/engine/service.h"
#include "vtl/service/filter.h"
#include "vtl/service/gateway/neighbours.h"
#include "vtl/service/gateway/options.h"
#include "vtl/service/gateway/preface.h"
#include "vtl/service/gateway/stream_router.h"
#include "vtl/service/played_table.h"
#include "vtl/service/relay.h"

namespace vtl::service {

class Gateway final : public engine::Service, private RelayOwner, private StreamTaker {
 public:
  /// Error: the filter does not compile.
  /// `exchange`: shared by the instances of one link on its workers; null for a single one.
  /// `router`: shared by all gateways of the peer; null for a single one.
  [[nodiscard]] static Outcome<std::unique_ptr<Gateway>> create(
      GatewayOptions options, std::shared_ptr<NeighbourExchange> exchange = nullptr,
      std::shared_ptr<StreamRouter> router = nullptr);
  ~Gateway() override;

  // engine::Service
  [[nodiscard]] std::string_view kind() const noexcept override { return "gateway"; }
  void start(engine::ServiceContext& context) override;
  void process(engine::Direction direction, Batch& batch) override;
  void stop(std::function<void()> done) override;
  void list_flows(std::vector<engine::FlowInfo>& out) const override;
  void list_metrics(std::vector<engine::ServiceMetric>& out) const override;

 private:
  struct Counters {
    std::uint64_t opened = 0, accepted = 0, refused = 0, passed = 0, limit_arrivals = 0,
                  bad_prefaces = 0, unresolved = 0, unserved = 0;
  };
  struct Arrival;  // an incoming stream whose next hops are being found

  Gateway(GatewayOptions options, Filter filter, std::shared_ptr<NeighbourExchange> exchange,
          std::shared_ptr<StreamRouter> router);

  void process_from_guest(Packet& packet);
  void process_from_network(Packet& packet);
  void take_segment(Relay& relay, Packet packet);
  void take_syn(const wire::FlowKey& key, Packet packet);
  void take_icmp(Packet& packet);
  void resolve_server(std::shared_ptr<Arrival> arrival);
  void resolve_client(std::shared_ptr<Arrival> arrival);
  void connect(const std::shared_ptr<Arrival>& arrival);
  [[nodiscard]] bool has_room();
  void pass(const wire::FlowKey& key, Packet syn);
  [[nodiscard]] bool was_passed(const wire::FlowKey& key, wire::SeqNum seq);

  // RelayOwner
  bool pass_instead(Relay& relay) override;

  // StreamTaker
  [[nodiscard]] const std::vector<wire::IpNetwork>& guest_networks() const noexcept override {
    return options_.guest_networks;
  }
  bool knows_server(const Preface& preface) override;
  void find_server(const Preface& preface, std::function<void(bool found)> answer) override;
  void take_stream(std::unique_ptr<transport::IncomingStream> incoming,
                   const Preface& preface) override;
  void refused_stream(bool bad_preface) noexcept override;

  GatewayOptions options_;
  Filter filter_;
  std::shared_ptr<NeighbourExchange> exchange_;
  std::shared_ptr<StreamRouter> router_;
  engine::ServiceContext* context_ = nullptr;
  transport::Transport* transport_ = nullptr;
  std::unique_ptr<Neighbours> guest_side_;
  std::unique_ptr<Neighbours> network_side_;
  /// Flows let go as plain TCP, with their SYN's number: its retransmissions follow it, a new
  /// connection from the same port does not.
  AgingMap<wire::FlowKey, wire::SeqNum> passed_;
  std::size_t arrivals_ = 0;
  std::shared_ptr<bool> alive_;  ///< false once destroyed: what was posted checks it
  Counters counters_;
  std::unique_ptr<PlayedTable<Relay>> table_;  ///< from start() on
};

}  // namespace vtl::service
