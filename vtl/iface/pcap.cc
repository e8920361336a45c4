#include "vtl/iface/pcap.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <libnet.h>
#include <pcap/pcap.h>

#include <cerrno>
#include <cstring>

#include "vtl/iface/backend.h"
#include "vtl/iface/device.h"

namespace vtl::iface {
namespace {

constexpr Duration kStatisticsEvery = 100ms;

struct PcapCloser {
  void operator()(pcap_t* handle) const { ::pcap_close(handle); }
};
struct LibnetCloser {
  void operator()(libnet_t* handle) const { ::libnet_destroy(handle); }
};
using PcapHandle = std::unique_ptr<pcap_t, PcapCloser>;
using LibnetHandle = std::unique_ptr<libnet_t, LibnetCloser>;

class Pcap final : public Backend {
 public:
  Pcap(Device device, PcapHandle in, LibnetHandle out)
      : Backend(device.name()),
        device_(std::move(device)),
        in_(std::move(in)),
        out_(std::move(out)) {}

  [[nodiscard]] int fd() const noexcept override { return ::pcap_get_selectable_fd(in_.get()); }
  [[nodiscard]] wire::MacAddress mac() const noexcept override { return device_.mac(); }
  [[nodiscard]] bool is_up() const noexcept override { return device_.is_running(); }
  [[nodiscard]] Capabilities capabilities() const noexcept override {
    return {.mtu = device_.mtu()};
  }

  [[nodiscard]] ReadStatus read(PacketPool& pool, Time now, Batch& batch) override {
    for (std::size_t i = 0; i < kMaxBatch; ++i) {
      pcap_pkthdr* header = nullptr;
      const std::uint8_t* data = nullptr;
      const int status = ::pcap_next_ex(in_.get(), &header, &data);
      if (status == 0) {
        if (now >= next_statistics_) read_statistics(now);
        return ReadStatus::kOk;
      }
      if (status < 0) {
        // Down for a while, or gone.
        return device_.exists() ? ReadStatus::kOk : ReadStatus::kClosed;
      }
      take_frame(*header, data, pool, now, batch);
    }
    return ReadStatus::kMore;
  }

 private:
  [[nodiscard]] Carries carries() const noexcept override { return {}; }

  void take_frame(const pcap_pkthdr& header, const std::uint8_t* data, PacketPool& pool, Time now,
                  Batch& batch) {
    if (header.caplen < header.len) {
      counters_.drops.add(DropReason::kRxTruncated);
      return;
    }
    Packet packet = pool.copy_of({data, header.caplen});
    if (!packet) {
      counters_.drops.add(DropReason::kNoPacketBuffer);
      return;
    }
    packet.meta().arrival = now;
    received(packet);
    batch.push_back(std::move(packet));
  }

  void read_statistics(Time now) {
    next_statistics_ = now + kStatisticsEvery;
    pcap_stat stats{};
    if (::pcap_stats(in_.get(), &stats) == 0) counters_.rx_missed.set(stats.ps_drop);
  }

  [[nodiscard]] std::size_t send_some(std::span<Packet> frames) override {
    for (std::size_t i = 0; i < frames.size(); ++i) {
      Packet& frame = frames[i];
      const int gone = ::libnet_adv_write_link(out_.get(), frame.bytes().data(),
                                               static_cast<std::uint32_t>(frame.size()));
      if (gone >= 0) {
        sent(frame);
      } else if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM) {
        return i;
      } else if (errno == EMSGSIZE) {
        dropped(frame, DropReason::kTxTooLarge);
      } else if (errno == ENETDOWN || errno == ENXIO) {
        dropped(frame, DropReason::kInterfaceDown);
      } else {
        dropped(frame, DropReason::kTxError);
      }
    }
    return frames.size();
  }

  Device device_;
  PcapHandle in_;
  LibnetHandle out_;
  Time next_statistics_{};
};

std::unexpected<Error> pcap_failed(const PcapOptions& options, const PcapHandle& handle,
                                   int status) {
  if (status == PCAP_ERROR_PERM_DENIED) {
    return fail(
        fmt::format("pcap {}: not permitted; run as root or with CAP_NET_RAW", options.device));
  }
  const char* detail = ::pcap_geterr(handle.get());
  return fail(fmt::format("pcap {}: {}", options.device,
                          *detail != '\0' ? detail : ::pcap_statustostr(status)));
}

// What the kernel hands over: frames addressed to the host's own MAC are left to the host.
std::string filter_of(const PcapOptions& options, const wire::MacAddress& mac) {
  std::string text = options.filter.empty() ? "" : fmt::format("({})", options.filter);
  if (!options.host_frames)
    text += fmt::format("{}not ether dst {}", text.empty() ? "" : " and ", to_string(mac));
  return text;
}

bool set_filter(pcap_t* handle, const std::string& text) {
  if (text.empty()) return true;
  bpf_program program{};
  if (::pcap_compile(handle, &program, text.c_str(), 1, PCAP_NETMASK_UNKNOWN) != 0) return false;
  const bool set = ::pcap_setfilter(handle, &program) == 0;
  ::pcap_freecode(&program);
  return set;
}

Outcome<PcapHandle> open_reader(const PcapOptions& options, const Device& device) {
  char error[PCAP_ERRBUF_SIZE] = {};
  PcapHandle handle(::pcap_create(options.device.c_str(), error));
  if (!handle) return fail(fmt::format("pcap {}: {}", options.device, error));
  constexpr std::size_t kLinkLayer = 14 + 8;  // Ethernet and two tags
  const std::size_t snap = device.mtu() + kLinkLayer;
  ::pcap_set_snaplen(handle.get(), static_cast<int>(snap));
  ::pcap_set_promisc(handle.get(), options.promiscuous ? 1 : 0);
  ::pcap_set_immediate_mode(handle.get(), 1);
  ::pcap_set_buffer_size(handle.get(), static_cast<int>(options.receive_buffer));
  if (const int status = ::pcap_activate(handle.get()); status < 0) {
    return pcap_failed(options, handle, status);
  }
  if (::pcap_datalink(handle.get()) != DLT_EN10MB) {
    return fail(fmt::format("pcap {}: not an Ethernet device", options.device));
  }
  if (::pcap_setnonblock(handle.get(), 1, error) != 0) {
    return fail(fmt::format("pcap {}: {}", options.device, error));
  }
  if (::pcap_setdirection(handle.get(), PCAP_D_IN) != 0 ||
      !set_filter(handle.get(), filter_of(options, device.mac()))) {
    return pcap_failed(options, handle, PCAP_ERROR);
  }
  return handle;
}

}  // namespace

Outcome<std::unique_ptr<Interface>> open_pcap(const PcapOptions& options) {
  auto device = Device::find("pcap", options.device);
  if (!device) return std::unexpected(device.error());
  auto in = open_reader(options, *device);
  if (!in) return std::unexpected(in.error());
  char error[LIBNET_ERRBUF_SIZE] = {};
  LibnetHandle out(::libnet_init(LIBNET_LINK_ADV, options.device.c_str(), error));
  if (!out) return fail(fmt::format("pcap {}: libnet: {}", options.device, error));
  const int fd = ::libnet_getfd(out.get());
  if (::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK) != 0) {
    return fail(fmt::format("pcap {}: libnet: {}", options.device, std::strerror(errno)));
  }
  return std::make_unique<Pcap>(std::move(*device), std::move(*in), std::move(out));
}

}  // namespace vtl::iface
