// Recoveries that prove needless: what was held for lost had only been late. RFC 3522 and 4015
// (Eifel), 5682 (F-RTO), 3708 (D-SACK).
#include <gtest/gtest.h>

#include "tests/script/sack_path.h"

namespace vtl::endpoint::script {
namespace {

// Takes what was sent and returns its timestamp.
std::uint32_t stamp(Script& s) {
  const auto sent = s.take();
  return sent.empty() ? 0 : sent.front().header.options.timestamps.value().value;
}

// RFC 3522: Eifel

STORY(Needless, FastRetransmitAndTheOriginalArrives_WindowRestored) {
  StampedStory s;
  opened(s).write(10 * 1448);
  const std::uint32_t original = stamp(s);
  s.after(40).send(told(1, {{1449, 5793}})).expect({seg().seq(1).again()});
  // The acknowledgement echoes what left before the retransmission did.
  s.after(5).send(seg().ack(5793).stamps(7100, original)).quiet();
  s.counts(&EndpointStats::needless_recoveries, 1);
  s.write(30 * 1448);
  EXPECT_GE(s.take().size(), 4U) << "the window of ten is back: six are out";
}

STORY(Needless, TheRetransmissionArrives_WindowStaysDown) {
  StampedStory s;
  opened(s).write(10 * 1448).swallow();
  s.after(40).send(told(1, {{1449, 5793}}));
  const std::uint32_t again = stamp(s);
  s.after(40).send(seg().ack(14481).stamps(7120, again)).quiet();
  s.counts(&EndpointStats::needless_recoveries, 0);
}

STORY(Needless, TimeoutAndTheOriginalArrives_NothingElseGoesAgain) {
  StampedStory s;
  s.kernel_setting("tcp_early_retrans", "3");
  opened(s, 200).write(10 * 1448);
  const std::uint32_t original = stamp(s);
  s.later(402, {seg().again()});  // the probe
  s.later(600, {seg().seq(1).again()});
  s.after(1).send(seg().ack(1449).stamps(7300, original)).quiet();
  s.counts(&EndpointStats::needless_recoveries, 1);
}

// RFC 5682: F-RTO

STORY(Needless, TimeoutAndSomethingThatWentOnceIsAcknowledged_Undone) {
  ProbingStory s;
  ten_out(s, 0, 200);
  s.later(202, {seg().seq(13141).again()});  // the probe: the last segment
  s.later(600, {seg().seq(1).again()});
  s.after(1).send(seg().ack(2921)).quiet();
  s.counts(&EndpointStats::needless_recoveries, 1);
  s.after(1).send(seg().ack(11681)).quiet();
  s.write(20 * kMss);
  EXPECT_GE(s.take().size(), 8U) << "the window of ten is back";
}

// RFC 3708: D-SACK

STORY(Needless, EverythingThatWentAgainCameTwice_Undone) {
  SackStory s;
  ten_out(s);
  s.send(told(1, {{1461, 14601}})).expect({seg().seq(1).again()});
  s.after(5).send(seg().ack(14601)).quiet();
  s.counts(&EndpointStats::needless_recoveries, 0);
  s.after(35).send(told(14601, {{1, 1461}})).quiet();
  s.counts(&EndpointStats::needless_recoveries, 1);
  s.write(20 * kMss);
  EXPECT_GE(s.take().size(), 10U);
}

STORY(Needless, OneOfTwoCameTwice_WindowStaysDown) {
  SackStory s;
  ten_out(s);
  s.send(told(1, {{1461, 2921}, {4381, 14601}}));
  s.expect({seg().seq(1).again(), seg().seq(2921).again()});
  s.after(40).send(seg().ack(14601)).quiet();
  s.send(told(14601, {{1, 1461}})).quiet();
  s.counts(&EndpointStats::needless_recoveries, 0);
}

STORY(Needless, ReportOfDuplicatesLongAfter_ChangesNothing) {
  SackStory s;
  ten_out(s);
  s.send(told(1, {{1461, 14601}})).expect({seg().seq(1).again()});
  s.after(40).send(seg().ack(14601)).quiet();
  for (int i = 0; i < 3; ++i) {
    s.write(2 * kMss).swallow();
    s.after(40).send(seg());
  }
  s.send(told(14601 + 6 * kMss, {{1, 1461}})).quiet();
  s.counts(&EndpointStats::needless_recoveries, 0);
}

// A report of what went once says nothing of what went again (RFC 3708 section 1, its case 2).
STORY(Needless, NetworkDoubledWhatWentOnce_WindowStaysDown) {
  SackStory s;
  ten_out(s);
  s.send(seg().ack(1461)).quiet();
  s.send(told(1461, {{2921, 8761}})).expect({seg().seq(1461).again()});
  s.send(told(1461, {{1, 1461}, {2921, 8761}})).quiet();
  s.counts(&EndpointStats::needless_recoveries, 0);
}

STORY(Needless, OneWideReport_ExplainsWhatItNamesOnly) {
  SackStory s;
  ten_out(s);
  s.send(seg().ack(2921)).quiet();
  s.send(told(2921, {{4381, 5841}, {7301, 14601}}));
  s.expect({seg().seq(2921).again(), seg().seq(5841).again()});
  s.send(told(2921, {{1, 2921}, {4381, 5841}, {7301, 14601}})).quiet();
  s.counts(&EndpointStats::needless_recoveries, 0);
}

ENDPOINT_STORY(Needless, EchoReducedTheWindowMeanwhile_ThatStays, "the size of a window") {
  Config config = with_sack();
  config.ecn = Ecn::kRequest;
  Script s(config, {.sack = true});
  s.connect().swallow();
  s.after(40).send(seg().seq(0).flags("SAE").ack(1)).swallow();
  s.write(30 * kMss).swallow();
  s.after(40).send(told(1, {{1461, 14601}})).swallow();  // the first new segment tells of it
  s.after(40).send(seg().ack(14601 + kMss)).swallow();
  s.send(seg().ack(14601 + 2 * kMss).flags("AE")).swallow();
  s.counts(&EndpointStats::ecn_reductions, 1);
  s.send(told(14601 + 2 * kMss, {{1, 1461}})).swallow();
  s.counts(&EndpointStats::needless_recoveries, 0);
}

}  // namespace
}  // namespace vtl::endpoint::script
