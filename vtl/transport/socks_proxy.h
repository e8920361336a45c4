// A SOCKS 5 proxy (RFC 1928, RFC 1929), Tor's among them: transport::Proxy over kernel TCP.
//
// Each stream and each look-up is a connection of its own to the proxy. While the proxy is down it
// is tried again in the background, by one connection at a time that ends as soon as the proxy has
// taken the credentials; a stream that is opened meanwhile tries at once.
//
// Thread rule: as proxy.h. Invariants: no octet of a stream is held here, the kernel's buffers are
// the backpressure; one small object and one descriptor per stream.
#pragma once

#include <memory>

#include "vtl/base/reactor.h"
#include "vtl/base/result.h"
#include "vtl/transport/proxy.h"
#include "vtl/transport/socks_options.h"

namespace vtl::transport {

/// Fails when the options cannot be; not when the proxy cannot be reached.
[[nodiscard]] Outcome<std::unique_ptr<Proxy>> make_socks(const SocksOptions& options,
                                                         Reactor& reactor);

}  // namespace vtl::transport
