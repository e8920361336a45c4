// Checksums of packets: finishing partial ones, whole recalculation, verification.
//
// A transport checksum is complete, partial (the field holds the folded sum of the pseudo-header
// and somebody later adds the rest) or verified. Everything here respects that state and leaves it
// true. Thread rule: as the packet's.
#pragma once

#include "vtl/packet/packet.h"

namespace vtl {

/// Turns a kPartial checksum into a kComplete one; nothing to do for the other kinds. False when
/// the metadata points outside the frame: let the packet go as kMalformedTransport. One pass over
/// the octets from `start`. Super-frames: segment() does this for every segment.
[[nodiscard]] bool finish_checksum(Packet& packet) noexcept;

/// Computes the IPv4 header's checksum (if there is one) and the transport's, TCP, UDP and ICMP,
/// whole; the state becomes kComplete. Fragments and other protocols keep their transport
/// checksum. Call after the lengths are right.
void compute_checksums(Packet& packet) noexcept;

/// As compute_checksums(), but TCP and UDP are left kPartial for the interface (or segment()) to
/// finish: no pass over the payload.
void leave_checksum_partial(Packet& packet) noexcept;

/// Whether the IPv4 header's checksum and the transport's are right. A kPartial or kVerified
/// transport checksum counts as right, as do an absent UDP one over IPv4 (RFC 768), fragments and
/// protocols without one. False for a malformed layout.
[[nodiscard]] bool verify_checksums(const Packet& packet) noexcept;

/// Sets the lengths of the IP and UDP headers from the packet's size (0 where a super-frame is too
/// long for the field) and forgets the layout. IPv4's header checksum follows incrementally.
/// Octets of Ethernet padding become payload: cut them first.
void set_lengths(Packet& packet) noexcept;

}  // namespace vtl
