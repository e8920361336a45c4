#include "vtl/service/initial_numbers.h"

#include <gtest/gtest.h>

#include <set>

namespace vtl::service {
namespace {

const SipKey kKey{1, 2, 3};

wire::FlowKey flow(std::uint8_t host, std::uint16_t port) {
  wire::FlowKey key;
  key.source = {wire::Ipv4Address(10, 0, 0, host), wire::Port(port)};
  key.destination = {wire::Ipv4Address(192, 0, 2, 1), wire::Port(80)};
  return key;
}

TEST(InitialNumbers, TheSameFlowGoesOnWithAClockOfFourMicroseconds) {
  const InitialNumbers numbers(kKey);
  const Time now = Time{} + 100s;
  EXPECT_EQ(numbers.sequence(flow(1, 4000), now + 1s) - numbers.sequence(flow(1, 4000), now),
            250'000);
}

TEST(InitialNumbers, EveryPartOfTheTupleAndTheKeyCount) {
  const InitialNumbers numbers(kKey);
  SipKey other = kKey;
  other[0] ^= 1;
  wire::FlowKey tagged = flow(1, 4000);
  tagged.vlan = 7;
  const std::set<std::uint32_t> all{
      numbers.sequence(flow(1, 4000), Time{}).value(),
      numbers.sequence(flow(1, 4001), Time{}).value(),
      numbers.sequence(flow(2, 4000), Time{}).value(),
      numbers.sequence(flow(1, 4000).reversed(), Time{}).value(),
      numbers.sequence(tagged, Time{}).value(),
      InitialNumbers(other).sequence(flow(1, 4000), Time{}).value(),
  };
  EXPECT_EQ(all.size(), 6U);
}

TEST(InitialNumbers, TimestampsBeginTheSameForAllPortsOfTwoHosts) {
  const InitialNumbers numbers(kKey);
  EXPECT_EQ(numbers.timestamp_offset(flow(1, 4000)), numbers.timestamp_offset(flow(1, 4001)));
  EXPECT_NE(numbers.timestamp_offset(flow(1, 4000)), numbers.timestamp_offset(flow(2, 4000)));
  EXPECT_NE(numbers.timestamp_offset(flow(1, 4000)),
            numbers.timestamp_offset(flow(1, 4000).reversed()));
}

}  // namespace
}  // namespace vtl::service
