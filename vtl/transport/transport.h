// Transport: byte streams to a peer. One interface over UDT, kernel TCP, later SOCKS5 and QUIC.
//
// A stream carries bytes both ways with backpressure, closes each direction on its own (whether the
// protocol below knows half-close or not), and says why it ended. open() sends a preface with the
// stream; the listener sees the preface, and accepts or refuses it with a reason that reaches the
// opener: so a refused connection behind the peer is told from an unreachable one. Peers prove that
// they know the shared key before any preface is read (peer_auth.h).
//
// Thread rule: everything here is called, and calls back, on the thread of the Reactor given to the
// transport. An implementation may run threads of its own inside.
// Invariants: after on_refused or on_reset nothing more is called. A handler may destroy its stream
// inside any callback. No buffer without a bound.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "vtl/base/bytes.h"
#include "vtl/base/counter.h"
#include "vtl/base/reactor.h"
#include "vtl/base/result.h"
#include "vtl/wire/addresses.h"

namespace vtl::transport {

/// Why a stream could not be opened, or ended before both directions were closed in order.
enum class StreamError : std::uint8_t {
  kRefused = 1,         ///< the destination answered with a reset
  kHostUnreachable,     ///< the destination's host or next hop did not answer, or ICMP said so
  kNetworkUnreachable,  ///< ICMP said so
  kTimedOut,            ///< the destination was silent
  kReset,               ///< a reset in the middle of the connection
  kPeerDown,            ///< the transport to the peer could not be made, or broke
  kNotAuthenticated,    ///< one side does not know the shared key
  kLimit,               ///< a bound on streams or memory was met
  kProtocol,            ///< the peer sent what it may not
};
[[nodiscard]] std::string_view to_string(StreamError error) noexcept;

/// What a stream calls back. See the thread rule.
class StreamHandler {
 public:
  virtual ~StreamHandler() = default;
  /// The listener has accepted; write() works from now on (opener only).
  virtual void on_open() = 0;
  virtual void on_refused(StreamError reason) = 0;
  /// read() would return bytes, or the end. Called again only after read() has returned 0.
  virtual void on_readable() = 0;
  /// write() would take bytes again, after it took fewer than given.
  virtual void on_writable() = 0;
  /// The stream broke or was aborted by the peer. Told once all that had arrived here before was
  /// read, as a kernel lets it be read before a reset; write() has taken nothing since the break.
  /// Who reads less than 4 KiB in a minute after the break is told without the rest.
  virtual void on_reset(StreamError reason) = 0;
};

class Stream {
 public:
  /// Destroying a stream that is not closed both ways aborts it with kReset.
  virtual ~Stream() = default;

  /// Takes up to bytes.size() octets; fewer, 0 included, means wait for on_writable().
  [[nodiscard]] virtual std::size_t write(Bytes bytes) = 0;
  /// Reads up to out.size() octets. 0 means wait for on_readable(), unless at_end().
  [[nodiscard]] virtual std::size_t read(MutableBytes out) = 0;
  /// True when the peer has shut its writing side and everything was read.
  [[nodiscard]] virtual bool at_end() const noexcept = 0;
  /// No more writes; what was written is delivered, then the peer's read side ends.
  virtual void shutdown() = 0;
  /// Ends both directions now; the peer's handler gets on_reset(reason).
  virtual void abort(StreamError reason) = 0;

  /// The smoothed round-trip time as the protocol measures it; zero when unknown.
  [[nodiscard]] virtual Duration round_trip() const noexcept = 0;
  /// Octets written that the peer has not acknowledged, as far as known.
  [[nodiscard]] virtual std::size_t unsent() const noexcept = 0;
};

/// A stream that a peer wants to open: call accept() or refuse() once, now or later. Destroying it
/// refuses with kLimit.
class IncomingStream {
 public:
  virtual ~IncomingStream() = default;
  [[nodiscard]] virtual Bytes preface() const noexcept = 0;
  [[nodiscard]] virtual wire::SocketAddress from() const noexcept = 0;
  /// Null after the opener gave up.
  [[nodiscard]] virtual std::unique_ptr<Stream> accept(StreamHandler& handler) = 0;
  virtual void refuse(StreamError reason) = 0;
  /// Called when the opener gives up before accept() or refuse().
  virtual void on_cancelled(std::function<void()> callback) = 0;
};

/// Counters of one transport on one worker; any thread reads.
struct TransportCounters {
  Counter opened, accepted, refused, reset, authentication_failures, bytes_out, bytes_in;
  Counter half_open_limited;  ///< connections closed at Options::max_half_open
  Counter connect_failures;   ///< attempts to reach the peer that failed
  Counter window_bytes;       ///< gauge: octets that the peer may have under way toward here
  Counter window_limited;     ///< times that Options::memory kept a window from growing
  Counter memory_refused;     ///< streams refused because not even a first window was left
};

/// What VTL's own rate control of UDT has done on one local port; any thread reads.
struct RateCounters {
  Counter connections;   ///< made, with the peer's and ours
  Counter packets_sent;  ///< of data, those sent again too
  Counter packets_lost;  ///< reported by the receiver
  Counter reductions;    ///< times that loss beyond what is tolerated made it slower
  Counter timeouts;      ///< times that nothing was heard and all was sent again
};

/// A way to one configured peer, and from it.
class Transport {
 public:
  virtual ~Transport() = default;
  /// "udt", "tcp".
  [[nodiscard]] virtual std::string_view kind() const noexcept = 0;
  /// Opens a stream to the peer. The answer comes through `handler`, never before open() returned.
  /// `preface`: at most kMaxPreface octets.
  [[nodiscard]] virtual std::unique_ptr<Stream> open(Bytes preface, StreamHandler& handler) = 0;
  /// Takes the streams that peers open, from now on.
  virtual void listen(std::function<void(std::unique_ptr<IncomingStream>)> on_incoming) = 0;
  /// False while the last attempts to reach the peer failed; probed in the background.
  [[nodiscard]] virtual bool peer_up() const noexcept = 0;
  [[nodiscard]] virtual const TransportCounters& counters() const noexcept = 0;
  /// Of the local port, which peers and workers may share; null without such a control.
  [[nodiscard]] virtual const RateCounters* rate_counters() const noexcept { return nullptr; }
  /// Where it listens; unspecified when it does not.
  [[nodiscard]] virtual wire::SocketAddress local_address() const noexcept { return {}; }
};

inline constexpr std::size_t kMaxPreface = 512;

}  // namespace vtl::transport
