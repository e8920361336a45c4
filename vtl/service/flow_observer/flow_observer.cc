#include "vtl/service/flow_observer/flow_observer.h"

#include <fmt/format.h>

#include <algorithm>

#include "vtl/packet/access.h"
#include "vtl/wire/tcp.h"

namespace vtl::service {
namespace {

constexpr std::size_t kExpiredPerBatch = 4;
constexpr Duration kLookAgain = 10s;  // at a flow of the kernel's that may be evicted

std::size_t index(engine::Direction d) {
  return static_cast<std::size_t>(d);
}

std::size_t payload_size(const Layout& layout) {
  return layout.end > layout.payload_offset ? layout.end - layout.payload_offset : 0U;
}

bool begins_or_ends(const Packet& packet) {
  return is_syn(packet) || is_syn_ack(packet) || is_fin(packet) || is_rst(packet);
}

bool ended(const model::TcpModel& tcp) {
  const auto over = [&](model::End end) {
    const auto state = tcp.state(end);
    return state == model::TcpState::kClosed || state == model::TcpState::kTimeWait;
  };
  return over(model::End::kA) && over(model::End::kB);
}

std::string describe_state(const model::TcpModel& tcp, model::End guest) {
  const auto near = to_string(tcp.state(guest));
  const auto far = to_string(tcp.state(other(guest)));
  return near == far ? std::string(near) : fmt::format("{}/{}", near, far);
}

}  // namespace

void FlowObserver::observe(engine::Direction direction, std::span<const Packet> frames, Time now) {
  for (const auto& packet : frames) observe_one(direction, packet, frames.size() == 1, now);
  expire(now);
}

void FlowObserver::observe_one(engine::Direction direction, const Packet& packet, bool alone,
                               Time now) {
  if (packet.meta().played) return;
  const auto& layout = packet.layout();
  const auto key = flow_key(packet.bytes(), layout);
  if (!key) return;
  auto found = flows_.find(*key, now);
  Table::Entry* entry = found.entry;
  if (entry == nullptr) {
    if (played_ && played_(*key)) return;
    entry = flows_.insert(*key, begin(direction, packet, now), now);
    if (entry == nullptr) return;
  }
  Flow& flow = entry->value;
  if (flow.cut && begins_or_ends(packet)) {
    give_back(flow);
    if (is_syn(packet)) flow = begin(direction, packet, now);
  }
  if (!flow.cut) follow(flow, direction, packet, now);
  flow.octets[index(direction)] += payload_size(layout);
  flow.seen[index(direction)] = true;
  if (path_ == nullptr || flow.cut) return;
  if (++flow.frames >= (alone ? kCutAfter : kCutAnyway)) {
    flow.frames = 0;
    offer(flow, direction, packet, *key);
  }
}

void FlowObserver::offer(Flow& flow, engine::Direction direction, const Packet& packet,
                         const wire::FlowKey& key) {
  if (packet.layout().vlan_tags != 0 || !flow.seen[0] || !flow.seen[1]) return;
  if (flow.model) {
    for (const auto end : {model::End::kA, model::End::kB}) {
      if (flow.model->state(end) != model::TcpState::kEstablished) return;
    }
  } else if (key.protocol != wire::IpProtocol::kUdp) {
    return;
  }
  const auto to = wire::MacAddress::load(packet.bytes(), 0);
  const auto from = wire::MacAddress::load(packet.bytes(), wire::MacAddress::kSize);
  if (to.is_multicast() || from.is_multicast()) return;
  const bool outbound = direction == engine::Direction::kOutbound;
  const iface::CutFlow cut{
      .key = outbound ? key : key.reversed(), .a = outbound ? from : to, .b = outbound ? to : from};
  if (path_->take(cut)) flow.cut = cut;
}

// What the kernel counted becomes the flow's own. The model has missed everything since, so it
// begins anew with the next frame.
void FlowObserver::give_back(Flow& flow) {
  if (!flow.cut) return;
  const auto usage = path_->give_back(*flow.cut);
  for (std::size_t way = 0; way < usage.octets.size(); ++way) {
    flow.octets[way] += usage.octets[way];
  }
  flow.cut.reset();
  flow.model.reset();
  flow.timed = {};
  flow.frames = 0;
}

// A flow that only the kernel sees is not idle for that: before it goes, and before a full table
// would take it for the oldest, the kernel is asked. Datagrams have no end that would bring the
// flow back, so silence does.
void FlowObserver::expire(Time now) {
  for (std::size_t i = 0; i < kExpiredPerBatch; ++i) {
    auto* const oldest = flows_.oldest();
    if (oldest == nullptr) return;
    Flow& flow = oldest->value;
    const bool full = flows_.size() == flows_.capacity();
    if (!flow.cut) {
      if (now - oldest->used <= options_.idle) return;
      flows_.expire(oldest);
      continue;
    }
    if (now - oldest->used <= (full ? kLookAgain : options_.udp_listed)) return;
    const Duration silent = now - path_->usage(*flow.cut).last_use;
    if (silent > options_.idle) {
      flows_.expire(oldest);
      continue;
    }
    if (!flow.model && silent > options_.udp_listed) give_back(flow);
    if (full && silent > kLookAgain) return;
    (void)flows_.find(oldest->key, now);
  }
}

FlowObserver::Flow FlowObserver::begin(engine::Direction direction, const Packet& packet,
                                       Time now) {
  Flow flow;
  flow.first = direction;
  flow.began = now;
  const auto& layout = packet.layout();
  if (layout.transport != TransportKind::kTcp) return flow;
  const auto segment = wire::TcpView::parse(
      packet.bytes().subspan(layout.transport_offset, layout.end - layout.transport_offset));
  flow.answer_first = segment && segment->flags().syn() && segment->flags().ack();
  return flow;
}

void FlowObserver::follow(Flow& flow, engine::Direction direction, const Packet& packet, Time now) {
  const auto& layout = packet.layout();
  if (layout.transport != TransportKind::kTcp) return;
  const bool super_frame = packet.meta().gso.is_super();
  auto sync = model::Sync::kAdvanced;
  if (flow.model) sync = flow.model->sync(packet.bytes(), super_frame);
  if (!flow.model || sync == model::Sync::kNewConnection) {
    auto fresh = model::TcpModel::initialise(packet.bytes(), super_frame);
    if (!fresh) return;  // a reset of a connection that was not seen
    if (flow.model) flow = begin(direction, packet, now);
    flow.first = direction;
    flow.model = *fresh;
    sync = model::Sync::kAdvanced;
  }
  if (followed(sync)) time_segment(flow, direction, sync, payload_size(layout), now);
}

void FlowObserver::time_segment(Flow& flow, engine::Direction direction, model::Sync sync,
                                std::size_t payload, Time now) {
  const auto from = direction == flow.first ? model::End::kA : model::End::kB;
  const auto& tcp = *flow.model;

  Timed& mine = flow.timed[index(direction)];
  if (sync == model::Sync::kRepeated && payload > 0) {
    mine.running = false;
  } else if (!mine.running && (payload > 0 || tcp.state(from) == model::TcpState::kSynSent ||
                               tcp.state(from) == model::TcpState::kSynReceived)) {
    mine = {.end = tcp.next(from), .passed = now, .running = true};
  }

  const auto back = opposite(direction);
  Timed& theirs = flow.timed[index(back)];
  if (theirs.running && tcp.acknowledged(from) >= theirs.end) {
    theirs.running = false;
    auto& rtt = flow.rtt[index(back)];
    const Duration sample = now - theirs.passed;
    rtt = rtt ? *rtt + (sample - *rtt) / 8 : sample;
  }
}

std::optional<engine::FlowInfo> FlowObserver::describe(const Table::Entry& entry, Time now) const {
  const Flow& flow = entry.value;
  const auto usage = flow.cut ? path_->usage(*flow.cut) : iface::CutUsage{};
  const Duration silent = now - std::max(entry.used, usage.last_use);
  engine::FlowInfo info;
  if (flow.model) {
    if (ended(*flow.model) && silent > kLinger) return std::nullopt;
    const auto guest = flow.first == engine::Direction::kOutbound ? model::End::kA : model::End::kB;
    info.state = describe_state(*flow.model, guest);
  } else {
    const bool udp = entry.key.protocol == wire::IpProtocol::kUdp;
    if (silent > (udp ? options_.udp_listed : kLinger)) return std::nullopt;
    info.state = udp ? "open" : "closed";
  }
  info.key = flow.answer_first ? entry.key.reversed() : entry.key;
  const auto octets = [&](engine::Direction d) {
    return flow.octets[index(d)] + usage.octets[index(d)];
  };
  info.bytes_out = octets(engine::Direction::kOutbound);
  info.bytes_in = octets(engine::Direction::kInbound);
  info.rtt_network = flow.rtt[index(engine::Direction::kOutbound)];
  info.rtt_guest = flow.rtt[index(engine::Direction::kInbound)];
  info.transform = flow.cut && path_->forwards() ? "no (cut through)" : "no (bridged)";
  info.age = now - flow.began;
  return info;
}

void FlowObserver::list_flows(std::vector<engine::FlowInfo>& out) const {
  const Time now = clock_.now();
  flows_.for_each([&](const Table::Entry& entry) {
    if (auto info = describe(entry, now)) out.push_back(std::move(*info));
  });
}

void FlowObserver::list_metrics(std::vector<engine::ServiceMetric>& out) const {
  const auto& counters = flows_.counters();
  const auto add = [&](const char* name, const char* help, const Counter& value, bool counter) {
    out.push_back({name, help, static_cast<double>(value.value()), counter});
  };
  add("flows", "Flows that are followed now.", counters.flows, false);
  add("flows_evicted_total", "Flows forgotten because the table was full.", counters.evicted, true);
  add("flows_expired_total", "Flows forgotten because they were silent.", counters.expired, true);
  if (path_ == nullptr) return;
  const auto& cut = path_->counters();
  add("cut_through_flows", "Flows that the kernel forwards now.", cut.flows, false);
  add("cut_through_flows_total", "Flows given to the kernel.", cut.taken, true);
  add("cut_through_full_total", "Flows kept because the kernel's table was full.", cut.refused,
      true);
}

}  // namespace vtl::service
