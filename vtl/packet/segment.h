// Segmentation: a super-frame cut into the wire frames that it stands for.
//
// For interfaces that cannot take a super-frame and for services that act on wire packets. Each
// segment has the headers of the super-frame with its own lengths, sequence number, IP identifier
// and finished checksums: IP id counts up from the super-frame's (RFC 6864 asks nothing else of
// atomic datagrams), FIN and PSH stand in the last segment only, CWR in the first only (RFC 3168
// section 6.1.2). The metadata says where to cut; what the headers say is believed over it.
// Thread rule: as the packet's.
#pragma once

#include "vtl/base/counter.h"
#include "vtl/base/result.h"
#include "vtl/packet/packet.h"

namespace vtl {

/// A super-frame may not stand for more segments than this: a bound on what one frame of a hostile
/// guest can cost. 64 KiB in segments of 48 octets, the smallest that Linux uses.
inline constexpr std::size_t kMaxSegments = 1366;

/// How many wire frames `packet` stands for; 1 when it is no super-frame.
[[nodiscard]] std::size_t segment_count(const Packet& packet) noexcept;

/// Appends to `out` the wire frames of `packet`, all from `pool`, and returns how many. A packet
/// that is no super-frame is copied, its checksum finished. All or nothing: on an error `out` is as
/// it was. Errors, as the drop they are: kMalformedIp or kMalformedTransport (the headers are not
/// what the metadata says, or kMaxSegments), kNoPacketBuffer.
[[nodiscard]] Result<std::size_t, DropReason> segment(const Packet& packet, PacketPool& pool,
                                                      Batch& out);

/// The same for a whole batch: every super-frame in it is replaced by its segments, in place, and
/// every partial checksum finished. Those that cannot be cut are dropped and counted in `drops`.
void segment_all(Batch& batch, PacketPool& pool, DropCounters& drops);

}  // namespace vtl
