// The packet that an ICMP error quotes, as far as it tells which flow the error is about.
//
// RFC 792 promises the IP header and eight octets of what it carried; RFC 4443 as much as fits.
// Thread rule: values.
#pragma once

#include <cstddef>
#include <optional>

#include "vtl/wire/error.h"
#include "vtl/wire/flow_key.h"
#include "vtl/wire/seq.h"

namespace vtl::wire {

struct QuotedFlow {
  /// As its sender sent it: the error goes back to key.source. No VLAN. For an ICMP echo both ports
  /// are the identifier, for other protocols 0.
  FlowKey key;
  std::optional<SeqNum>
      seq;               ///< of a TCP segment: to judge whether the error is genuine (RFC 5927)
  std::size_t size = 0;  ///< octets of the whole packet, as its header says
};

/// `packet`: the body of an ICMPv4 or ICMPv6 error. Later fragments are kUnsupported: they name no
/// flow.
[[nodiscard]] Parsed<QuotedFlow> parse_quoted_flow(Bytes packet) noexcept;

}  // namespace vtl::wire
