// Preface: what a gateway tells its peer about the connection it opens a stream for.
//
// The client's own addresses, ports and MACs, the tag of its frames and the options of its SYN, so
// that the peer can play the client toward the real server. It travels inside an authenticated
// stream, and is still checked octet by octet.
//
//   octet  0      version (1)
//          1      flags: 1 IPv6, 2 window scale offered, 4 timestamps offered, 8 SACK permitted
//          2..3   VLAN identifier, 0 when untagged
//          4..5   MSS of the SYN, 0 when it had none
//          6      window scale
//          7      DSCP of the SYN
//          8..13  client's MAC        14..19  the MAC its SYN went to
//          20..21 client's port       22..23  server's port
//          24..   client's address, server's address (4 or 16 octets each)
#pragma once

#include <array>
#include <cstdint>

#include "vtl/wire/error.h"
#include "vtl/wire/flow_key.h"
#include "vtl/wire/tcp.h"

namespace vtl::service {

struct Preface {
  static constexpr std::uint8_t kVersion = 1;
  static constexpr std::size_t kFixedSize = 24;
  static constexpr std::size_t kMaxSize = kFixedSize + 32;

  wire::FlowKey key;  ///< as the client sends it; protocol TCP, both addresses of one version
  wire::MacAddress client_mac;
  wire::MacAddress next_hop_mac;  ///< where the client's SYN was sent to on its segment
  wire::TcpOptions options;  ///< of the SYN: MSS, window scale, timestamps offered, SACK permitted
  std::uint8_t dscp = 0;

  [[nodiscard]] std::size_t size() const noexcept {
    return kFixedSize + (key.source.address.is_v6() ? 32 : 8);
  }
  /// Writes size() octets to the front of `out`.
  void emit(MutableBytes out) const noexcept;
  [[nodiscard]] static wire::Parsed<Preface> parse(Bytes bytes) noexcept;
  bool operator==(const Preface&) const = default;
};

/// Which of `workers` sees the guest's frames of the connection that `preface` describes
/// (transport::Options::worker_for); 0 when it makes no sense, for that worker to refuse it.
[[nodiscard]] std::uint32_t worker_of_preface(Bytes preface, std::uint32_t workers) noexcept;

}  // namespace vtl::service
