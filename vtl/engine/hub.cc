#include "vtl/engine/hub.h"

#include <cassert>
#include <utility>

namespace vtl::engine {
namespace {

constexpr Duration kAgeingInterval = 10s;
constexpr std::size_t kAddresses = 2 * wire::MacAddress::kSize;

}  // namespace

// One port of the switch: where frames come in, and what is on its way out of it.
struct Hub::Place final : FrameSink {
  Place(Hub& owner, MacTable::Place place_index) : hub(owner), index(place_index) {}
  void push(Batch& batch) override { hub.switch_frames(*this, batch); }

  Hub& hub;
  const MacTable::Place index;
  FrameSink* out = nullptr;
  Batch leaving;
  // Batches repeat the same source: it is looked up once per batch.
  wire::MacAddress last_source;
  Time last_learned{};
};

Hub::Hub(Worker& worker, Port& uplink)
    : worker_(worker), ageing_([this] {
        macs_.expire(worker_.now());
        worker_.timers().arm(ageing_, worker_.now() + kAgeingInterval);
      }) {
  places_.push_back(std::make_unique<Place>(*this, kUplink));
  places_.front()->out = &uplink;
  worker_.timers().arm(ageing_, worker_.now() + kAgeingInterval);
}

Hub::~Hub() = default;

FrameSink& Hub::from_uplink() noexcept {
  return *places_.front();
}

FrameSink& Hub::add_place() {
  places_.push_back(std::make_unique<Place>(*this, static_cast<MacTable::Place>(places_.size())));
  return *places_.back();
}

void Hub::attach(FrameSink& place, Link& link) {
  for (auto& p : places_) {
    if (p.get() == &place) p->out = &link.entry(Direction::kInbound);
  }
}

void Hub::switch_frames(Place& from, Batch& batch) {
  for (auto& packet : batch) route(from, std::move(packet));
  batch.clear();
  for (auto& place : places_) {
    if (place->leaving.empty()) continue;
    // A link may send frames here while it takes these.
    Batch leaving;
    leaving.swap(place->leaving);
    place->out->push(leaving);
    assert(leaving.empty());
    if (place->leaving.empty()) place->leaving.swap(leaving);  // keep its memory
  }
}

void Hub::route(Place& from, Packet packet) {
  const Bytes frame = packet.bytes();
  if (frame.size() < kAddresses) {
    counters_.drops.add(DropReason::kMalformedEthernet);
    return;
  }
  const Time now = worker_.now();
  const auto source = wire::MacAddress::load(frame, wire::MacAddress::kSize);
  if (source != from.last_source || now != from.last_learned) {
    macs_.learn(source, from.index, now);
    from.last_source = source;
    from.last_learned = now;
  }
  const auto destination = wire::MacAddress::load(frame, 0);
  if (destination.is_multicast()) {
    counters_.group.add();
    flood(from, std::move(packet));
    return;
  }
  const auto place = macs_.find(destination, now);
  if (!place) {
    counters_.flooded.add();
    flood(from, std::move(packet));
    return;
  }
  if (*place == from.index) {
    counters_.same_port.add();
    return;
  }
  counters_.forwarded.add();
  if (*place != kUplink && from.index != kUplink) counters_.hairpin.add();
  places_[*place]->leaving.push_back(std::move(packet));
}

void Hub::flood(const Place& from, Packet packet) {
  Place* last = nullptr;
  for (auto& place : places_) {
    if (place.get() == &from) continue;
    if (last != nullptr) {
      Packet copy = packet.pool().clone(packet);
      if (copy) {
        last->leaving.push_back(std::move(copy));
      } else {
        counters_.drops.add(DropReason::kNoPacketBuffer);
      }
    }
    last = place.get();
  }
  if (last != nullptr) last->leaving.push_back(std::move(packet));
}

}  // namespace vtl::engine
