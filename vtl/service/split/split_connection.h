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
// One that waits only for memory is on its table's list (Starved). One that stands still while the
// pool has nothing left for others is reset on both sides (Standstill).
//
// Frames leave with the MAC addresses that the other side's own frames come with, those that a
// forged segment comes in excepted. What else the client chose for its SYN's frame (DSCP, the VLAN
// tag and its priority) all frames of the connection have, both ways; their TTL is 64.
//
// Thread rule: the worker of the link. It is an item of a PlayedTable, which destroys it.
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
#include "vtl/service/played_totals.h"
#include "vtl/service/standstill.h"
#include "vtl/service/starved.h"
#include "vtl/service/tcp_frame.h"

namespace vtl::service {

template <class Item>
class PlayedTable;

/// What a connection needs of its split beside the table.
class SplitOwner {
 public:
  virtual ~SplitOwner() = default;
  /// A connection is over before its handshakes were done; `server`: how the server's end ended.
  virtual void on_not_opened(endpoint::EndReason server) noexcept = 0;
  /// The octets of memory that it holds have become `more` more, or fewer.
  virtual void on_memory(std::ptrdiff_t more) noexcept = 0;
};

class SplitConnection {
 public:
  using Owner = SplitOwner;
  using Table = PlayedTable<SplitConnection>;
  static constexpr bool kFoundByBothDirections = true;

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
  SplitConnection(Table& table, Opening opening, endpoint::Endpoint client,
                  endpoint::Endpoint server, Time now);
  SplitConnection(const SplitConnection&) = delete;
  SplitConnection& operator=(const SplitConnection&) = delete;

  /// A segment from `side` in a frame with these MAC addresses, which count only where the segment
  /// fits the connection (Endpoint::fits()); pump() must follow (the table batches it).
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
  /// It has lost its place in the table: nothing more will happen, whoever still has it scheduled,
  /// and its memory is counted no more.
  void leave() noexcept;

  /// As the client sends it.
  [[nodiscard]] const wire::FlowKey& key() const noexcept { return key_; }
  [[nodiscard]] engine::Direction direction() const noexcept { return direction_; }
  [[nodiscard]] bool is_over() const noexcept { return phase_ == Phase::kOver; }
  /// `syn` opens a connection. True: only TIME-WAIT is left, so it may take this one's place.
  [[nodiscard]] bool may_be_replaced_by(const endpoint::Segment& syn) const noexcept;
  [[nodiscard]] engine::FlowInfo info(Time now) const;
  void count_into(PlayedTotals& totals) const {
    for (const End& e : ends_) totals.add(e.endpoint);
  }

  // The table's.
  bool scheduled = false;
  AgePlace<SplitConnection> half_open, lingering, starving;
  Lacks lacking;

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

  Table& table_;
  std::array<End, 2> ends_;
  wire::FlowKey key_;
  engine::Direction direction_;
  Phase phase_ = Phase::kOpening;
  std::uint8_t dscp_;
  std::uint8_t pcp_;
  std::size_t memory_ = 0;  ///< what on_memory() was told in all
  Packet syn_frame_;
  Timer timer_;
  ResetPatience rest_;
  Time born_;
};

}  // namespace vtl::service
