// What lies beside the sending and recovering of octets: memory, windows that follow the reader,
// ECN, the path's MTU.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "tests/script/script.h"
#include "vtl/endpoint/connection.h"

namespace vtl::endpoint::script {
namespace {

// One octet in every chunk of the offered window is the cheapest way to make a receiver hold much.
TEST(Reassembly, OneOctetInEveryChunk_CostsAFewChunksAndIsCounted) {
  Config config = plain();
  config.offer_window_scale = true;
  config.receive_buffer = config.receive_buffer_initial = std::size_t{1} << 20;
  Script s(config, {.scale = 7, .window = 1000});
  s.established();
  constexpr std::uint32_t kChunk = ChunkPool::kChunk;
  for (std::uint32_t at = 63; at > 0; --at) {
    s.send(seg().seq(1 + at * kChunk).data("x")).swallow();
  }
  EXPECT_LE(s.endpoint().memory(), 4 * kChunk);
  EXPECT_GE(s.endpoint().stats().pieces_forgotten, 60U);
  // Nothing is lost: what was forgotten was never acknowledged, and is taken when it comes again.
  for (std::uint32_t next = 1; next < 20 * kChunk; next += 1000) {
    s.send(seg().seq(next).len(1000)).swallow();
  }
  EXPECT_EQ(s.endpoint().readable(), s.endpoint().stats().bytes_in);
  EXPECT_GE(s.endpoint().readable(), 20U * kChunk);
}

TEST(Memory, IdleConnectionCostsItsObjectAlone) {
  // The relay of a connection is two of these and an entry of a table: at most 2 KiB in all.
  EXPECT_LE(sizeof(Connection), 832U);
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

// A SYN,ACK without ECN is out: no ECT may follow (section 6.1.1).
TEST(Ecn, SynDoesNotAskThenAnOlderOneThatDoes_NothingIsMarked) {
  Script s;
  s.syn(false, "S").expect({seg().flags("SA")});
  s.send(seg().seq(0).flags("SEC")).expect({seg().flags("SA")});
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

// Buffers that follow what is made of them.
Config tuned(ChunkPool* pool = nullptr) {
  Config config = plain();
  config.offer_window_scale = true;
  config.window_scale = 7;
  config.receive_buffer = std::size_t{2} << 20;
  config.receive_buffer_initial = std::size_t{64} << 10;
  config.send_buffer = std::size_t{1} << 20;
  config.send_buffer_initial = std::size_t{64} << 10;
  config.pool = pool;
  return config;
}

constexpr Peer kScaled{.scale = 7, .window = 8000};

/// Established over a path of 100 ms.
Script far_away(const Config& config) {
  Script s(config, kScaled);
  s.connect().expect({seg().flags("S")});
  s.at(100).send(seg().seq(0).flags("SA").ack(1)).expect({seg().flags("A")});
  return s;
}

/// The peer sends `octets`, or all that it may if that is less; returns how many, and takes the
/// edge of the window from the acknowledgements.
struct Pusher {
  Script& s;
  std::uint32_t next = 1;
  std::uint32_t edge = 1 + (64 << 10) - 128;

  std::uint32_t push(std::uint32_t octets) {
    const std::uint32_t before = next;
    while (next < edge && next < before + octets) {
      const std::uint32_t n = std::min({1460U, edge - next, before + octets - next});
      s.send(seg().seq(next).len(n));
      next += n;
      look();
    }
    return next - before;
  }
  /// Time passes; what is sent meanwhile is looked at.
  void wait(double ms) {
    const Time end = s.now() + std::chrono::duration_cast<Duration>(ms * 1ms);
    look();
    while (s.now() < end) {
      s.until_sent(std::chrono::duration<double, std::milli>(end - s.now()).count());
      look();
    }
  }
  void look() {
    for (const auto& sent : s.take()) {
      const auto right = static_cast<std::uint32_t>(sent.header.ack.value() - 5000) +
                         (std::uint32_t{sent.header.window} << 7);
      // A scaled field may round down by less than a unit (RFC 7323 section 2.4).
      ASSERT_GT(right + 128, edge) << "the right edge moved left";
      edge = std::max(edge, right);
    }
  }
  [[nodiscard]] std::uint32_t window() const { return edge - next; }
};

TEST(Autotune, ReaderFollows_WindowDoublesEachRoundTripToItsBound) {
  Script s = far_away(tuned());
  Pusher peer{s};
  std::uint32_t before = peer.window();
  for (int round = 0; round < 12; ++round) {
    const std::uint32_t window = peer.window();
    peer.push(UINT32_MAX / 2);
    peer.wait(100);
    s.read_all();
    peer.look();
    if (round > 1 && before < (1U << 20)) {
      EXPECT_GE(window, 2 * before - 2000) << "round " << round;
    }
    before = window;
    EXPECT_LE(peer.window(), (2U << 20) + 128);
  }
  EXPECT_GE(peer.window(), (2U << 20) - 4000);
}

TEST(Autotune, SenderInSlowStart_NeverWaitsForTheWindow) {
  Script s = far_away(tuned());
  Pusher peer{s};
  peer.push(20);
  peer.wait(100);
  s.read_all();
  peer.look();
  for (std::uint32_t flight = 14600; flight < (1U << 20); flight *= 2) {
    EXPECT_EQ(peer.push(flight), flight);
    peer.wait(100);
    s.read_all();
    peer.look();
  }
}

TEST(Autotune, ReaderTakesLittle_WindowStaysSmall) {
  Script s = far_away(tuned());
  Pusher peer{s};
  for (int round = 0; round < 50; ++round) {
    peer.push(5000);
    peer.wait(100);
    s.read_all();
    peer.look();
  }
  EXPECT_LE(peer.window(), 64U << 10);
}

TEST(Autotune, ReaderStandsStill_NoMoreThanTheInitialBuffer) {
  Script s = far_away(tuned());
  Pusher peer{s};
  peer.push(UINT32_MAX / 2);
  peer.wait(10'000);
  EXPECT_LE(s.endpoint().readable(), 64U << 10);
  EXPECT_LE(peer.window(), 1460U);
}

TEST(Autotune, PoolStrained_WindowDoesNotGrow) {
  ChunkPool pool(std::size_t{8} << 20);
  ByteQueue others(&pool);
  (void)others.append(Bytes(std::vector<std::uint8_t>((std::size_t{4} << 20) + 1)));
  Script s = far_away(tuned(&pool));
  Pusher peer{s};
  for (int round = 0; round < 10; ++round) {
    peer.push(UINT32_MAX / 2);
    peer.wait(100);
    s.read_all();
    peer.look();
  }
  EXPECT_LE(peer.window(), 64U << 10);
  others.clear();
  for (int round = 0; round < 4; ++round) {
    peer.push(UINT32_MAX / 2);
    peer.wait(100);
    s.read_all();
    peer.look();
  }
  EXPECT_GE(peer.window(), 512U << 10) << "it grows as soon as there is memory";
}

TEST(Autotune, PoolScarce_InitialWindowAgainAndNoPromiseIsTakenBack) {
  ChunkPool pool(std::size_t{8} << 20);
  Script s = far_away(tuned(&pool));
  Pusher peer{s};
  for (int round = 0; round < 8; ++round) {
    peer.push(UINT32_MAX / 2);
    peer.wait(100);
    s.read_all();
    peer.look();
  }
  const std::uint32_t grown = peer.window();
  ASSERT_GE(grown, 1U << 20);
  ByteQueue others(&pool);
  (void)others.append(Bytes(std::vector<std::uint8_t>((std::size_t{6} << 20) + 1)));
  // All that was promised is taken; look() sees that the edge never moves back.
  for (int round = 0; round < 100; ++round) {
    peer.push(64 << 10);
    s.read_all();
    peer.wait(100);
  }
  EXPECT_LE(peer.window(), 64U << 10);
  EXPECT_GE(peer.next, 100U * (60 << 10)) << "it goes on, in small windows";
  others.clear();
  peer.push(64 << 10);
  s.read_all();
  peer.look();
  EXPECT_GE(peer.window(), grown - (68U << 10)) << "as soon as there is memory again";
}

TEST(Autotune, SendBufferFollowsTheCongestionWindow) {
  Script s = far_away(tuned());
  EXPECT_EQ(s.endpoint().writable(), 64U << 10);
  s.write(64 << 10);
  std::uint32_t acked = 1;
  for (int round = 0; round < 20; ++round) {
    for (const auto& sent : s.take()) acked += static_cast<std::uint32_t>(sent.data.size());
    s.after(100).send(seg().ack(acked));
    s.write(static_cast<std::uint32_t>(s.endpoint().writable()));
  }
  EXPECT_EQ(s.endpoint().unacknowledged(), 1U << 20);
}

TEST(Autotune, PoolScarce_SendBufferIsTheInitialOne) {
  ChunkPool pool(std::size_t{8} << 20);
  ByteQueue others(&pool);
  Script s = far_away(tuned(&pool));
  s.write(64 << 10);
  std::uint32_t acked = 1;
  for (int round = 0; round < 8; ++round) {
    for (const auto& sent : s.take()) acked += static_cast<std::uint32_t>(sent.data.size());
    s.after(100).send(seg().ack(acked));
    s.write(static_cast<std::uint32_t>(s.endpoint().writable()));
  }
  ASSERT_GT(s.endpoint().unacknowledged(), 128U << 10);
  (void)others.append(Bytes(std::vector<std::uint8_t>((std::size_t{6} << 20) + 1)));
  EXPECT_EQ(s.endpoint().writable(), 0U);
  EXPECT_TRUE(s.endpoint().unacknowledged() > (64U << 10)) << "what was taken is kept";
}

// RFC 5927 section 7: whom to believe that a packet was too big.
wire::SeqNum ours(std::uint32_t relative) {
  return wire::SeqNum(1000 + relative);
}

TEST(PathMtu, TooBigBeforeAnythingArrived_BelievedAtOnce) {
  Script s;
  s.flight(2920);
  s.endpoint().packet_too_big(1000, ours(1461), s.now());
  s.expect({seg().seq(1).len(1000).again(), seg().seq(1001).len(1000).again(),
            seg().seq(2001).len(920).again()});
  EXPECT_EQ(s.endpoint().stats().timeouts, 0U);
}

TEST(PathMtu, TooBigOfWhatIsNotOutstanding_Ignored) {
  Script s;
  s.flight(1460).send(seg().ack(1461)).quiet();
  s.write(1460).swallow();
  s.endpoint().packet_too_big(1000, ours(1), s.now());
  s.endpoint().packet_too_big(1000, ours(2921), s.now());
  s.quiet();
  EXPECT_EQ(s.endpoint().effective_mss(), 1460);
  EXPECT_EQ(s.endpoint().stats().mtu_ignored, 2U);
}

TEST(PathMtu, TooBigThatAsksForWhatIsSentAlready_Ignored) {
  Script s;
  s.flight(2920);
  s.endpoint().packet_too_big(1460, ours(1), s.now());
  s.quiet();
  EXPECT_EQ(s.endpoint().stats().mtu_ignored, 1U);
}

TEST(PathMtu, TooBigForTheSyn_Ignored) {
  Script s;
  s.connect().expect({seg().flags("S")});
  s.endpoint().packet_too_big(1000, ours(0), s.now());
  s.send(seg().seq(0).flags("SA").ack(1)).expect({seg().flags("A")});
  EXPECT_EQ(s.endpoint().effective_mss(), 1460);
}

TEST(PathMtu, TooBigOfASizeThatHasArrived_BelievedWithTheTimeout) {
  Script s;
  s.flight(2920).send(seg().ack(2921)).quiet();
  s.write(2920).swallow();
  s.endpoint().packet_too_big(1000, ours(2921), s.now());
  s.quiet();
  EXPECT_EQ(s.endpoint().effective_mss(), 1460);
  s.until_sent(2000);
  s.expect({seg().seq(2921).len(1000).again()});
  s.send(seg().ack(3921)).expect({seg().seq(3921).len(1000), seg().seq(4921).len(920)});
}

TEST(PathMtu, TooBigOfASizeThatHasArrivedAndStillArrives_Forgotten) {
  Script s;
  s.flight(2920).send(seg().ack(2921)).quiet();
  s.write(2920).swallow();
  s.endpoint().packet_too_big(1000, ours(2921), s.now());
  s.send(seg().ack(4381)).quiet();
  s.until_sent(2000);
  s.expect({seg().seq(4381).len(1460).again()});
}

TEST(PathMtu, SmallestLinkOfAll_SmallestSegments) {
  Config config = plain();
  config.offer_timestamps = true;
  Script s(config, {.stamps = true});
  s.established().write(40).expect({seg().len(40)});
  s.endpoint().packet_too_big(28, ours(1), s.now());
  const auto sent = s.take();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].segment_size, 68 - 40 - 12);
}

// Two ends that each hold the other's timestamps for old would answer one another for ever.
TEST(Paws, OlderAcksInALoop_AnsweredTenTimesASecond) {
  Config config = plain();
  config.offer_timestamps = true;
  Script s(config, {.stamps = true});
  s.established();
  std::size_t answers = 0;
  for (int i = 0; i < 100; ++i) {
    s.send(seg().stamps(6000, 0));
    answers += s.take().size();
  }
  EXPECT_EQ(answers, 10U);
  s.send(seg().data("old").stamps(6000, 0)).expect({ack(1)});
}

// RFC 6191 section 2: where the new connection has timestamps and the old one had none, what
// remains of the old cannot harm it.
TEST(Reuse, TimeWait_OldWithoutTimestampsAndSynWith_Yields) {
  Config config = plain();
  config.offer_timestamps = true;
  Script s(config);
  s.time_wait();
  Segment syn;
  syn.header.flags.bits = wire::TcpFlags::kSyn;
  syn.header.seq = wire::SeqNum(4000);  // before the old connection
  EXPECT_FALSE(s.endpoint().yields_to(syn));
  syn.header.options.timestamps.emplace();
  EXPECT_TRUE(s.endpoint().yields_to(syn));
  Script off;
  off.time_wait();
  EXPECT_FALSE(off.endpoint().yields_to(syn)) << "the new one would have none either";
}

// RFC 5927 section 4: before the connection is synchronized a hard error may end it.
TEST(PassiveOpen, SynReceived_HardIcmpError_Unreachable) {
  Script s;
  s.syn().expect({seg().flags("SA")});
  s.endpoint().icmp_error(true, s.now());
  s.quiet().state(State::kClosed).reason(EndReason::kUnreachable);
}

TEST(PassiveOpen, Held_HardIcmpError_Ignored) {
  Script s;
  s.syn(true).quiet();
  s.endpoint().icmp_error(true, s.now());
  s.quiet().state(State::kSynReceived);
}

// RFC 9293 MUST-15: 536 where the peer says nothing, and 1220 on IPv6.
TEST(Options, PeerWithoutMss_DefaultOfTheIpVersion) {
  Config config = plain();
  config.default_mss = kDefaultMssV6;
  Script s(config, {.mss = std::nullopt});
  s.established().write(2000).expect({seg().len(1220), seg().len(780)});
}

}  // namespace
}  // namespace vtl::endpoint::script
