#include "bench/iperf.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace vtl::bench {
namespace {

using Json = nlohmann::json;

/// The number at object[name], or nothing.
const Json* number(const Json& object, const char* name) {
  const auto it = object.find(name);
  return it != object.end() && it->is_number() ? &*it : nullptr;
}

}  // namespace

std::vector<std::string> client_command(const IperfRun& run) {
  std::vector<std::string> command{"iperf3",
                                   "--json",
                                   "--client",
                                   run.server,
                                   "--port",
                                   std::to_string(run.port),
                                   "--time",
                                   std::to_string(run.seconds),
                                   "--parallel",
                                   std::to_string(run.streams),
                                   "--interval",
                                   "1",
                                   "--connect-timeout",
                                   "5000"};
  if (run.reverse) command.emplace_back("--reverse");
  if (!run.congestion.empty()) command.insert(command.end(), {"--congestion", run.congestion});
  return command;
}

std::vector<std::string> server_command(int port) {
  return {"iperf3", "--server", "--port", std::to_string(port), "--forceflush"};
}

Outcome<IperfReport> parse_iperf(std::string_view json) {
  const Json report = Json::parse(json, nullptr, false);
  if (!report.is_object()) return fail("iperf3 printed no JSON");
  if (const auto error = report.find("error"); error != report.end() && error->is_string())
    return fail(fmt::format("iperf3: {}", error->get<std::string>()));
  const auto end = report.find("end");
  if (end == report.end() || !end->is_object() || !end->contains("sum_received"))
    return fail("iperf3's report has no end.sum_received");
  const Json& received = (*end)["sum_received"];
  const Json* rate = number(received, "bits_per_second");
  const Json* octets = number(received, "bytes");
  const Json* seconds = number(received, "seconds");
  if (rate == nullptr || octets == nullptr || seconds == nullptr)
    return fail("iperf3's end.sum_received lacks bits_per_second, bytes or seconds");
  IperfReport result{rate->get<double>(), octets->get<double>(), seconds->get<double>(), 0};
  if (end->contains("sum_sent"))
    if (const Json* retransmits = number((*end)["sum_sent"], "retransmits"))
      result.retransmits = retransmits->get<double>();
  return result;
}

}  // namespace vtl::bench
