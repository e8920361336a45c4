#include "bench/progress.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

namespace vtl::bench {
namespace {

constexpr int kLabelWidth = 46;
constexpr int kBarWidth = 20;

std::string padded(const std::string& label) {
  const auto width = static_cast<int>(width_of(label));
  return label + std::string(static_cast<std::size_t>(std::max(0, kLabelWidth - width)), ' ');
}

}  // namespace

Progress::~Progress() {
  if (open_ && look_ == Look::kPretty) fmt::print(out_, "\n");
}

void Progress::clear_line() {
  if (look_ == Look::kPretty) fmt::print(out_, "\r\033[K");
}

void Progress::begin(std::string label) {
  ++step_;
  label_ = std::move(label);
  open_ = true;
  show(0, "");
}

void Progress::show(double fraction, std::string_view detail) {
  if (look_ == Look::kPlain || !open_) return;
  const int filled = static_cast<int>(std::lround(std::clamp(fraction, 0.0, 1.0) * kBarWidth));
  std::string bar;
  for (int i = 0; i < kBarWidth; ++i) bar += i < filled ? "━" : "╌";
  clear_line();
  fmt::print(out_, " {:>2}/{} {} \033[36m{}\033[0m {}", step_, steps_, padded(label_), bar, detail);
  std::fflush(out_);
}

void Progress::end(std::string_view result) {
  if (!open_) return;
  open_ = false;
  clear_line();
  fmt::print(out_, " {:>2}/{} {} {}\n", step_, steps_, padded(label_), result);
  std::fflush(out_);
}

void Progress::say(std::string_view line) {
  clear_line();
  fmt::print(out_, "{}\n", line);
  std::fflush(out_);
}

}  // namespace vtl::bench
