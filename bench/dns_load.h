// DNS load: a client that keeps several queries under way, and counts what was answered.
//
// Every query asks for the A record of one of a number of names, turn by turn, over UDP. An answer
// counts when it is one to a query under way, says no error and has a record; a query without an
// answer for a second is lost, and another takes its place.
//
// Thread rule: measure_dns() blocks its thread until the end, which is bounded.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vtl/base/result.h"
#include "vtl/base/time.h"

namespace vtl::bench {

struct DnsRun {
  std::string server;  ///< address
  std::uint16_t port = 53;
  Duration span = 3s;            ///< for how long queries are sent
  std::uint32_t names = 1000;    ///< different ones
  std::uint16_t in_flight = 64;  ///< under way at once, at most 256
};

/// What measure_dns() found.
struct DnsReport {
  std::uint64_t answered = 0;
  std::uint64_t refused = 0;  ///< answers that tell an error or hold no record
  std::uint64_t lost = 0;
  double seconds = 0;  ///< from the first query to the last answer
};

[[nodiscard]] Outcome<DnsReport> measure_dns(const DnsRun& run);

/// A query with the identifier `id` for the A record of name number `name` (RFC 1035 section 4.1).
[[nodiscard]] std::vector<std::uint8_t> make_query(std::uint16_t id, std::uint32_t name);

enum class Answer : std::uint8_t {
  kNone,    ///< no answer of any name server
  kRecord,  ///< no error, and a record
  kRefusal,
};
/// What `message` is; an answer's identifier goes to `id`.
[[nodiscard]] Answer read_answer(std::span<const std::uint8_t> message, std::uint16_t& id);

/// "answered refused lost seconds", as the program prints it.
[[nodiscard]] std::string to_line(const DnsReport& report);
[[nodiscard]] Outcome<DnsReport> parse_dns_report(std::string_view line);

}  // namespace vtl::bench
