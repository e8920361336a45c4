#include "vtl/wire/ip_network.h"

#include <gtest/gtest.h>

namespace vtl::wire {
namespace {

IpAddress ip(std::string_view text) {
  return IpAddress::parse(text).value();
}

TEST(IpNetwork, ContainsTheAddressesWithItsFirstBits) {
  const auto v4 = IpNetwork::parse("192.0.2.64/26").value();
  EXPECT_TRUE(v4.contains(ip("192.0.2.64")));
  EXPECT_TRUE(v4.contains(ip("192.0.2.127")));
  EXPECT_FALSE(v4.contains(ip("192.0.2.128")));
  EXPECT_FALSE(v4.contains(ip("::ffff:192.0.2.64")));
  EXPECT_FALSE(v4.contains(IpAddress{}));
  const auto v6 = IpNetwork::parse("2001:db8:8000::/33").value();
  EXPECT_TRUE(v6.contains(ip("2001:db8:ffff::1")));
  EXPECT_FALSE(v6.contains(ip("2001:db8:7fff::1")));
  EXPECT_TRUE(IpNetwork::parse("0.0.0.0/0")->contains(ip("203.0.113.9")));
  EXPECT_FALSE(IpNetwork::parse("0.0.0.0/0")->contains(ip("::1")));
  EXPECT_FALSE(IpNetwork().contains(ip("::1")));
}

TEST(IpNetwork, AnAddressStandsForItself) {
  EXPECT_EQ(IpNetwork::parse("192.0.2.1")->length(), 32);
  EXPECT_EQ(to_string(IpNetwork::parse("2001:db8::7").value()), "2001:db8::7/128");
  EXPECT_EQ(to_string(IpNetwork::parse("192.0.2.0/24").value()), "192.0.2.0/24");
}

TEST(IpNetwork, WhatIsNoNetworkIsNotRead) {
  for (const char* text : {"", "/8", "192.0.2.0/", "192.0.2.0/33", "192.0.2.1/24", "2001:db8::/129",
                           "2001:db8::1/64", "192.0.2.0/2 ", "192.0.2.0/-1", "192.0.2/24"}) {
    EXPECT_FALSE(IpNetwork::parse(text)) << text;
  }
}

}  // namespace
}  // namespace vtl::wire
