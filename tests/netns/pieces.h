// A super-frame of TCP in pieces, and the same put together.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "tests/unit/packet/frames.h"
#include "vtl/packet/access.h"

namespace vtl::test {

struct SuperFrameInPieces {
  SuperFrameInPieces(PacketPool& pool, FrameSpec spec, std::uint16_t segment_size,
                     std::size_t piece_size = 16'384)
      : whole(make_unfinished(std::move(spec))) {
    const Packet packet = pool.copy_of(whole);
    const Layout& layout = packet.layout();
    const Bytes all(whole);
    head = pool.copy_of(all.first(layout.payload_offset));
    head.meta().checksum = {ChecksumKind::kPartial, layout.transport_offset, 16};
    head.meta().gso = {.kind = is_ipv6(packet) ? GsoKind::kTcpV6 : GsoKind::kTcpV4,
                       .segment_size = segment_size,
                       .header_length = layout.payload_offset};
    for (Bytes rest = all.subspan(layout.payload_offset); !rest.empty();) {
      payload.push_back(rest.first(std::min(rest.size(), piece_size)));
      rest = rest.subspan(payload.back().size());
    }
  }

  Octets whole;
  Packet head;
  std::vector<Bytes> payload;  // lies in `whole`

 private:
  static Octets make_unfinished(FrameSpec spec) {
    spec.finish = false;
    return make_frame(spec);
  }
};

}  // namespace vtl::test
