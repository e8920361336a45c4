#include "vtl/iface/backend.h"

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

}  // namespace vtl::iface
