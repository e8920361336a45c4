// What lies beside the sending and recovering of octets: memory, windows that follow the reader,
// ECN, the path's MTU.
#include <gtest/gtest.h>

#include "tests/script/script.h"
#include "vtl/endpoint/connection.h"

namespace vtl::endpoint::script {
namespace {

// One octet in every chunk of the offered window is the cheapest way to make a receiver hold much.
TEST(Reassembly, OneOctetInEveryChunk_CostsAFewChunksAndIsCounted) {
  Config config = plain();
  config.offer_window_scale = true;
  config.receive_buffer = std::size_t{1} << 20;
  Script s(config, {.scale = 7, .window = 1000});
  s.established();
  constexpr std::uint32_t kChunk = ChunkPool::kChunk;
  for (std::uint32_t at = 63; at > 0; --at) {
    s.send(seg().seq(1 + at * kChunk / 2).data("x")).swallow();
  }
  EXPECT_LE(s.endpoint().memory(), 4 * kChunk);
  EXPECT_GE(s.endpoint().stats().pieces_forgotten, 30U);
  // Nothing is lost: what was forgotten was never acknowledged, and is taken when it comes again.
  for (std::uint32_t next = 1; next < 40 * kChunk / 2; next += 1000) {
    s.send(seg().seq(next).len(1000)).swallow();
  }
  EXPECT_EQ(s.endpoint().readable(), s.endpoint().stats().bytes_in);
  EXPECT_GE(s.endpoint().readable(), 40U * kChunk / 2);
}

TEST(Memory, IdleConnectionCostsItsObjectAlone) {
  // The relay of a connection is two of these and an entry of a table: at most 2 KiB in all.
  EXPECT_LE(sizeof(Connection), 768U);
  Script s;
  s.established();
  for (int i = 0; i < 100; ++i) {
    s.send(seg().len(1460)).read_all().swallow();
    s.write(1460).swallow();
    s.send(seg()).swallow();
  }
  EXPECT_EQ(s.endpoint().memory(), sizeof(Endpoint) + sizeof(Connection));
}

// RFC 3168.
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

TEST(Ecn, SynAsks_SynAckAgrees) {
  Script s;
  s.syn(false, "SEC").expect({seg().flags("SAE")});
  s.send(seg()).write("x").expect({seg().ect(true)});
}

TEST(Ecn, SynAsksButItIsOff_SynAckDoesNotAgree) {
  Script s(ecn(Ecn::kOff));
  s.syn(false, "SEC").expect({seg().flags("SA")});
  s.send(seg()).write("x").expect({seg().flags("A").ect(false)});
}

TEST(Ecn, SynDoesNotAsk_NothingIsMarked) {
  Script s;
  s.established().write("x").expect({seg().ect(false)});
  s.send(seg().len(10).ce()).expect({seg().flags("A")});
}

TEST(Ecn, SynAsksThenRepeatsWithout_TakenBack) {
  Script s;
  s.syn(false, "SEC").expect({seg().flags("SAE")});
  s.send(seg().seq(0).flags("S")).expect({seg().flags("SA")});
  s.send(seg()).write("x").expect({seg().ect(false)});
}

TEST(Ecn, Requested_SynAsksAndSynAckAgrees) {
  Script s(ecn(Ecn::kRequest));
  s.connect().expect({seg().flags("SEC")});
  s.send(seg().seq(0).flags("SAE").ack(1)).expect({seg().flags("A").ect(false)});
  s.write("x").expect({seg().ect(true)});
}

TEST(Ecn, Requested_SynAckWithBothBits_NotAgreed) {
  Script s(ecn(Ecn::kRequest));
  s.connect().expect({seg().flags("SEC")});
  s.send(seg().seq(0).flags("SAEC").ack(1)).expect({seg().flags("A")});
  s.write("x").expect({seg().ect(false)});
}

TEST(Ecn, Requested_NoAnswer_NextSynDoesNotAsk) {
  Script s(ecn(Ecn::kRequest));
  s.connect().expect({seg().flags("SEC")});
  EXPECT_NEAR(s.until_sent(5000), 1000, 1);
  s.expect({seg().flags("S")});
  s.send(seg().seq(0).flags("SAE").ack(1)).expect({seg().flags("A")});
  s.write("x").expect({seg().ect(false)});
}

TEST(Ecn, BothOpenAtOnceAndAsk_Agreed) {
  Script s(ecn(Ecn::kRequest));
  s.connect().expect({seg().flags("SEC")});
  s.send(seg().seq(0).flags("SEC")).expect({seg().flags("SAE")});
  s.send(seg().seq(0).flags("SAE").ack(1)).swallow().state(State::kEstablished);
  s.write("x").expect({seg().ect(true)});
}

TEST(Ecn, MarkedSegment_EchoedAtOnceUntilThePeerSaysCwr) {
  Script s = agreed();
  for (int i = 0; i < 20; ++i) s.send(seg().len(1460)).swallow();  // past the quick ones
  s.send(seg().len(100).ce()).expect({seg().flags("AE")});
  s.write("x").expect({seg().flags("AE").ect(true)});
  s.send(seg().len(2920).pieces(2)).expect({seg().flags("AE")});
  s.send(seg().len(2920).pieces(2).flags("AC")).expect({seg().flags("A")});
  EXPECT_EQ(s.endpoint().stats().ce_received, 1U);
}

TEST(Ecn, CwrOnAMarkedSegment_GoesOnEchoing) {
  Script s = agreed();
  s.send(seg().len(100).ce()).expect({seg().flags("AE")});
  s.send(seg().len(100).flags("AC").ce()).expect({seg().flags("AE")});
}

TEST(Ecn, MarkOutsideTheWindowOrOnKnownOctets_NotEchoed) {
  Script s = agreed();
  s.send(seg().len(100)).swallow();
  s.send(seg().seq(1).len(100).ce()).expect({seg().flags("A")});
  s.send(seg().seq(200000).len(100).ce()).expect({seg().flags("A")});
}

TEST(Ecn, Echo_WindowReducedOnceAndTheNextNewDataSaysSo) {
  Script s = agreed();
  s.write(100 * 1460);
  ASSERT_EQ(s.take().size(), 10U);
  // Half of ten segments may be in flight now.
  s.send(seg().ack(1 + 1460).flags("AE")).quiet();
  s.send(seg().ack(1 + 5 * 1460).flags("AE")).quiet();
  EXPECT_EQ(s.endpoint().stats().ecn_reductions, 1U);
  s.send(seg().ack(1 + 6 * 1460).flags("AE")).expect({seg().flags("AC").ect(true).fresh()});
  // Until the CWR is acknowledged the peer goes on echoing: that is no news.
  s.send(seg().ack(1 + 10 * 1460).flags("AE")).swallow();
  EXPECT_EQ(s.endpoint().stats().ecn_reductions, 1U);
  s.send(seg().ack(1 + 12 * 1460).flags("AE")).swallow();
  EXPECT_EQ(s.endpoint().stats().ecn_reductions, 2U);
}

TEST(Ecn, RetransmissionsProbesAndBareAcks_AreNotEct) {
  Script s = agreed();
  s.write(1460).expect({seg().ect(true)});
  s.until_sent(5000);
  s.expect({seg().again().ect(false).flags("A")});
  s.send(seg().ack(1461)).quiet();
  s.write("new").expect({seg().flags("AC").ect(true)});  // the timeout reduced the window, too
  s.send(seg().ack(1464).win(0)).quiet();
  s.write("probe").quiet();
  s.until_sent(5000);
  s.expect({seg().len(1).ect(false)});
  s.send(seg().len(10).ack(1464).win(0)).expect({seg().len(0).ect(false)});
}

TEST(Ecn, PeerDidNotAgree_ItsEceMeansNothing) {
  Script s;
  s.flight(1460);
  s.send(seg().ack(1461).flags("AE")).quiet();
  EXPECT_EQ(s.endpoint().stats().ecn_reductions, 0U);
}

}  // namespace
}  // namespace vtl::endpoint::script
