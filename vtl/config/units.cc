#include "vtl/config/units.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <span>

namespace vtl::config {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

constexpr std::array kSizeUnits = std::to_array<Unit>({
    {"GiB", std::uint64_t{1} << 30},
    {"MiB", std::uint64_t{1} << 20},
    {"KiB", std::uint64_t{1} << 10},
    {"GB", 1'000'000'000},
    {"MB", 1'000'000},
    {"kB", 1'000},
    {"B", 1},
});
constexpr std::array kDurationUnits = std::to_array<Unit>({
    {"h", 3'600'000'000'000},
    {"min", 60'000'000'000},
    {"s", 1'000'000'000},
    {"ms", 1'000'000},
    {"us", 1'000},
    {"ns", 1},
});
constexpr std::array kRateUnits = std::to_array<Unit>({
    {"Gbit/s", 1'000'000'000},
    {"Mbit/s", 1'000'000},
    {"kbit/s", 1'000},
    {"bit/s", 1},
    {"Gbit", 1'000'000'000},
    {"Mbit", 1'000'000},
    {"kbit", 1'000},
});

struct Quantity {
  std::uint64_t whole = 0;
  std::string_view fraction;  // decimal digits after the point
  std::string_view unit;
};

std::optional<Quantity> split(std::string_view text) {
  Quantity q;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, q.whole);
  if (error != std::errc{}) return std::nullopt;
  std::string_view tail(rest, static_cast<std::size_t>(end - rest));
  if (tail.starts_with('.')) {
    tail.remove_prefix(1);
    const auto digits = std::min(tail.find_first_not_of("0123456789"), tail.size());
    if (digits == 0 || digits > 9) return std::nullopt;
    q.fraction = tail.substr(0, digits);
    tail.remove_prefix(digits);
  }
  if (tail.starts_with(' ')) tail.remove_prefix(1);
  q.unit = tail;
  return q;
}

// whole.fraction times factor, when it is a whole number that fits.
std::optional<std::uint64_t> multiply(const Quantity& q, std::uint64_t factor) {
  constexpr std::uint64_t kMax = std::numeric_limits<std::int64_t>::max();
  if (q.whole > kMax / factor) return std::nullopt;
  std::uint64_t value = q.whole * factor;
  std::uint64_t scale = 1;
  std::uint64_t digits = 0;
  for (const char c : q.fraction) {
    scale *= 10;
    digits = digits * 10 + static_cast<std::uint64_t>(c - '0');
  }
  // At most nine digits and a factor below 2^42: only an hour with many digits could overflow.
  if (digits > kMax / factor || digits * factor % scale != 0) return std::nullopt;
  value += digits * factor / scale;
  if (value > kMax) return std::nullopt;
  return value;
}

std::optional<std::uint64_t> parse_with(std::span<const Unit> units, std::string_view text,
                                        bool bare_number) {
  const auto q = split(text);
  if (!q) return std::nullopt;
  if (q->unit.empty()) {
    if (!q->fraction.empty() || (!bare_number && q->whole != 0)) return std::nullopt;
    return multiply(*q, 1);
  }
  for (const auto& unit : units) {
    if (unit.name == q->unit) return multiply(*q, unit.factor);
  }
  return std::nullopt;
}

std::string format_with(std::span<const Unit> units, std::uint64_t value) {
  for (const auto& unit : units) {
    if (value != 0 && value % unit.factor == 0) {
      return fmt::format("{}{}", value / unit.factor, unit.name);
    }
  }
  return "0";
}

}  // namespace

std::optional<std::uint64_t> parse_size(std::string_view text) {
  return parse_with(kSizeUnits, text, true);
}

std::optional<Duration> parse_duration(std::string_view text) {
  const auto nanoseconds = parse_with(kDurationUnits, text, false);
  if (!nanoseconds) return std::nullopt;
  return Duration{static_cast<std::int64_t>(*nanoseconds)};
}

std::optional<std::uint64_t> parse_rate(std::string_view text) {
  return parse_with(kRateUnits, text, false);
}

std::optional<double> parse_fraction(std::string_view text) {
  double divisor = 1;
  if (text.ends_with('%')) {
    text.remove_suffix(1);
    divisor = 100;
  }
  double value = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value, std::chars_format::fixed);
  if (error != std::errc{} || rest != end) return std::nullopt;
  value /= divisor;
  if (!std::isfinite(value) || value < 0 || value > 1) return std::nullopt;
  return value;
}

std::optional<bool> parse_flag(std::string_view text) {
  if (text == "true" || text == "yes" || text == "on") return true;
  if (text == "false" || text == "no" || text == "off") return false;
  return std::nullopt;
}

std::optional<std::int64_t> parse_integer(std::string_view text) {
  int base = 10;
  if (text.starts_with("0x")) {
    text.remove_prefix(2);
    base = 16;
    if (text.starts_with('-')) return std::nullopt;
  }
  std::int64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value, base);
  if (error != std::errc{} || rest != end) return std::nullopt;
  return value;
}

std::string format_size(std::uint64_t octets) {
  constexpr std::size_t kBinary = 3;  // the powers of two, then plain octets
  if (octets == 0) return "0";
  for (std::size_t i = 0; i < kBinary; ++i) {
    if (octets % kSizeUnits[i].factor == 0) {
      return fmt::format("{}{}", octets / kSizeUnits[i].factor, kSizeUnits[i].name);
    }
  }
  return fmt::format("{}", octets);
}

std::string format_duration(Duration d) {
  return format_with(kDurationUnits, static_cast<std::uint64_t>(d.count()));
}

std::string format_rate(std::uint64_t bits_per_second) {
  return format_with(kRateUnits, bits_per_second);
}

}  // namespace vtl::config
