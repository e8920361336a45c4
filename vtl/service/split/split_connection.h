// SplitConnection: one TCP connection that a split has taken: an end toward the client, an end
// toward the server, and the stream between them.
//
// Theory of operation. The client's SYN makes an end that holds its answer, and an end that opens
// the connection toward the server with the client's own addresses and ports. When the server has
// answered, the SYN is answered; a refusal, an unreachable and silence reach the client as
// themselves. From then on pump() moves octets both ways, as far as the other end takes them: what
// it does not take stays where it is, and the window there closes, so memory is bounded by the
// buffers of the ends. The end of either direction travels as itself (FIN after the last octet),
// and so does a reset: behind all that came before it, as long as the other side goes on taking it
// (ResetPatience), for a kernel too lets its reader have what arrived before a reset.
//
//   client <-> [ kClient: Endpoint ] -- received -> to send -- [ kServer: Endpoint ] <-> server
//
// One that waits only for memory is on its owner's list (Starved). One that stands still while the
// pool has nothing left for others is reset on both sides (Standstill).
//
// Frames leave with the MAC addresses that the other side's own frames come with, those that a
// forged segment comes in excepted. What else the client chose for its SYN's frame (DSCP, the VLAN
// tag and its priority) all frames of the connection have, both ways; their TTL is 64.
//
// Thread rule: the worker of the link. It is destroyed by its owner only, outside its own calls:
// when it is over it says so through SplitOwner::on_over().
// Invariants: the server's end is open before the client's SYN is answered; an octet is dropped
// from one end only when the other has it.
#pragma once

#include <array>
#include <cstdint>

#include "vtl/base/timer_wheel.h"
#include "vtl/endpoint/endpoint.h"
#include "vtl/engine/flow_info.h"
#include "vtl/engine/service.h"
#include "vtl/service/age_list.h"
#include "vtl/service/icmp_error.h"
#include "vtl/service/played_end.h"
#include "vtl/service/standstill.h"
#include "vtl/service/starved.h"
#include "vtl/service/tcp_frame.h"

namespace vtl::service {

class SplitConnection;

/// What a connection needs of its split.
class SplitOwner {
 public:
  virtual ~SplitOwner() = default;
  [[nodiscard]] virtual engine::ServiceContext& context() noexcept = 0;
  /// Calls connection.pump() soon, once however often it was asked.
  virtual void schedule(SplitConnection& connection) = 0;
  [[nodiscard]] virtual Starved<SplitConnection>& starved() noexcept = 0;
  virtual void on_established(SplitConnection& connection) = 0;
  /// Nothing moves any more: it only waits out TIME-WAIT.
  virtual void on_lingering(SplitConnection& connection) = 0;
  /// It may be destroyed as soon as the caller has returned.
  virtual void on_over(SplitConnection& connection) = 0;
  /// The octets of memory that it holds have become `more` more, or fewer.
  virtual void on_memory(std::ptrdiff_t more) noexcept = 0;
};

class SplitConnection {
 public:
  enum class Side : std::uint8_t { kClient, kServer };
  enum class Phase : std::uint8_t {
    kOpening,    ///< the SYN is held, the server was not heard
    kOpen,       ///< octets flow
    kLingering,  ///< both ends are closed or in TIME-WAIT
    kOver,       ///< nothing more will happen
  };

  struct Opening {
    wire::FlowKey key;  ///< as the client sends it
    /// In which the client's frames travel.
    engine::Direction direction = engine::Direction::kOutbound;
    wire::MacAddress client_mac;
    wire::MacAddress server_mac;
    std::uint8_t dscp = 0;
    std::uint8_t pcp = 0;  ///< of the VLAN tag
    Packet syn_frame;      ///< quoted when the server is unreachable; empty: nobody is told
  };
  /// `client`: made from the held SYN; `server`: about to connect.
  SplitConnection(SplitOwner& owner, Opening opening, endpoint::Endpoint client,
                  endpoint::Endpoint server, Time now);
  ~SplitConnection() { owner_.starved().leave(*this); }
  SplitConnection(const SplitConnection&) = delete;
  SplitConnection& operator=(const SplitConnection&) = delete;

  /// A segment from `side` in a frame with these MAC addresses, which count only where the segment
  /// fits the connection (Endpoint::fits()); pump() must follow (the owner batches it).
  void process(Side side, const endpoint::Segment& segment, const wire::MacAddress& source,
               const wire::MacAddress& destination, Time now);
  /// An ICMP error about what was sent toward `side`; false: it is not genuine.
  bool icmp_error(Side side, const TcpIcmpError& error, Time now);

  /// Moves octets between the ends, sends what is due, sets the timer.
  void pump();
  /// Ends a half-open one: without a word to the client, as if its SYN had been lost, and with a
  /// reset to a server that has answered.
  void give_up();
  /// Resets both sides now.
  void abort();
  /// It has lost its place in the owner's table: nothing more will happen, whoever still has it
  /// scheduled.
  void leave() noexcept {
    timer_.cancel();
    phase_ = Phase::kOver;
  }

  /// As the client sends it: the owner's table key.
  [[nodiscard]] const wire::FlowKey& key() const noexcept { return key_; }
  [[nodiscard]] engine::Direction direction() const noexcept { return direction_; }
  [[nodiscard]] Phase phase() const noexcept { return phase_; }
  /// `syn` opens a connection. True: only TIME-WAIT is left, so it may take this one's place.
  [[nodiscard]] bool may_be_replaced_by(const endpoint::Segment& syn) const noexcept;
  /// What its server was found to be, when it never opened.
  [[nodiscard]] endpoint::EndReason server_end() const noexcept {
    return end(Side::kServer).endpoint.end_reason();
  }
  [[nodiscard]] engine::FlowInfo info(Time now) const;
  /// What on_memory() was told in all.
  [[nodiscard]] std::size_t memory() const noexcept { return memory_; }
  /// What its end on `side` has counted.
  [[nodiscard]] const endpoint::Endpoint& endpoint(Side side) const noexcept {
    return end(side).endpoint;
  }

  bool scheduled = false;               ///< Turns' mark
  AgePlace<SplitConnection> half_open;  ///< the owner's
  AgePlace<SplitConnection> lingering;  ///< the owner's
  AgePlace<SplitConnection> starving;   ///< Starved's
  Lacks lacking;                        ///< Starved's
 private:
  struct End {
    endpoint::Endpoint endpoint;
    wire::MacAddress source;  ///< of frames toward this end
    wire::MacAddress destination;
    std::uint16_t ip_id = 0;
    bool shut = false;         ///< FIN was asked for
    bool refused = false;      ///< there was no buffer for a frame toward it
    std::uint64_t octets = 0;  ///< that came from it
    Standstill still;          ///< of what comes from it
  };

  [[nodiscard]] End& end(Side side) noexcept { return ends_[static_cast<std::size_t>(side)]; }
  [[nodiscard]] const End& end(Side side) const noexcept {
    return ends_[static_cast<std::size_t>(side)];
  }
  [[nodiscard]] engine::Direction toward(Side side) const noexcept {
    return side == Side::kServer ? direction_ : engine::opposite(direction_);
  }
  void follow_handshake(Time now);
  [[nodiscard]] bool move(End& from, End& to, Time now);
  void follow_reset(const End& from, End& to, Time now);
  void follow_end();
  [[nodiscard]] bool send(Side side, Time now);
  void over();
  void count_memory();
  [[nodiscard]] Time next_time(Time now) const noexcept;
  [[nodiscard]] Lacks lacks() const noexcept;
  [[nodiscard]] bool must_yield(Time now) noexcept;

  SplitOwner& owner_;
  std::array<End, 2> ends_;
  wire::FlowKey key_;
  engine::Direction direction_;
  Phase phase_ = Phase::kOpening;
  std::uint8_t dscp_;
  std::uint8_t pcp_;
  std::size_t memory_ = 0;
  Packet syn_frame_;
  Timer timer_;
  ResetPatience rest_;
  Time born_;
};

}  // namespace vtl::service
