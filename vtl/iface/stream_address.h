// StreamAddress: where a stream socket listens or connects, unix or TCP, from text.
#pragma once

#include <sys/socket.h>

#include <string>

#include "vtl/base/result.h"

namespace vtl::iface {

struct StreamAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  std::string path;  ///< of a unix socket; empty for TCP
  [[nodiscard]] const sockaddr* get() const noexcept {
    return reinterpret_cast<const sockaddr*>(&storage);  // as the sockets interface wants it
  }
  [[nodiscard]] int family() const noexcept { return storage.ss_family; }
};

/// "unix:PATH", "IPV4:PORT" or "[IPV6]:PORT".
[[nodiscard]] Outcome<StreamAddress> parse_stream_address(const std::string& text);

}  // namespace vtl::iface
