// RoutedPair: two hosts and a router between them that tracks connections; the test passes every
// frame itself.
//
//   client eth0 -- c0 [gate] r0 -- in0 [router] out0 -- r1 [gate] s0 -- eth0 server
//
// The gate is the test: a frame that it gives to the router it awaits on the router's other side,
// so that the kernel's state can be read after every single frame. What passed, how conntrack
// judged it and the state of its connection afterwards is recorded, all as on the client's side.
// The router lets pass what conntrack finds invalid, marked with a DSCP by which the gate knows it.
//
// A test that fails keeps a capture of the router's client side.
//
// Addresses and ports are those of model::test::Net; frames are wire frames (no offloads).
// Thread rule: one thread.
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "lab/capture.h"
#include "lab/lab.h"
#include "tests/support/conntrack.h"
#include "vtl/base/rng.h"
#include "vtl/base/time.h"
#include "vtl/iface/interface.h"
#include "vtl/model/end.h"

namespace vtl::test {

/// A TCP frame that passed the router.
struct PassedFrame {
  model::End from = model::End::kA;  ///< the client is A
  std::vector<std::uint8_t> frame;
  bool invalid = false;  ///< so conntrack says
  std::string state;     ///< of its connection afterwards, Conntrack::tcp_state()
};

class RoutedPair {
 public:
  /// Where the hosts' frames get lost: on their way to the router, or behind it.
  enum class Loss : std::uint8_t { kNone, kBefore, kBehind };

  explicit RoutedPair(bool v6, Loss loss = Loss::kNone, std::uint64_t seed = 1);

  /// Gives the router a frame as `from` would send it. The other host does not get it.
  void inject(model::End from, const std::vector<std::uint8_t>& frame);
  /// Passes what the two hosts have sent, one frame after the other.
  void pump();
  /// From now on what `from` sends is lost before or behind the router; only chance decides again
  /// after Loss::kNone.
  void lose_all(model::End from, Loss where) { lose_all_[index(from)] = where; }

  [[nodiscard]] const std::vector<PassedFrame>& record() const { return record_; }
  [[nodiscard]] lab::Host& host(model::End end) {
    return end == model::End::kA ? *client_ : *server_;
  }
  [[nodiscard]] lab::Host& router() { return *router_; }
  [[nodiscard]] const Conntrack& conntrack() const { return *conntrack_; }

 private:
  struct Side {
    std::unique_ptr<iface::Interface> to_host, to_router;
    wire::MacAddress host, router;
    std::deque<Packet> sent;  // by the host, TCP
  };

  void set_up(model::End end, bool v6);
  void read_hosts();
  [[nodiscard]] bool lost(model::End from, Loss where);
  /// Gives `packet` to the router and answers it as it came out on the other side.
  [[nodiscard]] Packet through_router(model::End from, Packet packet);
  void write(iface::Interface& to, Packet packet);
  [[nodiscard]] Side& side(model::End end) { return sides_[index(end)]; }

  lab::Lab lab_;
  lab::Host *client_ = nullptr, *router_ = nullptr, *server_ = nullptr, *gate_ = nullptr;
  SystemClock clock_;
  PacketPool pool_;
  std::array<Side, 2> sides_;
  std::unique_ptr<Conntrack> conntrack_;
  std::unique_ptr<lab::Capture> capture_;  // on the router's client side
  Loss loss_;
  std::array<Loss, 2> lose_all_{Loss::kNone, Loss::kNone};
  Rng rng_;
  std::vector<PassedFrame> record_;
};

}  // namespace vtl::test
