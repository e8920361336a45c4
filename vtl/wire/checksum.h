// The Internet checksum (RFC 1071), whole and incremental (RFC 1624), and pseudo-headers.
//
// Sums are kept as 32- or 64-bit ones'-complement accumulators over bytes in network order and
// folded at the end. Loads go through memcpy: see bytes.h.
#pragma once

#include <cstdint>

#include "vtl/wire/addresses.h"
#include "vtl/wire/flow_key.h"

namespace vtl::wire {

/// An unfolded ones'-complement sum. Adding blocks is right only at even offsets, save the last.
class ChecksumSum {
 public:
  constexpr ChecksumSum() = default;
  void add(Bytes bytes) noexcept;
  void add16(std::uint16_t value) noexcept { sum_ += value; }
  void add32(std::uint32_t value) noexcept { sum_ += (value >> 16) + (value & 0xffff); }
  /// The folded sum, not complemented: what a partial checksum field holds.
  [[nodiscard]] std::uint16_t folded() const noexcept;
  /// The checksum: the complement of the folded sum.
  [[nodiscard]] std::uint16_t checksum() const noexcept {
    return static_cast<std::uint16_t>(~folded());
  }

 private:
  std::uint64_t sum_ = 0;
};

/// The checksum of `bytes`.
[[nodiscard]] std::uint16_t checksum(Bytes bytes) noexcept;

/// The pseudo-header's sum (RFC 9293 section 3.1, RFC 8200 section 8.1). Both addresses are of one
/// version; `length` is that of transport header and payload.
[[nodiscard]] ChecksumSum pseudo_header_sum(const IpAddress& source, const IpAddress& destination,
                                            IpProtocol protocol, std::uint32_t length) noexcept;

/// The checksum of a TCP, UDP, ICMPv4 or ICMPv6 segment, ready to be stored. `segment`: header,
/// with its checksum field 0, and payload. ICMPv4 has no pseudo-header; a UDP checksum that comes
/// out as 0 is 0xffff (RFC 768). Over a segment whose field holds a right checksum the result is 0
/// (for UDP 0xffff).
[[nodiscard]] std::uint16_t transport_checksum(const IpAddress& source,
                                               const IpAddress& destination, IpProtocol protocol,
                                               Bytes segment) noexcept;

/// RFC 1624 equation 3: the checksum after a 16-bit word changed from `before` to `after`.
[[nodiscard]] std::uint16_t checksum_update(std::uint16_t checksum, std::uint16_t before,
                                            std::uint16_t after) noexcept;
/// The same for a 32-bit word at an even offset.
[[nodiscard]] std::uint16_t checksum_update32(std::uint16_t checksum, std::uint32_t before,
                                              std::uint32_t after) noexcept;

}  // namespace vtl::wire
