// Seal: the host's own network stack gets no frame of a device.
//
// What it is: a filter at the device's ingress (tc, clsact) that drops everything, before any other
// filter there. AF_PACKET sockets read a frame before it comes to the filter, so whoever reads the
// device so sees all of them, and the host's bridges, routes, services and addresses see none. The
// filter is classic BPF, which takes no right but CAP_NET_ADMIN in the device's namespace.
//
// It is what makes a guest's isolation hold whatever the host is: forwarding, an address on the
// device, a service that listens. When VTL dies the seal stays, and the guest is cut off instead of
// set free; the next open() takes it over, and leaves it at its end: who did not make a seal does
// not take it away. Who made it does so at an orderly end, unless it is to be kept. By hand: `tc
// filter del dev DEVICE ingress pref 1`.
//
// Needs CAP_NET_ADMIN to open and to end. The clsact queueing discipline stays behind; others may
// use it by then. Frames that the host sends out of the device are not touched.
// Thread rule: any thread, one at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "vtl/base/result.h"

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

 private:
  Seal(int device, SealUse use) noexcept : device_(device), use_(use) {}
  const int device_;
  const SealUse use_;
};

}  // namespace vtl::iface
