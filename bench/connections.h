// Connections: a server and a client that open, use, hold and close very many of them.
//
// One request of kRequest octets asks for one answer of kAnswer octets; the first octet of the
// request says whether the server closes the connection after the answer, or keeps it. The server
// listens on several ports in a row, so that one client address can hold more connections than
// there are ports.
//
// Thread rule: each call blocks its thread until the end, which is bounded.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "vtl/base/result.h"

namespace vtl::bench {

inline constexpr std::uint16_t kFirstPort = 6000;
inline constexpr std::uint16_t kPorts = 8;

struct ConnectionRun {
  std::string server;           ///< address
  std::uint32_t count = 0;      ///< hold_connections(): how many
  std::uint32_t parallel = 64;  ///< under way at once
  int seconds = 3;              ///< rate_of_connections(): for how long
};

/// What rate_of_connections() found.
struct ConnectionReport {
  std::uint32_t done = 0;    ///< connected, asked, answered, closed
  std::uint32_t failed = 0;  ///< refused, reset, or without an answer for 10 s
  double seconds = 0;
};

/// Most connections of one program, of either kind: a process may not have any number of files.
inline constexpr std::uint32_t kMostOfProgram = 12'500;

/// Serves until its standard input ends; several may serve side by side.
[[nodiscard]] Outcome<void> serve_connections();
/// Connects, asks, reads the answer to its end and closes, again and again.
[[nodiscard]] Outcome<ConnectionReport> rate_of_connections(const ConnectionRun& run);
/// Opens `run.count` connections with keep-alives on, one request on each, and prints "open N".
/// For every line of standard input it asks once more on each and prints "answered N"; at its end
/// it closes them.
[[nodiscard]] Outcome<void> hold_connections(const ConnectionRun& run);

/// "done failed seconds", as the program prints it.
[[nodiscard]] std::string to_line(const ConnectionReport& report);
[[nodiscard]] Outcome<ConnectionReport> parse_connection_report(std::string_view line);

}  // namespace vtl::bench
