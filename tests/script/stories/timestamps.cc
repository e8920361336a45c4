// Timestamps and what they guard against: RFC 7323 sections 3 to 5.
#include <gtest/gtest.h>

#include "tests/script/script.h"

namespace vtl::endpoint::script {
namespace {

Config stamped() {
  Config config = plain();
  config.offer_timestamps = true;
  return config;
}

STORY(Paws, OlderTimestamp_DroppedAndAnswered) {
  Script s(stamped(), {.stamps = true});
  s.established();
  s.send(seg().data("old").stamps(6000, 0)).expect({ack(1)});
  EXPECT_EQ(s.readable(), 0U);
  if (!s.kernel()) {
    EXPECT_EQ(s.endpoint().stats().paws_drops, 1U);
  }
}

STORY(Paws, TimestampWrapsPast2To31_Taken) {
  Script s(stamped(), {.stamps = true});
  s.established();
  s.send(seg().data("a").stamps(0x7fffffff, 0)).expect({ack(2).stamps(0, 0x7fffffff)});
  s.send(seg().data("b").stamps(0xfffffffe, 0)).expect({ack(3).stamps(0, 0xfffffffe)});
  s.send(seg().data("c").stamps(5, 0)).expect({ack(4).stamps(0, 5)});
  EXPECT_EQ(s.unread(), "abc");
}

STORY(Paws, ResetWithOlderTimestamp_StillResets) {
  Script s(stamped(), {.stamps = true});
  s.established();
  s.send(seg().flags("R").stamps(1, 0)).quiet().state(State::kClosed).reason(EndReason::kReset);
}

ENDPOINT_STORY(Paws, Idle24Days_OlderTimestampTaken, "the kernel's clock is real") {
  Script s(stamped(), {.stamps = true});
  s.established();
  s.at(25.0 * 24 * 3600 * 1000);
  s.send(seg().data("x").stamps(100, 0)).expect({ack(2).stamps(0, 100)});
  EXPECT_EQ(s.unread(), "x");
}

STORY(Paws, SegmentWithoutTimestamp_Taken) {
  Script s(stamped(), {.stamps = true});
  s.established();
  s.send(seg().data("x").no_stamps()).expect({ack(2).any_stamps()});
}

STORY(Timestamps, OutOfOrderSegment_EchoStaysThatOfTheLastInOrder) {
  Script s(stamped(), {.stamps = true});
  s.established();
  s.send(seg().data("ab").stamps(8000, 0)).expect({ack(3).stamps(0, 8000)});
  s.send(seg().seq(5).data("ef").stamps(8010, 0)).expect({ack(3).stamps(0, 8000)});
  s.send(seg().seq(3).data("cd").stamps(8005, 0)).expect({ack(7).stamps(0, 8005)});
}

ENDPOINT_STORY(Timestamps, DelayedAck_EchoesTheFirstUnacknowledged,
               "the kernel's idea of a full segment is still of the small ones before") {
  Script s(stamped(), {.stamps = true});
  s.established();
  for (int i = 0; i < 16; ++i) s.send(seg().len(100).stamps(8000, 0)).swallow();
  s.send(seg().len(1448).stamps(8100, 0)).quiet();
  s.send(seg().len(1448).stamps(8200, 0)).expect({seg().stamps(0, 8100)});
}

// Two ends that each hold the other's timestamps for old would answer one another for ever.
ENDPOINT_STORY(
    Paws, OlderAcksInALoop_AnsweredTenTimesASecond,
    "the kernel's limit is a setting of the namespace, off here so that stories do not meet") {
  Script s(stamped(), {.stamps = true});
  s.established();
  std::size_t answers = 0;
  for (int i = 0; i < 100; ++i) {
    s.send(seg().stamps(6000, 0));
    answers += s.take().size();
  }
  EXPECT_EQ(answers, 10U);
  s.send(seg().data("old").stamps(6000, 0)).expect({ack(1)});
}

// The peer's clock stands still between two segments.
STORY(Paws, TheSameTimestampAgain_Taken) {
  Script s(stamped(), {.stamps = true});
  s.established();
  s.send(seg().data("a").stamps(9000, 0)).expect({ack(2)});
  s.send(seg().data("b").stamps(9000, 0)).expect({ack(3)});
  EXPECT_EQ(s.unread(), "ab");
}

STORY(Paws, OlderTimestampOnAFin_NotTaken) {
  Script s(stamped(), {.stamps = true});
  s.established();
  s.send(seg().flags("FA").stamps(6000, 0)).expect({ack(1)});
  s.state(State::kEstablished);
}

STORY(Paws, OlderTimestampOnASyn_Answered) {
  Script s(stamped(), {.stamps = true});
  s.established();
  s.send(seg().seq(100).flags("S").stamps(6000, 0)).expect({seg().seq(1).ack(1).flags("A")});
  s.state(State::kEstablished);
}

STORY(Paws, FinWait2_OlderTimestamp_DroppedAndAnswered) {
  Script s(stamped(), {.stamps = true});
  s.fin_wait_2().send(seg().data("old").stamps(6000, 0)).expect({seg().seq(2).ack(1)});
  EXPECT_EQ(s.readable(), 0U);
}

STORY(Paws, TimestampOfASegmentBeyondTheGap_NoneOfTheOthersIsOld) {
  Script s(stamped(), {.stamps = true});
  s.established();
  s.send(seg().seq(5).data("ef").stamps(9000, 0)).expect({ack(1)});
  s.send(seg().seq(1).data("abcd").stamps(8000, 0)).expect({ack(7)});
  EXPECT_EQ(s.unread(), "abcdef");
}

STORY(Timestamps, AdvertisedAlwaysOnceAgreed) {
  Script s(stamped(), {.stamps = true});
  s.established().write("data").expect({seg().any_stamps()});
  s.send(seg().len(10)).expect({seg().len(0).any_stamps()});
  s.shutdown().expect({seg().flags("FA").any_stamps()});
}

STORY(Timestamps, Established_TheHandshakesLastIsEchoed) {
  Script s(stamped(), {.stamps = true});
  s.syn().swallow().send(seg().ack(1).stamps(7777, 0)).quiet();
  s.write("data").expect({seg().stamps(0, 7777)});
}

// Section 5.3, R2: what lies below the window is not looked at any more.
STORY(Timestamps, SynAgain_TheFirstOnesTimestampIsEchoed) {
  Script s(stamped(), {.stamps = true});
  s.syn().expect({seg().flags("SA").stamps(0, 7000)});
  s.send(seg().seq(0).flags("S").stamps(8000, 0)).expect({seg().flags("SA").stamps(0, 7000)});
}

// Before it was answered a SYN that comes again is as good as the first, and its peer measures the
// round trip by the echo.
ENDPOINT_STORY(HeldSyn, Held_SynAgain_ItsTimestampIsEchoed,
               "no program can hold a SYN of the kernel's") {
  Script s(stamped(), {.stamps = true});
  s.syn(true).at(1000).send(seg().seq(0).flags("S").stamps(8000, 0)).quiet();
  s.at(3000).send(seg().seq(0).flags("S").stamps(10'000, 0)).quiet();
  s.send(seg().seq(0).flags("S").stamps(8000, 0)).quiet();  // late
  s.at(3100).endpoint().accept(s.now());
  s.expect({seg().flags("SA").stamps(0, 10'000)});
}

STORY(Timestamps, TimeWaitFinAgain_EchoStays) {
  Script s(stamped(), {.stamps = true});
  s.fin_wait_2().send(seg().flags("FA").ack(2).stamps(9000, 0)).expect({ack(2).stamps(0, 9000)});
  s.send(seg().seq(1).flags("FA").ack(2).stamps(9500, 0)).expect({ack(2).stamps(0, 9000)});
}

STORY(Timestamps, AckWithoutText_ItsTimestampIsEchoed) {
  Script s(stamped(), {.stamps = true});
  s.flight(100).send(seg().ack(101).stamps(9000, 0)).quiet();
  s.write("next").expect({seg().stamps(0, 9000)});
}

STORY(Timestamps, OldSegmentAgain_EchoStays) {
  Script s(stamped(), {.stamps = true});
  s.established();
  s.send(seg().data("ab").stamps(8000, 0)).expect({ack(3).stamps(0, 8000)});
  s.send(seg().data("cd").stamps(8100, 0)).expect({ack(5).stamps(0, 8100)});
  // Late, not again: its own timestamp is older than what is known.
  s.send(seg().seq(1).data("ab").stamps(8000, 0)).expect({ack(5).stamps(0, 8100)});
}

STORY(Timestamps, SegmentSentAgain_ItsTimestampIsNew) {
  Script s(stamped(), {.stamps = true});
  s.established().write(100);
  const auto first = s.take();
  ASSERT_EQ(first.size(), 1U);
  s.until_sent(5000);
  const auto again = s.take();
  ASSERT_EQ(again.size(), 1U);
  EXPECT_GE(again[0].header.options.timestamps->value,
            first[0].header.options.timestamps->value + 180);
}

STORY(Timestamps, PeersSynHadNone_ThoseOfLaterSegmentsMeanNothing) {
  Script s(stamped());
  s.established();
  s.send(seg().data("a").stamps(9000, 0)).expect({ack(2).no_stamps()});
  s.send(seg().data("b").stamps(5, 0)).expect({ack(3).no_stamps()});
}

STORY(Timestamps, NotOffered_TheAnswerHasNone) {
  Script s(plain(), {.stamps = true});
  s.syn().expect({seg().flags("SA").no_stamps()});
  s.send(seg().ack(1)).write("x").expect({seg().no_stamps()});
}

STORY(Timestamps, ActivelyOpened_EchoedAndGuarded) {
  Script s(stamped(), {.stamps = true});
  s.established(true);
  s.send(seg().data("a").stamps(9000, 0)).expect({ack(2).stamps(0, 9000)});
  s.send(seg().data("old").stamps(8000, 0)).expect({ack(2).stamps(0, 9000)});
  EXPECT_EQ(s.unread(), "a");
  EXPECT_EQ(s.effective_mss(), 1448);
}

STORY(Timestamps, SynSent_AnswerWithout_NoneAreSent) {
  Script s(stamped());
  s.connect().expect({seg().flags("S").any_stamps()});
  s.send(seg().seq(0).flags("SA").ack(1)).expect({seg().flags("A").no_stamps()});
  EXPECT_EQ(s.effective_mss(), 1460);
}

}  // namespace
}  // namespace vtl::endpoint::script
