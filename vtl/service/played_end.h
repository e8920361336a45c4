// What the services that play TCP ends have in common: how such ends are made, and how long a reset
// waits for what came before it.
//
// Thread rule: one thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "vtl/endpoint/endpoint.h"
#include "vtl/engine/service.h"
#include "vtl/packet/packet.h"
#include "vtl/wire/flow_key.h"

namespace vtl::service {

struct PlayedEndOptions {
  std::size_t buffer = std::size_t{1} << 20;  ///< octets, in each direction
  Duration keep_alive = 2h;                   ///< zero: off
  Duration time_wait = 10s;
};

/// Makes the ends that a service plays. `key` is always of the frames that the end sends, `toward`
/// where they leave. Ends of one kind share their configuration.
class PlayedEnds {
 public:
  /// How often a client is sent the SYN,ACK again: 15 s in all. The far side is established by then
  /// and waits, so less patience than Config::syn_retries is due; a SYN that comes again is
  /// answered besides.
  static constexpr std::uint8_t kSynAckRetries = 3;

  /// `context` and `pool`, where the ends' buffers come from, live longer than the ends.
  PlayedEnds(engine::ServiceContext& context, ChunkPool& pool, const PlayedEndOptions& options)
      : context_(context), pool_(pool), options_(options) {}

  /// The server's end, made from the client's SYN, whose answer it holds.
  [[nodiscard]] endpoint::Endpoint accept_syn(engine::Direction toward, const wire::FlowKey& key,
                                              const endpoint::Segment& syn, Time now);
  /// The client's end. It offers what the client's own SYN `offered`: where the client knows no
  /// option, the server's frames have none.
  [[nodiscard]] endpoint::Endpoint connect(engine::Direction toward, const wire::FlowKey& key,
                                           const wire::TcpOptions& offered, Time now);

 private:
  [[nodiscard]] endpoint::Config config(engine::Direction toward, const wire::FlowKey& key) const;

  engine::ServiceContext& context_;
  ChunkPool& pool_;
  PlayedEndOptions options_;
  endpoint::ConfigCache configs_;
};

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
