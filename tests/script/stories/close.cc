// Closing and resets: RFC 9293 sections 3.6 and 3.10.4 to 3.10.7; RFC 5961.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/script/script.h"

namespace vtl::endpoint::script {
namespace {

STORY(Close, Established_Shutdown_FinWait1) {
  Script s;
  s.established().shutdown().expect({seg().seq(1).ack(1).flags("FA").len(0)});
  s.state(State::kFinWait1);
  if (!s.kernel()) {
    EXPECT_EQ(s.endpoint().writable(), 0U);
  }
}

STORY(Close, Established_ShutdownAfterWrite_FinRidesOnTheLastData) {
  Script s;
  s.established().write("last").shutdown();
  s.kernel_differs("a socket's write leaves at once",
                   {seg().seq(1).data("last"), seg().seq(5).flags("FA").len(0)});
  s.expect({seg().seq(1).flags("FPA").data("last")});
  s.send(seg().ack(6)).quiet().state(State::kFinWait2);
  EXPECT_TRUE(s.all_acknowledged());
}

STORY(Close, FinWait1_AckOfDataOnly_Stays) {
  Script s;
  s.established().write("last").shutdown().swallow();
  s.send(seg().ack(5)).quiet().state(State::kFinWait1);
  EXPECT_FALSE(s.all_acknowledged());
}

STORY(Close, FinWait1_NoAck_FinAgain) {
  Script s;
  s.fin_wait_1();
  s.later(200, {seg().seq(1).flags("FA").len(0).again()});
}

STORY(Close, FinWait1_FinWithoutAckOfOurs_Closing) {
  Script s;
  s.closing();
  s.send(seg().ack(2)).quiet().state(State::kTimeWait);
}

STORY(Close, FinWait1_FinWithAckOfOurs_TimeWait) {
  Script s;
  s.fin_wait_1();
  s.send(seg().flags("FA").ack(2)).expect({seg().seq(2).ack(2).flags("A")});
  s.state(State::kTimeWait);
}

STORY(Close, FinWait1_Data_StillReceived) {
  Script s;
  s.fin_wait_1();
  s.send(seg().data("more").ack(1)).expect({ack(5)});
  EXPECT_EQ(s.unread(), "more");
}

ENDPOINT_STORY(Close, FinWait2_DataForLong_StillReceived, "the kernel's clock is real") {
  Script s;
  s.fin_wait_2();
  s.at(3600'000).send(seg().data("late").ack(2)).expect({ack(5)});
  EXPECT_EQ(s.unread(), "late");
  s.state(State::kFinWait2);
}

ENDPOINT_STORY(Close, FinWait2_Fin_TimeWaitThenClosedAfter2Msl, "the kernel's clock is real") {
  Script s;
  s.time_wait();
  EXPECT_FALSE(s.endpoint().finished());
  s.at(59'999).quiet().state(State::kTimeWait);
  s.at(60'000).quiet().state(State::kClosed).reason(EndReason::kNone);
  EXPECT_TRUE(s.endpoint().finished());
}

ENDPOINT_STORY(Close, TimeWait_FinAgain_AckAgainAndTheWaitBeginsAnew,
               "the kernel's clock is real") {
  Script s;
  s.time_wait().at(30'000);
  s.send(seg().seq(1).flags("FA").ack(2)).expect({seg().seq(2).ack(2).flags("A")});
  s.at(89'999).quiet().state(State::kTimeWait);
  s.at(90'000).quiet().state(State::kClosed);
}

STORY(Close, TimeWait_Reset_Closed) {
  Script s;
  s.time_wait();
  s.send(seg().seq(2).flags("R")).quiet().state(State::kClosed).reason(EndReason::kNone);
}

ENDPOINT_STORY(Close, TimeWait_UnreadText_StaysReadableAfterTheEnd, "the kernel's clock is real") {
  Script s;
  s.fin_wait_2();
  s.send(seg().data("rest").flags("FA").ack(2)).swallow();
  s.at(61'000).quiet().state(State::kClosed);
  EXPECT_FALSE(s.endpoint().finished());
  EXPECT_EQ(s.unread(), "rest");
  s.read_all();
  EXPECT_TRUE(s.endpoint().at_end());
  EXPECT_TRUE(s.endpoint().finished());
}

STORY(Close, Established_Fin_CloseWaitAndWritingGoesOn) {
  Script s;
  s.close_wait();
  s.write("answer").expect({seg().seq(1).ack(2).data("answer")});
  s.send(seg().seq(2).ack(7)).quiet().state(State::kCloseWait);
  EXPECT_TRUE(s.at_end());
}

STORY(Close, CloseWait_Shutdown_LastAckThenClosed) {
  Script s;
  s.last_ack();
  s.send(seg().ack(2)).quiet().state(State::kClosed).reason(EndReason::kNone);
  if (!s.kernel()) {
    EXPECT_TRUE(s.endpoint().finished());
  }
}

STORY(Close, LastAck_NoAck_FinAgain) {
  Script s;
  s.last_ack();
  s.later(200, {seg().seq(1).ack(2).flags("FA").again()});
}

STORY(Close, LastAck_FinAgain_Answered) {
  Script s;
  s.last_ack();
  s.send(seg().seq(1).flags("FA").ack(1)).expect({seg().seq(2).ack(2).flags("A")});
  s.state(State::kLastAck);
}

STORY(Close, Closing_FinAgain_Answered) {
  Script s;
  s.closing();
  s.send(seg().seq(1).flags("FA").ack(1)).expect({seg().seq(2).ack(2).flags("A")});
}

STORY(Close, ShutdownTwice_OneFin) {
  Script s;
  s.established().shutdown().shutdown().expect({seg().flags("FA")});
}

STORY(Close, WriteAfterShutdown_TakesNothing) {
  Script s;
  s.fin_wait_1();
  s.write_refused().quiet();
}

STORY(Close, WindowFull_FinWaitsForTheWindow) {
  Script s(plain(), {.window = 1000});
  s.flight(1000).shutdown().quiet().state(State::kFinWait1);
  s.send(seg().ack(1001).win(0)).quiet();
  s.send(seg().ack(1001).win(10)).expect({seg().seq(1001).flags("FA")});
}

STORY(Reset, Established_ExactSequence_Closed) {
  Script s;
  s.established().send(seg().data("kept")).swallow();
  s.send(seg().flags("R")).quiet().state(State::kClosed).reason(EndReason::kReset);
  EXPECT_EQ(s.unread(), "kept");
  if (!s.kernel()) {
    EXPECT_TRUE(s.endpoint().finished());
  }
}

STORY(Reset, Established_ElsewhereInTheWindow_Challenged) {
  Script s;
  s.established();
  s.send(seg().seq(2).flags("R")).expect({seg().seq(1).ack(1).flags("A").len(0)});
  s.state(State::kEstablished);
  if (!s.kernel()) {
    EXPECT_EQ(s.endpoint().stats().challenge_acks, 1U);
  }
}

STORY(Reset, Established_OutsideTheWindow_Dropped) {
  Script s;
  s.established();
  s.send(seg().seq(100'000).flags("R")).quiet().state(State::kEstablished);
}

STORY(Reset, EveryState_ExactSequence_Closed) {
  const auto closes = [](auto&& reach) {
    Script s;
    reach(s);
    const bool fin = s.at_end();
    s.send(seg().seq(fin ? 2 : 1).flags("R")).quiet().state(State::kClosed);
  };
  closes([](Script& s) { s.fin_wait_1(); });
  closes([](Script& s) { s.fin_wait_2(); });
  closes([](Script& s) { s.close_wait(); });
  closes([](Script& s) { s.closing(); });
  closes([](Script& s) { s.last_ack(); });
  closes([](Script& s) { s.time_wait(); });
}

STORY(Blind, Established_SynInTheWindow_Challenged) {
  Script s;
  s.established();
  s.send(seg().seq(100).flags("S")).expect({seg().seq(1).ack(1).flags("A")});
  s.state(State::kEstablished);
}

ENDPOINT_STORY(
    Blind, Established_SynFloodInTheWindow_ChallengedTenTimesASecond,
    "the kernel's limit is a setting of the namespace, off here so that stories do not meet") {
  Script s;
  s.established();
  std::size_t answers = 0;
  for (std::uint32_t i = 0; i < 1000; ++i) {
    s.send(seg().seq(100 + i).flags("S"));
    answers += s.take().size();
  }
  EXPECT_EQ(answers, 10U);
}

STORY(Blind, Established_AckOfWhatWasNeverSent_ChallengedAndTextDropped) {
  Script s;
  s.established();
  s.send(seg().data("inject").ack(2)).expect({seg().seq(1).ack(1).flags("A").len(0)});
  EXPECT_EQ(s.readable(), 0U);
}

STORY(Blind, Established_AckFarInThePast_ChallengedAndTextDropped) {
  Script s(plain(), {}, 1U << 31);
  s.established();
  s.send(seg().data("inject").ack(0U - 100'000U)).expect({seg().seq(1).ack(1).flags("A")});
  EXPECT_EQ(s.readable(), 0U);
}

STORY(Blind, Established_OldAckWithinTheLargestWindow_TextTaken) {
  Script s;
  s.flight(1000);
  s.send(seg().ack(1001)).quiet();
  s.send(seg().data("text").ack(1)).expect({ack(5)});
  EXPECT_EQ(s.unread(), "text");
}

STORY(Abort, Established_ResetAtOnceAndBuffersFreed) {
  Script s;
  s.flight(1000).send(seg().len(500).ack(1)).swallow();
  s.abort().expect({seg().seq(1001).ack(501).flags("RA").len(0)});
  s.state(State::kClosed).reason(EndReason::kAborted);
  if (!s.kernel()) {
    EXPECT_TRUE(s.endpoint().finished());
    EXPECT_LE(s.endpoint().memory(), 2048U);
  }
}

STORY(Abort, PeerShrankItsWindow_ResetInsideTheWindow) {
  Script s;
  s.flight(2000);
  s.send(seg().ack(501).win(100)).quiet();
  s.abort().expect({seg().seq(601).flags("RA")});
}

ENDPOINT_STORY(Abort, TimeWait_NothingIsSent,
               "the kernel keeps its TIME-WAIT when the program goes") {
  Script s;
  s.time_wait().abort().quiet().state(State::kClosed);
}

ENDPOINT_STORY(Abort, SynReceived_Reset, "the kernel's program knows of no connection yet") {
  Script s;
  s.syn().expect({seg().flags("SA")});
  s.abort().expect({seg().seq(1).ack(1).flags("RA")});
}

ENDPOINT_STORY(ResetFor, SegmentWithAck_ItsAckAsSequence, "a function, no connection") {
  Segment in;
  in.header.source = wire::Port(1);
  in.header.destination = wire::Port(2);
  in.header.seq = wire::SeqNum(10);
  in.header.ack = wire::SeqNum(77);
  in.header.flags.bits = wire::TcpFlags::kAck;
  const auto out = reset_for(in);
  ASSERT_TRUE(out.has_value());
  EXPECT_EQ(out->seq.value(), 77U);
  EXPECT_EQ(out->flags.bits, wire::TcpFlags::kRst);
  EXPECT_EQ(out->source, wire::Port(2));
  EXPECT_EQ(out->destination, wire::Port(1));
}

ENDPOINT_STORY(ResetFor, SegmentWithoutAck_AcknowledgesAllOfIt, "a function, no connection") {
  Segment in;
  const std::uint8_t text[3] = {1, 2, 3};
  in.header.seq = wire::SeqNum(10);
  in.header.flags.bits = wire::TcpFlags::kSyn | wire::TcpFlags::kFin;
  in.payload = text;
  const auto out = reset_for(in);
  ASSERT_TRUE(out.has_value());
  EXPECT_EQ(out->seq.value(), 0U);
  EXPECT_EQ(out->ack.value(), 15U);
  EXPECT_EQ(out->flags.bits, wire::TcpFlags::kRst | wire::TcpFlags::kAck);
}

ENDPOINT_STORY(ResetFor, Reset_NoAnswer, "a function, no connection") {
  Segment in;
  in.header.flags.bits = wire::TcpFlags::kRst;
  EXPECT_FALSE(reset_for(in).has_value());
}

STORY(Close, FinWait1_FinCrossesOursWithText_Closing) {
  Script s;
  s.established().write("ours").shutdown().swallow();
  s.send(seg().data("theirs").flags("FA").ack(1)).expect({seg().seq(6).ack(8).flags("A")});
  s.state(State::kClosing);
  EXPECT_EQ(s.unread(), "theirs");
  s.send(seg().ack(5)).quiet().state(State::kClosing);
  s.send(seg().ack(6)).quiet().state(State::kTimeWait);
}

STORY(Close, FinWait1_FinAndAckOfTextOnly_Closing) {
  Script s;
  s.established().write("ours").shutdown().swallow();
  s.send(seg().flags("FA").ack(5)).expect({seg().seq(6).ack(2).flags("A")});
  s.state(State::kClosing);
}

STORY(Close, FinWait2_FinBeyondAGap_Waits) {
  Script s;
  s.fin_wait_2().send(seg().seq(4).data("def").flags("FA").ack(2)).expect({ack(1)});
  s.state(State::kFinWait2);
  s.send(seg().seq(1).data("abc").ack(2)).expect({ack(8)});
  s.state(State::kTimeWait);
}

STORY(Close, FinWait1_TextBeforeAndBehindTheAckOfOurs_AllTaken) {
  Script s;
  s.fin_wait_1();
  s.send(seg().data("one").ack(1)).expect({ack(4)});
  s.send(seg().data("two").ack(2)).expect({ack(7)});
  s.state(State::kFinWait2);
  s.send(seg().data("three").flags("FA").ack(2)).expect({ack(13)});
  s.state(State::kTimeWait);
}

STORY(Close, CloseWait_TextOfOursLost_SentAgain) {
  Script s;
  s.close_wait().write("answer").expect({seg().seq(1).data("answer")});
  s.later(200, {seg().seq(1).data("answer").again()});
  s.send(seg().seq(2).ack(7)).quiet().state(State::kCloseWait);
}

STORY(Close, LastAck_AckOfTextOnly_Stays) {
  Script s;
  s.close_wait().write("rest").shutdown().swallow();
  s.send(seg().seq(2).ack(5)).quiet().state(State::kLastAck);
  s.send(seg().seq(2).ack(6)).quiet().state(State::kClosed).reason(EndReason::kNone);
}

STORY(Close, UnsentTextAtShutdown_AllOfItThenTheFin) {
  Script s(plain(), {.window = 2920});
  s.established().write(5000).expect_stream(1, 2920);
  s.shutdown().quiet().state(State::kFinWait1);
  s.send(seg().ack(2921)).swallow();
  s.send(seg().ack(5002)).quiet().state(State::kFinWait2);
}

STORY(Close, ReaderHasNotReadAll_TheFinIsAcknowledgedAllTheSame) {
  Script s;
  s.established().send(seg().data("unread")).swallow();
  s.send(seg().flags("FA")).expect({ack(8)});
  EXPECT_FALSE(s.at_end());
  s.read_all();
  EXPECT_TRUE(s.at_end());
}

STORY(Close, FinWait1_FinLostAndTextToo_BothGoAgain) {
  Script s;
  s.established().write("last").shutdown().swallow();
  s.later(200, {seg().seq(1).data("last").flags("FA").again()});
}

STORY(Close, FinWait1_WindowShut_FinWaits) {
  Script s;
  s.flight(1000).send(seg().ack(1001).len(10).win(0)).swallow();
  s.shutdown().quiet().state(State::kFinWait1);
  s.send(seg().ack(1001).win(5000)).expect({seg().seq(1001).flags("FA")});
}

STORY(Close, BothShutDownAndAllIsRead_NobodyIsLeft) {
  Script s;
  s.established().write("a").expect({seg().data("a")});
  s.send(seg().data("b").flags("FA").ack(2)).expect({seg().seq(2).ack(3)});
  s.read_all();
  EXPECT_TRUE(s.at_end());
  s.shutdown().expect({seg().seq(2).ack(3).flags("FA")});
  s.send(seg().seq(3).ack(3)).quiet().state(State::kClosed).reason(EndReason::kNone);
}

STORY(Reset, CloseWait_TextAcknowledgedBefore_StaysReadable) {
  Script s;
  s.established().send(seg().data("kept")).swallow();
  s.send(seg().flags("FA")).swallow();
  s.send(seg().seq(6).flags("R")).quiet().state(State::kClosed);
  EXPECT_EQ(s.unread(), "kept");
}

STORY(Abort, LastAck_TheRestIsNotAcknowledged_Reset) {
  Script s;
  s.close_wait().write("rest").shutdown().swallow();
  s.kernel_differs("RFC 9293 section 3.10.5 asks for none; the peer would never learn of its loss",
                   nothing());
  s.abort().expect({seg().seq(6).flags("RA")});
}

STORY(Abort, CloseWait_Reset) {
  Script s;
  s.close_wait().abort().expect({seg().seq(1).ack(2).flags("RA")});
  s.state(State::kClosed);
}

STORY(Abort, FinWait1_Reset) {
  Script s;
  s.fin_wait_1().abort().expect({seg().seq(2).flags("RA")});
  s.state(State::kClosed);
}

}  // namespace
}  // namespace vtl::endpoint::script
