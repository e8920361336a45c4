// Protocol: what travels over the control socket.
//
// A client sends one request, a JSON object on one line of at most kMaxRequest octets:
//   {"command": "status"}       also "flows", "stats", "stop"
//   {"command": "act", "link": NAME, "service": KIND, "action": WORD}
//   {"command": "dump", "link": NAME, "boundary": N, "snap_length": N, "filter": TEXT}
// and gets one line, then the connection ends:
//   {"ok": true, "result": ...}     or     {"ok": false, "error": "..."}
// After the line of a successful dump the stream of pcapng follows until either side closes. A
// client that has enough shuts its writing side down, and gets the rest with the last counts.
// Thread rule: values and pure functions.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "vtl/base/result.h"
#include "vtl/control/source.h"

namespace vtl::control {

inline constexpr std::size_t kMaxRequest = 4096;
inline constexpr std::string_view kDefaultSocket = "/run/vtl/vtl.sock";

struct Request {
  enum class Command { kStatus, kFlows, kStats, kDump, kAct, kStop };
  Command command = Command::kStatus;
  DumpRequest dump{};  ///< of kDump
  ActRequest act{};    ///< of kAct
};

/// Parses one line without its end. The error says what is wrong with it.
[[nodiscard]] Outcome<Request> parse_request(std::string_view line);
[[nodiscard]] std::string format_request(const Request& request);

/// The response line, its end included. `result`: JSON text.
[[nodiscard]] std::string success_line(std::string_view result);
[[nodiscard]] std::string failure_line(std::string_view error);
/// The result's JSON text, or the error that the response tells.
[[nodiscard]] Outcome<std::string> parse_response(std::string_view line);

}  // namespace vtl::control
