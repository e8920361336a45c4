// Sets an option of a UDT socket. Thread rule: any thread.
#pragma once

#include <udt/udt.h>

namespace vtl::transport {

/// False when libudt refuses it; its error says why.
template <class T>
bool set_udt_option(UDTSOCKET u, UDT::SOCKOPT name, const T& value) {
  return UDT::setsockopt(u, 0, name, &value, sizeof value) != UDT::ERROR;
}

}  // namespace vtl::transport
