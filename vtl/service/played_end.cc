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

endpoint::Endpoint::Identity identity(const wire::FlowKey& key) {
  return {key.source.port, key.destination.port,
          InitialNumbers::of_process().timestamp_offset(key)};
}

}  // namespace

endpoint::Endpoint PlayedEnds::accept_syn(engine::Direction toward, const wire::FlowKey& key,
                                          const endpoint::Segment& syn, Time now) {
  endpoint::Config config = this->config(toward, key);
  config.syn_retries = kSynAckRetries;
  return endpoint::Endpoint::accept_syn(configs_.share(config), identity(key),
                                        InitialNumbers::of_process().sequence(key, now), syn,
                                        /*hold=*/true, now);
}

endpoint::Endpoint PlayedEnds::connect(engine::Direction toward, const wire::FlowKey& key,
                                       const wire::TcpOptions& offered, Time now) {
  endpoint::Config config = this->config(toward, key);
  config.offer_window_scale = offered.window_scale.has_value();
  config.offer_timestamps = offered.timestamps.has_value();
  config.offer_sack = offered.sack_permitted;
  return endpoint::Endpoint::connect(configs_.share(config), identity(key),
                                     InitialNumbers::of_process().sequence(key, now), now);
}

endpoint::Config PlayedEnds::config(engine::Direction toward, const wire::FlowKey& key) const {
  endpoint::Config config;
  const std::size_t mtu = std::clamp<std::size_t>(context_.mtu(toward), kMinMtu, 65535);
  config.mss = static_cast<std::uint16_t>(
      mtu - (key.source.address.is_v6() ? kIpv6TcpHeaders : kIpv4TcpHeaders));
  if (key.source.address.is_v6()) config.default_mss = endpoint::kDefaultMssV6;
  config.window_scale = window_scale_for(options_.buffer);
  config.receive_buffer = options_.buffer;
  config.send_buffer = options_.buffer;
  config.keep_alive_idle = options_.keep_alive;
  config.time_wait = options_.time_wait;
  config.pool = &pool_;
  return config;
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
