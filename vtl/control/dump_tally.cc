// Theory of operation. A block is its type, its length and a body (draft-ietf-opsawg-pcapng section
// 3.1). The eight octets of the header are gathered in `kept_`; then the body is passed over by
// its length, or gathered too when it is statistics. VTL writes little-endian blocks, so only these
// are read.
#include "vtl/control/dump_tally.h"

#include <algorithm>

namespace vtl::control {
namespace {

constexpr std::uint32_t kInterfaceStatistics = 5, kEnhancedPacket = 6;
constexpr std::uint16_t kOptEnd = 0, kIsbIfDrop = 5;
constexpr std::size_t kHeader = 8, kLeastBlock = 12;  // with the length repeated at the end
constexpr std::size_t kStatisticsOptions = 20;        // behind interface number and time

std::uint64_t load_le(Bytes bytes, std::size_t at, std::size_t size) {
  std::uint64_t value = 0;
  for (std::size_t i = size; i > 0; --i) value = value << 8 | bytes[at + i - 1];
  return value;
}

// The value of isb_ifdrop in a whole statistics block; `otherwise` when it has none.
std::uint64_t dropped_of(Bytes block, std::uint64_t otherwise) {
  for (std::size_t at = kStatisticsOptions; at + 4 <= block.size();) {
    const auto code = load_le(block, at, 2);
    const auto size = static_cast<std::size_t>(load_le(block, at + 2, 2));
    if (code == kOptEnd || size > block.size() - at - 4) return otherwise;
    if (code == kIsbIfDrop && size == 8) return load_le(block, at + 4, 8);
    at += 4 + (size + 3) / 4 * 4;
  }
  return otherwise;
}

}  // namespace

void DumpTally::take(Bytes piece) {
  while (!piece.empty() && !lost_) {
    if (!in_body_) {
      const auto n = std::min(piece.size(), kHeader - kept_.size());
      kept_.insert(kept_.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(n));
      piece = piece.subspan(n);
      if (kept_.size() == kHeader) begin_block();
      continue;
    }
    const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), left_));
    if (keeps_body_) {
      kept_.insert(kept_.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(n));
    }
    piece = piece.subspan(n);
    left_ -= n;
    if (left_ == 0) end_block();
  }
}

void DumpTally::begin_block() {
  const auto length = load_le(kept_, 4, 4);
  lost_ = length < kLeastBlock || length % 4 != 0;
  left_ = length - kHeader;
  in_body_ = true;
  keeps_body_ = load_le(kept_, 0, 4) == kInterfaceStatistics && length <= kMaxKept;
}

void DumpTally::end_block() {
  if (load_le(kept_, 0, 4) == kEnhancedPacket) ++frames_;
  if (keeps_body_) dropped_ = dropped_of(Bytes(kept_).first(kept_.size() - 4), dropped_);
  kept_.clear();
  in_body_ = keeps_body_ = false;
}

}  // namespace vtl::control
