// Socket addresses between VTL's types and the system's. Values; any thread.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include "vtl/wire/addresses.h"

namespace vtl::transport {

/// A system socket address of either family, with its length.
class SystemAddress {
 public:
  SystemAddress() = default;
  explicit SystemAddress(const wire::SocketAddress& from) noexcept;
  [[nodiscard]] wire::SocketAddress value() const noexcept;
  [[nodiscard]] int family() const noexcept { return storage_.ss_family; }
  [[nodiscard]] sockaddr* data() noexcept { return reinterpret_cast<sockaddr*>(&storage_); }
  [[nodiscard]] const sockaddr* data() const noexcept {
    return reinterpret_cast<const sockaddr*>(&storage_);
  }
  [[nodiscard]] socklen_t size() const noexcept;
  static constexpr socklen_t kCapacity = sizeof(sockaddr_storage);

 private:
  sockaddr_storage storage_{};
};

}  // namespace vtl::transport
