// The gateway's dealings with ICMP: errors from the guest side about connections that it plays, and
// the unreachables that a guest is told when its server cannot be reached.

#include <algorithm>

#include "vtl/packet/checksum.h"
#include "vtl/packet/derive.h"
#include "vtl/service/gateway/gateway.h"
#include "vtl/wire/icmpv4.h"
#include "vtl/wire/icmpv6.h"
#include "vtl/wire/quoted.h"

namespace vtl::service {
namespace {

using engine::Direction;

/// What an ICMP error means for TCP (RFC 5461 section 2, RFC 1191, RFC 8201).
struct ErrorMeaning {
  bool hard = false;
  std::optional<std::uint32_t> mtu;
};

std::optional<ErrorMeaning> read_error(Bytes message, bool v6) {
  if (v6) {
    const auto icmp = wire::Icmpv6View::parse(message);
    if (!icmp) return std::nullopt;
    const auto fields = icmp->fields();
    switch (fields.type) {
      case wire::Icmpv6Type::kPacketTooBig:
        return ErrorMeaning{false, fields.rest};
      case wire::Icmpv6Type::kUnreachable:
        return ErrorMeaning{
            fields.code == static_cast<std::uint8_t>(wire::Icmpv6Unreachable::kPort) ||
                fields.code ==
                    static_cast<std::uint8_t>(wire::Icmpv6Unreachable::kAdministrativelyProhibited),
            std::nullopt};
      case wire::Icmpv6Type::kTimeExceeded:
        return ErrorMeaning{};
      default:
        return std::nullopt;
    }
  }
  const auto icmp = wire::Icmpv4View::parse(message);
  if (!icmp) return std::nullopt;
  const auto fields = icmp->fields();
  if (fields.is_fragmentation_needed()) return ErrorMeaning{false, fields.mtu()};
  switch (fields.type) {
    case wire::Icmpv4Type::kUnreachable:
      return ErrorMeaning{
          fields.code == static_cast<std::uint8_t>(wire::Icmpv4Unreachable::kProtocol) ||
              fields.code == static_cast<std::uint8_t>(wire::Icmpv4Unreachable::kPort) ||
              fields.code ==
                  static_cast<std::uint8_t>(wire::Icmpv4Unreachable::kAdministrativelyProhibited),
          std::nullopt};
    case wire::Icmpv4Type::kTimeExceeded:
      return ErrorMeaning{};
    default:
      return std::nullopt;
  }
}

/// The body of an ICMP error begins after eight octets in both versions.
constexpr std::size_t kIcmpHeader = 8;

}  // namespace

void Gateway::take_icmp(Packet& packet) {
  const Layout& layout = packet.layout();
  if (layout.error || layout.is_fragment) return;
  const bool v6 = layout.network == NetworkKind::kIpv6;
  const Bytes message =
      packet.bytes().subspan(layout.transport_offset, layout.end - layout.transport_offset);
  const auto error = read_error(message, v6);
  if (!error) return;
  const auto quoted = wire::parse_quoted_flow(message.subspan(kIcmpHeader));
  if (!quoted || quoted->key.protocol != wire::IpProtocol::kTcp || !quoted->seq) return;
  // The quoted segment was sent toward the guest: the table knows its other direction.
  wire::FlowKey key = quoted->key.reversed();
  key.vlan = layout.vlan;
  const auto it = relays_.find(key);
  if (it == relays_.end() || !it->second->in_flight(*quoted->seq)) return;
  if (!verify_checksums(packet)) {
    context_->drop(std::move(packet), DropReason::kBadChecksum);
    return;
  }
  const Time now = context_->reactor().now();
  if (error->mtu) {
    const std::size_t headers = v6 ? 60 : 40;
    const std::size_t minimum = v6 ? 1280 : 576;  // RFC 8200 section 5; RFC 791 section 3.1
    const std::size_t mtu = std::clamp<std::size_t>(*error->mtu, minimum, 65535);
    it->second->limit_mss(static_cast<std::uint16_t>(mtu - headers), now);
  } else {
    it->second->icmp_error(error->hard, now);
  }
  schedule(*it->second);
  packet.reset();
}

void Gateway::send_unreachable(Relay& relay, transport::StreamError reason) {
  if (!relay.syn_frame()) return;
  Packet packet =
      icmp_error_for(relay.syn_frame(), reason == transport::StreamError::kNetworkUnreachable
                                            ? IcmpError::kNetworkUnreachable
                                            : IcmpError::kHostUnreachable);
  if (packet) context_->emit(Direction::kInbound, std::move(packet));
}

}  // namespace vtl::service
