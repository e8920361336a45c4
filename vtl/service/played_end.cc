#include "vtl/service/played_end.h"

#include "vtl/service/initial_numbers.h"

namespace vtl::service {
namespace {

constexpr std::size_t kIpv4TcpHeaders = 40;
constexpr std::size_t kIpv6TcpHeaders = 60;
constexpr std::size_t kMinMtu = 576;  // RFC 791: every host takes this much

/// The smallest shift with which 16 bits of window cover `buffer` (RFC 7323 section 2.2).
std::uint8_t window_scale_for(std::size_t buffer) {
  std::uint8_t shift = 0;
  while (shift < 14 && (std::size_t{65535} << shift) < buffer) ++shift;
  return shift;
}

}  // namespace

endpoint::Config played_config(const PlayedEnd& end, const wire::FlowKey& key) {
  endpoint::Config config;
  const std::size_t mtu = std::clamp<std::size_t>(end.mtu, kMinMtu, 65535);
  config.mss = static_cast<std::uint16_t>(
      mtu - (key.source.address.is_v6() ? kIpv6TcpHeaders : kIpv4TcpHeaders));
  if (key.source.address.is_v6()) config.default_mss = endpoint::kDefaultMssV6;
  config.window_scale = window_scale_for(end.buffer);
  config.receive_buffer = end.buffer;
  config.send_buffer = end.buffer;
  config.offer_sack = true;
  config.keep_alive_idle = end.keep_alive;
  config.time_wait = end.time_wait;
  config.pool = end.pool;
  return config;
}

endpoint::Endpoint::Identity played_identity(const wire::FlowKey& key) {
  return {key.source.port, key.destination.port,
          InitialNumbers::of_process().timestamp_offset(key)};
}

std::uint8_t dscp_of(const Packet& packet) {
  const Layout& layout = packet.layout();
  const std::uint16_t first = load_be16(packet.bytes(), layout.network_offset);
  // The upper six bits of the octet after IPv4's version and header length, or of IPv6's traffic
  // class.
  return layout.network == NetworkKind::kIpv4 ? static_cast<std::uint8_t>((first & 0xff) >> 2)
                                              : static_cast<std::uint8_t>((first >> 6) & 0x3f);
}

}  // namespace vtl::service
