#include "bench/results.h"

#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

namespace vtl::bench {
namespace {

using Json = nlohmann::ordered_json;

std::string cpu_model() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.starts_with("model name") && line.find(": ") != std::string::npos)
      return line.substr(line.find(": ") + 2);
  return "unknown";
}

Json machine() {
  utsname system{};
  if (uname(&system) != 0) std::strcpy(system.release, "unknown");
  return {
      {"kernel", system.release}, {"cpu", cpu_model()}, {"cores", sysconf(_SC_NPROCESSORS_ONLN)}};
}

Json to_json(const Row& row) {
  Json json{{"case", row.name}, {"metric", row.metric}, {"unit", row.unit}};
  json["value"] = row.value();
  if (row.path) {
    json["rtt_ms"] = row.path->rtt_ms;
    json["loss"] = row.path->loss;
  }
  if (row.samples.size() > 1) json["samples"] = row.samples;
  return json;
}

}  // namespace

double median(std::vector<double> samples) {
  if (samples.empty()) return 0;
  std::ranges::sort(samples);
  const std::size_t middle = samples.size() / 2;
  return samples.size() % 2 == 1 ? samples[middle]
                                 : std::midpoint(samples[middle - 1], samples[middle]);
}

void Results::add(std::string_view name, std::string_view metric, std::string_view unit,
                  double value, std::optional<PathPoint> path) {
  for (Row& row : rows_)
    if (row.name == name && row.metric == metric && row.path == path) {
      row.samples.push_back(value);
      return;
    }
  rows_.push_back({std::string(name), std::string(metric), std::string(unit), path, {value}});
}

void Results::set(std::string name, std::string value) {
  settings_.emplace_back(std::move(name), std::move(value));
}

void Results::note(std::string text) {
  if (std::ranges::find(notes_, text) == notes_.end()) notes_.push_back(std::move(text));
}

std::optional<double> Results::value(std::string_view name, std::string_view metric,
                                     std::optional<PathPoint> path) const {
  for (const Row& row : rows_)
    if (row.name == name && row.metric == metric && row.path == path) return row.value();
  return std::nullopt;
}

std::string Results::to_json() const {
  Json json{{"bench", bench_}, {"machine", machine()}, {"settings", Json::object()}};
  for (const auto& [name, value] : settings_) json["settings"][name] = value;
  json["notes"] = notes_;
  json["rows"] = Json::array();
  for (const Row& row : rows_) json["rows"].push_back(bench::to_json(row));
  return json.dump(2) + "\n";
}

Outcome<void> Results::write_json(const std::filesystem::path& file) const {
  return write_file(file, to_json());
}

Outcome<void> write_file(const std::filesystem::path& file, std::string_view text) {
  std::error_code error;
  if (file.has_parent_path()) std::filesystem::create_directories(file.parent_path(), error);
  if (error)
    return fail(
        fmt::format("cannot make the folder {}: {}", file.parent_path().string(), error.message()));
  std::ofstream out(file, std::ios::binary);
  out << text;
  out.close();
  if (!out) return fail(fmt::format("cannot write {}: {}", file.string(), std::strerror(errno)));
  return {};
}

}  // namespace vtl::bench
