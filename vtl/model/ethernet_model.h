// EthernetModel: the link layer of a pair of ends: whose MAC addresses their frames bear.
//
// Each end keeps the source and the destination of its own last frame: with a virtual router
// (VRRP) the way there and the way back use different addresses. The VLAN tags belong to both.
// Thread rule: a value; one thread. No clock, no I/O, no allocation.
#pragma once

#include <array>
#include <cstdint>

#include "vtl/model/end.h"
#include "vtl/wire/ethernet.h"

namespace vtl::model {

class EthernetModel {
 public:
  static constexpr std::size_t kSerialisedSize = 29;

  EthernetModel() = default;
  /// Initialise, from the first frame, sent by A; B is taken to answer the way it came.
  explicit EthernetModel(const wire::EthernetFields& first) noexcept;

  /// The same VLANs? (MAC addresses may change while a connection lives.)
  [[nodiscard]] bool match(const wire::EthernetFields& frame) const noexcept;
  /// Takes over the addresses of a frame that `from` has sent.
  void sync(End from, const wire::EthernetFields& frame) noexcept;
  /// The header of a frame from `from` to the other end.
  [[nodiscard]] wire::EthernetFields create(End from, wire::EtherType type) const noexcept;

  [[nodiscard]] wire::MacAddress mac(End end) const noexcept { return ends_[index(end)].source; }
  /// The outermost VLAN, 0 when untagged.
  [[nodiscard]] std::uint16_t vlan() const noexcept;
  [[nodiscard]] EthernetModel swapped() const noexcept;
  void serialise(MutableBytes out) const noexcept;
  /// From kSerialisedSize octets. kUnsupported when they make no sense.
  [[nodiscard]] static wire::Parsed<EthernetModel> deserialise(Bytes bytes) noexcept;
  bool operator==(const EthernetModel&) const = default;

 private:
  struct EndState {
    wire::MacAddress source;
    wire::MacAddress destination;
    bool operator==(const EndState&) const = default;
  };
  std::array<EndState, 2> ends_{};
  std::array<std::uint16_t, 2> tags_{};  // tag control information, the outermost first
  std::uint8_t tag_bits_ = 0;            // count in bits 0-1; bit 2 + i: tag i is an S-tag
};

}  // namespace vtl::model
