#include "vtl/wire/flow_key.h"

#include <fmt/format.h>

namespace vtl::wire {
namespace {

std::uint32_t folded(const IpAddress& a) noexcept {
  if (a.is_v4()) return a.v4().value();
  if (!a.is_v6()) return 0;
  const auto v6 = a.v6();
  std::uint32_t h = 0;
  for (std::size_t i = 0; i < Ipv6Address::kSize; i += 4) h ^= load_be32(v6.octets(), i);
  return h;
}

}  // namespace

std::string to_string(IpProtocol protocol) {
  switch (protocol) {
    case IpProtocol::kHopByHop:
      return "hop-by-hop";
    case IpProtocol::kIcmp:
      return "icmp";
    case IpProtocol::kTcp:
      return "tcp";
    case IpProtocol::kUdp:
      return "udp";
    case IpProtocol::kIpv6:
      return "ipv6";
    case IpProtocol::kRouting:
      return "routing";
    case IpProtocol::kFragment:
      return "fragment";
    case IpProtocol::kEsp:
      return "esp";
    case IpProtocol::kAuthentication:
      return "ah";
    case IpProtocol::kIcmpv6:
      return "icmp6";
    case IpProtocol::kNoNext:
      return "no-next";
    case IpProtocol::kDestinationOptions:
      return "destination-options";
  }
  return fmt::format("proto-{}", static_cast<unsigned>(protocol));
}

std::string to_string(const FlowKey& key) {
  std::string out = fmt::format("{} {} > {}", to_string(key.protocol), to_string(key.source),
                                to_string(key.destination));
  if (key.vlan != 0) fmt::format_to(std::back_inserter(out), " vlan {}", key.vlan);
  return out;
}

std::uint32_t symmetric_hash(const FlowKey& key) noexcept {
  std::uint32_t h = folded(key.source.address) ^ folded(key.destination.address);
  h ^= static_cast<std::uint32_t>(key.source.port.value() ^ key.destination.port.value());
  h ^= h >> 16;
  h ^= h >> 8;
  return h;
}

}  // namespace vtl::wire
