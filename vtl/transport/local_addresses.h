// LocalAddresses: which addresses are this host's own, as the kernel routes them at this moment.
//
// Each question is one to the kernel's routing table (rtnetlink, RTM_GETROUTE), so an address that
// was added a moment ago counts, and so do networks that are routed to the host itself (`ip route
// add local`). Without an answer an address is taken for the host's own: who asks wants to keep
// something away from it.
//
// Cost: a system call to ask and one to read, a few microseconds. Thread rule: one thread.
#pragma once

#include <cstdint>

#include "vtl/base/descriptor.h"
#include "vtl/wire/addresses.h"

namespace vtl::transport {

class LocalAddresses {
 public:
  /// Of the network namespace of the thread that makes it.
  LocalAddresses();

  /// Whether what is sent to `address` here stays on this host.
  [[nodiscard]] bool contains(const wire::IpAddress& address);

 private:
  Descriptor socket_;
  std::uint32_t sequence_ = 0;
};

}  // namespace vtl::transport
