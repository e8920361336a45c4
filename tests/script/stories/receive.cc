// Receiving: acceptability, reassembly, acknowledging, the receive window. RFC 9293 sections
// 3.10.7.4, 3.8.6.2.2 and 3.8.6.3; RFC 5681 section 4.2, RFC 7323 section 2.4.
#include <gtest/gtest.h>

#include <string>

#include "tests/script/script.h"

namespace vtl::endpoint::script {
namespace {

// The quick acknowledgements of a connection's start are over.
Script& warmed_up(Script& s) {
  s.established();
  for (int i = 0; i < 16; ++i) s.send(seg().len(100)).swallow();
  s.read_all().swallow();
  return s;
}
constexpr std::uint32_t kWarm = 1601;  // the peer's next sequence number after warmed_up()

STORY(Text, Established_Data_ReadableAndAcknowledged) {
  Script s;
  s.established();
  s.send(seg().data("hello")).expect({seg().seq(1).ack(6).flags("A").len(0)});
  EXPECT_EQ(s.unread(), "hello");
  if (!s.kernel()) {
    EXPECT_EQ(s.endpoint().stats().bytes_in, 5U);
  }
}

STORY(Text, Established_SegmentWithoutAck_Dropped) {
  Script s;
  s.established();
  s.send(seg().data("x").flags("P")).quiet();
  EXPECT_EQ(s.readable(), 0U);
}

STORY(Text, Established_DuplicateSegment_AcknowledgedAtOnceAndNotReadTwice) {
  Script s;
  s.established();
  s.send(seg().data("hello")).swallow();
  s.send(seg().seq(1).data("hello")).expect({ack(6)});
  EXPECT_EQ(s.unread(), "hello");
  if (!s.kernel()) {
    EXPECT_EQ(s.endpoint().stats().duplicates, 1U);
  }
}

STORY(Text, Established_OverlapWithOldText_OnlyTheNewIsTaken) {
  Script s;
  s.established();
  s.send(seg().data("hello")).swallow();
  s.send(seg().seq(3).data("llo world")).expect({ack(12)});
  EXPECT_EQ(s.unread(), "hello world");
}

STORY(Text, Established_UrgentData_StaysInBand) {
  Script s;
  s.established();
  s.send(seg().data("urgent").flags("AU")).expect({ack(7)});
  EXPECT_EQ(s.unread(), "urgent");
}

ENDPOINT_STORY(Text, Established_BeyondTheWindow_OnlyWhatFitsIsTaken,
               "of the size of the buffer; the kernel counts its overhead") {
  Config config = plain();
  config.receive_buffer = 1000;
  Script s(config);
  s.established();
  s.send(seg().len(1500)).expect({ack(1001).win(0)});
  EXPECT_EQ(s.endpoint().readable(), 1000U);
}

STORY(Text, CloseWait_DataAfterTheFin_NotTaken) {
  Script s;
  s.close_wait();
  s.kernel_differs("what follows a FIN is dropped without a word", nothing());
  s.send(seg().data("late")).expect({ack(2)});
  EXPECT_EQ(s.readable(), 0U);
  s.state(State::kCloseWait);
}

STORY(Reassembly, Gap_DuplicateAckAtOnce) {
  Script s;
  s.established();
  s.send(seg().seq(6).data("world")).expect({ack(1)});
  EXPECT_EQ(s.readable(), 0U);
  if (!s.kernel()) {
    EXPECT_EQ(s.endpoint().stats().out_of_order, 1U);
  }
}

STORY(Reassembly, GapFilled_AllIsReadableAndAcknowledgedAtOnce) {
  Script s;
  warmed_up(s);
  s.send(seg().seq(kWarm + 5).data("world")).expect({ack(kWarm)});
  s.send(seg().seq(kWarm).data("hello")).expect({ack(kWarm + 10)});
  EXPECT_EQ(s.unread(), "helloworld");
}

STORY(Reassembly, GapPartlyFilled_AcknowledgedAtOnce) {
  Script s;
  warmed_up(s);
  s.send(seg().seq(kWarm + 4).data("ef")).expect({ack(kWarm)});
  s.send(seg().seq(kWarm).data("ab")).expect({ack(kWarm + 2)});
  s.send(seg().seq(kWarm + 2).data("cd")).expect({ack(kWarm + 6)});
  EXPECT_EQ(s.unread(), "abcdef");
}

STORY(Reassembly, OverlappingPieces_FirstOctetsInOrder) {
  Script s;
  s.established();
  s.send(seg().seq(3).data("cdef")).expect({ack(1)});
  s.send(seg().seq(5).data("efgh")).expect({ack(1)});
  s.send(seg().seq(9).data("ij")).expect({ack(1)});
  s.send(seg().seq(1).data("abcd")).expect({ack(11)});
  EXPECT_EQ(s.unread(), "abcdefghij");
}

ENDPOINT_STORY(Reassembly, SuperFrameBeyondAGap_AsManyDuplicateAcksAsItsPartsWouldHaveCaused,
               "a super-frame on arrival") {
  Script s;
  s.established();
  s.send(seg().seq(1461).len(14600).pieces(10)).expect({ack(1), ack(1), ack(1)});
  s.send(seg().seq(16061).len(2920).pieces(2)).expect({ack(1), ack(1)});
  s.send(seg().seq(1).len(1460)).expect({ack(18981)});
}

ENDPOINT_STORY(Reassembly, MoreThan256Pieces_TheFarthestIsForgottenAndMemoryIsBounded,
               "a bound of the endpoint's") {
  Config config = plain();
  config.receive_buffer = 65535;
  Script s(config);
  s.established();
  for (std::uint32_t i = 0; i < 1000; ++i) {
    s.send(seg().seq(2 + 2 * (999 - i)).data("x")).expect({ack(1)});  // from the far end inward
  }
  EXPECT_LE(s.endpoint().memory(), 65535 + 2 * ChunkPool::kChunk + 8192);
  // The nearest pieces are there: each octet that fills a gap yields two.
  s.send(seg().seq(1).data("y")).expect({ack(3)});
  s.send(seg().seq(3).data("y")).expect({ack(5)});
}

STORY(Reassembly, FinBeyondAGap_CountsOnlyWhenTheGapIsFilled) {
  Script s;
  s.established();
  s.send(seg().seq(4).data("def").flags("FA")).expect({ack(1)});
  s.state(State::kEstablished);
  EXPECT_FALSE(s.at_end());
  s.send(seg().seq(1).data("abc")).expect({ack(8)});
  s.state(State::kCloseWait);
  EXPECT_EQ(s.unread(), "abcdef");
}

STORY(Reassembly, TextBeyondAKnownFin_NotTaken) {
  Script s;
  s.established();
  s.send(seg().seq(4).flags("FA")).expect({ack(1)});
  s.kernel_differs("it stores no FIN without text", {ack(7)});
  s.send(seg().seq(1).data("abcdef")).expect({ack(5)});
  EXPECT_EQ(s.unread(), s.kernel() ? "abcdef" : "abc");
  s.kernel_differs("it stores no FIN without text", State::kEstablished).state(State::kCloseWait);
}

STORY(Reassembly, GapWhileDataWaitsToGo_DuplicateAckComesWithoutData) {
  Script s;
  s.established().write("answer");
  s.kernel_differs("a socket's write leaves at once",
                   {seg().seq(1).data("answer").ack(1), ack(1).len(0)});
  s.send(seg().seq(6).data("world").ack(1))
      .expect({ack(1).len(0), seg().seq(1).data("answer").ack(1)});
}

STORY(Acknowledging, First16Segments_AtOnce) {
  Script s;
  s.established();
  for (std::uint32_t i = 0; i < 16; ++i) s.send(seg().len(10)).expect({ack(11 + 10 * i)});
  s.send(seg().len(10)).quiet();
}

STORY(Acknowledging, SmallSegment_DelayedBy40ms) {
  Script s;
  warmed_up(s);
  s.send(seg().data("x")).quiet().later(40, {ack(kWarm + 1)});
}

// As warmed_up(), by full segments: what a full one is the kernel has learned of them.
STORY(Acknowledging, SecondFullSegment_AtOnce) {
  Script s;
  s.established();
  for (int i = 0; i < 40; ++i) s.send(seg().len(1460)).read_all().swallow();
  s.after(60).swallow();
  constexpr std::uint32_t kNext = 1 + 40 * 1460;
  s.send(seg().len(1460)).quiet();
  s.send(seg().len(1460)).expect({ack(kNext + 2920)});
  s.after(100).quiet();
}

STORY(Acknowledging, FullSegmentAlone_Delayed) {
  Script s;
  s.established();
  for (int i = 0; i < 40; ++i) s.send(seg().len(1460)).read_all().swallow();
  s.after(60).swallow();
  s.send(seg().len(1460)).quiet().later(40, {ack(1 + 41 * 1460)});
}

ENDPOINT_STORY(Acknowledging, SuperFrame_OneAckAtOnce, "a super-frame on arrival") {
  Script s;
  warmed_up(s);
  s.send(seg().len(29200).pieces(20)).expect({ack(kWarm + 29200)});
}

STORY(Acknowledging, DelayedAck_RidesOnData) {
  Script s;
  warmed_up(s);
  s.send(seg().data("x")).quiet();
  s.write("y").expect({seg().ack(kWarm + 1).data("y")});
  s.send(seg().ack(2)).at(100).quiet();
}

ENDPOINT_STORY(Acknowledging, DelayBeyondHalfASecondAskedFor_NotGiven,
               "a setting of the endpoint") {
  Config config = plain();
  config.delayed_ack = 2s;
  Script s(config);
  warmed_up(s);
  s.send(seg().data("x")).quiet();
  EXPECT_LT(s.until_sent(5000), 500);
  s.expect({ack(kWarm + 1)});
}

STORY(Acknowledging, Fin_AtOnce) {
  Script s;
  warmed_up(s);
  s.send(seg().flags("FA")).expect({ack(kWarm + 1)});
}

ENDPOINT_STORY(Window, ReaderStalls_WindowClosesAndNeverMovesLeft,
               "of the size of the buffer; the kernel counts its overhead") {
  Config config = plain();
  config.receive_buffer = 4000;
  Script s(config);
  s.established();
  s.send(seg().len(1460)).expect({ack(1461).win(2540)});
  s.send(seg().len(1460)).expect({ack(2921).win(1080)});
  s.send(seg().len(1080)).expect({ack(4001).win(0)});
}

ENDPOINT_STORY(Window, ReaderTakesALittle_NoSillyWindow,
               "of the size of the buffer; the kernel counts its overhead") {
  Config config = plain();
  config.receive_buffer = 4000;
  Script s(config);
  s.established();
  s.send(seg().len(4000)).expect({ack(4001).win(0)});
  s.read(100).quiet();
  s.send(seg().seq(4001).len(1)).expect({ack(4001).win(0)});  // a probe
  s.read(1359).quiet();
  s.read(1).expect({ack(4001).win(1460)});  // a full segment
}

ENDPOINT_STORY(Window, SmallBuffer_HalfOfItIsEnoughForAnUpdate,
               "of the size of the buffer; the kernel counts its overhead") {
  Config config = plain();
  config.receive_buffer = 1000;
  Script s(config);
  s.established();
  s.send(seg().len(1000)).expect({ack(1001).win(0)});
  s.read(499).quiet();
  s.read(1).expect({ack(1001).win(500)});
}

ENDPOINT_STORY(Window, ReaderFollows_UpdatesRideOnAcknowledgements, "a super-frame on arrival") {
  Script s;
  warmed_up(s);
  for (std::uint32_t i = 1; i <= 20; ++i) {
    s.send(seg().len(2920).pieces(2)).read_all().expect({ack(kWarm + 2920 * i).win(65535)});
  }
}

ENDPOINT_STORY(Window, ProbeOfAClosedWindow_AnsweredAndNotTaken, "the kernel's clock is real") {
  Config config = plain();
  config.receive_buffer = 1000;
  Script s(config);
  s.established();
  s.send(seg().len(1000)).expect({ack(1001).win(0)});
  for (int i = 0; i < 30; ++i) {
    s.after(1000).send(seg().seq(1001).data("p")).expect({ack(1001).win(0)});
  }
  EXPECT_EQ(s.endpoint().readable(), 1000U);
}

ENDPOINT_STORY(Window, AckOnAProbeOfAClosedWindow_Counts,
               "of the size of the buffer; the kernel counts its overhead") {
  Config config = plain();
  config.receive_buffer = 1000;
  Script s(config);
  s.established();
  s.write("data").swallow();
  s.send(seg().len(1000).ack(1)).expect({ack(1001).win(0)});
  s.send(seg().seq(1001).data("p").ack(5)).expect({ack(1001).win(0)});
  EXPECT_TRUE(s.endpoint().all_acknowledged());
}

// A peer that probed our window does not count its octet as sent. When it was taken all the same,
// what the peer says is older than what we have; were its acknowledgements not heard, two ends that
// both probed would never come together again.
STORY(Window, ProbeThatWasTakenComesAgain_ItsAckCounts) {
  Script s(plain(), {.window = 100});
  s.established().write(200).expect_stream(1, 100);
  s.send(seg().seq(1).len(1).ack(1)).expect({ack(2)});
  s.send(seg().seq(1).len(1).ack(101)).expect_stream(101, 100);
}

ENDPOINT_STORY(Window, FinAtAClosedWindow_Taken,
               "of the size of the buffer; the kernel counts its overhead") {
  Config config = plain();
  config.receive_buffer = 1000;
  Script s(config);
  s.established();
  s.send(seg().len(1000)).expect({ack(1001).win(0)});
  s.send(seg().flags("FA")).expect({ack(1002).win(0)});
  s.state(State::kCloseWait);
}

ENDPOINT_STORY(Window, Scaled_PromiseThatDoesNotDivideIsKept,
               "of the size of the buffer; the kernel counts its overhead") {
  Config config = plain();
  config.offer_window_scale = true;
  config.window_scale = 7;
  config.receive_buffer = 100000;
  Script s(config, {.scale = 7, .window = 1000});
  s.syn().expect({seg().flags("SA")});
  s.send(seg().ack(1)).quiet();
  s.send(seg().len(1)).expect({ack(2).win(99999 / 128)});
  std::uint32_t edge = 2 + 99999 / 128 * 128;
  std::uint32_t next = 2;
  // Nobody reads: all that was ever promised is taken, and not one octet is promised twice.
  while (next < edge) {
    const std::uint32_t n = std::min<std::uint32_t>(1001, edge - next);
    s.send(seg().seq(next).len(n));
    next += n;
    const auto sent = s.take();
    ASSERT_GE(sent.size(), 0U);
    if (!sent.empty()) {
      EXPECT_LE(next + sent.back().header.window * 128U, 1 + 100000U);
    }
  }
  EXPECT_EQ(s.endpoint().readable(), next - 1);
}

ENDPOINT_STORY(Window, PoolSpent_WindowShutAndNothingIsLost, "the pool is VTL's") {
  ChunkPool pool(4 * ChunkPool::kChunk);
  Config config = plain();
  config.pool = &pool;
  Script s(config);
  s.established();
  ByteQueue hog(&pool);
  const std::string junk(3 * ChunkPool::kChunk, 'j');
  hog.append(Bytes(reinterpret_cast<const std::uint8_t*>(junk.data()), junk.size()));
  s.send(seg().len(1000)).swallow();
  for (int i = 0; i < 60; ++i) s.send(seg().len(1000)).swallow();
  EXPECT_EQ(s.endpoint().readable(), ChunkPool::kChunk);
  s.send(seg().seq(30000).len(10)).expect({ack(1 + ChunkPool::kChunk)});
  hog.clear();
  s.send(seg().seq(1 + ChunkPool::kChunk).len(2000).pieces(2))
      .expect({ack(2001 + ChunkPool::kChunk)});
}

STORY(Acceptable, TextBeyondTheWindow_AnsweredAndDropped) {
  Script s;
  s.established();
  s.send(seg().seq(200000).data("far")).expect({ack(1)});
  if (!s.kernel()) {
    EXPECT_EQ(s.endpoint().stats().out_of_window, 1U);
  }
}

STORY(Acceptable, KeepAliveOfThePeer_Answered) {
  Script s;
  warmed_up(s);
  s.send(seg().seq(kWarm - 1)).expect({ack(kWarm)});
  s.send(seg().seq(kWarm - 1).data("?")).expect({ack(kWarm)});
}

STORY(Acceptable, AckOvertakenByData_NotAnswered) {
  Script s;
  warmed_up(s);
  s.send(seg().len(100)).quiet();
  s.send(seg().seq(kWarm)).quiet();  // sent before the data, arrives after it
}

ENDPOINT_STORY(
    Acceptable, StrayAcksInALoop_AnsweredTenTimesASecond,
    "the kernel's limit is a setting of the namespace, off here so that stories do not meet") {
  Script s;
  s.established();
  for (int i = 0; i < 100; ++i) s.send(seg().seq(500000));
  int answers = 0;
  for (int i = 0; i < 100; ++i) {
    s.send(seg().seq(500000));
    answers += static_cast<int>(s.take().size());
  }
  EXPECT_LE(answers, 10);
  s.after(1000).send(seg().seq(500000)).expect({ack(1)});
}

}  // namespace
}  // namespace vtl::endpoint::script
