#include "vtl/service/initial_numbers.h"

#include <array>
#include <chrono>

#include "vtl/base/secure_random.h"

namespace vtl::service {
namespace {

constexpr std::size_t kAddress = 16;
constexpr std::size_t kPorts = 2 * kAddress + 2;  // after the addresses and the VLAN
using Tuple = std::array<std::uint8_t, kPorts + 4>;

void store(const wire::IpAddress& address, MutableBytes out) {
  if (address.is_v6()) {
    address.v6().store(out, 0);
  } else {
    address.v4().store(out, 0);  // the other twelve are zero, which no IPv6 host has
  }
}

Tuple addresses(const wire::FlowKey& key) {
  Tuple tuple{};
  const MutableBytes out(tuple);
  store(key.source.address, out.first(kAddress));
  store(key.destination.address, out.subspan(kAddress, kAddress));
  store_be16(out, 2 * kAddress, key.vlan);
  return tuple;
}

}  // namespace

const InitialNumbers& InitialNumbers::of_process() {
  static const InitialNumbers numbers = [] {
    SipKey key;
    fill_random(key);
    return InitialNumbers(key);
  }();
  return numbers;
}

wire::SeqNum InitialNumbers::sequence(const wire::FlowKey& key, Time now) const noexcept {
  Tuple tuple = addresses(key);
  store_be16(tuple, kPorts, key.source.port.value());
  store_be16(tuple, kPorts + 2, key.destination.port.value());
  // RFC 6528 section 3.
  const auto clock = static_cast<std::uint64_t>(now.time_since_epoch() / 4us);
  return wire::SeqNum(static_cast<std::uint32_t>(siphash(key_, tuple) + clock));
}

std::uint32_t InitialNumbers::timestamp_offset(const wire::FlowKey& key) const noexcept {
  return static_cast<std::uint32_t>(siphash(key_, Bytes(addresses(key)).first(kPorts)));
}

}  // namespace vtl::service
