// Loss without SACK: fast retransmit and fast recovery (RFC 5681 section 3.2, RFC 6582), limited
// transmit (RFC 3042).
#include <gtest/gtest.h>

#include "tests/script/script.h"

namespace vtl::endpoint::script {
namespace {

constexpr std::uint32_t kMss = 1460;
constexpr auto kFast = &EndpointStats::fast_retransmits;
constexpr auto kTimeouts = &EndpointStats::timeouts;

// Ten segments are outstanding, numbered from 1. Between acknowledgements a few milliseconds pass
// where new data is to follow them: the kernel makes larger bursts of what comes closer.
Script& ten_out(Script& s) {
  return s.flight(10 * kMss);
}

STORY(FastRetransmit, ThreeDuplicates_FirstSegmentAgain) {
  Script s;
  ten_out(s);
  s.send(seg().ack(1)).quiet();
  s.send(seg().ack(1)).quiet();
  s.send(seg().ack(1)).expect({seg().seq(1).len(kMss).again()});
  s.counts(kFast, 1);
  s.send(seg().ack(14601)).quiet();
  s.after(500).quiet();
}

STORY(FastRetransmit, TwoDuplicatesAndThenProgress_Nothing) {
  Script s;
  ten_out(s);
  s.send(seg().ack(1)).quiet();
  s.send(seg().ack(1)).quiet();
  s.send(seg().ack(4381)).quiet();
  s.send(seg().ack(4381)).quiet();
  s.send(seg().ack(4381)).quiet();
  s.counts(kFast, 0);
}

STORY(FastRetransmit, MoreDuplicates_TheSegmentOnlyOnce) {
  Script s;
  ten_out(s);
  for (int i = 0; i < 2; ++i) s.send(seg().ack(1)).quiet();
  s.send(seg().ack(1)).expect({seg().seq(1).again()});
  for (int i = 0; i < 6; ++i) s.send(seg().ack(1)).quiet();
  s.counts(&EndpointStats::retransmissions, 1);
}

STORY(FastRetransmit, OneSegmentOut_DuplicatesMeanNothingOfIt) {
  Script s;
  s.flight(1000).send(seg().ack(1001)).quiet();
  for (int i = 0; i < 5; ++i) s.send(seg().ack(1001)).quiet();
  s.write(1000).expect({seg().seq(1001).fresh()});
}

ENDPOINT_STORY(FastRetransmit, LostMiddleOfASuperFrame_RepairedAsASegment, "a super-frame") {
  Config config = plain();
  config.max_super_frame = 65000;
  Script s(config);
  s.established().write(14600).expect({seg().seq(1).len(14600)});
  s.send(seg().ack(4381)).quiet();
  for (int i = 0; i < 2; ++i) s.send(seg().ack(4381)).quiet();
  s.send(seg().ack(4381)).expect({seg().seq(4381).len(kMss).again()});
  s.send(seg().ack(14601)).quiet();
}

STORY(FastRetransmit, PartialAck_NextHoleAgainAtOnce) {
  Script s;
  ten_out(s);  // the first, the third and the sixth are lost: seven duplicates
  for (int i = 0; i < 2; ++i) s.send(seg().ack(1)).quiet();
  s.send(seg().ack(1)).expect({seg().seq(1).again()});
  for (int i = 0; i < 4; ++i) s.send(seg().ack(1)).quiet();
  s.send(seg().ack(2921)).expect({seg().seq(2921).len(kMss).again()});
  s.send(seg().ack(7301)).expect({seg().seq(7301).len(kMss).again()});
  s.send(seg().ack(14601)).quiet();
  s.counts(kFast, 1).counts(kTimeouts, 0);
}

ENDPOINT_STORY(FastRetransmit, PartialAckAfterLostDuplicates_NextHoleAgainAtOnce,
               "the kernel's window may not let it go before the timeout") {
  Script s;
  ten_out(s);
  for (int i = 0; i < 2; ++i) s.send(seg().ack(1)).quiet();
  s.send(seg().ack(1)).expect({seg().seq(1).again()});
  s.send(seg().ack(2921)).expect({seg().seq(2921).len(kMss).again()});
  s.send(seg().ack(7301)).expect({seg().seq(7301).len(kMss).again()});
  s.send(seg().ack(14601)).quiet();
}

STORY(FastRetransmit, WindowHalved) {
  Script s;
  ten_out(s);
  for (int i = 0; i < 3; ++i) s.send(seg().ack(1));
  s.expect({seg().seq(1).len(kMss).again()});
  s.send(seg().ack(14601)).quiet();
  // RFC 6582 section 3.2, full acknowledgement: min(ssthresh, max(flight, SMSS) + SMSS), or
  // ssthresh, as the kernel does.
  s.write(20'000).expect_stream(14601, (s.kernel() ? 5 : 2) * kMss);
}

STORY(LimitedTransmit, TwoDuplicates_ANewSegmentEach) {
  Script s;
  ten_out(s).write(10 * kMss).quiet();
  s.after(5).send(seg().ack(1)).expect({seg().seq(14601).len(kMss).fresh()});
  s.after(5).send(seg().ack(1)).expect({seg().seq(16061).len(kMss).fresh()});
  s.send(seg().ack(1)).expect({seg().seq(1).again()});
}

STORY(LimitedTransmit, PeersWindowIsFull_NothingNew) {
  Script s(plain(), {.window = 14600});
  ten_out(s).write(10 * kMss).quiet();
  s.send(seg().ack(1)).quiet();
  s.send(seg().ack(1)).quiet();
  s.send(seg().ack(1)).expect({seg().seq(1).again()});
}

STORY(LimitedTransmit, TheWindowIsNotRaisedByIt) {
  Script s;
  ten_out(s).write(40 * kMss).quiet();
  s.after(5).send(seg().ack(1)).expect({seg().seq(14601).fresh()});
  s.after(5).send(seg().ack(1)).expect({seg().seq(16061).fresh()});
  // All arrived, some had only been overtaken: slow start goes on from ten.
  // What the two duplicates stood for may count when they come or now; nothing counts twice.
  s.after(5).send(seg().ack(14601));
  const std::size_t sent = s.take().size();
  EXPECT_GE(sent, 16U);
  EXPECT_LE(sent, 18U);
}

STORY(FastRetransmit, DuplicatesInRecovery_LetNewDataOut) {
  Script s;
  ten_out(s).write(10 * kMss).quiet();
  s.after(5).send(seg().ack(1)).expect({seg().seq(14601).fresh()});
  s.after(5).send(seg().ack(1)).expect({seg().seq(16061).fresh()});
  s.send(seg().ack(1)).expect({seg().seq(1).again()});
  std::size_t fresh = 0;
  for (int i = 0; i < 8; ++i) {
    s.send(seg().ack(1));
    for (const auto& sent : s.take()) fresh += sent.retransmission ? 0 : 1;
  }
  EXPECT_GE(fresh, 2U);
}

STORY(FastRetransmit, WindowUpdates_AreNotDuplicates) {
  Script s;
  ten_out(s);
  for (std::uint32_t i = 1; i <= 5; ++i) s.send(seg().ack(1).win(64'240 + i)).quiet();
}

STORY(FastRetransmit, AcksWithData_AreNotDuplicates) {
  Script s;
  ten_out(s);
  for (int i = 0; i < 5; ++i) {
    s.send(seg().ack(1).len(10));
    for (const auto& sent : s.take()) EXPECT_EQ(sent.data.size(), 0U);
  }
}

STORY(FastRetransmit, DuplicatesAfterATimeout_DoNotHalveAgain) {
  Script s;
  ten_out(s);
  s.later(200, {seg().seq(1).again()});
  for (int i = 0; i < 5; ++i) s.send(seg().ack(1));
  (void)s.take();
  s.counts(kFast, 0);
}

STORY(FastRetransmit, RetransmissionLostToo_TheTimeoutRepairs) {
  Script s;
  ten_out(s);
  for (int i = 0; i < 2; ++i) s.send(seg().ack(1)).quiet();
  s.send(seg().ack(1)).expect({seg().seq(1).again()});
  for (int i = 0; i < 6; ++i) s.send(seg().ack(1)).quiet();
  s.later(200, {seg().seq(1).len(kMss).again()});
  s.send(seg().ack(14601)).quiet();
  s.counts(kFast, 1).counts(kTimeouts, 1);
}

STORY(FastRetransmit, OnlyTheFinWasLost_FinAgainByTimeout) {
  Script s;
  s.established().write("x").shutdown().swallow();
  s.send(seg().ack(2)).quiet();
  s.later(200, {seg().seq(2).flags("FA").len(0).again()});
}

STORY(FastRetransmit, TheFinIsOfTheFlight_TheHoleGoesFirst) {
  Script s;
  s.established().write(5 * kMss).shutdown().swallow();
  for (int i = 0; i < 2; ++i) s.send(seg().ack(1)).quiet();
  s.send(seg().ack(1)).expect({seg().seq(1).len(kMss).flags("A").again()});
  s.send(seg().ack(5 * kMss + 2)).quiet().state(State::kFinWait2);
}

}  // namespace
}  // namespace vtl::endpoint::script
