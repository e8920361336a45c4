// Neighbour discovery for IPv6 (RFC 4861): solicitations, advertisements, router advertisements.
//
// The messages are ICMPv6 messages; views here take them whole, type octet included. Options are
// checked at parse(): one of length 0, or beyond the end, is kBadOption (section 4.6). Whether the
// hop limit is 255, as section 7.1 demands, is the caller's to see.
// Thread rule: values. A view must not outlive its bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "vtl/wire/addresses.h"
#include "vtl/wire/error.h"
#include "vtl/wire/icmpv6.h"

namespace vtl::wire {

/// Option types of RFC 4861 section 4.6.
enum class NdpOptionType : std::uint8_t {
  kSourceLinkAddress = 1,
  kTargetLinkAddress = 2,
  kPrefix = 3,
  kRedirectedHeader = 4,
  kMtu = 5,
  kRecursiveDns = 25,  // RFC 8106 section 5.1
};

struct NdpOption {
  NdpOptionType type = NdpOptionType::kSourceLinkAddress;
  Bytes data;  ///< without type and length
};

/// Walks over checked options.
class NdpOptionIterator {
 public:
  explicit NdpOptionIterator(Bytes options) noexcept : left_(options) {}
  /// The next option, or nullopt at the end.
  [[nodiscard]] std::optional<NdpOption> next() noexcept;

 private:
  Bytes left_;
};

/// A neighbour solicitation or advertisement (sections 4.3, 4.4).
struct NeighbourFields {
  bool advertisement = false;
  bool router = false;     ///< advertisements only
  bool solicited = false;  ///< advertisements only
  bool override_ = false;  ///< advertisements only
  Ipv6Address target;
  /// The source's in a solicitation, the target's in an advertisement.
  std::optional<MacAddress> link_address;

  /// Octets that emit() writes: 24 or 32.
  [[nodiscard]] std::size_t size() const noexcept;
  /// Writes the whole ICMPv6 message, checksum 0, to the front of `out`.
  void emit(MutableBytes out) const noexcept;
  bool operator==(const NeighbourFields&) const = default;
};

class NeighbourView {
 public:
  static constexpr std::size_t kMinSize = 24;
  /// `message`: a whole ICMPv6 message of either type; another type is kUnsupported.
  [[nodiscard]] static Parsed<NeighbourView> parse(Bytes message) noexcept;

  [[nodiscard]] bool is_advertisement() const noexcept {
    return load_u8(bytes_, 0) == static_cast<std::uint8_t>(Icmpv6Type::kNeighbourAdvertisement);
  }
  [[nodiscard]] Ipv6Address target() const noexcept { return Ipv6Address::load(bytes_, 8); }
  [[nodiscard]] NdpOptionIterator options() const noexcept {
    return NdpOptionIterator(bytes_.subspan(kMinSize));
  }
  [[nodiscard]] NeighbourFields fields() const noexcept;

 private:
  explicit NeighbourView(Bytes bytes) noexcept : bytes_(bytes) {}
  Bytes bytes_;
};

/// Section 4.6.2.
struct NdpPrefix {
  std::uint8_t length = 0;  ///< bits, 0..128
  bool on_link = false;
  bool autonomous = false;
  std::uint32_t valid_seconds = 0;
  std::uint32_t preferred_seconds = 0;
  Ipv6Address prefix;
  bool operator==(const NdpPrefix&) const = default;
};

/// A router advertisement (section 4.2) as VTL sends it: at most one prefix and one resolver.
struct RouterAdvertisementFields {
  std::uint8_t hop_limit = 0;          ///< 0: the host's own matter
  bool managed = false;                ///< addresses by DHCPv6
  bool other = false;                  ///< other things by DHCPv6
  std::uint16_t lifetime_seconds = 0;  ///< as a default router; 0: not one
  std::uint32_t reachable_ms = 0;
  std::uint32_t retransmit_ms = 0;
  std::optional<MacAddress> source_link_address;
  std::optional<std::uint32_t> mtu;
  std::optional<NdpPrefix> prefix;
  std::optional<Ipv6Address> dns;  ///< RFC 8106
  std::uint32_t dns_seconds = 0;   ///< how long it may be used

  /// Octets that emit() writes.
  [[nodiscard]] std::size_t size() const noexcept;
  /// Writes the whole ICMPv6 message, checksum 0, to the front of `out`.
  void emit(MutableBytes out) const noexcept;
  bool operator==(const RouterAdvertisementFields&) const = default;
};

class RouterAdvertisementView {
 public:
  static constexpr std::size_t kMinSize = 16;
  /// `message`: a whole ICMPv6 message; another type is kUnsupported.
  [[nodiscard]] static Parsed<RouterAdvertisementView> parse(Bytes message) noexcept;

  [[nodiscard]] std::uint8_t hop_limit() const noexcept { return load_u8(bytes_, 4); }
  [[nodiscard]] bool managed() const noexcept { return (load_u8(bytes_, 5) & 0x80) != 0; }
  [[nodiscard]] bool other() const noexcept { return (load_u8(bytes_, 5) & 0x40) != 0; }
  [[nodiscard]] std::uint16_t lifetime_seconds() const noexcept { return load_be16(bytes_, 6); }
  [[nodiscard]] std::uint32_t reachable_ms() const noexcept { return load_be32(bytes_, 8); }
  [[nodiscard]] std::uint32_t retransmit_ms() const noexcept { return load_be32(bytes_, 12); }
  [[nodiscard]] NdpOptionIterator options() const noexcept {
    return NdpOptionIterator(bytes_.subspan(kMinSize));
  }
  [[nodiscard]] std::optional<MacAddress> source_link_address() const noexcept;
  [[nodiscard]] std::optional<std::uint32_t> mtu() const noexcept;
  /// With the first option of each kind, and the first resolver.
  [[nodiscard]] RouterAdvertisementFields fields() const noexcept;

 private:
  explicit RouterAdvertisementView(Bytes bytes) noexcept : bytes_(bytes) {}
  Bytes bytes_;
};

/// The link address in a source- or target-link-address option; nullopt for other options.
[[nodiscard]] std::optional<MacAddress> link_address(const NdpOption& option) noexcept;
/// The prefix in a prefix option; nullopt for other options and for a length above 128.
[[nodiscard]] std::optional<NdpPrefix> prefix(const NdpOption& option) noexcept;

/// The resolvers in a recursive-DNS option (RFC 8106 section 5.1).
struct NdpResolvers {
  std::uint32_t lifetime_seconds = 0;
  Bytes addresses;  ///< one behind the other
  [[nodiscard]] std::size_t count() const noexcept { return addresses.size() / Ipv6Address::kSize; }
  [[nodiscard]] Ipv6Address address(std::size_t i) const noexcept {
    return Ipv6Address::load(addresses, i * Ipv6Address::kSize);
  }
};
/// nullopt for other options and for one without an address.
[[nodiscard]] std::optional<NdpResolvers> resolvers(const NdpOption& option) noexcept;

/// "who has fe80::1 (from 02:00:00:00:00:01)", "fe80::1 is at 02:00:00:00:00:01, solicited".
[[nodiscard]] std::string to_string(const NeighbourFields& fields);
/// "router lifetime 1800 s, hop limit 64, mtu 1500, prefix 2001:db8::/64".
[[nodiscard]] std::string to_string(const RouterAdvertisementView& view);

}  // namespace vtl::wire
