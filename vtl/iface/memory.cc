#include "vtl/iface/memory.h"

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <mutex>

#include "vtl/iface/backend.h"

namespace vtl::iface {
namespace {

// One direction of the wire. The pool stands before the queue, so it outlives the packets.
struct Lane {
  std::mutex mutex;
  PacketPool pool;
  std::deque<Packet> queue;
  std::size_t bound = 0;
  int event = -1;
  bool closed = false;
  ~Lane() {
    if (event >= 0) ::close(event);
  }
};

class MemoryEnd final : public Backend {
 public:
  MemoryEnd(const MemoryOptions& options, std::shared_ptr<Lane> in, std::shared_ptr<Lane> out)
      : Backend(options.name), options_(options), in_(std::move(in)), out_(std::move(out)) {}

  ~MemoryEnd() override {
    for (const auto& lane : {in_, out_}) {
      const std::scoped_lock lock(lane->mutex);
      lane->closed = true;
      signal(*lane, true);
    }
  }

  [[nodiscard]] int fd() const noexcept override { return in_->event; }
  [[nodiscard]] Capabilities capabilities() const noexcept override {
    return {.super_frames_in = options_.super_frames,
            .super_frames_out = options_.super_frames,
            .partial_checksum = options_.super_frames,
            .mtu = options_.mtu,
            .queues = 1};
  }
  [[nodiscard]] wire::MacAddress mac() const noexcept override { return options_.mac; }
  [[nodiscard]] bool is_up() const noexcept override {
    const std::scoped_lock lock(out_->mutex);
    return !out_->closed;
  }

  [[nodiscard]] ReadStatus read(PacketPool& pool, Time now, Batch& batch) override {
    const std::scoped_lock lock(in_->mutex);
    for (std::size_t i = 0; i < kMaxBatch && !in_->queue.empty(); ++i) {
      Packet packet = pool.clone(in_->queue.front());
      in_->queue.pop_front();
      if (!packet) {
        counters_.drops.add(DropReason::kNoPacketBuffer);
        continue;
      }
      packet.meta().arrival = now;
      received(packet);
      batch.push_back(std::move(packet));
    }
    if (!in_->queue.empty()) return ReadStatus::kMore;
    if (in_->closed) return ReadStatus::kClosed;
    signal(*in_, false);
    return ReadStatus::kOk;
  }

 private:
  [[nodiscard]] Carries carries() const noexcept override {
    return {options_.super_frames, options_.super_frames, options_.super_frames};
  }

  [[nodiscard]] std::size_t send_some(std::span<Packet> frames) override {
    const std::scoped_lock lock(out_->mutex);
    std::size_t done = 0;
    for (Packet& frame : frames) {
      if (out_->closed) {
        dropped(frame, DropReason::kInterfaceDown);
      } else if (!frame.meta().gso.is_super() && frame.size() > longest(frame)) {
        dropped(frame, DropReason::kTxTooLarge);
      } else if (out_->queue.size() >= out_->bound) {
        return done;
      } else if (Packet copy = out_->pool.clone(frame)) {
        out_->queue.push_back(std::move(copy));
        sent(frame);
        signal(*out_, true);
      } else {
        return done;
      }
      ++done;
    }
    return done;
  }

  [[nodiscard]] std::size_t longest(const Packet& frame) const {
    return options_.mtu + 14 + std::size_t{4} * frame.layout().vlan_tags;
  }

  // The event descriptor is readable exactly while there is something to read.
  static void signal(Lane& lane, bool readable) {
    std::uint64_t count = 1;
    // Neither can fail in a way that matters: a full or an empty counter is the state wanted.
    [[maybe_unused]] const auto ignored = readable ? ::write(lane.event, &count, sizeof count)
                                                   : ::read(lane.event, &count, sizeof count);
  }

  MemoryOptions options_;
  std::shared_ptr<Lane> in_;
  std::shared_ptr<Lane> out_;
};

}  // namespace

Outcome<std::pair<std::unique_ptr<Interface>, std::unique_ptr<Interface>>> open_memory_pair(
    const MemoryOptions& first, const MemoryOptions& second) {
  auto to_first = std::make_shared<Lane>(), to_second = std::make_shared<Lane>();
  for (const auto& lane : {to_first, to_second}) {
    lane->event = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (lane->event < 0) return fail(fmt::format("memory: eventfd: {}", std::strerror(errno)));
  }
  to_first->bound = first.queue;
  to_second->bound = second.queue;
  return std::pair<std::unique_ptr<Interface>, std::unique_ptr<Interface>>(
      std::make_unique<MemoryEnd>(first, to_first, to_second),
      std::make_unique<MemoryEnd>(second, to_second, to_first));
}

}  // namespace vtl::iface
