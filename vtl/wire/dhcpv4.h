// DHCP for IPv4 (RFC 2131, RFC 2132): what a client asks and what a server answers.
//
// Options are checked at parse(): each lies within the message and has the length that its kind
// must have, else kBadOption; an option that stands twice counts once, the first time (long options
// split by RFC 3396 are none of those read here). Options in `sname` and `file` (option 52) are
// not read. A message without the magic cookie is BOOTP and kUnsupported.
//
// Thread rule: values. A view must not outlive its bytes.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "vtl/wire/addresses.h"
#include "vtl/wire/error.h"

namespace vtl::wire {

inline constexpr Port kDhcpServerPort{67};
inline constexpr Port kDhcpClientPort{68};

/// RFC 2132 section 9.6.
enum class DhcpType : std::uint8_t {
  kDiscover = 1,
  kOffer = 2,
  kRequest = 3,
  kDecline = 4,
  kAck = 5,
  kNak = 6,
  kRelease = 7,
  kInform = 8,
};
[[nodiscard]] std::string_view to_string(DhcpType type) noexcept;  // "discover"

/// RFC 2132, by its section.
enum class DhcpOption : std::uint8_t {
  kPad = 0,
  kSubnetMask = 1,         // 3.3
  kRouter = 3,             // 3.5
  kDnsServer = 6,          // 3.8
  kInterfaceMtu = 26,      // 5.1
  kRequestedAddress = 50,  // 9.1
  kLeaseTime = 51,         // 9.2
  kMessageType = 53,       // 9.6
  kServerId = 54,          // 9.7
  kParameterList = 55,     // 9.8
  kRenewalTime = 58,       // 9.11
  kRebindingTime = 59,     // 9.12
  kClientId = 61,          // 9.14
  kEnd = 255,
};

/// A message with the options that VTL reads and writes. What is not set is not written.
struct DhcpFields {
  bool reply = false;  ///< op: BOOTREPLY, a server's
  DhcpType type = DhcpType::kDiscover;
  std::uint32_t transaction = 0;
  std::uint16_t seconds = 0;
  bool broadcast = false;  ///< the client cannot take a unicast before it has its address
  Ipv4Address client;      ///< ciaddr
  Ipv4Address yours;       ///< yiaddr
  Ipv4Address next_server;
  Ipv4Address relay;  ///< giaddr
  MacAddress hardware;

  std::optional<Ipv4Address> requested;
  std::optional<Ipv4Address> server;
  std::optional<std::uint32_t> lease_seconds, renewal_seconds, rebinding_seconds;
  std::optional<Ipv4Address> mask, router, dns;  ///< the first of several
  std::optional<std::uint16_t> mtu;

  /// Octets that emit() writes, filled up: some relays take no less (RFC 1542 section 2.1).
  static constexpr std::size_t kSize = 300;
  [[nodiscard]] static constexpr std::size_t size() noexcept { return kSize; }
  /// Writes the whole message to the front of `out`.
  void emit(MutableBytes out) const noexcept;
  bool operator==(const DhcpFields&) const = default;
};

class DhcpView {
 public:
  static constexpr std::size_t kMinSize = 240;  // the magic cookie included
  /// `message`: a UDP payload. Only Ethernet's hardware addresses are read (else kUnsupported), and
  /// messages that say their type (without one kUnsupported: BOOTP).
  [[nodiscard]] static Parsed<DhcpView> parse(Bytes message) noexcept;

  [[nodiscard]] DhcpFields fields() const noexcept;
  /// The data of the first option of this kind.
  [[nodiscard]] std::optional<Bytes> option(DhcpOption kind) const noexcept;

 private:
  explicit DhcpView(Bytes bytes) noexcept : bytes_(bytes) {}
  Bytes bytes_;
};

/// "discover from 02:00:00:00:00:01, transaction 0x12345678".
[[nodiscard]] std::string to_string(const DhcpFields& fields);

}  // namespace vtl::wire
