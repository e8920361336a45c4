// iperf3, the unmodified program that every experiment runs: its arguments and what it reports.
//
// Throughput is what the receiving program got, over the time it received: octets that a sender's
// or a gateway's buffer still holds at the end do not count.
//
// Thread rule: values.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "vtl/base/result.h"

namespace vtl::bench {

struct IperfRun {
  std::string server;  ///< address
  int port = 5201;
  int streams = 1;
  bool reverse = false;      ///< the server sends
  int seconds = 5;           ///< 1 to 3600
  std::string congestion{};  ///< of the sender; empty: the namespace's own
};
/// The client's command line.
[[nodiscard]] std::vector<std::string> client_command(const IperfRun& run);
/// The server's, for one client.
[[nodiscard]] std::vector<std::string> server_command(int port);

struct IperfReport {
  double bits_per_second = 0;  ///< at the receiver
  double octets = 0;           ///< at the receiver
  double seconds = 0;          ///< of the receiver
  double retransmits = 0;      ///< of the sender; 0 when it cannot tell
};
/// Reads what `iperf3 --json` printed; an error carries the program's own message.
[[nodiscard]] Outcome<IperfReport> parse_iperf(std::string_view json);

}  // namespace vtl::bench
