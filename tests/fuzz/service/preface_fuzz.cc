// What a peer says of the connection that it opens: refused, or exactly what emit() writes.
#include "vtl/service/gateway/preface.h"

#include <algorithm>

#include "../fuzz.h"

using namespace vtl;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes input(data, size);
  const auto preface = service::Preface::parse(input);
  if (!preface) return 0;
  FUZZ_CHECK(std::ranges::equal(fuzz::emitted(*preface), input));
  return 0;
}
