// ICMP errors about TCP connections that VTL plays: which connection one tells of and what it means
// for TCP, and the unreachables that a client is told when its server cannot be reached.
//
// Thread rule: free functions over their arguments.
#pragma once

#include <cstdint>
#include <optional>

#include "vtl/engine/service.h"
#include "vtl/packet/derive.h"
#include "vtl/packet/packet.h"
#include "vtl/wire/flow_key.h"
#include "vtl/wire/seq.h"

namespace vtl::service {

/// RFC 5461 section 2, RFC 1191, RFC 8201.
struct TcpIcmpError {
  wire::FlowKey key;  ///< of the quoted segment, as it was sent; with the error's own VLAN
  wire::SeqNum seq;   ///< the quoted one: the error is genuine only if it is in flight
  bool hard = false;  ///< protocol or port unreachable, administratively prohibited
  /// As what an unreachable may be told on to whoever opened the connection.
  std::optional<IcmpError> unreachable;
  /// The path's MTU asks for segments with at most so much payload and options (an MSS): for
  /// Endpoint::packet_too_big().
  std::optional<std::uint16_t> mss;
};

/// What `packet`, whose layout says ICMP, tells of a TCP connection; nothing where it is no error,
/// malformed, a fragment, about something else, or tells of an MTU that cannot be. The ICMP
/// checksum is not verified.
[[nodiscard]] std::optional<TcpIcmpError> read_tcp_icmp_error(const Packet& packet);

/// Answers `syn`, a frame kept from whoever is reached `toward` there, with the ICMP error `kind`.
/// Nothing is sent where the frame could not be kept, about a frame that no error may answer
/// (icmp_error_for()), and without a packet buffer: an ICMP error is never owed (RFC 1122 section
/// 3.2.2).
void send_unreachable(engine::ServiceContext& context, engine::Direction toward, const Packet& syn,
                      IcmpError kind);

}  // namespace vtl::service
