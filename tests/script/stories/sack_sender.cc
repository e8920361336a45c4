// Sending by SACK: what the peer's blocks tell (RFC 2018, 6675), and how fast to send meanwhile
// (RFC 6937).
#include <gtest/gtest.h>

#include "tests/script/sack_path.h"

namespace vtl::endpoint::script {
namespace {

// RFC 2018, RFC 6675

STORY(SackSender, ThreeSegmentsBeyondTheGap_TheHoleGoesAtOnce) {
  SackStory s;
  s.kernel_setting("tcp_recovery", "0");  // three, however long that takes
  ten_out(s);
  s.send(told(1, {{1461, 2921}})).quiet();
  s.send(told(1, {{1461, 4381}})).quiet();
  s.send(told(1, {{1461, 5841}})).expect({seg().seq(1).len(kMss).again()});
  s.counts(&EndpointStats::fast_retransmits, 1);
}

STORY(SackSender, SeveralHoles_EachGoesOnceAndNothingElse) {
  SackStory s;
  ten_out(s);
  s.send(told(1, {{1461, 4381}, {5841, 8761}, {10221, 14601}}))
      .expect({seg().seq(1).len(kMss).again(), seg().seq(4381).len(kMss).again(),
               seg().seq(8761).len(kMss).again()});
  s.after(40).send(told(4381, {{5841, 8761}, {10221, 14601}})).quiet();
  s.send(told(8761, {{10221, 14601}})).quiet();
  s.send(seg().ack(14601)).quiet();
  s.counts(&EndpointStats::retransmissions, 3);
  s.counts(&EndpointStats::timeouts, 0);
}

STORY(SackSender, EachBlockLetsASegmentOut) {
  SackStory s;
  s.kernel_setting("tcp_recovery", "0");
  ten_out(s, 3 * kMss);
  s.send(told(1, {{1461, 2921}})).expect({seg().seq(14601).len(kMss).fresh()});
  s.after(5).send(told(1, {{1461, 4381}})).expect({seg().seq(16061).len(kMss).fresh()});
}

STORY(SackSender, NotNegotiated_BlocksAreIgnored) {
  Script s(with_sack(), {.sack = false});
  ten_out(s);
  s.send(told(1, {{1461, 14601}})).quiet().after(50).quiet();
}

STORY(SackSender, NotOffered_BlocksAreIgnored) {
  Script s(plain(), {.sack = true});
  ten_out(s);
  s.send(told(1, {{1461, 14601}})).quiet().after(50).quiet();
}

STORY(SackSender, BlockOfWhatWasNeverSent_NotBelieved) {
  SackStory s;
  ten_out(s);
  s.send(told(1, {{14601, 30001}})).quiet();
  s.send(told(1, {{1461, 30001}})).quiet().after(30).quiet();
}

STORY(SackSender, BlockBackwards_NotBelieved) {
  SackStory s;
  ten_out(s);
  s.send(told(1, {{8761, 1461}})).quiet().after(30).quiet();
}

ENDPOINT_STORY(SackSender, SuperFrameLosesItsMiddle_RepairedAsASegment, "a super-frame") {
  Config config = with_sack();
  config.max_super_frame = 65000;
  Script s(config, {.sack = true});
  opened(s).write(10 * kMss).expect({seg().seq(1).len(10 * kMss)});
  s.after(40);
  s.send(told(4381, {{5841, 14601}})).expect({seg().seq(4381).len(kMss).again()});
}

ENDPOINT_STORY(SackSender, TwoNeighboursLost_OneSuperFrameRepairsThem, "a super-frame") {
  Config config = with_sack();
  config.max_super_frame = 65000;
  Script s(config, {.sack = true});
  opened(s).write(10 * kMss).swallow();
  s.after(40);
  s.send(told(4381, {{7301, 14601}})).expect({seg().seq(4381).len(2 * kMss).again()});
}

STORY(SackSender, WindowPulledBackBelowTheHole_NothingBeyondIt) {
  SackStory s;
  ten_out(s);
  s.send(told(4381, {{5841, 14601}}).win(1000)).expect({seg().seq(4381).len(1000).again()});
}

STORY(SackSender, LostFin_GoesAgain) {
  SackStory s;
  opened(s).write(2 * kMss).shutdown().swallow();
  s.after(40).send(seg().ack(2921)).quiet();
  s.later(240, {seg().seq(2921).len(0).flags("FA").again()});
}

// RFC 2018 section 8

STORY(SackSender, TimeoutLeavesOutWhatTheBlocksTold) {
  SackStory s;
  ten_out(s);
  s.send(told(1, {{1461, 2921}, {4381, 14601}}));
  s.expect({seg().seq(1).again(), seg().seq(2921).len(kMss).again()});
  s.later(240, {seg().seq(1).len(kMss).again()});  // counted from the fast retransmit
  s.after(40).send(told(2921, {{4381, 14601}})).expect({seg().seq(2921).len(kMss).again()});
  s.after(40).send(seg().ack(14601)).quiet();
  s.counts(&EndpointStats::timeouts, 1);
}

STORY(SackSender, ReceiverTakesItsBlocksBack_TimeoutSendsThemAgain) {
  SackStory s;
  ten_out(s);
  s.send(told(1, {{1461, 14601}})).expect({seg().seq(1).again()});
  s.after(40).send(seg().ack(1461)).quiet();
  s.kernel_differs("an acknowledgement that stops before a block tells it", 10);
  s.later(240, {seg().seq(1461).len(kMss).again()});
  s.after(40).send(seg().ack(2921)).expect({seg().seq(2921).again(), seg().seq(4381).again()});
}

// The roles differ in nothing once the connection stands.
STORY(SackSender, ActivelyOpened_HolesAreRepaired) {
  SackStory s;
  s.syn_sent().after(40).send(seg().seq(0).flags("SA").ack(1)).swallow();
  s.write(10 * kMss).swallow();
  s.after(40).send(told(1, {{1461, 4381}, {5841, 14601}}));
  s.expect({seg().seq(1).again(), seg().seq(4381).again()});
  s.after(40).send(seg().ack(14601)).quiet();
  EXPECT_TRUE(s.all_acknowledged());
}

STORY(SackSender, BlocksInAnyOrder_TheSameHoles) {
  SackStory s;
  ten_out(s);
  s.send(told(1, {{10221, 14601}, {1461, 4381}, {5841, 8761}}))
      .expect({seg().seq(1).again(), seg().seq(4381).again(), seg().seq(8761).again()});
}

STORY(SackSender, BlockBelowTheAcknowledgement_MeansNothingOfWhatIsOut) {
  SackStory s;
  ten_out(s);
  s.send(seg().ack(7301)).quiet();
  s.send(told(7301, {{1461, 2921}})).quiet();
  s.send(seg().ack(14601)).quiet();
  s.counts(&EndpointStats::fast_retransmits, 0);
}

STORY(SackSender, AllButTheFirstDeliveredAndNewDataWaits_TheHoleGoesFirst) {
  SackStory s;
  ten_out(s, 5 * kMss);
  s.send(told(1, {{1461, 14601}}));
  const auto sent = s.take();
  ASSERT_GE(sent.size(), 1U);
  EXPECT_TRUE(sent.front().retransmission);
  for (std::size_t i = 1; i < sent.size(); ++i) EXPECT_FALSE(sent[i].retransmission);
}

STORY(SackSender, PeerResetsInRecovery_Closed) {
  SackStory s;
  ten_out(s);
  s.send(told(1, {{1461, 14601}})).expect({seg().seq(1).again()});
  s.send(seg().flags("R")).quiet().state(State::kClosed).after(300).quiet();
}

STORY(SackSender, AbortInRecovery_ResetAndSilence) {
  SackStory s;
  ten_out(s);
  s.send(told(1, {{1461, 14601}})).expect({seg().seq(1).again()});
  s.abort().expect({seg().seq(14601).flags("RA")});
  s.after(300).quiet();
}

// RFC 6937: PRR

STORY(Prr, OneLoss_TheRateGoesDownEvenly) {
  SackStory s;
  s.kernel_setting("tcp_recovery", "0");
  ten_out(s, 20 * kMss);
  s.send(told(1, {{1461, 2921}})).swallow();  // limited transmit
  s.after(5).send(told(1, {{1461, 4381}})).swallow();
  s.after(5).send(told(1, {{1461, 5841}})).expect({seg().seq(1).again()});
  // Of the flight of 12 that is left 5 may stay: about every second acknowledgement lets one out.
  std::size_t sent = 0;
  for (std::uint32_t end = 7301; end <= 17521; end += kMss) {
    s.after(5).send(told(1, {{1461, end}}));
    const std::size_t now = s.take().size();
    EXPECT_LE(now, 1U);
    sent += now;
  }
  EXPECT_EQ(sent, 4U);
}

STORY(Prr, MostOfTheFlightLost_NoBurst) {
  SackStory s;
  ten_out(s, 20 * kMss);
  s.send(told(1, {{13141, 14601}})).expect({seg().seq(14601).fresh()});
  s.after(10);
  EXPECT_LE(s.take().size(), 1U) << "nine are lost, one was delivered";
}

STORY(Prr, TheEnd_WindowIsTheThreshold) {
  SackStory s;
  ten_out(s);
  s.send(told(1, {{1461, 14601}})).expect({seg().seq(1).again()});
  s.after(40).send(seg().ack(14601)).quiet();
  s.write(20 * kMss);
  EXPECT_EQ(s.take().size(), 5U);
}

// Crumbs between blocks are no reason for a packet each.
STORY(SackSender, CrumbsOfOneSegmentLost_GoTogether) {
  SackStory s;
  ten_out(s);
  s.send(told(1, {{2, 3}, {4, 5}, {6, 7}, {8, 9}})).quiet();
  s.send(told(1, {{1461, 14601}})).expect({seg().seq(1).len(kMss).again()});
}

// What is sent while a loss is repaired belongs to the next window, and so do its losses.
ENDPOINT_STORY(SackSender, LossesOfWhatWasSentInTheRecovery_BeginTheNext, "the size of a window") {
  WideStory s;
  const std::uint32_t una = forty_out(s);
  const std::uint32_t recover = una + 40 * kMss;
  s.send(told(una, {{una + kMss, recover}}));
  const std::uint32_t end = s.take().back().header.seq.value() - 1000 + kMss;
  s.counts(&EndpointStats::fast_retransmits, 1);
  // The repair is lost, and of the new segments the first and the third.
  s.after(40).send(told(una, {{recover + kMss, recover + 2 * kMss}, {una + kMss, recover}}));
  s.swallow();
  s.send(told(una, {{recover + 3 * kMss, end}, {recover + kMss, recover + 2 * kMss}})).swallow();
  s.counts(&EndpointStats::fast_retransmits, 1);
  s.after(40).send(told(recover, {{recover + 3 * kMss, end}})).swallow();
  s.counts(&EndpointStats::fast_retransmits, 2);
}

}  // namespace
}  // namespace vtl::endpoint::script
