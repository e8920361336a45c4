// Client: asks a running vtl over its control socket. Blocking; for command-line tools and tests.
//
// Thread rule: any thread, one call at a time per object.
#pragma once

#include <string>

#include "vtl/base/result.h"
#include "vtl/control/protocol.h"
#include "vtl/control/socket.h"

namespace vtl::control {

/// Sends `request` and answers with the result's JSON text.
[[nodiscard]] Outcome<std::string> ask(const std::string& socket_path, const Request& request);

/// Starts a dump; what is read from the descriptor from now on is pcapng.
[[nodiscard]] Outcome<Descriptor> open_dump(const std::string& socket_path,
                                            const DumpRequest& request);

}  // namespace vtl::control
