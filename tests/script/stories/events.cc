// Segments in every synchronized state: RFC 9293 section 3.10.7.4, with RFC 5961. The order of its
// checks is that of the groups: sequence number, RST, SYN, ACK, URG, text.
//
// What is told of a state is the same for all of them, save for the numbers that the way there used
// up; so a group says it once, and each state is a story of its own.
#include <gtest/gtest.h>

#include "tests/script/script.h"

namespace vtl::endpoint::script {
namespace {

struct Where {
  Script& (*reach)(Script&);
  State state;
  std::uint32_t theirs;  // the next number of the peer
  std::uint32_t ours;    // the next of the TCP's own
};

constexpr Where kEstablished{[](Script& s) -> Script& { return s.established(); },
                             State::kEstablished, 1, 1};
constexpr Where kActive{[](Script& s) -> Script& { return s.established(true); },
                        State::kEstablished, 1, 1};
constexpr Where kFinWait1{[](Script& s) -> Script& { return s.fin_wait_1(); }, State::kFinWait1, 1,
                          2};
constexpr Where kFinWait2{[](Script& s) -> Script& { return s.fin_wait_2(); }, State::kFinWait2, 1,
                          2};
constexpr Where kCloseWait{[](Script& s) -> Script& { return s.close_wait(); }, State::kCloseWait,
                           2, 1};
constexpr Where kClosing{[](Script& s) -> Script& { return s.closing(); }, State::kClosing, 2, 2};
constexpr Where kLastAck{[](Script& s) -> Script& { return s.last_ack(); }, State::kLastAck, 2, 2};
constexpr Where kTimeWait{[](Script& s) -> Script& { return s.time_wait(); }, State::kTimeWait, 2,
                          2};

// A story of `told` in each state; TIME-WAIT, which remembers less, is named where it is meant.
#define IN_EACH_STATE(group, event, told)     \
  STORY(group, Established_##event) {         \
    told(kEstablished);                       \
  }                                           \
  STORY(group, ActivelyEstablished_##event) { \
    told(kActive);                            \
  }                                           \
  STORY(group, FinWait1_##event) {            \
    told(kFinWait1);                          \
  }                                           \
  STORY(group, FinWait2_##event) {            \
    told(kFinWait2);                          \
  }                                           \
  STORY(group, CloseWait_##event) {           \
    told(kCloseWait);                         \
  }                                           \
  STORY(group, Closing_##event) {             \
    told(kClosing);                           \
  }                                           \
  STORY(group, LastAck_##event) {             \
    told(kLastAck);                           \
  }

#define WHILE_RECEIVING(group, event, told) \
  STORY(group, Established_##event) {       \
    told(kEstablished);                     \
  }                                         \
  STORY(group, FinWait1_##event) {          \
    told(kFinWait1);                        \
  }                                         \
  STORY(group, FinWait2_##event) {          \
    told(kFinWait2);                        \
  }

#define AFTER_THEIR_FIN(group, event, told) \
  STORY(group, CloseWait_##event) {         \
    told(kCloseWait);                       \
  }                                         \
  STORY(group, Closing_##event) {           \
    told(kClosing);                         \
  }                                         \
  STORY(group, LastAck_##event) {           \
    told(kLastAck);                         \
  }

std::vector<Seg> told_where(const Where& where) {
  std::vector<Seg> out;
  out.push_back(seg().seq(where.ours).ack(where.theirs).flags("A").len(0));
  return out;
}

// First, the sequence number.

void text_beyond_the_window(const Where& where) {
  Script s;
  where.reach(s).send(seg().seq(where.theirs + 200'000).data("far"));
  s.expect(told_where(where)).state(where.state);
  EXPECT_EQ(s.readable(), 0U);
}
IN_EACH_STATE(Sequence, TextBeyondTheWindow_Answered, text_beyond_the_window)

void old_text(const Where& where) {
  Script s;
  where.reach(s).send(seg().seq(0).data("o").ack(1));
  s.expect(told_where(where)).state(where.state);
  EXPECT_EQ(s.readable(), 0U);
}
IN_EACH_STATE(Sequence, OldText_Answered, old_text)
STORY(Sequence, TimeWait_OldText_Answered) {
  old_text(kTimeWait);
}

void number_before_the_window(const Where& where) {
  Script s;
  where.reach(s).send(seg().seq(where.theirs - 1).ack(where.ours == 1 ? 1 : where.ours - 1));
  s.expect(told_where(where)).state(where.state);
}
IN_EACH_STATE(Sequence, KeepAliveProbe_Answered, number_before_the_window)

void number_behind_the_window(const Where& where) {
  Script s;
  where.reach(s).send(seg().seq(where.theirs + 100'000).ack(1));
  s.expect(told_where(where)).state(where.state);
}
IN_EACH_STATE(Sequence, AckBeyondTheWindow_Answered, number_behind_the_window)

// Second, RST.

void exact_reset(const Where& where) {
  Script s;
  where.reach(s).send(seg().seq(where.theirs).flags("R"));
  s.quiet().state(State::kClosed);
}
IN_EACH_STATE(Rst, ExactNumber_Closed, exact_reset)
STORY(Rst, TimeWait_ExactNumber_Closed) {
  exact_reset(kTimeWait);
}

void reset_with_ack(const Where& where) {
  Script s;
  where.reach(s).send(seg().seq(where.theirs).flags("RA").ack(where.ours));
  s.quiet().state(State::kClosed);
}
IN_EACH_STATE(Rst, WithAck_Closed, reset_with_ack)

// RFC 9293 section 3.10.7.4: what a reset acknowledges is not looked at once the connection stands.
void reset_with_odd_ack(const Where& where) {
  Script s;
  where.reach(s).send(seg().seq(where.theirs).flags("RA").ack(70'000));
  s.quiet().state(State::kClosed);
}
IN_EACH_STATE(Rst, WithAnAckOfWhatWasNeverSent_ClosedAllTheSame, reset_with_odd_ack)

void reset_in_the_window(const Where& where) {
  Script s;
  where.reach(s).send(seg().seq(where.theirs + 1).flags("R"));
  s.expect(told_where(where)).state(where.state);
  s.send(seg().seq(where.theirs + 30'000).flags("R"));
  s.expect(told_where(where)).state(where.state);
}
IN_EACH_STATE(Rst, ElsewhereInTheWindow_Challenged, reset_in_the_window)

void reset_outside(const Where& where) {
  Script s;
  where.reach(s).send(seg().seq(where.theirs + 100'000).flags("R"));
  s.quiet().state(where.state);
}
IN_EACH_STATE(Rst, OutsideTheWindow_Ignored, reset_outside)

void reset_before_the_window(const Where& where) {
  Script s;
  where.reach(s).send(seg().seq(where.theirs - 1).flags("R"));
  s.quiet().state(where.state);
}
WHILE_RECEIVING(Rst, OneBeforeTheWindow_Ignored, reset_before_the_window)

void reset_at_their_fin(const Where& where) {
  Script s;
  where.reach(s).send(seg().seq(where.theirs - 1).flags("R")).quiet();
  // Some peers answer what comes after their FIN with a reset that bears the FIN's own number.
  s.kernel_differs("a reset that bears the number of the FIN counts, too", State::kClosed);
  s.state(where.state);
}
AFTER_THEIR_FIN(Rst, WithTheNumberOfTheirFin_Ignored, reset_at_their_fin)

STORY(Rst, TimeWait_OutsideTheWindow_Ignored) {
  reset_outside(kTimeWait);
}

// Fourth, SYN.

void syn_in_the_window(const Where& where) {
  Script s;
  where.reach(s).send(seg().seq(where.theirs + 100).flags("S"));
  s.expect(told_where(where)).state(where.state);
}
IN_EACH_STATE(Syn, InTheWindow_Challenged, syn_in_the_window)

void syn_outside(const Where& where) {
  Script s;
  where.reach(s).send(seg().seq(where.theirs + 1'000'000).flags("S"));
  s.expect(told_where(where)).state(where.state);
}
IN_EACH_STATE(Syn, OutsideTheWindow_Challenged, syn_outside)

void first_syn_again(const Where& where) {
  Script s;
  where.reach(s).send(seg().seq(0).flags("S"));
  s.expect(told_where(where)).state(where.state);
}
IN_EACH_STATE(Syn, TheFirstAgain_Challenged, first_syn_again)

// Fifth, ACK.

void no_ack(const Where& where) {
  Script s;
  where.reach(s).send(seg().seq(where.theirs).data("x").flags("P"));
  s.quiet().state(where.state);
  EXPECT_EQ(s.readable(), 0U);
}
IN_EACH_STATE(Ack, NoneAtAll_Dropped, no_ack)

void ack_of_the_future(const Where& where) {
  Script s;
  where.reach(s).send(seg().seq(where.theirs).data("inject").ack(where.ours + 10));
  s.expect(told_where(where)).state(where.state);
  EXPECT_EQ(s.readable(), 0U);
}
IN_EACH_STATE(Ack, OfWhatWasNeverSent_ChallengedAndTextDropped, ack_of_the_future)

void ack_of_the_past(const Where& where) {
  Script s;
  where.reach(s).send(seg().seq(where.theirs).data("inject").ack(0U - 100'000U));
  s.expect(told_where(where)).state(where.state);
  EXPECT_EQ(s.readable(), 0U);
}
IN_EACH_STATE(Ack, FarInThePast_ChallengedAndTextDropped, ack_of_the_past)

void same_ack_again(const Where& where) {
  Script s;
  where.reach(s).send(seg().seq(where.theirs).ack(1)).quiet().state(where.state);
}
WHILE_RECEIVING(Ack, TheSameAgain_NoAnswer, same_ack_again)

// Sixth, URG: it marks octets, it takes none out of the stream.

void urgent_text(const Where& where) {
  Script s;
  where.reach(s).send(seg().seq(1).data("urgent").flags("AU").urgent(6).ack(where.ours));
  s.expect({ack(7)});
  s.send(seg().seq(7).data("more").ack(where.ours)).expect({ack(11)});
  EXPECT_EQ(s.readable(), 10U);
  // A socket's read() stops at the mark; nothing is left out.
  std::string all;
  while (s.readable() > 0) {
    const std::string part = s.unread();
    s.read(part.size());
    all += part;
  }
  EXPECT_EQ(all, "urgentmore");
}
WHILE_RECEIVING(Urg, Text_InBand, urgent_text)

// Seventh, text.

void text_taken(const Where& where) {
  Script s;
  where.reach(s).send(seg().seq(1).data("text").ack(1)).expect({seg().seq(where.ours).ack(5)});
  EXPECT_EQ(s.unread(), "text");
  s.state(where.state);
}
STORY(SegmentText, Established_Taken) {
  text_taken(kEstablished);
}
STORY(SegmentText, FinWait1_Taken) {
  text_taken(kFinWait1);
}
STORY(SegmentText, FinWait2_Taken) {
  Script s;
  s.fin_wait_2().send(seg().data("text").ack(2)).expect({seg().seq(2).ack(5).flags("A")});
  EXPECT_EQ(s.unread(), "text");
  s.state(State::kFinWait2);
}

void text_behind_their_fin(const Where& where) {
  Script s;
  where.reach(s).send(seg().seq(2).data("late").ack(1));
  s.kernel_differs("what follows a FIN is dropped without a word", nothing());
  s.expect(told_where(where)).state(where.state);
  EXPECT_EQ(s.readable(), 0U);
}
AFTER_THEIR_FIN(SegmentText, BehindTheirFin_NotTaken, text_behind_their_fin)

// Eighth, FIN.

void fin_again(const Where& where) {
  Script s;
  where.reach(s).send(seg().seq(1).flags("FA").ack(1));
  s.expect(told_where(where)).state(where.state);
}
AFTER_THEIR_FIN(Fin, TheSameAgain_Answered, fin_again)

}  // namespace
}  // namespace vtl::endpoint::script
