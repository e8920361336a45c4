#include "vtl/config/units.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace vtl::config {
namespace {

TEST(Units, SizesReadPowersOfTwoAndOfTen) {
  EXPECT_EQ(parse_size("4096"), 4096U);
  EXPECT_EQ(parse_size("64KiB"), 65536U);
  EXPECT_EQ(parse_size("1.5MiB"), 1572864U);
  EXPECT_EQ(parse_size("16 MiB"), 16U << 20);
  EXPECT_EQ(parse_size("2GiB"), std::uint64_t{2} << 30);
  EXPECT_EQ(parse_size("1kB"), 1000U);
  EXPECT_EQ(parse_size("0"), 0U);
}

TEST(Units, SizesRefuseWhatIsNotExactlyOne) {
  for (const char* text : {"", "MiB", "-1", "1.5", "0.3B", "1MB/s", "16mib", "16  MiB", "1.MiB",
                           "99999999999GiB", "0x10", "1e3"}) {
    EXPECT_EQ(parse_size(text), std::nullopt) << text;
  }
}

TEST(Units, DurationsNeedAUnit) {
  EXPECT_EQ(parse_duration("30ms"), Duration{30ms});
  EXPECT_EQ(parse_duration("1.5ms"), Duration{1500us});
  EXPECT_EQ(parse_duration("2h"), Duration{2h});
  EXPECT_EQ(parse_duration("5min"), Duration{5min});
  EXPECT_EQ(parse_duration("0"), Duration{0});
  for (const char* text : {"30", "30 m", "-1s", "s", "1.0000000001s", "0.5ns", "9999999999h"}) {
    EXPECT_EQ(parse_duration(text), std::nullopt) << text;
  }
}

TEST(Units, RatesAreBitsASecondInPowersOfTen) {
  EXPECT_EQ(parse_rate("1Gbit/s"), 1'000'000'000U);
  EXPECT_EQ(parse_rate("2.5Gbit/s"), 2'500'000'000U);
  EXPECT_EQ(parse_rate("9600bit/s"), 9600U);
  for (const char* text : {"1000", "1Gb", "1Gb/s", "1GB/s", "1gbit/s"}) {
    EXPECT_EQ(parse_rate(text), std::nullopt) << text;
  }
}

TEST(Units, FractionsAreFromZeroToOne) {
  EXPECT_DOUBLE_EQ(parse_fraction("0.1%").value(), 0.001);
  EXPECT_DOUBLE_EQ(parse_fraction("0.25").value(), 0.25);
  EXPECT_DOUBLE_EQ(parse_fraction("100%").value(), 1.0);
  for (const char* text : {"", "%", "101%", "1.01", "-0.1", "nan", "inf", "1e-3", "0.1 %"}) {
    EXPECT_EQ(parse_fraction(text), std::nullopt) << text;
  }
}

TEST(Units, FlagsAndIntegersAreExact) {
  EXPECT_EQ(parse_flag("on"), true);
  EXPECT_EQ(parse_flag("no"), false);
  EXPECT_EQ(parse_flag("True"), std::nullopt);
  EXPECT_EQ(parse_integer("-7"), -7);
  EXPECT_EQ(parse_integer("0xff"), 255);
  EXPECT_EQ(parse_integer("0x-f"), std::nullopt);
  EXPECT_EQ(parse_integer("7 "), std::nullopt);
  EXPECT_EQ(parse_integer("99999999999999999999"), std::nullopt);
}

RC_GTEST_PROP(Units, WhatIsFormattedReadsBack, ()) {
  const auto value = *rc::gen::inRange<std::uint64_t>(0, std::uint64_t{1} << 50);
  RC_ASSERT(parse_size(format_size(value)) == value);
  RC_ASSERT(parse_rate(format_rate(value)) == value);
  const Duration duration{static_cast<std::int64_t>(value)};
  RC_ASSERT(parse_duration(format_duration(duration)) == duration);
}

RC_GTEST_PROP(Units, NoTextMakesAParserFail, (const std::string& text)) {
  (void)parse_size(text);
  (void)parse_duration(text);
  (void)parse_rate(text);
  (void)parse_fraction(text);
  (void)parse_integer(text);
}

}  // namespace
}  // namespace vtl::config
