// Trace: a decorator that tells every frame that passes an interface, one line each.
//
// "eth0 in 1500 02:..:01 > 02:..:02 IPv4 192.0.2.1 > 198.51.100.2 tcp 4000 > 80 [SYN] ...". Frames
// sent are told before the interface sees them; when it takes them later they are not told again.
// Allocates for every frame: for looking into things, not for full speed.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "vtl/iface/interface.h"

namespace vtl::iface {

using TraceSink = std::function<void(std::string_view line)>;

[[nodiscard]] std::unique_ptr<Interface> make_trace(std::unique_ptr<Interface> inner,
                                                    TraceSink sink);

}  // namespace vtl::iface
