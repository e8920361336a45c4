// A dump of any octets: counted the same in pieces of any size as at once.
#include "vtl/control/dump_tally.h"

#include <algorithm>

#include "fuzz.h"

using namespace vtl;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const Bytes stream(data + 1, size - 1);
  const std::size_t piece = data[0] % 40 + 1U;
  control::DumpTally whole;
  whole.take(stream);
  control::DumpTally pieces;
  for (std::size_t at = 0; at < stream.size(); at += piece) {
    pieces.take(stream.subspan(at, std::min(piece, stream.size() - at)));
  }
  FUZZ_CHECK(whole.frames() == pieces.frames() && whole.dropped() == pieces.dropped());
  FUZZ_CHECK(whole.frames() <= size / 12);
  return 0;
}
