// ARP (RFC 826) for IPv4 over Ethernet.
//
// Other hardware or protocol types are kUnsupported. Thread rule: values. A view must not outlive
// its bytes.
#pragma once

#include <cstdint>
#include <string>

#include "vtl/wire/addresses.h"
#include "vtl/wire/error.h"

namespace vtl::wire {

enum class ArpOperation : std::uint16_t { kRequest = 1, kReply = 2 };

struct ArpFields {
  static constexpr std::size_t kSize = 28;
  ArpOperation operation = ArpOperation::kRequest;  ///< others than the two named pass through
  MacAddress sender_mac;
  Ipv4Address sender_ip;
  MacAddress target_mac;  ///< zero in a request
  Ipv4Address target_ip;

  /// Octets that emit() writes.
  [[nodiscard]] static constexpr std::size_t size() noexcept { return kSize; }
  /// Writes the message to the front of `out`, which holds at least size() octets.
  void emit(MutableBytes out) const noexcept;
  bool operator==(const ArpFields&) const = default;
};

class ArpView {
 public:
  static constexpr std::size_t kSize = ArpFields::kSize;
  /// `message` may be followed by Ethernet padding.
  [[nodiscard]] static Parsed<ArpView> parse(Bytes message) noexcept;

  [[nodiscard]] ArpOperation operation() const noexcept {
    return static_cast<ArpOperation>(load_be16(bytes_, 6));
  }
  [[nodiscard]] MacAddress sender_mac() const noexcept { return MacAddress::load(bytes_, 8); }
  [[nodiscard]] Ipv4Address sender_ip() const noexcept { return Ipv4Address::load(bytes_, 14); }
  [[nodiscard]] MacAddress target_mac() const noexcept { return MacAddress::load(bytes_, 18); }
  [[nodiscard]] Ipv4Address target_ip() const noexcept { return Ipv4Address::load(bytes_, 24); }
  [[nodiscard]] ArpFields fields() const noexcept {
    return {operation(), sender_mac(), sender_ip(), target_mac(), target_ip()};
  }

 private:
  explicit ArpView(Bytes bytes) noexcept : bytes_(bytes) {}
  Bytes bytes_;
};

/// "who-has 192.0.2.2 tell 192.0.2.1 (02:00:00:00:00:01)" or "192.0.2.2 is-at 02:00:00:00:00:02".
[[nodiscard]] std::string to_string(const ArpFields& fields);

}  // namespace vtl::wire
