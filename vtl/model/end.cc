#include "vtl/model/end.h"

namespace vtl::model {

std::string_view to_string(CreateError error) noexcept {
  switch (error) {
    case CreateError::kNoRoom:
      return "the buffer is too small for the frame";
    case CreateError::kPayloadTooLarge:
      return "the payload is larger than one packet carries";
    case CreateError::kWindowFull:
      return "the payload lies beyond the other end's window";
    case CreateError::kNotSynchronised:
      return "the sequence numbers are not known yet";
    case CreateError::kClosed:
      return "this end has closed, or the connection was reset";
  }
  return "unknown error";
}

}  // namespace vtl::model
