// Failover: several proxies as one.
//
// A stream is opened at the first proxy that is up. When the fault is the proxy's (it is down, does
// not take the credentials, or does not speak SOCKS) and the stream is not open yet, the next one
// is tried: those that are up in their order, then the others in theirs, each once. What the last
// one said is what the handler hears. Look-ups likewise, at the proxies that make any.
//
// Thread rule: as proxy.h. It is destroyed before its parts. Status and counters are those of what
// its users met; the parts have their own.
#pragma once

#include <memory>
#include <vector>

#include "vtl/transport/proxy.h"

namespace vtl::transport {

/// `proxies`: at least one, in the order of preference.
[[nodiscard]] std::unique_ptr<Proxy> make_failover(std::vector<Proxy*> proxies);

}  // namespace vtl::transport
