#include "vtl/transport/socket_buffers.h"

#include <sys/socket.h>

#include <algorithm>

namespace vtl::transport {
namespace {

void set(int fd, int force, int plain, std::size_t octets) {
  const int value = static_cast<int>(std::min<std::size_t>(octets, 0x3fffffff));
  if (::setsockopt(fd, SOL_SOCKET, force, &value, sizeof value) != 0)
    ::setsockopt(fd, SOL_SOCKET, plain, &value, sizeof value);
}

}  // namespace

void set_send_buffer(int fd, std::size_t octets) {
  set(fd, SO_SNDBUFFORCE, SO_SNDBUF, octets);
}
void set_receive_buffer(int fd, std::size_t octets) {
  set(fd, SO_RCVBUFFORCE, SO_RCVBUF, octets);
}

}  // namespace vtl::transport
