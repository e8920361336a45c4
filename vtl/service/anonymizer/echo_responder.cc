#include "vtl/service/anonymizer/echo_responder.h"

#include "vtl/packet/access.h"
#include "vtl/packet/checksum.h"
#include "vtl/packet/derive.h"

namespace vtl::service {
namespace {

bool is_unicast(const wire::IpAddress& address) noexcept {
  if (address.is_v4()) {
    const wire::Ipv4Address four = address.v4();
    return !four.is_unspecified() && !four.is_multicast() && !four.is_broadcast();
  }
  return !address.v6().is_unspecified() && !address.v6().is_multicast();
}

}  // namespace

Packet echo_reply_for(const Packet& request) {
  if (is_malformed(request) || is_fragment(request) || !is_echo_request(request)) return {};
  if (is_multicast(request) || source_mac(request).is_multicast()) return {};
  if (!is_unicast(source_address(request)) || !is_unicast(destination_address(request))) return {};
  if (!verify_checksums(request)) return {};
  return reply_to(request, payload(request));
}

}  // namespace vtl::service
