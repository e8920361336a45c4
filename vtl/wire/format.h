// Addresses, ports and flows in fmt's own format strings: fmt::format("{}", address).
//
// Text is to_string()'s; the usual string specifications (width, alignment) apply.
#pragma once

#include <fmt/format.h>

#include "vtl/wire/addresses.h"
#include "vtl/wire/flow_key.h"

namespace vtl::wire::internal {

template <class T>
struct ToStringFormatter : fmt::formatter<std::string> {
  template <class Context>
  auto format(const T& value, Context& context) const {
    return fmt::formatter<std::string>::format(to_string(value), context);
  }
};

}  // namespace vtl::wire::internal

template <>
struct fmt::formatter<vtl::wire::MacAddress>
    : vtl::wire::internal::ToStringFormatter<vtl::wire::MacAddress> {};
template <>
struct fmt::formatter<vtl::wire::Ipv4Address>
    : vtl::wire::internal::ToStringFormatter<vtl::wire::Ipv4Address> {};
template <>
struct fmt::formatter<vtl::wire::Ipv6Address>
    : vtl::wire::internal::ToStringFormatter<vtl::wire::Ipv6Address> {};
template <>
struct fmt::formatter<vtl::wire::IpAddress>
    : vtl::wire::internal::ToStringFormatter<vtl::wire::IpAddress> {};
template <>
struct fmt::formatter<vtl::wire::SocketAddress>
    : vtl::wire::internal::ToStringFormatter<vtl::wire::SocketAddress> {};
template <>
struct fmt::formatter<vtl::wire::FlowKey>
    : vtl::wire::internal::ToStringFormatter<vtl::wire::FlowKey> {};
