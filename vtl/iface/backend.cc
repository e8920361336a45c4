#include "vtl/iface/backend.h"

#include <array>
#include <cassert>

#include "vtl/iface/vnet_header.h"
#include "vtl/packet/checksum.h"
#include "vtl/packet/segment.h"

namespace vtl::iface {

bool Backend::must_cut(const Packet& packet) const noexcept {
  switch (packet.meta().gso.kind) {
    case GsoKind::kNone:
      return false;
    case GsoKind::kUdp:
      return !carries().udp_super;
    default:
      return !carries().tcp_super;
  }
}

bool Backend::flush_segments() {
  if (next_segment_ == segments_.size()) return true;
  next_segment_ += send_some(std::span(segments_).subspan(next_segment_));
  if (next_segment_ < segments_.size()) return false;
  segments_.clear();
  next_segment_ = 0;
  return true;
}

std::size_t Backend::write(std::span<Packet> batch) {
  if (!finish_frame() || !flush_segments()) return 0;
  const bool finish = !carries().partial_checksum;
  std::size_t done = 0;
  while (done < batch.size()) {
    // The longest run of frames that can go as they are.
    std::size_t end = done;
    for (; end < batch.size() && batch[end] && !must_cut(batch[end]); ++end) {
      if (!finish || finish_checksum(batch[end])) continue;
      dropped(batch[end], DropReason::kMalformedTransport);
      break;
    }
    if (end > done) {
      done += send_some(batch.subspan(done, end - done));
      if (done < end) return done;
      continue;
    }
    Packet& next = batch[done];
    if (next) {
      const auto cut = segment(next, next.pool(), segments_);
      if (cut) {
        next.reset();
      } else {
        dropped(next, cut.error());
      }
      // The frame is empty now but not done with: so the caller comes back for the segments.
      if (!flush_segments()) return done;
    }
    ++done;
  }
  return done;
}

bool Backend::write_gathered(const Packet& head, std::span<const Bytes> payload) {
  assert(head.meta().gso.is_super() && head.meta().gso.header_length == head.size() &&
         head.meta().checksum.kind == ChecksumKind::kPartial);
  if (!gathers() || payload.size() > kMostGathered || must_cut(head)) return false;
  if (!finish_frame() || !flush_segments()) return false;
  VnetHeader header = make_vnet_header(head);
  std::array<iovec, 2 + kMostGathered> pieces;
  const auto piece = [](Bytes bytes) {
    return iovec{const_cast<std::uint8_t*>(bytes.data()), bytes.size()};  // it is only read
  };
  pieces[0] = {&header, sizeof header};
  pieces[1] = piece(head.bytes());
  std::size_t size = head.size();
  for (std::size_t i = 0; i < payload.size(); ++i) {
    pieces[2 + i] = piece(payload[i]);
    size += payload[i].size();
  }
  if (!send_pieces(std::span(pieces).first(2 + payload.size()))) return false;
  counters_.tx_frames.add();
  counters_.tx_bytes.add(size);
  counters_.tx_super_frames.add();
  return true;
}

}  // namespace vtl::iface
