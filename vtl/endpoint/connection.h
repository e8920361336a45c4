// Connection: the state of one TCP connection and what RFC 9293 does with it. Private to the room.
//
// Theory of operation. Everything that changes the state is one of: a segment (receive.cc,
// handshake.cc), a deadline that passed (timers.cc), a call from the stream's side (stream.cc), or
// a segment that left (send.cc). What to send is never stored as a list: next() looks at the state
// and names the one segment to be sent now and the reason, dispatch() sends it and looks again, and
// poll_at() asks the same question. So nothing that is to be sent can be forgotten, and when
// poll_at() says now there is a segment or a deadline.
//
// The send sequence space:
//
//    SND.UNA                                     SND.NXT          data_end (FIN)
//       |  sent | lost | sent | delivered | sent   |    unsent        |
//       '----------- the scoreboard ---------------'
//
// The scoreboard holds the fate of every outstanding octet; what is lost and what was delivered
// beyond a gap does not count as in flight. SND.NXT never goes back. SND.MAX is ahead of it only by
// the octet of a zero-window probe, which counts as not sent and is not on the scoreboard.
//
// The receive side: rcv_adv_ is the right edge that was promised. It never moves left: what was
// promised is accepted, also where the scaled window field had to be rounded down (RFC 7323
// section 2.4).
//
// Thread rule: one thread. Invariants: see endpoint.h.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include "vtl/base/byte_queue.h"
#include "vtl/base/time.h"
#include "vtl/endpoint/congestion.h"
#include "vtl/endpoint/endpoint.h"
#include "vtl/endpoint/prr.h"
#include "vtl/endpoint/rack.h"
#include "vtl/endpoint/reassembly.h"
#include "vtl/endpoint/rtt.h"
#include "vtl/endpoint/scoreboard.h"
#include "vtl/endpoint/undo.h"
#include "vtl/wire/seq.h"
#include "vtl/wire/tcp.h"

namespace vtl::endpoint {

inline constexpr std::uint16_t kMinMss = 48;      // a smaller one is an attack, not a link
inline constexpr std::uint16_t kMinPathMss = 28;  // RFC 791 section 3.2: a link takes 68 octets
inline constexpr std::uint16_t kTimestampsOctets = 12;  // RFC 7323 appendix A
inline constexpr std::uint8_t kMaxWindowScale = 14;     // RFC 7323 section 2.3
inline constexpr int kDuplicateAckThreshold = 3;        // RFC 5681 section 3.2
inline constexpr Duration kMaxAckDelay = 200ms;         // RFC 8985 section 7.2, TLP.max_ack_delay
inline constexpr Duration kTimeoutAfterSynLoss = 3s;    // RFC 6298 section 5.7
inline constexpr Duration kPawsIdle = 24 * 24h;         // RFC 7323 section 5.5
inline constexpr int kChallengeAcksPerSecond = 10;      // RFC 5961 section 7, per connection
inline constexpr std::uint8_t kTroubleTimeouts = 3;     // R1, RFC 9293 section 3.8.3, SHLD-10
inline constexpr Duration kMaxDelayedAck = 499ms;       // below half a second, MUST-40
inline constexpr std::uint8_t kQuickAcks = 16;          // segments acknowledged at once at start
inline constexpr std::size_t kSpans = 8;                // a 64 KiB super-frame covers 5 chunks
/// What a sequence number that is only compared may lag behind: far more than a window, and far
/// less than would make it seem ahead.
inline constexpr std::uint32_t kFarBehind = 1U << 30;

/// Why a segment is sent.
enum class Reason : std::uint8_t {
  kNone,
  kBadAckReset,  ///< answers an unacceptable ACK before the connection is synchronized
  kReset,
  kSyn,
  kRetransmit,
  kTailProbe,  ///< the last segment again, or a new one, to draw an acknowledgement (RFC 8985)
  kData,
  kFin,
  kProbe,  ///< zero window
  kKeepAlive,
  kAck,
};

struct Plan {
  Reason reason = Reason::kNone;
  wire::SeqNum seq;
  std::uint32_t length = 0;  ///< octets of payload
  bool fin = false;
};

/// Where the sender stands with losses.
enum class Phase : std::uint8_t {
  kOpen,
  kFastRecovery,     ///< RFC 5681 section 3.2, RFC 6582, RFC 6675
  kTimeoutRecovery,  ///< after a retransmission timeout, RFC 6298 section 5
};

/// Whether a retransmission timeout was needless (RFC 5682 section 2.1, its steps).
enum class TimeoutDoubt : std::uint8_t {
  kNone,
  kFirstAck,   ///< the first segment went again; its acknowledgement decides how to go on
  kSecondAck,  ///< new data went instead of more of the old; the next acknowledgement decides
};

/// What one acceptable acknowledgement told.
struct AckNews {
  wire::SeqNum ack;
  std::uint32_t delivered = 0;  ///< octets, for the first time, SACK blocks included
  bool advanced = false;        ///< SND.UNA moved
  bool duplicate = false;       ///< RFC 5681 section 2
  bool sacked = false;          ///< it has a block beyond the acknowledgement
  bool again = false;           ///< something that was sent more than once was delivered
  bool original = false;        ///< something from before the recovery that was sent only once
  bool older_echo = false;      ///< its timestamp echoes one from before the first retransmission
  bool echo_before_again = false;  ///< or from before the last time that what it covers was sent
  std::uint32_t duplicates = 0;    ///< octets that it says came twice (RFC 2883)
  wire::SeqNum duplicates_end;
};

class Connection {
 public:
  Connection(const SharedConfig& config, const Endpoint::Identity& identity, wire::SeqNum iss,
             Time now);

  // handshake.cc
  void open_active(Time now);
  void open_passive(const Segment& syn, bool hold, Time now);
  void accept(Time now, std::uint16_t far_mss);
  void refuse(Time now);
  void icmp_error(bool hard, Time now);
  [[nodiscard]] bool in_flight(wire::SeqNum seq) const noexcept;
  [[nodiscard]] bool fits(const Segment& segment) const noexcept;
  [[nodiscard]] bool may_write() const noexcept;
  [[nodiscard]] bool send_starved() const noexcept;
  [[nodiscard]] bool receive_starved() const noexcept;

  // receive.cc
  void process(const Segment& segment, Time now);

  // send.cc
  void dispatch(Time now, Emit emit);

  // timers.cc
  [[nodiscard]] Time poll_at(Time now) const noexcept;

  // stream.cc
  [[nodiscard]] std::size_t readable() const noexcept { return received_.readable(); }
  [[nodiscard]] Bytes peek() const noexcept { return received_.front(); }
  void consume(std::size_t n, Time now);
  [[nodiscard]] bool at_end() const noexcept { return fin_received_ && readable() == 0; }
  [[nodiscard]] std::size_t writable() const noexcept;
  [[nodiscard]] std::size_t unacknowledged() const noexcept { return to_send_.size(); }
  std::size_t write(Bytes data, Time now);
  std::size_t write_from(std::size_t most, ByteQueue::Fill fill, Time now);
  std::size_t take_from(Connection& from, std::size_t most, Time now);
  void shutdown(Time now);
  void abort(Time now);
  // path_mtu.cc
  void limit_mss(std::uint16_t mss, Time now);
  void packet_too_big(std::uint16_t mss, wire::SeqNum seq, Time now);
  [[nodiscard]] bool yields_to(const Segment& syn) const noexcept;

  [[nodiscard]] State state() const noexcept { return state_; }
  [[nodiscard]] EndReason end_reason() const noexcept { return end_reason_; }
  [[nodiscard]] bool in_trouble() const noexcept;
  [[nodiscard]] bool finished() const noexcept;
  [[nodiscard]] bool all_acknowledged() const noexcept;
  [[nodiscard]] Duration smoothed_rtt() const noexcept { return rtt_.smoothed(); }
  [[nodiscard]] const EndpointStats& stats() const noexcept { return stats_; }
  [[nodiscard]] wire::TcpOptions peer_options() const noexcept;
  [[nodiscard]] std::uint16_t effective_mss() const noexcept { return mss_; }
  [[nodiscard]] std::size_t memory() const noexcept;
  [[nodiscard]] Endpoint::Chunks chunks() const noexcept;

 private:
  enum class Timer : std::uint8_t { kOff, kRetransmission, kPersist };
  enum class AckDue : std::uint8_t { kNo, kDelayed, kNow };
  struct WindowOffer {
    std::uint16_t field;
    wire::SeqNum right;
  };

  [[nodiscard]] const Config& config() const noexcept { return *shared_config_; }

  // State (endpoint.cc, handshake.cc)
  void set_state(State state) noexcept { state_ = state; }
  void end(EndReason reason) noexcept;
  void enter_time_wait(Time now) noexcept;
  void enter_established(Time now);
  [[nodiscard]] bool synchronized() const noexcept { return state_ >= State::kEstablished; }
  [[nodiscard]] bool may_send_data() const noexcept {
    return synchronized() && state_ != State::kFinWait2 && state_ != State::kTimeWait;
  }
  void learn_syn(const Segment& syn, Time now);
  void process_held(const Segment& segment, Time now);
  void process_syn_sent(const Segment& segment, Time now);
  [[nodiscard]] bool process_syn_received(const Segment& segment, Time now);

  // Segment arrives (receive.cc)
  void process_synchronized(const Segment& segment, Time now);
  void process_unacceptable(const Segment& segment, Time now);
  [[nodiscard]] bool paws_rejects(const Segment& segment, Time now) const noexcept;
  [[nodiscard]] bool in_receive_window(wire::SeqNum seq, std::uint32_t length) const noexcept;
  void update_timestamp(const Segment& segment, Time now) noexcept;
  void process_reset(const Segment& segment, Time now);
  [[nodiscard]] bool process_ack(const Segment& segment, Time now);
  void process_new_ack(const Segment& segment, const AckNews& news, Time now);
  void update_send_window(const Segment& segment, Time now);
  void measure_rtt(const Segment& segment, const AckNews& news, Time now) noexcept;
  void process_text(const Segment& segment, Time now);
  std::size_t process_payload(const Segment& segment, Time now);
  [[nodiscard]] std::size_t read_at_once(const Segment& segment, std::size_t offset,
                                         Bytes text) const;
  void receive_fin(Time now);
  void schedule_ack(const Segment& segment, Time now) noexcept;
  void challenge(Time now) noexcept;

  // What is told of it (report.cc)
  void note_duplicate(wire::SeqNum seq, std::uint32_t length) noexcept;
  void note_gap(wire::SeqNum seq) noexcept;
  void add_sack_blocks(wire::TcpOptions& options) const noexcept;

  // Explicit congestion notification (ecn.cc)
  [[nodiscard]] std::uint8_t ecn_syn_bits() const noexcept;
  void learn_ecn(wire::TcpFlags syn) noexcept;
  void learn_repeated_ecn(wire::TcpFlags syn) noexcept;
  void receive_ecn(const Segment& segment) noexcept;
  void on_congestion_echo(wire::SeqNum ack, std::uint32_t flight) noexcept;
  void told_reduction(wire::SeqNum end) noexcept;
  [[nodiscard]] bool cwr_due() const noexcept {
    return ecn_ && cwr_told_ != congestion_.reductions();
  }

  // What an acknowledgement tells (acknowledgement.cc)
  [[nodiscard]] AckNews take_acknowledgement(const Segment& segment, Time now);
  void take_sack(const wire::TcpFields& header, AckNews& news, Scoreboard::Newly newly);
  void on_acknowledgement(const AckNews& news, Time now);
  [[nodiscard]] std::uint32_t detect_losses(Time now);
  [[nodiscard]] std::uint32_t count_duplicates(const AckNews& news);
  [[nodiscard]] std::uint32_t credit_duplicates(const AckNews& news);

  // Loss (recovery.cc)
  [[nodiscard]] std::uint32_t outstanding() const noexcept {
    return static_cast<std::uint32_t>(snd_nxt_ - snd_una_);
  }
  [[nodiscard]] std::uint32_t pipe() const noexcept;
  [[nodiscard]] std::uint32_t send_allowance() const noexcept;
  [[nodiscard]] Plan plan_retransmission() const noexcept;
  void on_sent_again(wire::SeqNum seq, std::uint32_t occupied, Time now);
  void on_retransmission_timeout();
  void on_reordering_timeout(Time now);
  void enter_fast_recovery();
  void leave_recovery() noexcept;
  void reduce_rate(std::uint32_t delivered, bool safe) noexcept;
  void mark_lost(wire::SeqNum from, wire::SeqNum to);

  // Needless recoveries (undo.cc)
  void remember_for_undo();
  [[nodiscard]] bool proves_needless(const AckNews& news) noexcept;
  void undo_recovery();
  void step_timeout_doubt(const AckNews& news) noexcept;

  // Tail loss probe (tail_probe.cc)
  [[nodiscard]] bool may_probe_tail() const noexcept;
  void schedule_tail_probe(Time now) noexcept;
  [[nodiscard]] Plan plan_tail_probe() const noexcept;
  void on_tail_probe_sent(bool again, Time now) noexcept;
  [[nodiscard]] bool told_of_tail_probe(const AckNews& news) const noexcept;
  void settle_tail_probe(const AckNews& news) noexcept;

  // Sending (send.cc)
  [[nodiscard]] Plan next() const noexcept;
  [[nodiscard]] Plan plan_data() const noexcept;
  [[nodiscard]] std::uint32_t sendable(std::uint32_t unsent, std::uint32_t window_room,
                                       std::uint32_t allowance) const noexcept;
  [[nodiscard]] Plan plan_probe() const noexcept;
  [[nodiscard]] bool transmit(const Plan& plan, Time now, Emit emit);
  void sent(const Plan& plan, Time now);
  void sent_new(const Plan& plan, std::uint32_t occupied, Time now);
  [[nodiscard]] wire::TcpFields header_for(const Plan& plan, const WindowOffer& offer,
                                           Time now) const;
  void add_syn_options(wire::TcpOptions& options) const noexcept;
  [[nodiscard]] WindowOffer offer_window(bool syn) const noexcept;
  [[nodiscard]] std::size_t receive_room() const noexcept;
  [[nodiscard]] wire::SeqNum acceptable_seq() const noexcept;
  [[nodiscard]] wire::SeqNum data_base() const noexcept {
    return state_ < State::kEstablished ? iss_ + 1 : snd_una_;
  }
  [[nodiscard]] wire::SeqNum data_end() const noexcept {
    return data_base() + static_cast<std::uint32_t>(to_send_.size());
  }
  [[nodiscard]] bool fin_unsent() const noexcept {
    return fin_queued_ && !fin_acked_ && snd_nxt_ <= data_end();
  }
  [[nodiscard]] std::uint32_t window_room() const noexcept {
    const std::int32_t room = snd_una_ + snd_wnd_ - snd_nxt_;
    return room > 0 ? static_cast<std::uint32_t>(room) : 0;
  }
  /// The most octets of one emitted segment: whole segments only.
  [[nodiscard]] std::uint32_t super_frame() const noexcept {
    const auto most = static_cast<std::uint32_t>(config().max_super_frame);
    return std::max<std::uint32_t>(most - most % mss_, mss_);
  }
  void announce_window() noexcept;
  void on_read(std::size_t n, Time now);
  void on_written(Time now);
  [[nodiscard]] std::size_t send_room() const noexcept;
  void set_mss() noexcept;
  void note_arrived(std::uint32_t acked) noexcept;
  void believe_path(Time now);
  [[nodiscard]] std::uint32_t timestamp(Time now) const noexcept;

  // Buffers (autotune.cc)
  [[nodiscard]] std::size_t receive_limit() const noexcept;
  [[nodiscard]] std::size_t send_limit() const noexcept;
  void follow_reader(Time now) noexcept;

  // Timers (timers.cc)
  void settle(Time now) noexcept;
  void settle_timer(Time now) noexcept;
  void fire_timers(Time now);
  void fire_retransmission(Time now);
  void fire_persist(Time now);
  void fire_keep_alive(Time now);
  void arm(Timer timer, Duration after, Time now) noexcept;
  [[nodiscard]] bool gave_up(Time now);
  [[nodiscard]] Time keep_alive_at() const noexcept;
  void ack_now() noexcept { ack_due_ = AckDue::kNow; }

  // A hundred thousand of these are held at once: what stands in this order leaves few holes.
  SharedConfig shared_config_;
  wire::Port local_;
  wire::Port remote_;
  State state_ = State::kClosed;
  EndReason end_reason_ = EndReason::kNone;
  bool held_ = false;
  bool syn_due_ = false;
  bool active_ = false;  // we sent the first SYN
  bool soft_error_ = false;
  std::uint8_t syns_sent_ = 0;
  std::uint8_t syn_timeouts_ = 0;

  // Negotiated
  std::optional<std::uint16_t> peer_mss_;
  std::optional<std::uint8_t> peer_scale_;
  bool peer_stamps_ = false;
  bool peer_sack_ = false;
  bool timestamps_ = false;
  bool ecn_ = false;
  bool sack_ = false;  // RFC 2018, both ways
  std::uint8_t send_scale_ = 0;
  std::uint8_t receive_scale_ = 0;
  std::uint16_t offered_mss_;
  std::uint16_t path_mss_;         // limit_mss()
  std::uint16_t arrived_mss_ = 0;  // the largest that surely arrived, of those that count
  std::uint16_t claimed_mss_ = 0;  // by an ICMP error that waits for a timeout; 0: none
  std::uint16_t mss_;              // payload of a full segment

  // Send sequence variables (RFC 9293 section 3.3.1)
  wire::SeqNum iss_, snd_una_, snd_nxt_, snd_max_, snd_wl1_, snd_wl2_;
  std::uint32_t snd_wnd_ = 0;
  std::uint32_t max_snd_wnd_ = 0;
  ByteQueue to_send_;  // from data_base()

  // Receive sequence variables
  wire::SeqNum irs_, rcv_nxt_, rcv_adv_, last_ack_sent_;
  std::uint16_t peer_segment_ = kDefaultMss;  // the largest the peer sent
  bool fin_received_ = false;
  bool fin_queued_ = false;
  bool fin_acked_ = false;
  std::array<wire::SeqNum, 4> recent_gaps_;  // segments out of order, the latest first
  wire::SackBlock duplicate_;                // came twice and is not yet told; empty: none
  std::optional<wire::SeqNum> pending_fin_;  // a FIN beyond a gap
  ReceiveBuffer received_;

  // What the reader takes in a round trip, and the buffer that it is given for it
  std::uint32_t receive_limit_;
  std::uint32_t read_now_ = 0;
  std::uint32_t read_before_ = 0;

  // Acknowledging
  AckDue ack_due_ = AckDue::kNo;
  std::uint8_t quick_acks_ = kQuickAcks;
  std::uint8_t extra_acks_ = 0;  // duplicates that the parts of a super-frame would have caused
  std::int8_t challenges_ = 0;
  Time challenge_second_{};
  Time round_at_{};  // of the reader

  // Timestamps (RFC 7323)
  std::uint32_t ts_offset_ = 0;
  std::uint32_t ts_recent_ = 0;
  Time ts_recent_at_{};

  // Round trip: one segment is timed at a time
  RttEstimator rtt_;
  std::optional<wire::SeqNum> timed_end_;
  Time timed_at_{};
  bool ambiguous_ = false;  // something was sent again: only timestamps can measure now

  // Explicit congestion notification (RFC 3168)
  bool ecn_echo_ = false;       // ECE until the peer says CWR
  std::uint16_t cwr_told_ = 0;  // the reductions that the peer has been told of
  wire::SeqNum cwr_end_;        // the end of the segment that told
  wire::SeqNum echo_end_;       // SND.NXT when the peer's echo last reduced the window

  // Loss recovery
  CongestionControl congestion_;
  Scoreboard board_;
  Rack rack_;
  std::unique_ptr<Undo> undo_;  // there while a recovery may prove needless
  ProportionalRateReduction prr_;
  Phase phase_ = Phase::kOpen;
  TimeoutDoubt doubt_ = TimeoutDoubt::kNone;
  wire::SeqNum recover_;      // SND.NXT when the last recovery began (RFC 6582, RFC 6675)
  std::uint32_t credit_ = 0;  // octets that duplicate acknowledgements stand for, without SACK
  std::uint16_t duplicate_acks_ = 0;
  bool partial_seen_ = false;  // of this recovery
  bool rtx_forced_ = false;    // the next lost segment goes whatever the congestion window says
  std::uint8_t timeouts_in_a_row_ = 0;  // nothing was acknowledged in between
  bool tail_probe_out_ = false;         // TLP.end_seq is set
  bool tail_probe_again_ = false;       // TLP.is_retrans
  bool tail_probe_due_ = false;
  bool tail_moved_ = false;      // sent or acknowledged since the probe was scheduled
  bool window_limited_ = false;  // the congestion window held us back when we last sent
  wire::SeqNum tail_probe_end_;

  // Deadlines
  Timer timer_ = Timer::kOff;
  std::uint8_t persist_backoff_ = 0;
  bool reset_due_ = false;
  bool probe_due_ = false;
  bool override_due_ = false;  // send less than silly-window avoidance likes
  bool shrunk_ = false;        // the peer closed its window over outstanding data
  bool keep_alive_due_ = false;
  std::uint8_t keep_alives_sent_ = 0;
  Time timer_at_ = kNever;
  Time ack_at_ = kNever;
  Time reordering_at_ = kNever;  // RFC 8985 section 6.3
  Time tail_probe_at_ = kNever;  // RFC 8985 section 7.2
  Time time_wait_at_ = kNever;
  Time progress_at_{};  // when the peer last moved us on, for the user timeout
  Time heard_at_{};     // when a segment last arrived
  Time sent_at_{};      // when data last left

  // Resets
  wire::SeqNum reset_seq_;
  std::optional<wire::SeqNum> bad_ack_;  // answer it with a reset

  EndpointStats stats_;
};

}  // namespace vtl::endpoint
