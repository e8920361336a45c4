// How much is in flight: slow start, congestion avoidance, what a loss and a pause do to the
// window. RFC 5681 sections 3.1 and 4.1, RFC 6928. By Reno's rules, for which any TCP has the same
// numbers.
#include <gtest/gtest.h>

#include <array>

#include "tests/script/sack_path.h"

namespace vtl::endpoint::script {
namespace {

// A round trip: all that is out is acknowledged, a segment at a time. How many segments follow.
std::size_t round_trip(Script& s, std::uint32_t& acked, std::size_t out) {
  s.after(40);
  std::size_t sent = 0;
  for (std::size_t i = 0; i < out; ++i) {
    s.send(seg().ack(acked += kMss));
    sent += s.take().size();
  }
  // The kernel may keep the last ones back until its burst is larger or a millisecond has gone by.
  s.until_sent(20);
  return sent + s.take().size();
}

// `s` has the window of five segments that a loss has left of ten, and all that was sent is
// acknowledged.
void lose_half(Script& s) {
  ten_out(s);
  s.send(told(1, {{1461, 14601}})).expect({seg().seq(1).again()});
  s.after(40).send(seg().ack(14601)).quiet();
}

STORY(CongestionWindow, SlowStart_DoublesInARoundTrip) {
  SackStory s;
  opened(s).write(150 * kMss);
  std::uint32_t acked = 1;
  std::size_t out = s.take().size();
  EXPECT_EQ(out, 10U);
  out = round_trip(s, acked, out);
  EXPECT_EQ(out, 20U);
  EXPECT_EQ(round_trip(s, acked, out), 40U);
}

STORY(CongestionWindow, SmallerSegments_TenOfThem) {
  Script s(plain(), {.mss = 536});
  s.established().write(20 * 536).expect_stream(1, 10 * 536);
}

STORY(CongestionWindow, AfterALoss_OneSegmentMoreInARoundTrip) {
  SackStory s;
  lose_half(s);
  s.write(150 * kMss);
  std::uint32_t acked = 14601;
  std::size_t out = s.take().size();
  EXPECT_EQ(out, 5U);
  for (int i = 0; i < 5; ++i) {
    const std::size_t before = out;
    out = round_trip(s, acked, out);
    EXPECT_LE(out, before + 1);
    EXPECT_GE(out, before);
  }
  EXPECT_GE(out, 9U) << "but for what is not yet a whole one";
}

STORY(CongestionWindow, AfterATimeout_SlowStartToHalfAndOnByOne) {
  Script s;
  ten_out(s);
  s.later(200, {seg().seq(1).again()});
  s.after(40).send(seg().ack(14601)).quiet();  // that had been the only one
  s.write(100 * kMss);
  std::uint32_t acked = 14601;
  std::size_t out = s.take().size();
  // Half of what was out at most; the kernel goes on by one for the acknowledgement itself.
  EXPECT_LE(out, s.kernel() ? 6U : 5U);
  for (int i = 0; i < 4; ++i) {
    const std::size_t before = out;
    out = round_trip(s, acked, out);
    EXPECT_GT(out, before);
    EXPECT_LE(out, std::max<std::size_t>(std::min<std::size_t>(2 * before, 5), before + 1));
  }
}

STORY(CongestionWindow, TwoLossesInOneFlight_OneReduction) {
  SackStory s;
  ten_out(s);
  s.send(told(1, {{1461, 4381}, {5841, 14601}}))
      .expect({seg().seq(1).again(), seg().seq(4381).again()});
  s.after(40).send(seg().ack(14601)).quiet();
  s.write(20 * kMss);
  EXPECT_EQ(s.take().size(), 5U);
}

STORY(CongestionWindow, LossInTheNextFlight_SecondReduction) {
  SackStory s;
  lose_half(s);
  s.write(5 * kMss).swallow();
  s.after(40).send(told(14601, {{14601 + kMss, 14601 + 5 * kMss}}));
  s.expect({seg().seq(14601).again()});
  s.after(40).send(seg().ack(14601 + 5 * kMss)).quiet();
  s.write(20 * kMss);
  EXPECT_EQ(s.take().size(), 2U) << "half of five";
}

STORY(CongestionWindow, PauseLongerThanTheTimeout_InitialWindowAgain) {
  SackStory s;
  opened(s).write(70 * kMss);
  std::uint32_t acked = 1;
  std::size_t out = s.take().size();
  out = round_trip(s, acked, out);
  out = round_trip(s, acked, out);
  EXPECT_EQ(out, 40U) << "that is all of it";
  s.after(40).send(seg().ack(70 * kMss + 1)).quiet();
  s.after(900).quiet();
  s.write(60 * kMss);
  EXPECT_EQ(s.take().size(), 10U);
}

STORY(CongestionWindow, ShortPause_TheWindowStays) {
  SackStory s;
  opened(s).write(30 * kMss);
  std::uint32_t acked = 1;
  EXPECT_EQ(round_trip(s, acked, s.take().size()), 20U);
  s.after(40).send(seg().ack(30 * kMss + 1)).quiet();
  s.after(50).quiet();
  s.write(60 * kMss);
  EXPECT_GE(s.take().size(), 20U);
}

STORY(CongestionWindow, SmallSegments_TheWindowIsOctetsOrSegments) {
  Script s;
  s.established();
  for (int i = 0; i < 10; ++i) s.write(100).expect({seg().len(100)});
  s.kernel_differs("its window counts segments", nothing());
  s.write(100).expect({seg().len(100)});
}

}  // namespace
}  // namespace vtl::endpoint::script
