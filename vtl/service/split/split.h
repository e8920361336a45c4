// Split: ends a TCP connection inside VTL and begins it again toward its server: split TCP in one
// process (RFC 3135 section 3.1), each half with its own loss recovery, window and round trip.
//
// What. Takes the TCP connections that match a filter off the wire and plays both of their ends:
// the server's toward the client and, with the client's own address, port and MAC, the client's
// toward the server. The client is answered when the server has answered. Everything else passes
// as it is.
//
// Configuration.
//   match: EXPRESSION          "tcp"; pcap-filter, asked with the client's SYN
//   from: guest|network|both   guest; the side of the clients
//   max_connections: N         262144 on each worker
//   max_half_open: N           4096 on each worker
//   buffer: SIZE               1MiB at each end in each direction
//   memory: SIZE               512MiB in all on each worker
//   keep_alive: DURATION       2h; 0s turns it off
//   time_wait: DURATION        10s
//
// Limits and what happens at them. At max_connections the oldest connection that only waits out
// TIME-WAIT is forgotten, and without one the SYN is dropped (the client sends it again). At
// max_half_open the oldest half-open connection is given up: its client hears nothing, its server a
// reset where it has answered (half_open.h). All are counted. A spent memory budget closes windows;
// where it has nothing left for others, a connection that stands still for a minute is reset
// (standstill.h). IP fragments of TCP pass, and so do connections with two VLAN tags or one of IEEE
// 802.1ad, and those whose SYN has a priority tag (VLAN 0). With several workers both directions of
// a connection must reach the same one: both interfaces are af_packet then, or the link runs on one
// worker (check_workers.cc). An ICMP error may still reach a worker that does not have its
// connection; it passes then.
//
// What does not go through. Each half is a connection of VTL's own: frames leave with TTL (hop
// limit) 64, so traceroute over TCP sees no router, and with the DSCP and the tag's priority of the
// client's SYN. Options that VTL does not know are not passed on: TCP-MD5 (RFC 2385), TCP-AO (RFC
// 5925), TCP Fast Open (RFC 7413; the SYN's data is sent again by the client) and MPTCP (RFC 8684,
// falls back to plain TCP). Exclude with `match` what needs the first two.
//
// Counters: see list_metrics() and played_totals.h. Drops: bad-checksum, malformed-transport,
// flow-table-full, not-of-connection, link-stopping.
//
// Example.
//   - split: { match: "tcp and not port 22" }
//
// Theory of operation. A table (played_table.h) holds a SplitConnection for each connection, found
// by either direction of its flow.
//
// Thread rule: one instance per worker, called on it only.
#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "vtl/engine/service.h"
#include "vtl/service/filter.h"
#include "vtl/service/played_table.h"
#include "vtl/service/split/options.h"
#include "vtl/service/split/split_connection.h"

namespace vtl::service {

class Split final : public engine::Service, private SplitOwner {
 public:
  /// Error: the filter does not compile.
  [[nodiscard]] static Outcome<std::unique_ptr<Split>> create(SplitOptions options);

  // engine::Service
  [[nodiscard]] std::string_view kind() const noexcept override { return "split"; }
  void start(engine::ServiceContext& context) override;
  void process(engine::Direction direction, Batch& batch) override;
  [[nodiscard]] bool plays(const wire::FlowKey& flow) const override {
    return table_ && table_->find(flow) != nullptr;
  }
  void stop(std::function<void()> done) override;
  void list_flows(std::vector<engine::FlowInfo>& out) const override;
  void list_metrics(std::vector<engine::ServiceMetric>& out) const override;

 private:
  struct Counters {
    std::uint64_t opened = 0, refused = 0, unreachable = 0, silent = 0;
  };

  Split(SplitOptions options, Filter filter);

  void process_frame(engine::Direction direction, Packet& packet);
  void process_tcp(engine::Direction direction, Packet& packet);
  void take_segment(SplitConnection& connection, engine::Direction direction, Packet packet);
  void take_syn(engine::Direction direction, const wire::FlowKey& key, Packet packet);
  void take_icmp(engine::Direction direction, Packet& packet);
  [[nodiscard]] bool takes_from(engine::Direction direction) const noexcept;

  // SplitOwner
  void on_not_opened(endpoint::EndReason server) noexcept override;
  void on_memory(std::ptrdiff_t more) noexcept override { memory_ += more; }

  SplitOptions options_;
  Filter filter_;
  engine::ServiceContext* context_ = nullptr;
  std::size_t memory_ = 0;  ///< of all connections
  Counters counters_;
  std::unique_ptr<PlayedTable<SplitConnection>> table_;  ///< from start() on
};

}  // namespace vtl::service
