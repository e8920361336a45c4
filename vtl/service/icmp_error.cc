#include "vtl/service/icmp_error.h"

#include <algorithm>
#include <array>
#include <utility>

#include "vtl/wire/icmpv4.h"
#include "vtl/wire/icmpv6.h"
#include "vtl/wire/quoted.h"

namespace vtl::service {
namespace {

struct Meaning {
  bool hard = false;
  std::optional<IcmpError> unreachable{};
  std::optional<std::uint32_t> mtu{};
};

Meaning unreachable(IcmpError kind, bool hard) {
  return {.hard = hard, .unreachable = kind};
}

Meaning read_unreachable_v6(std::uint8_t code) {
  switch (static_cast<wire::Icmpv6Unreachable>(code)) {
    case wire::Icmpv6Unreachable::kNoRoute:
    case wire::Icmpv6Unreachable::kBeyondScope:
      return unreachable(IcmpError::kNetworkUnreachable, false);
    case wire::Icmpv6Unreachable::kAdministrativelyProhibited:
      return unreachable(IcmpError::kAdministrativelyProhibited, true);
    case wire::Icmpv6Unreachable::kPort:
      return unreachable(IcmpError::kPortUnreachable, true);
    case wire::Icmpv6Unreachable::kAddress:
      break;
  }
  return unreachable(IcmpError::kHostUnreachable, false);
}

Meaning read_unreachable_v4(std::uint8_t code) {
  switch (static_cast<wire::Icmpv4Unreachable>(code)) {
    case wire::Icmpv4Unreachable::kNet:
      return unreachable(IcmpError::kNetworkUnreachable, false);
    case wire::Icmpv4Unreachable::kProtocol:
    case wire::Icmpv4Unreachable::kPort:
      return unreachable(IcmpError::kPortUnreachable, true);
    case wire::Icmpv4Unreachable::kAdministrativelyProhibited:
      return unreachable(IcmpError::kAdministrativelyProhibited, true);
    default:
      return unreachable(IcmpError::kHostUnreachable, false);
  }
}

std::optional<Meaning> read_v6(Bytes message) {
  const auto icmp = wire::Icmpv6View::parse(message);
  if (!icmp) return std::nullopt;
  const auto fields = icmp->fields();
  switch (fields.type) {
    case wire::Icmpv6Type::kPacketTooBig:
      return Meaning{.mtu = fields.rest};
    case wire::Icmpv6Type::kUnreachable:
      return read_unreachable_v6(fields.code);
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
  switch (fields.type) {
    case wire::Icmpv4Type::kUnreachable:
      return read_unreachable_v4(fields.code);
    case wire::Icmpv4Type::kTimeExceeded:
      return Meaning{};
    default:
      return std::nullopt;
  }
}

/// RFC 1191 section 7.1, table 7-1: what a router that tells no MTU may mean.
constexpr std::array<std::size_t, 11> kPlateaus = {65535, 32000, 17914, 8166, 4352, 2002,
                                                   1492,  1006,  508,   296,  68};

/// The MSS for a path that asks for packets of `mtu`, where one of `quoted` octets was too big.
/// Nothing where no link can be meant: below the smallest of all (RFC 791 section 3.2; RFC 8201
/// section 4 on RFC 8200's 1280), or one that would have carried the quoted packet.
std::optional<std::uint16_t> mss_for(std::size_t mtu, std::size_t quoted, bool v6) {
  if (!v6 && mtu == 0) {
    const auto* const lower = std::find_if(kPlateaus.begin(), kPlateaus.end(),
                                           [&](std::size_t plateau) { return plateau < quoted; });
    mtu = lower == kPlateaus.end() ? 0 : *lower;
  }
  if (mtu < (v6 ? 1280 : 68) || mtu >= quoted) return std::nullopt;
  return static_cast<std::uint16_t>(mtu - (v6 ? 60 : 40));
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
    error.mss = mss_for(*meaning->mtu, quoted->size, v6);
    if (!error.mss) return std::nullopt;
  }
  return error;
}

void send_unreachable(engine::ServiceContext& context, engine::Direction toward, const Packet& syn,
                      IcmpError kind) {
  if (!syn) return;
  if (Packet packet = icmp_error_for(syn, kind)) context.emit(toward, std::move(packet));
}

}  // namespace vtl::service
