// The record parser over any bytes in pieces of any size: what it reports lies within its bounds,
// and the pieces make no difference.
#include "vtl/transport/framing.h"

#include <algorithm>

#include "fuzz.h"

namespace {

using namespace vtl;             // NOLINT: a program, not a header
using namespace vtl::transport;  // NOLINT

struct Seen {
  std::vector<std::uint8_t> log;
  bool failed = false;
};

Seen parse(Bytes bytes, std::size_t piece) {
  RecordParser parser;
  Seen seen;
  while (!bytes.empty()) {
    if (const std::size_t n = std::min({parser.data_remaining(), piece, bytes.size()}); n > 0) {
      seen.log.insert(seen.log.end(), bytes.begin(),
                      bytes.begin() + static_cast<std::ptrdiff_t>(n));
      parser.data_taken(n);
      bytes = bytes.subspan(n);
      continue;
    }
    const MutableBytes gap = parser.gap();
    FUZZ_CHECK(!gap.empty() && gap.size() <= kMaxControl);
    const std::size_t n = std::min({gap.size(), piece, bytes.size()});
    std::copy_n(bytes.begin(), n, gap.begin());
    bytes = bytes.subspan(n);
    const auto record = parser.filled(n);
    FUZZ_CHECK(parser.data_remaining() <= kMaxData);
    if (!record) {
      seen.failed = true;
      return seen;
    }
    if (!*record) continue;
    FUZZ_CHECK((*record)->type != RecordType::kData && (*record)->body.size() <= kMaxControl);
    seen.log.push_back(static_cast<std::uint8_t>((*record)->type));
    seen.log.insert(seen.log.end(), (*record)->body.begin(), (*record)->body.end());
  }
  return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const Bytes bytes(data + 1, size - 1);
  const Seen whole = parse(bytes, size);
  const Seen pieces = parse(bytes, data[0] % 32 + 1U);
  FUZZ_CHECK(whole.log == pieces.log && whole.failed == pieces.failed);
  return 0;
}
