// The client's part of SOCKS 5 over any answers, in pieces of any size: the pieces make no
// difference, and nothing behind the last answer is taken.
#include "vtl/transport/socks_handshake.h"

#include <algorithm>

#include "fuzz.h"

namespace {

using namespace vtl;             // NOLINT: a program, not a header
using namespace vtl::transport;  // NOLINT

struct Seen {
  SocksHandshake handshake;
  std::size_t taken = 0;
};

Seen run(const SocksRequest& request, bool pipelined, Bytes answers, std::size_t piece) {
  Seen seen{SocksHandshake(request, pipelined)};
  while (seen.taken < answers.size()) {
    seen.handshake.sent(seen.handshake.to_send().size());
    const Bytes next = answers.subspan(seen.taken, std::min(piece, answers.size() - seen.taken));
    const std::size_t n = seen.handshake.receive(next);
    FUZZ_CHECK(n <= next.size());
    seen.taken += n;
    if (n < next.size() || seen.handshake.state() != SocksHandshake::State::kUnderWay) break;
  }
  return seen;
}

// Who reads no more than is missing reads nothing of the stream.
Seen run_by_need(const SocksRequest& request, bool pipelined, Bytes answers) {
  Seen seen{SocksHandshake(request, pipelined)};
  while (seen.handshake.state() == SocksHandshake::State::kUnderWay) {
    seen.handshake.sent(seen.handshake.to_send().size());
    const std::size_t need = seen.handshake.missing();
    FUZZ_CHECK(need > 0);
    const Bytes next = answers.subspan(seen.taken, std::min(need, answers.size() - seen.taken));
    if (next.empty()) break;
    const std::size_t n = seen.handshake.receive(next);
    FUZZ_CHECK(n == next.size() || seen.handshake.state() == SocksHandshake::State::kFailed);
    seen.taken += n;
  }
  return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  SocksRequest request;
  request.host = std::string("host");
  if ((data[0] & 1) != 0) request.credentials = {"user", "password"};
  const bool pipelined = (data[0] & 2) != 0;
  const Bytes answers(data + 2, size - 2);
  const Seen whole = run(request, pipelined, answers, answers.size());
  const Seen pieces = run(request, pipelined, answers, 1 + data[1] % 16);
  const Seen by_need = run_by_need(request, pipelined, answers);
  FUZZ_CHECK(by_need.taken == whole.taken);
  FUZZ_CHECK(by_need.handshake.state() == whole.handshake.state());
  FUZZ_CHECK(by_need.handshake.host() == whole.handshake.host());
  FUZZ_CHECK(whole.taken == pieces.taken);
  FUZZ_CHECK(whole.handshake.state() == pieces.handshake.state());
  FUZZ_CHECK(whole.handshake.host() == pieces.handshake.host());
  FUZZ_CHECK(whole.handshake.failure() == pieces.handshake.failure());
  FUZZ_CHECK(!to_string(whole.handshake.failure()).empty());
  return 0;
}
