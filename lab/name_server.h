// Which name server the programs of the sandbox ask.
#pragma once

#include <string>

#include "lab/host.h"

namespace vtl::lab {

/// Look-ups of all programs of the sandbox, in whatever host they run, go to `address` from now on.
/// `host` keeps the output of what does it.
[[nodiscard]] Outcome<void> look_up_at(Host& host, const std::string& address);

}  // namespace vtl::lab
