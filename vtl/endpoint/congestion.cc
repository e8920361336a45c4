#include "vtl/endpoint/congestion.h"

#include <algorithm>
#include <cmath>

namespace vtl::endpoint {
namespace {

constexpr std::uint32_t kMaxWindow = 1U << 30;  // RFC 7323 section 2.2: the largest window there is

double seconds(Duration d) {
  return std::chrono::duration<double>(d).count();
}

}  // namespace

std::string_view to_string(Congestion congestion) noexcept {
  return congestion == Congestion::kCubic ? "cubic" : "newreno";
}

double NewReno::grown(double window, double acked, Duration /*rtt*/, Time /*now*/) noexcept {
  return window + acked / window;
}

double NewReno::reduced(double /*window*/, double flight) noexcept {
  return std::max(flight / 2, 2.0);
}

double Cubic::grown(double window, double acked, Duration rtt, Time now) noexcept {
  if (!in_epoch_) {
    in_epoch_ = true;
    epoch_ = now;
    w_est_ = window;
    if (after_timeout_ || w_max_ <= window) {  // section 4.8
      w_max_ = static_cast<float>(window);
      k_ = 0;
    } else {
      k_ = static_cast<float>(std::cbrt((w_max_ - window) / kC));  // (2)
    }
    after_timeout_ = false;
  } else if (now - grown_at_ > rtt) {
    epoch_ += now - grown_at_ - rtt;  // section 4.2: time in which the window was not in use
  }
  grown_at_ = now;
  const double t = seconds(now - epoch_);
  const double ahead = t + seconds(rtt) - k_;
  const double target =
      std::clamp(kC * ahead * ahead * ahead + w_max_, window, 1.5 * window);  // section 4.2
  w_est_ += (w_est_ < prior_ ? kAlpha : 1.0) * acked / window;                // (4)
  const double since = t - k_;
  if (kC * since * since * since + w_max_ < w_est_) return std::max(window, w_est_);
  return window + (target - window) / window * acked;  // sections 4.4 and 4.5
}

double Cubic::reduced(double window, double flight) noexcept {
  const double peak = window < w_max_ ? window * (1 + kBeta) / 2 : window;  // section 4.7
  w_max_ = static_cast<float>(peak);
  prior_ = static_cast<float>(window);
  in_epoch_ = false;
  return std::max(flight * kBeta, 2.0);
}

void Cubic::rescale(double factor) noexcept {
  w_max_ *= static_cast<float>(factor);
  w_est_ *= factor;
  prior_ *= static_cast<float>(factor);
}

void Cubic::timed_out() noexcept {
  in_epoch_ = false;
  after_timeout_ = true;
}

CongestionControl::CongestionControl(Congestion algorithm, std::uint32_t mss) noexcept
    : mss_(mss), window_(initial_window()) {
  if (algorithm == Congestion::kCubic) algorithm_ = Cubic{};
}

// RFC 6928 section 2.
std::uint32_t CongestionControl::initial_window() const noexcept {
  return std::min(10 * mss_, std::max(2 * mss_, 14600U));
}

void CongestionControl::on_ack(std::uint32_t acked, Duration rtt, Time now) noexcept {
  if (in_slow_start()) {
    const std::uint32_t step = std::min(acked, threshold_ - window_);
    window_ = std::min(window_ + step, kMaxWindow);
    acked -= step;
    if (acked == 0) return;
  }
  const double mss = mss_;
  const double window = (window_ + fraction_) / mss;
  const double grown =
      mss * std::visit([&](auto& a) { return a.grown(window, acked / mss, rtt, now); }, algorithm_);
  const double whole = std::floor(std::min<double>(grown, kMaxWindow));
  fraction_ = std::max(0.0, std::min(grown, static_cast<double>(kMaxWindow)) - whole);
  window_ = std::max(static_cast<std::uint32_t>(whole), mss_);
}

void CongestionControl::on_loss(std::uint32_t flight) noexcept {
  const double mss = mss_;
  const double reduced =
      std::visit([&](auto& a) { return a.reduced(window_ / mss, flight / mss); }, algorithm_);
  threshold_ = static_cast<std::uint32_t>(std::min<double>(reduced * mss, kMaxWindow));
  window_ = std::max(std::min(window_, threshold_), mss_);
  fraction_ = 0;
  ++reductions_;
}

void CongestionControl::on_timeout(std::uint32_t flight, bool first) noexcept {
  if (first) {
    on_loss(flight);
  } else {
    ++reductions_;
  }
  std::visit([](auto& a) { a.timed_out(); }, algorithm_);
  window_ = mss_;  // the loss window, RFC 5681 section 3.1
  fraction_ = 0;
}

void CongestionControl::on_idle() noexcept {
  std::visit([](auto& a) { a.idle(); }, algorithm_);
  limit_window(initial_window());
}

void CongestionControl::restore(const CongestionControl& before) noexcept {
  threshold_ = std::max(threshold_, before.threshold_);
  if (before.window_ <= window_) return;
  algorithm_ = before.algorithm_;
  window_ = std::max(before.window_, mss_);
  fraction_ = before.fraction_;
}

void CongestionControl::set_window(std::uint32_t octets) noexcept {
  window_ = std::clamp(octets, mss_, kMaxWindow);
  fraction_ = 0;
}

void CongestionControl::limit_window(std::uint32_t octets) noexcept {
  window_ = std::max(std::min(window_, octets), mss_);
}

void CongestionControl::set_mss(std::uint32_t mss) noexcept {
  const bool untouched = window_ == initial_window() && threshold_ == UINT32_MAX;
  std::visit([&](auto& a) { a.rescale(static_cast<double>(mss_) / mss); }, algorithm_);
  mss_ = mss;
  window_ = untouched ? initial_window() : std::max(window_, mss_);
}

}  // namespace vtl::endpoint
