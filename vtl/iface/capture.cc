#include "vtl/iface/capture.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "vtl/iface/decorator.h"
#include "vtl/iface/device.h"
#include "vtl/iface/pcapng.h"

namespace vtl::iface {
namespace {

constexpr std::string_view kApplication = "VTL";

std::string comment_on(const PacketMeta& meta) {
  std::string out;
  if (meta.gso.is_super()) out = fmt::format("super-frame, segments of {}", meta.gso.segment_size);
  if (meta.checksum.kind == ChecksumKind::kPartial) {
    out += out.empty() ? "partial checksum" : ", partial checksum";
  }
  return out;
}

class Capture final : public Decorator {
 public:
  Capture(std::unique_ptr<Interface> inner, CaptureSink sink, const CaptureOptions& options)
      : Decorator(std::move(inner)),
        sink_(std::move(sink)),
        options_(options),
        epoch_(options.epoch.value_or(system_epoch())) {
    append_section_header(blocks_, kApplication);
    append_interface(blocks_, name(), static_cast<std::uint32_t>(options_.snap_length));
    hand_over(blocks_.size());
  }

  [[nodiscard]] ReadStatus read(PacketPool& pool, Time now, Batch& batch) override {
    const std::size_t before = batch.size();
    const ReadStatus status = inner_->read(pool, now, batch);
    if (sink_) {
      for (std::size_t i = before; i < batch.size(); ++i) {
        record(batch[i], CaptureDirection::kInbound);
      }
      hand_over(blocks_.size());
    }
    return status;
  }

  [[nodiscard]] std::size_t write(std::span<Packet> batch) override {
    if (!sink_) return inner_->write(batch);
    // Sent frames are empty afterwards, so all are encoded before, and those sent are kept.
    ends_.clear();
    ends_.push_back(0);
    for (const Packet& packet : batch) {
      if (packet) record(packet, CaptureDirection::kOutbound);
      ends_.push_back(blocks_.size());
    }
    const std::size_t done = inner_->write(batch);
    // One that is empty and yet not done with is taken too; it comes back empty, unrecorded.
    const bool one_more = done < batch.size() && !batch[done];
    hand_over(ends_[one_more ? done + 1 : done]);
    return done;
  }

 private:
  void record(const Packet& packet, CaptureDirection direction) {
    const std::size_t keep =
        options_.snap_length == 0 ? packet.size() : std::min(packet.size(), options_.snap_length);
    append_packet(blocks_, 0, epoch_ + packet.meta().arrival.time_since_epoch().count(),
                  packet.bytes().first(keep), packet.size(), direction, comment_on(packet.meta()));
  }

  // The first `size` octets of what was encoded go to the sink, the rest is forgotten.
  void hand_over(std::size_t size) {
    if (size > 0 && sink_) {
      written_ += size;
      const bool more = written_ <= options_.max_bytes && sink_(Bytes(blocks_).first(size));
      if (!more) sink_ = nullptr;
    }
    blocks_.clear();
  }

  CaptureSink sink_;
  CaptureOptions options_;
  std::int64_t epoch_;
  std::uint64_t written_ = 0;
  std::vector<std::uint8_t> blocks_;
  std::vector<std::size_t> ends_;  // of the octets of the first 0, 1, 2... frames
};

bool write_all(int fd, Bytes bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return true;
}

}  // namespace

std::int64_t system_epoch() noexcept {
  const auto wall = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(wall).count() -
         SystemClock().now().time_since_epoch().count();
}

std::unique_ptr<Interface> make_capture(std::unique_ptr<Interface> inner, CaptureSink sink,
                                        const CaptureOptions& options) {
  return std::make_unique<Capture>(std::move(inner), std::move(sink), options);
}

Outcome<std::unique_ptr<Interface>> open_capture(std::unique_ptr<Interface> inner,
                                                 const std::string& path,
                                                 const CaptureOptions& options) {
  constexpr mode_t kMode = S_IRUSR | S_IWUSR;  // traffic is nobody else's business
  auto fd = std::make_shared<OwnedFd>(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, kMode));
  if (!*fd) return fail(fmt::format("capture: cannot write {}: {}", path, std::strerror(errno)));
  return make_capture(
      std::move(inner), [fd](Bytes blocks) { return write_all(fd->get(), blocks); }, options);
}

}  // namespace vtl::iface
