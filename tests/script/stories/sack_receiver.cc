// What a receiver tells of data out of order and of data that came twice: RFC 2018 sections 3 and
// 4, RFC 2883.
#include <gtest/gtest.h>

#include "tests/script/sack_path.h"

namespace vtl::endpoint::script {
namespace {

STORY(Sack, Gap_BlockOfWhatLiesBeyond) {
  SackStory s;
  s.established();
  s.send(seg().seq(6).data("world")).expect({ack(1).sack({{6, 11}})});
  s.send(seg().seq(1).data("hello")).expect({ack(11).sack({})});
}

STORY(Sack, SeveralGaps_TheLatestBlocksFirst) {
  SackStory s;
  s.established();
  s.send(seg().seq(20).data("dd")).expect({ack(1).sack({{20, 22}})});
  s.send(seg().seq(5).data("aa")).expect({ack(1).sack({{5, 7}, {20, 22}})});
  s.send(seg().seq(10).data("bb")).expect({ack(1).sack({{10, 12}, {5, 7}, {20, 22}})});
  s.send(seg().seq(22).data("ee")).expect({ack(1).sack({{20, 24}, {10, 12}, {5, 7}})});
  s.send(seg().seq(30).data("ff")).expect({ack(1).sack({{30, 32}, {20, 24}, {10, 12}, {5, 7}})});
  s.send(seg().seq(40).data("gg")).expect({ack(1).sack({{40, 42}, {30, 32}, {20, 24}, {10, 12}})});
}

STORY(Sack, WithTimestamps_ThreeBlocks) {
  StampedStory s;
  s.established();
  for (std::uint32_t i = 1; i <= 5; ++i) s.send(seg().seq(10 * i).data("x")).swallow();
  s.send(seg().seq(60).data("x")).expect({ack(1).sack({{60, 61}, {50, 51}, {40, 41}})});
}

ENDPOINT_STORY(Sack, SuperFrameBeyondAGap_OneAckTellsAll, "a super-frame on arrival") {
  SackStory s;
  s.established();
  s.send(seg().seq(1461).len(14600).pieces(10)).expect({ack(1).sack({{1461, 16061}})});
}

STORY(Sack, PeerDidNotPermit_NoBlocks) {
  Script s(with_sack());
  s.established();
  s.send(seg().seq(6).data("world")).expect({ack(1).sack({})});
}

STORY(Sack, NotOffered_NoBlocks) {
  Script s(plain(), {.sack = true});
  s.established();
  s.send(seg().seq(6).data("world")).expect({ack(1).sack({})});
}

STORY(Sack, GapFilledFromTheFront_TheBlockStays) {
  SackStory s;
  s.established();
  s.send(seg().seq(11).data("cc")).expect({ack(1).sack({{11, 13}})});
  s.send(seg().seq(1).data("aaaaa")).expect({ack(6).sack({{11, 13}})});
  s.send(seg().seq(6).data("bbbbb")).expect({ack(13).sack({})});
}

STORY(Sack, BlocksGrowTogether_One) {
  SackStory s;
  s.established();
  s.send(seg().seq(11).len(10)).expect({ack(1).sack({{11, 21}})});
  s.send(seg().seq(31).len(10)).expect({ack(1).sack({{31, 41}, {11, 21}})});
  s.send(seg().seq(21).len(10)).expect({ack(1).sack({{11, 41}})});
}

STORY(Sack, FirstGapFilled_TheBlocksBehindTheSecondStay) {
  SackStory s;
  s.established();
  s.send(seg().seq(11).len(10)).swallow();
  s.send(seg().seq(31).len(10)).swallow();
  s.send(seg().seq(1).len(10)).expect({ack(21).sack({{31, 41}})});
}

STORY(Sack, NothingIsMissing_NoBlocks) {
  SackStory s;
  s.established();
  s.send(seg().len(10)).expect({ack(11).sack({})});
  s.send(seg().len(10)).expect({ack(21).sack({})});
}

// Section 8 asks to keep what was told; neither takes anything back while it has the memory.
STORY(Sack, TextBehindTheGapReadLater_Kept) {
  SackStory s;
  s.established();
  for (std::uint32_t i = 1; i <= 20; ++i) s.send(seg().seq(1 + 100 * i).len(100)).swallow();
  s.send(seg().seq(1).len(100)).expect({ack(2101).sack({})});
  EXPECT_EQ(s.readable(), 2100U);
}

STORY(Sack, ActivelyOpened_BlocksAndDuplicatesAreTold) {
  SackStory s;
  s.established(true);
  s.send(seg().seq(6).data("world")).expect({ack(1).sack({{6, 11}})});
  s.send(seg().seq(1).data("hello")).expect({ack(11).sack({})});
  s.send(seg().seq(1).data("hello")).expect({ack(11).sack({{1, 6}})});
}

STORY(Sack, ActivelyOpenedAndTheAnswerDoesNotPermit_NoBlocks) {
  Script s(with_sack());
  s.connect().expect({seg().flags("S").sack_permitted(true)});
  s.send(seg().seq(0).flags("SA").ack(1)).swallow();
  s.send(seg().seq(6).data("world")).expect({ack(1).sack({})});
}

STORY(Sack, CloseWaitAndFinBeyondAGap_TheBlockHoldsTheFin) {
  SackStory s;
  s.established();
  s.send(seg().seq(6).data("world").flags("FA"));
  s.kernel_differs("the FIN's number is of the block", {ack(1).sack({{6, 12}})});
  s.expect({ack(1).sack({{6, 11}})});
  s.send(seg().seq(1).data("hello")).expect({ack(12).sack({})});
  s.state(State::kCloseWait);
}

STORY(DuplicateReport, OldSegment_ItsOctetsInTheFirstBlock) {
  SackStory s;
  s.established().send(seg().len(1000)).swallow();
  s.send(seg().seq(1).len(500)).expect({seg().ack(1001).len(0).sack({{1, 501}})});
  s.send(seg().seq(1001).len(100)).expect({ack(1101).sack({})});
  EXPECT_EQ(s.readable(), 1100U);
}

STORY(DuplicateReport, ToldOnce) {
  SackStory s;
  s.established().send(seg().len(1000)).swallow();
  s.send(seg().seq(1).len(500)).expect({seg().ack(1001).sack({{1, 501}})});
  s.send(seg().seq(2001).len(500)).expect({seg().ack(1001).sack({{2001, 2501}})});
}

STORY(DuplicateReport, HalfOfTheSegmentIsOld_ThatHalf) {
  SackStory s;
  s.established().send(seg().len(1000)).swallow();
  s.send(seg().seq(501).len(1000)).expect({seg().ack(1501).sack({{501, 1001}})});
}

STORY(DuplicateReport, SegmentBeyondTheGapComesAgain_InsideTheSecondBlock) {
  SackStory s;
  s.established();
  s.send(seg().seq(1001).len(1000)).expect({seg().ack(1).sack({{1001, 2001}})});
  s.send(seg().seq(3001).len(100)).expect({seg().ack(1).sack({{3001, 3101}, {1001, 2001}})});
  s.send(seg().seq(1501).len(300))
      .expect({seg().ack(1).sack({{1501, 1801}, {1001, 2001}, {3001, 3101}})});
}

STORY(DuplicateReport, OldSegmentWhileThereIsAGap_BeforeTheBlocks) {
  SackStory s;
  s.established().send(seg().len(1000)).swallow();
  s.send(seg().seq(2001).len(500)).expect({seg().ack(1001).sack({{2001, 2501}})});
  s.send(seg().seq(1).len(1000)).expect({seg().ack(1001).sack({{1, 1001}, {2001, 2501}})});
}

STORY(DuplicateReport, SegmentOverlapsTwoBlocks_TheFirstOverlap) {
  SackStory s;
  s.established();
  s.send(seg().seq(1001).len(500)).swallow();
  s.send(seg().seq(2001).len(500)).swallow();
  s.send(seg().seq(1201).len(1000)).expect({seg().ack(1).sack({{1201, 1501}, {1001, 2501}})});
}

STORY(DuplicateReport, DataWaitsToGo_TheReportComesWithout) {
  SackStory s;
  s.established().send(seg().len(1000)).swallow();
  s.write(20 * kMss).swallow();
  s.write(100).send(seg().seq(1).len(500)).expect({seg().ack(1001).len(0).sack({{1, 501}})});
}

ENDPOINT_STORY(DuplicateReport, DataGoesAtOnce_ToldWithTheNextBareAck,
               "a socket's write leaves at once") {
  SackStory s;
  s.established().send(seg().len(100)).swallow();
  s.write("x");
  s.send(seg().seq(1).len(100)).expect({seg().len(1).sack({})});
  s.send(seg().len(100)).expect({ack(201).sack({{1, 101}})});
}

STORY(DuplicateReport, WithTimestamps_ThreeBlocksWithIt) {
  StampedStory s;
  s.established();
  for (const std::uint32_t at : {1001U, 3001U, 5001U, 7001U})
    s.send(seg().seq(at).len(500)).swallow();
  s.send(seg().seq(3001).len(500))
      .expect({seg().ack(1).sack({{3001, 3501}, {3001, 3501}, {7001, 7501}})});
}

STORY(DuplicateReport, NotNegotiated_None) {
  Script s(with_sack(), {.sack = false});
  s.established().send(seg().len(1000)).swallow();
  s.send(seg().seq(1).len(500)).expect({seg().ack(1001).sack({})});
}

}  // namespace
}  // namespace vtl::endpoint::script
