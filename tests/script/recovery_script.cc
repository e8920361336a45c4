// Loss and silence: RFC 6298 (timeouts), RFC 5681 and 6582 (fast retransmit), RFC 3042, RFC 9293
// sections 3.8.3 (user timeout), 3.8.4 (keep-alive) and 3.8.6.1 (zero-window probes).
#include <gtest/gtest.h>

#include "tests/script/script.h"

namespace vtl::endpoint::script {
namespace {

Config supers() {
  Config config = plain();
  config.max_super_frame = 65000;
  return config;
}

double milliseconds(Duration d) {
  return std::chrono::duration<double, std::milli>(d).count();
}

// Ten segments are outstanding, numbered from 1.
Script& ten_out(Script& s) {
  s.established();
  s.write(14600);
  s.swallow();
  return s;
}

TEST(Timeout, NoAck_FirstSegmentAgainThenDoubling) {
  Script s;
  s.flight(1000);
  double before = 0;
  double gap = 0;
  for (int i = 0; i < 5; ++i) {
    const double at = s.until_sent(100'000);
    s.expect({seg().seq(1).len(1000).again()});
    if (i > 1) {
      EXPECT_NEAR((at - before) / gap, 2, 0.01);
    }
    gap = at - before;
    before = at;
  }
  EXPECT_EQ(s.endpoint().stats().timeouts, 5U);
}

TEST(Timeout, BackoffIsBoundedByTheCeiling) {
  Config config = plain();
  config.max_rto = 2s;
  Script s(config);
  s.flight(1000);
  for (int i = 0; i < 6; ++i) {
    s.until_sent(100'000);
    s.swallow();
  }
  const double before = s.until_sent(100'000);
  s.swallow();
  EXPECT_NEAR(s.until_sent(100'000) - before, 2000, 1);
  s.swallow();
}

TEST(Timeout, AllOutstanding_OneSegmentThenSlowStart) {
  Script s;
  ten_out(s);
  s.until_sent(5000);
  s.expect({seg().seq(1).len(1460).again()});
  s.after(10)
      .send(seg().ack(1461))
      .expect({seg().seq(1461).len(1460).again(), seg().seq(2921).len(1460).again()});
  s.after(10)
      .send(seg().ack(4381))
      .expect({seg().seq(4381).again(), seg().seq(5841).again(), seg().seq(7301).again(),
               seg().seq(8761).again()});
}

TEST(Timeout, AckOfEverythingAfterOneRetransmission_NothingElseIsSentAgain) {
  Script s;
  ten_out(s);
  s.until_sent(5000);
  s.expect({seg().seq(1).len(1460).again()});
  s.after(10).send(seg().ack(14601)).quiet().after(10'000).quiet();
}

TEST(Timeout, RoundTripMeasured_TimeoutIsFloorAboveIt) {
  Script s;
  s.flight(1000).at(100).send(seg().ack(1001)).quiet();
  // The handshake gave 0, this gave 100 ms: SRTT 12.5, RTTVAR about 25; the floor of 200 ms rules.
  EXPECT_NEAR(milliseconds(s.endpoint().smoothed_rtt()), 12.5, 0.1);
  s.write(1000).swallow();
  EXPECT_NEAR(s.until_sent(10'000), 100 + 12.5 + 200, 1);
  s.swallow();
}

TEST(Timeout, AckAfterRetransmissionWithoutTimestamps_NotMeasured) {
  Script s;
  s.flight(1000);
  s.until_sent(10'000);
  s.swallow();
  const Duration before = s.endpoint().smoothed_rtt();
  s.after(100).send(seg().ack(1001)).swallow();
  EXPECT_EQ(s.endpoint().smoothed_rtt(), before);
}

TEST(Timeout, AckAfterRetransmissionWithTimestamps_Measured) {
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
TEST(Timeout, DataArrivedButItsAckWasLost_NotMeasured) {
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

TEST(Timeout, SynWasLost_OneSegmentAtFirst) {
  Script s;
  s.connect().expect({seg().flags("S")});
  s.at(1000).expect({seg().flags("S").again()});
  s.send(seg().seq(0).flags("SA").ack(1)).expect({seg().flags("A")});
  s.write(10'000).expect({seg().seq(1).len(1460)});
  EXPECT_NEAR(s.until_sent(10'000), 1000 + 3000, 1);  // RFC 6298 section 5.7
  s.swallow();
}

TEST(Timeout, DataUnacknowledgedForTheUserTimeout_ResetAndTimedOut) {
  Config config = plain();
  config.user_timeout = 10s;
  Script s(config);
  s.flight(1000);
  bool reset = false;
  for (int i = 0; i < 20 && !reset; ++i) {
    s.until_sent(20'000);
    for (const auto& sent : s.take()) reset = reset || sent.header.flags.rst();
  }
  EXPECT_TRUE(reset);
  EXPECT_EQ(s.now(), Time{} + 110s);
  s.state(State::kClosed).reason(EndReason::kTimedOut);
}

TEST(FastRetransmit, ThreeDuplicates_FirstSegmentAgain) {
  Script s;
  ten_out(s);
  s.send(seg().ack(1)).quiet();
  s.send(seg().ack(1)).quiet();
  s.send(seg().ack(1)).expect({seg().seq(1).len(1460).again()});
  EXPECT_EQ(s.endpoint().stats().fast_retransmits, 1U);
  s.send(seg().ack(14601)).quiet();
  s.after(10'000).quiet();
}

TEST(FastRetransmit, LostMiddleOfASuperFrame_RepairedAsASegment) {
  Script s(supers());
  s.established().write(14600).expect({seg().seq(1).len(14600)});
  s.send(seg().ack(4381)).quiet();
  for (int i = 0; i < 2; ++i) s.send(seg().ack(4381)).quiet();
  s.send(seg().ack(4381)).expect({seg().seq(4381).len(1460).again()});
  s.send(seg().ack(14601)).quiet();
}

TEST(FastRetransmit, PartialAck_NextHoleAgainAtOnce) {
  Script s;
  ten_out(s);
  for (int i = 0; i < 2; ++i) s.send(seg().ack(1)).quiet();
  s.send(seg().ack(1)).expect({seg().seq(1).again()});
  s.send(seg().ack(2921)).expect({seg().seq(2921).len(1460).again()});
  s.send(seg().ack(7301)).expect({seg().seq(7301).len(1460).again()});
  s.send(seg().ack(14601)).quiet();
  EXPECT_EQ(s.endpoint().stats().fast_retransmits, 1U);
  EXPECT_EQ(s.endpoint().stats().timeouts, 0U);
}

TEST(FastRetransmit, WindowHalved) {
  Script s(supers());
  ten_out(s);
  for (int i = 0; i < 3; ++i) s.send(seg().ack(1));
  s.expect({seg().seq(1).len(1460).again()});
  s.send(seg().ack(14601)).quiet();
  // RFC 6582 section 3.2, full acknowledgement: min(ssthresh, max(flight, SMSS) + SMSS).
  s.write(20'000).expect({seg().seq(14601).len(2920)});
}

TEST(FastRetransmit, DuplicatesInRecovery_LetNewDataOut) {
  Script s;
  ten_out(s);
  s.write(14600).quiet();
  s.send(seg().ack(1)).expect({seg().seq(14601).len(1460).fresh()});  // limited transmit
  s.send(seg().ack(1)).expect({seg().seq(16061).len(1460).fresh()});
  s.send(seg().ack(1)).expect({seg().seq(1).again()});
  std::size_t fresh = 0;
  for (int i = 0; i < 8; ++i) {
    s.send(seg().ack(1));
    for (const auto& sent : s.take()) fresh += sent.retransmission ? 0 : 1;
  }
  EXPECT_GE(fresh, 2U);
}

TEST(FastRetransmit, WindowUpdates_AreNotDuplicates) {
  Script s;
  ten_out(s);
  for (std::uint32_t i = 1; i <= 5; ++i) s.send(seg().ack(1).win(60'000 + i)).quiet();
}

TEST(FastRetransmit, AcksWithData_AreNotDuplicates) {
  Script s;
  ten_out(s);
  for (int i = 0; i < 5; ++i) {
    s.send(seg().ack(1).len(10));
    for (const auto& sent : s.take()) EXPECT_EQ(sent.data.size(), 0U);
  }
}

TEST(FastRetransmit, DuplicatesAfterATimeout_DoNotHalveAgain) {
  Script s;
  ten_out(s);
  s.until_sent(5000);
  s.expect({seg().seq(1).again()});
  for (int i = 0; i < 5; ++i) s.send(seg().ack(1));
  (void)s.take();
  EXPECT_EQ(s.endpoint().stats().fast_retransmits, 0U);
}

TEST(FastRetransmit, OnlyTheFinWasLost_FinAgainByTimeout) {
  Script s;
  s.established().write("x").shutdown().expect({seg().flags("FA").data("x")});
  s.send(seg().ack(2)).quiet();
  s.until_sent(5000);
  s.expect({seg().seq(2).flags("FA").len(0).again()});
}

TEST(ZeroWindow, Closed_ProbedWithOneOctetAndDoubling) {
  Script s(plain(), {.window = 1000});
  s.established().write(3000).expect({seg().len(1000)});
  s.send(seg().ack(1001).win(0)).quiet();
  double before = s.until_sent(5000);
  s.expect({seg().seq(1001).len(1)});
  double gap = 0;
  for (int i = 0; i < 4; ++i) {
    s.after(1).send(seg().ack(1001).win(0)).quiet();
    const double at = s.until_sent(200'000);
    s.expect({seg().seq(1001).len(1)});
    if (gap > 0) {
      EXPECT_NEAR((at - before) / gap, 2, 0.1);
    }
    gap = at - before;
    before = at;
  }
  EXPECT_EQ(s.endpoint().stats().zero_window_probes, 5U);
  EXPECT_EQ(s.endpoint().stats().timeouts, 0U);
}

TEST(ZeroWindow, AnsweredForADay_StaysOpen) {
  Script s(plain(), {.window = 1000});
  s.established().write(3000).swallow();
  s.send(seg().ack(1001).win(0)).quiet();
  while (s.now() < Time{} + 24h) {
    s.until_sent(200'000);
    const auto sent = s.take();
    ASSERT_EQ(sent.size(), 1U);
    ASSERT_EQ(sent[0].data.size(), 1U);
    s.send(seg().ack(1001).win(0));
  }
  s.state(State::kEstablished);
  s.send(seg().ack(1001).win(1460)).expect({seg().seq(1001).len(1460)});
}

TEST(ZeroWindow, Unanswered_TimedOut) {
  Config config = plain();
  config.user_timeout = 60s;
  Script s(config, {.window = 1000});
  s.established().write(3000).swallow();
  s.send(seg().ack(1001).win(0)).quiet();
  for (int i = 0; i < 30 && s.endpoint().state() != State::kClosed; ++i) {
    s.until_sent(100'000);
    s.swallow();
  }
  s.state(State::kClosed).reason(EndReason::kTimedOut);
}

TEST(ZeroWindow, ProbeTaken_TheNextOctetFollows) {
  Script s(plain(), {.window = 1000});
  s.established().write(3000).swallow();
  s.send(seg().ack(1001).win(0)).quiet();
  s.until_sent(5000);
  s.expect({seg().seq(1001).len(1)});
  s.send(seg().ack(1002).win(0)).quiet();
  s.until_sent(60'000);
  s.expect({seg().seq(1002).len(1)});
  s.send(seg().ack(1002).win(5000)).expect({seg().seq(1002).len(1460), seg().seq(2462).len(539)});
}

TEST(ZeroWindow, Reopened_DataFromTheProbedOctetOn) {
  Script s(plain(), {.window = 1000});
  s.established().write(3000).swallow();
  s.send(seg().ack(1001).win(0)).quiet();
  s.until_sent(5000);
  s.expect({seg().seq(1001).len(1)});
  s.send(seg().ack(1001).win(2000)).expect({seg().seq(1001).len(1460), seg().seq(2461).len(540)});
}

TEST(ZeroWindow, OnlyTheFinWaits_FinIsTheProbe) {
  Script s(plain(), {.window = 1000});
  s.flight(1000).shutdown().quiet();
  s.send(seg().ack(1001).win(0)).quiet();
  s.until_sent(5000);
  s.expect({seg().seq(1001).flags("FA").len(0)});
  s.send(seg().ack(1002).win(0)).quiet().state(State::kFinWait2);
}

TEST(ZeroWindow, ShrunkOverOutstandingData_ProbedNotPouredAndSentAgainWhenItOpens) {
  Script s;
  s.flight(5840);
  s.send(seg().ack(1461).win(0)).quiet();
  s.until_sent(5000);
  s.expect({seg().seq(1461).len(1)});
  s.send(seg().ack(1461).win(0)).quiet();
  s.until_sent(5000);
  s.expect({seg().seq(1461).len(1)});
  s.send(seg().ack(1461).win(60'000))
      .expect({seg().seq(1461).len(1460).again(), seg().seq(2921).len(1460).again(),
               seg().seq(4381).len(1460).again()});
  s.send(seg().ack(5841)).quiet().after(60'000).quiet();
}

TEST(KeepAlive, Off_SilenceForEver) {
  Script s;
  s.established().after(30.0 * 24 * 3600 * 1000).quiet().state(State::kEstablished);
}

Config keeping() {
  Config config = plain();
  config.keep_alive_idle = 60s;
  config.keep_alive_interval = 10s;
  config.keep_alive_probes = 3;
  return config;
}

TEST(KeepAlive, Idle_ProbeBelowTheNextSequenceNumber) {
  Script s(keeping());
  s.established().at(60'000).expect({seg().seq(0).ack(1).flags("A").len(0)});
  s.send(seg()).quiet();
  s.at(119'999).quiet().at(120'000).expect({seg().seq(0)});
}

TEST(KeepAlive, Unanswered_ResetAfterAllProbes) {
  Script s(keeping());
  s.established().at(60'000).expect({seg().seq(0)});
  s.at(70'000).expect({seg().seq(0)});
  s.at(80'000).expect({seg().seq(0)});
  s.at(90'000).expect({seg().seq(1).flags("RA")});
  s.state(State::kClosed).reason(EndReason::kTimedOut);
}

TEST(KeepAlive, OneProbeUnanswered_NotDead) {
  Script s(keeping());
  s.established().at(60'000).expect({seg().seq(0)});
  s.at(70'000).expect({seg().seq(0)});
  s.send(seg()).at(129'999).quiet().state(State::kEstablished);
}

TEST(KeepAlive, DataOutstanding_RetransmissionRulesInstead) {
  Script s(keeping());
  s.flight(100);
  for (int i = 0; i < 8; ++i) {
    s.until_sent(100'000);
    for (const auto& sent : s.take()) EXPECT_EQ(sent.data.size(), 100U);
  }
}

}  // namespace
}  // namespace vtl::endpoint::script
