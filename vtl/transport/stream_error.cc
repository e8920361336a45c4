#include "vtl/transport/transport.h"

namespace vtl::transport {

std::string_view to_string(StreamError error) noexcept {
  switch (error) {
    case StreamError::kRefused:
      return "refused";
    case StreamError::kHostUnreachable:
      return "host-unreachable";
    case StreamError::kNetworkUnreachable:
      return "network-unreachable";
    case StreamError::kTimedOut:
      return "timed-out";
    case StreamError::kReset:
      return "reset";
    case StreamError::kPeerDown:
      return "peer-down";
    case StreamError::kNotAuthenticated:
      return "not-authenticated";
    case StreamError::kLimit:
      return "limit";
    case StreamError::kProtocol:
      return "protocol-error";
  }
  return "?";
}

}  // namespace vtl::transport
