// Hub: several links of one worker that share one uplink.
//
// It works as a learning switch whose ports are the uplink and the network edges of the links: a
// frame goes where its destination address was last seen as a source (mac_table.h), a group
// address goes everywhere but where it came from, and so does a unicast address that nobody has
// used yet (flooded, counted). So inbound frames find their guest, and guests on one uplink reach
// each other through both links' chains. Each worker learns by itself from the flows it has.
//
// Backpressure: a full uplink pauses the guests; a full guest never pauses the uplink, for that
// would stop its neighbours: its port queues up to its bound and then drops.
//
// Thread rule: the worker's thread; counters from any.
// Invariants: a frame never returns to the port it came from.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "vtl/base/counter.h"
#include "vtl/engine/link.h"
#include "vtl/engine/mac_table.h"
#include "vtl/engine/port.h"
#include "vtl/engine/worker.h"

namespace vtl::engine {

struct HubCounters {
  Counter forwarded;  ///< frames to a known address
  Counter hairpin;    ///< of these, guest to guest
  Counter group;      ///< broadcast and multicast frames
  Counter flooded;    ///< unicast frames to an address not yet known
  Counter same_port;  ///< frames whose destination is where they came from: let go
  DropCounters drops;
};

class Hub {
 public:
  Hub(Worker& worker, Port& uplink);
  ~Hub();
  Hub(const Hub&) = delete;
  Hub& operator=(const Hub&) = delete;

  /// A place for one more link; its outbound frames end in the sink. attach() before any frame.
  [[nodiscard]] FrameSink& add_place();
  /// The link that was given the sink `place`.
  void attach(FrameSink& place, Link& link);
  /// Where the uplink's frames enter.
  [[nodiscard]] FrameSink& from_uplink() noexcept;

  [[nodiscard]] const HubCounters& counters() const noexcept { return counters_; }
  [[nodiscard]] const MacTable& macs() const noexcept { return macs_; }

 private:
  struct Place;
  static constexpr MacTable::Place kUplink = 0;

  void switch_frames(Place& from, Batch& batch);
  void route(Place& from, Packet packet);
  void flood(const Place& from, Packet packet);

  Worker& worker_;
  MacTable macs_;
  HubCounters counters_;
  std::vector<std::unique_ptr<Place>> places_;  // the uplink first
  Timer ageing_;
};

}  // namespace vtl::engine
