// Explicit congestion notification (RFC 3168), both roles, both directions.
#include <gtest/gtest.h>

#include "tests/script/script.h"

namespace vtl::endpoint::script {
namespace {

Config ecn(Ecn mode) {
  Config config = plain();
  config.ecn = mode;
  return config;
}

/// Established, and both agreed.
Script agreed() {
  Script s(ecn(Ecn::kRequest));
  s.connect().expect({seg().flags("SEC")});
  s.send(seg().seq(0).flags("SAE").ack(1)).expect({seg().flags("A")});
  return s;
}

STORY(Ecn, SynAsks_SynAckAgrees) {
  Script s;
  s.syn(false, "SEC").expect({seg().flags("SAE")});
  s.send(seg()).write("x").expect({seg().ect(true)});
}

STORY(Ecn, SynAsksButItIsOff_SynAckDoesNotAgree) {
  Script s(ecn(Ecn::kOff));
  s.syn(false, "SEC").expect({seg().flags("SA")});
  s.send(seg()).write("x").expect({seg().flags("A").ect(false)});
}

STORY(Ecn, SynDoesNotAsk_NothingIsMarked) {
  Script s;
  s.established().write("x").expect({seg().ect(false)});
  s.send(seg().len(10).ce()).expect({seg().flags("A")});
}

STORY(Ecn, SynAsksThenRepeatsWithout_TakenBack) {
  Script s;
  s.syn(false, "SEC").expect({seg().flags("SAE")});
  s.kernel_differs("it goes by the first SYN", {seg().flags("SAE")});
  s.send(seg().seq(0).flags("S")).expect({seg().flags("SA")});
  s.kernel_differs("it goes by the first SYN", {seg().ect(true)});
  s.send(seg()).write("x").expect({seg().ect(false)});
}

// A SYN,ACK without ECN is out: no ECT may follow (section 6.1.1).
STORY(Ecn, SynDoesNotAskThenAnOlderOneThatDoes_NothingIsMarked) {
  Script s;
  s.syn(false, "S").expect({seg().flags("SA")});
  s.send(seg().seq(0).flags("SEC")).expect({seg().flags("SA")});
  s.send(seg()).write("x").expect({seg().ect(false)});
}

STORY(Ecn, Requested_SynAsksAndSynAckAgrees) {
  Script s(ecn(Ecn::kRequest));
  s.connect().expect({seg().flags("SEC")});
  s.send(seg().seq(0).flags("SAE").ack(1)).expect({seg().flags("A").ect(false)});
  s.write("x").expect({seg().ect(true)});
}

ENDPOINT_STORY(Ecn, Requested_SynAckWithBothBits_NotAgreed,
               "kernels that know of accurate ECN read it otherwise than those that do not") {
  Script s(ecn(Ecn::kRequest));
  s.connect().expect({seg().flags("SEC")});
  s.send(seg().seq(0).flags("SAEC").ack(1)).expect({seg().flags("A")});
  s.write("x").expect({seg().ect(false)});
}

STORY(Ecn, Requested_NoAnswer_NextSynDoesNotAsk) {
  Script s(ecn(Ecn::kRequest));
  s.connect().expect({seg().flags("SEC")});
  s.later(1000, {seg().flags("S")});
  s.send(seg().seq(0).flags("SAE").ack(1)).expect({seg().flags("A")});
  s.kernel_differs("it takes the answer for one to its first SYN", {seg().ect(true)});
  s.write("x").expect({seg().ect(false)});
}

STORY(Ecn, BothOpenAtOnceAndAsk_Agreed) {
  Script s(ecn(Ecn::kRequest));
  s.connect().expect({seg().flags("SEC")});
  s.send(seg().seq(0).flags("SEC")).expect({seg().flags("SAE")});
  s.send(seg().seq(0).flags("SAE").ack(1)).swallow().state(State::kEstablished);
  s.write("x").expect({seg().ect(true)});
}

STORY(Ecn, MarkedSegment_EchoedAtOnceUntilThePeerSaysCwr) {
  Script s = agreed();
  for (int i = 0; i < 20; ++i) s.send(seg().len(1460)).swallow();  // past the quick ones
  s.send(seg().len(100).ce()).expect({seg().flags("AE")});
  s.write("x").expect({seg().flags("AE").ect(true)});
  s.send(seg().len(2920).pieces(2)).expect({seg().flags("AE")});
  s.send(seg().len(2920).pieces(2).flags("AC")).expect({seg().flags("A")});
  s.counts(&EndpointStats::ce_received, 1);
}

STORY(Ecn, CwrOnAMarkedSegment_GoesOnEchoing) {
  Script s = agreed();
  s.send(seg().len(100).ce()).expect({seg().flags("AE")});
  s.send(seg().len(100).flags("AC").ce()).expect({seg().flags("AE")});
}

STORY(Ecn, MarkOutsideTheWindowOrOnKnownOctets_NotEchoed) {
  Script s = agreed();
  s.send(seg().len(100)).swallow();
  s.send(seg().seq(1).len(100).ce()).expect({seg().flags("A")});
  s.send(seg().seq(200000).len(100).ce()).expect({seg().flags("A")});
}

STORY(Ecn, Echo_WindowReducedOnceAndTheNextNewDataSaysSo) {
  Script s = agreed();
  s.write(100 * 1460);
  ASSERT_EQ(s.take().size(), 10U);
  // Half of ten segments may be in flight now.
  const auto why = "it reduces bit by bit: a segment for every two that arrived (RFC 6937)";
  s.kernel_differs(why, {seg().flags("AC").ect(true).fresh()});
  s.send(seg().ack(1 + 1460).flags("AE")).quiet();
  s.kernel_differs(why, {seg().flags("A").fresh(), seg().flags("A").fresh()});
  s.send(seg().ack(1 + 5 * 1460).flags("AE")).quiet();
  s.counts(&EndpointStats::ecn_reductions, 1);
  s.kernel_differs(why, std::vector<Seg>{});
  s.after(5)
      .send(seg().ack(1 + 6 * 1460).flags("AE"))
      .expect({seg().flags("AC").ect(true).fresh()});
  // Until the CWR is acknowledged the peer goes on echoing: that is no news.
  s.send(seg().ack(1 + 10 * 1460).flags("AE")).swallow();
  s.counts(&EndpointStats::ecn_reductions, 1);
  s.send(seg().ack(1 + 12 * 1460).flags("AE")).swallow();
  s.counts(&EndpointStats::ecn_reductions, 2);
}

STORY(Ecn, RetransmissionsProbesAndBareAcks_AreNotEct) {
  Script s = agreed();
  s.write(1460).expect({seg().ect(true)});
  s.later(200, {seg().again().ect(false).flags("A")});
  s.send(seg().ack(1461)).quiet();
  s.write("new").expect({seg().flags("AC").ect(true)});  // the timeout reduced the window, too
  s.send(seg().ack(1464).win(0)).quiet();
  s.write("probe").quiet();
  s.kernel_differs("its probe bears no text", {seg().len(0).ect(false)});
  s.later(200, {seg().len(1).ect(false)});
  s.send(seg().len(10).ack(1464).win(0)).expect({seg().len(0).ect(false)});
}

STORY(Ecn, PeerDidNotAgree_ItsEceMeansNothing) {
  Script s;
  s.flight(1460);
  s.send(seg().ack(1461).flags("AE")).quiet();
  s.counts(&EndpointStats::ecn_reductions, 0);
}

// Section 6.1.2: one reduction for a window of data, whoever told of congestion first.
ENDPOINT_STORY(Ecn, LossInTheWindowOfAnEcho_NoSecondReduction, "the size of a window") {
  Config config = ecn(Ecn::kRequest);
  config.offer_sack = true;
  Script s(config, {.sack = true});
  s.connect().swallow();
  s.send(seg().seq(0).flags("SAE").ack(1)).swallow();
  s.write(10 * 1460).swallow();
  s.after(1).send(seg().ack(1461).flags("AE")).quiet();
  s.send(seg().ack(1461).flags("AE").sack({{2921, 8761}})).expect({seg().seq(1461).again()});
  s.counts(&EndpointStats::fast_retransmits, 1);
  s.send(seg().ack(14601)).quiet();
  s.write(20 * 1460);
  EXPECT_EQ(s.take().size(), 5U) << "half of ten";
}

}  // namespace
}  // namespace vtl::endpoint::script
