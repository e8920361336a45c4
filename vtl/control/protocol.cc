#include "vtl/control/protocol.h"

#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>
#include <utility>

namespace vtl::control {
namespace {

using Json = nlohmann::ordered_json;

constexpr auto kCommands = std::to_array<std::pair<std::string_view, Request::Command>>({
    {"status", Request::Command::kStatus},
    {"flows", Request::Command::kFlows},
    {"stats", Request::Command::kStats},
    {"dump", Request::Command::kDump},
    {"act", Request::Command::kAct},
    {"stop", Request::Command::kStop},
});

// Deeper than any listing; text is made of an answer by recursion.
constexpr int kMaxAnswerDepth = 32;

// A number of the request that must be in [least, most]; absent keeps `out`.
bool read_number(const Json& object, const char* key, std::uint32_t least, std::uint32_t most,
                 std::uint32_t& out) {
  const auto found = object.find(key);
  if (found == object.end()) return true;
  if (!found->is_number_unsigned()) return false;
  const auto value = found->get<std::uint64_t>();
  if (value < least || value > most) return false;
  out = static_cast<std::uint32_t>(value);
  return true;
}

bool read_text(const Json& object, const char* key, std::string& out) {
  const auto found = object.find(key);
  if (found == object.end()) return true;
  if (!found->is_string()) return false;
  out = found->get<std::string>();
  return true;
}

Outcome<Request> read_dump(const Json& json, Request request) {
  if (!read_text(json, "link", request.dump.link) || request.dump.link.empty()) {
    return fail("dump needs \"link\", the name of a link");
  }
  if (!read_number(json, "boundary", 0, 1000, request.dump.boundary)) {
    return fail("\"boundary\" must be a whole number from 0 (the guest) up");
  }
  if (!read_number(json, "snap_length", 64, 65535, request.dump.snap_length)) {
    return fail("\"snap_length\" must be a whole number from 64 to 65535");
  }
  if (!read_text(json, "filter", request.dump.filter)) {
    return fail("\"filter\" must be a pcap filter as text");
  }
  return request;
}

Outcome<Request> read_act(const Json& json, Request request) {
  for (const auto& [key, out] :
       {std::pair{"link", &request.act.link}, std::pair{"service", &request.act.service},
        std::pair{"action", &request.act.action}}) {
    if (!read_text(json, key, *out) || out->empty()) {
      return fail(fmt::format("act needs \"{}\", a word", key));
    }
  }
  return request;
}

}  // namespace

Outcome<Request> parse_request(std::string_view line) {
  if (line.size() > kMaxRequest) {
    return fail(fmt::format("the request is longer than {} octets", kMaxRequest));
  }
  // A depth of one object is all that a request has: refuse deeper nesting while parsing.
  bool too_deep = false;
  const auto shallow = [&](int depth, Json::parse_event_t event, Json&) {
    if (depth > 0 &&
        (event == Json::parse_event_t::object_start || event == Json::parse_event_t::array_start)) {
      too_deep = true;
    }
    return !too_deep;
  };
  const auto json = Json::parse(line, shallow, /*allow_exceptions=*/false);
  if (json.is_discarded() || too_deep || !json.is_object()) {
    return fail("the request is not one flat JSON object");
  }
  std::string word;
  if (!read_text(json, "command", word) || word.empty()) {
    return fail("the request has no \"command\"");
  }
  Request request;
  bool known = false;
  for (const auto& [name, command] : kCommands) {
    if (name != word) continue;
    request.command = command;
    known = true;
  }
  if (!known) {
    return fail(fmt::format("no command '{}'; there are: status flows stats dump act stop", word));
  }
  if (request.command == Request::Command::kDump) return read_dump(json, std::move(request));
  if (request.command == Request::Command::kAct) return read_act(json, std::move(request));
  return request;
}

std::string format_request(const Request& request) {
  Json json = Json::object();
  for (const auto& [name, command] : kCommands) {
    if (command == request.command) json["command"] = std::string(name);
  }
  if (request.command == Request::Command::kDump) {
    json["link"] = request.dump.link;
    json["boundary"] = request.dump.boundary;
    json["snap_length"] = request.dump.snap_length;
    json["filter"] = request.dump.filter;
  }
  if (request.command == Request::Command::kAct) {
    json["link"] = request.act.link;
    json["service"] = request.act.service;
    json["action"] = request.act.action;
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string success_line(std::string_view result) {
  return fmt::format("{{\"ok\":true,\"result\":{}}}\n", result);
}

std::string failure_line(std::string_view error) {
  const Json json = {{"ok", false}, {"error", std::string(error)}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Outcome<std::string> parse_response(std::string_view line) {
  bool too_deep = false;
  const auto shallow = [&](int depth, Json::parse_event_t, Json&) {
    too_deep = too_deep || depth > kMaxAnswerDepth;
    return !too_deep;
  };
  const auto json = Json::parse(line, shallow, /*allow_exceptions=*/false);
  if (json.is_discarded() || too_deep || !json.is_object() || !json.contains("ok") ||
      !json["ok"].is_boolean()) {
    return fail("the answer is not one of VTL's; does the socket belong to another program?");
  }
  if (json["ok"].get<bool>()) {
    return json.contains("result") ? json["result"].dump() : std::string("null");
  }
  std::string error;
  if (!read_text(json, "error", error) || error.empty()) error = "refused without a reason";
  return fail(error);
}

}  // namespace vtl::control
