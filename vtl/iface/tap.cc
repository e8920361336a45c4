#include "vtl/iface/tap.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "vtl/iface/backend.h"
#include "vtl/iface/device.h"
#include "vtl/iface/receive_slots.h"
#include "vtl/iface/vnet_header.h"

namespace vtl::iface {
namespace {

// UDP segmentation offload of tun, Linux 6.2; younger than some systems' headers.
constexpr unsigned kTunUso4 = 0x20, kTunUso6 = 0x40;
constexpr std::size_t kReadBytes = std::size_t{1} << 20;  // wanted at most from one read()

class Tap final : public Backend {
 public:
  Tap(Device device, OwnedFd fd, bool udp_super)
      : Backend(device.name()),
        device_(std::move(device)),
        fd_(std::move(fd)),
        udp_super_(udp_super) {}

  [[nodiscard]] int fd() const noexcept override { return fd_.get(); }
  [[nodiscard]] wire::MacAddress mac() const noexcept override { return device_.mac(); }
  [[nodiscard]] bool is_up() const noexcept override { return device_.is_running(); }
  [[nodiscard]] bool signals_writable() const noexcept override { return true; }
  [[nodiscard]] bool gathers() const noexcept override { return true; }
  [[nodiscard]] Capabilities capabilities() const noexcept override {
    return {.super_frames_in = true,
            .super_frames_out = true,
            .partial_checksum = true,
            .mtu = device_.mtu(),
            .queues = kMaxTapWorkers};
  }

  [[nodiscard]] ReadStatus read(PacketPool& pool, Time now, Batch& batch) override {
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < kMaxBatch && bytes < kReadBytes; ++i) {
      if (slots_.prepare(pool, 1) == 0) return let_go_unread();
      const ssize_t got = ::readv(fd_.get(), slots_.pieces(0), ReceiveSlots::kPieces);
      if (got < 0) return read_failed();
      bytes += static_cast<std::size_t>(got);
      take_frame(static_cast<std::size_t>(got), now, batch);
    }
    return ReadStatus::kMore;
  }

 private:
  [[nodiscard]] Carries carries() const noexcept override { return {true, udp_super_, true}; }

  void take_frame(std::size_t length, Time now, Batch& batch) {
    if (length <= sizeof(VnetHeader) || length > sizeof(VnetHeader) + ReceiveSlots::kFrameRoom) {
      counters_.drops.add(DropReason::kRxTruncated);
      return;
    }
    Packet packet = slots_.take(0, length - sizeof(VnetHeader));
    packet.meta().arrival = now;
    if (!read_vnet_header(slots_.header(0), 0, packet)) {
      dropped(packet, DropReason::kRxError);
      return;
    }
    received(packet);
    batch.push_back(std::move(packet));
  }

  ReadStatus read_failed() const {
    return errno == EAGAIN || errno == EINTR ? ReadStatus::kOk : ReadStatus::kClosed;
  }

  // The pool is at its bound: take frames off the queue all the same, or it stays readable.
  ReadStatus let_go_unread() {
    for (std::size_t i = 0; i < kMaxBatch; ++i) {
      VnetHeader header;
      if (::read(fd_.get(), &header, sizeof header) < 0) return read_failed();
      counters_.drops.add(DropReason::kNoPacketBuffer);
    }
    return ReadStatus::kMore;
  }

  [[nodiscard]] std::size_t send_some(std::span<Packet> frames) override {
    for (std::size_t i = 0; i < frames.size(); ++i) {
      Packet& frame = frames[i];
      if (frame.meta().gso.is_super() && !prepare_super_frame(frame)) {
        dropped(frame, DropReason::kMalformedTransport);
        continue;
      }
      VnetHeader header = make_vnet_header(frame);
      const std::array<iovec, 2> pieces = {iovec{&header, sizeof header},
                                           iovec{frame.mutable_bytes().data(), frame.size()}};
      ssize_t gone = 0;
      do {
        gone = ::writev(fd_.get(), pieces.data(), static_cast<int>(pieces.size()));
      } while (gone < 0 && errno == EINTR);
      if (gone >= 0) {
        sent(frame);
      } else if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM) {
        return i;
      } else {
        dropped(frame, refusal());
      }
    }
    return frames.size();
  }

  [[nodiscard]] bool send_pieces(std::span<iovec> pieces) override {
    return ::writev(fd_.get(), pieces.data(), static_cast<int>(pieces.size())) >= 0;
  }

  static DropReason refusal() {
    switch (errno) {
      case EIO:  // the device is down
      case EBADFD:
        return DropReason::kInterfaceDown;
      case EMSGSIZE:
        return DropReason::kTxTooLarge;
      default:
        return DropReason::kTxError;
    }
  }

  Device device_;
  OwnedFd fd_;
  bool udp_super_;
  ReceiveSlots slots_;
};

std::string why_not(const TapOptions& options, bool several) {
  const std::string tap = "tap " + options.device;
  switch (errno) {
    case EPERM:
      return tap +
             ": not permitted; run as root or with CAP_NET_ADMIN, or make a persistent device "
             "for the user (`ip tuntap add ... user NAME`)";
    case EBUSY:
      return tap + ": another program has the device open";
    case EINVAL:
      return fmt::format("{}: the device is there and of another kind; {} one is needed here", tap,
                         several ? "a multi_queue tap" : "a single-queue tap");
    default:
      return fmt::format("{}: {}", tap, std::strerror(errno));
  }
}

// Opens one queue of the device; `name` becomes the device's real one.
Outcome<OwnedFd> open_queue(const TapOptions& options, bool several, std::string& name) {
  OwnedFd fd(::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!fd) {
    return fail(fmt::format("tap {}: /dev/net/tun: {}; is the tun module there?", options.device,
                            std::strerror(errno)));
  }
  ifreq request{};
  std::memcpy(request.ifr_name, name.c_str(), name.size() + 1);
  const int flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (several ? IFF_MULTI_QUEUE : 0);
  request.ifr_flags = static_cast<short>(flags);
  if (::ioctl(fd.get(), TUNSETIFF, &request) != 0) return fail(why_not(options, several));
  name = request.ifr_name;
  const int size = sizeof(VnetHeader);
  if (::ioctl(fd.get(), TUNSETVNETHDRSZ, &size) != 0) return fail(why_not(options, several));
  return fd;
}

}  // namespace

Outcome<std::vector<std::unique_ptr<Interface>>> open_tap_workers(const TapOptions& options,
                                                                  std::uint32_t workers) {
  if (options.device.empty() || options.device.size() > kMaxDeviceName) {
    return fail(fmt::format("tap \"{}\": a device name has 1 to {} characters", options.device,
                            kMaxDeviceName));
  }
  if (workers == 0 || workers > kMaxTapWorkers) {
    return fail(fmt::format("tap {}: {} workers; 1 to {} can share a device", options.device,
                            workers, kMaxTapWorkers));
  }
  std::string name = options.device;
  std::vector<OwnedFd> queues;
  bool udp_super = true;
  for (std::uint32_t i = 0; i < workers; ++i) {
    auto fd = open_queue(options, workers > 1, name);
    if (!fd) return std::unexpected(fd.error());
    constexpr unsigned kTcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
    // An older kernel refuses the UDP bits as a whole.
    if (::ioctl(fd->get(), TUNSETOFFLOAD, kTcp | kTunUso4 | kTunUso6) != 0) {
      udp_super = false;
      if (::ioctl(fd->get(), TUNSETOFFLOAD, kTcp) != 0) return fail(why_not(options, workers > 1));
    }
    queues.push_back(std::move(*fd));
  }
  std::vector<std::unique_ptr<Interface>> out;
  for (OwnedFd& fd : queues) {
    auto device = Device::find("tap", name);
    if (!device) return std::unexpected(device.error());
    if (options.bring_up && !device->is_running() && !device->set_up()) {
      return fail(fmt::format("tap {}: cannot set it up: {}", name, std::strerror(errno)));
    }
    out.push_back(std::make_unique<Tap>(std::move(*device), std::move(fd), udp_super));
  }
  return out;
}

Outcome<std::unique_ptr<Interface>> open_tap(const TapOptions& options) {
  auto one = open_tap_workers(options, 1);
  if (!one) return std::unexpected(one.error());
  return std::move(one->front());
}

}  // namespace vtl::iface
