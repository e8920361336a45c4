// The transports that a configuration can name.
//
// Called on the reactor's thread, or before it runs. An error is one line that says what was wrong
// with the options, or what the system refused (a port in use, an address that is not ours).
#pragma once

#include <memory>

#include "vtl/base/reactor.h"
#include "vtl/base/result.h"
#include "vtl/transport/options.h"
#include "vtl/transport/transport.h"

namespace vtl::transport {

/// Streams over UDT4.
[[nodiscard]] Outcome<std::unique_ptr<Transport>> make_udt(const Options& options,
                                                           Reactor& reactor);
/// Streams over the kernel's TCP.
[[nodiscard]] Outcome<std::unique_ptr<Transport>> make_tcp(const Options& options,
                                                           Reactor& reactor);
/// What is wrong with the options, without making anything.
[[nodiscard]] Outcome<void> check(const Options& options);

}  // namespace vtl::transport
