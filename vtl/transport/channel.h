// Channel: a raw byte pipe to a peer; Carrier: how channels are made on one worker.
//
// A channel carries bytes in order, both ways, and nothing else: no half-close, no reason for its
// end. Framing and streams stand above (framing.h, connection.h). Implementations: tcp_channel.h,
// udt_channel.h.
//
// Thread rule: the thread of the reactor that the carrier was made with. Nothing calls back inside
// a call. A handler must not destroy its channel inside a callback: it posts that.
// Invariants: after on_channel_broken() nothing more is called. What arrived before the end can
// still be read, but not for long (libudt forgets a broken socket after some 30 s); read() answers
// kBroken (or 0, when the pipe itself still stands) once nothing is left.
#pragma once

#include <functional>
#include <memory>
#include <span>

#include "vtl/base/bytes.h"
#include "vtl/base/reactor.h"
#include "vtl/base/result.h"
#include "vtl/wire/addresses.h"

namespace vtl::transport {

struct RateCounters;

class ChannelHandler {
 public:
  virtual ~ChannelHandler() = default;
  /// A channel from connect() is through. Accepted channels are from the start.
  virtual void on_channel_connected() = 0;
  /// Level-triggered, for what want() asks.
  virtual void on_channel_ready(Readiness ready) = 0;
  /// It could not connect, or it broke, or the peer closed it and everything was read.
  virtual void on_channel_broken() = 0;
};

enum class ChannelError : std::uint8_t { kBroken };

class Channel {
 public:
  /// Closes. What the layer below holds is still delivered, within the bound of its linger.
  virtual ~Channel() = default;
  virtual void set_handler(ChannelHandler& handler) noexcept = 0;

  /// Takes octets of the pieces in order and returns how many; 0: wait for kWritable.
  [[nodiscard]] virtual Result<std::size_t, ChannelError> write(std::span<const Bytes> pieces) = 0;
  /// Fills the pieces in order and returns how many octets; 0: wait for kReadable. kBroken: the end
  /// has come, and everything before it was read.
  [[nodiscard]] virtual Result<std::size_t, ChannelError> read(
      std::span<const MutableBytes> pieces) = 0;
  /// What to be told of. After kNone the next read() looks for itself whether there is something.
  virtual void want(Readiness interest) = 0;
  /// No more writes follow; TCP passes it on, UDT knows nothing like it.
  virtual void end_writing() = 0;

  /// True: a write of several pieces costs as little as one. False: better one large piece.
  [[nodiscard]] virtual bool gathers() const noexcept = 0;
  [[nodiscard]] virtual Duration round_trip() const noexcept = 0;
  /// Octets taken by write() that the peer has not acknowledged.
  [[nodiscard]] virtual std::size_t unsent() const noexcept = 0;
  [[nodiscard]] virtual wire::SocketAddress peer_address() const noexcept = 0;

  /// Lets go of the pipe without closing it, to be taken up by a carrier of the same kind on
  /// another worker. The channel is of no use afterwards.
  [[nodiscard]] virtual int release() noexcept = 0;
};

class Carrier {
 public:
  virtual ~Carrier() = default;
  /// Begins to connect; the channel says when it is through.
  [[nodiscard]] virtual Outcome<std::unique_ptr<Channel>> connect() = 0;
  /// Takes up what another carrier's channel released, or what a listener accepted.
  [[nodiscard]] virtual std::unique_ptr<Channel> adopt(int pipe,
                                                       const wire::SocketAddress& from) = 0;
  /// See Transport::rate_counters().
  [[nodiscard]] virtual const RateCounters* rate_counters() const noexcept { return nullptr; }
};

/// Takes what arrives at a local address. `on_accept` gets a pipe for Carrier::adopt().
class RawListener {
 public:
  virtual ~RawListener() = default;
  /// Where it listens: the port chosen by the system when 0 was asked for.
  [[nodiscard]] virtual wire::SocketAddress address() const noexcept = 0;
};
using AcceptFunction = std::function<void(int pipe, const wire::SocketAddress& from)>;

/// Closes a pipe that no channel took up.
using DiscardFunction = void (*)(int pipe);

}  // namespace vtl::transport
