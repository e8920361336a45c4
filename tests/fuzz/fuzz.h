// What every fuzz target includes: the entry point's declaration and a check that always counts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "vtl/base/bytes.h"

/// libFuzzer's entry point. Returns 0; finds a fault by not returning.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

/// Like assert(), in every build.
#define FUZZ_CHECK(condition)                                                            \
  do {                                                                                   \
    if (!(condition)) {                                                                  \
      std::fprintf(stderr, "%s:%d: check failed: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                      \
    }                                                                                    \
  } while (false)

namespace vtl::fuzz {

/// What `fields` emit, into a buffer that held other bytes before.
template <class Fields>
std::vector<std::uint8_t> emitted(const Fields& fields) {
  std::vector<std::uint8_t> out(fields.size(), 0xaa);
  fields.emit(out);
  return out;
}

/// Reads every octet, so that a sanitizer sees a span that reaches too far.
inline void touch(Bytes bytes) {
  std::uint32_t sum = 0;
  for (const std::uint8_t b : bytes) sum += b;
  asm volatile("" : : "r"(sum));  // so that the reads are not optimised away
}

}  // namespace vtl::fuzz
