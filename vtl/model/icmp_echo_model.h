// IcmpEchoModel: a ping between two ends, for ICMPv4 and ICMPv6.
//
// One identifier, requests from either end. Each end keeps the sequence number of its last request,
// and whether the other has answered it. Thread rule: a value; one thread. No clock, no I/O, no
// allocation.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "vtl/base/result.h"
#include "vtl/model/ethernet_model.h"
#include "vtl/model/ip_model.h"

namespace vtl::model {

enum class Echo : std::uint8_t { kRequest, kReply };

class IcmpEchoModel {
 public:
  /// Initialise, from an echo request or reply; its sender is A. Others are kUnsupported.
  [[nodiscard]] static wire::Parsed<IcmpEchoModel> initialise(Bytes frame) noexcept;

  /// Which end sent the frame; nullopt when it is not of this conversation.
  [[nodiscard]] std::optional<End> match(Bytes frame) const noexcept;
  /// Follows a frame of either end. False, and nothing changes, when it does not match.
  bool sync(Bytes frame) noexcept;
  /// A request of `from` with the next sequence number, or its reply to the other's last request
  /// (kNotSynchronised when there was none). Returns the frame's size.
  [[nodiscard]] Result<std::size_t, CreateError> create(End from, Echo kind, Bytes data,
                                                        MutableBytes out) noexcept;

  [[nodiscard]] std::uint16_t identifier() const noexcept { return identifier_; }
  /// The sequence number of the end's last request; nullopt when there was none.
  [[nodiscard]] std::optional<std::uint16_t> last_request(End end) const noexcept;
  /// The other end has answered the last request.
  [[nodiscard]] bool answered(End end) const noexcept { return ends_[index(end)].answered; }
  [[nodiscard]] const EthernetModel& ethernet() const noexcept { return ethernet_; }
  [[nodiscard]] const IpModel& ip() const noexcept { return ip_; }
  [[nodiscard]] IcmpEchoModel swapped() const noexcept;
  bool operator==(const IcmpEchoModel&) const = default;

 private:
  struct EndState {
    std::uint16_t sequence = 0;
    bool requested = false;
    bool answered = false;
    bool operator==(const EndState&) const = default;
  };
  IcmpEchoModel() = default;
  void follow(End from, Echo kind, std::uint16_t sequence) noexcept;
  IpModel ip_;
  EthernetModel ethernet_;
  std::array<EndState, 2> ends_{};
  std::uint16_t identifier_ = 0;
};

}  // namespace vtl::model
