// UdpModel: a UDP conversation between two ends.
//
// Thread rule: a value; one thread. No clock, no I/O, no allocation.
#pragma once

#include <array>
#include <optional>

#include "vtl/base/result.h"
#include "vtl/model/ethernet_model.h"
#include "vtl/model/ip_model.h"
#include "vtl/wire/flow_key.h"

namespace vtl::model {

class UdpModel {
 public:
  /// Initialise, from the first datagram; its sender is A. Another protocol is kUnsupported.
  [[nodiscard]] static wire::Parsed<UdpModel> initialise(Bytes frame) noexcept;

  /// Which end sent the frame; nullopt when it is not of this conversation.
  [[nodiscard]] std::optional<End> match(Bytes frame) const noexcept;
  /// Follows a frame of either end. False, and nothing changes, when it does not match.
  bool sync(Bytes frame) noexcept;
  /// Writes a datagram from `from` with its checksum into `out` and returns the frame's size.
  [[nodiscard]] Result<std::size_t, CreateError> create(End from, Bytes payload,
                                                        MutableBytes out) noexcept;

  [[nodiscard]] const EthernetModel& ethernet() const noexcept { return ethernet_; }
  [[nodiscard]] const IpModel& ip() const noexcept { return ip_; }
  [[nodiscard]] wire::FlowKey flow(End from) const noexcept;
  [[nodiscard]] UdpModel swapped() const noexcept;
  bool operator==(const UdpModel&) const = default;

 private:
  UdpModel() = default;
  [[nodiscard]] std::optional<End> match(const Frame& frame) const noexcept;
  IpModel ip_;
  EthernetModel ethernet_;
  std::array<wire::Port, 2> ports_{};
};

}  // namespace vtl::model
