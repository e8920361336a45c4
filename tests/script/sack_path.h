// The path of the stories of sending by SACK: segments of 1460 octets, and 40 ms for most. Of ten
// in flight the first begins at 1, the second at 1461, the last at 13141.
#pragma once

#include <utility>
#include <vector>

#include "tests/script/script.h"

namespace vtl::endpoint::script {

inline constexpr std::uint32_t kMss = 1460;

inline Config with_sack() {
  Config config = plain();
  config.offer_sack = true;
  return config;
}

/// Established over a path of 40 ms, or of one so long that the kernel's timers leave a loaded
/// machine the time to tell the story.
inline Script& opened(Script& s, double rtt = 40) {
  s.syn().swallow();
  return s.after(rtt).send(seg().ack(1)).state(State::kEstablished);
}

/// Ten segments left a round trip ago; their acknowledgements begin to come now.
inline Script& ten_out(Script& s, std::uint32_t unsent = 0, double rtt = 40) {
  opened(s, rtt).write(10 * kMss).swallow();
  if (unsent > 0) s.write(unsent).quiet();
  return s.after(rtt);
}

/// Forty segments left 40 ms ago, and thirty more wait; returns the number of the first.
inline std::uint32_t forty_out(Script& s) {
  opened(s).write(100 * kMss).swallow();
  s.after(40).send(seg().ack(1 + 10 * kMss)).swallow();
  s.after(40).send(seg().ack(1 + 30 * kMss)).swallow();
  s.after(40);
  return 1 + 30 * kMss;
}

/// Acknowledges `n` with blocks.
inline Seg told(std::uint32_t n, std::vector<std::pair<std::uint32_t, std::uint32_t>> blocks) {
  return seg().ack(n).sack(std::move(blocks));
}

struct SackStory : Script {
  SackStory() : Script(with_sack(), {.sack = true}) {}
};

/// With a window that is never what holds us back.
struct WideStory : Script {
  static Config config() {
    Config config = with_sack();
    config.offer_window_scale = true;
    return config;
  }
  WideStory() : Script(config(), {.scale = 7, .sack = true, .window = 2000}) {}
};

/// The kernel's tail loss probe is on, too.
struct ProbingStory : SackStory {
  ProbingStory() { kernel_setting("tcp_early_retrans", "3"); }
};

/// With timestamps a full segment has 1448 octets.
struct StampedStory : Script {
  static Config config() {
    Config config = with_sack();
    config.offer_timestamps = true;
    return config;
  }
  StampedStory() : Script(config(), {.stamps = true, .sack = true}) {}
};

}  // namespace vtl::endpoint::script
