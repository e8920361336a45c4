// Claims: of all processes of a network namespace one alone does a thing.
//
// A claim is a name in the namespace (unix(7), abstract addresses), held by a descriptor: the
// kernel lets it go with the process, however that ends. Any process of the namespace may take a
// name: a claim keeps VTLs from each other's way, it proves nothing about who has it. Thread rule:
// any thread.
#pragma once

#include <expected>
#include <string>

#include "vtl/iface/device.h"

namespace vtl::iface {

/// `name`: of at most 100 characters. The error is errno: EADDRINUSE when another has the claim.
[[nodiscard]] std::expected<OwnedFd, int> take_claim(const std::string& name);

}  // namespace vtl::iface
