// Tables, the words for figures, the processor account, plots and what iperf3 reports.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "bench/cpu.h"
#include "bench/iperf.h"
#include "bench/plot.h"
#include "bench/table.h"

namespace vtl::bench {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;

TEST(Words, RatesHaveThreeFiguresAndTheUnitThatFits) {
  EXPECT_EQ(bit_rate(8.417e9), "8.42 Gbit/s");
  EXPECT_EQ(bit_rate(941.2e6), "941 Mbit/s");
  EXPECT_EQ(bit_rate(42.31e6), "42.3 Mbit/s");
  EXPECT_EQ(bit_rate(999.9e6), "1.00 Gbit/s");
  EXPECT_EQ(bit_rate(0), "0.00 kbit/s");
}

TEST(Words, SpansOfTimeHaveTheUnitThatFits) {
  EXPECT_EQ(time_span(1.317), "1.32 s");
  EXPECT_EQ(time_span(0.0851), "85.1 ms");
  EXPECT_EQ(time_span(3.1e-6), "3.10 us");
  EXPECT_EQ(time_span(412e-9), "412 ns");
}

TEST(Words, RoughTimesAreRoundedUp) {
  EXPECT_EQ(rough_time(41), "about 45 seconds");
  EXPECT_EQ(rough_time(121), "about 3 minutes");
}

TEST(Words, WidthCountsCharactersNotOctets) {
  EXPECT_EQ(width_of("a→b"), 3U);
}

TEST(Table, PlainColumnsStandUnderEachOtherWithoutEscapes) {
  Table table({"case", "rate"});
  table.add({"plain", "42 Mbit/s"});
  table.add_rule();
  table.add_bold({"vtl-udt", "640 Mbit/s"});
  EXPECT_EQ(table.render(Look::kPlain),
            " case           rate\n"
            "---------------------\n"
            " plain     42 Mbit/s\n"
            "---------------------\n"
            " vtl-udt  640 Mbit/s\n");
}

TEST(Table, PrettyRowsEndWhatTheyBegin) {
  Table table({"case", "rate"});
  table.add_bold({"vtl-udt", "1"});
  EXPECT_THAT(table.render(Look::kPretty), HasSubstr("\033[1;32m vtl-udt     1\033[0m\n"));
}

TEST(Cpu, BusyIsAllButIdleIowaitAndSteal) {
  const auto busy =
      parse_busy("cpu  100 10 200 5000 70 3 40 999 0 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n", 100);
  ASSERT_TRUE(busy);
  EXPECT_EQ(*busy, Duration(3530ms));
}

TEST(Cpu, WhatIsNoAccountIsAnError) {
  EXPECT_FALSE(parse_busy("", 100));
  EXPECT_FALSE(parse_busy("cpu 1 2 3\n", 100));
  EXPECT_FALSE(parse_busy("intr 1 2 3 4 5 6 7 8\n", 100));
}

TEST(Cpu, TheMachinesAccountGrowsWithWork) {
  auto meter = CpuMeter::calibrate(20ms);
  ASSERT_TRUE(meter);
  const auto before = machine_busy();
  ASSERT_TRUE(before);
  const auto deadline = std::chrono::steady_clock::now() + 10s;
  bool grew = false;
  while (!grew && std::chrono::steady_clock::now() < deadline) grew = *machine_busy() > *before;
  EXPECT_TRUE(grew);
}

TEST(Iperf, TheReceiversFigureIsTaken) {
  const auto report = parse_iperf(R"({"end": {
      "sum_sent": {"bytes": 900, "seconds": 2.0, "bits_per_second": 3600, "retransmits": 7},
      "sum_received": {"bytes": 800, "seconds": 2.5, "bits_per_second": 2560}}})");
  ASSERT_TRUE(report);
  EXPECT_EQ(report->bits_per_second, 2560);
  EXPECT_EQ(report->octets, 800);
  EXPECT_EQ(report->seconds, 2.5);
  EXPECT_EQ(report->retransmits, 7);
}

TEST(Iperf, ItsOwnErrorIsPassedOn) {
  const auto report = parse_iperf(R"({"error": "unable to connect to server"})");
  ASSERT_FALSE(report);
  EXPECT_THAT(report.error().message, HasSubstr("unable to connect to server"));
}

TEST(Iperf, AReportThatIsCutShortOrLacksFiguresIsAnError) {
  EXPECT_FALSE(parse_iperf(""));
  EXPECT_FALSE(parse_iperf(R"({"end": )"));
  EXPECT_FALSE(parse_iperf(R"({"end": {}})"));
  EXPECT_FALSE(parse_iperf(R"({"end": {"sum_received": {"bytes": "many"}}})"));
}

TEST(Iperf, TheCommandSaysDirectionAndCongestionControlOnlyWhenAsked) {
  IperfRun run{.server = "10.0.0.2", .streams = 4, .seconds = 3};
  EXPECT_THAT(client_command(run), Not(Contains("--reverse")));
  EXPECT_THAT(client_command(run), Not(Contains("--congestion")));
  run.reverse = true;
  run.congestion = "bbr";
  EXPECT_THAT(client_command(run), Contains("--reverse"));
  EXPECT_THAT(client_command(run), testing::IsSupersetOf({"--congestion", "bbr", "4", "3"}));
}

Plot two_panels() {
  return {"Bandwidth \"against\" latency",
          "round trip, ms",
          "Mbit/s",
          {{"no loss", {{"vtl-udt", {{0, 900}, {60, 850}}}, {"empty", {}}}},
           {"loss 0.1 %", {{"vtl-udt", {{0, 800}, {60, 700}}}}}}};
}

TEST(Plot, TheScriptQuotesTextAndLeavesEmptySeriesOut) {
  const std::string script = gnuplot_script(two_panels(), PlotFormat::kSvg, "out.svg");
  EXPECT_THAT(script, HasSubstr(R"(Bandwidth \"against\" latency)"));
  EXPECT_THAT(script, HasSubstr("$p1s0 << EOD\n0 800\n60 700\nEOD\n"));
  EXPECT_THAT(script, Not(HasSubstr("title \"empty\"")));
}

TEST(Plot, SvgAndPngAreWritten) {
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "vtl-plot-test";
  const auto written = write_plot(two_panels(), folder / "plot");
  ASSERT_TRUE(written) << written.error().message;
  const auto content = [&](const char* name) {
    std::ifstream in(folder / name, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  EXPECT_THAT(content("plot.svg"), HasSubstr("vtl-udt"));
  EXPECT_THAT(content("plot.svg"), HasSubstr("</svg>"));
  EXPECT_TRUE(content("plot.png").starts_with("\x89PNG"));
  std::filesystem::remove_all(folder);
}

TEST(Plot, AFolderThatCannotBeIsAnError) {
  EXPECT_FALSE(write_plot(two_panels(), "/proc/no-such-folder/plot"));
}

}  // namespace
}  // namespace vtl::bench
