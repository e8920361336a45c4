#include "vtl/wire/error.h"

namespace vtl::wire {

std::string_view to_string(WireError error) noexcept {
  switch (error) {
    case WireError::kTruncated:
      return "cut short";
    case WireError::kBadVersion:
      return "wrong version";
    case WireError::kBadHeaderLength:
      return "impossible header length";
    case WireError::kBadLength:
      return "impossible length";
    case WireError::kBadOption:
      return "malformed option";
    case WireError::kBadChecksum:
      return "wrong checksum";
    case WireError::kUnsupported:
      return "not supported";
    case WireError::kTooManyHeaders:
      return "too many headers";
  }
  return "unknown error";
}

}  // namespace vtl::wire
