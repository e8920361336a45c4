#include "vtl/engine/link.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace vtl::engine {
namespace {

// Two services that answer each other at once must not hold the worker.
constexpr int kFlushRounds = 8;
// Octets at a boundary that go on before the end of the turn: two super-frames, and what they were
// copied from, stay in a processor's own cache beside what it does.
constexpr std::size_t kEarlyFlushBytes = std::size_t{128} << 10;
// Capabilities may cost a system call; services ask for the MTU per packet.
constexpr Duration kMtuValid = 1s;

void remove_empty(Batch& batch) {
  const auto first = std::find_if(batch.begin(), batch.end(), [](const Packet& p) { return !p; });
  if (first == batch.end()) return;
  batch.erase(std::remove_if(first, batch.end(), [](const Packet& p) { return !p; }), batch.end());
}

}  // namespace

// One service in its place of the chain: the context it sees.
class Link::Slot final : public ServiceContext {
 public:
  Slot(Link& link, std::uint32_t index, std::unique_ptr<Service> made)
      : service(std::move(made)),
        link_(link),
        index_(index),
        rng_(link.setup_.seed + 0x9e3779b97f4a7c15ULL * (index + 1) +
             0xd1b54a32d192ed03ULL * (link.worker_.worker() + 1)) {}

  Reactor& reactor() noexcept override { return link_.worker_; }
  PacketPool& pool() noexcept override { return link_.worker_.pool(); }
  Rng& rng() noexcept override { return rng_; }
  const std::string& link_name() const noexcept override { return link_.setup_.name; }
  std::uint32_t workers() const noexcept override { return link_.setup_.workers; }

  void emit(Direction direction, Packet packet) override {
    link_.emit(direction, direction == Direction::kOutbound ? index_ + 1 : index_,
               std::move(packet));
  }

  bool gathers(Direction direction) const noexcept override {
    return link_.gathers(direction, direction == Direction::kOutbound ? index_ + 1 : index_);
  }
  bool emit_gathered(Direction direction, const Packet& head,
                     std::span<const Bytes> payload) override {
    return link_.emit_gathered(direction, direction == Direction::kOutbound ? index_ + 1 : index_,
                               head, payload);
  }

  void drop(Packet packet, DropReason reason) override {
    drops.add(reason);
    packet.reset();
  }

  std::size_t mtu(Direction direction) const noexcept override {
    (void)direction;  // a frame from the one must fit the other
    return link_.mtu();
  }

  wire::MacAddress interface_mac(Direction direction) const noexcept override {
    const auto& s = link_.setup_;
    const auto* interface =
        direction == Direction::kOutbound ? s.network_interface : s.guest_interface;
    return interface == nullptr ? wire::MacAddress{} : interface->mac();
  }

  transport::Transport* peer(std::string_view name) noexcept override {
    return link_.setup_.find_peer ? link_.setup_.find_peer(name) : nullptr;
  }

  transport::Proxy* proxy(std::string_view name) noexcept override {
    return link_.setup_.find_proxy ? link_.setup_.find_proxy(name) : nullptr;
  }

  std::unique_ptr<Service> service;
  DropCounters drops;

 private:
  Link& link_;
  const std::uint32_t index_;
  Rng rng_;
};

Link::Link(Worker& worker, LinkSetup setup) : worker_(worker), setup_(std::move(setup)) {
  assert(setup_.guest != nullptr && setup_.guest_interface != nullptr);
  assert((setup_.network == nullptr) == (setup_.network_interface == nullptr));
  for (const auto direction : {Direction::kOutbound, Direction::kInbound}) {
    auto& entry = entries_[static_cast<std::size_t>(direction)];
    entry.link = this;
    entry.direction = direction;
    pending_[static_cast<std::size_t>(direction)].resize(1);
  }
}

Link::~Link() {
  close();
}

void Link::add_service(std::unique_ptr<Service> service) {
  slots_.push_back(std::make_unique<Slot>(*this, services(), std::move(service)));
  for (auto& boundaries : pending_) boundaries.resize(slots_.size() + 1);
}

void Link::set_fast_path(std::shared_ptr<iface::CutThrough> kernel) {
  const auto no_service_needs = [this](const wire::FlowKey& flow) {
    return std::ranges::all_of(
        slots_, [&](const auto& slot) { return slot->service->may_cut_through(flow); });
  };
  fast_path_ = std::make_unique<FastPath>(worker_, std::move(kernel), no_service_needs);
}

void Link::start() {
  if (fast_path_ != nullptr && observer_ != nullptr) observer_->use(*fast_path_);
  if (observer_ != nullptr && !slots_.empty()) {
    observer_->leave_out([this](const wire::FlowKey& flow) {
      return std::ranges::any_of(slots_,
                                 [&](const auto& slot) { return slot->service->plays(flow); });
    });
  }
  for (auto& slot : slots_) slot->service->start(*slot);
}

void Link::stop(std::function<void()> done) {
  struct Waiting {
    std::size_t left;
    std::function<void()> done;
    void one_less() {
      if (--left == 0) done();
    }
  };
  // Counts one more than the services, so that `done` is called once also when there are none. A
  // service that calls back late, after close(), finds its own reference alive.
  auto waiting = std::make_shared<Waiting>(Waiting{slots_.size() + 1, std::move(done)});
  for (auto& slot : slots_) slot->service->stop([waiting] { waiting->one_less(); });
  waiting->one_less();
}

void Link::close() {
  if (closing_) return;
  run_turn();
  closing_ = true;
  for (auto& slot : slots_) slot->service.reset();
  for (auto& boundaries : pending_) {
    for (auto& emitted : boundaries) {
      counters_.drops.add(DropReason::kLinkStopping, emitted.frames.size());
      emitted = {};
    }
  }
  taps_.clear();
}

const Service& Link::service(std::uint32_t i) const noexcept {
  return *slots_[i]->service;
}

Service& Link::service(std::uint32_t i) noexcept {
  return *slots_[i]->service;
}

const DropCounters& Link::service_drops(std::uint32_t i) const noexcept {
  return slots_[i]->drops;
}

std::size_t Link::mtu() {
  if (worker_.now() < mtu_valid_until_) return mtu_;
  mtu_valid_until_ = worker_.now() + kMtuValid;
  mtu_ = setup_.guest_interface->capabilities().mtu;
  if (setup_.network_interface != nullptr) {
    mtu_ = std::min(mtu_, setup_.network_interface->capabilities().mtu);
  }
  return mtu_;
}

void Link::list_flows(std::vector<FlowInfo>& out) const {
  const std::size_t before = out.size();
  for (const auto& slot : slots_) {
    if (slot->service != nullptr) slot->service->list_flows(out);
  }
  if (observer_ != nullptr) observer_->list_flows(out);
  for (std::size_t i = before; i < out.size(); ++i) {
    out[i].link = setup_.name;
    out[i].worker = worker_.worker();
  }
}

void Link::enter(Direction direction, Batch& batch) {
  auto& way = counters_.ways[static_cast<std::size_t>(direction)];
  std::size_t bytes = 0;
  for (const auto& packet : batch) bytes += packet.size();
  way.frames.add(batch.size());
  way.bytes.add(bytes);
  if (closing_) {
    counters_.drops.add(DropReason::kLinkStopping, batch.size());
    batch.clear();
    return;
  }
  if (observer_ != nullptr && direction == Direction::kInbound) {
    observer_->observe(direction, batch, worker_.now());
  }
  run(direction, direction == Direction::kOutbound ? 0 : services(), batch);
}

void Link::run(Direction direction, std::uint32_t boundary, Batch& batch) {
  const bool outbound = direction == Direction::kOutbound;
  const std::uint32_t edge = outbound ? services() : 0;
  bool& runs = runs_[static_cast<std::size_t>(direction)];
  const bool inside = std::exchange(runs, true);
  while (!batch.empty()) {
    if (!taps_.empty()) show_taps(direction, boundary, batch);
    if (boundary == edge) break;
    const std::uint32_t next = outbound ? boundary + 1 : boundary - 1;
    flush_boundary(direction, next);  // what was emitted before this batch goes before it
    auto& slot = *slots_[outbound ? boundary : next];
    slot.service->process(direction, batch);
    remove_empty(batch);
    auto& emitted = pending(direction, next);
    std::ranges::move(emitted.frames, std::back_inserter(batch));
    emitted.frames.clear();
    emitted.bytes = 0;
    boundary = next;
  }
  if (!batch.empty()) leave(direction, batch);
  batch.clear();
  runs = inside;
}

void Link::leave(Direction direction, Batch& batch) {
  if (observer_ != nullptr && direction == Direction::kOutbound) {
    observer_->observe(direction, batch, worker_.now());
  }
  FrameSink* const last = sink(direction);
  if (last == nullptr) {
    counters_.drops.add(DropReason::kNoRoute, batch.size());
    batch.clear();
    return;
  }
  last->push(batch);
}

void Link::emit(Direction direction, std::uint32_t boundary, Packet packet) {
  assert(packet);
  if (closing_) {
    // The services beyond may be gone already.
    Batch last;
    last.push_back(std::move(packet));
    leave(direction, last);
    return;
  }
  auto& emitted = pending(direction, boundary);
  emitted.bytes += packet.size();
  emitted.frames.push_back(std::move(packet));
  worker_.schedule(*this);
  if (emitted.bytes >= kEarlyFlushBytes && may_flush_early(direction)) {
    flush_early(direction, boundary);
  }
}

FrameSink* Link::sink(Direction direction) const noexcept {
  return direction == Direction::kOutbound ? setup_.network : setup_.guest;
}

// A hub may bring what leaves here back, to services that are inside their own calls; so may
// another early flush.
bool Link::may_flush_early(Direction direction) const noexcept {
  const FrameSink* last = sink(direction);
  return last != nullptr && last->is_last() && !runs_[static_cast<std::size_t>(direction)] &&
         !flushing_early_;
}

void Link::flush_early(Direction direction, std::uint32_t boundary) {
  flushing_early_ = true;
  flush_boundary(direction, boundary);
  flushing_early_ = false;
}

bool Link::gathers(Direction direction, std::uint32_t boundary) const noexcept {
  const bool outbound = direction == Direction::kOutbound;
  return !closing_ && boundary == (outbound ? services() : 0) && taps_.empty() &&
         !(outbound && observer_ != nullptr) && may_flush_early(direction) &&
         sink(direction)->gathers();
}

bool Link::emit_gathered(Direction direction, std::uint32_t boundary, const Packet& head,
                         std::span<const Bytes> payload) {
  if (!gathers(direction, boundary)) return false;
  flush_early(direction, boundary);
  return sink(direction)->push_gathered(head, payload);
}

void Link::flush_boundary(Direction direction, std::uint32_t boundary) {
  auto& waiting = pending(direction, boundary);
  if (waiting.frames.empty()) return;
  Batch work;
  work.swap(waiting.frames);
  waiting.bytes = 0;
  run(direction, boundary, work);
  if (waiting.frames.empty()) waiting.frames.swap(work);  // keep its memory
}

void Link::run_turn() {
  if (closing_) return;
  for (int round = 0; round < kFlushRounds; ++round) {
    bool any = false;
    const std::uint32_t n = services();
    // Nearest to the edge first, so that what was emitted earlier stays ahead.
    for (std::uint32_t i = 0; i <= n; ++i) {
      for (const auto direction : {Direction::kOutbound, Direction::kInbound}) {
        const std::uint32_t boundary = direction == Direction::kOutbound ? n - i : i;
        any = any || !pending(direction, boundary).frames.empty();
        flush_boundary(direction, boundary);
      }
    }
    if (!any) return;
  }
  worker_.schedule(*this);
}

std::uint32_t Link::add_tap(std::uint32_t boundary, TapFunction tap) {
  assert(boundary <= services());
  if (fast_path_ != nullptr) fast_path_->hold();
  taps_.push_back(Tap{next_tap_, boundary, std::move(tap)});
  return next_tap_++;
}

void Link::remove_tap(std::uint32_t id) {
  const auto removed = std::erase_if(taps_, [id](const Tap& tap) { return tap.id == id; });
  if (removed > 0 && fast_path_ != nullptr) fast_path_->release();
}

void Link::show_taps(Direction direction, std::uint32_t boundary, const Batch& batch) {
  for (const auto& tap : taps_) {
    if (tap.boundary == boundary) tap.function(direction, boundary, batch);
  }
}

}  // namespace vtl::engine
