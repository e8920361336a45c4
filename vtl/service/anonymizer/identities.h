// Identities: what the proxy is told so that it keeps streams apart.
//
// An isolation value is a keyed hash of whom a stream is for (the guest, the destination, or both),
// so the proxy learns nothing but which streams are the same. The key is drawn anew by renew():
// then nothing that is opened later shares a way with what was opened before. Where nothing is to
// be kept apart the value is empty, and the proxy is told nothing: many take no user and password.
//
// Thread rule: one thread.
#pragma once

#include <array>
#include <string>

#include "vtl/base/siphash.h"
#include "vtl/service/anonymizer/options.h"
#include "vtl/transport/proxy.h"
#include "vtl/wire/addresses.h"

namespace vtl::service {

class Identities {
 public:
  explicit Identities(IsolateBy by) : by_(by) { renew(); }

  void renew();
  [[nodiscard]] bool any() const noexcept { return by_ != IsolateBy::kNothing; }
  /// Sixteen octets, the same for the same guest and destination until renew(); empty without
  /// any().
  [[nodiscard]] std::string of(const wire::IpAddress& guest, std::uint16_t vlan,
                               const transport::Host& destination) const;

 private:
  IsolateBy by_;
  std::array<SipKey, 2> keys_{};
};

}  // namespace vtl::service
