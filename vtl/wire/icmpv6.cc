#include "vtl/wire/icmpv6.h"

#include <fmt/format.h>

#include "vtl/wire/checksum.h"

namespace vtl::wire {
namespace {

std::string unreachable_text(std::uint8_t code) {
  switch (static_cast<Icmpv6Unreachable>(code)) {
    case Icmpv6Unreachable::kNoRoute:
      return "unreachable: no route";
    case Icmpv6Unreachable::kAdministrativelyProhibited:
      return "unreachable: administratively prohibited";
    case Icmpv6Unreachable::kBeyondScope:
      return "unreachable: beyond scope of source address";
    case Icmpv6Unreachable::kAddress:
      return "unreachable: address";
    case Icmpv6Unreachable::kPort:
      return "unreachable: port";
  }
  return fmt::format("unreachable: code {}", code);
}

}  // namespace

void Icmpv6Fields::emit(MutableBytes out) const noexcept {
  assert(out.size() >= kSize);
  store_u8(out, 0, static_cast<std::uint8_t>(type));
  store_u8(out, 1, code);
  store_be16(out, Icmpv6View::kChecksumOffset, 0);
  store_be32(out, 4, rest);
}

Parsed<Icmpv6View> Icmpv6View::parse(Bytes message) noexcept {
  if (message.size() < kSize) return std::unexpected(WireError::kTruncated);
  return Icmpv6View(message);
}

bool Icmpv6View::verify_checksum(const Ipv6Address& source,
                                 const Ipv6Address& destination) const noexcept {
  return transport_checksum(source, destination, IpProtocol::kIcmpv6, bytes_) == 0;
}

std::string to_string(const Icmpv6Fields& f) {
  switch (f.type) {
    case Icmpv6Type::kUnreachable:
      return unreachable_text(f.code);
    case Icmpv6Type::kPacketTooBig:
      return fmt::format("packet too big, mtu {}", f.mtu());
    case Icmpv6Type::kTimeExceeded:
      return f.code == 0 ? "time exceeded in transit" : "time exceeded in reassembly";
    case Icmpv6Type::kParameterProblem:
      return fmt::format("parameter problem at {}", f.rest);
    case Icmpv6Type::kEchoRequest:
      return fmt::format("echo request id {} seq {}", f.identifier(), f.sequence());
    case Icmpv6Type::kEchoReply:
      return fmt::format("echo reply id {} seq {}", f.identifier(), f.sequence());
    case Icmpv6Type::kRouterSolicitation:
      return "router solicitation";
    case Icmpv6Type::kRouterAdvertisement:
      return "router advertisement";
    case Icmpv6Type::kNeighbourSolicitation:
      return "neighbour solicitation";
    case Icmpv6Type::kNeighbourAdvertisement:
      return "neighbour advertisement";
    case Icmpv6Type::kRedirect:
      return "redirect";
  }
  return fmt::format("type {} code {}", static_cast<unsigned>(f.type), f.code);
}

}  // namespace vtl::wire
