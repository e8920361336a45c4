// TCP (RFC 9293 section 3.1) and its options: RFC 9293 (MSS), 7323 (window scale, timestamps),
// 2018 (SACK).
//
// TcpView reads over any bytes and checks once: after parse() succeeds no getter can fail.
// TcpFields is the header as plain values and can hold only what emit() can write. A super-frame's
// payload is as long as its frame. Thread rule: values. A view must not outlive its bytes.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "vtl/wire/addresses.h"
#include "vtl/wire/error.h"
#include "vtl/wire/seq.h"

namespace vtl::wire {

/// The control bits of the header's 13th and 14th octets (RFC 9293, RFC 3168).
struct TcpFlags {
  std::uint8_t bits = 0;
  static constexpr std::uint8_t kFin = 0x01, kSyn = 0x02, kRst = 0x04, kPsh = 0x08, kAck = 0x10,
                                kUrg = 0x20, kEce = 0x40, kCwr = 0x80;
  [[nodiscard]] constexpr bool fin() const { return (bits & kFin) != 0; }
  [[nodiscard]] constexpr bool syn() const { return (bits & kSyn) != 0; }
  [[nodiscard]] constexpr bool rst() const { return (bits & kRst) != 0; }
  [[nodiscard]] constexpr bool psh() const { return (bits & kPsh) != 0; }
  [[nodiscard]] constexpr bool ack() const { return (bits & kAck) != 0; }
  [[nodiscard]] constexpr bool urg() const { return (bits & kUrg) != 0; }
  [[nodiscard]] constexpr bool ece() const { return (bits & kEce) != 0; }
  [[nodiscard]] constexpr bool cwr() const { return (bits & kCwr) != 0; }
  constexpr bool operator==(const TcpFlags&) const = default;
  friend constexpr TcpFlags operator|(TcpFlags a, TcpFlags b) {
    return {static_cast<std::uint8_t>(a.bits | b.bits)};
  }
};

struct TcpTimestamps {
  std::uint32_t value = 0;  ///< TSval
  std::uint32_t echo = 0;   ///< TSecr
  constexpr bool operator==(const TcpTimestamps&) const = default;
};

/// One SACK block: [left, right).
struct SackBlock {
  SeqNum left;
  SeqNum right;
  constexpr bool operator==(const SackBlock&) const = default;
};

/// The options VTL understands; others are passed over on reading and never written.
struct TcpOptions {
  static constexpr std::size_t kMaxSackBlocks = 4;  // RFC 2018 section 3: 40 octets of options
  std::optional<std::uint16_t> mss;
  std::optional<std::uint8_t> window_scale;  ///< 0..14 (RFC 7323 section 2.3: larger is read as 14)
  std::optional<TcpTimestamps> timestamps;
  bool sack_permitted = false;
  std::uint8_t sack_count = 0;
  std::array<SackBlock, kMaxSackBlocks> sack{};
  bool operator==(const TcpOptions&) const = default;
};

struct TcpFields {
  Port source;
  Port destination;
  SeqNum seq;
  SeqNum ack;
  TcpFlags flags;
  std::uint16_t window = 0;  ///< as on the wire: not scaled
  std::uint16_t urgent = 0;
  TcpOptions options;

  /// Octets that emit() writes: 20 to 60, a multiple of 4.
  [[nodiscard]] std::size_t size() const noexcept;
  /// Writes the header, checksum 0, to the front of `out`, which holds at least size() octets.
  /// Options are laid out as receivers' fast paths expect: NOP NOP before timestamps and before
  /// SACK. SACK blocks that find no room in the 40 octets of options are left out, the last first.
  void emit(MutableBytes out) const noexcept;
  bool operator==(const TcpFields&) const = default;
};

class TcpView {
 public:
  static constexpr std::size_t kMinSize = 20;
  static constexpr std::size_t kMaxSize = 60;
  static constexpr std::size_t kChecksumOffset = 16;

  /// `segment`: header and payload, exactly as long as the IP layer says. Malformed options are
  /// kBadOption (RFC 9293 MUST-7: prepared for an illegal option length).
  [[nodiscard]] static Parsed<TcpView> parse(Bytes segment) noexcept;

  [[nodiscard]] Port source() const noexcept { return Port(load_be16(bytes_, 0)); }
  [[nodiscard]] Port destination() const noexcept { return Port(load_be16(bytes_, 2)); }
  [[nodiscard]] SeqNum seq() const noexcept { return SeqNum(load_be32(bytes_, 4)); }
  [[nodiscard]] SeqNum ack() const noexcept { return SeqNum(load_be32(bytes_, 8)); }
  [[nodiscard]] std::size_t header_size() const noexcept {
    return static_cast<std::size_t>(load_u8(bytes_, 12) >> 4) * 4;
  }
  [[nodiscard]] TcpFlags flags() const noexcept { return {load_u8(bytes_, 13)}; }
  [[nodiscard]] std::uint16_t window() const noexcept { return load_be16(bytes_, 14); }
  [[nodiscard]] std::uint16_t checksum() const noexcept { return load_be16(bytes_, 16); }
  [[nodiscard]] std::uint16_t urgent() const noexcept { return load_be16(bytes_, 18); }
  [[nodiscard]] Bytes option_bytes() const noexcept {
    return bytes_.subspan(kMinSize, header_size() - kMinSize);
  }
  [[nodiscard]] Bytes payload() const noexcept { return bytes_.subspan(header_size()); }
  /// Reads the options; cannot fail after parse().
  [[nodiscard]] TcpOptions options() const noexcept;
  [[nodiscard]] TcpFields fields() const noexcept;
  /// Sequence space occupied: payload, plus one each for SYN and FIN.
  [[nodiscard]] std::uint32_t sequence_length() const noexcept;
  /// True when the checksum over pseudo-header and `bytes` is right.
  [[nodiscard]] bool verify_checksum(const IpAddress& source,
                                     const IpAddress& destination) const noexcept;

 private:
  explicit TcpView(Bytes bytes) noexcept : bytes_(bytes) {}
  Bytes bytes_;
};

/// "SYN, ACK"; "none" without any.
[[nodiscard]] std::string to_string(TcpFlags flags);
/// "mss 1460, wscale 7"; empty without any.
[[nodiscard]] std::string to_string(const TcpOptions& options);
/// "4000 > 80 [SYN, ACK] seq 1 ack 2 win 65535 <mss 1460, wscale 7>".
[[nodiscard]] std::string to_string(const TcpFields& fields);

}  // namespace vtl::wire
