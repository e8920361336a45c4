#include "vtl/service/icmp_error.h"

#include <algorithm>

#include "vtl/wire/icmpv4.h"
#include "vtl/wire/icmpv6.h"
#include "vtl/wire/quoted.h"

namespace vtl::service {
namespace {

struct Meaning {
  bool hard = false;
  bool unreachable = false;
  std::optional<std::uint32_t> mtu{};
};

std::optional<Meaning> read_v6(Bytes message) {
  const auto icmp = wire::Icmpv6View::parse(message);
  if (!icmp) return std::nullopt;
  const auto fields = icmp->fields();
  const auto is = [&](wire::Icmpv6Unreachable code) {
    return fields.code == static_cast<std::uint8_t>(code);
  };
  switch (fields.type) {
    case wire::Icmpv6Type::kPacketTooBig:
      return Meaning{.mtu = fields.rest};
    case wire::Icmpv6Type::kUnreachable:
      return Meaning{.hard = is(wire::Icmpv6Unreachable::kPort) ||
                             is(wire::Icmpv6Unreachable::kAdministrativelyProhibited),
                     .unreachable = true};
    case wire::Icmpv6Type::kTimeExceeded:
      return Meaning{};
    default:
      return std::nullopt;
  }
}

std::optional<Meaning> read_v4(Bytes message) {
  const auto icmp = wire::Icmpv4View::parse(message);
  if (!icmp) return std::nullopt;
  const auto fields = icmp->fields();
  if (fields.is_fragmentation_needed()) return Meaning{.mtu = fields.mtu()};
  const auto is = [&](wire::Icmpv4Unreachable code) {
    return fields.code == static_cast<std::uint8_t>(code);
  };
  switch (fields.type) {
    case wire::Icmpv4Type::kUnreachable:
      return Meaning{.hard = is(wire::Icmpv4Unreachable::kProtocol) ||
                             is(wire::Icmpv4Unreachable::kPort) ||
                             is(wire::Icmpv4Unreachable::kAdministrativelyProhibited),
                     .unreachable = true};
    case wire::Icmpv4Type::kTimeExceeded:
      return Meaning{};
    default:
      return std::nullopt;
  }
}

/// The body of an ICMP error begins after eight octets in both versions.
constexpr std::size_t kIcmpHeader = 8;

}  // namespace

std::optional<TcpIcmpError> read_tcp_icmp_error(const Packet& packet) {
  const Layout& layout = packet.layout();
  if (layout.error || layout.is_fragment) return std::nullopt;
  const bool v6 = layout.network == NetworkKind::kIpv6;
  const Bytes message =
      packet.bytes().subspan(layout.transport_offset, layout.end - layout.transport_offset);
  const auto meaning = v6 ? read_v6(message) : read_v4(message);
  if (!meaning) return std::nullopt;
  const auto quoted = wire::parse_quoted_flow(message.subspan(kIcmpHeader));
  if (!quoted || quoted->key.protocol != wire::IpProtocol::kTcp || !quoted->seq) {
    return std::nullopt;
  }
  TcpIcmpError error{.key = quoted->key,
                     .seq = *quoted->seq,
                     .hard = meaning->hard,
                     .unreachable = meaning->unreachable,
                     .mss = std::nullopt};
  error.key.vlan = layout.vlan;
  if (meaning->mtu) {
    const std::size_t headers = v6 ? 60 : 40;
    const std::size_t minimum = v6 ? 1280 : 576;  // RFC 8200 section 5; RFC 791 section 3.1
    const std::size_t mtu = std::clamp<std::size_t>(*meaning->mtu, minimum, 65535);
    error.mss = static_cast<std::uint16_t>(mtu - headers);
  }
  return error;
}

}  // namespace vtl::service
