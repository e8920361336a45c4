// The demo and the experiments, run small: they end well, and their JSON has the shape that others
// read. No figure is judged here. Each program makes its own sandbox.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

namespace {

using Json = nlohmann::json;
using testing::HasSubstr;

struct Ended {
  int code = -1;
  std::string output;  ///< of standard output
  std::string errors;
};

class Experiments : public testing::Test {
 protected:
  Experiments() { std::filesystem::create_directories(folder_); }
  ~Experiments() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::string file(const std::string& name) const {
    return (folder_ / name).string();
  }

  /// Runs a program of this build through the shell; `before` may set its environment.
  Ended run(const std::string& command, const std::string& before = {}) const {
    const std::string line = fmt::format("{} timeout 200 {}/bin/{} >{} 2>{}", before,
                                         VTL_BINARY_DIR, command, file("out"), file("err"));
    const int status = std::system(line.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, content("out"), content("err")};
  }

  [[nodiscard]] std::string content(const std::string& name) const {
    std::ifstream in(file(name), std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  }

  [[nodiscard]] Json json(const std::string& name) const {
    return Json::parse(content(name), nullptr, false);
  }

  std::filesystem::path folder_ =
      std::filesystem::path(testing::TempDir()) / fmt::format("vtl-experiments-{}", ::getpid());
};

/// The (case, metric) pairs; each row has a unit and a number that is not negative.
std::set<std::pair<std::string, std::string>> rows_of(const Json& json) {
  std::set<std::pair<std::string, std::string>> pairs;
  for (const Json& row : json.at("rows")) {
    EXPECT_TRUE(row.at("unit").is_string()) << row;
    EXPECT_TRUE(row.at("value").is_number()) << row;
    EXPECT_GE(row.at("value").get<double>(), 0) << row;
    pairs.emplace(row.at("case"), row.at("metric"));
  }
  return pairs;
}

TEST_F(Experiments, TheDemoComparesBothWaysAndKeepsCapturesOfBothSides) {
  const Ended ended = run(fmt::format("vtl-demo --quick --seconds 1 --rtt 20 --json {} --pcap {}",
                                      file("demo.json"), file("pcap")));
  ASSERT_EQ(ended.code, 0) << ended.errors;
  EXPECT_THAT(ended.output, HasSubstr("through VTL, over UDT"));
  EXPECT_EQ(ended.output.find('\033'), std::string::npos) << "escapes in a pipe";
  const Json result = json("demo.json");
  ASSERT_TRUE(result.is_object());
  EXPECT_EQ(result.at("bench"), "demo");
  const auto rows = rows_of(result);
  for (const char* which : {"plain", "vtl-udt"})
    for (const char* metric : {"throughput", "throughput-reverse", "cpu-per-gb"})
      EXPECT_TRUE(rows.contains({which, metric})) << which << " " << metric;
  for (const char* capture :
       {"hostA-guest-side", "hostA-wan-side", "hostB-guest-side", "hostB-wan-side"})
    EXPECT_GT(std::filesystem::file_size(file(fmt::format("pcap/{}.pcap", capture))), 1000U);
}

TEST_F(Experiments, TheTorDemoTellsWhatTheServerSaw) {
  const Ended ended = run(fmt::format("vtl-demo tor --json {}", file("tor.json")));
  ASSERT_EQ(ended.code, 0) << ended.errors;
  EXPECT_THAT(ended.output, HasSubstr("10.137.0.9 (the guest)"));
  EXPECT_THAT(ended.output, HasSubstr("(an exit)"));
  const Json result = json("tor.json");
  ASSERT_TRUE(result.is_object());
  const auto rows = rows_of(result);
  for (const char* which : {"plain", "vtl-tor"})
    for (const char* metric : {"fetch-time", "onion-reached", "ping-answered"})
      EXPECT_TRUE(rows.contains({which, metric})) << which << " " << metric;
  EXPECT_EQ(result.at("settings").at("server-saw-plain"), "10.137.0.9");
  EXPECT_NE(result.at("settings").at("server-saw-vtl-tor"), "10.137.0.9");
}

TEST_F(Experiments, TheBridgeExperimentHasAllItsCasesAndMetrics) {
  const Ended ended =
      run(fmt::format("vtl-bench bridge --quick --frames 5000 --json {}", file("bridge.json")));
  ASSERT_EQ(ended.code, 0) << ended.errors;
  const Json result = json("bridge.json");
  ASSERT_TRUE(result.is_object());
  EXPECT_EQ(result.at("bench"), "bridge");
  const auto rows = rows_of(result);
  for (const char* which : {"veth", "kernel-bridge", "vtl-1-worker", "vtl-2-workers",
                            "vtl-1-worker-watched", "pcap-1-process", "pcap-2-processes"})
    for (const char* metric :
         {"tcp-1-stream", "tcp-4-streams", "tcp-1-stream-reverse", "cpu-per-gb", "cpu-per-frame"})
      EXPECT_TRUE(rows.contains({which, metric})) << which << " " << metric;
}

TEST_F(Experiments, TheWanExperimentHasAllItsCasesAndDrawsThem) {
  const Ended ended = run(fmt::format("vtl-bench wan --seconds 1 --rtt 10 --json {} --plot {}",
                                      file("wan.json"), file("plot")));
  ASSERT_EQ(ended.code, 0) << ended.errors;
  const Json result = json("wan.json");
  ASSERT_TRUE(result.is_object());
  EXPECT_EQ(result.at("bench"), "wan");
  const std::string notes = result.at("notes").dump();
  const auto rows = rows_of(result);
  for (const char* which :
       {"tcp-default", "tcp-cubic-tuned", "tcp-bbr-tuned", "udt-raw", "vtl-udt", "vtl-tcp-bbr"}) {
    if (notes.find(fmt::format("{} is left out", which)) != std::string::npos) continue;
    for (const char* metric : {"throughput", "cpu-per-gb"})
      EXPECT_TRUE(rows.contains({which, metric})) << which << " " << metric;
  }
  for (const Json& row : result.at("rows")) {
    EXPECT_EQ(row.at("rtt_ms"), 10) << row;
    EXPECT_TRUE(row.at("loss") == 0 || row.at("loss") == 0.001) << row;
  }
  EXPECT_THAT(content("plot.svg"), HasSubstr("</svg>"));
  EXPECT_TRUE(content("plot.png").starts_with("\x89PNG"));
}

TEST_F(Experiments, TheEndpointExperimentHasAllItsCasesAndMetrics) {
  const Ended ended = run(fmt::format("vtl-bench endpoint --quick --json {}", file("end.json")));
  ASSERT_EQ(ended.code, 0) << ended.errors;
  const Json result = json("end.json");
  ASSERT_TRUE(result.is_object());
  EXPECT_EQ(result.at("bench"), "endpoint");
  const auto rows = rows_of(result);
  for (const char* which : {"direct", "kernel-relay", "vtl-split"})
    for (const char* metric :
         {"tcp-1-stream", "tcp-16-streams", "connections", "memory-per-connection", "cpu-per-gb"})
      EXPECT_TRUE(rows.contains({which, metric})) << which << " " << metric;
  for (const char* metric :
       {"tcp-1-stream-of-relay", "tcp-16-streams-of-relay", "connections-of-relay",
        "connections-held", "memory-per-connection-held", "memory-per-connection-counted",
        "keep-alives-sent"})
    EXPECT_TRUE(rows.contains({"vtl-split", metric})) << metric;
  // Every connection that was held was probed by VTL, and its server answered.
  const auto figure = [&](const char* metric) {
    for (const Json& row : result.at("rows"))
      if (row.at("case") == "vtl-split" && row.at("metric") == metric)
        return row.at("value").get<double>();
    return 0.0;
  };
  EXPECT_GE(figure("keep-alives-answered"), figure("connections-held"));
  EXPECT_GT(figure("memory-per-connection-counted"), 0);
}

TEST_F(Experiments, TheAnonymizerExperimentHasAllItsCasesAndMetrics) {
  const Ended ended = run(fmt::format("vtl-bench anonymizer --quick --json {}", file("anon.json")));
  ASSERT_EQ(ended.code, 0) << ended.errors;
  const Json result = json("anon.json");
  ASSERT_TRUE(result.is_object());
  EXPECT_EQ(result.at("bench"), "anonymizer");
  const auto rows = rows_of(result);
  const std::vector<std::string> rates = {"tcp-1-stream", "tcp-8-streams", "tcp-1-stream-reverse",
                                          "tcp-8-streams-reverse", "connections"};
  for (const char* which : {"direct", "vtl-veth", "vtl-tap"}) {
    for (const char* metric : {"cpu-per-gb", "cpu-per-gb-reverse", "memory-per-connection"})
      EXPECT_TRUE(rows.contains({which, metric})) << which << " " << metric;
    for (const std::string& metric : rates)
      EXPECT_TRUE(rows.contains({which, metric})) << which << " " << metric;
  }
  for (const char* which : {"vtl-veth", "vtl-tap"}) {
    for (const char* metric : {"dns-answers", "cpu-per-gb-own", "cpu-per-gb-own-reverse",
                               "cpu-per-gb-proxy", "cpu-per-gb-proxy-reverse"})
      EXPECT_TRUE(rows.contains({which, metric})) << which << " " << metric;
    for (const std::string& metric : rates)
      EXPECT_TRUE(rows.contains({which, metric + "-of-direct"})) << which << " " << metric;
  }
  EXPECT_THAT(ended.output, HasSubstr("to direct, aim 0.5"));
}

TEST_F(Experiments, WithoutAVtlTheDemoSaysWhatToBuildAndFails) {
  const Ended ended = run("vtl-demo --quick", "VTL_BINARY=/no/such/vtl");
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.errors, HasSubstr("there is no /no/such/vtl"));
}

TEST_F(Experiments, AWrongOptionIsRefusedAndNothingRuns) {
  EXPECT_EQ(run("vtl-demo --rtt soon").code, 2);
  EXPECT_EQ(run("vtl-bench wan --case warp").code, 2);
  EXPECT_EQ(run("vtl-bench").code, 2);
}

}  // namespace
