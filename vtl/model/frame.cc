#include "vtl/model/frame.h"

namespace vtl::model {
namespace {

using namespace wire;

Parsed<Frame> read_ipv4(Frame frame, Bytes bytes, bool super_frame) noexcept {
  const auto ip = super_frame ? Ipv4View::parse_super_frame(bytes) : Ipv4View::parse(bytes);
  if (!ip) return std::unexpected(ip.error());
  if (ip->is_fragment()) return std::unexpected(WireError::kUnsupported);
  frame.source = ip->source();
  frame.destination = ip->destination();
  frame.protocol = ip->protocol();
  frame.ttl = ip->ttl();
  frame.dscp = ip->dscp();
  frame.dont_fragment = ip->dont_fragment();
  frame.label = ip->identification();
  frame.transport = ip->payload();
  return frame;
}

Parsed<Frame> read_ipv6(Frame frame, Bytes bytes, bool super_frame) noexcept {
  const auto ip = super_frame ? Ipv6View::parse_super_frame(bytes) : Ipv6View::parse(bytes);
  if (!ip) return std::unexpected(ip.error());
  const auto chain = ip->walk();
  if (!chain) return std::unexpected(chain.error());
  if (chain->is_fragment() || !chain->has_transport()) {
    return std::unexpected(WireError::kUnsupported);
  }
  frame.source = ip->source();
  frame.destination = ip->destination();
  frame.protocol = chain->protocol;
  frame.ttl = ip->hop_limit();
  frame.dscp = ip->dscp();
  frame.label = ip->flow_label();
  frame.transport = ip->packet().subspan(chain->offset);
  return frame;
}

}  // namespace

Parsed<Frame> parse_frame(Bytes bytes, bool super_frame) noexcept {
  const auto ethernet = EthernetView::parse(bytes);
  if (!ethernet) return std::unexpected(ethernet.error());
  Frame frame;
  frame.ethernet = ethernet->fields();
  switch (ethernet->ether_type()) {
    case EtherType::kIpv4:
      return read_ipv4(frame, ethernet->payload(), super_frame);
    case EtherType::kIpv6:
      return read_ipv6(frame, ethernet->payload(), super_frame);
    default:
      return std::unexpected(WireError::kUnsupported);
  }
}

}  // namespace vtl::model
