// Silence: the retransmission timer (RFC 6298), giving up (RFC 9293 section 3.8.3), and timeouts
// that prove needless without SACK (RFC 5682).
#include <gtest/gtest.h>

#include "tests/script/script.h"

namespace vtl::endpoint::script {
namespace {

constexpr std::uint32_t kMss = 1460;
constexpr auto kTimeouts = &EndpointStats::timeouts;

double milliseconds(Duration d) {
  return std::chrono::duration<double, std::milli>(d).count();
}

// Ten segments are outstanding, numbered from 1.
Script& ten_out(Script& s) {
  return s.flight(10 * kMss);
}

STORY(Timeout, NoAck_FirstSegmentAgainThenDoubling) {
  Script s;
  s.flight(1000);
  s.later(200, {seg().seq(1).len(1000).again()});
  s.later(400, {seg().seq(1).len(1000).again()});
  s.later(800, {seg().seq(1).len(1000).again()});
  s.counts(kTimeouts, 3);
}

ENDPOINT_STORY(Timeout, BackoffIsBoundedByTheCeiling, "the kernel's ceiling is two minutes") {
  Config config = plain();
  config.max_rto = 2s;
  Script s(config);
  s.flight(1000);
  for (int i = 0; i < 6; ++i) {
    s.until_sent(100'000);
    s.swallow();
  }
  s.later(2000, {seg().seq(1).again()});
}

STORY(Timeout, BackedOff_AckOfTheRetransmissionAlone_TheTimerStaysBackedOff) {
  Script s;
  s.flight(1000);
  s.later(200, {seg().seq(1).again()});
  // Which of the two was acknowledged? Karn's algorithm measures neither.
  s.send(seg().ack(1001)).quiet();
  s.write(1000).expect({seg().seq(1001).len(1000).fresh()});
  s.kernel_differs("the backoff ends with what is acknowledged, its round trips stay", 200)
      .later(400, {seg().seq(1001).again()});
}

STORY(Timeout, BackedOffAndANewRoundTripMeasured_TheTimerIsShortAgain) {
  Script s;
  s.flight(1000);
  s.later(200, {seg().seq(1).again()});
  s.send(seg().ack(1001)).quiet();
  s.write(1000).expect({seg().seq(1001)});
  s.send(seg().ack(2001)).quiet();
  s.write(1000).expect({seg().seq(2001)});
  s.later(200, {seg().seq(2001).again()});
}

STORY(Timeout, AckOfAPart_TheTimerBeginsAnew) {
  Script s;
  s.flight(2 * kMss);
  // SRTT is an eighth of the 100 ms now, and 4 * RTTVAR just below the floor of 200.
  s.after(100).send(seg().ack(1 + kMss)).quiet();
  s.later(212.5, {seg().seq(1 + kMss).again()});
}

STORY(Timeout, DataSentMeanwhile_TheTimerOfTheFirstStays) {
  Script s;
  s.flight(1000);
  s.after(150).write(1000).expect({seg().seq(1001).fresh()});
  s.later(50, {seg().seq(1).len(1000).again()});
}

STORY(Timeout, AllAcknowledged_NoTimer) {
  Script s;
  s.flight(3000).send(seg().ack(3001)).quiet().after(500).quiet();
}

STORY(Timeout, AllOutstanding_OneSegmentThenSlowStart) {
  Script s;
  ten_out(s);
  s.later(200, {seg().seq(1).len(kMss).again()});
  s.after(10)
      .send(seg().ack(1461))
      .expect({seg().seq(1461).len(kMss).again(), seg().seq(2921).len(kMss).again()});
  s.after(10)
      .send(seg().ack(4381))
      .expect({seg().seq(4381).again(), seg().seq(5841).again(), seg().seq(7301).again(),
               seg().seq(8761).again()});
}

STORY(Timeout, AckOfEverythingAfterOneRetransmission_NothingElseIsSentAgain) {
  Script s;
  ten_out(s);
  s.later(200, {seg().seq(1).len(kMss).again()});
  s.after(10).send(seg().ack(14601)).quiet().after(500).quiet();
}

STORY(Timeout, SecondTimeoutOfTheSame_OneSegmentStill) {
  Script s;
  ten_out(s);
  s.later(200, {seg().seq(1).len(kMss).again()});
  s.later(400, {seg().seq(1).len(kMss).again()});
  s.send(seg().ack(1461)).expect({seg().seq(1461).again(), seg().seq(2921).again()});
}

STORY(Timeout, PeersWindowIsSmall_TheRetransmissionFitsIt) {
  Script s;
  s.flight(2 * kMss);
  s.send(seg().len(10).ack(1)).swallow();
  s.send(seg().len(10).ack(1).win(1000)).swallow();
  s.later(200, {seg().seq(1).len(1000).again()});
}

ENDPOINT_STORY(Timeout, RoundTripMeasured_TimeoutIsFloorAboveIt, "asks the endpoint") {
  Script s;
  s.flight(1000).at(100).send(seg().ack(1001)).quiet();
  // The handshake gave 0, this gave 100 ms: SRTT 12.5, RTTVAR about 25; the floor of 200 ms rules.
  EXPECT_NEAR(milliseconds(s.endpoint().smoothed_rtt()), 12.5, 0.1);
  s.write(1000).swallow();
  EXPECT_NEAR(s.until_sent(10'000), 100 + 12.5 + 200, 1);
  s.swallow();
}

ENDPOINT_STORY(Timeout, AckAfterRetransmissionWithoutTimestamps_NotMeasured, "asks the endpoint") {
  Script s;
  s.flight(1000);
  s.until_sent(10'000);
  s.swallow();
  const Duration before = s.endpoint().smoothed_rtt();
  s.after(100).send(seg().ack(1001)).swallow();
  EXPECT_EQ(s.endpoint().smoothed_rtt(), before);
}

ENDPOINT_STORY(Timeout, AckAfterRetransmissionWithTimestamps_Measured, "asks the endpoint") {
  Config config = plain();
  config.offer_timestamps = true;
  Script s(config, {.stamps = true});
  s.flight(1000);
  s.until_sent(10'000);
  const auto again = s.take();
  ASSERT_EQ(again.size(), 1U);
  const std::uint32_t echo = again[0].header.options.timestamps->value;
  s.after(50).send(seg().ack(1001).stamps(7300, echo)).swallow();
  EXPECT_NEAR(milliseconds(s.endpoint().smoothed_rtt()), 50.0 / 8, 1);
}

// RFC 7323 section 4.3: a receiver that had the data echoes what came last in order, which may be
// as old as our timeouts are long.
ENDPOINT_STORY(Timeout, DataArrivedButItsAckWasLost_NotMeasured, "asks the endpoint") {
  Config config = plain();
  config.offer_timestamps = true;
  Script s(config, {.stamps = true});
  s.established().write(1000);
  const auto first = s.take();
  ASSERT_EQ(first.size(), 1U);
  const std::uint32_t echo = first[0].header.options.timestamps->value;
  for (int i = 0; i < 4; ++i) {
    s.until_sent(100'000);
    s.swallow();
  }
  const Duration before = s.endpoint().smoothed_rtt();
  s.after(1).send(seg().ack(1001).stamps(9000, echo)).swallow();
  EXPECT_EQ(s.endpoint().smoothed_rtt(), before);
}

STORY(Timeout, SynWasLost_OneSegmentAtFirst) {
  Script s;
  s.connect().expect({seg().flags("S")});
  s.later(1000, {seg().flags("S").again()});
  s.send(seg().seq(0).flags("SA").ack(1)).expect({seg().flags("A")});
  s.kernel_differs("one lost SYN it lets pass",
                   {seg().seq(1).len(kMss), seg().seq(1461).len(kMss)});
  s.write(2 * kMss).expect({seg().seq(1).len(kMss)});
}

ENDPOINT_STORY(Timeout, SynWasLost_ThreeSecondsForTheFirstData, "the kernel's clock is real") {
  Script s;
  s.connect().expect({seg().flags("S")});
  s.at(1000).expect({seg().flags("S").again()});
  s.send(seg().seq(0).flags("SA").ack(1)).expect({seg().flags("A")});
  s.write(10'000).expect({seg().seq(1).len(kMss)});
  s.later(3000, {seg().seq(1).again()});  // RFC 6298 section 5.7
}

// RFC 9293 section 3.8.3, R1: whoever wrote it may ask whether it meets trouble.
ENDPOINT_STORY(Timeout, ThreeRepetitionsUnanswered_InTroubleUntilAnAnswer, "asks the endpoint") {
  Script s;
  s.flight(1000);
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(s.endpoint().in_trouble());
    s.until_sent(10'000);
    s.expect({seg().seq(1).again()});
  }
  EXPECT_TRUE(s.endpoint().in_trouble());
  s.send(seg().ack(1001)).quiet();
  EXPECT_FALSE(s.endpoint().in_trouble());
}

ENDPOINT_STORY(Timeout, ThreeSynsUnanswered_InTrouble, "asks the endpoint") {
  Script s;
  s.syn_sent();
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(s.endpoint().in_trouble());
    s.until_sent(10'000);
    s.expect({seg().flags("S").again()});
  }
  EXPECT_TRUE(s.endpoint().in_trouble());
  s.send(seg().seq(0).flags("SA").ack(1)).swallow();
  EXPECT_FALSE(s.endpoint().in_trouble());
}

STORY(Timeout, DataUnacknowledgedForTheUserTimeout_ResetAndTimedOut) {
  Config config = plain();
  config.user_timeout = 300ms;
  Script s(config);
  s.flight(1000);
  s.later(200, {seg().seq(1).again()});
  if (s.kernel()) {  // it counts from the first repetition on, and gives up without a word
    for (int i = 0; i < 10; ++i) {
      s.until_sent(100);
      s.swallow();
    }
  } else {
    s.later(100, {seg().seq(1001).flags("RA")});
  }
  s.state(State::kClosed).reason(EndReason::kTimedOut);
}

// RFC 5682 without SACK.

STORY(Needless, WithoutSack_TwoNewSegmentsAfterTheFirstAcknowledgement) {
  Script s;
  ten_out(s).write(6 * kMss).quiet();
  s.later(200, {seg().seq(1).again()});
  s.after(1).send(seg().ack(1461)).expect({seg().seq(14601).fresh(), seg().seq(16061).fresh()});
  s.after(1).send(seg().ack(2921));  // the second went only once
  s.counts(&EndpointStats::needless_recoveries, 1);
  for (const auto& sent : s.take()) EXPECT_FALSE(sent.retransmission);
}

STORY(Needless, WithoutSack_DuplicateAfterTheNewSegments_TheTimeoutWasRight) {
  Script s;
  ten_out(s).write(6 * kMss).quiet();
  s.later(200, {seg().seq(1).again()});
  s.after(1).send(seg().ack(1461)).expect({seg().seq(14601).fresh(), seg().seq(16061).fresh()});
  s.after(40).send(seg().ack(1461)).expect({seg().seq(1461).again()});
  s.counts(&EndpointStats::needless_recoveries, 0);
}

STORY(Needless, WithoutSack_AcknowledgementJumpsOverTheGap_TheTimeoutWasRight) {
  Script s;
  ten_out(s);
  s.later(200, {seg().seq(1).again()});
  s.after(40).send(seg().ack(4381));  // two lay beyond the gap all the time
  s.counts(&EndpointStats::needless_recoveries, 0);
  for (const auto& sent : s.take()) EXPECT_TRUE(sent.retransmission);
}

// The floor of the timeout is below that of RFC 6298, so it must not run from the first sending.
ENDPOINT_STORY(Timeout, LongPathAndFastRetransmit_CountsFromTheRepetition,
               "it takes half a minute") {
  Config config = plain();
  config.offer_sack = true;
  Script s(config, {.sack = true});
  s.syn().swallow();
  s.after(600).send(seg().ack(1)).swallow();
  std::uint32_t una = 1;
  for (int i = 0; i < 40; ++i) {
    s.write(1460).swallow();
    s.after(600).send(seg().ack(una += 1460)).swallow();
  }
  s.write(14600).swallow();
  s.after(600).send(seg().ack(una).sack({{una + 1460, una + 14600}}));
  s.expect({seg().seq(una).again()});
  s.after(599).quiet();
  s.counts(&EndpointStats::timeouts, 0);
}

}  // namespace
}  // namespace vtl::endpoint::script
