// KernelWorld: the namespace in which the stories meet the kernel's TCP.
//
//   the story, as many peers        the kernel under test
//      10.64.0.0/10      --- tun0 ---     10.0.0.1
//
// One host with one tun device: what the story writes there the kernel receives before write()
// returns, and what the kernel sends is read there, segment by segment, for the device has no
// offloads. Every story is another peer, so that nothing the kernel remembers of one (path MTU,
// round trips, TIME-WAIT) is seen by the next.
//
// Thread rule: the main thread, which stays in the host from the first use on.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lab/fd.h"
#include "lab/lab.h"
#include "vtl/base/bytes.h"
#include "vtl/base/time.h"
#include "vtl/wire/addresses.h"

namespace vtl::endpoint::script {

class KernelWorld {
 public:
  /// The one of this program; lives to its end.
  static KernelWorld& get();

  [[nodiscard]] static wire::Ipv4Address kernel_address();
  [[nodiscard]] wire::Ipv4Address next_peer() noexcept;
  /// "tcp_sack": of net.ipv4. Holds for connections opened from now on.
  void set(const std::string& key, const std::string& value);
  /// The floor of the retransmission timeout toward that peer.
  void set_min_rto(wire::Ipv4Address peer, Duration floor);

  /// An IPv4 packet for the kernel.
  void send(Bytes packet);
  /// The next packet of the kernel's; empty when none came until `limit` on the steady clock.
  [[nodiscard]] std::vector<std::uint8_t> receive(Time limit);
  [[nodiscard]] Time now() const { return clock_.now(); }

 private:
  KernelWorld();

  SystemClock clock_;
  lab::Lab lab_;
  lab::Host* host_ = nullptr;
  lab::Fd tun_;
  std::optional<lab::InHost> inside_;
  std::map<std::string, std::string> settings_;
  std::uint32_t peers_ = 0;
};

}  // namespace vtl::endpoint::script
