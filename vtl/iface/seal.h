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
// Needs CAP_NET_ADMIN to open and to end. The clsact queueing discipline stays behind; others may
// use it by then.
// Thread rule: any thread, one at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "vtl/base/result.h"
#include "vtl/iface/device.h"
#include "vtl/iface/seal_filters.h"

namespace vtl::iface {

enum class SealUse : std::uint8_t {
  kOff,
  kOn,    ///< taken away at an orderly end by who made it
  kKeep,  ///< stays when VTL ends
};

class Seal {
 public:
  /// `use`: not kOff. The error says which step the kernel refused.
  [[nodiscard]] static Outcome<std::shared_ptr<Seal>> open(const std::string& device, SealUse use);
  ~Seal();
  Seal(const Seal&) = delete;
  Seal& operator=(const Seal&) = delete;

  /// What the frames of a socket that sends to the guest must carry; not 0.
  [[nodiscard]] std::uint32_t mark() const noexcept { return mark_; }

 private:
  Seal(Device device, SealUse use, OwnedFd claim, SealFilters filters);
  [[nodiscard]] Outcome<void> put();

  const Device device_;
  SealUse use_;
  OwnedFd claim_;
  SealFilters filters_;
  const std::uint32_t mark_;
};

}  // namespace vtl::iface
