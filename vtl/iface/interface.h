// Interface: a place where frames enter and leave. The Network Interface API.
//
// An interface never blocks. It reads and writes batches, tells readiness through a file descriptor
// and says what it can carry; a frame that it cannot carry as it is (super-frame, partial checksum)
// it segments or completes itself, in software. A full transmit queue is backpressure: write()
// returns early and the rest stays with the caller. It never hands back frames that were sent
// through it, and leaves frames addressed to the host's own MAC on that device to the host.
//
// Decorators (capture, trace) wrap any interface and are interfaces.
// Thread rule: one thread per Interface object; counters may be read from any. For several workers
// on one device each worker opens its own Interface of one fanout group.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "vtl/base/counter.h"
#include "vtl/base/result.h"
#include "vtl/packet/packet.h"
#include "vtl/wire/addresses.h"

namespace vtl::iface {

class CutThrough;

struct Capabilities {
  bool super_frames_in = false;   ///< may deliver super-frames
  bool super_frames_out = false;  ///< carries super-frames without cutting them
  bool partial_checksum = false;  ///< carries kPartial as it is
  std::size_t mtu = 1500;         ///< octets of payload after the Ethernet header
  std::uint32_t queues = 1;       ///< how many workers may share the device
};

struct InterfaceCounters {
  Counter rx_frames, rx_bytes, rx_super_frames, tx_frames, tx_bytes, tx_super_frames;
  /// Frames lost before VTL could read them, as the kernel tells.
  Counter rx_missed;
  DropCounters drops;
};

/// How far the host is kept away from an interface's device (seal.h).
struct SealState {
  bool whole = false;
  std::string trouble{};      ///< not whole: why, and what would be right
  std::uint64_t reseals = 0;  ///< how often what was lost has been put back
};

enum class ReadStatus : std::uint8_t {
  kOk,      ///< read what there was (perhaps nothing); wait for readiness
  kMore,    ///< the batch is full and there is probably more
  kClosed,  ///< end of file, peer gone, or device removed: no more will come
};

class Interface {
 public:
  virtual ~Interface() = default;

  /// The name in listings: the device's, socket's or file's.
  [[nodiscard]] virtual const std::string& name() const noexcept = 0;
  /// Becomes readable when read() would return frames; -1 when always ready (files, memory).
  [[nodiscard]] virtual int fd() const noexcept = 0;
  [[nodiscard]] virtual Capabilities capabilities() const noexcept = 0;
  /// The device's own MAC address; zero where there is none.
  [[nodiscard]] virtual wire::MacAddress mac() const noexcept = 0;
  /// False while the carrier or the device is down.
  [[nodiscard]] virtual bool is_up() const noexcept { return true; }

  /// Appends up to kMaxBatch frames from `pool` to `batch`, arrival times set to `now`. An
  /// interface may keep buffers of the pool between reads: give the same pool each time, and
  /// destroy the interface before the pool.
  [[nodiscard]] virtual ReadStatus read(PacketPool& pool, Time now, Batch& batch) = 0;

  /// Sends from the front of `batch` and returns how many frames it is done with (sent, or dropped
  /// and counted); they are left empty in the batch. Fewer than batch.size() means that the
  /// transmit queue is full: try the rest when writable or later. An empty packet in the batch
  /// stands for nothing new: it is what a frame becomes while a part of it (segments of a
  /// super-frame, the rest of a frame in a stream) still waits inside for room.
  [[nodiscard]] virtual std::size_t write(std::span<Packet> batch) = 0;
  /// Whether this interface sends frames in pieces.
  [[nodiscard]] virtual bool gathers() const noexcept { return false; }
  static constexpr std::size_t kMostGathered = 8;  ///< pieces of payload in write_gathered()
  /// Sends one super-frame of TCP now: `head`, which is all of its headers and nothing else,
  /// checksum partial, with the metadata of the whole, and behind them `payload`, up to
  /// kMostGathered pieces. Nothing is kept of either. False: nothing was sent nor counted, for want
  /// of room or any other reason; the caller makes it one frame, and write() counts the drop or
  /// reports the full queue.
  [[nodiscard]] virtual bool write_gathered(const Packet& head, std::span<const Bytes> payload) {
    (void)head, (void)payload;
    return false;
  }
  /// Whether fd() becomes writable after write() fell short; otherwise the caller tries again
  /// later.
  [[nodiscard]] virtual bool signals_writable() const noexcept { return false; }

  /// Becomes readable when there is something to attend() to beside frames: what becomes of the
  /// device, say. -1: there never is.
  [[nodiscard]] virtual int events_fd() const noexcept { return -1; }
  /// Bounded work; called when events_fd() is readable, and at any other time.
  virtual void attend() {}
  /// Not set: nothing is sealed.
  [[nodiscard]] virtual std::optional<SealState> seal() const { return std::nullopt; }

  /// From now on leaves unread what `cut` forwards (cut_through.h); false when this kind of
  /// interface, or the kernel, cannot.
  [[nodiscard]] virtual bool leave_to(const CutThrough& cut) {
    (void)cut;
    return false;
  }

  [[nodiscard]] virtual const InterfaceCounters& counters() const noexcept = 0;
};

}  // namespace vtl::iface
