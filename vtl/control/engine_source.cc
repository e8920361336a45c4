#include "vtl/control/engine_source.h"

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>

#include "vtl/control/socket.h"
#include "vtl/iface/capture.h"
#include "vtl/iface/pcapng.h"
#include "vtl/service/filter.h"

namespace vtl::control {
namespace {

constexpr std::size_t kMaxBuffered = std::size_t{8} << 20;

// What workers write and the control thread reads. A lock for each batch is fair here: it is taken
// only while somebody watches.
class DumpBuffer {
 public:
  DumpBuffer(const DumpRequest& request, std::optional<service::Filter> filter, Descriptor ready)
      : snap_length_(request.snap_length),
        filter_(std::move(filter)),
        epoch_(iface::system_epoch()),
        ready_(std::move(ready)) {
    iface::append_section_header(octets_, "vtl dump");
    iface::append_interface(octets_, fmt::format("{}:{}", request.link, request.boundary),
                            snap_length_);
    signal();
  }

  [[nodiscard]] int fd() const noexcept { return ready_.get(); }

  void add(engine::Direction direction, std::span<const Packet> frames) {
    const std::lock_guard lock(mutex_);
    if (finished_) return;
    const bool was_empty = octets_.empty();
    for (const auto& frame : frames) {
      const auto bytes = frame.bytes();
      if (filter_ && !filter_->matches(bytes, frame.layout())) continue;
      ++received_;
      // Beyond the bound frames are left out of the dump; the traffic goes on.
      if (octets_.size() + snap_length_ > kMaxBuffered) {
        ++dropped_;
        continue;
      }
      const auto nanoseconds = frame.meta().arrival.time_since_epoch().count() + epoch_;
      const auto kept = bytes.first(std::min<std::size_t>(bytes.size(), snap_length_));
      iface::append_packet(octets_, 0, nanoseconds, kept, bytes.size(),
                           direction == engine::Direction::kOutbound
                               ? iface::CaptureDirection::kOutbound
                               : iface::CaptureDirection::kInbound);
    }
    if (was_empty && !octets_.empty()) signal();
  }

  std::size_t read(MutableBytes out) {
    const std::lock_guard lock(mutex_);
    const auto n = std::min(out.size(), octets_.size() - taken_);
    std::memcpy(out.data(), octets_.data() + taken_, n);
    taken_ += n;
    if (taken_ == octets_.size()) {
      octets_.clear();
      taken_ = 0;
      if (dropped_ != told_) {
        tell_counts();
      } else {
        unsignal();
      }
    }
    return n;
  }

  void finish() {
    const std::lock_guard lock(mutex_);
    if (std::exchange(finished_, true)) return;
    tell_counts();
    signal();
  }

 private:
  void tell_counts() {
    const auto now = clock_.now().time_since_epoch().count() + epoch_;
    iface::append_statistics(octets_, 0, now, received_, dropped_);
    told_ = dropped_;
  }
  void unsignal() {
    std::uint64_t count = 0;
    while (::read(ready_.get(), &count, sizeof(count)) < 0 && errno == EINTR) {
    }
  }
  void signal() {
    const std::uint64_t one = 1;
    while (write(ready_.get(), &one, sizeof(one)) < 0 && errno == EINTR) {
    }
  }

  const std::uint32_t snap_length_;
  const std::optional<service::Filter> filter_;
  const std::int64_t epoch_;
  const Descriptor ready_;
  const SystemClock clock_{};
  std::mutex mutex_;
  std::vector<std::uint8_t> octets_;
  std::size_t taken_ = 0;
  std::uint64_t received_ = 0;  // frames that passed the filter
  std::uint64_t dropped_ = 0;   // of these, left out at the bound
  std::uint64_t told_ = 0;      // of these, told in the stream
  bool finished_ = false;
};

class EngineDump final : public Dump {
 public:
  EngineDump(engine::Engine& engine, std::mutex& mutex, std::string link,
             std::shared_ptr<DumpBuffer> buffer)
      : engine_(engine), mutex_(mutex), link_(std::move(link)), buffer_(std::move(buffer)) {}

  ~EngineDump() override {
    const std::lock_guard lock(mutex_);
    if (!engine_.running()) return;
    engine_.post_to_link(link_, [taps = taps_](engine::Link& link) { taps->remove_from(link); });
  }

  // The engine's lock is held.
  void attach(std::uint32_t boundary) {
    engine_.post_to_link(link_, [taps = taps_, boundary, buffer = buffer_](engine::Link& link) {
      taps->add_to(link, link.add_tap(boundary, [buffer](engine::Direction direction, std::uint32_t,
                                                         std::span<const Packet> frames) {
        buffer->add(direction, frames);
      }));
    });
  }

  [[nodiscard]] int fd() const noexcept override { return buffer_->fd(); }
  [[nodiscard]] std::size_t read(MutableBytes out) override { return buffer_->read(out); }
  void finish() override { buffer_->finish(); }

 private:
  // The number of the tap on each worker's instance of the link.
  class Taps {
   public:
    void add_to(const engine::Link& link, std::uint32_t id) {
      const std::lock_guard lock(mutex_);
      ids_.emplace_back(&link, id);
    }
    void remove_from(engine::Link& link) {
      const std::lock_guard lock(mutex_);
      for (const auto& [owner, id] : ids_) {
        if (owner == &link) link.remove_tap(id);
      }
    }

   private:
    std::mutex mutex_;
    std::vector<std::pair<const engine::Link*, std::uint32_t>> ids_;
  };

  engine::Engine& engine_;
  std::mutex& mutex_;
  const std::string link_;
  const std::shared_ptr<DumpBuffer> buffer_;
  const std::shared_ptr<Taps> taps_ = std::make_shared<Taps>();
};

}  // namespace

EngineSource::EngineSource(engine::Engine& engine, std::function<void()> on_stop)
    : engine_(engine), on_stop_(std::move(on_stop)) {}

engine::Status EngineSource::status() {
  const std::lock_guard lock(mutex_);
  return engine_.status();
}

std::vector<engine::FlowInfo> EngineSource::list_flows() {
  const std::lock_guard lock(mutex_);
  return engine_.list_flows();
}

std::vector<engine::MetricGroup> EngineSource::list_metrics() {
  const std::lock_guard lock(mutex_);
  return engine_.list_metrics();
}

Outcome<void> EngineSource::act(const ActRequest& request) {
  const std::lock_guard lock(mutex_);
  return engine_.act(request.link, request.service, request.action);
}

Outcome<std::unique_ptr<Dump>> EngineSource::open_dump(const DumpRequest& request) {
  const std::lock_guard lock(mutex_);
  const auto status = engine_.status();
  const auto link = std::ranges::find(status.links, request.link, &engine::LinkStatus::name);
  if (link == status.links.end()) {
    std::vector<std::string> names;
    for (const auto& known : status.links) names.push_back(known.name);
    return fail(fmt::format("no link '{}'; there are: {}", request.link, fmt::join(names, " ")));
  }
  if (request.boundary > link->services.size()) {
    return fail(
        fmt::format("link '{}' has {} services, so a boundary is 0 (the guest) to {} (the "
                    "network), not {}",
                    request.link, link->services.size(), link->services.size(), request.boundary));
  }
  std::optional<service::Filter> filter;
  if (!request.filter.empty()) {
    auto compiled = service::Filter::compile(request.filter);
    if (!compiled) {
      return fail(fmt::format("filter '{}': {}", request.filter, compiled.error().message));
    }
    filter = std::move(*compiled);
  }
  Descriptor ready(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!ready) return fail(fmt::format("dump: {}", std::strerror(errno)));
  auto buffer = std::make_shared<DumpBuffer>(request, std::move(filter), std::move(ready));
  auto dump = std::make_unique<EngineDump>(engine_, mutex_, request.link, std::move(buffer));
  dump->attach(request.boundary);
  return dump;
}

}  // namespace vtl::control
