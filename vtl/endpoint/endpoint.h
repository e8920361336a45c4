// Endpoint: one end of a TCP connection, played by VTL toward a real stack.
//
// Theory of operation. The endpoint is a pure state machine with three doors: process() takes a
// segment, dispatch() makes the segments that are to be sent, poll_at() says when dispatch() wants
// to run next. It makes no system call, reads no clock and draws no random number. On the other
// side is the byte stream: peek()/consume() for what arrived in order, write() for what is to be
// sent, shutdown() and abort(). One process() call handles a super-frame of up to 64 KiB in one
// pass; one emitted segment may be a super-frame too, to be cut at `segment_size`.
//
// The files, by concern: handshake; receive, reassembly, report (what is told by SACK); send;
// acknowledgement, scoreboard, rack, tail_probe, recovery, prr, undo (losses); congestion, ecn,
// rtt, path_mtu, timers; stream, autotune. State is one enum with one set_state(); see
// connection.h.
//
// Thread rule: one thread.
// Invariants: SND.UNA <= SND.NXT <= SND.MAX; nothing is sent beyond the peer's window save one
// zero-window probe; buffers never exceed their bounds; if poll_at(now) <= now, dispatch() makes
// progress (sends something, or moves the deadline); what was acknowledged is readable or was read.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "vtl/base/byte_queue.h"
#include "vtl/base/function_ref.h"
#include "vtl/base/time.h"
#include "vtl/endpoint/congestion.h"
#include "vtl/wire/tcp.h"

namespace vtl::endpoint {

/// RFC 9293 section 3.3.2.
enum class State : std::uint8_t {
  kClosed,
  kListen,
  kSynSent,
  kSynReceived,
  kEstablished,
  kFinWait1,
  kFinWait2,
  kCloseWait,
  kClosing,
  kLastAck,
  kTimeWait,
};
[[nodiscard]] std::string_view to_string(State state) noexcept;  // "fin-wait-1"

/// Why a connection ended other than in order.
enum class EndReason : std::uint8_t {
  kNone,
  kRefused,     ///< RST in answer to our SYN
  kReset,       ///< RST from the peer
  kTimedOut,    ///< retransmissions, probes or keep-alives went unanswered
  kAborted,     ///< abort() was called here
  kUnreachable  ///< soft error that was last when the handshake timed out, or a hard ICMP error
};
[[nodiscard]] std::string_view to_string(EndReason reason) noexcept;

/// Explicit congestion notification (RFC 3168).
enum class Ecn : std::uint8_t {
  kOff,     ///< neither asked for nor agreed to
  kAccept,  ///< agreed to when the peer's SYN asks
  kRequest  ///< asked for in our SYN, too
};

/// RFC 9293 section 3.7.1, MUST-15: what a peer takes that offers no MSS.
inline constexpr std::uint16_t kDefaultMss = 536;
inline constexpr std::uint16_t kDefaultMssV6 = 1220;

struct Config {
  std::uint16_t mss = 1460;                 ///< offered in our SYN; from the interface's MTU
  std::uint16_t default_mss = kDefaultMss;  ///< of a peer that offers none; kDefaultMssV6 on IPv6
  std::uint8_t window_scale = 7;            ///< offered; 0..14, less for a small receive buffer
  bool offer_window_scale = true;
  bool offer_timestamps = true;
  bool offer_sack = true;  ///< RFC 2018, both ways; with it RACK-TLP (RFC 8985) finds what is lost
  /// Octets, bound of unread and out-of-order data. The window begins with the initial ones and
  /// grows with what is read in a round trip (autotune.cc). Equal: it does not grow.
  std::size_t receive_buffer = std::size_t{1} << 20;
  std::size_t receive_buffer_initial = std::size_t{256} << 10;
  /// Octets, bound of unacknowledged and unsent data. Begins with the initial ones and follows the
  /// congestion window.
  std::size_t send_buffer = std::size_t{1} << 20;
  std::size_t send_buffer_initial = std::size_t{256} << 10;
  std::size_t max_super_frame =
      65000;  ///< payload octets of one emitted segment; mss = no super-frames
  bool nagle = false;
  Ecn ecn = Ecn::kAccept;
  Duration delayed_ack = 40ms;  ///< RFC 9293 section 3.8.6.3: below 500 ms
  Duration min_rto = 200ms;     ///< below RFC 6298's 1 s, as Linux does; docs/rfc.md
  Duration max_rto = 120s;
  Duration initial_rto = 1s;  ///< RFC 6298 section 2.1
  std::uint8_t syn_retries = 6;
  Duration user_timeout = 924s;  ///< data unacknowledged for this long: kTimedOut
  Duration time_wait = 60s;
  Duration keep_alive_idle = Duration::zero();  ///< zero: off
  Duration keep_alive_interval = 75s;
  std::uint8_t keep_alive_probes = 9;
  Congestion congestion = Congestion::kCubic;
  /// Where the buffers' memory comes from, shared by many endpoints; null: the heap. When it is
  /// spent write() takes less, and the window offered to the peer stays shut.
  ChunkPool* pool = nullptr;

  bool operator==(const Config&) const = default;
};

/// A Config within its ranges, shared by all endpoints that were made with it: an endpoint keeps a
/// reference, not a copy. Made from a Config wherever one is expected. Thread rule: a value.
class SharedConfig {
 public:
  SharedConfig() : SharedConfig(Config{}) {}
  SharedConfig(const Config& config);  // NOLINT(google-explicit-constructor)
  [[nodiscard]] const Config& operator*() const noexcept { return *config_; }
  [[nodiscard]] const Config* operator->() const noexcept { return config_.get(); }

 private:
  std::shared_ptr<const Config> config_;
};

/// Finds the SharedConfig that equals a Config, so that whoever makes a Config for each connection
/// keeps only the few different ones. Remembers the last kMost. Thread rule: one thread.
class ConfigCache {
 public:
  static constexpr std::size_t kMost = 64;
  [[nodiscard]] SharedConfig share(const Config& config);

 private:
  struct Entry {
    Config asked;  ///< as it was before it was brought within its ranges
    SharedConfig shared;
  };
  std::vector<Entry> entries_;
  std::size_t oldest_ = 0;
};

/// Reads at once: takes up to bytes.size() octets and returns how many; fewer, and the rest waits
/// to be read. It calls nothing of the endpoint.
using Reader = FunctionRef<std::size_t(Bytes bytes)>;

/// A received segment. The IP layer's ECN field comes along; `segments` tells how many wire
/// segments a super-frame stands for (for delayed ACKs and counting).
struct Segment {
  wire::TcpFields header;
  Bytes payload;
  std::uint16_t segments = 1;
  bool ce = false;  ///< IP ECN field was CE
  /// Shown the text where it is the next to be read, before it is stored; null: nobody is.
  const Reader* reader = nullptr;
};

/// A segment to be sent. The payload lies in the send buffer as up to `pieces` consecutive spans
/// and is valid only during the emit call.
struct OutSegment {
  wire::TcpFields header;
  std::span<const Bytes> payload;
  std::size_t payload_size = 0;
  std::uint16_t segment_size = 0;  ///< payload per wire segment; larger payloads are super-frames
  bool retransmission = false;
  bool ect = false;  ///< the IP header is to say ECT(0) (RFC 3168 section 5)
};

/// Where dispatch() hands its segments. False: the interface takes no more now; the segment counts
/// as not sent and dispatch() stops. The callable lives during the dispatch() call only.
using Emit = FunctionRef<bool(const OutSegment&)>;

struct EndpointStats {
  std::uint64_t segments_in = 0, segments_out = 0, bytes_in = 0, bytes_out = 0;
  std::uint32_t retransmissions = 0, timeouts = 0, fast_retransmits = 0, out_of_order = 0,
                duplicates = 0, zero_window_probes = 0, challenge_acks = 0, paws_drops = 0,
                out_of_window = 0;
  /// Pieces of data out of order given up at a bound of the reassembly (reassembly.h).
  std::uint32_t pieces_forgotten = 0;
  std::uint32_t mtu_ignored = 0;          ///< calls of packet_too_big() that did not fit
  std::uint32_t ce_received = 0;          ///< segments that came marked Congestion Experienced
  std::uint32_t ecn_reductions = 0;       ///< windows reduced because the peer echoed such a mark
  std::uint32_t tail_probes = 0;          ///< RFC 8985 section 7
  std::uint32_t needless_recoveries = 0;  ///< reductions of the window that were taken back
};

class Connection;  // the state of RFC 9293, private to the room (connection.h)

class Endpoint {
 public:
  /// Whose connection it is. Of our address and port and the peer's only the ports enter segments;
  /// addresses are the caller's matter.
  struct Identity {
    wire::Port local;
    wire::Port remote;
    /// Where the clock of our timestamps begins (RFC 7323 section 5.4): the same for all
    /// connections between two addresses, so that a later one never seems older. Unset: made from
    /// the ISS.
    std::optional<std::uint32_t> timestamp_offset{};
  };

  /// An active opener: the SYN goes out at the first dispatch(). `iss`: initial sequence number
  /// (RFC 6528; the caller draws it).
  static Endpoint connect(const SharedConfig& config, const Identity& identity, wire::SeqNum iss,
                          Time now);

  /// A passive opener from a received SYN. With `hold` no SYN,ACK is sent (and retransmitted SYNs
  /// are swallowed) until accept() is called; refuse() answers the SYN with a reset instead.
  static Endpoint accept_syn(const SharedConfig& config, const Identity& identity, wire::SeqNum iss,
                             const Segment& syn, bool hold, Time now);

  Endpoint(Endpoint&&) noexcept;
  Endpoint& operator=(Endpoint&&) noexcept;
  ~Endpoint();

  /// Releases a held SYN: the SYN,ACK goes out at the next dispatch(). `far_mss`, if not 0, lowers
  /// the MSS offered to what the far side can take.
  void accept(Time now, std::uint16_t far_mss = 0);
  /// Answers a held SYN with RST,ACK (RFC 9293 section 3.10.7.1); the endpoint is closed after the
  /// next dispatch().
  void refuse(Time now);

  // The three doors.
  void process(const Segment& segment, Time now);
  void dispatch(Time now, Emit emit);
  /// The next time dispatch() has something to do; kNever when only a segment or a call changes
  /// that.
  [[nodiscard]] Time poll_at(Time now) const noexcept;

  // The stream.
  /// Octets that can be read; after a reset by the peer still those that came before it.
  [[nodiscard]] std::size_t readable() const noexcept;
  /// The first readable octets, contiguous; empty when there are none.
  [[nodiscard]] Bytes peek() const noexcept;
  /// Drops n <= readable() octets from the front; the window may open.
  void consume(std::size_t n, Time now);
  /// The peer's FIN was received and everything was consumed.
  [[nodiscard]] bool at_end() const noexcept;
  /// Octets that write() would take.
  [[nodiscard]] std::size_t writable() const noexcept;
  /// The shared memory budget, and nothing else, keeps write() from taking more, or the window
  /// offered to the peer shut. Nothing tells when that ends: try again (consume(0) announces).
  [[nodiscard]] bool send_starved() const noexcept;
  [[nodiscard]] bool receive_starved() const noexcept;
  /// Appends as much as fits and returns how much.
  std::size_t write(Bytes data, Time now);
  /// Appends what fill() puts straight into the send buffer, where write() would copy it to: until
  /// that is `most` octets or what writable() says, or fill() puts fewer than it is offered room
  /// for. Returns how many; 0 and no call where there is no room. fill() calls nothing of this end.
  std::size_t write_from(std::size_t most, ByteQueue::Fill fill, Time now);
  /// Moves octets that arrived at `from` to what this end sends, as consume() and write() would,
  /// until `most` or more were moved, and returns how many. Where both have their memory from one
  /// pool chunks change hands, so that a spent pool does not stop it, and it copies only what must
  /// be put together with what is there; an empty send queue takes a chunk also where that is more
  /// than its buffer.
  std::size_t take_from(Endpoint& from, std::size_t most, Time now);
  /// Octets written that the peer has not acknowledged.
  [[nodiscard]] std::size_t unacknowledged() const noexcept;
  /// FIN after what was written.
  void shutdown(Time now);
  /// RST at the next dispatch(), then closed. Buffers are freed now.
  void abort(Time now);
  /// An ICMP error for this connection: hard ones end it before it is synchronized
  /// only (RFC 5927 section 4).
  void icmp_error(bool hard, Time now);
  /// `seq` is of a segment that was sent and not acknowledged: how a genuine ICMP error is told
  /// from a forged one (RFC 5927 section 4.1).
  [[nodiscard]] bool in_flight(wire::SeqNum seq) const noexcept;
  /// Whether `segment` can be the peer's own: it acknowledges what was sent (RFC 5961 section 5.2)
  /// and lies within a window of what is expected, before or after it. So little chance has who
  /// guesses that what comes along with the segment (the frame's addresses) may be believed. Resets
  /// and segments without ACK never are.
  [[nodiscard]] bool fits(const Segment& segment) const noexcept;
  /// An ICMP "packet too big" that quotes the segment at `seq`: the path takes `mss` octets of
  /// payload and options. Believed when it fits the connection (RFC 5927 section 7): at once while
  /// no larger segment was acknowledged, else when a timeout shows that they no longer arrive. What
  /// is outstanding goes again in the smaller size.
  void packet_too_big(std::uint16_t mss, wire::SeqNum seq, Time now);
  /// Path MTU news that is known to be true: later segments carry at most `mss` octets of payload
  /// and options.
  void limit_mss(std::uint16_t mss, Time now);

  /// In TIME-WAIT: the SYN is surely of a new connection, and this one may be forgotten in its
  /// favour (RFC 6191, RFC 9293 MAY-2).
  [[nodiscard]] bool yields_to(const Segment& syn) const noexcept;

  [[nodiscard]] State state() const noexcept;
  [[nodiscard]] EndReason end_reason() const noexcept;
  /// Three repetitions in a row went unanswered: the peer or the path may be gone, and the user
  /// timeout will tell (RFC 9293 section 3.8.3, R1). Ends with the next acknowledgement.
  [[nodiscard]] bool in_trouble() const noexcept;
  /// True when nothing more will be sent or received: the table may forget the connection.
  [[nodiscard]] bool finished() const noexcept;
  /// All that was written, FIN included, is acknowledged.
  [[nodiscard]] bool all_acknowledged() const noexcept;
  [[nodiscard]] Duration smoothed_rtt() const noexcept;
  [[nodiscard]] const EndpointStats& stats() const noexcept;
  /// The options of the peer's SYN, timestamps without their value; what was negotiated follows
  /// from both.
  [[nodiscard]] wire::TcpOptions peer_options() const noexcept;
  /// Payload per wire segment now.
  [[nodiscard]] std::uint16_t effective_mss() const noexcept;
  /// Octets of memory held, buffers included.
  [[nodiscard]] std::size_t memory() const noexcept;
  /// Chunks of the pool held, by what for.
  struct Chunks {
    std::size_t received;
    std::size_t to_send;
  };
  [[nodiscard]] Chunks chunks() const noexcept;

 private:
  explicit Endpoint(std::unique_ptr<Connection> connection) noexcept;
  std::unique_ptr<Connection> connection_;
};

/// The reset that answers a segment of no connection (RFC 9293 section 3.10.7.1), or nullopt when
/// the segment is itself a reset.
[[nodiscard]] std::optional<wire::TcpFields> reset_for(const Segment& segment) noexcept;

}  // namespace vtl::endpoint
