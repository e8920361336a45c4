// Links: a list of `{ name:, guest:, network:, services: [...] }`.

#include <fmt/format.h>

#include <map>
#include <string>
#include <type_traits>
#include <utility>

#include "vtl/config/readers.h"

namespace vtl::config {
namespace {

// What the links so far have taken, to find the second use of what can be used once.
struct Taken {
  std::map<std::string, Mark> names, guests, networks;
  std::map<std::pair<std::string, std::string>, Mark> gateway_peers;       // by peer and link
  std::map<std::pair<std::string, wire::IpNetwork>, Mark> guest_networks;  // by peer and network
  struct Searching {
    Mark mark;
    bool by_router;
  };
  std::map<std::string, Searching> searching;  // gateways without networks, by peer
};

template <class Name>
void claim(std::map<Name, Mark>& taken, const std::type_identity_t<Name>& name, Mark mark,
           const std::string& complaint, Diagnostics& diagnostics) {
  const auto [it, fresh] = taken.emplace(name, mark);
  if (!fresh) diagnostics.add(mark, fmt::format("{} (line {})", complaint, it->second.line));
}

void read_ends(Section& section, LinkConfig& link, const Names& names, Taken& taken) {
  section.require("guest", names.interfaces.empty() ? "vm1" : names.interfaces.front());
  if (section.reference("guest", link.guest, "interfaces", names.interfaces)) {
    claim(taken.guests, link.guest, section.mark_of("guest"),
          fmt::format("interface '{}' is the guest of another link already; an interface has one "
                      "guest side",
                      link.guest),
          section.diagnostics());
  }
  const Node* const network = section.require("network", "uplink, or none");
  if (network == nullptr || (network->kind == Node::Kind::kScalar && network->text == "none")) {
    return;
  }
  std::string name;
  if (!section.reference("network", name, "interfaces", names.interfaces)) return;
  if (name == link.guest) {
    section.complain("network", fmt::format("'{}' is both sides of link '{}'; name two interfaces",
                                            name, link.name));
    return;
  }
  taken.networks.emplace(name, section.mark_of("network"));
  link.network = std::move(name);
}

/// A stream that the peer opens must find one gateway.
void claim_streams(const service::GatewayOptions& gateway, const LinkConfig& link, Mark mark,
                   Taken& taken, Diagnostics& diagnostics) {
  if (gateway.peer.empty()) return;
  claim(taken.gateway_peers, {gateway.peer, link.name}, mark,
        fmt::format("peer '{}' belongs to another gateway of link '{}' already; one link needs one "
                    "gateway for a peer",
                    gateway.peer, link.name),
        diagnostics);
  for (const auto& network : gateway.guest_networks) {
    claim(taken.guest_networks, {gateway.peer, network}, mark,
          fmt::format("{} is behind another gateway of peer '{}' already; a stream from the peer "
                      "could be for either: give each guest networks of its own, single addresses "
                      "if need be",
                      to_string(network), gateway.peer),
          diagnostics);
  }
  if (!gateway.guest_networks.empty()) return;
  const bool by_router = gateway.guest_next_hop.has_value();
  const auto [it, alone] = taken.searching.emplace(gateway.peer, Taken::Searching{mark, by_router});
  if (alone) return;
  it->second.by_router |= by_router;
  if (!it->second.by_router) return;
  diagnostics.add(
      mark, fmt::format("of several gateways of peer '{}' without 'guest_networks' none can have a "
                        "'guest_next_hop': whom the streams are for is found out on the guest "
                        "sides, and every address is behind a router; give the gateway with the "
                        "router its 'guest_networks' (line {})",
                        gateway.peer, it->second.mark.line));
}

void read_services(Section& section, LinkConfig& link, const Names& names, Taken& taken) {
  const Node* const list = section.find("services");
  if (list == nullptr || list->kind == Node::Kind::kNull) return;
  if (list->kind != Node::Kind::kSequence) {
    section.complain("services", fmt::format("'services' in {} must be a list (- bridge), not {}",
                                             section.what(), list->what()));
    return;
  }
  for (const auto& item : list->items) {
    auto service = read_service(item, link.name, names, section.diagnostics());
    if (!service) continue;
    if (const auto* gateway = std::get_if<service::GatewayOptions>(&*service)) {
      claim_streams(*gateway, link, item.mark, taken, section.diagnostics());
    }
    link.services.push_back(std::move(*service));
  }
}

void read_cut_through(Section& section, LinkConfig& link) {
  section.choice(
      "cut_through", link.cut_through,
      {{"auto", CutThroughUse::kAuto}, {"on", CutThroughUse::kOn}, {"off", CutThroughUse::kOff}});
  if (link.cut_through != CutThroughUse::kOn) return;
  if (!link.observe_flows) {
    section.complain("cut_through",
                     "'cut_through: on' needs 'observe_flows: true': who follows the flows of a "
                     "link chooses those that the kernel forwards");
  }
  if (!may_cut_through(link)) {
    section.complain("cut_through",
                     fmt::format("'cut_through: on' is for links without services, or with bridge "
                                 "only: the others of {} must see every frame",
                                 section.what()));
  }
}

}  // namespace

std::vector<LinkConfig> read_links(const Node& node, const Names& names, Diagnostics& diagnostics) {
  std::vector<LinkConfig> links;
  if (node.kind != Node::Kind::kSequence) {
    diagnostics.add(node.mark,
                    fmt::format("'links' must be a list (- name: vm1), not {}", node.what()));
    return links;
  }
  Taken taken;
  for (const auto& item : node.items) {
    LinkConfig link;
    Section section(item, fmt::format("link {}", links.size() + 1), diagnostics);
    section.require("name", "vm1");
    if (section.text("name", link.name) &&
        check_name(link.name, "link", section.mark_of("name"), diagnostics)) {
      claim(taken.names, link.name, section.mark_of("name"),
            fmt::format("there is a link '{}' already", link.name), diagnostics);
    }
    read_ends(section, link, names, taken);
    read_services(section, link, names, taken);
    section.flag("observe_flows", link.observe_flows);
    read_cut_through(section, link);
    section.finish();
    links.push_back(std::move(link));
  }
  for (const auto& [name, mark] : taken.networks) {
    if (const auto guest = taken.guests.find(name); guest != taken.guests.end()) {
      diagnostics.add(mark, fmt::format("interface '{}' is the guest of another link (line {}); it "
                                        "cannot be a network side too",
                                        name, guest->second.line));
    }
  }
  return links;
}

}  // namespace vtl::config
