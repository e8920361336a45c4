// Bytes for tests of the wire room: hex text, and headers put in front of each other.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "vtl/base/bytes.h"

namespace vtl::wire::test {

using Octets = std::vector<std::uint8_t>;

/// The octets of "45 00 0014"; spaces are passed over.
inline Octets hex(std::string_view text) {
  const auto digit = [](char c) {
    return static_cast<std::uint8_t>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
  };
  Octets out;
  for (std::size_t i = 0; i < text.size();) {
    if (text[i] == ' ') {
      ++i;
      continue;
    }
    out.push_back(static_cast<std::uint8_t>(digit(text[i]) << 4 | digit(text[i + 1])));
    i += 2;
  }
  return out;
}

/// What emit() writes, into a buffer that held `poison` before.
template <class Fields>
Octets emitted(const Fields& fields, std::uint8_t poison = 0) {
  Octets out(fields.size(), poison);
  fields.emit(out);
  return out;
}

inline Octets join(Octets a, const Octets& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

}  // namespace vtl::wire::test
