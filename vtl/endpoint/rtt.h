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
  /// `floor` and `ceiling` of the timeout count in microseconds, up to kMost.
  RttEstimator(Duration initial, Duration floor, Duration ceiling) noexcept
      : base_(initial), floor_(microseconds(floor)), ceiling_(microseconds(ceiling)) {}

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
    base_ = smoothed_ + std::max<Duration>(floor_ * 1us, 4 * variance_);
    backoff_ = 0;
  }
  /// A timeout: the next one takes twice as long (5.5).
  void back_off() noexcept {
    if (backoff_ < kMaxBackoff) ++backoff_;
  }
  /// What was unanswered was no sign of loss.
  void end_backoff() noexcept { backoff_ = 0; }
  /// The handshake needed a retransmission and gave no sample (5.7).
  void restart_at(Duration timeout) noexcept {
    if (smoothed_ == Duration::zero()) base_ = timeout;
    backoff_ = 0;
  }

  [[nodiscard]] Duration timeout() const noexcept { return backed_off(backoff_); }
  /// The timeout after `times` doublings, for timers that count their own.
  [[nodiscard]] Duration backed_off(unsigned times) const noexcept {
    const Duration ceiling = ceiling_ * 1us;
    Duration result = std::min(base_, ceiling);
    for (unsigned i = 0; i < times && result < ceiling; ++i) result *= 2;
    return std::min(result, ceiling);
  }
  /// Zero before the first sample.
  [[nodiscard]] Duration smoothed() const noexcept { return smoothed_; }
  [[nodiscard]] Duration minimum() const noexcept { return minimum_; }

 private:
  static constexpr std::uint8_t kMaxBackoff = 32;
  static constexpr Duration kMost = UINT32_MAX * 1us;  // more than an hour

  static std::uint32_t microseconds(Duration duration) noexcept {
    return static_cast<std::uint32_t>(std::clamp(duration, Duration{0}, kMost) / 1us);
  }

  Duration base_;
  Duration smoothed_{};
  Duration variance_{};
  Duration minimum_{};
  std::uint32_t floor_;  // short, for an endpoint has one of these
  std::uint32_t ceiling_;
  std::uint8_t backoff_ = 0;
};

}  // namespace vtl::endpoint
