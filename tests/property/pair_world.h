// PairWorld: two endpoints, the programs that use them, and a path between them, on virtual time.
//
// A Plan says all of it, so that a plan repeats exactly. run() ends when both endpoints are done,
// or with the first promise that was broken: an octet that is not the one that was
// written, a segment beyond what the peer allowed or larger than it takes, one that no header can
// hold, memory beyond its bound, a dispatch() that moves nothing, or a wait without end. Thread
// rule: one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>

#include "tests/sim/path.h"
#include "vtl/base/byte_queue.h"
#include "vtl/base/rng.h"
#include "vtl/endpoint/endpoint.h"

namespace vtl::endpoint {

/// One end: its endpoint, and the program that writes and reads.
struct EndPlan {
  Config config;
  std::uint32_t iss = 0;
  std::size_t pool_chunks = 0;       ///< of the pool of its buffers; 0: the heap
  std::size_t to_write = 0;          ///< octets, then it shuts down
  std::size_t read_step = 0;         ///< octets a visit; 0: all
  Duration read_pause{};             ///< between visits
  std::uint64_t refuse_one_in = 0;   ///< the interface is full for one segment in so many; 0: never
  std::optional<Duration> abort_at;  ///< the program gives up
};

struct Plan {
  std::uint64_t seed = 0;
  sim::LinkConfig there, back;  ///< from the active opener (0) to the other (1), and back
  EndPlan ends[2];
  Duration outage_at{}, outage{};      ///< nothing passes for so long; zero: none
  std::optional<Duration> narrows_at;  ///< the path takes smaller segments from then on
  std::size_t narrow = 0;              ///< payload and options
};
std::ostream& operator<<(std::ostream& out, const Plan& plan);

class PairWorld {
 public:
  explicit PairWorld(const Plan& plan);

  /// Until both are done; false when one never will be (virtual time has a limit) or when a promise
  /// was broken.
  [[nodiscard]] bool run(Duration limit);
  /// The promise that was broken, if any, and where everybody stands.
  [[nodiscard]] std::string standing() const;

  [[nodiscard]] const Endpoint& endpoint(int i) const { return *ends_[i].endpoint; }
  [[nodiscard]] bool exists(int i) const { return ends_[i].endpoint.has_value(); }
  /// Octets that the program of end `i` read, each of them right.
  [[nodiscard]] std::size_t read(int i) const { return ends_[i].read; }
  [[nodiscard]] std::size_t written(int i) const { return ends_[i].written; }
  [[nodiscard]] const sim::Link& link(int i) const { return links_[i]; }

 private:
  struct End {
    std::unique_ptr<ChunkPool> pool;  // before the endpoint: it outlives it
    std::optional<Endpoint> endpoint;
    std::size_t written = 0, read = 0;
    Time read_at;
    bool shut = false, aborted = false;
    std::optional<wire::SeqNum> edge;  // the rightmost that the peer was ever allowed to send
    wire::TcpOptions syn_options;
  };

  [[nodiscard]] Config config(int i) const;
  [[nodiscard]] Endpoint::Identity identity(int i) const;
  [[nodiscard]] bool done(int i) const;
  [[nodiscard]] bool out() const noexcept;
  [[nodiscard]] Time next_event() const;
  void program(int i);
  void write(int i);
  void read_some(int i);
  void dispatch(int i);
  void check(int i, const OutSegment& out);
  void check_window(int i, const OutSegment& out);
  void deliver(int i, const sim::WireSegment& in);
  void change_path();
  void fail(int i, const std::string& what);

  static constexpr Time kStart{Duration{3600s}};
  Plan plan_;
  Rng rng_;
  Time now_ = kStart;
  sim::Link links_[2];
  End ends_[2];
  std::string failure_;
};

}  // namespace vtl::endpoint
