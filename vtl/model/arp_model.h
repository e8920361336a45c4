// ArpModel: who has which address, for a pair of IPv4 ends on one segment.
//
// Follows requests and replies between the two and creates either. Thread rule: a value; one
// thread. No clock, no I/O, no allocation.
#pragma once

#include <array>
#include <optional>

#include "vtl/base/result.h"
#include "vtl/model/end.h"
#include "vtl/model/ethernet_model.h"
#include "vtl/wire/arp.h"

namespace vtl::model {

class ArpModel {
 public:
  /// Initialise, from a request or reply; its sender is A.
  [[nodiscard]] static wire::Parsed<ArpModel> initialise(Bytes frame) noexcept;
  /// By hand; a MAC that is not known is zero.
  ArpModel(wire::MacAddress mac_a, wire::Ipv4Address ip_a, wire::MacAddress mac_b,
           wire::Ipv4Address ip_b) noexcept;

  /// Which end sent this ARP frame to the other; nullopt when it is not between the two.
  [[nodiscard]] std::optional<End> match(Bytes frame) const noexcept;
  /// Learns the sender's MAC. False when the frame does not match.
  bool sync(Bytes frame) noexcept;
  /// A request from `from` for the other end's address, by broadcast; or `from`'s reply to it.
  /// Returns the frame's size.
  [[nodiscard]] Result<std::size_t, CreateError> create(End from, wire::ArpOperation operation,
                                                        MutableBytes out) const noexcept;

  /// Zero until known.
  [[nodiscard]] wire::MacAddress mac(End end) const noexcept { return ends_[index(end)].mac; }
  [[nodiscard]] wire::Ipv4Address ip(End end) const noexcept { return ends_[index(end)].ip; }
  [[nodiscard]] ArpModel swapped() const noexcept;
  bool operator==(const ArpModel&) const = default;

 private:
  ArpModel() = default;
  struct EndState {
    wire::MacAddress mac;
    wire::Ipv4Address ip;
    bool operator==(const EndState&) const = default;
  };
  std::array<EndState, 2> ends_{};
  EthernetModel ethernet_;  // for the VLAN tags
};

}  // namespace vtl::model
