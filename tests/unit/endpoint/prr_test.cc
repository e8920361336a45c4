#include "vtl/endpoint/prr.h"

#include <gtest/gtest.h>

namespace vtl::endpoint {
namespace {

constexpr std::uint32_t kMss = 1000;

// A recovery in which each acknowledgement reports one segment, and what the window allows is sent.
struct Recovery {
  ProportionalRateReduction prr;
  std::uint32_t pipe;
  std::uint32_t threshold;
  std::uint32_t sent = 0;

  Recovery(std::uint32_t outstanding, std::uint32_t lost, std::uint32_t target)
      : pipe(outstanding - lost), threshold(target) {
    prr.begin(outstanding);
  }
  // Returns the octets that were sent.
  std::uint32_t ack(std::uint32_t delivered, bool safe = false) {
    pipe -= std::min(pipe, delivered);
    const std::uint32_t window = prr.window(delivered, pipe, threshold, kMss, safe);
    const std::uint32_t room = window > pipe ? window - pipe : 0;
    const std::uint32_t now = room - room % kMss;
    prr.sent(now);
    pipe += now;
    sent += now;
    return now;
  }
};

TEST(Prr, TheFirstAcknowledgementLetsTheRetransmissionOut) {
  Recovery r(20'000, 1000, 10'000);
  EXPECT_EQ(r.ack(1000), kMss);
}

TEST(Prr, OneLoss_HalfAsMuchIsSentAsIsDeliveredAndTheFlightEndsAtTheThreshold) {
  Recovery r(20'000, 1000, 10'000);
  for (int i = 0; i < 19; ++i) r.ack(1000);
  EXPECT_EQ(r.sent, 10'000U) << "RFC 6937 section 4: prr_out follows prr_delivered by the ratio";
  EXPECT_EQ(r.pipe, 10'000U);
}

TEST(Prr, MuchWasLost_NeverMoreThanWasDelivered) {
  Recovery r(20'000, 15'000, 10'000);
  for (int i = 0; i < 4; ++i) EXPECT_LE(r.ack(1000), 1000U);
  EXPECT_LE(r.pipe, 10'000U);
}

TEST(Prr, MuchWasLostAndTheRepairGoesWell_SlowStartUpToTheThreshold) {
  Recovery r(20'000, 15'000, 10'000);
  r.ack(1000);
  EXPECT_EQ(r.ack(1000, true), 2000U) << "RFC 9937: one segment more than was delivered";
  for (int i = 0; i < 20; ++i) r.ack(1000, true);
  EXPECT_EQ(r.pipe, 10'000U) << "never above the threshold";
}

TEST(Prr, NothingDelivered_NothingMoreIsSent) {
  Recovery r(20'000, 1000, 10'000);
  r.ack(1000);
  EXPECT_EQ(r.ack(0), 0U);
}

}  // namespace
}  // namespace vtl::endpoint
