// What the peer is told of data that came out of order or twice (RFC 2018 section 4, RFC 2883).
//
// Blocks go on segments without payload only: the others have no room to spare. A duplicate is told
// once and first; then the block that holds the segment that came last, then those before it in the
// order in which they last grew, so that each is told several times should acknowledgements be
// lost; then the others from the front on.
#include <algorithm>

#include "vtl/endpoint/connection.h"

namespace vtl::endpoint {

// A segment of `length` octets came at `seq`, before it is stored.
void Connection::note_duplicate(wire::SeqNum seq, std::uint32_t length) noexcept {
  if (!sack_ || length == 0) return;
  const wire::SeqNum end = seq + length;
  if (seq < rcv_nxt_) {
    duplicate_ = {seq, min(end, rcv_nxt_)};
    return;
  }
  const auto begin = static_cast<std::size_t>(seq - rcv_nxt_);
  const std::size_t at = received_.range_after(begin);
  if (at == received_.range_count()) return;
  const ReceiveBuffer::Range range = received_.range(at);
  const std::size_t left = std::max(begin, range.begin);
  const std::size_t right = std::min(begin + length, range.end);
  if (left >= right) return;
  duplicate_ = {rcv_nxt_ + static_cast<std::uint32_t>(left),
                rcv_nxt_ + static_cast<std::uint32_t>(right)};
}

// The segment at `seq`, which lies beyond a gap, is stored.
void Connection::note_gap(wire::SeqNum seq) noexcept {
  const std::size_t at = received_.range_after(static_cast<std::size_t>(seq - rcv_nxt_));
  std::size_t keep = recent_gaps_.size() - 1;
  if (at < received_.range_count()) {  // those that its range has swallowed make room first
    const ReceiveBuffer::Range range = received_.range(at);
    const auto* const same =
        std::find_if(recent_gaps_.begin(), recent_gaps_.end(), [&](wire::SeqNum recent) {
          return in_window(recent, rcv_nxt_ + static_cast<std::uint32_t>(range.begin),
                           static_cast<std::uint32_t>(range.end - range.begin));
        });
    keep = std::min(keep, static_cast<std::size_t>(same - recent_gaps_.begin()));
  }
  std::copy_backward(recent_gaps_.begin(), recent_gaps_.begin() + keep,
                     recent_gaps_.begin() + keep + 1);
  recent_gaps_[0] = seq;
}

void Connection::add_sack_blocks(wire::TcpOptions& options) const noexcept {
  const std::size_t most = timestamps_ ? 3 : wire::TcpOptions::kMaxSackBlocks;
  if (duplicate_.left != duplicate_.right) options.sack[options.sack_count++] = duplicate_;
  const std::size_t first = options.sack_count;
  const auto add = [&](std::size_t i) {
    if (i >= received_.range_count() || options.sack_count == most) return;
    const ReceiveBuffer::Range range = received_.range(i);
    const wire::SackBlock block{rcv_nxt_ + static_cast<std::uint32_t>(range.begin),
                                rcv_nxt_ + static_cast<std::uint32_t>(range.end)};
    const auto told = options.sack.begin() + options.sack_count;
    if (std::find(options.sack.begin() + first, told, block) == told) {
      options.sack[options.sack_count++] = block;
    }
  };
  for (const wire::SeqNum recent : recent_gaps_) {
    if (recent < rcv_nxt_) continue;
    const auto offset = static_cast<std::size_t>(recent - rcv_nxt_);
    const std::size_t i = received_.range_after(offset);
    if (i < received_.range_count() && received_.range(i).begin <= offset) add(i);
  }
  for (std::size_t i = 0; i < most; ++i) add(i);
}

}  // namespace vtl::endpoint
