#include "vtl/engine/fast_path.h"

#include <gtest/gtest.h>

#include <memory>

#include "tests/support/fake_cut_through.h"
#include "tests/support/virtual_reactor.h"

namespace vtl::engine {
namespace {

iface::CutFlow flow(std::uint16_t port) {
  return {.key = {.source = {wire::Ipv4Address(192, 0, 2, 1), wire::Port(port)},
                  .destination = {wire::Ipv4Address(198, 51, 100, 2), wire::Port(80)}},
          .a = wire::MacAddress({2, 0, 0, 0, 0, 1}),
          .b = wire::MacAddress({2, 0, 0, 0, 0, 2})};
}

class FastPathTest : public testing::Test {
 protected:
  void pass(Duration time) {
    reactor_.run_until([] { return false; }, time);
  }
  [[nodiscard]] bool forwarding() const { return kernel_->until >= reactor_.now(); }

  test::VirtualReactor reactor_;
  std::shared_ptr<test::FakeCutThrough> kernel_ = std::make_shared<test::FakeCutThrough>();
  bool wanted_by_a_service_ = false;
  std::unique_ptr<FastPath> path_ = std::make_unique<FastPath>(
      reactor_, kernel_, [this](const wire::FlowKey&) { return !wanted_by_a_service_; });
};

TEST_F(FastPathTest, TheKernelIsAllowedToForwardForAsLongAsTheLoopRuns) {
  for (int i = 0; i < 40; ++i) {
    pass(100ms);
    ASSERT_TRUE(forwarding()) << i;
    ASSERT_LE(kernel_->until, reactor_.now() + FastPath::kHold);
  }
}

TEST_F(FastPathTest, AHoldStopsTheKernelAtOnceUntilTheLastRelease) {
  ASSERT_TRUE(path_->take(flow(1)));
  path_->hold();
  path_->hold();
  EXPECT_FALSE(forwarding());
  path_->release();
  pass(10s);
  EXPECT_FALSE(forwarding());
  EXPECT_EQ(kernel_->flows.size(), 1U);
  path_->release();
  EXPECT_TRUE(forwarding());
}

TEST_F(FastPathTest, WhenTheKernelsSideIsLostItIsGivenUpAndSaysWhy) {
  ASSERT_TRUE(path_->take(flow(1)));
  EXPECT_TRUE(path_->forwards());
  kernel_->trouble = "taken away";
  pass(1s);
  EXPECT_FALSE(forwarding());
  EXPECT_FALSE(path_->forwards());
  EXPECT_EQ(path_->trouble(), "taken away");
  EXPECT_FALSE(path_->take(flow(2)));
  kernel_->trouble.clear();
  pass(10s);
  EXPECT_FALSE(forwarding()) << "for good: nobody knows what passed meanwhile";
}

TEST_F(FastPathTest, ItsEndStopsTheKernelAtOnce) {
  path_.reset();
  EXPECT_FALSE(forwarding());
}

TEST_F(FastPathTest, AFlowThatAServiceWantsToSeeIsNotTaken) {
  wanted_by_a_service_ = true;
  EXPECT_FALSE(path_->take(flow(1)));
  EXPECT_TRUE(kernel_->flows.empty());
  EXPECT_EQ(path_->counters().refused.value(), 0U);
}

TEST_F(FastPathTest, AFullTableIsCountedAndGivingBackMakesRoom) {
  kernel_->room = 1;
  EXPECT_TRUE(path_->take(flow(1)));
  EXPECT_FALSE(path_->take(flow(2)));
  EXPECT_EQ(path_->counters().refused.value(), 1U);
  kernel_->flows.front().usage.octets = {7, 9};
  EXPECT_EQ(path_->give_back(flow(1)).octets[1], 9U);
  EXPECT_TRUE(path_->take(flow(2)));
  EXPECT_EQ(path_->counters().flows.value(), 1U);
  EXPECT_EQ(path_->counters().taken.value(), 2U);
}

}  // namespace
}  // namespace vtl::engine
