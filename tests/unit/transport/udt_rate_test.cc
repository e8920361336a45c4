// Which rate control a UDT stream runs under, over loopback.

#include <gtest/gtest.h>

#include "tests/unit/transport/pair.h"

namespace vtl::transport::test {
namespace {

class UdtRateTest : public PairTest {
 protected:
  /// Carries 4 MB under the control, checked octet for octet.
  void carry(RateControlKind kind) {
    Options options = listener_options();
    options.rate_control = kind;
    listener = make(options);
    take_requests(*listener);
    Options towards = opener_options(*listener);
    towards.rate_control = kind;
    opener = make(towards);
    carry_stream(kOctets);
  }
  static constexpr std::uint64_t kOctets = 4'000'000;
};

TEST_P(UdtRateTest, VtlsOwnCountsWhatItSends) {
  carry(RateControlKind::kVtl);
  const RateCounters* counters = opener->rate_counters();
  ASSERT_NE(counters, nullptr);
  EXPECT_GE(counters->connections.value(), 1U);
  EXPECT_GE(counters->packets_sent.value(), kOctets / 1500);
  ASSERT_NE(listener->rate_counters(), nullptr);
  EXPECT_GE(listener->rate_counters()->connections.value(), 1U) << "accepted ones have it too";
  EXPECT_GT(listener->rate_counters()->packets_sent.value(), 0U);
}

TEST_P(UdtRateTest, NativeIsLeftToTheLibrary) {
  carry(RateControlKind::kNative);
  EXPECT_EQ(opener->rate_counters(), nullptr);
  EXPECT_EQ(listener->rate_counters(), nullptr);
}

TEST_P(UdtRateTest, PeersOnOnePortMustAgree) {
  listener = make(listener_options());
  Options other = listener_options();
  other.name = "c";
  other.key = "quite another key than that";
  other.local = listener->local_address();
  other.rate_control = RateControlKind::kNative;
  const auto made = make_udt(other, reactor);
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().message.find("the same rate_control"), std::string::npos)
      << made.error().message;
}

INSTANTIATE_TEST_SUITE_P(Udt, UdtRateTest, ::testing::Values(Case{"Udt", make_udt}), case_name);

}  // namespace
}  // namespace vtl::transport::test
