// Loss found by time: RACK and the tail loss probe (RFC 8985).
#include <gtest/gtest.h>

#include <vector>

#include "tests/script/sack_path.h"

namespace vtl::endpoint::script {
namespace {

// RFC 8985 section 6: RACK

STORY(Rack, OneSegmentBeyondTheGap_AQuarterOfTheRoundTripOfPatience) {
  SackStory s;
  ten_out(s);
  s.send(told(1, {{1461, 2921}})).quiet();
  s.later(10, {seg().seq(1).len(kMss).again()});
}

STORY(Rack, TheOvertakenArrivesInTime_NothingGoesAgain) {
  SackStory s;
  ten_out(s, 0, 400);
  s.send(told(1, {{1461, 2921}})).quiet();
  s.after(20).send(seg().ack(2921)).quiet().after(200).quiet();
  s.counts(&EndpointStats::fast_retransmits, 0);
}

STORY(Rack, ReorderingSeen_ThreeSegmentsBeyondAreNoLossYet) {
  SackStory s;
  ten_out(s, 0, 400);
  s.send(told(1, {{1461, 2921}})).quiet();
  s.send(seg().ack(2921)).quiet();  // the first had only been overtaken
  s.send(told(2921, {{4381, 8761}})).quiet();
  s.later(100, {seg().seq(2921).len(kMss).again()});
}

STORY(Rack, DuplicatesReported_PatienceGrows) {
  SackStory s;
  ten_out(s);
  s.send(told(1, {{1461, 2921}})).quiet().after(10).expect({seg().seq(1).again()});
  // It had only been late: both copies arrive.
  s.send(seg().ack(2921)).quiet();
  s.after(2).send(told(2921, {{1, 1461}})).quiet();
  s.counts(&EndpointStats::needless_recoveries, 1);
  s.send(told(2921, {{4381, 5841}})).quiet();
  s.later(20, {seg().seq(2921).again()});  // two quarters of the round trip now
}

STORY(Rack, RetransmissionLost_FoundByWhatLeftAfterIt) {
  SackStory s;
  ten_out(s, 4 * kMss);
  s.send(told(1, {{1461, 7301}}));
  s.expect({seg().seq(1).again()});
  s.after(10).send(told(1, {{1461, 14601}}));  // of what left before it
  s.expect({seg().seq(14601).fresh(), seg().seq(16061).fresh(), seg().seq(17521).fresh(),
            seg().seq(18981).fresh()});
  s.after(40).send(told(1, {{1461, 16061}})).expect({seg().seq(1).len(kMss).again()});
  s.counts(&EndpointStats::timeouts, 0);
  s.counts(&EndpointStats::fast_retransmits, 1);
}

STORY(Rack, ReorderingTimerIsOffWhenAllIsAcknowledged) {
  SackStory s;
  ten_out(s);
  s.send(told(1, {{1461, 2921}})).quiet();
  s.send(seg().ack(14601)).quiet();
  s.after(400).quiet();
}

// What left behind a repetition is not older than it, however close in time to what left before.
ENDPOINT_STORY(Rack, NewDataBehindARepetition_IsNotHeldForLostWithWhatLeftBefore, "its own grain") {
  WideStory s;
  const std::uint32_t una = forty_out(s);
  std::vector<Sent> order;
  for (std::uint32_t i = 2; i <= 40; ++i) {
    s.send(told(una, {{una + kMss, una + i * kMss}}));
    for (Sent& sent : s.take()) order.push_back(std::move(sent));
    s.after(0.05);
  }
  ASSERT_GE(order.size(), 20U);
  ASSERT_FALSE(order[0].retransmission);
  s.after(38);
  // All of it arrives in the order in which it left.
  std::uint32_t end = 0;
  bool repaired = false;
  for (const Sent& sent : order) {
    repaired = repaired || sent.retransmission;
    if (!sent.retransmission) end = (sent.header.seq.value() - 1000) + kMss;
    if (repaired) {
      s.send(seg().ack(end)).swallow();
    } else {
      s.send(told(una, {{una + kMss, end}})).swallow();
    }
    s.after(0.05);
  }
  EXPECT_TRUE(repaired);
  s.counts(&EndpointStats::retransmissions, 1);
}

// RFC 8985 section 7: TLP. The first measurement of 200 ms makes a timeout of 600, the second one
// of 500.

constexpr double kFar = 200;

STORY(TailLossProbe, EndOfTheFlightLost_TheLastSegmentGoesAgainBeforeTheTimeout) {
  ProbingStory s;
  ten_out(s, 0, kFar);
  s.send(seg().ack(11681)).quiet();
  s.later(2 * kFar + 2, {seg().seq(13141).len(kMss).again()});
  s.counts(&EndpointStats::tail_probes, 1);
  // What it brings back finds the other one.
  s.after(kFar).send(told(11681, {{13141, 14601}}));
  s.later(0, {seg().seq(11681).len(kMss).again()});
  s.after(kFar).send(seg().ack(14601)).quiet();
  s.counts(&EndpointStats::timeouts, 0);
}

STORY(TailLossProbe, UnsentData_ANewSegmentProbes) {
  ProbingStory s;
  ten_out(s, 3 * kMss, kFar);
  s.later(kFar + 2, {seg().seq(14601).len(kMss).fresh()});
  s.counts(&EndpointStats::tail_probes, 1);
}

STORY(TailLossProbe, OneProbeAndThenTheTimeout) {
  ProbingStory s;
  ten_out(s, 0, kFar);
  s.later(kFar + 2, {seg().seq(13141).again()});
  s.later(600, {seg().seq(1).len(kMss).again()});
  s.counts(&EndpointStats::tail_probes, 1);
  s.counts(&EndpointStats::timeouts, 1);
}

STORY(TailLossProbe, OneSegmentOut_TheProbeGoesInPlaceOfTheTimeout) {
  ProbingStory s;
  opened(s, kFar).write(kMss).swallow();
  // With 200 ms for the peer's delayed acknowledgement the timeout would come first.
  s.later(600, {seg().seq(1).len(kMss).again()});
  s.counts(&EndpointStats::tail_probes, 1);
  s.counts(&EndpointStats::timeouts, 0);
  s.later(600, {seg().seq(1).len(kMss).again()});
  s.counts(&EndpointStats::timeouts, 1);
}

STORY(TailLossProbe, TheProbeRepairedALoss_WindowReducedOnce) {
  ProbingStory s;
  ten_out(s, 0, kFar);
  s.send(seg().ack(11681)).quiet();
  s.later(2 * kFar + 2, {seg().seq(13141).again()});
  s.after(kFar).send(seg().ack(14601)).quiet();
  s.write(30 * kMss);
  const std::size_t before = s.take().size();
  s.after(kFar).send(seg().ack(14601 + kMss)).swallow();  // new data, and no report of a duplicate
  EXPECT_GT(before, 5U);
  s.after(kFar).send(seg().ack(14601 + static_cast<std::uint32_t>(before) * kMss));
  EXPECT_LT(s.take().size(), before);
}

STORY(TailLossProbe, TheProbeCameTwice_WindowKept) {
  ProbingStory s;
  ten_out(s, 0, kFar);
  s.send(seg().ack(11681)).quiet();
  s.later(2 * kFar + 2, {seg().seq(13141).again()});
  s.after(kFar / 2).send(seg().ack(14601)).quiet();  // they had only been late
  s.after(kFar / 2)
      .send(told(14601, {{13141, 14601}}))
      .quiet();  // and the probe is the second copy
  s.write(30 * kMss);
  EXPECT_GE(s.take().size(), 10U);
}

// Section 7.1: a recovery answers for the loss that the probe showed.
ENDPOINT_STORY(TailLossProbe, TheProbeShowedALoss_WindowReducedOnce, "the size of a window") {
  SackStory s;
  ten_out(s);
  s.send(seg().ack(11681)).quiet();
  s.later(82, {seg().seq(13141).again()});
  s.write(30 * kMss).swallow();  // eight more
  s.after(39).send(told(11681, {{13141, 20441}})).swallow();
  s.counts(&EndpointStats::fast_retransmits, 1);
  s.after(40).send(seg().ack(14601 + 8 * kMss)).swallow();
  s.after(40).send(seg().ack(14601 + 13 * kMss));
  EXPECT_GE(s.take().size(), 5U) << "half of ten";
}

ENDPOINT_STORY(TailLossProbe, ThePeerTalksMeanwhile_TheProbeGoesAllTheSame,
               "the peer's data is acknowledged at other times") {
  SackStory s;
  ten_out(s);
  s.send(seg().ack(11681)).quiet();
  for (int i = 0; i < 4; ++i) s.after(20).send(seg().ack(11681).len(5)).read_all().swallow();
  s.later(2, {seg().seq(13141).len(kMss).again()});
  s.counts(&EndpointStats::tail_probes, 1);
}

STORY(TailLossProbe, WithoutSack_None) {
  Script s(plain(), {.sack = true});
  ten_out(s);
  s.later(200, {seg().seq(1).again()});
  s.counts(&EndpointStats::tail_probes, 0);
}

STORY(TailLossProbe, TheFinIsTheTail_FinAgain) {
  ProbingStory s;
  opened(s, kFar).write(3 * kMss).shutdown().swallow();
  s.after(kFar).send(seg().ack(1 + 3 * kMss)).quiet();
  s.later(500, {seg().seq(1 + 3 * kMss).flags("FA").len(0).again()});
}

STORY(TailLossProbe, AllAcknowledged_None) {
  ProbingStory s;
  ten_out(s, 0, kFar);
  s.send(seg().ack(14601)).quiet().after(900).quiet();
  s.counts(&EndpointStats::tail_probes, 0);
}

STORY(TailLossProbe, ProbeAnsweredByABlockOfAnother_NoSecondProbeBeforeNews) {
  ProbingStory s;
  ten_out(s, 0, kFar);
  s.later(kFar + 2, {seg().seq(13141).again()});
  s.after(kFar).send(seg().ack(14601)).quiet().after(900).quiet();
  s.counts(&EndpointStats::tail_probes, 1).counts(&EndpointStats::timeouts, 0);
}

}  // namespace
}  // namespace vtl::endpoint::script
