// CongestionControl: how much may be in flight. NewReno (RFC 5681) and CUBIC (RFC 9438).
//
// It is told of acknowledgements and losses and answers with a window in octets. What is lost and
// what to send again is not its matter (recovery.cc). Growth counts octets, not acknowledgements
// (RFC 3465), because one acknowledgement may stand for a super-frame. Thread rule: a value.
#pragma once

#include <cstdint>
#include <string_view>
#include <variant>

#include "vtl/base/time.h"

namespace vtl::endpoint {

enum class Congestion : std::uint8_t { kNewReno, kCubic };
[[nodiscard]] std::string_view to_string(Congestion congestion) noexcept;

/// RFC 5681 section 3.1: one segment more for each window acknowledged; half the flight on loss.
class NewReno {
 public:
  [[nodiscard]] double grown(double window, double acked, Duration rtt, Time now) noexcept;
  [[nodiscard]] double reduced(double window, double flight) noexcept;
  void timed_out() noexcept {}
  void idle() noexcept {}
  void rescale(double /*factor*/) noexcept {}
};

/// RFC 9438. Windows in segments.
class Cubic {
 public:
  [[nodiscard]] double grown(double window, double acked, Duration rtt, Time now) noexcept;
  [[nodiscard]] double reduced(double window, double flight) noexcept;
  void timed_out() noexcept;
  /// No epoch runs while nothing is sent (section 5.8).
  void idle() noexcept { in_epoch_ = false; }
  /// A window counts `factor` times as many segments from now on.
  void rescale(double factor) noexcept;

 private:
  static constexpr double kC = 0.4;                                ///< section 5
  static constexpr double kBeta = 0.7;                             ///< section 4.6
  static constexpr double kAlpha = 3 * (1 - kBeta) / (1 + kBeta);  ///< section 4.3
  double w_est_ = 0;
  Time epoch_{};
  Time grown_at_{};  // the epoch does not run on while the window does not grow
  float w_max_ = 0;
  float prior_ = 0;  // window before the last reduction
  float k_ = 0;      // seconds
  bool in_epoch_ = false;
  bool after_timeout_ = false;
};

class CongestionControl {
 public:
  CongestionControl(Congestion algorithm, std::uint32_t mss) noexcept;

  /// Octets that may be in flight; at least one segment.
  [[nodiscard]] std::uint32_t window() const noexcept { return window_; }
  [[nodiscard]] std::uint32_t threshold() const noexcept { return threshold_; }
  [[nodiscard]] bool in_slow_start() const noexcept { return window_ < threshold_; }

  /// `acked` octets of new data arrived while the window was what held us back. `rtt`: smoothed.
  void on_ack(std::uint32_t acked, Duration rtt, Time now) noexcept;
  /// Loss found by acknowledgements; `flight` octets were outstanding. The window comes down to the
  /// new threshold.
  void on_loss(std::uint32_t flight) noexcept;
  /// The retransmission timer fired; `first`: not for a segment that timed out before.
  void on_timeout(std::uint32_t flight, bool first) noexcept;
  /// Nothing was sent for a timeout: back to the restart window (RFC 5681 section 4.1).
  void on_idle() noexcept;
  /// The handshake lost a segment: begin with one (RFC 5681 section 3.1).
  void begin_with_one_segment() noexcept { window_ = mss_; }
  /// The reductions since `before` were needless: what was then is again, unless there is more now.
  void restore(const CongestionControl& before) noexcept;
  /// While a loss is repaired the window is proportional rate reduction's.
  void set_window(std::uint32_t octets) noexcept;
  /// Not above `octets`.
  void limit_window(std::uint32_t octets) noexcept;
  void set_mss(std::uint32_t mss) noexcept;
  /// How often the window was reduced, modulo 2^16: an ECN-capable peer is told of each (RFC 3168
  /// section 6.1.2).
  [[nodiscard]] std::uint16_t reductions() const noexcept { return reductions_; }

 private:
  [[nodiscard]] std::uint32_t initial_window() const noexcept;

  std::variant<NewReno, Cubic> algorithm_;
  std::uint32_t mss_;
  std::uint32_t window_;
  std::uint32_t threshold_ = UINT32_MAX;
  std::uint16_t reductions_ = 0;
  double fraction_ = 0;  // of an octet not yet in window_
};

}  // namespace vtl::endpoint
