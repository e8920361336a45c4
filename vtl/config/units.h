// Units: how sizes, durations, rates and fractions are written in a configuration, parsed exactly.
//
// Each parser answers nullopt for anything that is not exactly one such value in its range; numbers
// may have a decimal fraction ("1.5ms"). A number without a unit is refused where a unit matters:
// it is the usual source of a factor of a thousand.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "vtl/base/time.h"

namespace vtl::config {

/// Octets: "4096", "64KiB", "16MiB", "2GiB", and in powers of ten "1kB", "1MB", "1GB".
[[nodiscard]] std::optional<std::uint64_t> parse_size(std::string_view text);
/// "250ns", "50us", "30ms", "2s", "5min", "2h"; "0" needs no unit.
[[nodiscard]] std::optional<Duration> parse_duration(std::string_view text);
/// Bits a second, in powers of ten: "9600bit/s", "64kbit/s", "100Mbit/s", "2.5Gbit/s"; "1Gbit" is
/// understood too.
[[nodiscard]] std::optional<std::uint64_t> parse_rate(std::string_view text);
/// A share from 0 to 1: "0.1%", "0.001", "0".
[[nodiscard]] std::optional<double> parse_fraction(std::string_view text);
/// "true" and "false", "yes" and "no", "on" and "off".
[[nodiscard]] std::optional<bool> parse_flag(std::string_view text);
/// A whole number, decimal or 0x hexadecimal, perhaps negative.
[[nodiscard]] std::optional<std::int64_t> parse_integer(std::string_view text);

/// The shortest exact form that the parsers read back: "16MiB", "30ms", "1Gbit/s".
[[nodiscard]] std::string format_size(std::uint64_t octets);
[[nodiscard]] std::string format_duration(Duration d);
[[nodiscard]] std::string format_rate(std::uint64_t bits_per_second);

}  // namespace vtl::config
