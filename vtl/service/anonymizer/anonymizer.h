// Anonymizer: the guest's whole network, of which nothing but TCP and names goes on, through a
// proxy.
//
// What. Every TCP connection of the guest becomes a stream of a SOCKS proxy (Tor first), and every
// look-up is answered here, so that the proxy is told names, never anybody else. ARP, DHCP,
// neighbour discovery and, if wanted, ICMP echo are answered too: a stock guest configures itself.
// No frame of the guest's is ever let pass, whatever it is and whatever state the proxy is in; what
// is not answered is dropped and counted by its kind (blocked-*). On a link with a network side
// nothing passes either, in no direction.
//
//   guest  --SYN (held)-->  VTL  --CONNECT name:port-->  proxy  -->  server
//          <--SYN,ACK-----       <--succeeded---------
//
// Configuration.
//   proxies: [NAME]            required; entries of `proxies`, the next where one is away
//   isolation: none|guest|destination|both   guest; what may share a way (a circuit of Tor's)
//   guest_network: NETWORK     10.137.0.0/24; its first address is gateway and name server
//   dhcp: BOOL                 true
//   ipv6: BOOL                 false; guest_network_v6: fd76:746c:0:1::/64
//   dns: names|resolve         names: addresses that stand for names; resolve: real ones (Tor)
//   name_network: NETWORK      198.18.0.0/15; name_network_v6: fd76:746c:0:2::/64
//   max_names: N               65536; max_names_per_guest: 16384
//   name_ttl: DURATION         60s; name_lifetime: 10min
//   echo: BOOL                 false; every address answers ICMP echo
//   egress: [{ allow|deny: PATTERN, ports: [PORTS] }]   egress.h; the first that matches counts
//   max_connections: N         65536
//   max_half_open: N           4096
//   buffer: SIZE               1MiB in each direction of a connection
//   memory: SIZE               512MiB in all
//   keep_alive: DURATION       2h; 0s turns it off
//   time_wait: DURATION        10s
//
// What the guest sees. A SYN is answered when the proxy has connected. What the proxy (or the
// egress list) refuses is a reset, unreachable hosts and networks are ICMP errors, silence is
// silence; no proxy is a reset. An address of the name network that stands for no name is an
// unreachable host. Segments of no connection are answered by resets.
//
// Limits and what happens at them. At max_connections the oldest connection that only waits out
// TIME-WAIT is forgotten, and without one the SYN is dropped (the guest sends it again); at
// max_half_open the oldest half-open connection is given up (half_open.h). All are counted. A spent
// memory budget closes windows; where it has nothing left for others, a connection that stands
// still for a minute is reset (standstill.h). Names: name_pool.h. Look-ups under way:
// guest_answers.h.
//
// Example.
//   - anonymizer: { proxies: [tor], isolation: destination }
//
// Theory of operation. A table holds a Relay for each connection, by its flow; its stream comes
// from the proxies, or, to port 53, from here (dns_stream.h). Guest frames are judged one by one,
// and each is taken: nothing of a batch is left for the next service. Names that connections use
// are pinned in the pool until these are over.
//
// Thread rule: one instance for a link, on one worker (the names are one table).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "vtl/engine/service.h"
#include "vtl/service/anonymizer/egress.h"
#include "vtl/service/anonymizer/guest_answers.h"
#include "vtl/service/anonymizer/identities.h"
#include "vtl/service/anonymizer/name_pool.h"
#include "vtl/service/anonymizer/options.h"
#include "vtl/service/played_table.h"
#include "vtl/service/relay.h"

namespace vtl::service {

class Anonymizer final : public engine::Service, private RelayOwner {
 public:
  explicit Anonymizer(AnonymizerOptions options);
  ~Anonymizer() override;

  // engine::Service
  [[nodiscard]] std::string_view kind() const noexcept override { return "anonymizer"; }
  void start(engine::ServiceContext& context) override;
  void process(engine::Direction direction, Batch& batch) override;
  [[nodiscard]] bool plays(const wire::FlowKey& flow) const override {
    return table_->find(flow) != nullptr || table_->find(flow.reversed()) != nullptr;
  }
  void stop(std::function<void()> done) override;
  /// "new-identity".
  [[nodiscard]] Outcome<void> act(std::string_view action) override;
  void list_flows(std::vector<engine::FlowInfo>& out) const override;
  void list_metrics(std::vector<engine::ServiceMetric>& out) const override;

 private:
  struct Counters {
    std::uint64_t opened = 0, denied = 0, unnamed = 0, resets = 0, dns_streams = 0, proxy_down = 0,
                  identities = 0;
  };

  void take_frame(Packet packet);
  void take_tcp(Packet packet);
  void take_segment(Relay& relay, Packet packet);
  void take_syn(const wire::FlowKey& key, Packet packet);
  void take_icmp(Packet packet);
  void open(const wire::FlowKey& key, const endpoint::Segment& syn, Packet packet,
            const transport::Host& host);
  /// Where a connection to `key`'s destination is to go; nothing: it was answered.
  [[nodiscard]] std::optional<transport::Host> judge(const wire::FlowKey& key, Packet& packet);
  void answer_reset(Packet packet);

  // RelayOwner
  bool pass_instead(Relay& relay) override;
  void on_left(const Relay& relay) noexcept override;

  AnonymizerOptions options_;
  EgressList egress_;  ///< from start() on
  Identities identities_;
  engine::ServiceContext* context_ = nullptr;
  std::unique_ptr<transport::Proxy> proxy_;
  std::unique_ptr<NamePool> names_;
  std::unique_ptr<GuestAnswers> answers_;
  Counters counters_;
  std::unique_ptr<PlayedTable<Relay>> table_;  ///< from start() on
};

}  // namespace vtl::service
