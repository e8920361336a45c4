// RttEstimator: round-trip time and retransmission timeout (RFC 6298).
//
// The floor of the timeout lies on the variance term, not on the sum (RTO = SRTT + max(floor,
// 4 * RTTVAR)): a peer that delays its acknowledgement by up to the floor then causes no spurious
// timeout on any path. Thread rule: a value.
#pragma once

#include <algorithm>
#include <cstdint>

#include "vtl/base/time.h"

namespace vtl::endpoint {

class RttEstimator {
 public:
  RttEstimator(Duration initial, Duration floor, Duration ceiling) noexcept
      : floor_(floor), ceiling_(ceiling), base_(initial) {}

  /// A round trip measured on a segment that was not retransmitted, or by timestamps (Karn's
  /// rule, section 3). Ends the backoff.
  void sample(Duration rtt) noexcept {
    rtt = std::max(rtt, Duration{1});
    if (smoothed_ == Duration::zero()) {
      smoothed_ = rtt;
      variance_ = rtt / 2;
    } else {
      const Duration error = smoothed_ > rtt ? smoothed_ - rtt : rtt - smoothed_;
      variance_ += (error - variance_) / 4;
      smoothed_ += (rtt - smoothed_) / 8;
    }
    minimum_ = minimum_ == Duration::zero() ? rtt : std::min(minimum_, rtt);
    base_ = smoothed_ + std::max(floor_, 4 * variance_);
    backoff_ = 0;
  }
  /// A timeout: the next one takes twice as long (5.5).
  void back_off() noexcept {
    if (backoff_ < kMaxBackoff) ++backoff_;
  }
  /// The handshake needed a retransmission and gave no sample (5.7).
  void restart_at(Duration timeout) noexcept {
    if (smoothed_ == Duration::zero()) base_ = timeout;
    backoff_ = 0;
  }

  [[nodiscard]] Duration timeout() const noexcept { return backed_off(backoff_); }
  /// The timeout after `times` doublings, for timers that count their own.
  [[nodiscard]] Duration backed_off(unsigned times) const noexcept {
    Duration result = std::min(base_, ceiling_);
    for (unsigned i = 0; i < times && result < ceiling_; ++i) result *= 2;
    return std::min(result, ceiling_);
  }
  /// Zero before the first sample.
  [[nodiscard]] Duration smoothed() const noexcept { return smoothed_; }
  [[nodiscard]] Duration minimum() const noexcept { return minimum_; }

 private:
  static constexpr std::uint8_t kMaxBackoff = 32;
  Duration floor_;
  Duration ceiling_;
  Duration base_;
  Duration smoothed_{};
  Duration variance_{};
  Duration minimum_{};
  std::uint8_t backoff_ = 0;
};

}  // namespace vtl::endpoint
