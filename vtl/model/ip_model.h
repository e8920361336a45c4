// IpModel: the network layer of a pair of ends, for IPv4 and IPv6.
//
// Each end keeps what its packets bear where VTL stands: TTL, DSCP, don't-fragment, and its last
// IPv4 identification or its IPv6 flow label. Created packets continue them and are Not-ECT.
// Thread rule: a value; one thread. No clock, no I/O, no allocation.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "vtl/model/end.h"
#include "vtl/model/frame.h"

namespace vtl::model {

class IpModel {
 public:
  static constexpr std::size_t kSerialisedSize = 45;
  static constexpr std::uint8_t kDefaultTtl = 64;

  IpModel() = default;
  /// Initialise, from the first packet, sent by A.
  explicit IpModel(const Frame& first) noexcept;
  /// By hand. Both addresses are of one version.
  IpModel(const wire::IpAddress& a, const wire::IpAddress& b) noexcept;

  /// Which end sent the packet to the other; nullopt when it is not between the two.
  [[nodiscard]] std::optional<End> match(const Frame& frame) const noexcept;
  /// Takes over what a packet from `from` bears.
  void sync(End from, const Frame& frame) noexcept;
  /// Octets of the header that create() writes.
  [[nodiscard]] std::size_t header_size() const noexcept;
  /// Writes the header of a packet from `from` with `payload` octets after it to the front of
  /// `out`, and counts the identification on.
  void create(End from, wire::IpProtocol protocol, std::size_t payload, MutableBytes out) noexcept;

  [[nodiscard]] bool is_v4() const noexcept { return version_ == 4; }
  [[nodiscard]] wire::EtherType ether_type() const noexcept {
    return is_v4() ? wire::EtherType::kIpv4 : wire::EtherType::kIpv6;
  }
  [[nodiscard]] wire::IpAddress address(End end) const noexcept;
  [[nodiscard]] std::uint8_t ttl(End end) const noexcept { return ttl_[index(end)]; }
  void set_ttl(End end, std::uint8_t ttl) noexcept { ttl_[index(end)] = ttl; }
  /// The last IPv4 identification, or the IPv6 flow label.
  [[nodiscard]] std::uint32_t label(End end) const noexcept { return label_[index(end)]; }
  /// An IPv4 identification is cut to 16 bits, an IPv6 flow label to 20.
  void set_label(End end, std::uint32_t label) noexcept;

  [[nodiscard]] IpModel swapped() const noexcept;
  void serialise(MutableBytes out) const noexcept;
  /// From kSerialisedSize octets. kUnsupported when they make no sense.
  [[nodiscard]] static wire::Parsed<IpModel> deserialise(Bytes bytes) noexcept;
  bool operator==(const IpModel&) const = default;

 private:
  std::array<std::uint32_t, 2> label_{};
  std::array<std::array<std::uint8_t, 16>, 2> address_{};  // IPv4: the first four octets
  std::array<std::uint8_t, 2> ttl_{kDefaultTtl, kDefaultTtl};
  std::array<std::uint8_t, 2> bits_{};  // DSCP in bits 2-7, don't-fragment in bit 0
  std::uint8_t version_ = 4;
};

}  // namespace vtl::model
