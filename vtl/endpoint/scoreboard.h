// Scoreboard: the fate of every octet between SND.UNA and SND.NXT, as acknowledgements, SACK blocks
// and our own loss detection tell it (RFC 2018, RFC 6675 section 3, RFC 8985 section 5.2).
//
// Theory of operation. The sequence space is cut into runs of one fate each, in order and without
// gaps. A run begins as sent; a SACK block makes what it covers delivered; loss detection makes it
// lost; sending it again makes a lost run a sent one, with a new time. What leaves within a grain
// of time (a small part of the round trip, the caller's to choose) shares one run and its first
// octet's time, so a window of thousands of segments is a few dozen runs. What leaves behind a
// repetition never shares a run with what left before it: who comes after whom is what RACK asks.
//
// Bounds. A SACK block that would cut a run where there are kMaxRuns is not recorded, and of a loss
// the whole runs are marked that it touches (`ignored` counts both): a peer that cuts our window
// into crumbs pays for it with retransmissions. What we send cuts runs up to twice that number;
// then new octets join the last run, and a repetition stands for the whole run that it is of.
//
// Thread rule: a value. Invariants: the runs cover [begin(), end()) exactly; neighbours differ; the
// sums equal those over the runs; an empty one holds no memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "vtl/base/function_ref.h"
#include "vtl/base/time.h"
#include "vtl/wire/seq.h"

namespace vtl::endpoint {

class Scoreboard {
 public:
  static constexpr std::size_t kMaxRuns = 1024;

  enum class Fate : std::uint8_t { kSent, kDelivered, kLost };
  struct Run {
    wire::SeqNum begin, end;
    Time sent_at{};  ///< of its first octet, the last time it was sent
    Fate fate = Fate::kSent;
    bool again = false;  ///< sent more than once
    [[nodiscard]] std::uint32_t size() const noexcept {
      return static_cast<std::uint32_t>(end - begin);
    }
  };
  /// Is shown each run, or part of one, that was delivered for the first time, as it was before.
  using Newly = FunctionRef<void(const Run&)>;

  /// Empties it; both ends at `at`.
  void reset(wire::SeqNum at) noexcept;
  /// Octets [begin, end) leave now: new ones, which begin at end(), or lost ones. `grain`: new
  /// octets join the last run when that is no older.
  void sent(wire::SeqNum begin, wire::SeqNum end, Time now, Duration grain);
  /// Everything before `ack` has arrived; forgets it. Returns the octets that are news.
  std::uint32_t acknowledge(wire::SeqNum ack, Newly newly);
  /// [begin, end), cut to what is outstanding, has arrived beyond a gap. Returns the octets that
  /// are news.
  std::uint32_t deliver(wire::SeqNum begin, wire::SeqNum end, Newly newly);
  /// What in [begin, end) is neither delivered nor lost is lost. Returns the octets.
  std::uint32_t lose(wire::SeqNum begin, wire::SeqNum end);
  /// Of the runs on their way those that `is_lost` names are lost. Returns the octets.
  std::uint32_t lose_if(FunctionRef<bool(const Run&)> is_lost);
  /// What is lost and was not sent again is on its way after all (a spurious timeout).
  void find_again();
  /// What was delivered beyond the acknowledgement may be gone (the receiver reneged, RFC 2018
  /// section 8): held for sent.
  void doubt_deliveries();

  [[nodiscard]] wire::SeqNum begin() const noexcept { return begin_; }
  [[nodiscard]] wire::SeqNum end() const noexcept { return end_; }
  [[nodiscard]] const std::vector<Run>& runs() const noexcept { return runs_; }
  /// Octets that are on their way.
  [[nodiscard]] std::uint32_t in_flight() const noexcept {
    return static_cast<std::uint32_t>(end_ - begin_) - delivered_ - lost_;
  }
  [[nodiscard]] std::uint32_t delivered() const noexcept { return delivered_; }
  [[nodiscard]] std::uint32_t lost() const noexcept { return lost_; }
  /// The first lost run.
  [[nodiscard]] std::optional<Run> first_lost() const noexcept;
  /// The end of what is lost in the `most` octets from `begin` on, where a lost run begins: crumbs
  /// of it go in one segment, with what was delivered between them. Nothing that is on its way.
  [[nodiscard]] wire::SeqNum lost_reach(wire::SeqNum begin, std::uint32_t most) const noexcept;
  /// Some of [begin, end) was sent more than once.
  [[nodiscard]] bool any_again(wire::SeqNum begin, wire::SeqNum end) const noexcept;
  /// The first octet was delivered, yet not acknowledged: the receiver reneged.
  [[nodiscard]] bool reneged() const noexcept {
    return !runs_.empty() && runs_.front().fate == Fate::kDelivered;
  }
  [[nodiscard]] std::uint32_t ignored() const noexcept { return ignored_; }
  /// Octets of memory held beside the object itself.
  [[nodiscard]] std::size_t memory() const noexcept { return runs_.capacity() * sizeof(Run); }

 private:
  [[nodiscard]] std::size_t find(wire::SeqNum at) const noexcept;
  [[nodiscard]] std::size_t cut(wire::SeqNum at);
  [[nodiscard]] bool may_cut(wire::SeqNum begin, wire::SeqNum end, std::size_t most) const noexcept;
  void sent_again(wire::SeqNum begin, wire::SeqNum end, Time now);
  void set_fate(Run& run, Fate fate) noexcept;
  void join_around(std::size_t first, std::size_t last);

  std::vector<Run> runs_;
  wire::SeqNum begin_, end_;
  std::uint32_t delivered_ = 0;
  std::uint32_t lost_ = 0;
  std::uint32_t ignored_ = 0;
  bool repeated_ = false;  // since new octets last left
};

}  // namespace vtl::endpoint
