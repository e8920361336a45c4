// QEMU interfaces: the network card of an unmodified QEMU, through its stream socket.
//
//   qemu -netdev stream,id=n0,addr.type=unix,addr.path=/run/vm1.sock   (VTL listens; QEMU 7.2)
//   qemu -netdev socket,id=n0,connect=127.0.0.1:5555                   (VTL listens; older ones)
//
// Every frame is preceded by its length, four octets in network order. One machine is connected at
// a time; while none is, the interface is down and what is written is dropped as kInterfaceDown.
// Listening, VTL waits for the next machine when one goes (others wait to be accepted); connecting,
// it tries again every `retry`. A machine that sends a length that no frame has is disconnected and
// kRxError counted. The protocol knows no offloads: super-frames are cut, checksums finished.
// Limits: 256 KiB are read ahead; one frame may be half-sent; the rest is backpressure.
#pragma once

#include <memory>
#include <string>

#include "vtl/iface/interface.h"

namespace vtl::iface {

struct QemuOptions {
  std::string name{};     ///< in listings; empty: the address
  std::string address{};  ///< "unix:/run/vm1.sock", or "127.0.0.1:5555", "[::1]:5555"
  bool listen = true;     ///< or connect to a QEMU that listens (`server=on`, `listen=`)
  std::size_t mtu = 1500;
  Duration retry = 1s;  ///< between attempts to connect
};

/// The folder of a unix socket is made when it is missing. A stale socket file, on which nobody
/// listens, is replaced (a file of another kind is an error); it is removed at the end.
[[nodiscard]] Outcome<std::unique_ptr<Interface>> open_qemu(const QemuOptions& options);

}  // namespace vtl::iface
