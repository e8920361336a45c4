#include "vtl/iface/pcap_file.h"

#include <fmt/format.h>
#include <pcap/pcap.h>
#include <sys/timerfd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "vtl/iface/backend.h"
#include "vtl/iface/capture.h"
#include "vtl/iface/device.h"
#include "vtl/iface/pcapng.h"

namespace vtl::iface {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

struct PcapCloser {
  void operator()(pcap_t* handle) const { ::pcap_close(handle); }
};
struct FileCloser {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using PcapHandle = std::unique_ptr<pcap_t, PcapCloser>;
using File = std::unique_ptr<std::FILE, FileCloser>;

// The file that is written. Blocks are made in a buffer and go out through stdio's own.
class Writer {
 public:
  Writer(File file, bool classic, std::string_view name)
      : file_(std::move(file)), classic_(classic) {
    if (classic_) {
      put32(0xa1b23c4d);   // nanoseconds, this machine's octet order
      put32(2 | 4 << 16);  // version 2.4
      put32(0);
      put32(0);
      put32(262'144);  // snap length
      put32(1);        // Ethernet
    } else {
      append_section_header(buffer_, "VTL");
      append_interface(buffer_, name);
    }
  }

  [[nodiscard]] bool write(Bytes frame, std::int64_t nanoseconds) {
    if (classic_) {
      put32(static_cast<std::uint32_t>(nanoseconds / kSecond));
      put32(static_cast<std::uint32_t>(nanoseconds % kSecond));
      put32(static_cast<std::uint32_t>(frame.size()));
      put32(static_cast<std::uint32_t>(frame.size()));
      buffer_.insert(buffer_.end(), frame.begin(), frame.end());
    } else {
      append_packet(buffer_, 0, nanoseconds, frame, frame.size(), CaptureDirection::kOutbound);
    }
    return flush();
  }

  [[nodiscard]] bool flush() {
    const bool whole =
        std::fwrite(buffer_.data(), 1, buffer_.size(), file_.get()) == buffer_.size();
    buffer_.clear();
    return whole;
  }
  void flush_file() { std::fflush(file_.get()); }

 private:
  void put32(std::uint32_t value) {
    const std::size_t at = buffer_.size();
    buffer_.resize(at + sizeof value);
    std::memcpy(buffer_.data() + at, &value, sizeof value);
  }

  File file_;
  bool classic_;
  std::vector<std::uint8_t> buffer_;
};

class PcapFile final : public Backend {
 public:
  PcapFile(const PcapFileOptions& options, PcapHandle in, OwnedFd timer,
           std::unique_ptr<Writer> out)
      : Backend(options.read.empty() ? options.write : options.read),
        pace_(options.pace),
        epoch_(options.epoch.value_or(system_epoch())),
        in_(std::move(in)),
        timer_(std::move(timer)),
        out_(std::move(out)) {}

  [[nodiscard]] int fd() const noexcept override { return timer_ ? timer_.get() : -1; }
  [[nodiscard]] wire::MacAddress mac() const noexcept override { return {}; }
  [[nodiscard]] Capabilities capabilities() const noexcept override {
    return {.mtu = kMaxFrame - 14};
  }

  [[nodiscard]] ReadStatus read(PacketPool& pool, Time now, Batch& batch) override {
    if (!in_) return ReadStatus::kClosed;
    for (std::size_t i = 0; i < kMaxBatch; ++i) {
      if (data_ == nullptr && !fetch()) {
        in_.reset();
        return ReadStatus::kClosed;
      }
      if (pace_ == Pace::kRecorded && !is_due(now)) return ReadStatus::kOk;
      take_frame(pool, now, batch);
    }
    return ReadStatus::kMore;
  }

 private:
  [[nodiscard]] Carries carries() const noexcept override { return {}; }

  // The next record; its octets are libpcap's until the record after it is asked for.
  bool fetch() {
    const int status = ::pcap_next_ex(in_.get(), &header_, &data_);
    if (status == 1) return true;
    data_ = nullptr;
    if (status != PCAP_ERROR_BREAK) counters_.drops.add(DropReason::kRxError);
    return false;
  }

  bool is_due(Time now) {
    // The file was opened for nanoseconds: tv_usec holds them.
    const Duration recorded{header_->ts.tv_sec * kSecond + header_->ts.tv_usec};
    if (!shift_) shift_ = now.time_since_epoch() - recorded;
    const Time due{recorded + *shift_};
    if (due <= now) return true;
    const Duration at = due.time_since_epoch();
    const itimerspec when{
        .it_interval = {},
        .it_value = {.tv_sec = at.count() / kSecond, .tv_nsec = at.count() % kSecond}};
    ::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &when, nullptr);
    return false;
  }

  void take_frame(PacketPool& pool, Time now, Batch& batch) {
    const std::uint8_t* data = std::exchange(data_, nullptr);
    if (header_->caplen < header_->len || header_->caplen > kMaxFrame) {
      counters_.drops.add(DropReason::kRxTruncated);
      return;
    }
    Packet packet = pool.copy_of({data, header_->caplen});
    if (!packet) {
      counters_.drops.add(DropReason::kNoPacketBuffer);
      return;
    }
    packet.meta().arrival = now;
    received(packet);
    batch.push_back(std::move(packet));
  }

  [[nodiscard]] std::size_t send_some(std::span<Packet> frames) override {
    for (Packet& frame : frames) {
      if (!out_) {
        dropped(frame, DropReason::kNoRoute);
        continue;
      }
      const auto time = epoch_ + frame.meta().arrival.time_since_epoch().count();
      if (out_->write(frame.bytes(), time)) {
        sent(frame);
      } else {
        dropped(frame, DropReason::kTxError);
      }
    }
    if (out_) out_->flush_file();
    return frames.size();
  }

  Pace pace_;
  std::int64_t epoch_;
  PcapHandle in_;
  OwnedFd timer_;
  std::unique_ptr<Writer> out_;
  pcap_pkthdr* header_ = nullptr;
  const std::uint8_t* data_ = nullptr;  // of the record that is fetched and not yet delivered
  std::optional<Duration> shift_;       // from recorded time to VTL's
};

Outcome<PcapHandle> open_for_reading(const std::string& path) {
  char error[PCAP_ERRBUF_SIZE] = {};
  PcapHandle handle(
      ::pcap_open_offline_with_tstamp_precision(path.c_str(), PCAP_TSTAMP_PRECISION_NANO, error));
  // libpcap names the file in its own message only when it cannot be opened.
  if (!handle) return fail(fmt::format("pcap_file {}: cannot be read: {}", path, error));
  if (::pcap_datalink(handle.get()) != DLT_EN10MB) {
    const char* kind = ::pcap_datalink_val_to_name(::pcap_datalink(handle.get()));
    return fail(fmt::format("pcap_file {}: holds {} frames; Ethernet (EN10MB) is needed", path,
                            kind == nullptr ? "unknown" : kind));
  }
  return handle;
}

}  // namespace

Outcome<std::unique_ptr<Interface>> open_pcap_file(const PcapFileOptions& options) {
  if (options.read.empty() && options.write.empty()) {
    return fail("pcap_file: names neither a file to read nor one to write");
  }
  PcapHandle in;
  OwnedFd timer;
  if (!options.read.empty()) {
    auto opened = open_for_reading(options.read);
    if (!opened) return std::unexpected(opened.error());
    in = std::move(*opened);
    if (options.pace == Pace::kRecorded) {
      timer = OwnedFd(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
      const itimerspec at_once{.it_interval = {}, .it_value = {.tv_sec = 0, .tv_nsec = 1}};
      if (!timer || ::timerfd_settime(timer.get(), 0, &at_once, nullptr) != 0) {
        return fail(fmt::format("pcap_file {}: timer: {}", options.read, std::strerror(errno)));
      }
    }
  }
  std::unique_ptr<Writer> out;
  if (!options.write.empty()) {
    File file(std::fopen(options.write.c_str(), "wbe"));
    if (!file) {
      return fail(
          fmt::format("pcap_file {}: cannot be written: {}", options.write, std::strerror(errno)));
    }
    out = std::make_unique<Writer>(std::move(file), options.write.ends_with(".pcap"), "vtl");
    if (!out->flush()) return fail(fmt::format("pcap_file {}: disk full?", options.write));
  }
  return std::make_unique<PcapFile>(options, std::move(in), std::move(timer), std::move(out));
}

}  // namespace vtl::iface
