// The gateway's dealings with ICMP: errors from the guest side about connections that it plays.

#include "vtl/packet/checksum.h"
#include "vtl/service/gateway/gateway.h"
#include "vtl/service/icmp_error.h"

namespace vtl::service {

void Gateway::take_icmp(Packet& packet) {
  const auto error = read_tcp_icmp_error(packet);
  if (!error) return;
  // The quoted segment was sent toward the guest: the table knows its other direction.
  Relay* const relay = table_->find(error->key.reversed());
  if (relay == nullptr || !relay->in_flight(error->seq)) return;
  if (!verify_checksums(packet)) {
    context_->drop(std::move(packet), DropReason::kBadChecksum);
    return;
  }
  relay->icmp_error(*error, context_->reactor().now());
  table_->schedule(*relay);
  packet.reset();
}

}  // namespace vtl::service
