#include "vtl/iface/claim.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstddef>
#include <iterator>

namespace vtl::iface {

std::expected<OwnedFd, int> take_claim(const std::string& name) {
  sockaddr_un address{};
  assert(name.size() < sizeof address.sun_path);
  address.sun_family = AF_UNIX;
  // An abstract name begins with a zero.
  std::copy(name.begin(), name.end(), std::begin(address.sun_path) + 1);
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  OwnedFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd || ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0) {
    return std::unexpected(errno);
  }
  return fd;
}

}  // namespace vtl::iface
