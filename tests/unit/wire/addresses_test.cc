#include "vtl/wire/addresses.h"

#include <gtest/gtest.h>

#include "vtl/wire/flow_key.h"
#include "vtl/wire/format.h"
#include "vtl/wire/seq.h"

namespace vtl::wire {
namespace {

TEST(MacAddress, TextGoesBothWays) {
  const auto mac = MacAddress::parse("02:00:5E:10:00:af");
  ASSERT_TRUE(mac);
  EXPECT_EQ(to_string(*mac), "02:00:5e:10:00:af");
  EXPECT_FALSE(mac->is_multicast());
  EXPECT_TRUE(MacAddress::broadcast().is_multicast());
  EXPECT_TRUE(MacAddress::parse("01:00:5e:00:00:01")->is_multicast());
}

TEST(MacAddress, RefusesWhatIsNotExactlyOne) {
  for (const char* text : {"", "02:00:5e:10:00", "02:00:5e:10:00:01:", "02-00-5e-10-00-01",
                           "02:00:5e:10:00:0g", "02:00:5e:10:00:011", "2:0:5e:10:0:1"}) {
    EXPECT_FALSE(MacAddress::parse(text)) << text;
  }
}

TEST(Ipv4Address, TextGoesBothWays) {
  EXPECT_EQ(to_string(*Ipv4Address::parse("192.0.2.255")), "192.0.2.255");
  EXPECT_EQ(Ipv4Address::parse("127.0.0.1")->value(), 0x7f000001U);
  for (const char* text : {"", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", " 1.2.3.4",
                           "1.2.3.4 ", "1.2.3.4/24", "0x7f.1"}) {
    EXPECT_FALSE(Ipv4Address::parse(text)) << text;
  }
  EXPECT_FALSE(Ipv4Address::parse(std::string_view("1.2.3.4\0x", 9)));
}

TEST(Ipv6Address, PrintsTheCanonicalFormOfRfc5952) {
  const std::pair<const char*, const char*> cases[] = {
      {"2001:0db8:0:0:0:0:2:1", "2001:db8::2:1"},
      {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},  // section 4.2.2
      {"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},           // section 4.2.3, the longest
      {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},     // section 4.2.3, the first
      {"2001:DB8::ABCD", "2001:db8::abcd"},
      {"::", "::"},
      {"::1", "::1"},
      {"1::", "1::"},
      {"1:2:3:4:5:6:0:0", "1:2:3:4:5:6::"},
      {"::ffff:192.0.2.1", "::ffff:192.0.2.1"},
      {"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"},
  };
  for (const auto& [in, out] : cases) {
    const auto address = Ipv6Address::parse(in);
    ASSERT_TRUE(address) << in;
    EXPECT_EQ(to_string(*address), out);
    EXPECT_EQ(Ipv6Address::parse(out), address);
  }
  for (const char* text : {"", ":", "1:2", "fe80::1%eth0", "1::2::3", "12345::", "[::1]"}) {
    EXPECT_FALSE(Ipv6Address::parse(text)) << text;
  }
}

TEST(SocketAddress, TextGoesBothWays) {
  for (const char* text : {"192.0.2.1:80", "[2001:db8::1]:443", "0.0.0.0:0", "[::]:65535"}) {
    const auto address = SocketAddress::parse(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(to_string(*address), text);
  }
  for (const char* text : {"", "192.0.2.1", "192.0.2.1:", "192.0.2.1:65536", "192.0.2.1:-1",
                           "2001:db8::1:80", "[::1]", "[::1:80", ":80", "[192.0.2.1]:80"}) {
    EXPECT_FALSE(SocketAddress::parse(text)) << text;
  }
}

FlowKey key(const char* from, const char* to) {
  return {*SocketAddress::parse(from), *SocketAddress::parse(to), IpProtocol::kTcp, 0};
}

TEST(FlowKey, HashIsTheSameForBothDirections) {
  const FlowKey v4 = key("192.0.2.1:4000", "198.51.100.2:80");
  const FlowKey v6 = key("[2001:db8::1]:4000", "[2001:db8::2]:80");
  EXPECT_EQ(symmetric_hash(v4), symmetric_hash(v4.reversed()));
  EXPECT_EQ(symmetric_hash(v6), symmetric_hash(v6.reversed()));
}

TEST(FlowKey, HashIsWhatTheHeaderPromises) {
  std::uint32_t h = 0xc0000201U ^ 0xc6336402U ^ 4000U ^ 80U;
  h ^= h >> 16;
  h ^= h >> 8;
  EXPECT_EQ(symmetric_hash(key("192.0.2.1:4000", "198.51.100.2:80")), h);
  std::uint32_t g = 1U ^ 2U ^ 4000U ^ 80U;  // the common prefix cancels out
  g ^= g >> 16;
  g ^= g >> 8;
  EXPECT_EQ(symmetric_hash(key("[2001:db8::1]:4000", "[2001:db8::2]:80")), g);
}

TEST(FlowKey, PrintsWithItsVlan) {
  FlowKey k = key("192.0.2.1:4000", "198.51.100.2:80");
  EXPECT_EQ(to_string(k), "tcp 192.0.2.1:4000 > 198.51.100.2:80");
  k.vlan = 7;
  EXPECT_EQ(to_string(k.reversed()), "tcp 198.51.100.2:80 > 192.0.2.1:4000 vlan 7");
}

TEST(FlowKey, FormatsThroughFmt) {
  const FlowKey k = key("192.0.2.1:4000", "[2001:db8::2]:80");
  EXPECT_EQ(fmt::format("{} {} {} {:>10}", k, k.source, k.destination.address,
                        *Ipv4Address::parse("192.0.2.1")),
            "tcp 192.0.2.1:4000 > [2001:db8::2]:80 192.0.2.1:4000 2001:db8::2  192.0.2.1");
  EXPECT_EQ(fmt::format("{}", MacAddress::broadcast()), "ff:ff:ff:ff:ff:ff");
}

TEST(SeqNum, ComparesAcrossTheWrap) {
  const SeqNum before(0xfffffff0U);
  const SeqNum after = before + 0x20;
  EXPECT_LT(before, after);
  EXPECT_EQ(after - before, 0x20);
  EXPECT_EQ(before - after, -0x20);
  EXPECT_EQ(max(before, after), after);
  EXPECT_EQ(min(before, after), before);
  EXPECT_TRUE(in_window(SeqNum(5), before, 0x20));
  EXPECT_FALSE(in_window(after, before, 0x20));
  EXPECT_FALSE(in_window(before - 1, before, 0x20));
  EXPECT_FALSE(in_window(before, before, 0));
}

}  // namespace
}  // namespace vtl::wire
