// Frames that answer a guest's question: in the VLAN that it came from.
// Thread rule: free functions over their arguments.
#pragma once

#include "vtl/packet/packet.h"
#include "vtl/wire/addresses.h"

namespace vtl::service {

/// An Ethernet header like `question`'s, tags included, with these addresses, and `size` octets of
/// zeros behind it, where question.layout().network_offset says. Empty when the pool is at its
/// bound. `question` has a network layer.
[[nodiscard]] Packet answer_frame(const Packet& question, const wire::MacAddress& source,
                                  const wire::MacAddress& destination, std::size_t size);

}  // namespace vtl::service
