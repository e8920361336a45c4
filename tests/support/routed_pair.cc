#include "tests/support/routed_pair.h"

#include <fmt/format.h>
#include <poll.h>

#include <optional>

#include "lab/must.h"
#include "vtl/iface/af_packet.h"
#include "vtl/packet/access.h"

namespace vtl::test {
namespace {

using lab::must;
using model::End;

constexpr double kLoss = 1.0 / 30;
constexpr std::uint8_t kInvalidDscp = 1;
constexpr std::array<const char*, 2> kInner{"in0", "out0"};  // the router's devices
constexpr std::array<const char*, 2> kGateToHost{"c0", "s0"};
constexpr std::array<const char*, 2> kGateToRouter{"r0", "r1"};
constexpr std::array<const char*, 2> kV4{"192.0.2.1", "198.51.100.2"};
constexpr std::array<const char*, 2> kV6{"2001:db8::a", "2001:db8::b"};

void track(lab::Host& router) {
  for (const char* command :
       {"add table inet track",
        "add chain inet track every { type filter hook prerouting priority 0; }",
        "add rule inet track every meta nfproto ipv4 ct state invalid ip dscp set 1",
        "add rule inet track every meta nfproto ipv6 ct state invalid ip6 dscp set 1"}) {
    must(router.run({.argv = {"nft", command}}));
  }
  must(router.set_sysctl("net.netfilter.nf_conntrack_tcp_be_liberal", "0"));
}

}  // namespace

RoutedPair::RoutedPair(bool v6, Loss loss, std::uint64_t seed) : loss_(loss), rng_(seed) {
  client_ = must(lab_.add_host("client"));
  router_ = must(lab_.add_host("router", {.ipv6 = lab::Ipv6::kNoNoise, .router = true}));
  server_ = must(lab_.add_host("server"));
  gate_ = must(lab_.add_host("gate", {.ipv6 = lab::Ipv6::kNoNoise}));
  for (const End end : {End::kA, End::kB}) set_up(end, v6);
  track(*router_);
  conntrack_ = std::make_unique<Conntrack>(*router_);
  capture_ = std::make_unique<lab::Capture>(must(lab::Capture::start(*router_, kInner[0])));
}

// The host's side of the gate, the router's, and static routes and neighbours on the way.
void RoutedPair::set_up(End end, bool v6) {
  const std::size_t i = index(end), o = index(other(end));
  const lab::LinkOptions plain{.offloads = lab::Offloads::kOff};
  must(lab_.connect({host(end), "eth0"}, {*gate_, kGateToHost[i]}, plain));
  must(lab_.connect({*gate_, kGateToRouter[i]}, {*router_, kInner[i]}, plain));
  Side& s = side(end);
  s.host = must(host(end).mac("eth0"));
  s.router = must(router_->mac(kInner[i]));
  const auto& addresses = v6 ? kV6 : kV4;
  must(host(end).ip(
      fmt::format("addr add {0}/{1} dev eth0\nroute add {2} dev eth0\n"
                  "neigh add {2} lladdr {3} dev eth0",
                  addresses[i], v6 ? 128 : 32, addresses[o], wire::to_string(s.router))));
  must(router_->ip(fmt::format("route add {0} dev {1}\nneigh add {0} lladdr {2} dev {1}",
                               addresses[i], kInner[i], wire::to_string(s.host))));
  const auto inside = gate_->enter();
  s.to_host = must(iface::open_af_packet({.device = kGateToHost[i]}));
  s.to_router = must(iface::open_af_packet({.device = kGateToRouter[i]}));
}

void RoutedPair::write(iface::Interface& to, Packet packet) {
  std::array<Packet, 1> one{std::move(packet)};
  if (to.write(one) != 1) throw lab::LabError(Error{"the gate's device took no frame"});
}

Packet RoutedPair::through_router(End from, Packet packet) {
  write(*side(from).to_router, std::move(packet));
  iface::Interface& out = *side(other(from)).to_router;
  const Time bound = clock_.now() + 5s;
  while (clock_.now() < bound) {
    Batch batch;
    (void)out.read(pool_, clock_.now(), batch);
    for (Packet& came : batch) {
      if (is_tcp(came)) return std::move(came);
    }
    pollfd wait{out.fd(), POLLIN, 0};
    if (batch.empty()) ::poll(&wait, 1, 20);
  }
  throw lab::LabError(Error{"the router did not pass a frame on"});
}

bool RoutedPair::lost(End from, Loss where) {
  if (lose_all_[index(from)] != Loss::kNone) return lose_all_[index(from)] == where;
  return loss_ == where && rng_.chance(kLoss);
}

void RoutedPair::inject(End from, const std::vector<std::uint8_t>& frame) {
  Packet packet = pool_.copy_of(frame);
  set_source_mac(packet, side(from).host);
  set_destination_mac(packet, side(from).router);
  PassedFrame passed{.from = from, .frame = {}, .invalid = false, .state = {}};
  const auto keep = [&](const Packet& p) {
    passed.frame.assign(p.bytes().begin(), p.bytes().end());
  };
  if (from == End::kA) keep(packet);
  const wire::FlowKey key = *flow_key(packet.bytes(), packet.layout());
  const Packet out = through_router(from, std::move(packet));
  if (from == End::kB) keep(out);
  passed.invalid = dscp(out) == kInvalidDscp;
  passed.state = conntrack_->tcp_state(from == End::kA ? key : key.reversed());
  record_.push_back(std::move(passed));
}

void RoutedPair::read_hosts() {
  for (Side& s : sides_) {
    Batch batch;
    (void)s.to_host->read(pool_, clock_.now(), batch);
    for (Packet& packet : batch) {
      if (is_tcp(packet)) s.sent.push_back(std::move(packet));
    }
  }
}

void RoutedPair::pump() {
  read_hosts();
  for (const End from : {End::kA, End::kB}) {
    auto& sent = side(from).sent;
    for (; !sent.empty(); sent.pop_front()) {
      if (lost(from, Loss::kBefore)) continue;
      const Bytes bytes = sent.front().bytes();
      inject(from, {bytes.begin(), bytes.end()});
      if (lost(from, Loss::kBehind)) continue;
      Packet onward = std::move(sent.front());
      Side& to = side(other(from));
      set_source_mac(onward, to.router);
      set_destination_mac(onward, to.host);
      write(*to.to_host, std::move(onward));
    }
  }
}

}  // namespace vtl::test
