// What the services that play TCP ends have in common: how such an end is configured, and how long
// a reset waits for what came before it.
//
// Thread rule: values and free functions.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "vtl/endpoint/endpoint.h"
#include "vtl/packet/packet.h"
#include "vtl/wire/flow_key.h"

namespace vtl::service {

struct PlayedEnd {
  std::size_t mtu = 1500;  ///< toward the real end
  std::size_t buffer = 0;  ///< octets, in each direction
  Duration keep_alive{};   ///< zero: off
  Duration time_wait{};
  ChunkPool* pool = nullptr;
};

/// For the end that sends with `key`.
/// Few differ: an endpoint::ConfigCache lets the endpoints share them.
[[nodiscard]] endpoint::Config played_config(const PlayedEnd& end, const wire::FlowKey& key);
[[nodiscard]] endpoint::Endpoint::Identity played_identity(const wire::FlowKey& key);

/// How often an opener is sent the SYN,ACK again: 15 s in all. Its far side is established by then
/// and waits, so less patience than Config::syn_retries is due; a SYN that comes again is answered
/// besides.
inline constexpr std::uint8_t kSynAckRetries = 3;

/// The DSCP (RFC 2474 section 3) of an IP packet.
[[nodiscard]] std::uint8_t dscp_of(const Packet& packet);

/// A reset waits for the octets that came before it, while the side that takes them takes some:
/// kPace of them, or all, in kPatience. A reader that stands still for longer, or takes drops, is
/// as good as gone.
class ResetPatience {
 public:
  static constexpr std::size_t kPace = 4096;
  static constexpr Duration kPatience = 60s;

  /// True: go on waiting for the `left` octets.
  [[nodiscard]] bool waits(std::size_t left, Time now) noexcept {
    if (left == 0) return false;
    if (left + kPace <= left_ || until_ == kNever) {
      left_ = left;
      until_ = now + kPatience;
    }
    return now < until_;
  }
  /// When it must be asked again; kNever while it was not asked.
  [[nodiscard]] Time until() const noexcept { return until_; }

 private:
  std::size_t left_ = 0;  // when they last moved
  Time until_ = kNever;
};

}  // namespace vtl::service
