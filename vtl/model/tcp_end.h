// TcpEnd: what one end of a TCP connection has shown, and follow(), which both ends share.
//
// Theory of operation. A model stands between the ends and sees segments pass. For each end it
// keeps the facts that the end's own segments have shown: how far it has sent (next), how far it
// has acknowledged (ack), how far it has allowed the other to send (limit), and whether SYN, FIN or
// RST were among them. Facts only grow: a repeated or overtaken segment adds none, so nothing ever
// moves backwards. The state of RFC 9293 is derived from the facts of both ends; nothing else
// stores it.
//
// What is taken for granted: an acknowledgement that passed reaches the other end. What is not:
// that data, SYN or FIN arrive; the receiver shows that itself, by acknowledging.
//
// Thread rule: values. No clock, no I/O, no allocation.
// Invariants: ack of one end <= next of the other, once both are known; limit >= ack.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "vtl/wire/tcp.h"

namespace vtl::model {

/// RFC 9293 section 3.3.2, as far as an onlooker can tell.
enum class TcpState : std::uint8_t {
  kClosed,
  kListen,  ///< has not spoken yet
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
[[nodiscard]] std::string_view to_string(TcpState state) noexcept;  // "fin-wait-1"

/// What sync() made of a segment.
enum class Sync : std::uint8_t {
  kAdvanced,       ///< of the connection, and it told something new
  kRepeated,       ///< of the connection, but old: a retransmission, a duplicate, or overtaken by
                   ///< another segment (a reset, for one)
  kOutOfWindow,    ///< beyond the window, beyond the end's own FIN, or in answer to a SYN but
                   ///< without one: nothing was changed
  kBadAck,         ///< acknowledges what was never sent: nothing was changed
  kNewConnection,  ///< a SYN on an ended connection, or with another ISN: make a new model
  kNoMatch,        ///< of another connection
  kMalformed,      ///< no frame that could be read
};
[[nodiscard]] std::string_view to_string(Sync sync) noexcept;
/// The segment belongs to the connection, and the model has followed it.
[[nodiscard]] constexpr bool followed(Sync sync) noexcept {
  return sync == Sync::kAdvanced || sync == Sync::kRepeated;
}

struct TcpEnd {
  // Bits of `facts`.
  static constexpr std::uint8_t kSeqKnown = 0x01, kAckKnown = 0x02, kSynSent = 0x04,
                                kFinSent = 0x08, kResetSent = 0x10,
                                kClosedSecond = 0x20,  // its FIN acknowledged the other's
      kSackPermitted = 0x40, kTimestamps = 0x80;
  // Values of `scale` besides 0..14.
  static constexpr std::uint8_t kNoScale = 0xff;       // the SYN offered none
  static constexpr std::uint8_t kScaleUnknown = 0xfe;  // the SYN was not seen
  static constexpr std::uint8_t kMaxScale = 14;        // RFC 7323 section 2.3
  static constexpr std::uint16_t kDefaultMss = 536;    // RFC 9293 section 3.7.1

  wire::SeqNum next;            // one past the highest sequence number it has sent, SYN and FIN too
  wire::SeqNum ack;             // the highest acknowledgement number it has sent; before the first
                                // one that of its own SYN, if that was seen
  wire::SeqNum limit;           // the highest right window edge it has ever offered
  std::uint32_t timestamp = 0;  // its last TSval
  std::uint16_t window = 0;     // as its non-SYN segments have it on the wire, not scaled
  std::uint16_t mss = kDefaultMss;  // as its SYN told
  std::uint16_t port = 0;
  std::uint8_t scale = kNoScale;
  std::uint8_t facts = 0;

  [[nodiscard]] constexpr bool has(std::uint8_t bits) const noexcept {
    return (facts & bits) == bits;
  }
  constexpr void set(std::uint8_t bits) noexcept {
    facts = static_cast<std::uint8_t>(facts | bits);
  }
  bool operator==(const TcpEnd&) const = default;
};

/// Follows a segment from `sender` to `receiver`: header and octets of payload.
[[nodiscard]] Sync follow(TcpEnd& sender, TcpEnd& receiver, const wire::TcpFields& segment,
                          std::uint32_t payload) noexcept;

/// The state of `self`, whose other end is `peer`.
[[nodiscard]] TcpState state(const TcpEnd& self, const TcpEnd& peer) noexcept;

/// The shift of the windows that `self` tells in segments without SYN: 0 unless both offered one.
/// nullopt when its SYN was not seen.
[[nodiscard]] std::optional<std::uint8_t> window_shift(const TcpEnd& self,
                                                       const TcpEnd& peer) noexcept;

/// Both ends have offered the option.
[[nodiscard]] constexpr bool both(const TcpEnd& a, const TcpEnd& b, std::uint8_t option) noexcept {
  return a.has(option) && b.has(option);
}

}  // namespace vtl::model
