// Tor's control protocol over any octets, in pieces of any size: the pieces make no difference,
// what people are shown is printable and short, and a failure is final and has a reason.
#include <algorithm>

#include "fuzz.h"
#include "vtl/transport/tor_control_session.h"

namespace {

using namespace vtl;             // NOLINT: a program, not a header
using namespace vtl::transport;  // NOLINT

struct Seen {
  bool ok = true;
  std::string sent;
  std::string error;
  TorStatus status;
};

Seen run(const TorControlOptions& options, Bytes octets, std::size_t piece) {
  TorControlSession session(options, {}, [](const std::string& path) {
    FUZZ_CHECK(path.starts_with('/'));
    return Outcome<TorControlSession::Cookie>(TorControlSession::Cookie{});
  });
  Seen seen;
  for (std::size_t at = 0; at < octets.size() && seen.ok; at += piece)
    seen.ok = session.receive(octets.subspan(at, std::min(piece, octets.size() - at)));
  seen.sent = session.take_output();
  seen.error = session.error();
  seen.status = session.status();
  FUZZ_CHECK(seen.ok == seen.error.empty());
  if (!seen.ok) FUZZ_CHECK(!session.receive(octets));
  return seen;
}

void check_text(const std::string& text) {
  FUZZ_CHECK(text.size() <= 1000);
  FUZZ_CHECK(std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; }));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  TorControlOptions options;
  if ((data[0] & 1) != 0) options.cookie_file = "/cookie";
  if ((data[0] & 2) != 0) options.password = "password";
  const Bytes octets(data + 2, size - 2);
  const Seen whole = run(options, octets, std::max<std::size_t>(octets.size(), 1));
  const Seen pieces = run(options, octets, 1 + data[1] % 64U);
  FUZZ_CHECK(whole.ok == pieces.ok);
  FUZZ_CHECK(whole.sent == pieces.sent);
  FUZZ_CHECK(whole.error == pieces.error);
  FUZZ_CHECK(whole.status.reachable == pieces.status.reachable);
  FUZZ_CHECK(whole.status.version == pieces.status.version);
  FUZZ_CHECK(whole.status.bootstrap == pieces.status.bootstrap);
  FUZZ_CHECK(whole.status.bootstrap_summary == pieces.status.bootstrap_summary);
  FUZZ_CHECK(whole.status.circuits_built == pieces.status.circuits_built);
  FUZZ_CHECK(whole.status.circuits_building == pieces.status.circuits_building);
  FUZZ_CHECK(whole.status.bootstrap <= 100);
  check_text(whole.error);
  check_text(whole.status.version);
  check_text(whole.status.bootstrap_summary);
  for (const bool quoted : {false, true}) {
    std::string text(octets.begin(), octets.end());
    if (quoted) text = "k=\"" + text;
    std::string_view rest = text;
    std::size_t before = rest.size() + 1;
    while (next_word(rest)) {
      FUZZ_CHECK(rest.size() < before);
      before = rest.size();
    }
  }
  return 0;
}
