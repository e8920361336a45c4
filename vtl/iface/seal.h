// Seal: the host's own network stack gets no frame of a device, and the device none of the host's.
//
// What it is: a filter at the device's ingress (tc, clsact) that drops everything, and one at its
// egress that drops everything but the frames of VTL's own sockets, which carry a mark; both before
// any other filter there (seal_filters.h). AF_PACKET sockets read a frame before it comes to the
// ingress filter, so whoever reads the device so sees all of them, and the host's bridges, routes,
// services and addresses see none. What the host says by itself (ARP, router solicitations,
// multicast reports), forwards, or floods to a bridge's port, does not reach the guest.
//
// The mark (SO_MARK) is drawn at random for each seal, so that no other frame of the host has it by
// chance; a socket that sends past the queueing discipline (PACKET_QDISC_BYPASS) passes no filter
// and needs none.
//
// It is what makes a guest's isolation hold whatever the host is: forwarding, an address on the
// device, a service that listens. When VTL dies the seal stays, and the guest is cut off instead of
// set free; the next open() takes it over with a mark of its own, in one step for each filter, and
// leaves it at its end: who did not make a seal does not take it away. Who made it does so at an
// orderly end, unless it is to be kept. One process at a time has the seal of a device: a second
// one's open() fails before it touches anything.
//
// The kernel's notifications (rtnetlink: links and traffic control) tell when a filter was taken
// away or replaced, or the device removed and made again under its name: what is missing is put
// back at once. Between the loss and that (about a millisecond) the device stands open; when it
// cannot be put back nobody is to use the device (device_number()), and it is tried again with each
// attend(). A missed notification means that everything is looked at.
//
// Needs CAP_NET_ADMIN all the time. The clsact queueing discipline stays behind; others may use it
// by then.
// Thread rule: device_number() and state() from any thread; all else one at a time.
// Bounds: kDatagrams notifications are read by one attend(), each of at most kDatagram octets.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "vtl/base/result.h"
#include "vtl/base/time.h"
#include "vtl/iface/device.h"
#include "vtl/iface/interface.h"
#include "vtl/iface/seal_filters.h"

namespace vtl::iface {

enum class SealUse : std::uint8_t {
  kOff,
  kOn,    ///< taken away at an orderly end by who made it
  kKeep,  ///< stays when VTL ends
};

class Seal {
 public:
  static constexpr int kDatagrams = 64;
  static constexpr std::size_t kDatagram = std::size_t{32} << 10;

  /// `use`: not kOff. The error says which step the kernel refused.
  [[nodiscard]] static Outcome<std::shared_ptr<Seal>> open(const std::string& device, SealUse use);
  ~Seal();
  Seal(const Seal&) = delete;
  Seal& operator=(const Seal&) = delete;

  /// Takes a seal away that was kept, or left by a VTL that died; false when there is none. The
  /// error: a running VTL has it, or the kernel refuses.
  [[nodiscard]] static Outcome<bool> remove(const std::string& device);

  /// What the frames of a socket that sends to the guest must carry; not 0.
  [[nodiscard]] std::uint32_t mark() const noexcept { return mark_; }

  /// Becomes readable when there is something to attend() to.
  [[nodiscard]] int events_fd() const noexcept;
  /// Reads the notifications, and puts back what is missing.
  void attend();

  /// Which device of this name is sealed now: 1 for the first, one more for each that was made
  /// again. 0: it has gone, or has lost its seal.
  [[nodiscard]] std::uint32_t device_number() const noexcept {
    return device_number_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] SealState state() const;

 private:
  Seal(Device device, SealUse use, OwnedFd claim, SealFilters filters, MnlSocket events);
  [[nodiscard]] bool missed_something();
  [[nodiscard]] bool is_told_of(const void* datagram, std::size_t size);
  void look();
  [[nodiscard]] Outcome<bool> close_device(bool fresh);
  void settle(std::string trouble, bool put_back);

  Device device_;
  const SealUse wanted_use_;
  SealUse use_;  // of the filters that are there now
  OwnedFd claim_;
  SealFilters filters_;
  MnlSocket events_;
  const std::uint32_t mark_;
  Time warned_{};
  bool removed_ = false;  // told so, and not looked for its successor since
  std::uint32_t devices_ = 1;
  std::atomic<std::uint32_t> device_number_{0};

  mutable std::mutex mutex_;
  SealState state_;  // guarded by mutex_
};

}  // namespace vtl::iface
