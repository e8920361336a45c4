// The virtio network header (virtio 1.2 section 5.1.6) before every frame of AF_PACKET and tap,
// turned into packet metadata and back. In the legacy layout that the kernel uses there: ten
// octets, host byte order.
#pragma once

#include <cstdint>

#include "vtl/packet/packet.h"

namespace vtl::iface {

/// As the kernel reads and writes it (its own header for it is no C++).
struct VnetHeader {
  static constexpr std::uint8_t kNeedsChecksum = 1, kDataValid = 2;
  static constexpr std::uint8_t kGsoNone = 0, kGsoTcpV4 = 1, kGsoTcpV6 = 4, kGsoEcn = 0x80;
  static constexpr std::uint8_t kGsoUdp = 5;  ///< UDP segmentation; Linux 6.2

  std::uint8_t flags = 0;
  std::uint8_t gso_type = kGsoNone;
  std::uint16_t header_length = 0;  ///< a hint: often 0, or what happens to lie linear
  std::uint16_t gso_size = 0;
  std::uint16_t checksum_start = 0;
  std::uint16_t checksum_offset = 0;
};
static_assert(sizeof(VnetHeader) == 10);

/// Sets checksum state and GSO of `packet`, whose octets are the frame that `header` stood before.
/// `shift`: octets put in front of the frame since (a restored VLAN tag): offsets count from there.
/// False when the header does not fit the frame or is of an unknown kind: the frame is not to be
/// trusted.
[[nodiscard]] bool read_vnet_header(const VnetHeader& header, std::size_t shift,
                                    Packet& packet) noexcept;

/// The header for `packet`. A super-frame's checksum must be partial (see prepare_super_frame).
[[nodiscard]] VnetHeader make_vnet_header(const Packet& packet) noexcept;

/// Makes a super-frame's checksum partial and its header length known, as the kernel wants them.
/// Touches headers only. False when the headers cannot be read.
[[nodiscard]] bool prepare_super_frame(Packet& packet) noexcept;

}  // namespace vtl::iface
