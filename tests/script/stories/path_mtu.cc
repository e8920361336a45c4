// The path's MTU: when an ICMP "packet too big" is believed, and what follows. RFC 1191 section 6,
// RFC 8201, RFC 5927 section 7.
#include <gtest/gtest.h>

#include "tests/script/script.h"

namespace vtl::endpoint::script {
namespace {

constexpr auto kIgnored = &EndpointStats::mtu_ignored;

STORY(PathMtu, TooBigBeforeAnythingArrived_BelievedAtOnce) {
  Script s;
  s.flight(2920).icmp_too_big(1040, 1461);
  s.expect({seg().seq(1).len(1000).again(), seg().seq(1001).len(1000).again(),
            seg().seq(2001).len(920).again()});
  s.counts(&EndpointStats::timeouts, 0);
  EXPECT_EQ(s.effective_mss(), 1000);
}

STORY(PathMtu, Believed_NewDataIsSmallerToo) {
  Script s;
  s.flight(1460).icmp_too_big(1040).expect({seg().seq(1).len(1000), seg().seq(1001).len(460)});
  s.send(seg().ack(1461)).quiet();
  s.write(2000).expect({seg().seq(1461).len(1000).fresh(), seg().seq(2461).len(1000).fresh()});
}

STORY(PathMtu, BelievedTwice_SmallerEachTime) {
  Script s;
  s.flight(1460).icmp_too_big(1440).expect({seg().seq(1).len(1400), seg().seq(1401).len(60)});
  s.icmp_too_big(1040, 1).expect({seg().seq(1).len(1000), seg().seq(1001).len(460)});
}

// RFC 5681 section 3.1: such a loss is no sign of congestion.
STORY(PathMtu, Believed_TheWindowStays) {
  Script s;
  s.flight(2920).icmp_too_big(1040).swallow();
  s.send(seg().ack(2921)).quiet();
  s.write(10'000);
  EXPECT_EQ(s.take().size(), 10U);
}

STORY(PathMtu, SomeOfItWasDelivered_OnlyTheRestGoesAgain) {
  Config config = plain();
  config.offer_sack = true;
  Script s(config, {.sack = true});
  s.kernel_setting("tcp_recovery", "0");
  s.flight(2 * 1460).send(seg().ack(1).sack({{1461, 2921}})).quiet();
  s.icmp_too_big(1040, 1).expect(
      {seg().seq(1).len(1000).again(), seg().seq(1001).len(460).again()});
  s.send(seg().ack(2921)).quiet();
}

STORY(PathMtu, FinIsOutstanding_GoesWithTheLast) {
  Script s;
  s.established().write(1460).shutdown().swallow();
  s.icmp_too_big(1040, 1);
  s.kernel_differs("it repeats what was too large, not the FIN that it sent apart",
                   {seg().seq(1).len(1000).again(), seg().seq(1001).len(460).flags("A").again()});
  s.expect(
      {seg().seq(1).len(1000).flags("A").again(), seg().seq(1001).len(460).flags("FA").again()});
  s.send(seg().ack(1462)).quiet().state(State::kFinWait2);
}

STORY(PathMtu, TooBigOfWhatIsNotOutstanding_Ignored) {
  Script s;
  s.flight(1460).send(seg().ack(1461)).quiet();
  s.write(1460).swallow();
  s.icmp_too_big(1040, 1).icmp_too_big(1040, 2922).quiet();
  EXPECT_EQ(s.effective_mss(), 1460);
  s.counts(kIgnored, 2);
}

ENDPOINT_STORY(PathMtu, TooBigOfWhatIsNextToBeSent_Ignored,
               "the kernel takes the very next number for outstanding") {
  Script s;
  s.flight(1460).send(seg().ack(1461)).quiet();
  s.write(1460).swallow();
  s.icmp_too_big(1040, 2921).quiet();
  s.counts(kIgnored, 1);
}

STORY(PathMtu, TooBigThatAsksForWhatIsSentAlready_Ignored) {
  Script s;
  s.flight(2920).icmp_too_big(1500, 1).quiet();
  EXPECT_EQ(s.effective_mss(), 1460);
  s.counts(kIgnored, 1);
}

STORY(PathMtu, TooBigWithNothingOutstanding_Ignored) {
  Script s;
  s.established().icmp_too_big(1040, 5000).quiet();
  EXPECT_EQ(s.effective_mss(), 1460);
  s.write(1460).expect({seg().seq(1).len(1460)});
}

ENDPOINT_STORY(PathMtu, TooBigForTheSyn_Ignored, "the kernel sends the SYN again at once") {
  Script s;
  s.connect().expect({seg().flags("S")});
  s.icmp_too_big(1040, 0);
  s.send(seg().seq(0).flags("SA").ack(1)).expect({seg().flags("A")});
  EXPECT_EQ(s.effective_mss(), 1460);
}

ENDPOINT_STORY(PathMtu, TooBigOfASizeThatHasArrived_BelievedWithTheTimeout,
               "the kernel believes whoever knows what is outstanding") {
  Script s;
  s.flight(2920).send(seg().ack(2921)).quiet();
  s.write(2920).swallow();
  s.icmp_too_big(1040, 2921).quiet();
  EXPECT_EQ(s.effective_mss(), 1460);
  s.later(200, {seg().seq(2921).len(1000).again()});
  s.send(seg().ack(3921)).expect({seg().seq(3921).len(1000), seg().seq(4921).len(920)});
}

ENDPOINT_STORY(PathMtu, TooBigOfASizeThatHasArrivedAndStillArrives_Forgotten,
               "the kernel believes whoever knows what is outstanding") {
  Script s;
  s.flight(2920).send(seg().ack(2921)).quiet();
  s.write(2920).swallow();
  s.icmp_too_big(1040, 2921);
  s.send(seg().ack(4381)).quiet();
  s.later(200, {seg().seq(4381).len(1460).again()});
}

ENDPOINT_STORY(PathMtu, SmallestLinkOfAll_SmallestSegments, "the kernel's floor is its min_pmtu") {
  Config config = plain();
  config.offer_timestamps = true;
  Script s(config, {.stamps = true});
  s.established().write(40).expect({seg().len(40)});
  s.icmp_too_big(68, 1);
  const auto sent = s.take();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].segment_size, 68 - 40 - 12);
}

ENDPOINT_STORY(PathMtu, Lowered_OutstandingGoesAgainInSmallerSegments, "asks the endpoint") {
  Script s;
  s.flight(2920);
  s.endpoint().limit_mss(1000, s.now());
  s.expect({seg().seq(1).len(1000).again(), seg().seq(1001).len(1000).again(),
            seg().seq(2001).len(920).again()});
  EXPECT_EQ(s.endpoint().effective_mss(), 1000);
}

ENDPOINT_STORY(PathMtu, LoweredToNothing_Floored, "asks the endpoint") {
  Script s;
  s.established();
  s.endpoint().limit_mss(0, s.now());
  EXPECT_EQ(s.endpoint().effective_mss(), 28);
}

// RFC 5927 section 4: errors of a connection that stands are told nobody.

STORY(Icmp, Established_Unreachable_GoesOn) {
  Script s;
  s.flight(1000).icmp_error(true).icmp_error(false).quiet();
  s.later(200, {seg().seq(1).again()});
  s.send(seg().ack(1001)).quiet().state(State::kEstablished).reason(EndReason::kNone);
}

STORY(Icmp, FinWait1_Unreachable_GoesOn) {
  Script s;
  s.fin_wait_1().icmp_error(true).quiet();
  s.send(seg().ack(2)).quiet().state(State::kFinWait2);
}

}  // namespace
}  // namespace vtl::endpoint::script
