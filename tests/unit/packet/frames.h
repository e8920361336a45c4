// Frames for the tests of packet/ and iface/, built octet by octet so that they do not depend on
// the code under test. Checksums come from a second, naive implementation.
#pragma once

#include <cstdint>
#include <numeric>
#include <vector>

#include "vtl/base/bytes.h"
#include "vtl/base/rng.h"

namespace vtl::test {

using Octets = std::vector<std::uint8_t>;

/// RFC 1071, one octet pair at a time.
inline std::uint16_t naive_checksum(Bytes bytes, std::uint32_t sum = 0) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    sum += i % 2 == 0 ? static_cast<std::uint32_t>(bytes[i]) << 8 : bytes[i];
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return static_cast<std::uint16_t>(~sum);
}

inline void append(Octets& to, const Octets& more) {
  to.insert(to.end(), more.begin(), more.end());
}
inline void append16(Octets& to, std::uint32_t v) {
  to.push_back(static_cast<std::uint8_t>(v >> 8));
  to.push_back(static_cast<std::uint8_t>(v));
}
inline void append32(Octets& to, std::uint32_t v) {
  append16(to, v >> 16);
  append16(to, v & 0xffff);
}

struct FrameSpec {
  bool v6 = false;
  std::uint8_t protocol = 6;
  std::vector<std::uint16_t> vlans = {};  ///< outermost first
  std::uint16_t source_port = 4000, destination_port = 80;
  std::uint32_t seq = 1000, ack = 2000;
  std::uint8_t flags = 0x10;
  std::uint16_t ip_id = 7;
  std::uint16_t fragment = 0;  ///< IPv4's flags and offset word
  Octets ip_options = {};      ///< IPv4: a multiple of 4
  Octets extensions = {};      ///< IPv6: ready-made, first of kind `first_extension`
  std::uint8_t first_extension = 0;
  Octets tcp_options = {};  ///< a multiple of 4
  Octets payload = {};
  bool finish = true;  ///< false: the transport checksum holds the pseudo-header's folded sum
  std::uint8_t source_last = 1, destination_last = 2;  ///< last octets of the addresses
};

inline Octets pattern(std::size_t n, std::uint64_t seed = 1) {
  Rng rng(seed);
  Octets out(n);
  for (auto& octet : out) octet = static_cast<std::uint8_t>(rng.next());
  return out;
}

inline Octets transport_octets(const FrameSpec& spec) {
  Octets out;
  append16(out, spec.source_port);
  append16(out, spec.destination_port);
  if (spec.protocol == 6) {
    append32(out, spec.seq);
    append32(out, spec.ack);
    out.push_back(static_cast<std::uint8_t>((5 + spec.tcp_options.size() / 4) << 4));
    out.push_back(spec.flags);
    append16(out, 0x2000);
    append32(out, 0);
    append(out, spec.tcp_options);
  } else if (spec.protocol == 17) {
    append16(out, static_cast<std::uint32_t>(8 + spec.payload.size()) & 0xffff);
    append16(out, 0);
  } else {  // ICMP: the ports' place holds type, code and an empty checksum
    out = {spec.v6 ? std::uint8_t{128} : std::uint8_t{8}, 0, 0, 0, 0x12, 0x34, 0, 1};
  }
  append(out, spec.payload);
  return out;
}

inline std::size_t checksum_at(std::uint8_t protocol) {
  return protocol == 6 ? 16 : protocol == 17 ? 6 : 2;
}

/// The whole frame, Ethernet to payload, checksums right.
inline Octets make_frame(const FrameSpec& spec) {
  // MACs that no device of a test has.
  Octets frame = {2, 0, 0x5e, 0, 0x53, 2, 2, 0, 0x5e, 0, 0x53, 1};
  for (std::size_t i = 0; i < spec.vlans.size(); ++i) {
    append16(frame, i + 1 < spec.vlans.size() ? 0x88a8 : 0x8100);
    append16(frame, spec.vlans[i]);
  }
  append16(frame, spec.v6 ? 0x86dd : 0x0800);
  Octets transport = transport_octets(spec);
  Octets addresses;
  if (spec.v6) {
    addresses = {0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, spec.source_last,
                 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, spec.destination_last};
  } else {
    addresses = {192, 0, 2, spec.source_last, 198, 51, 100, spec.destination_last};
  }
  Octets pseudo;
  if (spec.protocol != 1) {
    pseudo = addresses;
    append32(pseudo, static_cast<std::uint32_t>(transport.size()));
    append32(pseudo, spec.protocol);
  }
  const auto pseudo_sum = static_cast<std::uint16_t>(~naive_checksum(pseudo));
  std::uint16_t sum = spec.finish ? naive_checksum(transport, pseudo_sum) : pseudo_sum;
  if (spec.protocol == 17 && sum == 0) sum = 0xffff;
  if (spec.protocol == 6 || spec.protocol == 17 || spec.protocol == 1 || spec.protocol == 58) {
    store_be16(transport, checksum_at(spec.protocol), sum);
  }
  Octets ip;
  if (spec.v6) {
    append32(ip, 0x60000000);
    append16(ip, static_cast<std::uint32_t>(spec.extensions.size() + transport.size()) & 0xffff);
    ip.push_back(spec.extensions.empty() ? spec.protocol : spec.first_extension);
    ip.push_back(64);
    append(ip, addresses);
    append(ip, spec.extensions);
  } else {
    ip.push_back(static_cast<std::uint8_t>(0x45 + spec.ip_options.size() / 4));
    ip.push_back(0);
    append16(ip,
             static_cast<std::uint32_t>(20 + spec.ip_options.size() + transport.size()) & 0xffff);
    append16(ip, spec.ip_id);
    append16(ip, spec.fragment);
    ip.push_back(64);
    ip.push_back(spec.protocol);
    append16(ip, 0);
    append(ip, addresses);
    append(ip, spec.ip_options);
    store_be16(ip, 10, naive_checksum(ip));
  }
  append(frame, ip);
  append(frame, transport);
  return frame;
}

}  // namespace vtl::test
