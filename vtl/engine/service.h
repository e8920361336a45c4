// Service: one transparent function in a link's chain.
//
// A link lists its services from guest to network: outbound frames pass them in that order, inbound
// ones in reverse. A service gets batches with a direction. What it leaves in the batch goes on; it
// may take packets out (drop them with a reason, or consume them) and may at any time emit packets
// toward either side, which continue at the next service in that direction.
//
// Thread rule: every instance belongs to one worker and is called on that worker only; one instance
// per worker and link, so there are no locks. A flow always meets the same worker (symmetric hash).
// Bounds: a call does work bounded by its batch; memory is bounded per flow and in all, with a
// stated behaviour at the bound, told in the service's own header.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "vtl/base/counter.h"
#include "vtl/base/reactor.h"
#include "vtl/base/result.h"
#include "vtl/base/rng.h"
#include "vtl/engine/flow_info.h"
#include "vtl/packet/packet.h"
#include "vtl/transport/proxy.h"
#include "vtl/transport/transport.h"

namespace vtl::engine {

enum class Direction : std::uint8_t { kOutbound, kInbound };
[[nodiscard]] constexpr Direction opposite(Direction d) noexcept {
  return d == Direction::kOutbound ? Direction::kInbound : Direction::kOutbound;
}

/// What a service may say of one packet.
enum class Verdict : std::uint8_t { kForward, kConsume };

/// What a link gives to each of its services. Lives as long as the service.
class ServiceContext {
 public:
  virtual ~ServiceContext() = default;
  [[nodiscard]] virtual Reactor& reactor() noexcept = 0;
  [[nodiscard]] virtual PacketPool& pool() noexcept = 0;
  /// Seeded from the configuration (or the operating system), different for every service.
  [[nodiscard]] virtual Rng& rng() noexcept = 0;
  [[nodiscard]] virtual const std::string& link_name() const noexcept = 0;
  /// How many workers run this link; reactor().worker() is this one's number.
  [[nodiscard]] virtual std::uint32_t workers() const noexcept = 0;

  /// Sends `packet` onward in `direction`, from this service to the next one in that direction: as
  /// a rule at the end of the turn, but it may run the services beyond and write to the interface
  /// inside the call. Of this service it calls at most plays() and may_cut_through().
  virtual void emit(Direction direction, Packet packet) = 0;
  /// Whether emit_gathered() is worth trying now: the frame would reach an interface that can, and
  /// nobody before it.
  [[nodiscard]] virtual bool gathers(Direction direction) const noexcept {
    (void)direction;
    return false;
  }
  /// Sends now what emit() would send as one frame: a super-frame of TCP out of `head` and
  /// `payload` (Interface::write_gathered()), behind all that this service emitted before in this
  /// direction. Keeps nothing. False: it was not sent; the caller makes it one frame and calls
  /// emit().
  [[nodiscard]] virtual bool emit_gathered(Direction direction, const Packet& head,
                                           std::span<const Bytes> payload) {
    (void)direction, (void)head, (void)payload;
    return false;
  }
  /// Counts the drop under this service and lets the packet go.
  virtual void drop(Packet packet, DropReason reason) = 0;

  /// The smaller of what the two interfaces of the link carry toward `direction`: MTU, offloads.
  [[nodiscard]] virtual std::size_t mtu(Direction direction) const noexcept = 0;
  [[nodiscard]] virtual wire::MacAddress interface_mac(Direction direction) const noexcept = 0;

  /// The transport to the configured peer `name` on this worker; null when there is none.
  [[nodiscard]] virtual transport::Transport* peer(std::string_view name) noexcept = 0;
  /// The configured proxy `name` as this worker reaches it; null when there is none.
  [[nodiscard]] virtual transport::Proxy* proxy(std::string_view name) noexcept = 0;
};

/// A named number for listings and metrics.
struct ServiceMetric {
  std::string name;  ///< Prometheus style, without prefix: "connections_total"
  std::string help;
  double value = 0;
  bool is_counter = true;
};

class Service {
 public:
  virtual ~Service() = default;

  /// The configuration key: "bridge", "impair", "gateway".
  [[nodiscard]] virtual std::string_view kind() const noexcept = 0;

  /// Called once, before any packet.
  virtual void start(ServiceContext& context) = 0;

  /// The frames of one read, all in `direction`. Packets left in `batch`, in order, are forwarded.
  /// Take one out by moving it away: empty packets are removed by the chain afterwards.
  virtual void process(Direction direction, Batch& batch) = 0;

  /// Cut through: whether this service can do without the frames of `flow` (either direction) from
  /// now on. The kernel may forward them by itself then; those that begin or end a connection, and
  /// fragments, still come. Asked on the worker, for flows that have passed some frames already.
  [[nodiscard]] virtual bool may_cut_through(const wire::FlowKey& flow) const {
    (void)flow;
    return false;
  }

  /// Whether this service plays the ends of `flow` (either direction) and lists it itself: the
  /// link's observer leaves it alone.
  [[nodiscard]] virtual bool plays(const wire::FlowKey& flow) const {
    (void)flow;
    return false;
  }

  /// End of streams in order: begin to stop, call `done` once nothing is left to wait for. The link
  /// stops waiting after its grace time.
  virtual void stop(std::function<void()> done) { done(); }

  /// Does what `vtl KIND ACTION LINK` asks for; the error says what is wrong with the asking.
  /// Called on the worker.
  [[nodiscard]] virtual Outcome<void> act(std::string_view action);

  /// Appends what `vtl flows` shows of the connections this service transforms.
  virtual void list_flows(std::vector<FlowInfo>& out) const { (void)out; }
  /// Appends what `vtl stats` shows. Called on the worker.
  virtual void list_metrics(std::vector<ServiceMetric>& out) const { (void)out; }
};

/// Makes the instances of one configured service, one per worker. Called before the workers run, on
/// the control thread; it must be safe to call several times. Null when it cannot: start() fails.
using ServiceFactory = std::function<std::unique_ptr<Service>(std::uint32_t worker)>;

}  // namespace vtl::engine
