// UdtLibrary: the one instance of libudt in the process, and its UDP ports.
//
// Theory of operation. libudt keeps a multiplexer per UDP port: a socket, a sending and a receiving
// thread. An idle receiving thread wakes with every tick of the kernel's timer or two (it waits 100
// us, which the kernel rounds up to a tick: 125 times a second at HZ=250), so ports are precious:
// all that we open or accept on one local port shares its multiplexer, and what has no local port
// shares one of the system's choice. libudt finds a multiplexer by port, packet size and IP version
// alone, so two addresses cannot have the same port in one process. We make the UDP socket
// ourselves: then an address in use is told with the system's reason, and the kernel's buffers may
// be forced.
//
// A port, once made, stays until the process ends: libudt frees a listener only seconds after it
// was closed, and a configuration that is loaded again wants it back at once. A port that nobody
// listens on closes what it accepts.
//
// Thread rule: any thread. A thread per port blocks in UDT::accept and posts to the reactor of the
// listener. libudt is cleaned up at exit, after the accepting threads were stopped, unless an
// attempt to connect is still open: then its threads end with the process.
#pragma once

#include <memory>

#include "vtl/base/reactor.h"
#include "vtl/base/result.h"
#include "vtl/transport/channel.h"
#include "vtl/transport/options.h"
#include "vtl/transport/transport.h"

namespace vtl::transport {

class UdtPort {
 public:
  virtual ~UdtPort() = default;
  /// A new socket of this port with the options' buffers, ready to connect.
  [[nodiscard]] virtual Outcome<int> make_socket(const Options& options) = 0;
  /// Listens, for `on_accept` on the reactor's thread, until the result is destroyed there.
  [[nodiscard]] virtual Outcome<std::unique_ptr<RawListener>> listen(const Options& options,
                                                                     Reactor& reactor,
                                                                     AcceptFunction on_accept) = 0;
  [[nodiscard]] virtual wire::SocketAddress address() const noexcept = 0;
  [[nodiscard]] virtual const RateCounters& rate_counters() const noexcept = 0;
};

/// The port of options.local, or one to open from; lives as long as the process.
[[nodiscard]] Outcome<UdtPort*> udt_port(const Options& options);

/// Closes a socket in any state; an attempt to connect ends a third of a second later
/// (udt_ending.h).
void close_udt(int socket);

/// libudt's text for the last error of this thread, without its newline.
[[nodiscard]] std::string udt_error();

}  // namespace vtl::transport
