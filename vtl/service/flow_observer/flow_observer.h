// FlowObserver: the connections that pass a link as they are, for `vtl flows`.
//
// What: follows every TCP connection (by its model: state of both ends, octets, round-trip time to
//   each side) and every UDP flow at the link's network edge. It changes nothing and drops nothing.
//   What a service plays itself (gateway, split) it lists itself.
// Configuration: `observe_flows` of the link, default true. It costs one table look-up and, for
// TCP,
//   one look at the header per frame (a super-frame is one).
// Round-trip time: from a segment's passing to the acknowledgement of its last octet passing back,
//   smoothed by 1/8 as RFC 6298 section 2 does; delayed acknowledgements are part of it, segments
//   sent again are not measured (Karn's rule). One segment a direction is timed at a time.
// Cut through: where the link has a FastPath, a flow that has passed kCutAfter frames (and, for
// TCP,
//   is established at both ends) is given to the kernel if every service of the link can do without
//   it. It stays listed: its octets are the kernel's count, its round-trip times the last measured.
//   The frame that ends the connection brings it back.
// Limits: max_flows; beyond it the flow that was silent for longest is forgotten (counted evicted).
//   A flow silent for longer than `idle` is forgotten too. A TCP connection that has ended is
//   listed for kLinger, a UDP flow for udp_listed after its last frame.
// Counters: flows, flows_evicted_total, flows_expired_total.
//
// Thread rule: as engine::Observer; the clock may be read from any thread.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "vtl/base/time.h"
#include "vtl/engine/flow_table.h"
#include "vtl/engine/link.h"
#include "vtl/model/tcp_model.h"

namespace vtl::service {

struct FlowObserverOptions {
  std::size_t max_flows = 65536;  ///< on each worker; about 300 octets each
  Duration idle = 150min;         ///< more than a keep-alive's usual interval of two hours
  Duration udp_listed = 3min;
};

class FlowObserver final : public engine::Observer {
 public:
  static constexpr Duration kLinger = 10s;
  static constexpr std::uint32_t kCutAfter = 64;
  static constexpr std::uint32_t kCutAnyway = 16 * kCutAfter;

  /// `clock` tells the listing's "now"; it must outlive the observer.
  FlowObserver(const FlowObserverOptions& options, const ClockSource& clock)
      : options_(options),
        clock_(clock),
        flows_(
            options.max_flows, [](const Table::Entry&) { return true; },
            [this](Table::Entry& gone) { give_back(gone.value); }) {}

  void observe(engine::Direction direction, std::span<const Packet> frames, Time now) override;
  void use(engine::FastPath& path) override { path_ = &path; }
  void leave_out(std::function<bool(const wire::FlowKey&)> played) override {
    played_ = std::move(played);
  }
  void list_flows(std::vector<engine::FlowInfo>& out) const override;
  void list_metrics(std::vector<engine::ServiceMetric>& out) const override;

 private:
  // A segment on its way, timed until its acknowledgement passes.
  struct Timed {
    wire::SeqNum end;
    Time passed{};
    bool running = false;
  };
  struct Flow {
    std::optional<model::TcpModel> model;
    engine::Direction first{};  // the direction of the frame that began it: from A, for the model
    bool answer_first = false;  // that frame was an answer: the opener is the other end
    Time began{};
    std::array<std::uint64_t, 2> octets{};         // by direction
    std::array<Timed, 2> timed{};                  // by the direction of the segment
    std::array<std::optional<Duration>, 2> rtt{};  // by the same: to the side it goes to
    std::uint32_t frames = 0;                      // since it was last offered to the kernel
    std::array<bool, 2> seen{};                    // frames of it, by direction
    std::optional<iface::CutFlow> cut;             // the kernel forwards it
  };
  using Table = engine::FlowTable<Flow>;

  void observe_one(engine::Direction direction, const Packet& packet, bool alone, Time now);
  [[nodiscard]] static Flow begin(engine::Direction direction, const Packet& packet, Time now);
  static void follow(Flow& flow, engine::Direction direction, const Packet& packet, Time now);
  static void time_segment(Flow& flow, engine::Direction direction, model::Sync sync,
                           std::size_t payload, Time now);
  void offer(Flow& flow, engine::Direction direction, const Packet& packet,
             const wire::FlowKey& key);
  void give_back(Flow& flow);
  void expire(Time now);
  [[nodiscard]] std::optional<engine::FlowInfo> describe(const Table::Entry& entry, Time now) const;

  const FlowObserverOptions options_;
  const ClockSource& clock_;
  engine::FastPath* path_ = nullptr;
  std::function<bool(const wire::FlowKey&)> played_;  ///< empty: none is
  Table flows_;
};

}  // namespace vtl::service
