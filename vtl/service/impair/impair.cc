#include "vtl/service/impair/impair.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "vtl/packet/checksum.h"
#include "vtl/packet/segment.h"

namespace vtl::service {
namespace {

using engine::Direction;

constexpr auto kDirections = {Direction::kOutbound, Direction::kInbound};
// Frames released at one time before others get their turn.
constexpr std::size_t kReleaseLimit = 1024;

// A frame that would fit into a smaller buffer must not hold a larger one while it travels.
void shrink(Packet& packet) {
  if (!PacketPool::is_oversized(packet)) return;
  Packet small = packet.pool().clone(packet);
  if (small) packet = std::move(small);
}

}  // namespace

Outcome<void> check(const ImpairConfig& config) {
  if (auto ok = check(config.outbound); !ok) return fail("outbound: " + ok.error().message);
  if (auto ok = check(config.inbound); !ok) return fail("inbound: " + ok.error().message);
  if (config.release_interval < Duration::zero()) return fail("release_interval is negative");
  return {};
}

Impair::Impair(const ImpairConfig& config) : config_(config) {}

void Impair::start(engine::ServiceContext& context) {
  context_ = &context;
  for (const auto direction : kDirections) {
    // A seed of its own for each direction: what one carries does not disturb the other.
    const std::uint64_t drawn = context.rng().next();
    const auto index = static_cast<std::uint64_t>(direction);
    cores_[index] = std::make_unique<ImpairCore>(
        direction == Direction::kOutbound ? config_.outbound : config_.inbound,
        config_.seed ? *config_.seed * 2 + index : drawn);
  }
  timer_ = std::make_unique<Timer>([this] { release(); });
}

void Impair::process(Direction direction, Batch& batch) {
  for (auto& packet : batch) {
    if (!packet.meta().gso.is_super()) {
      if (finish_checksum(packet)) {
        take(direction, std::move(packet));
      } else {
        context_->drop(std::move(packet), DropReason::kMalformedTransport);
      }
      continue;
    }
    const auto cut = segment(packet, context_->pool(), segments_);
    if (!cut) {
      context_->drop(std::move(packet), cut.error());
      continue;
    }
    packet.reset();
    for (auto& piece : segments_) take(direction, std::move(piece));
    segments_.clear();
  }
  batch.clear();
  // What is due already goes on in the batch: an idle line without delay adds none.
  core(direction).dequeue(context_->reactor().now(), batch, kReleaseLimit);
  arm();
}

void Impair::take(Direction direction, Packet packet) {
  shrink(packet);
  const auto dropped = core(direction).enqueue(packet, context_->reactor().now());
  if (dropped) context_->drop(std::move(packet), *dropped);
}

void Impair::release() {
  last_release_ = context_->reactor().now();
  for (const auto direction : kDirections) {
    core(direction).dequeue(last_release_, due_, kReleaseLimit);
    for (auto& packet : due_) context_->emit(direction, std::move(packet));
    due_.clear();
  }
  arm();
}

void Impair::arm() {
  const Time next =
      std::min(core(Direction::kOutbound).poll_at(), core(Direction::kInbound).poll_at());
  // On a busy line frames leave in batches: at most one release per interval.
  const Time wake =
      next == kNever ? kNever : std::max(next, last_release_ + config_.release_interval);
  if (timer_->deadline() != wake) context_->reactor().timers().arm(*timer_, wake);
}

void Impair::list_metrics(std::vector<engine::ServiceMetric>& out) const {
  for (const auto direction : kDirections) {
    const auto& c = cores_[static_cast<std::size_t>(direction)]->counters();
    const char* prefix = direction == Direction::kOutbound ? "outbound" : "inbound";
    const auto add = [&](const char* name, const char* help, const Counter& value, bool counts) {
      out.push_back({fmt::format("{}_{}{}", prefix, name, counts ? "_total" : ""), help,
                     static_cast<double>(value.value()), counts});
    };
    add("frames", "Wire frames that arrived.", c.frames, true);
    add("bytes", "Their octets.", c.bytes, true);
    add("lost", "Frames lost independently.", c.lost, true);
    add("burst_lost", "Frames lost by the burst model.", c.burst_lost, true);
    add("queue_full", "Frames dropped at the bottleneck's tail.", c.queue_full, true);
    add("bound", "Frames dropped at the memory bound.", c.bound, true);
    add("duplicated", "Frames sent twice.", c.duplicated, true);
    add("reordered", "Frames held back.", c.reordered, true);
    add("corrupted", "Frames with a flipped bit.", c.corrupted, true);
    add("released", "Frames that have left the line.", c.released, true);
    add("held", "Frames on the line now.", c.held, false);
    add("held_bytes", "Their buffer memory.", c.held_bytes, false);
  }
}

engine::ServiceFactory make_impair(const ImpairConfig& config) {
  return [config](std::uint32_t) { return std::make_unique<Impair>(config); };
}

}  // namespace vtl::service
