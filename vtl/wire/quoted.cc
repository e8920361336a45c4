#include "vtl/wire/quoted.h"

#include "vtl/wire/icmpv4.h"
#include "vtl/wire/icmpv6.h"
#include "vtl/wire/ipv4.h"
#include "vtl/wire/ipv6.h"

namespace vtl::wire {
namespace {

constexpr std::size_t kPromised = 8;  // RFC 792

Parsed<QuotedFlow> read_transport(QuotedFlow flow, Bytes transport) noexcept {
  if (transport.size() < kPromised) return std::unexpected(WireError::kTruncated);
  switch (flow.key.protocol) {
    case IpProtocol::kTcp:
      flow.seq = SeqNum(load_be32(transport, 4));
      [[fallthrough]];
    case IpProtocol::kUdp:
      flow.key.source.port = Port(load_be16(transport, 0));
      flow.key.destination.port = Port(load_be16(transport, 2));
      break;
    case IpProtocol::kIcmp:
      if (!Icmpv4View::parse(transport)->fields().is_echo()) break;
      flow.key.source.port = flow.key.destination.port = Port(load_be16(transport, 4));
      break;
    case IpProtocol::kIcmpv6:
      if (!Icmpv6View::parse(transport)->fields().is_echo()) break;
      flow.key.source.port = flow.key.destination.port = Port(load_be16(transport, 4));
      break;
    default:
      break;
  }
  return flow;
}

}  // namespace

Parsed<QuotedFlow> parse_quoted_flow(Bytes packet) noexcept {
  if (packet.empty()) return std::unexpected(WireError::kTruncated);
  QuotedFlow flow;
  if (packet[0] >> 4 == 4) {
    const auto ip = Ipv4View::parse_quoted(packet);
    if (!ip) return std::unexpected(ip.error());
    if (ip->fragment_offset() != 0) return std::unexpected(WireError::kUnsupported);
    flow.key.source.address = ip->source();
    flow.key.destination.address = ip->destination();
    flow.key.protocol = ip->protocol();
    flow.size = ip->total_length();
    return read_transport(flow, ip->payload());
  }
  const auto ip = Ipv6View::parse_quoted(packet);
  if (!ip) return std::unexpected(ip.error());
  const auto chain = ip->walk();
  if (!chain) return std::unexpected(chain.error());
  if (!chain->has_transport()) return std::unexpected(WireError::kUnsupported);
  flow.key.source.address = ip->source();
  flow.key.destination.address = ip->destination();
  flow.key.protocol = chain->protocol;
  flow.size = Ipv6View::kSize + ip->payload_length();
  return read_transport(flow, ip->packet().subspan(chain->offset));
}

}  // namespace vtl::wire
