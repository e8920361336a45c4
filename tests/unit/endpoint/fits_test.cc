// Endpoint::fits(): what may be the peer's own segment, and what a stranger's guess.

#include <gtest/gtest.h>

#include "vtl/endpoint/endpoint.h"

namespace vtl::endpoint {
namespace {

using wire::SeqNum;
using wire::TcpFlags;

constexpr std::uint32_t kOurs = 1000, kTheirs = 500'000;
constexpr std::uint32_t kWindow = 20'000;

class Fits : public testing::Test {
 protected:
  static Segment segment(std::uint8_t flags, std::uint32_t seq, std::uint32_t ack) {
    Segment out;
    out.header.seq = SeqNum(seq);
    out.header.ack = SeqNum(ack);
    out.header.flags.bits = flags;
    out.header.window = 1000;
    return out;
  }
  static Config small() {
    Config config;
    config.receive_buffer = config.receive_buffer_initial = kWindow;
    return config;
  }
  void send_all() {
    endpoint.dispatch(now, [](const OutSegment&) { return true; });
  }
  void establish() {
    send_all();
    endpoint.process(segment(TcpFlags::kSyn | TcpFlags::kAck, kTheirs, kOurs + 1), now);
    send_all();
    ASSERT_EQ(endpoint.state(), State::kEstablished);
  }
  [[nodiscard]] bool fits(std::uint8_t flags, std::uint32_t seq, std::uint32_t ack) const {
    return endpoint.fits(segment(flags, seq, ack));
  }

  ManualClock clock;
  Time now = clock.now();
  Endpoint endpoint =
      Endpoint::connect(small(), {wire::Port(1), wire::Port(2)}, SeqNum(kOurs), now);
};

TEST_F(Fits, SynSent_OnlyWhatAcknowledgesOurSyn) {
  constexpr std::uint8_t kBoth = TcpFlags::kSyn | TcpFlags::kAck;
  EXPECT_FALSE(fits(kBoth, kTheirs, kOurs + 1)) << "not sent yet";
  send_all();
  EXPECT_TRUE(fits(kBoth, kTheirs, kOurs + 1));
  EXPECT_FALSE(fits(kBoth, kTheirs, kOurs));
  EXPECT_FALSE(fits(kBoth, kTheirs, kOurs + 2));
  EXPECT_FALSE(fits(TcpFlags::kAck, kTheirs, kOurs + 1));
  EXPECT_FALSE(fits(TcpFlags::kSyn, kTheirs, kOurs + 1));
  EXPECT_FALSE(fits(TcpFlags::kRst | TcpFlags::kAck, kTheirs, kOurs + 1));
}

TEST_F(Fits, Established_WithinAWindowOnBothSides) {
  establish();
  EXPECT_TRUE(fits(TcpFlags::kAck, kTheirs + 1, kOurs + 1));
  EXPECT_TRUE(fits(TcpFlags::kAck, kTheirs + 1 + kWindow / 2, kOurs + 1)) << "out of order";
  EXPECT_TRUE(fits(TcpFlags::kAck, kTheirs - 5000, kOurs + 1)) << "an old one again";
  EXPECT_FALSE(fits(TcpFlags::kAck, kTheirs + 2 + 2 * kWindow, kOurs + 1));
  EXPECT_FALSE(fits(TcpFlags::kAck, kTheirs - 2 * kWindow, kOurs + 1));
  EXPECT_FALSE(fits(TcpFlags::kAck, kTheirs + 1, kOurs + 2)) << "never sent";
  EXPECT_FALSE(fits(TcpFlags::kAck, kTheirs + 1, kOurs - 5000)) << "RFC 5961 section 5.2";
  EXPECT_FALSE(fits(TcpFlags::kRst | TcpFlags::kAck, kTheirs + 1, kOurs + 1));
  EXPECT_FALSE(fits(0, kTheirs + 1, kOurs + 1));
}

TEST_F(Fits, Held_Nothing) {
  const Endpoint held = Endpoint::accept_syn(small(), {wire::Port(1), wire::Port(2)}, SeqNum(kOurs),
                                             segment(TcpFlags::kSyn, kTheirs, 0), true, now);
  EXPECT_FALSE(held.fits(segment(TcpFlags::kAck, kTheirs + 1, kOurs + 1)));
}

TEST_F(Fits, Closed_Nothing) {
  establish();
  endpoint.abort(now);
  EXPECT_FALSE(fits(TcpFlags::kAck, kTheirs + 1, kOurs + 1));
}

}  // namespace
}  // namespace vtl::endpoint
