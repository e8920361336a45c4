// Opening: RFC 9293 sections 3.5 and 3.10.7.2 to 3.10.7.4, RFC 7323 sections 2 and 3, RFC 6298
// section 5.
#include <gtest/gtest.h>

#include "tests/script/script.h"

namespace vtl::endpoint::script {
namespace {

STORY(ActiveOpen, SynSent_SynAck_Established) {
  Script s;
  s.connect().state(State::kSynSent).expect({seg().seq(0).flags("S").mss(1460)});
  s.send(seg().seq(0).flags("SA").ack(1)).expect({seg().seq(1).ack(1).flags("A").len(0)});
  s.state(State::kEstablished);
}

ENDPOINT_STORY(ActiveOpen, SynSent_NoAnswer_SynAgainWithDoubledTimeout,
               "the kernel's clock is real") {
  Config config = plain();
  config.syn_retries = 2;
  Script s(config);
  s.connect().expect({seg().flags("S").fresh()});
  s.at(1000).expect({seg().seq(0).flags("S").again()});
  s.at(3000).expect({seg().seq(0).flags("S").again()});
  s.at(7000).quiet();
  s.state(State::kClosed).reason(EndReason::kTimedOut);
  EXPECT_TRUE(s.endpoint().finished());
}

STORY(ActiveOpen, SynSent_ResetWithAck_Refused) {
  Script s;
  s.connect().expect({seg().flags("S")});
  s.send(seg().seq(0).flags("RA").ack(1)).quiet();
  s.state(State::kClosed).reason(EndReason::kRefused);
}

STORY(ActiveOpen, SynSent_ResetWithWrongAck_Ignored) {
  Script s;
  s.connect().expect({seg().flags("S")});
  s.send(seg().seq(0).flags("RA").ack(77)).quiet();
  s.send(seg().seq(0).flags("R")).quiet();
  s.state(State::kSynSent);
}

STORY(ActiveOpen, SynSent_WrongAck_ResetWithThatNumber) {
  Script s;
  s.connect().expect({seg().flags("S")});
  s.send(seg().seq(300).flags("A").ack(77)).expect({seg().seq(77).flags("R")});
  s.state(State::kSynSent);
  s.kernel_also("the wrong answer may have been to an older SYN",
                {seg().seq(0).flags("S").again()});
  s.send(seg().seq(0).flags("SA").ack(2)).expect({seg().seq(2).flags("R")});
  s.state(State::kSynSent);
}

STORY(ActiveOpen, SynSent_HardIcmpError_Unreachable) {
  Script s;
  s.connect().expect({seg().flags("S")});
  s.icmp_error(true);
  s.quiet().state(State::kClosed);
  s.kernel_differs("a port that is unreachable refuses", EndReason::kRefused)
      .reason(EndReason::kUnreachable);
}

ENDPOINT_STORY(ActiveOpen, SynSent_SoftIcmpErrorThenSilence_UnreachableAtTheTimeout,
               "the kernel's clock is real") {
  Config config = plain();
  config.syn_retries = 0;
  Script s(config);
  s.connect().expect({seg().flags("S")});
  s.endpoint().icmp_error(false, s.now());
  s.quiet().state(State::kSynSent);
  s.at(1000).quiet().state(State::kClosed).reason(EndReason::kUnreachable);
}

STORY(ActiveOpen, Established_HardIcmpError_Ignored) {
  Script s;
  s.established(true);
  s.icmp_error(true);
  s.quiet().state(State::kEstablished);
}

STORY(ActiveOpen, SynAckWithData_DataIsTaken) {
  Script s;
  s.connect().expect({seg().flags("S")});
  s.send(seg().seq(0).flags("SA").ack(1).data("hello"));
  s.kernel_differs("the text of a SYN,ACK is for TCP Fast Open", {seg().seq(1).ack(1).len(0)});
  s.expect({seg().seq(1).ack(6).len(0)});
  EXPECT_EQ(s.unread(), s.kernel() ? "" : "hello");
}

ENDPOINT_STORY(ActiveOpen, WrittenBeforeTheAnswer_GoesWithTheHandshakesAck,
               "a socket takes nothing before it is connected") {
  Script s;
  s.connect().write("hello").expect({seg().flags("S").len(0)});
  s.send(seg().seq(0).flags("SA").ack(1)).expect({seg().seq(1).ack(1).data("hello")});
}

ENDPOINT_STORY(ActiveOpen, ShutdownBeforeTheAnswer_DataAndFinFollow,
               "a socket takes nothing before it is connected") {
  Script s;
  s.connect().write("bye").shutdown().expect({seg().flags("S").len(0)});
  s.send(seg().seq(0).flags("SA").ack(1)).expect({seg().seq(1).ack(1).flags("FA").data("bye")});
  s.state(State::kFinWait1);
}

STORY(ActiveOpen, SynSent_Abort_NothingIsSent) {
  Script s;
  s.connect().expect({seg().flags("S")});
  s.abort().quiet().state(State::kClosed).reason(EndReason::kAborted);
}

STORY(ActiveOpen, SynAckTwice_SecondIsAnswered) {
  Script s;
  s.established(true);
  s.send(seg().seq(0).flags("SA").ack(1)).expect({seg().seq(1).ack(1).flags("A").len(0)});
  s.state(State::kEstablished);
}

STORY(ActiveOpen, SynSent_AckOfOursWithoutASyn_Ignored) {
  Script s;
  s.syn_sent().send(seg().seq(1).ack(1)).quiet().state(State::kSynSent);
}

STORY(ActiveOpen, SynSent_TextWithoutAnything_Ignored) {
  Script s;
  s.syn_sent().send(seg().seq(1).data("x").flags("P")).quiet();
  s.send(seg().seq(1).flags("F")).quiet().state(State::kSynSent);
}

STORY(ActiveOpen, SynAckWithAZeroWindow_EstablishedAndWaits) {
  Script s(plain(), {.window = 0});
  s.established(true).write(3000).quiet();
  s.send(seg().ack(1).win(2920)).expect_stream(1, 2920);
}

STORY(ActiveOpen, SynAckAgainBecauseOurAckWasLost_AnsweredAndTextGoesOn) {
  Script s;
  s.established(true).write("text").expect({seg().data("text")});
  s.send(seg().seq(0).flags("SA").ack(1)).expect({seg().seq(5).ack(1).flags("A").len(0)});
  s.send(seg().ack(5)).quiet();
}

STORY(ActiveOpen, Offers_SackScaleTimestampsAndMss) {
  Config config = plain();
  config.offer_sack = config.offer_timestamps = config.offer_window_scale = true;
  Script s(config);
  s.connect().expect({seg().flags("S").mss(1460).any_scale().sack_permitted(true).stamps(0, 0)});
}

STORY(SimultaneousOpen, SynSent_SynThenTextWithTheAck_Taken) {
  Script s;
  s.syn_sent().send(seg().seq(0).flags("S")).expect({seg().seq(0).ack(1).flags("SA")});
  s.send(seg().seq(1).data("hello").ack(1)).expect({ack(6)});
  s.state(State::kEstablished);
  EXPECT_EQ(s.unread(), "hello");
}

STORY(SimultaneousOpen, SynReceived_NoAnswer_SynAckAgain) {
  Script s;
  s.syn_sent().send(seg().seq(0).flags("S")).expect({seg().seq(0).ack(1).flags("SA")});
  s.later(1000, {seg().seq(0).ack(1).flags("SA").again()});
}

STORY(SimultaneousOpen, SynSent_Syn_SynAckThenEstablished) {
  Script s;
  s.connect().expect({seg().flags("S").seq(0)});
  s.send(seg().seq(0).flags("S")).state(State::kSynReceived);
  s.expect({seg().seq(0).ack(1).flags("SA")});
  s.send(seg().seq(0).flags("SA").ack(1)).state(State::kEstablished);
  s.kernel_also("a SYN,ACK that it need not answer is answered", {ack(1)});
  s.write("x").expect({seg().seq(1).ack(1).data("x")});
}

ENDPOINT_STORY(SimultaneousOpen, SynAckWithScale_ItsWindowIsNotScaled,
               "the kernel shifts the window of a SYN,ACK in SYN-RECEIVED") {
  Config config = plain();
  config.offer_window_scale = true;
  Script s(config, {.scale = 7, .window = 100});
  s.connect().expect({seg().flags("S").seq(0)});
  s.send(seg().seq(0).flags("S").win(1000)).expect({seg().flags("SA")});
  s.send(seg().seq(0).flags("SA").ack(1).win(1280)).quiet().state(State::kEstablished);
  s.write(5000).expect({seg().seq(1).len(1280)});
}

STORY(SimultaneousOpen, SynReceived_PlainAck_Established) {
  Script s;
  s.connect().expect({seg().flags("S").seq(0)});
  s.send(seg().seq(0).flags("S")).expect({seg().seq(0).ack(1).flags("SA")});
  s.send(seg().seq(1).ack(1)).quiet().state(State::kEstablished);
}

STORY(SimultaneousOpen, SynReceived_Reset_Refused) {
  Script s;
  s.connect().expect({seg().flags("S").seq(0)});
  s.send(seg().seq(0).flags("S")).expect({seg().flags("SA")});
  s.send(seg().seq(1).flags("R")).quiet().state(State::kClosed);
  s.kernel_differs("it forgot who opened", EndReason::kReset).reason(EndReason::kRefused);
}

STORY(PassiveOpen, Syn_SynAck_Ack_Established) {
  Script s;
  s.syn().state(State::kSynReceived).expect({seg().seq(0).ack(1).flags("SA").mss(1460)});
  s.send(seg().ack(1)).quiet().state(State::kEstablished);
}

STORY(PassiveOpen, SynReceived_SynAgain_SynAckAgain) {
  Script s;
  s.syn().expect({seg().flags("SA")});
  s.send(seg().seq(0).flags("S")).expect({seg().seq(0).ack(1).flags("SA")});
}

ENDPOINT_STORY(PassiveOpen, SynReceived_NoAck_SynAckAgainThenTimedOut,
               "the kernel's clock is real") {
  Config config = plain();
  config.syn_retries = 1;
  Script s(config);
  s.syn().expect({seg().flags("SA")});
  s.at(1000).expect({seg().seq(0).ack(1).flags("SA").again()});
  s.at(3000).quiet();
  s.state(State::kClosed).reason(EndReason::kTimedOut);
}

STORY(PassiveOpen, SynReceived_WrongAck_ResetAndStays) {
  Script s;
  s.syn().expect({seg().flags("SA")});
  s.send(seg().seq(1).ack(500)).expect({seg().seq(500).flags("R")});
  s.state(State::kSynReceived);
  s.send(seg().seq(1).ack(1)).quiet().state(State::kEstablished);
}

STORY(PassiveOpen, SynReceived_Reset_Closed) {
  Script s;
  s.syn().expect({seg().flags("SA")});
  s.send(seg().seq(1).flags("R")).quiet().state(State::kClosed).reason(EndReason::kReset);
}

STORY(PassiveOpen, SynReceived_ResetElsewhereInTheWindow_Challenged) {
  Script s;
  s.syn().expect({seg().flags("SA")});
  s.send(seg().seq(100).flags("R")).expect({seg().seq(1).ack(1).flags("A")});
  s.state(State::kSynReceived);
}

STORY(PassiveOpen, SynReceived_AckWithDataAndFin_AllTaken) {
  Script s;
  s.syn().expect({seg().flags("SA")});
  s.send(seg().seq(1).flags("FA").ack(1).data("all")).expect({seg().seq(1).ack(5).flags("A")});
  EXPECT_EQ(s.unread(), "all");
  s.state(State::kCloseWait);
}

STORY(PassiveOpen, DataInTheSyn_NotTakenSoThePeerSendsItAgain) {
  Script s;
  s.syn(false, "S", "early").expect({seg().ack(1).flags("SA")});
  s.send(seg().seq(1).ack(1).data("early")).expect({ack(6)});
  EXPECT_EQ(s.unread(), "early");
}

STORY(PassiveOpen, SynReceived_TextWithoutAck_Dropped) {
  Script s;
  s.syn_received().send(seg().seq(1).data("x").flags("P")).quiet().state(State::kSynReceived);
}

STORY(PassiveOpen, HandshakesAckLost_TextBeyondAGapBringsIt) {
  Script s;
  s.syn_received().send(seg().seq(6).data("world").ack(1)).expect({seg().seq(1).ack(1)});
  s.state(State::kEstablished);
  s.send(seg().seq(1).data("hello").ack(1)).expect({ack(11)});
  EXPECT_EQ(s.unread(), "helloworld");
}

STORY(PassiveOpen, SynReceived_FinWithoutText_CloseWait) {
  Script s;
  s.syn_received().send(seg().seq(1).flags("FA").ack(1)).expect({seg().seq(1).ack(2).flags("A")});
  s.state(State::kCloseWait);
}

STORY(PassiveOpen, SynReceived_AckBeyondTheWindow_Answered) {
  Script s;
  s.syn_received().send(seg().seq(200'000).ack(1)).expect({ack(1)});
  s.state(State::kSynReceived);
}

STORY(PassiveOpen, SynReceived_ResetOutsideTheWindow_Ignored) {
  Script s;
  s.syn_received().send(seg().seq(200'000).flags("R")).quiet().state(State::kSynReceived);
}

STORY(PassiveOpen, SynReceived_AnotherSynInTheWindow_Challenged) {
  Script s;
  s.syn_received().send(seg().seq(100).flags("S"));
  s.kernel_differs("RFC 793: before it is synchronized that is an error, and the end",
                   {seg().flags("RA")});
  s.expect({seg().seq(1).ack(1).flags("A")});
  s.kernel_differs("RFC 793", State::kClosed).state(State::kSynReceived);
}

STORY(PassiveOpen, SynAckLost_TheTimerSendsItAgain) {
  Script s;
  s.syn_received().later(1000, {seg().seq(0).ack(1).flags("SA").again()});
  s.send(seg().ack(1)).quiet().state(State::kEstablished);
}

STORY(PassiveOpen, HandshakesAckLost_TextBringsIt) {
  Script s;
  s.syn_received().send(seg().seq(1).data("text").ack(1)).expect({ack(5)});
  s.state(State::kEstablished);
  EXPECT_EQ(s.unread(), "text");
}

// RFC 5927 section 4: before the connection is synchronized a hard error may end it.
ENDPOINT_STORY(PassiveOpen, SynReceived_HardIcmpError_Unreachable,
               "the kernel's program knows of no connection yet") {
  Script s;
  s.syn().expect({seg().flags("SA")});
  s.endpoint().icmp_error(true, s.now());
  s.quiet().state(State::kClosed).reason(EndReason::kUnreachable);
}

ENDPOINT_STORY(HeldSyn, Held_TimePasses_NothingIsSent,
               "no program can hold a SYN of the kernel's") {
  Script s;
  s.syn(true).quiet().at(30000).quiet().state(State::kSynReceived);
}

ENDPOINT_STORY(HeldSyn, Held_SynAgain_Swallowed, "no program can hold a SYN of the kernel's") {
  Script s;
  s.syn(true).send(seg().seq(0).flags("S")).quiet().at(1000);
  s.send(seg().seq(0).flags("S")).quiet();
  EXPECT_EQ(s.endpoint().stats().duplicates, 2U);
}

ENDPOINT_STORY(HeldSyn, Held_Accept_SynAckWithTheFarMss,
               "no program can hold a SYN of the kernel's") {
  Script s;
  s.syn(true).at(500);
  s.endpoint().accept(s.now(), 1400);
  s.expect({seg().seq(0).ack(1).flags("SA").mss(1400)});
  s.send(seg().ack(1)).state(State::kEstablished);
}

ENDPOINT_STORY(HeldSyn, Held_AcceptWithALargerFarMss_OursIsOffered,
               "no program can hold a SYN of the kernel's") {
  Script s;
  s.syn(true);
  s.endpoint().accept(s.now(), 9000);
  s.expect({seg().flags("SA").mss(1460)});
}

ENDPOINT_STORY(HeldSyn, Held_Refuse_ResetAsFromAClosedPort,
               "no program can hold a SYN of the kernel's") {
  Script s;
  s.syn(true);
  s.endpoint().refuse(s.now());
  const auto sent = s.take();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].header.seq.value(), 0U);
  EXPECT_EQ(sent[0].header.ack.value(), 5001U);
  EXPECT_EQ(sent[0].header.flags.bits, wire::TcpFlags::kRst | wire::TcpFlags::kAck);
  EXPECT_TRUE(s.endpoint().finished());
}

ENDPOINT_STORY(HeldSyn, Held_Abort_AnsweredAsRefused, "no program can hold a SYN of the kernel's") {
  Script s;
  s.syn(true).abort().expect({seg().flags("RA").ack(1)});
  EXPECT_TRUE(s.endpoint().finished());
}

ENDPOINT_STORY(HeldSyn, Held_Reset_Closed, "no program can hold a SYN of the kernel's") {
  Script s;
  s.syn(true).send(seg().seq(1).flags("R")).quiet();
  s.state(State::kClosed).reason(EndReason::kReset);
}

ENDPOINT_STORY(HeldSyn, Held_NewSynOfThePeer_TheNewOneIsAnswered,
               "no program can hold a SYN of the kernel's") {
  Script s;
  s.syn(true).send(seg().seq(9000).flags("S")).quiet();
  s.endpoint().accept(s.now());
  s.expect({seg().seq(0).ack(9001).flags("SA")});
}

ENDPOINT_STORY(HeldSyn, Held_Ack_ResetAndStaysHeld, "no program can hold a SYN of the kernel's") {
  Script s;
  s.syn(true).send(seg().seq(1).ack(44)).expect({seg().seq(44).flags("R")});
  s.state(State::kSynReceived);
}

ENDPOINT_STORY(HeldSyn, Held_WrittenMeanwhile_GoesAfterTheHandshake,
               "no program can hold a SYN of the kernel's") {
  Script s;
  s.syn(true).write("hi").quiet();
  s.endpoint().accept(s.now());
  s.expect({seg().flags("SA").len(0)});
  s.send(seg().ack(1)).expect({seg().seq(1).data("hi")});
}

ENDPOINT_STORY(HeldSyn, Held_HardIcmpError_Ignored, "no program can hold a SYN of the kernel's") {
  Script s;
  s.syn(true).quiet();
  s.endpoint().icmp_error(true, s.now());
  s.quiet().state(State::kSynReceived);
}

STORY(Options, PeerWithoutMss_DefaultOf536) {
  Script s(plain(), {.mss = std::nullopt});
  s.established();
  EXPECT_EQ(s.effective_mss(), 536);
}

// RFC 9293 MUST-15: 536 where the peer says nothing, and 1220 on IPv6.
ENDPOINT_STORY(Options, PeerWithoutMss_DefaultOfTheIpVersion, "the stories' kernel speaks IPv4") {
  Config config = plain();
  config.default_mss = kDefaultMssV6;
  Script s(config, {.mss = std::nullopt});
  s.established().write(2000).expect({seg().len(1220), seg().len(780)});
}

ENDPOINT_STORY(Options, PeerWithTinyMss_Floored,
               "the kernel's floor is that of its tcp_min_snd_mss") {
  Script s(plain(), {.mss = 1});
  s.established();
  EXPECT_EQ(s.endpoint().effective_mss(), 48);
}

STORY(Options, PeerWithALargerMss_OursCounts) {
  Script s(plain(), {.mss = 9000});
  s.established().write(3000).expect({seg().len(1460), seg().len(1460), seg().len(80)});
}

STORY(Options, PeerWithASmallerMss_ItsCounts) {
  Script s(plain(), {.mss = 1000});
  s.established().write(2500).expect({seg().len(1000), seg().len(1000), seg().len(500)});
}

STORY(Options, OursIsSmall_OfferedAndKept) {
  Config config = plain();
  config.mss = 1000;
  Script s(config);
  s.syn().expect({seg().flags("SA").mss(1000)});
  s.send(seg().ack(1)).write(2000).expect({seg().len(1000), seg().len(1000)});
}

STORY(Options, SynDoesNotPermitSack_TheAnswerDoesNot) {
  Config config = plain();
  config.offer_sack = true;
  Script s(config);
  s.syn().expect({seg().flags("SA").sack_permitted(false)});
}

STORY(Options, SynPermitsSack_TheAnswerDoes) {
  Config config = plain();
  config.offer_sack = true;
  Script s(config, {.sack = true});
  s.syn().expect({seg().flags("SA").sack_permitted(true)});
}

STORY(Options, SynSent_AnswerWithoutScale_WindowsAreNotShifted) {
  Config config = plain();
  config.offer_window_scale = true;
  Script s(config, {.window = 2920});
  s.connect().expect({seg().flags("S").any_scale()});
  s.send(seg().seq(0).flags("SA").ack(1)).expect({seg().flags("A")});
  s.write(5000).expect_stream(1, 2920);
}

STORY(Options, WindowOfTheSyn_NotShifted) {
  Config config = plain();
  config.offer_window_scale = true;
  Script s(config, {.scale = 7, .window = 2920});
  s.connect().expect({seg().flags("S").any_scale()});
  s.send(seg().seq(0).flags("SA").ack(1)).expect({seg().flags("A")});
  s.write(5000).expect_stream(1, 2920);
}

STORY(Options, BothScale_ThePeersWindowIsShifted) {
  Config config = plain();
  config.offer_window_scale = true;
  Script s(config, {.scale = 2, .window = 730});
  s.syn().swallow();
  s.send(seg().ack(1)).write(5000).expect_stream(1, 2920);
}

STORY(Options, PeerOffersNoScale_NoneInTheAnswer) {
  Config config = plain();
  config.offer_window_scale = true;
  Script s(config);
  s.syn().expect({seg().flags("SA").no_scale()});
}

ENDPOINT_STORY(Options, BothScale_WindowsAreShifted,
               "the kernel chooses scale and window by its memory") {
  Config config = plain();
  config.offer_window_scale = true;
  config.window_scale = 4;
  config.receive_buffer = config.receive_buffer_initial = 1 << 20;
  Script s(config, {.scale = 7, .window = 100});
  s.syn().expect({seg().flags("SA").scale(4).win(65535)});  // a SYN's window is never shifted
  s.send(seg().ack(1)).quiet();
  s.send(seg().len(10).win(20)).expect({seg().ack(11).win((1 << 20) / 16 - 1)});
  s.write(5000).expect({seg().len(1460)});  // 20 << 7 octets are allowed: one segment, no crumbs
}

STORY(Options, ScaleAbove14_ReadAs14) {
  Config config = plain();
  config.offer_window_scale = true;
  Script s(config, {.scale = 200, .window = 1});
  s.syn().expect({seg().flags("SA")});
  s.send(seg().ack(1)).write(20000);
  std::size_t total = 0;
  for (const auto& sent : s.take()) total += sent.data.size();
  EXPECT_EQ(total, 14600U);  // the initial congestion window; 1 << 14 octets were allowed
}

STORY(Options, Timestamps_OnEverySegmentAndOffTheMss) {
  Config config = plain();
  config.offer_timestamps = true;
  Script s(config, {.stamps = true});
  s.syn().expect({seg().flags("SA").stamps(0, 7000)});
  s.send(seg().ack(1))
      .write(1460)
      .expect({seg().len(1448).any_stamps(), seg().len(12).any_stamps()});
  EXPECT_EQ(s.effective_mss(), 1448);
}

STORY(Options, PeerWithoutTimestamps_NoneAreSent) {
  Config config = plain();
  config.offer_timestamps = true;
  Script s(config);
  s.syn().expect({seg().flags("SA").no_stamps()});
}

STORY(Options, Connect_TimestampsOffered_EchoIsZero) {
  Config config = plain();
  config.offer_timestamps = true;
  Script s(config, {.stamps = true});
  s.connect().expect({seg().flags("S").stamps(0, 0)});
  s.send(seg().seq(0).flags("SA").ack(1)).expect({seg().flags("A").stamps(0, 7000)});
}

}  // namespace
}  // namespace vtl::endpoint::script
