#include "vtl/wire/icmpv4.h"

#include <fmt/format.h>

#include "vtl/wire/checksum.h"

namespace vtl::wire {
namespace {

std::string unreachable_text(const Icmpv4Fields& f) {
  switch (static_cast<Icmpv4Unreachable>(f.code)) {
    case Icmpv4Unreachable::kNet:
      return "unreachable: net";
    case Icmpv4Unreachable::kHost:
      return "unreachable: host";
    case Icmpv4Unreachable::kProtocol:
      return "unreachable: protocol";
    case Icmpv4Unreachable::kPort:
      return "unreachable: port";
    case Icmpv4Unreachable::kFragmentationNeeded:
      return fmt::format("unreachable: fragmentation needed, mtu {}", f.mtu());
    case Icmpv4Unreachable::kAdministrativelyProhibited:
      return "unreachable: administratively prohibited";
  }
  return fmt::format("unreachable: code {}", f.code);
}

}  // namespace

void Icmpv4Fields::emit(MutableBytes out) const noexcept {
  assert(out.size() >= kSize);
  store_u8(out, 0, static_cast<std::uint8_t>(type));
  store_u8(out, 1, code);
  store_be16(out, Icmpv4View::kChecksumOffset, 0);
  store_be32(out, 4, rest);
}

Parsed<Icmpv4View> Icmpv4View::parse(Bytes message) noexcept {
  if (message.size() < kSize) return std::unexpected(WireError::kTruncated);
  return Icmpv4View(message);
}

bool Icmpv4View::verify_checksum() const noexcept {
  return wire::checksum(bytes_) == 0;
}

std::string to_string(const Icmpv4Fields& f) {
  switch (f.type) {
    case Icmpv4Type::kEchoReply:
      return fmt::format("echo reply id {} seq {}", f.identifier(), f.sequence());
    case Icmpv4Type::kEchoRequest:
      return fmt::format("echo request id {} seq {}", f.identifier(), f.sequence());
    case Icmpv4Type::kUnreachable:
      return unreachable_text(f);
    case Icmpv4Type::kSourceQuench:
      return "source quench";
    case Icmpv4Type::kRedirect:
      return fmt::format("redirect to {}", to_string(Ipv4Address(f.rest)));
    case Icmpv4Type::kTimeExceeded:
      return f.code == 0 ? "time exceeded in transit" : "time exceeded in reassembly";
    case Icmpv4Type::kParameterProblem:
      return fmt::format("parameter problem at {}", f.rest >> 24);
  }
  return fmt::format("type {} code {}", static_cast<unsigned>(f.type), f.code);
}

}  // namespace vtl::wire
