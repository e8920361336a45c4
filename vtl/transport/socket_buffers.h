// The kernel's buffers of a socket.
//
// Set to a size the kernel adjusts them no more. It doubles `octets` for its bookkeeping, and holds
// so much at most, and a segment. Before connect() or listen(), as the handshake tells the window's
// scale. Without CAP_NET_ADMIN no more than net.core.wmem_max and rmem_max.
#pragma once

#include <cstddef>

namespace vtl::transport {

void set_send_buffer(int fd, std::size_t octets);
void set_receive_buffer(int fd, std::size_t octets);

}  // namespace vtl::transport
