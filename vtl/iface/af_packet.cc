// Theory of operation. One socket per worker, opened on no protocol (so that it sees nothing yet),
// made ready, and bound last. A group's sockets join the fanout with a filter that drops all, and
// get the real one when every worker has joined: until then the kernel's modulo is not the final
// one. The socket filter runs on each worker's socket and leaves the host its own frames.
//
// read() is one recvmmsg into ReceiveSlots. How many frames are asked for follows the size of late
// frames: 64 super-frames would push each other out of the processor's cache before anyone sends
// them on, and what a service copies out of them shares that cache. write() is sendmmsg of header
// and frame; what the kernel refuses is told by the next call, for the first frame then.
//
// A sealed device is carried while it is sealed and no longer: each read and write asks the seal,
// which is one load. The first worker attends to the seal; what it finds the others see. A device
// that was made again is bound to by the same socket, after it was sealed.
#include "vtl/iface/af_packet.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "vtl/base/log.h"
#include "vtl/iface/backend.h"
#include "vtl/iface/cut_through.h"
#include "vtl/iface/device.h"
#include "vtl/iface/fanout_program.h"
#include "vtl/iface/receive_slots.h"
#include "vtl/iface/vnet_header.h"
#include "vtl/packet/access.h"

namespace vtl::iface {
namespace {

constexpr int kFanoutIgnoreOutgoing = 0x4000;  // PACKET_FANOUT_FLAG_IGNORE_OUTGOING, Linux 5.10
constexpr std::size_t kMinRead = 4;            // frames asked for at least
constexpr Duration kStatisticsEvery = 100ms;
constexpr Duration kAttemptEvery = 100ms;  // to seal a device, by a worker that finds it unsealed
constexpr std::size_t kControlSize = CMSG_SPACE(sizeof(tpacket_auxdata));

std::string told(const AfPacketOptions& options, const char* what) {
  return fmt::format("af_packet {}: {}: {}", options.device, what, std::strerror(errno));
}

template <class T>
bool set_option(int fd, int level, int name, const T& value) {
  return ::setsockopt(fd, level, name, &value, sizeof value) == 0;
}

bool attach_filter(int fd, std::vector<sock_filter> program) {
  const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  return set_option(fd, SOL_SOCKET, SO_ATTACH_FILTER, filter);
}

std::vector<sock_filter> drop_all() {
  return {{BPF_RET | BPF_K, 0, 0, 0}};
}

// By the kernel's own class of the frame: never what this host sends, and what is addressed to
// this host only if asked for.
std::vector<sock_filter> wanted_frames(bool host_frames) {
  constexpr auto kType = static_cast<std::uint32_t>(SKF_AD_OFF + SKF_AD_PKTTYPE);
  constexpr std::uint16_t kIf = BPF_JMP | BPF_JEQ | BPF_K, kReturn = BPF_RET | BPF_K;
  const std::uint32_t host = host_frames ? std::uint32_t{0xff} : std::uint32_t{PACKET_HOST};
  return {{BPF_LD | BPF_B | BPF_ABS, 0, 0, kType},
          {kIf, 2, 0, host},
          {kIf, 1, 0, PACKET_OUTGOING},
          {kReturn, 0, 0, 0xffffffff},
          {kReturn, 0, 0, 0}};
}

Outcome<void> bind_to(int fd, const AfPacketOptions& options, const Device& device);

// A worker's part in the seal of the device.
struct Sealed {
  std::shared_ptr<Seal> seal{};  // of all workers; null: there is none
  bool keeps = false;            // this one attends to it
  // A socket of a fanout group cannot be bound anew: those end with their device.
  bool reopens = false;
};

class AfPacket final : public Backend {
 public:
  AfPacket(const AfPacketOptions& options, Device device, OwnedFd fd, Sealed sealed)
      : Backend(options.device),
        options_(options),
        sealed_(std::move(sealed)),
        device_(std::move(device)),
        fd_(std::move(fd)) {
    for (std::size_t i = 0; i < kMaxBatch; ++i) {
      in_[i].msg_hdr.msg_iov = slots_.pieces(i);
      in_[i].msg_hdr.msg_iovlen = ReceiveSlots::kPieces;
      out_[i].msg_hdr.msg_iov = out_pieces_[i].data();
      out_[i].msg_hdr.msg_iovlen = out_pieces_[i].size();
    }
  }

  [[nodiscard]] int fd() const noexcept override { return fd_.get(); }
  [[nodiscard]] wire::MacAddress mac() const noexcept override { return device_.mac(); }
  [[nodiscard]] bool is_up() const noexcept override { return is_safe() && device_.is_running(); }
  [[nodiscard]] int events_fd() const noexcept override {
    return sealed_.keeps ? sealed_.seal->events_fd() : -1;
  }
  void attend() override {
    if (sealed_.keeps) sealed_.seal->attend();
    if (!is_safe() && sealed_.reopens && sealed_.seal->device_number() != 0) reopen();
  }
  [[nodiscard]] std::optional<SealState> seal() const override {
    return sealed_.seal ? std::optional(sealed_.seal->state()) : std::nullopt;
  }
  [[nodiscard]] bool signals_writable() const noexcept override { return waits_for_buffer_; }
  [[nodiscard]] Capabilities capabilities() const noexcept override {
    return {.super_frames_in = true,
            .super_frames_out = true,
            .partial_checksum = true,
            .mtu = device_.mtu(),
            .queues = kMaxAfPacketWorkers};
  }

  [[nodiscard]] bool gathers() const noexcept override { return true; }

  [[nodiscard]] bool leave_to(const CutThrough& cut) override {
    return set_option(fd_.get(), SOL_SOCKET, SO_ATTACH_BPF, cut.socket_program());
  }

  [[nodiscard]] ReadStatus read(PacketPool& pool, Time now, Batch& batch) override {
    if (now >= next_statistics_) read_statistics(now);
    if (!is_safe()) return read_unsealed(now);
    const std::size_t ready = slots_.prepare(pool, read_size_);
    if (ready == 0) return let_go_unread(DropReason::kNoPacketBuffer);
    for (std::size_t i = 0; i < ready; ++i) {
      in_[i].msg_hdr.msg_control = controls_[i].data();
      in_[i].msg_hdr.msg_controllen = kControlSize;
    }
    const int got =
        ::recvmmsg(fd_.get(), in_.data(), static_cast<unsigned>(ready), MSG_DONTWAIT, nullptr);
    if (got < 0) return read_failed();
    const auto frames = static_cast<std::size_t>(got);
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < frames; ++i) {
      bytes += in_[i].msg_len;
      take_frame(i, now, batch);
    }
    if (frames < ready) return ReadStatus::kOk;
    read_size_ = std::clamp(options_.read_bytes / (bytes / frames + 1), kMinRead, kMaxBatch);
    return ReadStatus::kMore;
  }

 private:
  [[nodiscard]] Carries carries() const noexcept override { return {true, udp_super_, true}; }

  void take_frame(std::size_t i, Time now, Batch& batch) {
    const msghdr& message = in_[i].msg_hdr;
    const std::size_t length = in_[i].msg_len;
    const std::size_t size = length - std::min(length, sizeof(VnetHeader));
    if ((message.msg_flags & MSG_TRUNC) != 0 || size == 0) {
      counters_.drops.add(DropReason::kRxTruncated);
      return;
    }
    went_down_ = false;
    Packet packet = slots_.take(i, size);
    packet.meta().arrival = now;
    const std::size_t tag = restore_tag(message, packet) ? 4 : 0;
    if (!read_vnet_header(slots_.header(i), tag, packet)) {
      dropped(packet, DropReason::kRxError);
      return;
    }
    received(packet);
    batch.push_back(std::move(packet));
  }

  // Puts back the VLAN tag that the kernel took off and tells beside the frame.
  static bool restore_tag(const msghdr& message, Packet& packet) {
    // The one control message asked for is the only one that comes.
    if (message.msg_controllen < CMSG_LEN(sizeof(tpacket_auxdata))) return false;
    const cmsghdr* control = CMSG_FIRSTHDR(&message);
    if (control->cmsg_level != SOL_PACKET || control->cmsg_type != PACKET_AUXDATA) return false;
    tpacket_auxdata data;
    std::memcpy(&data, CMSG_DATA(control), sizeof data);
    if ((data.tp_status & TP_STATUS_VLAN_VALID) == 0) return false;
    const bool tpid_known = (data.tp_status & TP_STATUS_VLAN_TPID_VALID) != 0;
    return push_vlan(packet, data.tp_vlan_tci, tpid_known ? data.tp_vlan_tpid : ETH_P_8021Q);
  }

  ReadStatus read_failed() {
    switch (errno) {
      case EINTR:
        return ReadStatus::kOk;
      case ENETDOWN:
        // Told once, when the device goes down; the kernel goes on delivering when it is up again.
        // That it is gone for good is not told: whoever finds it down asks by reading.
        went_down_ = true;
        [[fallthrough]];
      case EAGAIN:
        return !went_down_ || sealed_.reopens || device_.exists() ? ReadStatus::kOk
                                                                  : ReadStatus::kClosed;
      default:
        // EINVAL: a frame whose offloads no virtio header can tell. The kernel let it go.
        counters_.drops.add(DropReason::kRxError);
        return errno == EINVAL ? ReadStatus::kMore : ReadStatus::kOk;
    }
  }

  // Takes frames off the socket that nobody can have: or it stays readable.
  ReadStatus let_go_unread(DropReason why) {
    for (std::size_t i = 0; i < kMaxBatch; ++i) {
      VnetHeader header;  // the least that the kernel lets be read
      if (::recv(fd_.get(), &header, sizeof header, MSG_DONTWAIT) < 0) return read_failed();
      counters_.drops.add(why);
    }
    return ReadStatus::kMore;
  }

  /// The device to which the socket is bound is one that the host cannot reach.
  [[nodiscard]] bool is_safe() const noexcept {
    return sealed_.seal == nullptr || sealed_.seal->device_number() == bound_;
  }

  // The device has gone, or is open to the host: nothing is carried, and it is tried again.
  ReadStatus read_unsealed(Time now) {
    if (now >= next_attempt_) {
      next_attempt_ = now + kAttemptEvery;
      attend();
      if (is_safe()) return ReadStatus::kMore;
    }
    const std::uint32_t there = sealed_.seal->device_number();
    if (!sealed_.reopens && there > bound_) return ReadStatus::kClosed;
    return let_go_unread(DropReason::kUnsealed);
  }

  // Goes on with the device that has come in the place of the one to which the socket was bound.
  void reopen() {
    const std::uint32_t number = sealed_.seal->device_number();
    if (!device_.find_again()) return;
    if (const auto bound = bind_to(fd_.get(), options_, device_); !bound) {
      if (!std::exchange(told_, true)) log::warn("{}; tried again", bound.error().message);
      return;
    }
    bound_ = number;
    told_ = false;
    went_down_ = false;
  }

  void read_statistics(Time now) {
    next_statistics_ = now + kStatisticsEvery;
    tpacket_stats stats{};
    socklen_t size = sizeof stats;
    // Reading sets the kernel's count back to 0.
    if (::getsockopt(fd_.get(), SOL_PACKET, PACKET_STATISTICS, &stats, &size) == 0) {
      counters_.rx_missed.add(stats.tp_drops);
    }
  }

  [[nodiscard]] std::size_t send_some(std::span<Packet> frames) override {
    std::size_t done = 0;
    waits_for_buffer_ = false;
    if (!is_safe()) {
      for (Packet& frame : frames) dropped(frame, DropReason::kUnsealed);
      return frames.size();
    }
    while (done < frames.size()) {
      const std::span<Packet> part =
          frames.subspan(done, std::min(frames.size() - done, kMaxBatch));
      const std::size_t ready = prepare_frames(part);
      if (ready == 0) {  // the first one cannot be prepared
        dropped(part[0], DropReason::kMalformedTransport);
        ++done;
        continue;
      }
      const int gone =
          ::sendmmsg(fd_.get(), out_.data(), static_cast<unsigned>(ready), MSG_DONTWAIT);
      if (gone < 0) {
        if (!refused(part[0])) return done;
        done += part[0] ? 0 : 1;
        continue;
      }
      for (int i = 0; i < gone; ++i) sent(part[static_cast<std::size_t>(i)]);
      done += static_cast<std::size_t>(gone);
    }
    return done;
  }

  [[nodiscard]] bool send_pieces(std::span<iovec> pieces) override {
    if (!is_safe()) return false;
    msghdr message{};
    message.msg_iov = pieces.data();
    message.msg_iovlen = pieces.size();
    return ::sendmsg(fd_.get(), &message, MSG_DONTWAIT) >= 0;
  }

  // Fills the messages for the frames up to the first that cannot be sent.
  std::size_t prepare_frames(std::span<Packet> frames) {
    for (std::size_t i = 0; i < frames.size(); ++i) {
      Packet& frame = frames[i];
      if (frame.meta().gso.is_super() && !prepare_super_frame(frame)) return i;
      out_headers_[i] = make_vnet_header(frame);
      out_pieces_[i][0] = {&out_headers_[i], sizeof out_headers_[i]};
      out_pieces_[i][1] = {frame.mutable_bytes().data(), frame.size()};
    }
    return frames.size();
  }

  // What errno says of the first frame. True: go on (the frame was let go, or try it again); false:
  // no room now.
  bool refused(Packet& frame) {
    switch (errno) {
      case EINTR:
        return true;
      case EAGAIN:
        waits_for_buffer_ = true;  // the socket's own: it becomes writable
        return false;
      case ENOBUFS:  // the device's queue
      case ENOMEM:
        return false;
      case EMSGSIZE:
        dropped(frame, DropReason::kTxTooLarge);
        return true;
      case ENETDOWN:
      case ENXIO:
      case ENODEV:
        dropped(frame, DropReason::kInterfaceDown);
        return true;
      case EINVAL:
        // A kernel older than 6.2 knows no UDP super-frames: from now on they are cut here.
        if (frame.meta().gso.kind == GsoKind::kUdp) udp_super_ = false;
        [[fallthrough]];
      default:
        dropped(frame, DropReason::kTxError);
        return true;
    }
  }

  const AfPacketOptions options_;
  const Sealed sealed_;  // outlives the socket
  Device device_;
  OwnedFd fd_;
  std::uint32_t bound_ = 1;  // to which device of the name (Seal::device_number)
  Time next_attempt_{};
  bool told_ = false;  // that it cannot be bound
  bool waits_for_buffer_ = false;
  bool went_down_ = false;  // and has delivered no frame since
  bool udp_super_ = true;
  std::size_t read_size_ = kMaxBatch;
  Time next_statistics_{};

  ReceiveSlots slots_;
  std::array<mmsghdr, kMaxBatch> in_{};
  struct alignas(cmsghdr) Control : std::array<std::uint8_t, kControlSize> {};
  std::array<Control, kMaxBatch> controls_{};

  std::array<mmsghdr, kMaxBatch> out_{};
  std::array<std::array<iovec, 2>, kMaxBatch> out_pieces_{};
  std::array<VnetHeader, kMaxBatch> out_headers_{};
};

Outcome<OwnedFd> open_socket(const AfPacketOptions& options) {
  OwnedFd fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd && errno == EPERM) {
    return fail(fmt::format("af_packet {}: not permitted; run as root or with CAP_NET_RAW",
                            options.device));
  }
  if (!fd) return fail(told(options, "socket"));
  if (!attach_filter(fd.get(), drop_all())) return fail(told(options, "socket filter"));
  if (!set_option(fd.get(), SOL_PACKET, PACKET_VNET_HDR, 1)) {
    return fail(told(options, "virtio header"));
  }
  if (!set_option(fd.get(), SOL_PACKET, PACKET_AUXDATA, 1)) return fail(told(options, "auxdata"));
  if (!set_option(fd.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)) {
    return fail(told(options, "ignoring own frames (Linux 4.20 or later)"));
  }
  if (options.qdisc_bypass && !set_option(fd.get(), SOL_PACKET, PACKET_QDISC_BYPASS, 1)) {
    return fail(told(options, "qdisc_bypass"));
  }
  // Twice the number is set, as the kernel counts its overhead in. Without the right, what the
  // system's limit allows.
  const int receive = static_cast<int>(options.receive_buffer / 2);
  const int send = static_cast<int>(options.send_buffer / 2);
  if (!set_option(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, receive)) {
    (void)set_option(fd.get(), SOL_SOCKET, SO_RCVBUF, receive);
  }
  if (!set_option(fd.get(), SOL_SOCKET, SO_SNDBUFFORCE, send)) {
    (void)set_option(fd.get(), SOL_SOCKET, SO_SNDBUF, send);
  }
  return fd;
}

Outcome<void> bind_to(int fd, const AfPacketOptions& options, const Device& device) {
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = device.index();
  // The sockets interface wants the general address type.
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail(told(options, "bind"));
  }
  if (!options.promiscuous) return {};
  packet_mreq membership{};
  membership.mr_ifindex = device.index();
  membership.mr_type = PACKET_MR_PROMISC;
  if (!set_option(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, membership)) {
    return fail(told(options, "promiscuous mode"));
  }
  return {};
}

// Joins the group that `group` names, or makes one and sets `group`.
Outcome<void> join_fanout(int fd, const AfPacketOptions& options, std::optional<int>& group) {
  int flags = kFanoutIgnoreOutgoing;
  if (!group) flags |= PACKET_FANOUT_FLAG_UNIQUEID;
  const int argument = group.value_or(0) | (PACKET_FANOUT_CBPF | flags) << 16;
  if (!set_option(fd, SOL_PACKET, PACKET_FANOUT, argument)) {
    return fail(told(options, "sharing the device between workers"));
  }
  if (group) return {};
  int made = 0;
  socklen_t size = sizeof made;
  if (::getsockopt(fd, SOL_PACKET, PACKET_FANOUT, &made, &size) != 0) {
    return fail(told(options, "sharing the device between workers"));
  }
  group = made & 0xffff;
  std::vector<sock_filter> program = make_fanout_program();
  const sock_fprog argument2{static_cast<unsigned short>(program.size()), program.data()};
  if (!set_option(fd, SOL_PACKET, PACKET_FANOUT_DATA, argument2)) {
    return fail(told(options, "spreading flows over workers"));
  }
  return {};
}

}  // namespace

Outcome<std::vector<std::unique_ptr<Interface>>> open_af_packet_workers(
    const AfPacketOptions& options, std::uint32_t workers) {
  if (workers == 0 || workers > kMaxAfPacketWorkers) {
    return fail(fmt::format("af_packet {}: {} workers; 1 to {} can share a device", options.device,
                            workers, kMaxAfPacketWorkers));
  }
  const auto device = Device::find("af_packet", options.device);
  if (!device) return std::unexpected(device.error());
  if (!device->is_ethernet()) {
    return fail(fmt::format("af_packet {}: not an Ethernet device", options.device));
  }
  std::vector<OwnedFd> sockets;
  std::optional<int> group;
  for (std::uint32_t i = 0; i < workers; ++i) {
    auto fd = open_socket(options);
    if (!fd) return std::unexpected(fd.error());
    if (auto bound = bind_to(fd->get(), options, *device); !bound) {
      return std::unexpected(bound.error());
    }
    if (workers > 1) {
      if (auto joined = join_fanout(fd->get(), options, group); !joined) {
        return std::unexpected(joined.error());
      }
    }
    sockets.push_back(std::move(*fd));
  }
  std::shared_ptr<Seal> seal;
  if (const SealUse use = options.seal.value_or(SealUse::kOff); use != SealUse::kOff) {
    auto sealed = Seal::open(options.device, use);
    if (!sealed) return std::unexpected(sealed.error());
    seal = std::move(*sealed);
  }
  std::vector<std::unique_ptr<Interface>> out;
  for (OwnedFd& fd : sockets) {
    if (seal != nullptr && !set_option(fd.get(), SOL_SOCKET, SO_MARK, seal->mark())) {
      return fail(told(options, "marking its frames"));
    }
    if (!attach_filter(fd.get(), wanted_frames(options.host_frames || seal != nullptr))) {
      return fail(told(options, "socket filter"));
    }
    auto own = Device::find("af_packet", options.device);
    if (!own) return std::unexpected(own.error());
    out.push_back(std::make_unique<AfPacket>(options, std::move(*own), std::move(fd),
                                             Sealed{.seal = seal,
                                                    .keeps = seal != nullptr && out.empty(),
                                                    .reopens = seal != nullptr && workers == 1}));
  }
  return out;
}

Outcome<std::unique_ptr<Interface>> open_af_packet(const AfPacketOptions& options) {
  auto one = open_af_packet_workers(options, 1);
  if (!one) return std::unexpected(one.error());
  return std::move(one->front());
}

}  // namespace vtl::iface
