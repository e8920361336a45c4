#include "vtl/control/listings.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

namespace vtl::control {
namespace {

// Keeps the order in which the keys are given: people read it too.
using Json = nlohmann::ordered_json;

double seconds(Duration d) {
  return std::chrono::duration<double>(d).count();
}

Json optional_seconds(const std::optional<Duration>& d) {
  return d ? Json(seconds(*d)) : Json();
}

Json drops_json(const engine::DropList& drops) {
  Json out = Json::object();
  for (const auto& [reason, count] : drops) out[std::string(name(reason))] = count;
  return out;
}

std::uint64_t total(const engine::DropList& drops) {
  std::uint64_t sum = 0;
  for (const auto& [reason, count] : drops) sum += count;
  return sum;
}

std::string_view protocol_name(wire::IpProtocol protocol) {
  switch (protocol) {
    case wire::IpProtocol::kTcp:
      return "tcp";
    case wire::IpProtocol::kUdp:
      return "udp";
    case wire::IpProtocol::kIcmp:
      return "icmp";
    case wire::IpProtocol::kIcmpv6:
      return "icmpv6";
    default:
      return "other";
  }
}

Json interface_json(const engine::InterfaceStatus& i) {
  return {{"name", i.name},
          {"device", i.device},
          {"mac", to_string(i.mac)},
          {"state", i.closed ? "closed"
                    : i.up   ? "up"
                             : "down"},
          {"mtu", i.capabilities.mtu},
          {"super_frames", i.capabilities.super_frames_out},
          {"sealed", i.seal ? Json(i.seal->whole) : Json()},
          {"unsealed_because", i.seal ? Json(i.seal->trouble) : Json()},
          {"workers", i.workers},
          {"rx_frames", i.rx_frames},
          {"rx_bytes", i.rx_bytes},
          {"tx_frames", i.tx_frames},
          {"tx_bytes", i.tx_bytes},
          {"drops", total(i.drops)}};
}

std::string_view cut_through_name(engine::LinkStatus::CutThrough state) {
  switch (state) {
    using enum engine::LinkStatus::CutThrough;
    case kOn:
      return "on";
    case kPaused:
      return "paused";
    case kMissing:
      return "missing";
    case kOff:
      break;
  }
  return "off";
}

Json link_json(const engine::LinkStatus& link) {
  Json services = Json::array();
  for (const auto& service : link.services) services.push_back(service.kind);
  return {{"name", link.name},
          {"guest", link.guest},
          {"network", link.network.empty() ? Json() : Json(link.network)},
          {"services", std::move(services)},
          {"workers", link.workers},
          {"cut_through",
           {{"state", cut_through_name(link.cut_through)},
            {"reason", link.cut_through_missing},
            {"flows", link.cut_flows},
            {"frames_out", link.cut_frames_out},
            {"bytes_out", link.cut_bytes_out},
            {"frames_in", link.cut_frames_in},
            {"bytes_in", link.cut_bytes_in}}},
          {"frames_out", link.frames_out},
          {"bytes_out", link.bytes_out},
          {"frames_in", link.frames_in},
          {"bytes_in", link.bytes_in}};
}

Json rate_json(const std::optional<engine::PeerStatus::Rate>& rate) {
  if (!rate) return nullptr;
  return {{"connections", rate->connections},
          {"packets_sent", rate->packets_sent},
          {"packets_lost", rate->packets_lost},
          {"reductions", rate->reductions},
          {"timeouts", rate->timeouts}};
}

Json peer_json(const engine::PeerStatus& peer) {
  return {{"name", peer.name},
          {"transport", peer.kind},
          {"up", peer.up},
          {"opened", peer.opened},
          {"accepted", peer.accepted},
          {"refused", peer.refused},
          {"reset", peer.reset},
          {"authentication_failures", peer.authentication_failures},
          {"bytes_out", peer.bytes_out},
          {"bytes_in", peer.bytes_in},
          {"window_bytes", peer.window_bytes},
          {"window_limited", peer.window_limited},
          {"memory_refused", peer.memory_refused},
          {"rate_control", rate_json(peer.rate)}};
}

Json tor_json(const std::optional<transport::TorStatus>& tor) {
  if (!tor) return nullptr;
  return {{"reachable", tor->reachable},
          {"error", tor->error},
          {"version", tor->version},
          {"bootstrap", tor->bootstrap},
          {"bootstrap_summary", tor->bootstrap_summary},
          {"circuit_established", tor->circuit_established},
          {"circuits_built", tor->circuits_built},
          {"circuits_building", tor->circuits_building}};
}

Json proxy_json(const engine::ProxyStatus& p) {
  return {{"name", p.name},
          {"type", p.proxy.kind},
          {"address", to_string(p.proxy.address)},
          {"up", p.proxy.up},
          {"tried", p.proxy.tried},
          {"error", p.proxy.error},
          {"streams", p.proxy.streams},
          {"opened", p.opened},
          {"refused", p.refused},
          {"reset", p.reset},
          {"timed_out", p.timed_out},
          {"limited", p.limited},
          {"connect_failures", p.connect_failures},
          {"protocol_errors", p.protocol_errors},
          {"look_ups", p.look_ups},
          {"bytes_out", p.bytes_out},
          {"bytes_in", p.bytes_in},
          {"tor", tor_json(p.proxy.tor)}};
}

template <class T, class Convert>
Json list(const std::vector<T>& items, Convert convert) {
  Json out = Json::array();
  for (const auto& item : items) out.push_back(convert(item));
  return out;
}

}  // namespace

std::string status_json(const engine::Status& status) {
  const Json out = {{"running_for", seconds(status.running_for)},
                    {"workers", status.workers.size()},
                    {"interfaces", list(status.interfaces, interface_json)},
                    {"links", list(status.links, link_json)},
                    {"peers", list(status.peers, peer_json)},
                    {"proxies", list(status.proxies, proxy_json)}};
  return out.dump();
}

std::string flows_json(const std::vector<engine::FlowInfo>& flows) {
  Json rows = Json::array();
  const auto shown = std::min(flows.size(), kMaxListedFlows);
  for (std::size_t i = 0; i < shown; ++i) {
    const auto& flow = flows[i];
    rows.push_back({{"link", flow.link},
                    {"worker", flow.worker},
                    {"protocol", protocol_name(flow.key.protocol)},
                    {"source", to_string(flow.key.source)},
                    {"destination", to_string(flow.key.destination)},
                    {"vlan", flow.key.vlan},
                    {"state", flow.state},
                    {"bytes_out", flow.bytes_out},
                    {"bytes_in", flow.bytes_in},
                    {"rtt_guest", optional_seconds(flow.rtt_guest)},
                    {"rtt_network", optional_seconds(flow.rtt_network)},
                    {"transform", flow.transform},
                    {"age", seconds(flow.age)}});
  }
  const Json out = {{"total", flows.size()}, {"flows", std::move(rows)}};
  return out.dump();
}

std::string stats_json(const engine::Status& status,
                       const std::vector<engine::MetricGroup>& metrics) {
  Json interfaces = Json::array();
  for (const auto& i : status.interfaces) {
    Json row = interface_json(i);
    row["reseals"] = i.seal ? i.seal->reseals : 0;
    row["rx_super_frames"] = i.rx_super_frames;
    row["rx_missed"] = i.rx_missed;
    row["rx_paused"] = i.rx_paused;
    row["tx_super_frames"] = i.tx_super_frames;
    row["tx_backlog"] = i.tx_backlog;
    row["tx_blocked"] = i.tx_blocked;
    row["drops"] = drops_json(i.drops);
    interfaces.push_back(std::move(row));
  }
  Json links = Json::array();
  for (const auto& link : status.links) {
    Json row = link_json(link);
    row["drops"] = drops_json(link.drops);
    row["services"] = list(link.services, [](const engine::ServiceStatus& service) {
      return Json{{"kind", service.kind}, {"drops", drops_json(service.drops)}};
    });
    links.push_back(std::move(row));
  }
  const auto uplink = [](const engine::UplinkStatus& u) {
    return Json{{"interface", u.interface},
                {"macs", u.macs},
                {"moves_refused", u.moves_refused},
                {"not_learned", u.not_learned},
                {"forwarded", u.forwarded},
                {"hairpin", u.hairpin},
                {"group", u.group},
                {"flooded", u.flooded},
                {"drops", drops_json(u.drops)}};
  };
  const auto worker = [](const engine::WorkerStatus& w) {
    return Json{{"number", w.number}, {"turns", w.turns},   {"sleeps", w.sleeps},
                {"events", w.events}, {"timers", w.timers}, {"buffer_bytes", w.buffer_bytes}};
  };
  const auto group = [](const engine::MetricGroup& g) {
    Json values = Json::object();
    for (const auto& metric : g.metrics) values[metric.name] = metric.value;
    return Json{{"link", g.link}, {"service", g.service}, {"metrics", std::move(values)}};
  };
  const Json out = {{"running_for", seconds(status.running_for)},
                    {"interfaces", std::move(interfaces)},
                    {"links", std::move(links)},
                    {"uplinks", list(status.uplinks, uplink)},
                    {"peers", list(status.peers, peer_json)},
                    {"proxies", list(status.proxies, proxy_json)},
                    {"workers", list(status.workers, worker)},
                    {"services", list(metrics, group)}};
  return out.dump();
}

}  // namespace vtl::control
