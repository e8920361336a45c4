// WireError: why bytes are not the header that they were taken for.
#pragma once

#include <cstdint>
#include <string_view>

#include "vtl/base/result.h"

namespace vtl::wire {

enum class WireError : std::uint8_t {
  kTruncated,        ///< fewer bytes than the fixed header, or than a length field claims
  kBadVersion,       ///< the version field is another protocol's
  kBadHeaderLength,  ///< a header length below the minimum, or beyond the bytes
  kBadLength,        ///< a total length below the header's, or otherwise impossible
  kBadOption,        ///< an option whose length is 0, 1, beyond the end, or wrong for its kind
  kBadChecksum,
  kUnsupported,     ///< well-formed, but of a kind that VTL does not read
  kTooManyHeaders,  ///< more extension headers or tags than the bound
};

[[nodiscard]] std::string_view to_string(WireError error) noexcept;

template <class T>
using Parsed = Result<T, WireError>;

}  // namespace vtl::wire
