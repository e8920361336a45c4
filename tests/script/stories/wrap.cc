// Sequence numbers that pass 2^31 and 2^32: RFC 9293 section 3.4.1. Everything that is compared is
// compared across the edge once.
#include <gtest/gtest.h>

#include "tests/script/sack_path.h"

namespace vtl::endpoint::script {
namespace {

// Both ends' initial numbers lie a little below the edge; the kernel's can be chosen where it
// opens.
struct Edge {
  std::uint32_t ours;
  std::uint32_t theirs;
};
constexpr Edge k31{0x7fffffffU - 3000, 0x7fffffffU - 2000};
constexpr Edge k32{0xffffffffU - 3000, 0xffffffffU - 2000};

struct Edgewise : Script {
  explicit Edgewise(Edge edge, Config config = with_sack())
      : Script(config, {.stamps = config.offer_timestamps, .sack = true}, edge.ours, edge.theirs) {
    established(true);
  }
};

void text_arrives(Edge edge) {
  Edgewise s(edge);
  for (std::uint32_t i = 1; i <= 5; ++i) s.send(seg().len(1000)).expect({ack(1 + 1000 * i)});
  EXPECT_EQ(s.readable(), 5000U);
}
STORY(Wrap, Past2To31_TextArrives) {
  text_arrives(k31);
}
STORY(Wrap, Past2To32_TextArrives) {
  text_arrives(k32);
}

void text_leaves(Edge edge) {
  Edgewise s(edge);
  s.write(6 * kMss).expect_stream(1, 6 * kMss);
  s.send(seg().ack(1 + 2 * kMss)).quiet();
  s.send(seg().ack(1 + 6 * kMss)).quiet();
  EXPECT_TRUE(s.all_acknowledged());
}
STORY(Wrap, Past2To31_TextLeaves) {
  text_leaves(k31);
}
STORY(Wrap, Past2To32_TextLeaves) {
  text_leaves(k32);
}

void gap(Edge edge) {
  Edgewise s(edge);
  s.send(seg().seq(1001).len(1000)).expect({ack(1).sack({{1001, 2001}})});
  s.send(seg().seq(2501).len(1000)).expect({ack(1).sack({{2501, 3501}, {1001, 2001}})});
  s.send(seg().seq(2001).len(500)).expect({ack(1).sack({{1001, 3501}})});
  s.send(seg().seq(1).len(1000)).expect({ack(3501).sack({})});
  s.send(seg().seq(1501).len(1000)).expect({ack(3501).sack({{1501, 2501}})});
  EXPECT_EQ(s.readable(), 3500U);
}
STORY(Wrap, GapAcross2To31_ToldAndFilled) {
  gap(k31);
}
STORY(Wrap, GapAcross2To32_ToldAndFilled) {
  gap(k32);
}

void lost(Edge edge) {
  Script s(with_sack(), {.sack = true}, edge.ours, edge.theirs);
  s.syn_sent().after(40).send(seg().seq(0).flags("SA").ack(1)).swallow();
  s.write(10 * kMss).swallow();
  s.after(40).send(told(1, {{1 + kMss, 1 + 2 * kMss}, {1 + 3 * kMss, 1 + 10 * kMss}}));
  s.expect({seg().seq(1).len(kMss).again(), seg().seq(1 + 2 * kMss).len(kMss).again()});
  s.after(40).send(told(1 + 2 * kMss, {{1 + 3 * kMss, 1 + 10 * kMss}})).quiet();
  s.send(seg().ack(1 + 10 * kMss)).quiet();
  EXPECT_TRUE(s.all_acknowledged());
}
STORY(Wrap, LossAcross2To31_RepairedBySack) {
  lost(k31);
}
STORY(Wrap, LossAcross2To32_RepairedBySack) {
  lost(k32);
}

void lost_without_sack(Edge edge) {
  Edgewise s(edge, plain());
  s.write(10 * kMss).swallow();
  s.send(seg().ack(1 + 2 * kMss)).quiet();
  for (int i = 0; i < 2; ++i) s.send(seg().ack(1 + 2 * kMss)).quiet();
  s.send(seg().ack(1 + 2 * kMss)).expect({seg().seq(1 + 2 * kMss).len(kMss).again()});
  s.send(seg().ack(1 + 10 * kMss)).quiet();
}
STORY(Wrap, LossAcross2To31_RepairedByDuplicates) {
  lost_without_sack(k31);
}
STORY(Wrap, LossAcross2To32_RepairedByDuplicates) {
  lost_without_sack(k32);
}

void timed_out(Edge edge) {
  Edgewise s(edge, plain());
  s.write(5 * kMss).swallow();
  s.later(200, {seg().seq(1).len(kMss).again()});
  s.send(seg().ack(1 + kMss)).expect({seg().again(), seg().again()});
  s.send(seg().ack(1 + 5 * kMss)).quiet();
}
STORY(Wrap, TimeoutAcross2To31_SentAgain) {
  timed_out(k31);
}
STORY(Wrap, TimeoutAcross2To32_SentAgain) {
  timed_out(k32);
}

// The SYN has the last number before the edge, the first octet the first behind it.
void at_the_syn(std::uint32_t iss) {
  Script s(plain(), {}, iss, iss);
  s.established(true).write("ours").expect({seg().seq(1).data("ours")});
  s.send(seg().data("theirs").ack(5)).expect({seg().seq(5).ack(7)});
  s.send(seg().seq(0).ack(5)).expect({ack(7)});
  s.send(seg().flags("FA").ack(5)).expect({ack(8)});
  s.shutdown().expect({seg().seq(5).flags("FA")});
  s.send(seg().ack(6)).quiet().state(State::kClosed);
}
STORY(Wrap, TheSynLiesBefore2To31_OpensAndCloses) {
  at_the_syn(0x7fffffffU);
}
STORY(Wrap, TheSynLiesBefore2To32_OpensAndCloses) {
  at_the_syn(0xffffffffU);
}

// The FIN has the last number before the edge.
void at_the_fin(std::uint32_t last) {
  Script s(plain(), {}, last - 5, last - 7);
  s.established(true).write("ours").shutdown().swallow();
  s.send(seg().data("theirs").flags("FA").ack(6)).expect({seg().seq(6).ack(8).flags("A")});
  s.state(State::kTimeWait);
  s.send(seg().seq(7).flags("FA").ack(6)).expect({seg().seq(6).ack(8).flags("A")});
}
STORY(Wrap, TheFinLiesBefore2To31_Closes) {
  at_the_fin(0x7fffffffU);
}
STORY(Wrap, TheFinLiesBefore2To32_Closes) {
  at_the_fin(0xffffffffU);
}

void resets(Edge edge) {
  Edgewise s(edge);
  s.send(seg().seq(2500).flags("R")).expect({ack(1)});  // in the window, across the edge
  s.send(seg().seq(0U - 5U).flags("R")).quiet();        // below
  s.send(seg().seq(90'000).flags("R")).quiet();         // beyond
  s.send(seg().seq(3000).flags("S")).expect({ack(1)});  // a SYN across the edge
  s.send(seg().seq(200'000).data("far")).expect({ack(1)});
  s.state(State::kEstablished);
  s.send(seg().seq(1).len(2100)).swallow();
  s.send(seg().seq(2101).flags("R")).quiet().state(State::kClosed);
}
STORY(Wrap, ResetsAround2To31_OnlyTheExactOneCounts) {
  resets(k31);
}
STORY(Wrap, ResetsAround2To32_OnlyTheExactOneCounts) {
  resets(k32);
}

void window_shuts(Edge edge) {
  Script s(plain(), {.window = 2 * kMss}, edge.ours, edge.theirs);
  s.established(true).write(4 * kMss).expect_stream(1, 2 * kMss);
  s.send(seg().ack(2 * kMss + 1).win(0)).quiet();
  s.until_sent(5000);
  s.swallow();  // a probe
  s.send(seg().ack(2 * kMss + 1).win(2 * kMss)).expect_stream(2 * kMss + 1, 2 * kMss);
  s.send(seg().ack(4 * kMss + 1)).quiet();
  EXPECT_TRUE(s.all_acknowledged());
}
STORY(Wrap, WindowEdgeCrosses2To31_NothingIsLost) {
  window_shuts(k31);
}
STORY(Wrap, WindowEdgeCrosses2To32_NothingIsLost) {
  window_shuts(k32);
}

}  // namespace
}  // namespace vtl::endpoint::script
