// Sending: the peer's window, silly windows, Nagle, super-frames, the congestion window. RFC 9293
// sections 3.7.4, 3.8.6; RFC 5681 section 3.1; RFC 6928.
#include <gtest/gtest.h>

#include "tests/script/script.h"

namespace vtl::endpoint::script {
namespace {

Config supers() {
  Config config = plain();
  config.max_super_frame = 65000;
  return config;
}

STORY(Send, Established_Write_SentAtOnceWithPush) {
  Script s;
  s.established().write("hello").expect({seg().seq(1).ack(1).flags("PA").data("hello").fresh()});
  if (!s.kernel()) {
    EXPECT_EQ(s.endpoint().stats().bytes_out, 5U);
  }
}

STORY(Send, MoreThanASegment_CutAtTheMssAndPushOnTheLast) {
  Script s;
  s.established().write(3000).expect({seg().seq(1).len(1460).flags("A"),
                                      seg().seq(1461).len(1460).flags("A"),
                                      seg().seq(2921).len(80).flags("PA")});
}

STORY(Send, InitialWindow_TenSegments) {
  Script s;
  s.established().write(20000);
  EXPECT_EQ(s.take().size(), 10U);
}

ENDPOINT_STORY(Send, SuperFrame_OneSegmentToBeCutAtTheMss, "a super-frame") {
  Script s(supers());
  s.established().write(10000);
  const auto sent = s.take();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].data.size(), 10000U);
  EXPECT_EQ(sent[0].segment_size, 1460);
  EXPECT_EQ(s.endpoint().stats().segments_out, 1U + 7U);  // SYN,ACK and seven on the wire
}

ENDPOINT_STORY(Send, SuperFrame_NotTheWholeQueue_WholeSegmentsOnly, "a super-frame") {
  Script s(supers());
  s.established().write(20000).expect({seg().seq(1).len(14600)});
}

STORY(Send, SlowStart_WindowGrowsByWhatIsAcknowledged) {
  Script s(supers());
  s.established().write(60000).expect_stream(1, 14600);
  s.send(seg().ack(14601)).expect_stream(14601, 29200);
}

STORY(Send, SlowStart_AppLimited_WindowDoesNotGrow) {
  Script s(supers());
  s.established();
  std::uint32_t next = 1;
  for (int i = 0; i < 20; ++i) {
    s.write(100).expect({seg().len(100)});
    s.send(seg().ack(next += 100)).quiet();
  }
  s.write(30000).expect_stream(next, 14600);
}

ENDPOINT_STORY(Send, IdleLongerThanTheTimeout_InitialWindowAgain, "the kernel's clock is real") {
  Script s(supers());
  s.established().write(43800).expect({seg().len(14600)});
  s.at(10).send(seg().ack(14601)).expect({seg().len(29200)});
  s.at(20).send(seg().ack(43801)).quiet();
  s.at(10'000).write(43800).expect({seg().seq(43801).len(14600)});
}

STORY(Send, PeersWindow_NeverExceeded) {
  Script s(supers(), {.window = 5000});
  s.established().write(8000).expect_stream(1, 4380);
}

STORY(Send, PeersWindowEdgeMovesRight_TheRestFollows) {
  Script s(supers(), {.window = 2920});
  s.established().write(8000).expect_stream(1, 2920);
  s.send(seg().ack(2921)).expect_stream(2921, 2920);
  s.send(seg().ack(5841)).expect_stream(5841, 2160);
}

STORY(Send, OldWindowUpdateArrivesLate_Ignored) {
  Script s(supers(), {.window = 2920});
  s.established().write(8000).expect_stream(1, 2920);
  s.send(seg().ack(2921).win(0)).quiet();
  s.send(seg().ack(1).win(60000)).quiet();
}

STORY(Send, RetransmissionOfThePeerWithANewAck_BringsItsOwnWindow) {
  Script s(supers(), {.window = 2920});
  s.established();
  s.send(seg().len(100)).swallow();
  s.send(seg().len(100)).swallow();
  s.write(8000).expect_stream(1, 2920);
  s.send(seg().seq(1).len(100).ack(1461).win(1460)).swallow();
  // SND.WL1 is at 101, the segment at 1: its window still is the one that goes with its ACK.
  s.send(seg().seq(201).ack(1461).win(1460)).quiet();
}

STORY(SillyWindow, SmallOpening_NotUsedWhileMoreWaits) {
  Script s(plain(), {.window = 1460});
  s.established().write(4000).expect_stream(1, 1460);
  s.send(seg().ack(1461).win(300)).quiet();
  s.send(seg().ack(1461).win(1460)).expect_stream(1461, 1460);
}

STORY(SillyWindow, SmallOpeningForLong_UsedAfterTheTimeout) {
  Script s(plain(), {.window = 1460});
  s.established().write(4000).expect_stream(1, 1460);
  s.send(seg().ack(1461).win(300)).quiet();
  s.later(200, {seg().seq(1461).len(300)});
}

ENDPOINT_STORY(SillyWindow, SmallOpeningForLongButTheInterfaceIsFull_UsedAtTheNextTry,
               "an interface that takes nothing") {
  Script s(plain(), {.window = 1460});
  s.established().write(4000).expect({seg().len(1460)});
  s.send(seg().ack(1461).win(300)).quiet();
  const Time due = s.endpoint().poll_at(s.now());
  s.endpoint().dispatch(due, [](const OutSegment&) { return false; });
  EXPECT_LE(s.endpoint().poll_at(due), due);
  std::size_t octets = 0;
  s.endpoint().dispatch(due, [&](const OutSegment& out) {
    octets += out.payload_size;
    return true;
  });
  EXPECT_EQ(octets, 300U);
}

STORY(SillyWindow, HalfOfTheLargestWindow_Used) {
  Script s(plain(), {.window = 1000});
  s.established().write(4000).expect_stream(1, 1000);
  s.send(seg().ack(1001).win(499)).quiet();
  s.send(seg().ack(1001).win(500)).expect({seg().seq(1001).len(500)});
}

STORY(SillyWindow, AllThatWaitsFits_Sent) {
  Script s(plain(), {.window = 1000});
  s.established().write(1100).expect_stream(1, 1000);
  s.send(seg().ack(1001).win(100)).expect({seg().seq(1001).len(100)});
}

STORY(Nagle, On_SmallSegmentWaitsForTheAck) {
  Config config = plain();
  config.nagle = true;
  Script s(config);
  s.established().write("a").expect({seg().data("a")});
  s.write("b").write("c").quiet();
  s.send(seg().ack(2)).expect({seg().seq(2).data("bc")});
}

STORY(Nagle, On_FullSegmentGoes) {
  Config config = plain();
  config.nagle = true;
  Script s(config);
  s.established().write("a").expect({seg().len(1)});
  s.write(1460).expect({seg().seq(2).len(1460)});
  s.write(10).quiet();
}

STORY(Nagle, On_FinTakesTheRestAlong) {
  Config config = plain();
  config.nagle = true;
  Script s(config);
  s.established().write("a").expect({seg().len(1)});
  s.write("b").quiet();
  s.shutdown().expect({seg().seq(2).data("b").flags("FA")});
}

STORY(Nagle, Off_EveryWriteGoes) {
  Script s;
  s.established().write("a").expect({seg().data("a")});
  s.write("b").expect({seg().seq(2).data("b")});
}

ENDPOINT_STORY(Interface, TakesNoMore_TheSegmentCountsAsNotSent,
               "an interface that takes nothing") {
  Script s;
  s.established().write("hello");
  int offered = 0;
  s.endpoint().dispatch(s.now(), [&](const OutSegment&) {
    ++offered;
    return false;
  });
  EXPECT_EQ(offered, 1);
  EXPECT_LE(s.endpoint().poll_at(s.now()), s.now());
  s.expect({seg().seq(1).data("hello").fresh()});
}

ENDPOINT_STORY(Buffer, Full_WriteTakesWhatFits, "a bound of the endpoint's") {
  Config config = plain();
  config.send_buffer = 1000;
  Script s(config);
  s.established();
  const std::string text(1500, 'x');
  EXPECT_EQ(s.endpoint().write(
                Bytes(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()), s.now()),
            1000U);
  EXPECT_EQ(s.endpoint().writable(), 0U);
  s.swallow().send(seg().ack(401));
  EXPECT_EQ(s.endpoint().writable(), 400U);
}

ENDPOINT_STORY(Buffer, IdleConnection_Within2KiB, "a bound of the endpoint's") {
  Script s;
  s.flight(1000).send(seg().ack(1001).len(1000)).swallow().read_all().swallow();
  EXPECT_LE(s.endpoint().memory(), 2048U);
}

}  // namespace
}  // namespace vtl::endpoint::script
