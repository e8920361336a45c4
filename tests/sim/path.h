// A simulated path: seeded, on virtual time, for two endpoints that talk to each other.
//
// Each direction has delay, jitter (which reorders), a rate, a queue with a bound, loss,
// duplication and reordering. It acts on wire segments: a super-frame is cut before it, and may be
// merged again behind it, as a device with receive offload would. Thread rule: one thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "vtl/base/rng.h"
#include "vtl/base/time.h"
#include "vtl/endpoint/endpoint.h"

namespace vtl::endpoint::sim {

struct WireSegment {
  wire::TcpFields header;
  std::string data;
  std::uint16_t segments = 1;
};

struct LinkConfig {
  Duration delay = 10ms;
  Duration jitter{};         ///< uniform, added to the delay
  std::uint64_t rate = 0;    ///< bit/s; 0: infinite
  std::size_t queue = 1000;  ///< segments that wait for the rate; more are dropped
  double loss = 0;
  double duplicate = 0;
  double reorder = 0;     ///< held back by `reorder_by`
  Duration reorder_by{};  ///< zero: twice the delay
  bool merge = false;     ///< consecutive segments that arrive together become one super-frame
};

class Link {
 public:
  Link(const LinkConfig& config, std::uint64_t seed) : config_(config), rng_(seed) {}

  /// Cuts `out` into wire segments and sends them on their way.
  void push(const OutSegment& out, Time now);
  /// When the next segment arrives; kNever when none is under way.
  [[nodiscard]] Time next() const noexcept;
  [[nodiscard]] std::optional<WireSegment> pop(Time now);
  [[nodiscard]] std::uint64_t dropped() const noexcept { return dropped_; }

 private:
  static constexpr std::size_t kFrameOverhead = 66;  // Ethernet, IPv4, TCP with timestamps
  void send_one(WireSegment segment, Time now);
  void arrive(WireSegment segment, Time at);

  LinkConfig config_;
  Rng rng_;
  std::multimap<Time, WireSegment> under_way_;
  Time free_at_{};
  std::uint64_t dropped_ = 0;
};

/// Cuts a segment as an interface's segmentation offload would.
template <class Sink>
void cut(const OutSegment& out, Sink sink) {
  std::string all;
  for (const Bytes piece : out.payload) {
    all.append(reinterpret_cast<const char*>(piece.data()), piece.size());
  }
  std::size_t at = 0;
  do {
    const std::size_t n = std::min<std::size_t>(all.size() - at, out.segment_size);
    WireSegment one{out.header, all.substr(at, n)};
    one.header.seq += static_cast<std::uint32_t>(at);
    at += n;
    if (at < all.size()) {
      one.header.flags.bits &= static_cast<std::uint8_t>(
          ~(wire::TcpFlags::kFin | wire::TcpFlags::kPsh | wire::TcpFlags::kRst));
    }
    sink(std::move(one));
  } while (at < all.size());
}

}  // namespace vtl::endpoint::sim
