#include "vtl/transport/local_addresses.h"

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>

#include "vtl/base/log.h"

namespace vtl::transport {
namespace {

constexpr std::size_t kRequest = 128;
constexpr std::size_t kReply = 4096;

// The kernel has no way there, so nothing here can connect to it.
bool means_no_route(int error) {
  switch (error) {
    case ENETUNREACH:
    case EHOSTUNREACH:
    case EACCES:
    case EINVAL:
    case EOPNOTSUPP:  // without IPv6
    case EAFNOSUPPORT:
      return true;
    default:
      return false;
  }
}

// What the reply says; nothing: it is not the one to `sequence`.
std::optional<bool> is_local(const nlmsghdr& reply, std::uint32_t sequence) {
  if (reply.nlmsg_seq != sequence) return std::nullopt;
  if (reply.nlmsg_type == NLMSG_ERROR) {
    const auto& error = *static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(&reply));
    return !means_no_route(-error.error);
  }
  const auto& route = *static_cast<const rtmsg*>(mnl_nlmsg_get_payload(&reply));
  return route.rtm_type == RTN_LOCAL || route.rtm_type == RTN_ANYCAST ||
         route.rtm_type == RTN_BROADCAST;
}

}  // namespace

LocalAddresses::LocalAddresses()
    : socket_(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE)) {
  if (socket_.get() < 0) {
    log::error(
        "the kernel does not tell this host's own addresses: {}; every address counts as one",
        std::strerror(errno));
  }
}

bool LocalAddresses::contains(const wire::IpAddress& address) {
  alignas(nlmsghdr) std::array<char, kRequest> request{};
  nlmsghdr* const header = mnl_nlmsg_put_header(request.data());
  header->nlmsg_type = RTM_GETROUTE;
  header->nlmsg_flags = NLM_F_REQUEST;
  header->nlmsg_seq = ++sequence_;
  auto* const route = static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(header, sizeof(rtmsg)));
  std::array<std::uint8_t, wire::Ipv6Address::kSize> octets{};
  const std::size_t size = address.is_v4() ? wire::Ipv4Address::kSize : wire::Ipv6Address::kSize;
  if (address.is_v4()) {
    address.v4().store(octets, 0);
  } else {
    address.v6().store(octets, 0);
  }
  route->rtm_family = address.is_v4() ? AF_INET : AF_INET6;
  route->rtm_dst_len = static_cast<std::uint8_t>(8 * size);
  mnl_attr_put(header, RTA_DST, size, octets.data());
  if (::send(socket_.get(), header, header->nlmsg_len, 0) < 0) return true;
  // The answer lies there when send() returns; what stands before it is of a question that failed.
  alignas(nlmsghdr) std::array<char, kReply> reply{};
  for (;;) {
    const ssize_t n = ::recv(socket_.get(), reply.data(), reply.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return true;
    const auto* const message = reinterpret_cast<const nlmsghdr*>(reply.data());
    if (!mnl_nlmsg_ok(message, static_cast<int>(n)) ||
        mnl_nlmsg_get_payload_len(message) < sizeof(rtmsg)) {
      return true;
    }
    if (const auto local = is_local(*message, sequence_)) return *local;
  }
}

}  // namespace vtl::transport
