// Relay: one connection that a service has taken off the wire: an endpoint toward the guest, a
// stream to wherever the service carries it.
//
// Theory of operation. On the side of the opener the guest's SYN makes an endpoint that holds its
// answer, and a stream is opened. Only when the stream is open, which says that the real server has
// answered, is the SYN answered; a refusal reaches the guest as what it is. Where a peer opens the
// stream an endpoint plays the client toward the real server; its handshake's end accepts or
// refuses the stream. From then on pump() moves octets both ways, as far as the stream
// and the endpoint take them: what one does not take stays in the other, whose window closes, so
// memory is bounded by the endpoint's buffers. The end of either direction travels as itself (FIN
// to shutdown, shutdown to FIN), and so do resets: behind all that came before them, as long as the
// other side goes on taking it (ResetPatience), for a kernel too lets its reader have what arrived
// before a reset, and here more may lie between the two ends than a kernel would hold.
//
// One that waits only for memory is on its table's list (Starved). One that stands still while the
// pool has nothing left for others is reset on both sides (Standstill).
//
//        guest side                                                far side
//   segments <-> Endpoint <-> [receive | send buffers] <-> Stream <-> ...
//
// Thread rule: the service's worker. A relay is an item of a PlayedTable, which destroys it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "vtl/base/function_ref.h"
#include "vtl/base/timer_wheel.h"
#include "vtl/endpoint/endpoint.h"
#include "vtl/engine/flow_info.h"
#include "vtl/engine/service.h"
#include "vtl/service/age_list.h"
#include "vtl/service/icmp_error.h"
#include "vtl/service/played_end.h"
#include "vtl/service/played_totals.h"
#include "vtl/service/standstill.h"
#include "vtl/service/starved.h"
#include "vtl/service/tcp_frame.h"
#include "vtl/transport/transport.h"

namespace vtl::service {

class Relay;
template <class Item>
class PlayedTable;

/// What a relay needs of its service beside the table.
class RelayOwner {
 public:
  virtual ~RelayOwner() = default;
  /// The opener's stream could not be made because the far side of the stream itself is down or
  /// does not know us. True: the owner lets the connection go another way, and the relay is over
  /// without a word to the guest; false: the guest is refused.
  virtual bool pass_instead(Relay& relay) {
    (void)relay;
    return false;
  }
  /// `relay` has left the table.
  virtual void on_left(const Relay& relay) noexcept { (void)relay; }
};

class Relay final : public transport::StreamHandler {
 public:
  using Owner = RelayOwner;
  using Table = PlayedTable<Relay>;
  static constexpr bool kFoundByBothDirections = false;

  enum class Phase : std::uint8_t {
    kOpening,     ///< opener: SYN held, waiting for the stream
    kConnecting,  ///< acceptor: SYN sent to the server, stream not yet accepted
    kOpen,        ///< octets flow
    kOver,        ///< nothing more will happen
  };

  /// Opens the stream whose handler it is given; nothing is called back inside.
  using OpenStream = FunctionRef<std::unique_ptr<transport::Stream>(transport::StreamHandler&)>;

  /// The opener's side. `endpoint` holds its answer; `to_guest` is of the frames toward the guest;
  /// `syn_frame` is kept until the answer, for passing it on or quoting it in ICMP (empty: neither
  /// can be). `transform`: what listings call the way, "udt to siteb".
  static std::unique_ptr<Relay> open(Table& table, const FramePath& to_guest,
                                     endpoint::Endpoint endpoint, Packet syn_frame,
                                     std::string transform, OpenStream open_stream);
  /// The other side: `endpoint` is about to connect to the server.
  static std::unique_ptr<Relay> connect(Table& table, const FramePath& to_guest,
                                        endpoint::Endpoint endpoint, std::string transform,
                                        std::unique_ptr<transport::IncomingStream> incoming);
  ~Relay() override = default;
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  /// A segment from the guest, in a frame from `mac`, where answers go if the segment fits the
  /// connection (Endpoint::fits()); pump() must follow (the table batches it).
  void process(const endpoint::Segment& segment, const wire::MacAddress& mac, Time now);
  /// An ICMP error that quotes this connection.
  void icmp_error(const TcpIcmpError& error, Time now);
  /// Of what was sent to the guest: how a genuine error is told from a forged one.
  [[nodiscard]] bool in_flight(wire::SeqNum seq) const noexcept { return endpoint_.in_flight(seq); }

  /// Moves octets between endpoint and stream, sends what is due, sets the timer.
  void pump();
  /// Ends it without a word to the guest's side, as if its SYN had been lost.
  void give_up();
  /// Resets both sides now.
  void abort(transport::StreamError reason = transport::StreamError::kReset);
  /// It has lost its place in the table: nothing more will happen, whoever still has it scheduled.
  void leave() noexcept;

  /// The flow as the guest's frames carry it.
  [[nodiscard]] wire::FlowKey key() const noexcept { return path_.key.reversed(); }
  [[nodiscard]] bool is_over() const noexcept { return phase_ == Phase::kOver; }
  [[nodiscard]] bool is_opener() const noexcept { return opener_; }
  /// `syn` opens a connection. True: the endpoint only waits out TIME-WAIT, so it may take this
  /// one's place.
  [[nodiscard]] bool may_be_replaced_by(const endpoint::Segment& syn) const noexcept;
  [[nodiscard]] const Packet& syn_frame() const noexcept { return syn_frame_; }
  [[nodiscard]] Packet take_syn_frame() noexcept { return std::move(syn_frame_); }
  [[nodiscard]] engine::FlowInfo info(Time now) const;
  void count_into(PlayedTotals& totals) const { totals.add(endpoint_); }

  // The table's.
  AgePlace<Relay> half_open, lingering, starving;
  Lacks lacking;
  bool scheduled = false;

  // transport::StreamHandler
  void on_open() override;
  void on_refused(transport::StreamError reason) override;
  void on_readable() override;
  void on_writable() override;
  void on_reset(transport::StreamError reason) override;

 private:
  Relay(Table& table, const FramePath& to_guest, endpoint::Endpoint endpoint, bool opener,
        std::string transform, Time now);

  void guest_to_stream(Time now);
  bool stream_to_guest(Time now);
  void follow_handshake();
  void follow_end(Time now);
  void send(Time now);
  void over();
  [[nodiscard]] Time next_time(Time now) const noexcept;
  [[nodiscard]] Lacks lacks() const noexcept;
  [[nodiscard]] bool must_yield(Time now) noexcept;

  Table& table_;
  FramePath path_;
  endpoint::Endpoint endpoint_;
  std::unique_ptr<transport::Stream> stream_;
  std::unique_ptr<transport::IncomingStream> incoming_;
  Packet syn_frame_;
  Timer timer_;
  Phase phase_;
  bool opener_;
  bool stream_shut_ = false;
  bool endpoint_shut_ = false;
  bool stream_ready_ = false;  ///< on_readable was told, and read() has not answered 0 since
  bool stream_over_ = false;   ///< both directions of the stream ended in order, or it broke
  bool reset_due_ = false;     ///< the stream broke: the guest is reset after the rest
  bool refused_ = false;       ///< there was no buffer for a frame
  ResetPatience rest_;
  Standstill from_guest_;
  Standstill to_guest_;
  std::string transform_;
  Time born_;
  std::uint64_t bytes_from_guest_ = 0;
  std::uint64_t bytes_to_guest_ = 0;
};

}  // namespace vtl::service
