// The window that a receiver offers: RFC 9293 sections 3.8.6 and 3.8.6.2.2. How large it is is each
// TCP's own matter, what becomes of it is not.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/script/script.h"

namespace vtl::endpoint::script {
namespace {

Config small() {
  Config config = plain();
  config.receive_buffer = config.receive_buffer_initial = 16 * 1024;
  return config;
}

// What was told of the window last.
struct Offer {
  std::uint32_t ack = 1;
  std::uint32_t right = 0;
};

// Takes what was sent: no right edge may lie left of one before, but the kernel's shut window, for
// small segments cost it more memory than it had reckoned with.
void follow(Script& s, Offer& offer) {
  for (const auto& sent : s.take()) {
    offer.ack = sent.header.ack.value() - 5000;
    const std::uint32_t right = offer.ack + sent.header.window;
    if (!s.kernel() || sent.header.window > 0) {
      EXPECT_GE(right, offer.right) << "the right edge moved left";
    }
    offer.right = right;
  }
}

// The peer sends all that is offered, a segment at a time. Returns how much of all was taken.
std::uint32_t fill(Script& s, Offer& offer) {
  std::uint32_t next = offer.ack;
  for (int turn = 0; turn < 1000; ++turn) {
    follow(s, offer);
    if (next >= offer.right) {  // an acknowledgement may be delayed while the window stands open
      s.until_sent(300);
      follow(s, offer);
    }
    if (next >= offer.right) return offer.ack - 1;
    const std::uint32_t n = std::min(1000U, offer.right - next);
    s.send(seg().seq(next).len(n));
    next += n;
  }
  ADD_FAILURE() << "the window does not shut";
  return 0;
}

Offer opened(Script& s) {
  Offer offer;
  s.syn();
  follow(s, offer);
  s.send(seg().ack(1));
  return offer;
}

STORY(OfferedWindow, NobodyReads_ShutsAndTheEdgeNeverMovesLeft) {
  Script s(small());
  Offer offer = opened(s);
  const std::uint32_t all = fill(s, offer);
  EXPECT_GE(all, 4096U);
  EXPECT_LE(all, 64U * 1024);
  EXPECT_EQ(s.readable(), all) << "all that was offered is taken";
}

STORY(OfferedWindow, Shut_ProbesAreAnsweredAndNotTaken) {
  Script s(small());
  Offer offer = opened(s);
  const std::uint32_t all = fill(s, offer);
  for (int i = 0; i < 3; ++i) {
    s.send(seg().seq(1 + all).data("p")).expect({ack(1 + all).win(0).len(0)});
  }
  EXPECT_EQ(s.readable(), all);
}

STORY(OfferedWindow, Shut_ProbeWithoutText_Answered) {
  Script s(small());
  Offer offer = opened(s);
  const std::uint32_t all = fill(s, offer);
  s.send(seg().seq(all)).expect({ack(1 + all).win(0).len(0)});
}

STORY(OfferedWindow, ShutAndAllIsRead_TheOpeningIsTold) {
  Script s(small());
  Offer offer = opened(s);
  const std::uint32_t all = fill(s, offer);
  s.read_all();
  follow(s, offer);
  EXPECT_GE(offer.right - offer.ack, 1460U);
  EXPECT_GE(fill(s, offer), all + 1460) << "it can be used";
}

STORY(OfferedWindow, ShutAndOneOctetIsRead_NothingIsTold) {
  Script s(small());
  Offer offer = opened(s);
  const std::uint32_t all = fill(s, offer);
  s.read(1).quiet();
  s.send(seg().seq(1 + all).data("p")).expect({ack(1 + all).win(0)});
}

STORY(OfferedWindow, Shut_ResetAndAcknowledgementCount) {
  Script s(small());
  Offer offer = opened(s);
  s.write("data").swallow();
  const std::uint32_t all = fill(s, offer);
  s.send(seg().seq(1 + all).ack(5)).quiet();
  EXPECT_TRUE(s.all_acknowledged());
  s.send(seg().seq(1 + all).flags("R")).quiet().state(State::kClosed);
}

STORY(OfferedWindow, Shut_TextOfOursGoesOn) {
  Script s(small());
  Offer offer = opened(s);
  const std::uint32_t all = fill(s, offer);
  s.write("data").expect({seg().seq(1).ack(1 + all).win(0).data("data")});
}

STORY(OfferedWindow, OutOfOrder_TheEdgeDoesNotMoveLeft) {
  Script s(small());
  Offer offer = opened(s);
  for (std::uint32_t at = 2001; at < 8001; at += 1000) {
    s.send(seg().seq(at).len(1000));
    follow(s, offer);
  }
  s.send(seg().seq(1).len(2000));
  follow(s, offer);
  EXPECT_EQ(s.readable(), 8000U);
}

}  // namespace
}  // namespace vtl::endpoint::script
