// EchoResponder: ICMP echo requests answered here, whoever they are for.
//
// A guest's ping then tells that the way to us is well, and nothing about the destination.
// Fragments and what a checksum shows to be broken have no answer; groups have none (RFC 1122
// section 3.2.2.6). Thread rule: free functions over their arguments.
#pragma once

#include "vtl/packet/packet.h"

namespace vtl::service {

/// The reply, in the name of the request's destination and within its VLAN; empty for anything but
/// an echo request of IPv4 or IPv6 that may be answered, and without a buffer.
[[nodiscard]] Packet echo_reply_for(const Packet& request);

}  // namespace vtl::service
