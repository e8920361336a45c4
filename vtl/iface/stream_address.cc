#include "vtl/iface/stream_address.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <cstring>

#include "vtl/wire/addresses.h"

namespace vtl::iface {
namespace {

constexpr std::string_view kUnix = "unix:";

StreamAddress from_socket_address(const wire::SocketAddress& from) {
  StreamAddress out;
  if (from.address.is_v4()) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(from.port.value());
    in.sin_addr.s_addr = htonl(from.address.v4().value());
    std::memcpy(&out.storage, &in, sizeof in);
    out.size = sizeof in;
  } else {
    sockaddr_in6 in{};
    in.sin6_family = AF_INET6;
    in.sin6_port = htons(from.port.value());
    std::memcpy(&in.sin6_addr, from.address.v6().octets().data(), wire::Ipv6Address::kSize);
    std::memcpy(&out.storage, &in, sizeof in);
    out.size = sizeof in;
  }
  return out;
}

}  // namespace

Outcome<StreamAddress> parse_stream_address(const std::string& text) {
  if (!text.starts_with(kUnix)) {
    const auto address = wire::SocketAddress::parse(text);
    if (address) return from_socket_address(*address);
    return fail(
        fmt::format("\"{}\" is no address; write unix:/path, 127.0.0.1:5555 or [::1]:5555", text));
  }
  StreamAddress out;
  out.path = text.substr(kUnix.size());
  sockaddr_un un{};
  un.sun_family = AF_UNIX;
  if (out.path.empty() || out.path.size() >= sizeof un.sun_path) {
    return fail(fmt::format("\"{}\": the path of a unix socket has 1 to {} characters", text,
                            sizeof un.sun_path - 1));
  }
  std::memcpy(un.sun_path, out.path.c_str(), out.path.size() + 1);
  std::memcpy(&out.storage, &un, sizeof un);
  out.size = sizeof un;
  return out;
}

}  // namespace vtl::iface
