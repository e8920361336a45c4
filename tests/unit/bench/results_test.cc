#include "bench/results.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

namespace vtl::bench {
namespace {

using Json = nlohmann::json;

TEST(Median, OfNothingIsZero) {
  EXPECT_EQ(median({}), 0);
}

TEST(Median, IsTheMiddleSampleOrTheMeanOfTheMiddleTwo) {
  EXPECT_EQ(median({9, 1, 5}), 5);
  EXPECT_EQ(median({4, 1, 3, 100}), 3.5);
}

TEST(Results, JsonHasTheBenchItsRowsAndTheirUnits) {
  Results results("wan");
  results.add("vtl-udt", "throughput", "bit/s", 5e8, PathPoint{60, 0.001});
  results.add("vtl-udt", "cpu-per-gb", "s", 2.5);
  const Json json = Json::parse(results.to_json());
  EXPECT_EQ(json["bench"], "wan");
  ASSERT_EQ(json["rows"].size(), 2U);
  const Json& first = json["rows"][0];
  EXPECT_EQ(first["case"], "vtl-udt");
  EXPECT_EQ(first["metric"], "throughput");
  EXPECT_EQ(first["unit"], "bit/s");
  EXPECT_EQ(first["value"], 5e8);
  EXPECT_EQ(first["rtt_ms"], 60);
  EXPECT_EQ(first["loss"], 0.001);
  EXPECT_FALSE(json["rows"][1].contains("rtt_ms"));
  EXPECT_FALSE(first.contains("samples"));
}

TEST(Results, ARowAddedAgainIsASampleAndTheValueTheMedian) {
  Results results("bridge");
  for (const double value : {3.0, 1.0, 2.0}) results.add("veth", "tcp-1-stream", "bit/s", value);
  ASSERT_EQ(results.rows().size(), 1U);
  EXPECT_EQ(results.value("veth", "tcp-1-stream"), 2.0);
  const Json json = Json::parse(results.to_json());
  EXPECT_EQ(json["rows"][0]["value"], 2.0);
  EXPECT_EQ(json["rows"][0]["samples"].size(), 3U);
}

TEST(Results, ThePathTellsRowsApart) {
  Results results("wan");
  results.add("udt-raw", "throughput", "bit/s", 1, PathPoint{10, 0});
  results.add("udt-raw", "throughput", "bit/s", 2, PathPoint{10, 0.001});
  EXPECT_EQ(results.value("udt-raw", "throughput", PathPoint{10, 0}), 1);
  EXPECT_EQ(results.value("udt-raw", "throughput", PathPoint{10, 0.001}), 2);
  EXPECT_FALSE(results.value("udt-raw", "throughput", PathPoint{30, 0}));
  EXPECT_FALSE(results.value("udt-raw", "throughput"));
}

TEST(Results, ANoteIsToldOnce) {
  Results results("wan");
  results.note("no bbr");
  results.note("no bbr");
  EXPECT_EQ(Json::parse(results.to_json())["notes"], Json::array({"no bbr"}));
}

TEST(WriteFile, MakesTheFolderAndNamesWhatItCannotWrite) {
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "vtl-write-file";
  ASSERT_TRUE(write_file(folder / "inner" / "file.json", "{}"));
  std::ifstream in(folder / "inner" / "file.json");
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}), "{}");
  const auto failed = write_file("/proc/no-such-folder/file", "x");
  ASSERT_FALSE(failed);
  EXPECT_NE(failed.error().message.find("/proc/no-such-folder"), std::string::npos);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace vtl::bench
