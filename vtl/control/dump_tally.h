// DumpTally: counts along a stream of pcapng that passes by in pieces: the frames in it, and those
// that its last interface statistics block tells to be missing.
//
// Octets that are no pcapng end the counting; they are the reader's to judge. Thread rule: one
// thread. Bounds: keeps at most one statistics block of kMaxKept octets, longer ones are passed
// over.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "vtl/base/bytes.h"

namespace vtl::control {

class DumpTally {
 public:
  static constexpr std::size_t kMaxKept = 4096;

  void take(Bytes piece);
  /// Packet blocks whose end has passed.
  [[nodiscard]] std::uint64_t frames() const noexcept { return frames_; }
  [[nodiscard]] std::uint64_t dropped() const noexcept { return dropped_; }

 private:
  void begin_block();
  void end_block();

  std::vector<std::uint8_t> kept_;  // the block's header, and its body where that is of use
  std::uint64_t left_ = 0;          // octets of the block that are still to come
  bool in_body_ = false;
  bool keeps_body_ = false;
  bool lost_ = false;  // this is no pcapng
  std::uint64_t frames_ = 0;
  std::uint64_t dropped_ = 0;
};

}  // namespace vtl::control
