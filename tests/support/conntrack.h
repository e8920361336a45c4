// Conntrack: what the kernel of a lab host tracks, asked about one connection.
// Thread rule: one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "lab/host.h"
#include "vtl/wire/flow_key.h"

struct nfct_handle;

namespace vtl::test {

class Conntrack {
 public:
  /// Of `host`, whose rules must use connection tracking for the kernel to track at all.
  explicit Conntrack(const lab::Host& host);
  Conntrack(const Conntrack&) = delete;
  Conntrack& operator=(const Conntrack&) = delete;
  ~Conntrack();

  /// The state of the connection whose first packet had this key, in conntrack's word:
  /// "SYN_SENT", "ESTABLISHED"; "gone" when there is no entry.
  [[nodiscard]] std::string tcp_state(const wire::FlowKey& key) const;

 private:
  nfct_handle* handle_;
};

}  // namespace vtl::test
