#include "vtl/service/anonymizer/egress.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace vtl::service {
namespace {

using wire::IpAddress, wire::Port;

EgressRule rule(bool allow, std::string_view pattern, std::vector<std::string_view> ports = {}) {
  EgressRule out{allow, EgressPattern::parse(pattern).value(), {}};
  for (const auto text : ports) out.ports.push_back(PortRange::parse(text).value());
  return out;
}
EgressRule allow(std::string_view pattern, std::vector<std::string_view> ports = {}) {
  return rule(true, pattern, std::move(ports));
}
EgressRule deny(std::string_view pattern, std::vector<std::string_view> ports = {}) {
  return rule(false, pattern, std::move(ports));
}
transport::Host host(std::string_view text) {
  if (const auto address = IpAddress::parse(text)) return *address;
  return std::string(text);
}
bool may(const EgressList& list, std::string_view text, std::uint16_t port = 443) {
  return list.may_connect(host(text), Port(port));
}

TEST(EgressList, NoRules_NamesAndGlobalAddressesOnly) {
  const EgressList list;
  for (const char* text : {"example.org",
                           "xn--nxasmq6b.example",
                           "foo.onion",
                           "localhost.example",
                           "notlocalhost.example",
                           "127.0.0.1.example",
                           "1.1.1.1",
                           "9.255.255.255",
                           "11.0.0.0",
                           "100.63.255.255",
                           "100.128.0.0",
                           "172.15.0.1",
                           "172.32.0.1",
                           "192.0.0.9",
                           "192.0.1.1",
                           "198.17.255.255",
                           "198.20.0.0",
                           "223.255.255.255",
                           "2606:4700::1111",
                           "2001:4860:4860::8888",
                           "2002:101:101::1",
                           "64:ff9b::101:101",
                           "::ffff:1.1.1.1",
                           "2620:4f:8000::1",
                           "2001:20::1"}) {
    EXPECT_TRUE(may(list, text)) << text;
  }
  for (const char* text : {"0.0.0.0",
                           "0.1.2.3",
                           "10.0.0.1",
                           "100.64.0.1",
                           "127.0.0.1",
                           "127.255.255.255",
                           "169.254.169.254",
                           "172.16.0.1",
                           "172.31.255.255",
                           "192.0.0.1",
                           "192.0.2.1",
                           "192.88.99.1",
                           "192.168.1.1",
                           "198.18.0.1",
                           "198.19.255.255",
                           "198.51.100.1",
                           "203.0.113.1",
                           "224.0.0.1",
                           "239.1.2.3",
                           "240.0.0.1",
                           "255.255.255.255",
                           "::",
                           "::1",
                           "::1.1.1.1",
                           "::ffff:127.0.0.1",
                           "::ffff:10.0.0.1",
                           "64:ff9b::7f00:1",
                           "64:ff9b:1::1",
                           "100::1",
                           "2001::1",
                           "2001:db8::1",
                           "2001:2::1",
                           "2001:10::1",
                           "2002:7f00:1::",
                           "2002:a00:1::1",
                           "3fff::1",
                           "4000::1",
                           "5f00::1",
                           "fc00::1",
                           "fd12::1",
                           "fe80::1",
                           "fec0::1",
                           "ff02::1"}) {
    EXPECT_FALSE(may(list, text)) << text;
  }
}

TEST(EgressList, NamesThatMeanAnAddress_JudgedAsIt) {
  const EgressList list;
  for (const char* text : {"localhost",
                           "LOCALHOST.",
                           "a.b.localhost",
                           "127.0.0.1.",
                           "127.1",
                           "127.0.1",
                           "0x7f000001",
                           "0X7F.1",
                           "2130706433",
                           "017700000001",
                           "0177.0.0.1",
                           "0",
                           "0x7f.0x0.0x0.0x1",
                           "[::1]",
                           "[::ffff:127.0.0.1]",
                           "::1%lo",
                           "[fe80::1%eth0]",
                           "10.1",
                           "3232235777",
                           "127.0.0.1 x",
                           "",
                           "127.0.0.08",
                           "127.0.0.1..",
                           "6425673729",
                           "256.1.1.1",
                           "1.2.3.4.5",
                           "1..2",
                           "x.0x7f",
                           "[::1%lo]",
                           "::127.0.0.1",
                           "::ffff:7f00:1",
                           "a..example",
                           "a b.example",
                           "127\xe3\x80\x82"
                           "1"}) {
    EXPECT_FALSE(list.may_connect(std::string(text), Port(80))) << text;
  }
  for (const char* text : {"1.1", "16843009", "[2606:4700::1111]", "127.0.0.1x", "7.example",
                           "127.0.0.1.nip.example"}) {
    EXPECT_TRUE(list.may_connect(std::string(text), Port(80))) << text;
  }
  EXPECT_EQ(address_in_name("127.1"), IpAddress::parse("127.0.0.1"));
  EXPECT_EQ(address_in_name("1.2.3"), IpAddress::parse("1.2.0.3"));
  EXPECT_EQ(address_in_name("0300.0250.257"), IpAddress::parse("192.168.1.1"));
  EXPECT_EQ(address_in_name("example.org"), std::nullopt);
  EXPECT_EQ(address_in_name("192.168.65536"), std::nullopt);
}

// To a proxy that looks names up on its own host they lead inward.
TEST(EgressList, NamesOfTheProxysOwnHostAndNetwork_OnlyByARule) {
  const EgressList list({allow("printer.lan"), allow("vm")});
  for (const char* text : {"ip6-localhost", "localhost4", "localhost.localdomain", "_gateway",
                           "nas", "localhost6.localdomain6", "host.docker.internal", "x.local",
                           "X.LOCAL.", "router.lan", "a.home.arpa", "0xg", "4294967296"}) {
    EXPECT_FALSE(list.may_connect(std::string(text), Port(80))) << text;
    EXPECT_FALSE(list.may_ask(text)) << text;
  }
  EXPECT_TRUE(may(list, "printer.lan"));
  EXPECT_TRUE(may(list, "vm"));
  EXPECT_TRUE(may(list, "local.example"));
  EXPECT_TRUE(may(EgressList({allow("*")}), "nas"));
}

TEST(EgressList, FirstRuleThatMatchesCounts) {
  const EgressList list({allow("www.ads.example"), deny("*.ads.example"),
                         deny("only.example", {"25"}), allow("*.lan.example", {"443", "8000-8100"}),
                         deny("*.lan.example"), deny("192.0.3.0/24"),
                         allow("10.1.0.0/16", {"22"})});
  EXPECT_TRUE(may(list, "www.ads.example"));
  EXPECT_TRUE(may(list, "WWW.ads.Example."));
  EXPECT_FALSE(may(list, "x.ads.example"));
  EXPECT_FALSE(may(list, "a.www.ads.example"));
  EXPECT_TRUE(may(list, "ads.example")) << "a star stands for at least one label";
  EXPECT_TRUE(may(list, "xads.example"));
  EXPECT_FALSE(may(list, "only.example", 25));
  EXPECT_TRUE(may(list, "only.example", 26));
  EXPECT_TRUE(may(list, "a.lan.example", 443));
  EXPECT_TRUE(may(list, "a.lan.example", 8000));
  EXPECT_TRUE(may(list, "a.lan.example", 8100));
  EXPECT_FALSE(may(list, "a.lan.example", 8101));
  EXPECT_FALSE(may(list, "192.0.3.7"));
  EXPECT_TRUE(may(list, "10.1.2.3", 22));
  EXPECT_FALSE(may(list, "10.1.2.3", 23));
  EXPECT_FALSE(may(list, "10.2.2.3", 22));
}

TEST(EgressList, MayAsk_WhatSomePortWouldDo) {
  const EgressList list({deny("a.example", {"25"}), allow("b.example", {"443"}), deny("b.example"),
                         deny("*.c.example"), allow("c.example"), deny("*", {"80"})});
  EXPECT_TRUE(list.may_ask("a.example"));
  EXPECT_TRUE(list.may_ask("b.example"));
  EXPECT_FALSE(list.may_ask("x.c.example"));
  EXPECT_TRUE(list.may_ask("c.example"));
  EXPECT_TRUE(list.may_ask("d.example"));
  EXPECT_FALSE(list.may_ask("localhost"));
  EXPECT_TRUE(list.may_reach(*IpAddress::parse("1.1.1.1")));
  EXPECT_FALSE(list.may_reach(*IpAddress::parse("10.0.0.1")));
}

TEST(EgressList, Any_IsNamesAndAddresses) {
  const EgressList list({allow("*.example"), allow("1.1.1.0/24"), deny("any")});
  EXPECT_TRUE(may(list, "a.example"));
  EXPECT_TRUE(may(list, "1.1.1.1"));
  EXPECT_FALSE(may(list, "8.8.8.8"));
  EXPECT_FALSE(may(list, "a.example.org"));
  EXPECT_FALSE(may(list, "2606:4700::1111"));
}

// Who says "any" thinks of the Internet: what is inside has to be said.
TEST(EgressList, AllowingAny_AllowsWhatIsOutsideOnly) {
  const EgressList list({allow("any", {"443"}), allow("10.1.0.0/16"), allow("nas"), deny("any")});
  EXPECT_TRUE(may(list, "1.1.1.1"));
  EXPECT_TRUE(may(list, "a.example"));
  EXPECT_FALSE(may(list, "a.example", 81));
  for (const char* text : {"127.0.0.1", "192.168.1.1", "::1", "fd00::1", "router.lan", "localhost",
                           "127.1", "64:ff9b::7f00:1"}) {
    EXPECT_FALSE(may(list, text)) << text;
    EXPECT_FALSE(may(EgressList({allow("any")}), text)) << text;
  }
  EXPECT_TRUE(may(list, "10.1.2.3")) << "a later rule names it";
  EXPECT_TRUE(may(list, "nas"));
  EXPECT_FALSE(may(EgressList({deny("any")}), "10.1.2.3"));
}

TEST(EgressList, AddressesOfTheProxysHost_OnlyByARuleThatNamesThem) {
  const auto own = [](const IpAddress& address) {
    return address == *IpAddress::parse("203.0.114.5") || address == *IpAddress::parse("2a00::5");
  };
  for (const EgressList& list : {EgressList({}, own), EgressList({allow("any")}, own)}) {
    for (const char* text : {"203.0.114.5", "2a00::5", "::ffff:203.0.114.5", "64:ff9b::cb00:7205",
                             "2002:cb00:7205::1"}) {
      EXPECT_FALSE(may(list, text)) << text;
      EXPECT_FALSE(list.may_reach(*IpAddress::parse(text))) << text;
    }
    EXPECT_FALSE(list.may_connect(std::string("203.0.29189"), Port(80)));
    EXPECT_TRUE(may(list, "203.0.114.6"));
    EXPECT_TRUE(may(list, "2a00::6"));
  }
  EXPECT_TRUE(may(EgressList({allow("203.0.114.5", {"443"})}, own), "203.0.114.5"));
  EXPECT_TRUE(may(EgressList({allow("2a00::5/128")}, own), "2a00::5"));
  EXPECT_FALSE(may(EgressList({allow("203.0.114.5", {"443"})}, own), "203.0.114.5", 81));
  const EgressList network({allow("203.0.114.0/24"), allow("0.0.0.0/0")}, own);
  EXPECT_FALSE(may(network, "203.0.114.5")) << "a network in which it lies does not name it";
  EXPECT_TRUE(may(network, "203.0.114.6"));
}

TEST(EgressList, WhetherAnyAddressIsReachedAtAll) {
  for (const EgressList& list :
       {EgressList{}, EgressList({deny("*")}), EgressList({deny("any", {"25"})}),
        EgressList({deny("0.0.0.0/0")}), EgressList({allow("10.0.0.0/8"), deny("any")}),
        EgressList({allow("any", {"443"}), deny("any")}),
        EgressList({deny("0.0.0.0/0"), allow("2a00::/16"), deny("any")})}) {
    EXPECT_TRUE(list.reaches_addresses());
  }
  for (const EgressList& list :
       {EgressList({deny("any")}), EgressList({allow("*.example"), deny("any"), allow("any")}),
        EgressList({deny("::/0"), deny("0.0.0.0/0")}),
        EgressList({deny("0.0.0.0/0"), allow("1.1.1.0/24"), deny("::/0")})}) {
    EXPECT_FALSE(list.reaches_addresses());
  }
}

TEST(EgressList, StarIsNoAddress) {
  const EgressList all({allow("*")});
  EXPECT_FALSE(may(all, "localhost"));
  EXPECT_FALSE(may(all, "127.1"));
  EXPECT_FALSE(may(all, "127.0.0.1"));
  const EgressList none({deny("*")});
  EXPECT_FALSE(may(none, "example.org"));
  EXPECT_TRUE(may(none, "1.1.1.1"));
  EXPECT_TRUE(may(none, "1.1")) << "an address, whatever it is called";
}

TEST(EgressList, LocalhostAllowedByItsNameOrByItsAddress) {
  EXPECT_TRUE(may(EgressList({allow("localhost")}), "localhost"));
  EXPECT_FALSE(may(EgressList({allow("localhost")}), "a.localhost"));
  EXPECT_TRUE(may(EgressList({allow("*.localhost")}), "a.localhost"));
  EXPECT_TRUE(may(EgressList({allow("127.0.0.0/8", {"80"})}), "localhost", 80));
  EXPECT_FALSE(may(EgressList({allow("127.0.0.0/8", {"80"})}), "localhost", 81));
  EXPECT_FALSE(may(EgressList({deny("127.0.0.1"), allow("localhost")}), "localhost"));
  EXPECT_TRUE(may(EgressList({allow("localhost"), deny("127.0.0.1")}), "localhost"));
}

TEST(EgressList, AddressesThatStandForOthers_DeniedWithThem) {
  const EgressList list({deny("1.1.1.0/24"), allow("10.0.0.0/8")});
  EXPECT_FALSE(may(list, "::ffff:1.1.1.1"));
  EXPECT_FALSE(may(list, "2002:101:101::1"));
  EXPECT_FALSE(may(list, "64:ff9b::101:101"));
  EXPECT_TRUE(may(list, "::ffff:10.0.0.1"));
  EXPECT_FALSE(may(list, "64:ff9b::a00:1")) << "allowed is the network, not a way around it";
  EXPECT_FALSE(may(EgressList({deny("::ffff:1.1.1.0/120")}), "1.1.1.1"));
}

TEST(EgressPattern, WhatIsWrongSaysWhatWouldBeRight) {
  const std::pair<const char*, const char*> wrong[] = {
      {"", "right would be"},
      {".", "right would be"},
      {"a b", "right would be"},
      {"a..b", "right would be"},
      {"*.", "right would be"},
      {"foo.*.example", "in front only"},
      {"*foo.example", "in front only"},
      {"*.*.example", "in front only"},
      {"192.0.2.1/24", "192.0.2.0/24"},
      {"192.0.2.0/33", "no network"},
      {"example.org/24", "no network"},
      {"example.org:443", "no network"},
      {"127.1", "127.0.0.1"},
      {"b\xc3\xbc"
       "cher.example",
       "xn--"},
  };
  for (const auto& [text, part] : wrong) {
    const auto pattern = EgressPattern::parse(text);
    ASSERT_FALSE(pattern.has_value()) << text;
    EXPECT_NE(pattern.error().message.find(part), std::string::npos) << pattern.error().message;
    EXPECT_NE(pattern.error().message.find(text), std::string::npos) << pattern.error().message;
  }
  for (const char* text : {"0", "443-", "-1", "65536", "9-8", "a", "", "1-2-3", " 1"}) {
    EXPECT_FALSE(PortRange::parse(text).has_value()) << text;
  }
  EXPECT_EQ(PortRange::parse("1-65535").value(), (PortRange{1, 65535}));
  EXPECT_EQ(EgressPattern::parse("*.Example.ORG.").value().name, "example.org");
  EXPECT_EQ(EgressPattern::parse("2001:db8::/32").value().kind, EgressPattern::Kind::kNetwork);
}

// The tables by name give what looking at one rule after the other gives.
RC_GTEST_PROP(EgressProperty, TablesAreTheListInOrder, ()) {
  const std::vector<std::string> names = {"a", "b.a", "c.b.a", "d.c.b.a", "ba"};
  std::vector<EgressRule> rules;
  const auto count = *rc::gen::inRange(0, 8);
  for (int i = 0; i < count; ++i) {
    EgressRule one;
    one.allow = *rc::gen::arbitrary<bool>();
    one.pattern.kind = *rc::gen::element(EgressPattern::Kind::kName, EgressPattern::Kind::kBelow,
                                         EgressPattern::Kind::kAnyName, EgressPattern::Kind::kAny);
    one.pattern.name = *rc::gen::elementOf(names);
    if (*rc::gen::arbitrary<bool>()) one.ports.push_back({80, 90});
    rules.push_back(one);
  }
  const std::string asked = *rc::gen::elementOf(names);
  const auto port = *rc::gen::element<std::uint16_t>(80, 91);
  bool expected = asked.find('.') != std::string::npos;
  for (const EgressRule& one : rules) {
    const std::string& name = one.pattern.name;
    const bool inner = asked.find('.') == std::string::npos;
    const bool about =
        one.pattern.kind == EgressPattern::Kind::kAnyName ||
        (one.pattern.kind == EgressPattern::Kind::kAny && !(one.allow && inner)) ||
        (one.pattern.kind == EgressPattern::Kind::kName ? name == asked
                                                        : asked.ends_with("." + name));
    if (!about || (!one.ports.empty() && port > 90)) continue;
    expected = one.allow;
    break;
  }
  RC_ASSERT(EgressList(rules).may_connect(asked, Port(port)) == expected);
}

}  // namespace
}  // namespace vtl::service
