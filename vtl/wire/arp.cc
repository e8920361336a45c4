#include "vtl/wire/arp.h"

#include <fmt/format.h>

#include "vtl/wire/ethernet.h"

namespace vtl::wire {
namespace {

constexpr std::uint16_t kHardwareEthernet = 1;  // IANA "ARP Parameters"
constexpr auto kProtocolIpv4 = static_cast<std::uint16_t>(EtherType::kIpv4);

}  // namespace

void ArpFields::emit(MutableBytes out) const noexcept {
  assert(out.size() >= kSize);
  store_be16(out, 0, kHardwareEthernet);
  store_be16(out, 2, kProtocolIpv4);
  store_u8(out, 4, MacAddress::kSize);
  store_u8(out, 5, Ipv4Address::kSize);
  store_be16(out, 6, static_cast<std::uint16_t>(operation));
  sender_mac.store(out, 8);
  sender_ip.store(out, 14);
  target_mac.store(out, 18);
  target_ip.store(out, 24);
}

Parsed<ArpView> ArpView::parse(Bytes message) noexcept {
  if (message.size() < kSize) return std::unexpected(WireError::kTruncated);
  if (load_be16(message, 0) != kHardwareEthernet || load_be16(message, 2) != kProtocolIpv4) {
    return std::unexpected(WireError::kUnsupported);
  }
  if (load_u8(message, 4) != MacAddress::kSize || load_u8(message, 5) != Ipv4Address::kSize) {
    return std::unexpected(WireError::kBadLength);
  }
  return ArpView(message.first(kSize));
}

std::string to_string(const ArpFields& f) {
  switch (f.operation) {
    case ArpOperation::kRequest:
      return fmt::format("who-has {} tell {} ({})", to_string(f.target_ip), to_string(f.sender_ip),
                         to_string(f.sender_mac));
    case ArpOperation::kReply:
      return fmt::format("{} is-at {}", to_string(f.sender_ip), to_string(f.sender_mac));
  }
  return fmt::format("operation {} from {} ({})", static_cast<unsigned>(f.operation),
                     to_string(f.sender_ip), to_string(f.sender_mac));
}

}  // namespace vtl::wire
