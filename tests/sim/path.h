// A simulated path: seeded, on virtual time, for two endpoints that talk to each other.
//
// Each direction has delay, jitter (which reorders), a rate, a queue with a bound, loss,
// duplication, reordering, damage, congestion marks and a largest segment. It acts on wire
// segments: a super-frame is cut before it, and may be merged again behind it, as a device with
// receive offload would. Thread rule: one thread.
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
  bool ect = false;  ///< the sender can be told of congestion by a mark
  bool ce = false;   ///< and was
};

/// The TCP segment as octets with a right checksum, and back: nullopt where a host would drop it.
[[nodiscard]] std::string to_octets(const WireSegment& segment);
[[nodiscard]] std::optional<WireSegment> from_octets(const std::string& octets);

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
  double corrupt = 0;     ///< damaged in up to 16 bits that stand together
  double mark = 0;        ///< marked Congestion Experienced, of those that may be (RFC 3168)
  std::size_t largest = SIZE_MAX;  ///< payload and options; larger ones are dropped, and told
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
  [[nodiscard]] std::uint64_t corrupted() const noexcept { return corrupted_; }
  /// From now on the path takes segments of this size.
  void set_largest(std::size_t largest) noexcept { config_.largest = largest; }
  /// The first octet of a segment that was too large since the last call.
  [[nodiscard]] std::optional<wire::SeqNum> take_too_large() noexcept {
    return std::exchange(too_large_, std::nullopt);
  }

 private:
  static constexpr std::size_t kFrameOverhead = 66;  // Ethernet, IPv4, TCP with timestamps
  void send_one(WireSegment segment, Time now);
  [[nodiscard]] bool spoil(WireSegment& segment);
  void arrive(WireSegment segment, Time at);

  LinkConfig config_;
  Rng rng_;
  std::multimap<Time, WireSegment> under_way_;
  Time free_at_{};
  std::uint64_t dropped_ = 0;
  std::uint64_t corrupted_ = 0;
  std::optional<wire::SeqNum> too_large_;
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
    one.ect = out.ect;
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
