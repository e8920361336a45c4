// Ethernet II (IEEE 802.3) with up to two VLAN tags (IEEE 802.1Q; QinQ with the S-tag 0x88a8).
//
// A frame starts at the destination address: no preamble, no frame check sequence. What follows the
// header may be longer than the payload, for short frames are padded: the network layer's own
// length counts. Thread rule: values. A view must not outlive its bytes.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "vtl/wire/addresses.h"
#include "vtl/wire/error.h"

namespace vtl::wire {

/// IEEE registered EtherTypes that VTL knows by name.
enum class EtherType : std::uint16_t {
  kIpv4 = 0x0800,
  kArp = 0x0806,
  kVlan = 0x8100,
  kIpv6 = 0x86dd,
  kQinQ = 0x88a8,
};
/// "IPv4"; "0x88cc" for one without a name here.
[[nodiscard]] std::string to_string(EtherType type);

/// One 802.1Q tag: the tag protocol identifier and the tag control information.
struct VlanTag {
  static constexpr std::size_t kSize = 4;
  EtherType tpid = EtherType::kVlan;  ///< kVlan or kQinQ
  std::uint8_t pcp = 0;               ///< priority, 0..7
  bool dei = false;                   ///< drop eligible
  std::uint16_t vid = 0;              ///< 0..4095; 0 is a priority tag, 4095 reserved
  constexpr bool operator==(const VlanTag&) const = default;
};

struct EthernetFields {
  static constexpr std::size_t kMaxTags = 2;
  MacAddress destination;
  MacAddress source;
  std::uint8_t tag_count = 0;            ///< 0..kMaxTags
  std::array<VlanTag, kMaxTags> tags{};  ///< the outermost first; unused ones are default
  /// Of the payload, after the tags. Below 0x0600 it is the length of an IEEE 802.3 frame.
  EtherType ether_type = EtherType::kIpv4;

  /// Octets that emit() writes: 14, 18 or 22.
  [[nodiscard]] std::size_t size() const noexcept;
  /// Writes the header to the front of `out`, which holds at least size() octets.
  void emit(MutableBytes out) const noexcept;
  bool operator==(const EthernetFields&) const = default;
};

class EthernetView {
 public:
  static constexpr std::size_t kMinSize = 14;
  static constexpr std::size_t kMaxSize = kMinSize + EthernetFields::kMaxTags * VlanTag::kSize;
  static constexpr std::size_t kDestinationOffset = 0;
  static constexpr std::size_t kSourceOffset = 6;

  /// A third tag is kTooManyHeaders.
  [[nodiscard]] static Parsed<EthernetView> parse(Bytes frame) noexcept;

  [[nodiscard]] MacAddress destination() const noexcept { return MacAddress::load(bytes_, 0); }
  [[nodiscard]] MacAddress source() const noexcept { return MacAddress::load(bytes_, 6); }
  [[nodiscard]] std::size_t tag_count() const noexcept { return tag_count_; }
  /// The outermost tag is number 0; i < tag_count().
  [[nodiscard]] VlanTag tag(std::size_t i) const noexcept;
  /// The outermost VLAN identifier; 0 when untagged.
  [[nodiscard]] std::uint16_t vlan() const noexcept { return tag_count_ > 0 ? tag(0).vid : 0; }
  [[nodiscard]] EtherType ether_type() const noexcept {
    return static_cast<EtherType>(load_be16(bytes_, header_size() - 2));
  }
  [[nodiscard]] std::size_t header_size() const noexcept {
    return kMinSize + tag_count_ * VlanTag::kSize;
  }
  /// All that follows the header, padding included.
  [[nodiscard]] Bytes payload() const noexcept { return bytes_.subspan(header_size()); }
  [[nodiscard]] EthernetFields fields() const noexcept;

 private:
  EthernetView(Bytes bytes, std::uint8_t tag_count) noexcept
      : bytes_(bytes), tag_count_(tag_count) {}
  Bytes bytes_;
  std::uint8_t tag_count_;
};

/// "02:00:00:00:00:01 > 02:00:00:00:00:02 vlan 7 IPv4".
[[nodiscard]] std::string to_string(const EthernetFields& fields);

}  // namespace vtl::wire
