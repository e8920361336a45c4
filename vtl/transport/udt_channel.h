// UDT channels: libudt 4.11 below, real UDT4 on the wire.
//
// Theory of operation. libudt has threads of its own that move packets; we only put octets into its
// send buffer and take them out of its receive buffer, without blocking, on the worker. Readiness
// is polled: libudt's epoll waits in steps of 10 ms, never reports an error, keeps the numbers of
// dead sockets and can lose an event between a reader and its own thread. A carrier has one timer
// descriptor; each tick asks every active channel for its state (a lock and a map lookup, some
// 150 ns): every millisecond while the channel is active, every 10 ms while it is idle, and never
// when there is none.
//
// What else libudt does that this file knows: data becomes readable when the receiver acknowledges
// it, at once after a packet that is not full, otherwise with the next packet after 10 ms, and when
// none comes 100 ms later. A sender whose window is spent then stands still for 100 ms, in slow
// start at every doubling. So writes go out in bursts of a first window's size that end on a packet
// one octet short. Every send() begins a new packet, so small pieces are gathered above;
// "would block" is an exception inside, so a short transfer is remembered and not tried again
// before the next tick; the end of the peer's process is noticed only after some 46 s without a
// packet.
//
// An attempt to connect is ended here after 2 s, in time before libudt gives it up by itself
// (udt_ending.h).
//
// Thread rule: the reactor's thread.
#pragma once

#include <memory>

#include "vtl/base/reactor.h"
#include "vtl/base/result.h"
#include "vtl/transport/channel.h"
#include "vtl/transport/options.h"

namespace vtl::transport {

[[nodiscard]] Outcome<std::unique_ptr<Carrier>> make_udt_carrier(const Options& options,
                                                                 Reactor& reactor);
[[nodiscard]] Outcome<std::unique_ptr<RawListener>> make_udt_listener(const Options& options,
                                                                      Reactor& reactor,
                                                                      AcceptFunction on_accept);
void discard_udt(int pipe);

}  // namespace vtl::transport
