// Sending by SACK: RFC 2018 and 2883 (what the peer's blocks tell), 8985 (RACK-TLP), 6937 (PRR),
// and the recoveries that prove needless: RFC 3522 (Eifel), 5682 (F-RTO), 3708 (D-SACK).
//
// The round trip is 40 ms in all of them and segments have 1460 octets: of ten in flight the first
// begins at 1, the second at 1461, the last at 13141.
#include <gtest/gtest.h>

#include "tests/script/script.h"

namespace vtl::endpoint::script {
namespace {

constexpr std::uint32_t kMss = 1460;

Config with_sack() {
  Config config = plain();
  config.offer_sack = true;
  return config;
}

// Established over a path of 40 ms.
Script& opened(Script& s) {
  s.syn().swallow();
  return s.after(40).send(seg().ack(1)).state(State::kEstablished);
}

// Ten segments left at 40 ms; it is 80 ms now and their acknowledgements begin to come.
Script& ten_out(Script& s, std::uint32_t unsent = 0) {
  opened(s).write(10 * kMss).swallow();
  if (unsent > 0) s.write(unsent).quiet();
  return s.after(40);
}

// Acknowledges `n` with blocks.
Seg told(std::uint32_t n, std::vector<std::pair<std::uint32_t, std::uint32_t>> blocks) {
  return seg().ack(n).sack(std::move(blocks));
}

struct SackStory : Script {
  SackStory() : Script(with_sack(), {.sack = true}) {}
};

// With timestamps a full segment has 1448 octets.
struct StampedStory : Script {
  static Config config() {
    Config config = with_sack();
    config.offer_timestamps = true;
    return config;
  }
  StampedStory() : Script(config(), {.stamps = true, .sack = true}) {}
};

// Takes what was sent and returns its timestamp.
std::uint32_t stamp(Script& s) {
  const auto sent = s.take();
  return sent.empty() ? 0 : sent.front().header.options.timestamps.value().value;
}

// RFC 2018, RFC 6675

TEST(SackSender, ThreeSegmentsBeyondTheGap_TheHoleGoesAtOnce) {
  SackStory s;
  ten_out(s);
  s.send(told(1, {{1461, 2921}})).quiet();
  s.send(told(1, {{1461, 4381}})).quiet();
  s.send(told(1, {{1461, 5841}})).expect({seg().seq(1).len(kMss).again()});
  EXPECT_EQ(s.endpoint().stats().fast_retransmits, 1U);
}

TEST(SackSender, SeveralHoles_EachGoesOnceAndNothingElse) {
  SackStory s;
  ten_out(s);
  s.send(told(1, {{1461, 4381}, {5841, 8761}, {10221, 14601}}))
      .expect({seg().seq(1).len(kMss).again(), seg().seq(4381).len(kMss).again(),
               seg().seq(8761).len(kMss).again()});
  s.after(40).send(told(4381, {{5841, 8761}, {10221, 14601}})).quiet();
  s.send(told(8761, {{10221, 14601}})).quiet();
  s.send(seg().ack(14601)).quiet();
  EXPECT_EQ(s.endpoint().stats().retransmissions, 3U);
  EXPECT_EQ(s.endpoint().stats().timeouts, 0U);
}

TEST(SackSender, EachBlockLetsASegmentOut) {
  SackStory s;
  ten_out(s, 3 * kMss);
  s.send(told(1, {{1461, 2921}})).expect({seg().seq(14601).len(kMss).fresh()});
  s.send(told(1, {{1461, 4381}})).expect({seg().seq(16061).len(kMss).fresh()});
}

TEST(SackSender, NotNegotiated_BlocksAreIgnored) {
  Script s(with_sack(), {.sack = false});
  ten_out(s);
  s.send(told(1, {{1461, 14601}})).quiet().after(50).quiet();
}

TEST(SackSender, NotOffered_BlocksAreIgnored) {
  Script s(plain(), {.sack = true});
  ten_out(s);
  s.send(told(1, {{1461, 14601}})).quiet().after(50).quiet();
}

TEST(SackSender, BlockOfWhatWasNeverSent_NotBelieved) {
  SackStory s;
  ten_out(s);
  s.send(told(1, {{14601, 30001}})).quiet();
  s.send(told(1, {{1461, 30001}})).quiet().after(50).quiet();
}

TEST(SackSender, BlockBackwards_NotBelieved) {
  SackStory s;
  ten_out(s);
  s.send(told(1, {{8761, 1461}})).quiet().after(50).quiet();
}

TEST(SackSender, SuperFrameLosesItsMiddle_RepairedAsASegment) {
  Config config = with_sack();
  config.max_super_frame = 65000;
  Script s(config, {.sack = true});
  opened(s).write(10 * kMss).expect({seg().seq(1).len(10 * kMss)});
  s.after(40);
  s.send(told(4381, {{5841, 14601}})).expect({seg().seq(4381).len(kMss).again()});
}

TEST(SackSender, TwoNeighboursLost_OneSuperFrameRepairsThem) {
  Config config = with_sack();
  config.max_super_frame = 65000;
  Script s(config, {.sack = true});
  opened(s).write(10 * kMss).swallow();
  s.after(40);
  s.send(told(4381, {{7301, 14601}})).expect({seg().seq(4381).len(2 * kMss).again()});
}

TEST(SackSender, WindowPulledBackBelowTheHole_NothingBeyondIt) {
  SackStory s;
  ten_out(s);
  s.send(told(4381, {{5841, 14601}}).win(1000)).expect({seg().seq(4381).len(1000).again()});
}

TEST(SackSender, LostFin_GoesAgain) {
  SackStory s;
  opened(s).write(2 * kMss).shutdown().swallow();
  s.write(0).after(40).send(seg().ack(2921)).quiet();
  s.until_sent(1000);
  s.expect({seg().seq(2921).len(0).flags("FA").again()});
}

// RFC 2018 section 8

TEST(SackSender, TimeoutLeavesOutWhatTheBlocksTold) {
  SackStory s;
  ten_out(s);
  s.send(told(1, {{1461, 2921}, {4381, 14601}}));
  s.expect({seg().seq(1).again(), seg().seq(2921).len(kMss).again()});
  s.until_sent(10'000);
  s.expect({seg().seq(1).len(kMss).again()});
  s.after(40).send(told(2921, {{4381, 14601}})).expect({seg().seq(2921).len(kMss).again()});
  s.after(40).send(seg().ack(14601)).quiet();
  EXPECT_EQ(s.endpoint().stats().timeouts, 1U);
}

TEST(SackSender, ReceiverTakesItsBlocksBack_TimeoutSendsThemAgain) {
  SackStory s;
  ten_out(s);
  s.send(told(1, {{1461, 14601}})).expect({seg().seq(1).again()});
  s.after(40).send(seg().ack(1461)).quiet();
  s.until_sent(10'000);
  s.expect({seg().seq(1461).len(kMss).again()});
  s.after(40).send(seg().ack(2921)).expect({seg().seq(2921).again(), seg().seq(4381).again()});
}

// RFC 8985 section 6: RACK

TEST(Rack, OneSegmentBeyondTheGap_AQuarterOfTheRoundTripOfPatience) {
  SackStory s;
  ten_out(s);
  s.send(told(1, {{1461, 2921}})).quiet();
  EXPECT_NEAR(s.until_sent(1000), 90, 0.01);
  s.expect({seg().seq(1).len(kMss).again()});
}

TEST(Rack, TheOvertakenArrivesInTime_NothingGoesAgain) {
  SackStory s;
  ten_out(s);
  s.send(told(1, {{1461, 2921}})).quiet();
  s.after(9).send(seg().ack(2921)).quiet().after(20).quiet();
  EXPECT_EQ(s.endpoint().stats().fast_retransmits, 0U);
}

TEST(Rack, ReorderingSeen_ThreeSegmentsBeyondAreNoLossYet) {
  SackStory s;
  ten_out(s);
  s.send(told(1, {{1461, 2921}})).quiet();
  s.send(seg().ack(2921)).quiet();  // the first had only been overtaken
  s.send(told(2921, {{4381, 8761}})).quiet();
  EXPECT_NEAR(s.until_sent(1000), 90, 0.01);
  s.expect({seg().seq(2921).len(kMss).again()});
}

TEST(Rack, DuplicatesReported_PatienceGrows) {
  SackStory s;
  ten_out(s);
  s.send(told(1, {{1461, 2921}})).quiet().after(10).expect({seg().seq(1).again()});
  // It had only been late: both copies arrive.
  s.send(seg().ack(2921)).quiet();
  s.after(2).send(told(2921, {{1, 1461}})).quiet();
  EXPECT_EQ(s.endpoint().stats().needless_recoveries, 1U);
  s.send(told(2921, {{4381, 5841}})).quiet();
  EXPECT_NEAR(s.until_sent(1000), 40 + 52 + 20, 0.01) << "two quarters now";
  s.expect({seg().seq(2921).again()});
}

TEST(Rack, RetransmissionLost_FoundByWhatLeftAfterIt) {
  SackStory s;
  ten_out(s, 4 * kMss);
  s.send(told(1, {{1461, 7301}}));
  s.expect({seg().seq(1).again()});
  s.after(10).send(told(1, {{1461, 14601}}));  // of what left before it
  s.expect({seg().seq(14601).fresh(), seg().seq(16061).fresh(), seg().seq(17521).fresh(),
            seg().seq(18981).fresh()});
  s.after(40).send(told(1, {{1461, 16061}})).expect({seg().seq(1).len(kMss).again()});
  EXPECT_EQ(s.endpoint().stats().timeouts, 0U);
  EXPECT_EQ(s.endpoint().stats().fast_retransmits, 1U) << "one recovery, one reduction";
}

TEST(Rack, ReorderingTimerIsOffWhenAllIsAcknowledged) {
  SackStory s;
  ten_out(s);
  s.send(told(1, {{1461, 2921}})).quiet();
  s.send(seg().ack(14601)).quiet();
  EXPECT_EQ(s.endpoint().poll_at(s.now()), kNever);
}

// RFC 6937: PRR

TEST(Prr, OneLoss_TheRateGoesDownEvenly) {
  SackStory s;
  ten_out(s, 20 * kMss);
  s.send(told(1, {{1461, 2921}})).swallow();  // limited transmit
  s.send(told(1, {{1461, 4381}})).swallow();
  s.send(told(1, {{1461, 5841}})).expect({seg().seq(1).again()});
  // Of the flight of 12 that is left 5 may stay: about every second acknowledgement lets one out.
  std::size_t sent = 0;
  for (std::uint32_t end = 7301; end <= 17521; end += kMss) {
    s.send(told(1, {{1461, end}}));
    const std::size_t now = s.take().size();
    EXPECT_LE(now, 1U);
    sent += now;
  }
  EXPECT_EQ(sent, 4U);
}

TEST(Prr, MostOfTheFlightLost_NoBurst) {
  SackStory s;
  ten_out(s, 20 * kMss);
  s.send(told(1, {{13141, 14601}})).expect({seg().seq(14601).fresh()});
  s.after(10);
  EXPECT_LE(s.take().size(), 1U) << "nine are lost, one was delivered";
}

TEST(Prr, TheEnd_WindowIsTheThreshold) {
  SackStory s;
  ten_out(s);
  s.send(told(1, {{1461, 14601}})).expect({seg().seq(1).again()});
  s.after(40).send(seg().ack(14601)).quiet();
  s.write(20 * kMss);
  EXPECT_EQ(s.take().size(), 5U);
}

// RFC 8985 section 7: TLP

TEST(TailLossProbe, EndOfTheFlightLost_TheLastSegmentGoesAgainBeforeTheTimeout) {
  SackStory s;
  ten_out(s);
  s.send(seg().ack(11681)).quiet();
  EXPECT_NEAR(s.until_sent(1000), 80 + 2 * 40 + 2, 0.5);
  s.expect({seg().seq(13141).len(kMss).again()});
  EXPECT_EQ(s.endpoint().stats().tail_probes, 1U);
  // What it brings back finds the other one.
  s.after(40).send(told(11681, {{13141, 14601}}));
  s.until_sent(1000);
  s.expect({seg().seq(11681).len(kMss).again()});
  s.after(40).send(seg().ack(14601)).quiet();
  EXPECT_EQ(s.endpoint().stats().timeouts, 0U);
}

TEST(TailLossProbe, UnsentData_ANewSegmentProbes) {
  SackStory s;
  ten_out(s, 3 * kMss);
  s.until_sent(1000);
  s.expect({seg().seq(14601).len(kMss).fresh()});
  EXPECT_EQ(s.endpoint().stats().tail_probes, 1U);
}

TEST(TailLossProbe, OneProbeAndThenTheTimeout) {
  SackStory s;
  ten_out(s);
  s.until_sent(1000);
  s.expect({seg().seq(13141).again()});
  s.until_sent(1000);
  s.expect({seg().seq(1).len(kMss).again()});
  EXPECT_EQ(s.endpoint().stats().tail_probes, 1U);
  EXPECT_EQ(s.endpoint().stats().timeouts, 1U);
}

TEST(TailLossProbe, OneSegmentOut_TheTimeoutIsDueFirst) {
  SackStory s;
  opened(s).write(kMss).swallow();
  s.until_sent(1000);
  s.expect({seg().seq(1).len(kMss).again()});
  EXPECT_EQ(s.endpoint().stats().tail_probes, 0U)
      << "200 ms for the peer's delayed acknowledgement";
  EXPECT_EQ(s.endpoint().stats().timeouts, 1U);
}

TEST(TailLossProbe, TheProbeRepairedALoss_WindowReducedOnce) {
  SackStory s;
  ten_out(s);
  s.send(seg().ack(11681)).quiet();
  s.until_sent(1000);
  s.expect({seg().seq(13141).again()});
  s.after(40).send(seg().ack(14601)).quiet();
  s.write(30 * kMss);
  const std::size_t before = s.take().size();
  s.after(40).send(seg().ack(14601 + kMss)).swallow();  // new data, and no report of a duplicate
  EXPECT_GT(before, 5U);
  s.after(40).send(seg().ack(14601 + static_cast<std::uint32_t>(before) * kMss));
  EXPECT_LT(s.take().size(), before);
}

TEST(TailLossProbe, TheProbeCameTwice_WindowKept) {
  SackStory s;
  ten_out(s);
  s.send(seg().ack(11681)).quiet();
  s.until_sent(1000);
  s.expect({seg().seq(13141).again()});
  s.after(20).send(seg().ack(14601)).quiet();               // they had only been late
  s.after(20).send(told(14601, {{13141, 14601}})).quiet();  // and the probe is the second copy
  s.write(30 * kMss);
  EXPECT_GE(s.take().size(), 10U);
}

TEST(TailLossProbe, WithoutSack_None) {
  Script s(plain(), {.sack = true});
  ten_out(s);
  s.until_sent(1000);
  s.expect({seg().seq(1).again()});
  EXPECT_EQ(s.endpoint().stats().tail_probes, 0U);
}

// RFC 3522: Eifel

TEST(Needless, FastRetransmitAndTheOriginalArrives_WindowRestored) {
  StampedStory s;
  opened(s).write(10 * 1448);
  const std::uint32_t original = stamp(s);
  s.after(40).send(told(1, {{1449, 5793}})).expect({seg().seq(1).again()});
  // The acknowledgement echoes what left before the retransmission did.
  s.after(5).send(seg().ack(5793).stamps(7100, original)).quiet();
  EXPECT_EQ(s.endpoint().stats().needless_recoveries, 1U);
  s.write(30 * 1448);
  EXPECT_GE(s.take().size(), 4U) << "the window of ten is back: six are out";
}

TEST(Needless, TheRetransmissionArrives_WindowStaysDown) {
  StampedStory s;
  opened(s).write(10 * 1448).swallow();
  s.after(40).send(told(1, {{1449, 5793}}));
  const std::uint32_t again = stamp(s);
  s.after(40).send(seg().ack(14481).stamps(7120, again)).quiet();
  EXPECT_EQ(s.endpoint().stats().needless_recoveries, 0U);
}

TEST(Needless, TimeoutAndTheOriginalArrives_NothingElseGoesAgain) {
  StampedStory s;
  opened(s).write(10 * 1448);
  const std::uint32_t original = stamp(s);
  s.until_sent(1000);  // the probe
  s.swallow();
  s.until_sent(1000);
  s.expect({seg().seq(1).again()});
  s.after(1).send(seg().ack(1449).stamps(7300, original)).quiet();
  EXPECT_EQ(s.endpoint().stats().needless_recoveries, 1U);
}

// RFC 5682: F-RTO

TEST(Needless, TimeoutAndSomethingThatWentOnceIsAcknowledged_Undone) {
  SackStory s;
  ten_out(s);
  s.until_sent(1000);
  s.swallow();  // the probe: the last segment
  s.until_sent(1000);
  s.expect({seg().seq(1).again()});
  s.after(1).send(seg().ack(2921)).quiet();
  EXPECT_EQ(s.endpoint().stats().needless_recoveries, 1U);
  s.after(1).send(seg().ack(11681)).quiet();
  s.write(20 * kMss);
  EXPECT_GE(s.take().size(), 8U) << "the window of ten is back";
}

TEST(Needless, WithoutSack_TwoNewSegmentsAfterTheFirstAcknowledgement) {
  Script s(plain());
  ten_out(s, 6 * kMss);
  s.until_sent(1000);
  s.expect({seg().seq(1).again()});
  s.after(1).send(seg().ack(1461)).expect({seg().seq(14601).fresh(), seg().seq(16061).fresh()});
  s.after(1).send(seg().ack(2921));  // the second went only once
  EXPECT_EQ(s.endpoint().stats().needless_recoveries, 1U);
  for (const auto& sent : s.take()) EXPECT_FALSE(sent.retransmission);
}

TEST(Needless, WithoutSack_DuplicateAfterTheNewSegments_TheTimeoutWasRight) {
  Script s(plain());
  ten_out(s, 6 * kMss);
  s.until_sent(1000);
  s.expect({seg().seq(1).again()});
  s.after(1).send(seg().ack(1461)).expect({seg().seq(14601).fresh(), seg().seq(16061).fresh()});
  s.after(40).send(seg().ack(1461)).expect({seg().seq(1461).again()});
  EXPECT_EQ(s.endpoint().stats().needless_recoveries, 0U);
}

TEST(Needless, WithoutSack_AcknowledgementJumpsOverTheGap_TheTimeoutWasRight) {
  Script s(plain());
  ten_out(s);
  s.until_sent(1000);
  s.expect({seg().seq(1).again()});
  s.after(40).send(seg().ack(4381));  // two lay beyond the gap all the time
  EXPECT_EQ(s.endpoint().stats().needless_recoveries, 0U);
  EXPECT_TRUE(s.take().front().retransmission);
}

// RFC 3708: D-SACK

TEST(Needless, EverythingThatWentAgainCameTwice_Undone) {
  SackStory s;
  ten_out(s);
  s.send(told(1, {{1461, 14601}})).expect({seg().seq(1).again()});
  s.after(5).send(seg().ack(14601)).quiet();
  EXPECT_EQ(s.endpoint().stats().needless_recoveries, 0U) << "it may have been the retransmission";
  s.after(35).send(told(14601, {{1, 1461}})).quiet();
  EXPECT_EQ(s.endpoint().stats().needless_recoveries, 1U);
  s.write(20 * kMss);
  EXPECT_GE(s.take().size(), 10U);
}

TEST(Needless, OneOfTwoCameTwice_WindowStaysDown) {
  SackStory s;
  ten_out(s);
  s.send(told(1, {{1461, 2921}, {4381, 14601}}));
  s.expect({seg().seq(1).again(), seg().seq(2921).again()});
  s.after(40).send(seg().ack(14601)).quiet();
  s.send(told(14601, {{1, 1461}})).quiet();
  EXPECT_EQ(s.endpoint().stats().needless_recoveries, 0U);
}

TEST(Needless, ReportOfDuplicatesLongAfter_ChangesNothing) {
  SackStory s;
  ten_out(s);
  s.send(told(1, {{1461, 14601}})).expect({seg().seq(1).again()});
  s.after(40).send(seg().ack(14601)).quiet();
  for (int i = 0; i < 3; ++i) {
    s.write(2 * kMss).swallow();
    s.after(40).send(seg());
  }
  s.send(told(14601 + 6 * kMss, {{1, 1461}})).quiet();
  EXPECT_EQ(s.endpoint().stats().needless_recoveries, 0U);
}

// RFC 2883, as a receiver

TEST(DuplicateReport, OldSegment_ItsOctetsInTheFirstBlock) {
  SackStory s;
  s.established().send(seg().len(1000)).swallow();
  s.send(seg().seq(1).len(500)).expect({seg().ack(1001).len(0).sack({{1, 501}})});
  s.send(seg().seq(1001).len(100)).swallow();
  s.send(seg().seq(1).len(0)).swallow();
  EXPECT_EQ(s.endpoint().readable(), 1100U);
}

TEST(DuplicateReport, ToldOnce) {
  SackStory s;
  s.established().send(seg().len(1000)).swallow();
  s.send(seg().seq(1).len(500)).expect({seg().ack(1001).sack({{1, 501}})});
  s.send(seg().seq(2001).len(500)).expect({seg().ack(1001).sack({{2001, 2501}})});
}

TEST(DuplicateReport, HalfOfTheSegmentIsOld_ThatHalf) {
  SackStory s;
  s.established().send(seg().len(1000)).swallow();
  s.send(seg().seq(501).len(1000)).expect({seg().ack(1501).sack({{501, 1001}})});
}

TEST(DuplicateReport, SegmentBeyondTheGapComesAgain_InsideTheSecondBlock) {
  SackStory s;
  s.established();
  s.send(seg().seq(1001).len(1000)).expect({seg().ack(1).sack({{1001, 2001}})});
  s.send(seg().seq(1501).len(300)).expect({seg().ack(1).sack({{1501, 1801}, {1001, 2001}})});
}

TEST(DuplicateReport, SegmentOverlapsTwoBlocks_TheFirstOverlap) {
  SackStory s;
  s.established();
  s.send(seg().seq(1001).len(500)).swallow();
  s.send(seg().seq(2001).len(500)).swallow();
  s.send(seg().seq(1201).len(1000)).expect({seg().ack(1).sack({{1201, 1501}, {1001, 2501}})});
}

TEST(DuplicateReport, DataWaitsToGo_TheReportComesWithout) {
  SackStory s;
  s.established().send(seg().len(1000)).swallow();
  s.write(20 * kMss).swallow();
  s.write(100).send(seg().seq(1).len(500)).expect({seg().ack(1001).len(0).sack({{1, 501}})});
}

TEST(DuplicateReport, WithTimestamps_ThreeBlocksWithIt) {
  StampedStory s;
  s.established();
  for (const std::uint32_t at : {1001U, 3001U, 5001U, 7001U})
    s.send(seg().seq(at).len(500)).swallow();
  s.send(seg().seq(3001).len(500))
      .expect({seg().ack(1).sack({{3001, 3501}, {3001, 3501}, {7001, 7501}})});
}

TEST(DuplicateReport, NotNegotiated_None) {
  Script s(with_sack(), {.sack = false});
  s.established().send(seg().len(1000)).swallow();
  s.send(seg().seq(1).len(500)).expect({seg().ack(1001).sack({})});
}

}  // namespace
}  // namespace vtl::endpoint::script
