// InitialNumbers: where the sequence numbers and timestamps of a played connection begin.
//
// RFC 6528: the initial sequence number is a clock of 4 microseconds plus a keyed hash of the
// connection's addresses and ports, so a stranger cannot guess it, and each new connection of the
// same ports begins beyond the last. RFC 7323 section 5.4: the timestamps of all connections from
// one address to another run on one clock, which begins at a keyed hash of the two. Together a
// server that still holds the last connection in TIME-WAIT takes the next one at once (RFC 6191).
//
// Thread rule: values, the same for all threads. The key is drawn once in the life of the process,
// so that all workers agree.
#pragma once

#include <cstdint>

#include "vtl/base/siphash.h"
#include "vtl/base/time.h"
#include "vtl/wire/flow_key.h"
#include "vtl/wire/seq.h"

namespace vtl::service {

class InitialNumbers {
 public:
  explicit InitialNumbers(const SipKey& key) : key_(key) {}
  /// With the key of this process.
  static const InitialNumbers& of_process();

  /// For the end that sends with `key`.
  [[nodiscard]] wire::SeqNum sequence(const wire::FlowKey& key, Time now) const noexcept;
  /// Added to the clock in milliseconds (endpoint::Endpoint::Identity).
  [[nodiscard]] std::uint32_t timestamp_offset(const wire::FlowKey& key) const noexcept;

 private:
  SipKey key_;
};

}  // namespace vtl::service
