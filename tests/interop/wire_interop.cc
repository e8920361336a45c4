// VTL's side of the wire room's interoperability test; wire_interop.py is the other.
//
// usage: wire_interop read PCAP: what VTL reads in each frame, as a JSON list of flat objects.
//        wire_interop write PCAP: writes frames that VTL builds, and tells their fields likewise.
#include <pcap/pcap.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "vtl/wire/arp.h"
#include "vtl/wire/checksum.h"
#include "vtl/wire/dhcpv4.h"
#include "vtl/wire/dns.h"
#include "vtl/wire/ethernet.h"
#include "vtl/wire/icmpv4.h"
#include "vtl/wire/icmpv6.h"
#include "vtl/wire/ipv4.h"
#include "vtl/wire/ipv6.h"
#include "vtl/wire/ndp.h"
#include "vtl/wire/tcp.h"
#include "vtl/wire/udp.h"

namespace {

using namespace vtl;
using namespace vtl::wire;
using nlohmann::json;
using Octets = std::vector<std::uint8_t>;

template <class E>
int number(E e) {
  return static_cast<int>(e);
}

std::string hex(Bytes bytes) {
  std::string out;
  for (const std::uint8_t b : bytes) {
    out += "0123456789abcdef"[b >> 4];
    out += "0123456789abcdef"[b & 15];
  }
  return out;
}

struct Network {
  IpAddress source;
  IpAddress destination;
  bool whole = true;  // not a fragment: the checksum can be verified
};

void read_tcp(json& out, const Network& ip, Bytes bytes) {
  const auto tcp = TcpView::parse(bytes);
  if (!tcp) {
    out["error"] = std::string("tcp ") + std::string(to_string(tcp.error()));
    return;
  }
  const TcpFields f = tcp->fields();
  out["tcp.sport"] = f.source.value();
  out["tcp.dport"] = f.destination.value();
  out["tcp.seq"] = f.seq.value();
  out["tcp.ack"] = f.ack.value();
  out["tcp.flags"] = f.flags.bits;
  out["tcp.window"] = f.window;
  out["tcp.urgent"] = f.urgent;
  if (f.options.mss) out["tcp.mss"] = *f.options.mss;
  if (f.options.window_scale) out["tcp.wscale"] = *f.options.window_scale;
  if (f.options.sack_permitted) out["tcp.sackok"] = true;
  if (f.options.timestamps) {
    out["tcp.tsval"] = f.options.timestamps->value;
    out["tcp.tsecr"] = f.options.timestamps->echo;
  }
  for (std::size_t i = 0; i < f.options.sack_count; ++i) {
    out["tcp.sack"].push_back(f.options.sack[i].left.value());
    out["tcp.sack"].push_back(f.options.sack[i].right.value());
  }
  out["payload"] = hex(tcp->payload());
  if (ip.whole) out["checksum_ok"] = tcp->verify_checksum(ip.source, ip.destination);
}

constexpr Port kDnsPort{53};

void read_dns(json& out, Bytes bytes) {
  const auto dns = DnsMessageView::parse(bytes);
  if (!dns) {
    out["error"] = std::string("dns ") + std::string(to_string(dns.error()));
    return;
  }
  const DnsHeader h = dns->header();
  out["dns.id"] = h.id;
  out["dns.response"] = h.response;
  out["dns.rd"] = h.recursion_desired;
  out["dns.code"] = h.code;
  if (const auto question = dns->question()) {
    out["dns.name"] = to_string(question->name);
    out["dns.type"] = question->type;
  }
  for (auto it = dns->records(); const auto record = it.next();) {
    if (const auto name = record->name()) out["dns.owners"].push_back(to_string(*name));
    if (const auto address = record->address()) out["dns.addresses"].push_back(to_string(*address));
    if (const auto target = record->target()) out["dns.targets"].push_back(to_string(*target));
  }
  if (const auto edns = dns->edns()) out["dns.payload"] = edns->payload;
}

void read_dhcp(json& out, Bytes bytes) {
  const auto dhcp = DhcpView::parse(bytes);
  if (!dhcp) {
    out["error"] = std::string("dhcp ") + std::string(to_string(dhcp.error()));
    return;
  }
  const DhcpFields f = dhcp->fields();
  out["dhcp.type"] = number(f.type);
  out["dhcp.xid"] = f.transaction;
  out["dhcp.broadcast"] = f.broadcast;
  out["dhcp.yours"] = to_string(f.yours);
  out["dhcp.hardware"] = to_string(f.hardware);
  if (f.requested) out["dhcp.requested"] = to_string(*f.requested);
  if (f.server) out["dhcp.server"] = to_string(*f.server);
  if (f.lease_seconds) out["dhcp.lease"] = *f.lease_seconds;
  if (f.mask) out["dhcp.mask"] = to_string(*f.mask);
  if (f.router) out["dhcp.router"] = to_string(*f.router);
  if (f.dns) out["dhcp.dns"] = to_string(*f.dns);
}

void read_udp(json& out, const Network& ip, Bytes bytes) {
  const auto udp = UdpView::parse(bytes);
  if (!udp) {
    out["error"] = std::string("udp ") + std::string(to_string(udp.error()));
    return;
  }
  out["udp.sport"] = udp->source().value();
  out["udp.dport"] = udp->destination().value();
  if (udp->source() == kDnsPort || udp->destination() == kDnsPort) read_dns(out, udp->payload());
  if (udp->destination() == kDhcpServerPort || udp->destination() == kDhcpClientPort) {
    read_dhcp(out, udp->payload());
  }
  out["payload"] = hex(udp->payload());
  if (ip.whole) out["checksum_ok"] = udp->verify_checksum(ip.source, ip.destination);
}

template <class View>
void read_icmp(json& out, const View& view) {
  const auto f = view.fields();
  out["icmp.type"] = number(f.type);
  out["icmp.code"] = f.code;
  if (f.is_echo()) {
    out["icmp.id"] = f.identifier();
    out["icmp.seq"] = f.sequence();
    out["payload"] = hex(view.body());
  }
}

void read_icmpv6(json& out, const Network& ip, Bytes bytes) {
  const auto icmp = Icmpv6View::parse(bytes);
  if (!icmp) {
    out["error"] = std::string("icmp6 ") + std::string(to_string(icmp.error()));
    return;
  }
  read_icmp(out, *icmp);
  if (icmp->fields().type == Icmpv6Type::kPacketTooBig) out["icmp.mtu"] = icmp->fields().mtu();
  if (const auto neighbour = NeighbourView::parse(bytes)) {
    const NeighbourFields f = neighbour->fields();
    out["nd.target"] = to_string(f.target);
    if (f.link_address) out["nd.link"] = to_string(*f.link_address);
    if (f.advertisement) out["nd.flags"] = (f.router ? 4 : 0) + (f.solicited ? 2 : 0) + f.override_;
  }
  if (const auto router = RouterAdvertisementView::parse(bytes)) {
    out["ra.lifetime"] = router->lifetime_seconds();
    out["ra.hoplimit"] = router->hop_limit();
    if (const auto mtu = router->mtu()) out["ra.mtu"] = *mtu;
    for (auto it = router->options(); const auto option = it.next();) {
      if (const auto p = prefix(*option)) {
        out["ra.prefix"] = to_string(p->prefix) + "/" + std::to_string(p->length);
      }
      if (const auto found = resolvers(*option)) {
        for (std::size_t i = 0; i < found->count(); ++i) {
          out["ra.dns"].push_back(to_string(found->address(i)));
        }
      }
    }
  }
  if (ip.whole) out["checksum_ok"] = icmp->verify_checksum(ip.source.v6(), ip.destination.v6());
}

void read_transport(json& out, const Network& ip, IpProtocol protocol, Bytes bytes) {
  out["ip.proto"] = number(protocol);
  if (protocol == IpProtocol::kTcp) return read_tcp(out, ip, bytes);
  if (protocol == IpProtocol::kUdp) return read_udp(out, ip, bytes);
  if (protocol == IpProtocol::kIcmpv6) return read_icmpv6(out, ip, bytes);
  if (protocol != IpProtocol::kIcmp) return;
  const auto icmp = Icmpv4View::parse(bytes);
  if (!icmp) {
    out["error"] = std::string("icmp ") + std::string(to_string(icmp.error()));
    return;
  }
  read_icmp(out, *icmp);
  if (icmp->fields().is_fragmentation_needed()) out["icmp.mtu"] = icmp->fields().mtu();
  if (ip.whole) out["checksum_ok"] = icmp->verify_checksum();
}

void read_ipv4(json& out, Bytes bytes) {
  const auto ip = Ipv4View::parse(bytes);
  if (!ip) {
    out["error"] = std::string("ip ") + std::string(to_string(ip.error()));
    return;
  }
  const Ipv4Fields f = ip->fields();
  out["ip.src"] = to_string(f.source);
  out["ip.dst"] = to_string(f.destination);
  out["ip.ttl"] = f.ttl;
  out["ip.id"] = f.identification;
  out["ip.tos"] = f.dscp << 2 | number(f.ecn);
  out["ip.df"] = f.dont_fragment;
  out["ip.mf"] = f.more_fragments;
  out["ip.frag"] = f.fragment_offset;
  out["ip.options"] = hex(ip->option_bytes());
  out["ip.checksum_ok"] = ip->verify_checksum();
  if (f.fragment_offset != 0) {
    out["ip.proto"] = number(f.protocol);
    return;
  }
  read_transport(out, {f.source, f.destination, !ip->is_fragment()}, f.protocol, ip->payload());
}

void read_ipv6(json& out, Bytes bytes) {
  const auto ip = Ipv6View::parse(bytes);
  if (!ip) {
    out["error"] = std::string("ip6 ") + std::string(to_string(ip.error()));
    return;
  }
  const Ipv6Fields f = ip->fields();
  out["ip.src"] = to_string(f.source);
  out["ip.dst"] = to_string(f.destination);
  out["ip.ttl"] = f.hop_limit;
  out["ip.tos"] = f.dscp << 2 | number(f.ecn);
  out["ip.flow"] = f.flow_label;
  const auto chain = ip->walk([&out](const Ipv6Extension& extension) {
    out["ip.extensions"].push_back(number(extension.kind));
  });
  if (!chain) {
    out["error"] = std::string("ip6 chain ") + std::string(to_string(chain.error()));
    return;
  }
  if (chain->fragment) {
    out["ip.id"] = chain->fragment->identification;
    out["ip.frag"] = chain->fragment->offset;
    out["ip.mf"] = chain->fragment->more;
  }
  if (!chain->has_transport()) {
    out["ip.proto"] = number(chain->protocol);
    return;
  }
  read_transport(out, {f.source, f.destination, !chain->is_fragment()}, chain->protocol,
                 ip->packet().subspan(chain->offset));
}

json read_frame(Bytes frame) {
  json out = json::object();
  const auto ethernet = EthernetView::parse(frame);
  if (!ethernet) {
    out["error"] = std::string("ethernet ") + std::string(to_string(ethernet.error()));
    return out;
  }
  out["eth.src"] = to_string(ethernet->source());
  out["eth.dst"] = to_string(ethernet->destination());
  out["eth.type"] = number(ethernet->ether_type());
  for (std::size_t i = 0; i < ethernet->tag_count(); ++i) {
    const VlanTag tag = ethernet->tag(i);
    out["vlan"].push_back(tag.vid);
    out["vlan.pcp"].push_back(tag.pcp);
  }
  if (ethernet->ether_type() == EtherType::kIpv4) read_ipv4(out, ethernet->payload());
  if (ethernet->ether_type() == EtherType::kIpv6) read_ipv6(out, ethernet->payload());
  if (ethernet->ether_type() == EtherType::kArp) {
    const auto arp = ArpView::parse(ethernet->payload());
    if (!arp) {
      out["error"] = std::string("arp ") + std::string(to_string(arp.error()));
      return out;
    }
    const ArpFields f = arp->fields();
    out["arp.op"] = number(f.operation);
    out["arp.hwsrc"] = to_string(f.sender_mac);
    out["arp.psrc"] = to_string(f.sender_ip);
    out["arp.hwdst"] = to_string(f.target_mac);
    out["arp.pdst"] = to_string(f.target_ip);
  }
  return out;
}

// Building: layers from the inside out.

void prepend(Octets& frame, const auto& fields) {
  Octets head(fields.size(), 0xaa);
  fields.emit(head);
  frame.insert(frame.begin(), head.begin(), head.end());
}

const IpAddress kV4a = Ipv4Address(192, 0, 2, 1);
const IpAddress kV4b = Ipv4Address(198, 51, 100, 2);
const IpAddress kV6a = *Ipv6Address::parse("2001:db8::1");
const IpAddress kV6b = *Ipv6Address::parse("2001:db8::2");

void put_ip(Octets& frame, bool v6, IpProtocol protocol) {
  if (v6) {
    Ipv6Fields f{kV6a.v6(), kV6b.v6(), protocol, 61, 10, Ecn::kEct0, 0x12345, 0};
    f.payload_length = static_cast<std::uint16_t>(frame.size());
    return prepend(frame, f);
  }
  Ipv4Fields f;
  f.source = kV4a.v4();
  f.destination = kV4b.v4();
  f.protocol = protocol;
  f.ttl = 61;
  f.dscp = 10;
  f.ecn = Ecn::kEct0;
  f.identification = 0x1234;
  f.dont_fragment = true;
  f.payload_length = static_cast<std::uint16_t>(frame.size());
  f.option_length = 4;  // router alert
  f.options[0] = 0x94;
  f.options[1] = 4;
  prepend(frame, f);
}

void put_ethernet(Octets& frame, EtherType type, std::uint8_t tags) {
  EthernetFields f;
  f.source = *MacAddress::parse("02:00:00:00:00:01");
  f.destination = *MacAddress::parse("02:00:00:00:00:02");
  f.tag_count = tags;
  if (tags == 2) f.tags[0] = {EtherType::kQinQ, 3, false, 100};
  if (tags > 0) f.tags[tags - 1U] = {EtherType::kVlan, 5, false, 7};
  f.ether_type = type;
  prepend(frame, f);
}

void finish(Octets& segment, bool v6, IpProtocol protocol, std::size_t offset) {
  store_be16(segment, offset,
             transport_checksum(v6 ? kV6a : kV4a, v6 ? kV6b : kV4b, protocol, segment));
}

Octets tcp_segment(bool v6, std::uint8_t flags, const TcpOptions& options, std::size_t payload) {
  Octets segment(payload, 'v');
  prepend(segment,
          TcpFields{
              Port(40000), Port(5001), SeqNum(0xfffffff0), SeqNum(77), {flags}, 4096, 0, options});
  finish(segment, v6, IpProtocol::kTcp, TcpView::kChecksumOffset);
  return segment;
}

std::vector<Octets> transports(bool v6) {
  std::vector<Octets> out;
  TcpOptions syn;
  syn.mss = 1400;
  syn.window_scale = 9;
  syn.sack_permitted = true;
  syn.timestamps = TcpTimestamps{1000, 0};
  out.push_back(tcp_segment(v6, TcpFlags::kSyn, syn, 0));
  TcpOptions sack;
  sack.timestamps = TcpTimestamps{1001, 2002};
  sack.sack_count = 2;
  sack.sack = {{{SeqNum(100), SeqNum(200)}, {SeqNum(300), SeqNum(400)}}};
  out.push_back(tcp_segment(v6, TcpFlags::kAck, sack, 0));
  out.push_back(tcp_segment(v6, TcpFlags::kAck | TcpFlags::kPsh, {}, 33));
  out.push_back(tcp_segment(v6, TcpFlags::kAck | TcpFlags::kFin, {}, 1));
  return out;
}

Octets datagram(bool v6, Port source, Port destination, Octets payload) {
  prepend(payload, UdpFields{source, destination, static_cast<std::uint16_t>(payload.size())});
  finish(payload, v6, IpProtocol::kUdp, UdpView::kChecksumOffset);
  return payload;
}

Octets dns_answer(bool v6) {
  Octets out(512);
  const DnsName name = *DnsName::parse("www.example.org");
  DnsWriter writer(out, {.id = 0x4321, .response = true, .recursion_desired = true});
  const bool whole =
      writer.question({name, static_cast<std::uint16_t>(v6 ? DnsType::kAaaa : DnsType::kA), 1}) &&
      writer.address(name, 60, v6 ? kV6b : kV4b) && writer.edns({.payload = 1232}, {});
  out.resize(whole ? writer.message().size() : 0);
  return out;
}

Octets dhcp_offer() {
  DhcpFields f;
  f.reply = f.broadcast = true;
  f.type = DhcpType::kOffer;
  f.transaction = 0x12345678;
  f.yours = Ipv4Address(10, 64, 0, 2);
  f.hardware = *MacAddress::parse("02:00:00:00:00:02");
  f.server = f.router = f.dns = Ipv4Address(10, 64, 0, 1);
  f.lease_seconds = 3600;
  f.mask = Ipv4Address(255, 255, 0, 0);
  Octets out;
  prepend(out, f);
  return out;
}

Octets router_advertisement() {
  RouterAdvertisementFields f;
  f.hop_limit = 64;
  f.lifetime_seconds = 1800;
  f.source_link_address = *MacAddress::parse("02:00:00:00:00:01");
  f.mtu = 1400;
  f.prefix = NdpPrefix{64, true, true, 86400, 14400, *Ipv6Address::parse("2001:db8:1::")};
  f.dns = kV6a.v6();
  f.dns_seconds = 600;
  Octets out;
  prepend(out, f);
  finish(out, true, IpProtocol::kIcmpv6, Icmpv6View::kChecksumOffset);
  return out;
}

std::vector<Octets> frames_of(bool v6) {
  std::vector<Octets> out;
  const EtherType type = v6 ? EtherType::kIpv6 : EtherType::kIpv4;
  std::uint8_t tags = 0;
  const auto add = [&](Octets segment, IpProtocol protocol) {
    put_ip(segment, v6, protocol);
    put_ethernet(segment, type, tags);
    tags = static_cast<std::uint8_t>((tags + 1) % 3);
    out.push_back(std::move(segment));
  };
  for (Octets& segment : transports(v6)) add(std::move(segment), IpProtocol::kTcp);
  add(datagram(v6, Port(40001), Port(9), Octets(31, 'u')), IpProtocol::kUdp);
  add(datagram(v6, kDnsPort, Port(40001), dns_answer(v6)), IpProtocol::kUdp);
  Octets echo(16, 'e');
  if (v6) {
    prepend(echo, Icmpv6Fields::echo(Icmpv6Type::kEchoRequest, 7, 3));
    finish(echo, v6, IpProtocol::kIcmpv6, Icmpv6View::kChecksumOffset);
    add(echo, IpProtocol::kIcmpv6);
    NeighbourFields neighbour;
    neighbour.advertisement = neighbour.solicited = neighbour.override_ = true;
    neighbour.target = kV6b.v6();
    neighbour.link_address = *MacAddress::parse("02:00:00:00:00:01");
    Octets message;
    prepend(message, neighbour);
    finish(message, v6, IpProtocol::kIcmpv6, Icmpv6View::kChecksumOffset);
    add(message, IpProtocol::kIcmpv6);
    add(router_advertisement(), IpProtocol::kIcmpv6);
  } else {
    add(datagram(v6, kDhcpServerPort, kDhcpClientPort, dhcp_offer()), IpProtocol::kUdp);
    prepend(echo, Icmpv4Fields::echo(Icmpv4Type::kEchoRequest, 7, 3));
    finish(echo, v6, IpProtocol::kIcmp, Icmpv4View::kChecksumOffset);
    add(echo, IpProtocol::kIcmp);
    Octets arp;
    prepend(arp, ArpFields{ArpOperation::kReply, *MacAddress::parse("02:00:00:00:00:01"), kV4a.v4(),
                           *MacAddress::parse("02:00:00:00:00:02"), kV4b.v4()});
    put_ethernet(arp, EtherType::kArp, 0);
    out.push_back(arp);
  }
  return out;
}

int read_all(const char* path) {
  char error[PCAP_ERRBUF_SIZE] = {};
  pcap_t* file = pcap_open_offline(path, error);
  if (file == nullptr) {
    std::fprintf(stderr, "%s\n", error);
    return 1;
  }
  json out = json::array();
  pcap_pkthdr* header = nullptr;
  const u_char* data = nullptr;
  while (pcap_next_ex(file, &header, &data) == 1) {
    out.push_back(read_frame(Bytes(data, header->caplen)));
  }
  pcap_close(file);
  std::puts(out.dump().c_str());
  return 0;
}

int write_all(const char* path) {
  pcap_t* link = pcap_open_dead(DLT_EN10MB, 65535);
  pcap_dumper_t* file = pcap_dump_open(link, path);
  if (file == nullptr) {
    std::fprintf(stderr, "%s\n", pcap_geterr(link));
    pcap_close(link);
    return 1;
  }
  json out = json::array();
  for (const bool v6 : {false, true}) {
    for (const Octets& frame : frames_of(v6)) {
      pcap_pkthdr header{};
      header.caplen = header.len = static_cast<bpf_u_int32>(frame.size());
      pcap_dump(reinterpret_cast<u_char*>(file), &header, frame.data());
      out.push_back(read_frame(frame));
    }
  }
  pcap_dump_close(file);
  pcap_close(link);
  std::puts(out.dump().c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view mode = argc == 3 ? argv[1] : "";
  if (mode == "read") return read_all(argv[2]);
  if (mode == "write") return write_all(argv[2]);
  std::fprintf(stderr, "usage: wire_interop read|write PCAP\n");
  return 2;
}
