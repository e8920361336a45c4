// TIME-WAIT, and how a new connection takes its place: RFC 9293 sections 3.6.1 and 3.10.7.4, RFC
// 6191.
#include <gtest/gtest.h>

#include "tests/script/script.h"

namespace vtl::endpoint::script {
namespace {

// Both ends closed; the new connection is the same peer's, of the same ports.

STORY(Reuse, SynBeyondTheOldConnection_TheNewOneOpens) {
  Script s;
  s.time_wait().new_syn(5000 + 100).expect({seg().seq(0).ack(1).flags("SA")});
  s.send(seg().ack(1)).quiet().state(State::kEstablished);
  s.send(seg().data("new")).expect({ack(4)});
}

STORY(Reuse, SynOfTheNumberThatIsExpected_TheOldOneAnswers) {
  Script s;
  s.time_wait().send(seg().seq(2).flags("S")).expect({seg().seq(2).ack(2).flags("A")});
  s.state(State::kTimeWait);
}

STORY(Reuse, SynOfTheOldConnectionAgain_TheOldOneAnswers) {
  Script s;
  s.time_wait().send(seg().seq(0).flags("S")).expect({seg().seq(2).ack(2).flags("A")});
  s.state(State::kTimeWait);
}

STORY(Reuse, SynAckBeyondTheOldConnection_TheOldOneAnswers) {
  Script s;
  s.time_wait().send(seg().seq(1000).flags("SA").ack(1));
  s.expect({seg().seq(2).ack(2).flags("A")}).state(State::kTimeWait);
}

STORY(Reuse, ResetOfWhoeverGotThatAnswer_ThenHisSynOpens) {
  Script s;
  // RFC 9293 section 3.5.1: an opener that gets the ACK of an old connection resets it.
  s.time_wait().send(seg().seq(0).flags("S")).expect({seg().seq(2).ack(2).flags("A")});
  s.send(seg().seq(2).flags("R")).quiet().state(State::kClosed);
}

Config stamped() {
  Config config = plain();
  config.offer_timestamps = true;
  return config;
}

STORY(Reuse, TimestampIsNewer_TheNewOneOpensWhateverItsNumber) {
  Script s(stamped(), {.stamps = true});
  s.time_wait().new_syn(4000, seg().stamps(20'000, 0)).expect({seg().seq(0).ack(1).flags("SA")});
  s.send(seg().ack(1).stamps(20'001, 0)).quiet().state(State::kEstablished);
}

STORY(Reuse, TimestampIsOlder_TheOldOneAnswers) {
  Script s(stamped(), {.stamps = true});
  s.time_wait().send(seg().seq(1000).flags("S").stamps(100, 0));
  s.expect({seg().seq(2).ack(2).flags("A").any_stamps()}).state(State::kTimeWait);
}

STORY(TimeWait, AckOfNothingNew_Silence) {
  Script s;
  s.time_wait().send(seg().seq(2).ack(2)).quiet().state(State::kTimeWait);
}

STORY(TimeWait, FinAgain_AnsweredAgain) {
  Script s;
  s.time_wait();
  for (int i = 0; i < 3; ++i) {
    s.send(seg().seq(1).flags("FA").ack(2)).expect({seg().seq(2).ack(2).flags("A")});
  }
  s.state(State::kTimeWait);
}

STORY(TimeWait, NewText_NotTaken) {
  Script s;
  s.time_wait().send(seg().seq(2).data("late").ack(2));
  s.expect({seg().seq(2).ack(2).flags("A")}).state(State::kTimeWait);
}

STORY(TimeWait, HardIcmpError_Ignored) {
  Script s;
  s.time_wait().icmp_error(true).quiet().state(State::kTimeWait);
}

ENDPOINT_STORY(Reuse, TimeWait_SynBeyondTheOldConnection_Yields,
               "asks the endpoint; the table decides") {
  Script s;
  s.time_wait();
  Segment syn;
  syn.header.flags.bits = wire::TcpFlags::kSyn;
  syn.header.seq = wire::SeqNum(5000 + 100);
  EXPECT_TRUE(s.endpoint().yields_to(syn));
  syn.header.seq = wire::SeqNum(5000);
  EXPECT_FALSE(s.endpoint().yields_to(syn));
}

ENDPOINT_STORY(Reuse, TimeWait_TimestampsDecide, "asks the endpoint; the table decides") {
  Config config = plain();
  config.offer_timestamps = true;
  Script s(config, {.stamps = true});
  s.time_wait();
  Segment syn;
  syn.header.flags.bits = wire::TcpFlags::kSyn;
  syn.header.seq = wire::SeqNum(1);
  syn.header.options.timestamps = wire::TcpTimestamps{9000, 0};
  EXPECT_TRUE(s.endpoint().yields_to(syn));
  syn.header.options.timestamps = wire::TcpTimestamps{100, 0};
  syn.header.seq = wire::SeqNum(100'000);
  EXPECT_FALSE(s.endpoint().yields_to(syn));
}

ENDPOINT_STORY(Reuse, Established_NeverYields, "asks the endpoint; the table decides") {
  Script s;
  s.established();
  Segment syn;
  syn.header.flags.bits = wire::TcpFlags::kSyn;
  syn.header.seq = wire::SeqNum(5000 + 100);
  EXPECT_FALSE(s.endpoint().yields_to(syn));
}

// RFC 6191 section 2: where the new connection has timestamps and the old one had none, what
// remains of the old cannot harm it.
ENDPOINT_STORY(Reuse, TimeWait_OldWithoutTimestampsAndSynWith_Yields,
               "asks the endpoint; the table decides") {
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

}  // namespace
}  // namespace vtl::endpoint::script
