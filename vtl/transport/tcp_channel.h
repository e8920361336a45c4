// TCP channels: kernel sockets on the reactor, with the congestion control and the buffers that the
// path needs. With streams on them this is split TCP.
//
// Thread rule: the reactor's thread. Limits: the kernel caps buffers at net.core.{r,w}mem_max
// unless the process has CAP_NET_ADMIN.
#pragma once

#include <memory>

#include "vtl/base/reactor.h"
#include "vtl/base/result.h"
#include "vtl/transport/channel.h"
#include "vtl/transport/options.h"

namespace vtl::transport {

[[nodiscard]] Outcome<std::unique_ptr<Carrier>> make_tcp_carrier(const Options& options,
                                                                 Reactor& reactor);
[[nodiscard]] Outcome<std::unique_ptr<RawListener>> make_tcp_listener(const Options& options,
                                                                      Reactor& reactor,
                                                                      AcceptFunction on_accept);
void discard_tcp(int pipe);

}  // namespace vtl::transport
