// Impair: an emulated wide-area line between guest and network.
//
// What: delays, limits and damages frames as a long or bad line would, each direction on its own.
//   It acts on wire packets: a super-frame is cut into its segments and a partial checksum is
//   finished first. Both directions repeat exactly with the same seed, frames and times.
//   The effects, in this order: loss, burst loss, duplication, the bottleneck with its queue,
//   corruption, delay with jitter, reordering (impair_core.h says how each works).
// Configuration, under `outbound` and `inbound` each; what stands outside is for both:
//   delay       one way, "30ms"                                            default 0
//   jitter      the delay wanders within delay +- jitter, without reordering   default 0
//   rate        of the line, "1Gbit"; the octets of a frame count from the Ethernet header to its
//               end: no preamble, FCS or gap unless `overhead` adds them    default unlimited
//   overhead    octets added to each frame on the line (24 for Ethernet)   default 0
//   queue       limit of the bottleneck's queue, "2MB" or "50ms" at the rate   default 100ms
//   loss        probability of loss per frame                              default 0
//   burst       { to_bad, to_good, loss_bad, loss_good }, Gilbert-Elliott  default off
//   reorder     probability that a frame is held back by `reorder_by`      default 0, 2ms
//   duplicate   probability that a frame comes twice                       default 0
//   corrupt     probability that one bit behind the MAC addresses flips    default 0
//   and for the service: seed (default: from the engine's seed), release_interval (100us: frames
//   that depart within it leave together; it is added to no delay but the last frame's of a burst).
// Counters: drops impair-loss, impair-queue-full, memory-bound, and those of segmentation; metrics
//   per direction: frames, lost, burst_lost, queue_full, bound, duplicated, reordered, corrupted,
//   released, held.
// Limits: per direction max_frames (131072) and max_bytes (384 MiB) of held buffers; beyond them a
//   frame is dropped (memory-bound). A frame holds a buffer of 2, 9 or 64 KiB. One instance is one
//   line: run the link on one worker (`many_workers` off), or every worker has a line of its own at
//   the full rate. What is held at stop is let go.
// Example:
//   services: [ impair: { rate: 1Gbit, delay: 30ms, queue: 60ms, outbound: { loss: 0.001 } } ]
#pragma once

#include <array>
#include <memory>
#include <optional>

#include "vtl/engine/service.h"
#include "vtl/service/impair/impair_core.h"

namespace vtl::service {

struct ImpairConfig {
  ImpairSettings outbound = {};
  ImpairSettings inbound = {};
  std::optional<std::uint64_t> seed = std::nullopt;
  Duration release_interval = 100us;
};

[[nodiscard]] Outcome<void> check(const ImpairConfig& config);

/// Thread rule: as engine::Service.
class Impair final : public engine::Service {
 public:
  explicit Impair(const ImpairConfig& config);

  [[nodiscard]] std::string_view kind() const noexcept override { return "impair"; }
  void start(engine::ServiceContext& context) override;
  void process(engine::Direction direction, Batch& batch) override;
  void list_metrics(std::vector<engine::ServiceMetric>& out) const override;

 private:
  [[nodiscard]] ImpairCore& core(engine::Direction direction) noexcept {
    return *cores_[static_cast<std::size_t>(direction)];
  }
  void take(engine::Direction direction, Packet packet);
  void release();
  void arm();

  const ImpairConfig config_;
  engine::ServiceContext* context_ = nullptr;
  std::array<std::unique_ptr<ImpairCore>, 2> cores_;
  std::unique_ptr<Timer> timer_;
  Time last_release_{};
  Batch segments_;
  Batch due_;
};

/// `config` has passed check().
[[nodiscard]] engine::ServiceFactory make_impair(const ImpairConfig& config);

}  // namespace vtl::service
