#include "vtl/transport/socket_address.h"

#include <arpa/inet.h>

#include <cstring>

namespace vtl::transport {

SystemAddress::SystemAddress(const wire::SocketAddress& from) noexcept {
  if (from.address.is_v6()) {
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(from.port.value());
    std::memcpy(&v6.sin6_addr, from.address.v6().octets().data(), 16);
    std::memcpy(&storage_, &v6, sizeof v6);
  } else {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(from.port.value());
    v4.sin_addr.s_addr = htonl(from.address.is_v4() ? from.address.v4().value() : 0);
    std::memcpy(&storage_, &v4, sizeof v4);
  }
}

wire::SocketAddress SystemAddress::value() const noexcept {
  if (storage_.ss_family == AF_INET6) {
    sockaddr_in6 v6;
    std::memcpy(&v6, &storage_, sizeof v6);
    std::array<std::uint8_t, 16> octets;
    std::memcpy(octets.data(), &v6.sin6_addr, octets.size());
    return {wire::Ipv6Address(octets), wire::Port(ntohs(v6.sin6_port))};
  }
  if (storage_.ss_family == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, &storage_, sizeof v4);
    return {wire::Ipv4Address(ntohl(v4.sin_addr.s_addr)), wire::Port(ntohs(v4.sin_port))};
  }
  return {};
}

socklen_t SystemAddress::size() const noexcept {
  return storage_.ss_family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
}

}  // namespace vtl::transport
