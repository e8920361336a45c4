// ProportionalRateReduction: how fast to send while a loss is repaired (RFC 6937, with the choice
// between its two bounds that RFC 9937 makes).
//
// The window goes down to the threshold evenly over the round trip of the recovery, one part for
// each octet that the peer reports delivered; where more was lost than that, it comes back up to
// the threshold no faster than slow start. Octets. Thread rule: a value.
#pragma once

#include <algorithm>
#include <cstdint>

namespace vtl::endpoint {

class ProportionalRateReduction {
 public:
  /// `outstanding`: SND.NXT - SND.UNA when the loss was found (RecoverFS).
  void begin(std::uint32_t outstanding) noexcept {
    *this = {};
    outstanding_ = std::max<std::uint32_t>(outstanding, 1);
  }
  void sent(std::uint32_t octets) noexcept { out_ += octets; }

  /// The congestion window after an acknowledgement that reported `delivered` octets; `pipe`:
  /// octets in the network now; `safe`: SND.UNA moved and nothing more was found lost.
  [[nodiscard]] std::uint32_t window(std::uint32_t delivered, std::uint32_t pipe,
                                     std::uint32_t threshold, std::uint32_t mss,
                                     bool safe) noexcept {
    delivered_ += delivered;
    std::uint64_t allowed = 0;
    if (pipe > threshold) {
      const std::uint64_t due =
          (std::uint64_t{delivered_} * threshold + outstanding_ - 1) / outstanding_;
      allowed = due > out_ ? due - out_ : 0;
    } else {
      std::uint64_t most =
          std::max<std::uint64_t>(delivered_ > out_ ? delivered_ - out_ : 0, delivered);
      if (safe) most += mss;
      allowed = std::min<std::uint64_t>(threshold - pipe, most);
    }
    if (out_ == 0) allowed = std::max<std::uint64_t>(allowed, mss);  // the fast retransmit
    return pipe + static_cast<std::uint32_t>(allowed);
  }

 private:
  std::uint32_t delivered_ = 0;  // prr_delivered
  std::uint32_t out_ = 0;        // prr_out
  std::uint32_t outstanding_ = 1;
};

}  // namespace vtl::endpoint
