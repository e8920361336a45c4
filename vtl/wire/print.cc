#include "vtl/wire/print.h"

#include <fmt/format.h>

#include "vtl/wire/arp.h"
#include "vtl/wire/ethernet.h"
#include "vtl/wire/icmpv4.h"
#include "vtl/wire/icmpv6.h"
#include "vtl/wire/ipv4.h"
#include "vtl/wire/ipv6.h"
#include "vtl/wire/ndp.h"
#include "vtl/wire/quoted.h"
#include "vtl/wire/tcp.h"
#include "vtl/wire/udp.h"

namespace vtl::wire {
namespace {

// Appends to one line, items apart by a space.
class Line {
 public:
  void add(std::string_view text) {
    if (!out_.empty()) out_ += ' ';
    out_ += text;
  }
  void malformed(std::string_view what, WireError error) {
    add(fmt::format("[malformed {}: {}]", what, to_string(error)));
  }
  void bad_checksum(std::string_view what) { add(fmt::format("[wrong {} checksum]", what)); }
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

struct Network {
  IpAddress source;
  IpAddress destination;
};

std::string quoted_text(Bytes body) {
  const auto flow = parse_quoted_flow(body);
  if (!flow) return fmt::format("[malformed quoted packet: {}]", to_string(flow.error()));
  return fmt::format("({})", to_string(flow->key));
}

void print_tcp(Line& line, const Network& ip, Bytes bytes, const PrintOptions& options) {
  const auto tcp = TcpView::parse(bytes);
  if (!tcp) return line.malformed("TCP", tcp.error());
  line.add("tcp " + to_string(tcp->fields()));
  line.add(fmt::format("length {}", tcp->payload().size()));
  if (options.checksums && !tcp->verify_checksum(ip.source, ip.destination)) {
    line.bad_checksum("TCP");
  }
}

void print_udp(Line& line, const Network& ip, Bytes bytes, const PrintOptions& options) {
  const auto udp = options.super_frame ? UdpView::parse_super_frame(bytes) : UdpView::parse(bytes);
  if (!udp) return line.malformed("UDP", udp.error());
  line.add("udp " + to_string(udp->fields()));
  if (options.checksums && !udp->verify_checksum(ip.source, ip.destination)) {
    line.bad_checksum("UDP");
  }
}

void print_icmpv4(Line& line, Bytes bytes, const PrintOptions& options) {
  const auto icmp = Icmpv4View::parse(bytes);
  if (!icmp) return line.malformed("ICMP", icmp.error());
  const Icmpv4Fields fields = icmp->fields();
  line.add("icmp " + to_string(fields));
  if (fields.is_error()) line.add(quoted_text(icmp->body()));
  line.add(fmt::format("length {}", icmp->body().size()));
  if (options.checksums && !icmp->verify_checksum()) line.bad_checksum("ICMP");
}

void print_ndp(Line& line, Icmpv6Type type, Bytes bytes) {
  if (type == Icmpv6Type::kRouterAdvertisement) {
    const auto router = RouterAdvertisementView::parse(bytes);
    if (!router) return line.malformed("router advertisement", router.error());
    return line.add("icmp6 " + to_string(*router));
  }
  const auto neighbour = NeighbourView::parse(bytes);
  if (!neighbour) return line.malformed("neighbour discovery", neighbour.error());
  line.add("icmp6 " + to_string(neighbour->fields()));
}

void print_icmpv6(Line& line, const Network& ip, Bytes bytes, const PrintOptions& options) {
  const auto icmp = Icmpv6View::parse(bytes);
  if (!icmp) return line.malformed("ICMPv6", icmp.error());
  const Icmpv6Fields fields = icmp->fields();
  switch (fields.type) {
    case Icmpv6Type::kRouterAdvertisement:
    case Icmpv6Type::kNeighbourSolicitation:
    case Icmpv6Type::kNeighbourAdvertisement:
      print_ndp(line, fields.type, bytes);
      break;
    default:
      line.add("icmp6 " + to_string(fields));
      if (fields.is_error()) line.add(quoted_text(icmp->body()));
      line.add(fmt::format("length {}", icmp->body().size()));
  }
  if (options.checksums && !icmp->verify_checksum(ip.source.v6(), ip.destination.v6())) {
    line.bad_checksum("ICMPv6");
  }
}

void print_transport(Line& line, const Network& ip, IpProtocol protocol, Bytes bytes,
                     const PrintOptions& options) {
  if (protocol == IpProtocol::kTcp) return print_tcp(line, ip, bytes, options);
  if (protocol == IpProtocol::kUdp) return print_udp(line, ip, bytes, options);
  if (protocol == IpProtocol::kIcmp && ip.source.is_v4()) {
    return print_icmpv4(line, bytes, options);
  }
  if (protocol == IpProtocol::kIcmpv6 && ip.source.is_v6()) {
    return print_icmpv6(line, ip, bytes, options);
  }
  line.add(fmt::format("{} length {}", to_string(protocol), bytes.size()));
}

void print_ipv4(Line& line, Bytes bytes, const PrintOptions& options) {
  const auto ip = options.super_frame ? Ipv4View::parse_super_frame(bytes) : Ipv4View::parse(bytes);
  if (!ip) return line.malformed("IPv4", ip.error());
  line.add(fmt::format("{} > {}", to_string(ip->source()), to_string(ip->destination())));
  if (options.checksums && !ip->verify_checksum()) line.bad_checksum("IPv4");
  if (ip->is_fragment()) {
    line.add(fmt::format("frag id {} offset {}{}", ip->identification(), ip->fragment_offset(),
                         ip->more_fragments() ? "+" : ""));
    if (ip->fragment_offset() != 0) {
      line.add(fmt::format("{} length {}", to_string(ip->protocol()), ip->payload().size()));
      return;
    }
  }
  PrintOptions inner = options;
  inner.checksums = options.checksums && !ip->is_fragment();
  print_transport(line, {ip->source(), ip->destination()}, ip->protocol(), ip->payload(), inner);
}

void print_ipv6(Line& line, Bytes bytes, const PrintOptions& options) {
  const auto ip = options.super_frame ? Ipv6View::parse_super_frame(bytes) : Ipv6View::parse(bytes);
  if (!ip) return line.malformed("IPv6", ip.error());
  line.add(fmt::format("{} > {}", to_string(ip->source()), to_string(ip->destination())));
  const auto chain = ip->walk([&line](const Ipv6Extension& extension) {
    if (extension.kind != IpProtocol::kFragment) line.add(to_string(extension.kind));
  });
  if (!chain) return line.malformed("IPv6 extension headers", chain.error());
  if (chain->fragment) {
    line.add(fmt::format("frag id {} offset {}{}", chain->fragment->identification,
                         chain->fragment->offset, chain->fragment->more ? "+" : ""));
  }
  const Bytes rest = ip->packet().subspan(chain->offset);
  if (!chain->has_transport()) {
    line.add(fmt::format("{} length {}", to_string(chain->protocol), rest.size()));
    return;
  }
  PrintOptions inner = options;
  inner.checksums = options.checksums && !chain->is_fragment();
  print_transport(line, {ip->source(), ip->destination()}, chain->protocol, rest, inner);
}

}  // namespace

std::string print_frame(Bytes frame, const PrintOptions& options) {
  Line line;
  const auto ethernet = EthernetView::parse(frame);
  if (!ethernet) {
    line.malformed("Ethernet", ethernet.error());
    return line.take();
  }
  if (options.link_layer) line.add(to_string(ethernet->fields()));
  switch (ethernet->ether_type()) {
    case EtherType::kIpv4:
      print_ipv4(line, ethernet->payload(), options);
      break;
    case EtherType::kIpv6:
      print_ipv6(line, ethernet->payload(), options);
      break;
    case EtherType::kArp:
      if (const auto arp = ArpView::parse(ethernet->payload())) {
        line.add("arp " + to_string(arp->fields()));
      } else {
        line.malformed("ARP", arp.error());
      }
      break;
    default:
      if (!options.link_layer) line.add(to_string(ethernet->ether_type()));
      line.add(fmt::format("length {}", ethernet->payload().size()));
  }
  return line.take();
}

}  // namespace vtl::wire
