// Connection: one authenticated channel to a peer, and the stream that it carries.
//
// Theory of operation. Two small state machines. The link goes from connecting over greeting and
// proving (peer_auth.h) to ready; it ends dead, if need be over resetting, while the last record is
// delivered. On a ready link streams follow one another: none, opening or deciding, open, none.
// After FIN and END both ways the connection is handed back and carries the next stream, with the
// path's congestion state still warm. END is sent when the reader has everything, however late
// after FIN: the opener may use the connection again from then on.
//
// Writing: small writes gather in `pending_` (at most kStage octets and a record of control) and
// leave at the end of the reactor's turn; large ones on a gathering channel go out without a copy.
// A peer that lets more than twice kStage gather, by asking for answers that it never reads, is cut
// off. A record whose header is out is always completed. Reading: DATA goes from the channel
// straight into the caller's buffer; the parser never reads beyond a record's end. What a reader
// leaves in the channel is taken into `inbox_`, so that the records behind it are seen.
//
// Flow control is the stream's own, for the buffers of a channel are fixed when it is made and as
// large as the longest path needs. Each side may have kFirstWindow octets under way; CREDIT allows
// more as the reader consumes. The window doubles while the reader finds the channel empty (it
// waits for the path), up to twice the channel's buffer; it does not for a slow reader. All windows
// of a transport are charged to Options::memory, which therefore bounds what the streams hold here
// (in `inbox_` and below) and what the peer holds for them. A peer that sends more is cut off. When
// three quarters are spent no window grows; those of slow readers shrink, and those above their
// share of the three quarters; the rest is for new streams. A window shrinks as its reader reads:
// what is granted cannot be recalled, so an idle stream keeps the window that it had.
//
// When the channel breaks, or the peer resets the stream or is known to be gone, nothing is sent
// any more, but the stream first reads all that had arrived for it, however slowly, and only then
// learns of the end: as in a kernel, where what was received before a reset can still be read. A
// reader that takes less than kLostProgress octets in kLostPatience is told of the end at once, and
// what it has not read is dropped with the stream.
//
// Thread rule: the thread of the reactor. Callbacks to the handler come from the channel's events
// or from the hub's deferred turn, never from inside a call of the stream's own methods.
// Invariants: a dead connection is destroyed by its hub in a deferred turn, never inside a
// callback; when `stream_` is null no handler is called.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "vtl/base/byte_queue.h"
#include "vtl/base/reactor.h"
#include "vtl/transport/channel.h"
#include "vtl/transport/framing.h"
#include "vtl/transport/peer_auth.h"
#include "vtl/transport/transport.h"

namespace vtl::transport {

class Connection;
class PeerStream;
class PendingStream;

/// What a connection needs of the transport that owns it.
class ConnectionOwner {
 public:
  virtual ~ConnectionOwner() = default;
  [[nodiscard]] virtual Reactor& reactor() noexcept = 0;
  [[nodiscard]] virtual TransportCounters& counters_mutable() noexcept = 0;
  [[nodiscard]] virtual std::optional<Key> find_key(const KeyId& id) noexcept = 0;
  [[nodiscard]] virtual const Key& own_key() const noexcept = 0;
  [[nodiscard]] virtual const Instance& instance() const noexcept = 0;

  /// Calls connection.run_deferred() at the end of this turn.
  virtual void defer(Connection& connection) = 0;
  /// The peer has proved the key (and we ours).
  virtual void on_ready(Connection& connection) = 0;
  /// An opener asks for a stream. True: taken by another worker, this object is an empty shell.
  [[nodiscard]] virtual bool on_open_request(Connection& connection, Bytes preface) = 0;
  /// The stream ended in order: the connection is free.
  virtual void on_free(Connection& connection) = 0;
  /// Dead: to be destroyed in the deferred turn. `reason`: why the link ended; nothing for an end
  /// that was wanted.
  virtual void on_dead(Connection& connection, std::optional<StreamError> reason) = 0;
  virtual void on_authentication_failure(const Connection& connection, std::string_view why) = 0;
  /// Charges `more` octets of window to the budget; false: it is spent, and the window stays.
  [[nodiscard]] virtual bool widen(std::size_t more) noexcept = 0;
  virtual void narrow(std::size_t less) noexcept = 0;
  /// Windows should shrink.
  [[nodiscard]] virtual bool tight() const noexcept = 0;
  /// Octets of window that each stream has when they share alike; at least 1.
  [[nodiscard]] virtual std::size_t share() const noexcept = 0;
  [[nodiscard]] virtual std::size_t max_window() const noexcept = 0;
  [[nodiscard]] virtual Duration linger() const noexcept = 0;
  [[nodiscard]] virtual Duration handshake_timeout() const noexcept = 0;
  [[nodiscard]] virtual Duration answer_timeout() const noexcept = 0;
};

class Connection final : public ChannelHandler {
 public:
  enum class Role : std::uint8_t { kOpener, kAcceptor };
  enum class Link : std::uint8_t { kConnecting, kGreeting, kProving, kReady, kResetting, kDead };
  enum class StreamState : std::uint8_t { kNone, kOpening, kDeciding, kOpen };

  /// Octets that a stream may have under way in each direction at first.
  static constexpr std::size_t kFirstWindow = std::size_t{256} << 10;

  /// What travels when a connection moves to another worker: nothing of it is buffered elsewhere.
  struct Moved {
    int pipe = -1;
    wire::SocketAddress from;
    Session session;
    KeyId key_id{};
    Instance peer_instance{};
    std::vector<std::uint8_t> unsent;
    std::vector<std::uint8_t> preface;
  };

  Connection(ConnectionOwner& owner, std::unique_ptr<Channel> channel, Role role);
  /// A connection that arrives from another worker with a stream to decide on.
  Connection(ConnectionOwner& owner, std::unique_ptr<Channel> channel, Moved moved);
  ~Connection() override;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // For the owner.
  [[nodiscard]] Role role() const noexcept { return role_; }
  [[nodiscard]] Link link() const noexcept { return link_; }
  [[nodiscard]] StreamState stream_state() const noexcept { return state_; }
  [[nodiscard]] bool dead() const noexcept { return link_ == Link::kDead; }
  [[nodiscard]] wire::SocketAddress peer_address() const noexcept;
  [[nodiscard]] const Instance& peer_instance() const noexcept { return peer_instance_; }
  [[nodiscard]] const KeyId& key_id() const noexcept { return key_id_; }
  /// Begins a stream; at any time while the link lives and no stream is on it.
  [[nodiscard]] std::unique_ptr<Stream> open(Bytes preface, StreamHandler& handler);
  /// In on_open_request(): the request, to be accepted or refused.
  [[nodiscard]] std::unique_ptr<IncomingStream> take_request(Bytes preface);
  /// In on_open_request(): refuses the request at once.
  void refuse_request(StreamError reason) { refuse(reason); }
  /// Empties this connection into what another worker goes on with; it is dead then.
  [[nodiscard]] Moved move_out(Bytes preface);
  /// Closes a connection that carries no stream.
  void close();
  /// Ends the link now; a stream on it is told `reason`.
  void fail(StreamError reason);
  /// The peer is gone: the link ends with `reason` once the stream has read what arrived before.
  void lose(StreamError reason);
  void run_deferred();
  /// Closes it when no stream has begun after `in`.
  void expire(Duration in) { arm(in); }
  /// Asks an idle connection whether the peer lives. False: it was asked `silence` ago, in vain.
  [[nodiscard]] bool beat(Duration silence);
  /// Octets of window that are charged for its stream.
  [[nodiscard]] std::size_t window() const noexcept { return window_; }
  /// It was ready once.
  [[nodiscard]] bool proven() const noexcept { return proven_; }

  bool deferred = false;   ///< owner's mark: on the list of the deferred turn
  bool busy = false;       ///< owner's mark: counted as a stream
  bool half_open = false;  ///< owner's mark: counted as not authenticated

  // For the stream.
  [[nodiscard]] std::size_t write(Bytes bytes);
  [[nodiscard]] std::size_t read(MutableBytes out);
  [[nodiscard]] bool at_end() const noexcept { return fin_received_ && inbox_.empty(); }
  void shutdown();
  void abort(StreamError reason);
  void release_stream();
  [[nodiscard]] Duration round_trip() const noexcept;
  [[nodiscard]] std::size_t unsent() const noexcept;

  // For the request.
  [[nodiscard]] std::unique_ptr<Stream> accept(StreamHandler& handler);
  void refuse(StreamError reason);

  // ChannelHandler
  void on_channel_connected() override;
  void on_channel_ready(Readiness ready) override;
  void on_channel_broken() override;

 private:
  static constexpr std::uint64_t kMaxWindow = std::uint64_t{4} << 30;
  static constexpr std::size_t kStage = std::size_t{256} << 10;
  static constexpr std::size_t kFlushAt = std::size_t{64} << 10;
  static constexpr std::size_t kDirectWrite = 4096;
  static constexpr int kRecordsPerTurn = 64;  // so that no peer holds the worker
  static constexpr Duration kMaxLinger = 1h;
  static constexpr Duration kLostPatience = 60s;
  static constexpr std::size_t kLostProgress = 4096;  // octets read in kLostPatience, at least

  void pump();
  bool read_some(std::span<const MutableBytes> pieces, std::size_t& n);
  bool took_control(std::size_t n);
  bool absorb();
  bool read_record();
  void drain();
  void watch_lost_reader();
  void stop_sending(StreamError reason);
  void end_lost(StreamError reason);
  bool handle(const Record& record);
  bool on_challenge(Bytes body);
  bool on_response(Bytes body);
  bool on_welcome(Bytes body);
  bool on_open_record(Bytes body);
  bool on_answer(const Record& record);
  bool on_reset_record(StreamError reason);
  bool on_credit(Bytes body);
  void send_end();
  bool protocol_error();
  /// Ever more waits to be sent, beyond what data can be: the peer sends and never reads.
  [[nodiscard]] bool reads_no_answers() const noexcept {
    return pending_.size() - head_ > 2 * kStage;
  }
  bool refuse_peer(AuthError error, Bytes said = {});

  void queue(RecordType type, Bytes body = {});
  void queue_open();
  void grant();
  void append_data(Bytes bytes);
  std::size_t write_through(Bytes bytes);
  std::size_t write_staged(Bytes bytes);
  void tell_writable();
  void flush();
  void after_reset_flushed();
  void update_interest();
  void arm(Duration in);
  void on_deadline();
  void check_finished();
  [[nodiscard]] bool linger_on();
  void die(std::optional<StreamError> reason);
  void later() { owner_.defer(*this); }

  ConnectionOwner& owner_;
  std::unique_ptr<Channel> channel_;
  Role role_;
  Link link_;
  bool proven_ = false;
  StreamState state_ = StreamState::kNone;

  RecordParser parser_;
  std::optional<OpenerHandshake> opener_;
  std::optional<AcceptorHandshake> acceptor_;
  Session session_;
  KeyId key_id_{};
  Instance peer_instance_{};
  std::vector<std::uint8_t> preface_;  // of an OPEN that waits for the challenge

  std::vector<std::uint8_t> pending_;  // octets from head_ on are to be written
  std::size_t head_ = 0;
  std::size_t open_record_ = kNoRecord;  // offset of the last DATA header while it may still grow
  static constexpr std::size_t kNoRecord = ~std::size_t{0};
  bool blocked_ = false;  // the channel took less than given

  PeerStream* stream_ = nullptr;
  PendingStream* request_ = nullptr;
  StreamHandler* handler_ = nullptr;
  std::uint64_t written_ = 0, allowed_ = kFirstWindow;  // octets of the stream, and their bound
  std::uint64_t consumed_ = 0, granted_ = kFirstWindow;
  std::size_t window_ = kFirstWindow;
  bool emptied_ = false;      // the reader found nothing since the last grant
  ByteQueue inbox_;           // arrived, taken from the channel, and not read
  bool read_lately_ = false;  // since the channel was last readable: the reader is at it
  bool read_armed_ = false;   // the stream waits for on_readable
  bool write_armed_ = false;  // the stream waits for on_writable
  bool fin_sent_ = false, fin_ended_ = false, fin_received_ = false, end_sent_ = false;
  std::optional<StreamError> lost_;  // lose() was told this, and the stream still reads
  bool drained_ = false;             // nothing of it is left in the channel
  std::uint64_t read_at_look_ = 0;   // `consumed_` when the reader of a lost stream was looked at
  bool ours_delivered_ = false;      // at lose(): our direction had come to its end
  std::optional<Time> asked_;        // when the PING went out that is not answered yet
  std::optional<StreamError> news_;  // to be told in the deferred turn
  bool heard_ = false;               // a PONG came since it was last asked for
  std::size_t lingering_ = 0;  // octets not delivered at the last look, after the stream's end
  Time linger_ends_{};
  Timer timer_;
};

}  // namespace vtl::transport
