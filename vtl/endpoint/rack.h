// Rack: loss found by time of sending (RFC 8985). What was sent well before something that has
// arrived is lost; "well" is the reordering window, a part of the round trip that grows while the
// peer reports segments that came twice.
//
// It reads and marks the scoreboard and draws no conclusion about the congestion window. Needs the
// peer's SACK. Names in comments are those of RFC 8985 section 5.
//
// Thread rule: a value.
#pragma once

#include <cstdint>

#include "vtl/base/time.h"
#include "vtl/endpoint/scoreboard.h"
#include "vtl/wire/seq.h"

namespace vtl::endpoint {

class Rack {
 public:
  /// What an acknowledgement found.
  struct Verdict {
    std::uint32_t lost = 0;  ///< octets, newly marked
    Time check_at = kNever;  ///< look again: by then the rest of the suspects are overdue
  };
  /// What detection needs to know of the connection.
  struct View {
    Duration min_rtt;
    Duration smoothed_rtt;
    bool eager = false;  ///< in recovery, or three segments were delivered beyond a gap
  };

  /// Data begins at `at`.
  void reset(wire::SeqNum at) noexcept {
    *this = Rack{};
    farthest_ = at;
  }
  /// `run` was delivered for the first time (RFC 8985 section 6.2, steps 1 to 3). `echo_is_older`:
  /// the peer's timestamp tells that an earlier sending of it arrived.
  void delivered(const Scoreboard::Run& run, bool echo_is_older, Duration min_rtt,
                 Time now) noexcept;
  /// The acknowledgement told of octets that came twice (section 6.2, step 4); `nxt`: SND.NXT.
  void duplicate_reported(wire::SeqNum nxt) noexcept;
  /// SND.UNA moved.
  void acknowledged(wire::SeqNum una) noexcept;
  /// What was held for lost had only been overtaken.
  void overtaken() noexcept { reordering_seen_ = true; }
  /// Fast or timeout recovery ended.
  void recovery_ended() noexcept;
  /// Section 6.2, step 5: marks what is lost.
  [[nodiscard]] Verdict detect(Scoreboard& board, const View& view, Time now) const;

  [[nodiscard]] Duration reordering_window(const View& view) const noexcept;
  [[nodiscard]] bool reordering_seen() const noexcept { return reordering_seen_; }

 private:
  static constexpr std::uint8_t kPersist = 16;   // recoveries for which a widened window is kept
  static constexpr std::uint8_t kMaxWiden = 64;  // the smoothed round trip bounds it sooner

  Time sent_at_{};         // RACK.xmit_ts
  Duration rtt_{};         // RACK.rtt
  wire::SeqNum end_seq_;   // RACK.end_seq
  wire::SeqNum farthest_;  // RACK.fack
  wire::SeqNum duplicate_round_;
  bool in_duplicate_round_ = false;
  bool any_ = false;
  bool reordering_seen_ = false;
  std::uint8_t widen_ = 1;  // RACK.reo_wnd_mult
  std::uint8_t persist_ = 0;
};

}  // namespace vtl::endpoint
