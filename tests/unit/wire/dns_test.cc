// DNS names and messages.
#include <absl/hash/hash.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "frames.h"
#include "vtl/wire/dns.h"

namespace vtl::wire {
namespace {

using test::hex;
using test::Octets;

DnsName name(std::string_view text) {
  return DnsName::parse(text).value();
}

// A query for the A records of www.example.org with an OPT record, as a stub resolver sends it.
const Octets kQuery =
    hex("1234 0100 0001 0000 0000 0001"
        "03777777 076578616d706c65 036f7267 00 0001 0001"
        "00 0029 04d0 00008000 0000");

TEST(DnsName, ReadsAndPrints) {
  for (const char* text :
       {"www.example.org", "a", ".", "x\\.y.org", "\\000\\255.org", "_sip._tcp.org"}) {
    EXPECT_EQ(to_string(name(text)), text);
  }
  EXPECT_EQ(to_string(name("example.org.")), "example.org");
  EXPECT_EQ(name("example.org").octets().size(), 13U);
  EXPECT_TRUE(name(".").is_root());
}

TEST(DnsName, WhatIsNoName) {
  const std::string label63(63, 'a');
  EXPECT_TRUE(DnsName::parse(label63));
  EXPECT_FALSE(DnsName::parse(label63 + "a"));
  for (const char* text : {"", "..", ".a", "a..b", "a\\", "\\25", "\\256", "\\2x5"}) {
    EXPECT_FALSE(DnsName::parse(text)) << text;
  }
  std::string longest;  // 3 * 64 + 62 + 1 octets
  for (int i = 0; i < 3; ++i) longest += label63 + ".";
  EXPECT_EQ(name(longest + std::string(61, 'b')).octets().size(), 255U);
  EXPECT_FALSE(DnsName::parse(longest + std::string(62, 'b')));
}

TEST(DnsName, ComparesWithoutRegardToCase) {
  EXPECT_EQ(name("WWW.Example.org"), name("www.eXAMPLE.ORG"));
  EXPECT_NE(name("www.example.org"), name("example.org"));
  EXPECT_NE(name("a.b"), name("a\\.b"));
  EXPECT_EQ(absl::HashOf(name("WWW.Example.org")), absl::HashOf(name("www.example.org")));
  EXPECT_EQ(to_string(name("WWW.Example.org")), "WWW.Example.org");
}

TEST(DnsName, LiesWithin) {
  EXPECT_TRUE(name("www.Example.org").is_within(name("example.ORG")));
  EXPECT_TRUE(name("example.org").is_within(name("example.org")));
  EXPECT_TRUE(name("example.org").is_within(name(".")));
  EXPECT_FALSE(name("badexample.org").is_within(name("example.org")));
  EXPECT_FALSE(name("org").is_within(name("example.org")));
}

TEST(DnsName, ReverseNames) {
  const DnsName four = DnsName::reverse_of(Ipv4Address(192, 0, 2, 17));
  EXPECT_EQ(to_string(four), "17.2.0.192.in-addr.arpa");
  EXPECT_EQ(four.reversed_address(), IpAddress(Ipv4Address(192, 0, 2, 17)));
  const auto address = *Ipv6Address::parse("2001:db8::f1");
  const DnsName six = DnsName::reverse_of(address);
  EXPECT_TRUE(to_string(six).starts_with("1.f.0.0.0.0."));
  EXPECT_EQ(six.reversed_address(), IpAddress(address));
  for (const char* text : {"2.0.192.in-addr.arpa", "1.2.3.4.5.in-addr.arpa",
                           "256.0.0.1.in-addr.arpa", "01.0.0.1.in-addr.arpa",
                           "x.0.0.1.in-addr.arpa", "1.f.ip6.arpa", "example.org", "in-addr.arpa"}) {
    EXPECT_FALSE(name(text).reversed_address()) << text;
  }
}

TEST(DnsMessage, ReadsAQuery) {
  const auto message = DnsMessageView::parse(kQuery);
  ASSERT_TRUE(message);
  EXPECT_EQ(message->header(), (DnsHeader{.id = 0x1234, .recursion_desired = true}));
  const auto question = message->question();
  ASSERT_TRUE(question);
  EXPECT_EQ(*question, (DnsQuestion{name("www.example.org"), 1, kDnsInternet}));
  EXPECT_EQ(message->edns(), (DnsEdns{.payload = 1232, .version = 0, .dnssec_ok = true}));
  EXPECT_EQ(to_string(*message), "query 4660 A www.example.org");
}

TEST(DnsMessage, CutAtEveryOctetIsRefused) {
  for (std::size_t size = 0; size < kQuery.size(); ++size) {
    EXPECT_EQ(DnsMessageView::parse(Bytes(kQuery).first(size)).error(), WireError::kTruncated)
        << size;
  }
  Octets longer = kQuery;
  longer.push_back(0);
  EXPECT_EQ(DnsMessageView::parse(longer).error(), WireError::kBadLength);
}

TEST(DnsMessage, PointersThatLeadNowhere) {
  // A question that points to itself, forward, and into the header.
  for (const char* pointer : {"c00c", "c00e", "c000"}) {
    const Octets message =
        hex(std::string("0001 0100 0001 0000 0000 0000") + pointer + "0001 0001");
    EXPECT_EQ(DnsMessageView::parse(message).error(), WireError::kBadOption) << pointer;
  }
  // Labels of the kinds that RFC 6891 section 5 took back.
  for (const char* label : {"4161", "8161"}) {
    const Octets message =
        hex(std::string("0001 0100 0001 0000 0000 0000") + label + "00 0001 0001");
    EXPECT_EQ(DnsMessageView::parse(message).error(), WireError::kTruncated) << label;
  }
}

TEST(DnsMessage, RecordOfACompressedName) {
  const Octets message =
      hex("1234 8180 0001 0002 0000 0000"
          "03777777 076578616d706c65 036f7267 00 0001 0001"
          "c00c 0005 0001 0000003c 0006 0361 6161 c010"
          "0361 6161 c010 0001 0001 0000003c 0004 c0000207");
  const auto view = DnsMessageView::parse(message);
  ASSERT_TRUE(view);
  auto it = view->records();
  const auto alias = it.next();
  ASSERT_TRUE(alias);
  EXPECT_EQ(alias->name(), name("www.example.org"));
  EXPECT_EQ(alias->target(), name("aaa.example.org"));
  EXPECT_FALSE(alias->address());
  const auto address = it.next();
  ASSERT_TRUE(address);
  EXPECT_EQ(address->name(), name("aaa.example.org"));
  EXPECT_EQ(address->address(), IpAddress(Ipv4Address(192, 0, 2, 7)));
  EXPECT_EQ(address->ttl_seconds(), 60U);
  EXPECT_FALSE(it.next());
  EXPECT_EQ(to_string(*view), "answer 4660 A www.example.org aaa.example.org 192.0.2.7");
}

TEST(DnsMessage, LongChainOfPointersIsNotFollowed) {
  // Each pointer points to the one before it; the first one to the question's name.
  Octets message = hex("0001 8180 0001 0014 0000 0000 0161 00 0001 0001");
  std::size_t last = DnsMessageView::kHeaderSize;
  for (int i = 0; i < 20; ++i) {
    const std::size_t here = message.size();
    message.push_back(static_cast<std::uint8_t>(0xc0 | last >> 8));
    message.push_back(static_cast<std::uint8_t>(last));
    const Octets rest = hex("0010 0001 00000000 0000");
    message.insert(message.end(), rest.begin(), rest.end());
    last = here;
  }
  const auto view = DnsMessageView::parse(message);
  ASSERT_TRUE(view);
  std::size_t followed = 0, records = 0;
  for (auto it = view->records(); const auto record = it.next(); ++records) {
    if (record->name()) ++followed;
  }
  EXPECT_EQ(records, 20U);
  EXPECT_EQ(followed, DnsName::kMaxPointers);
}

TEST(DnsWriter, AnswersAQuery) {
  std::array<std::uint8_t, 512> buffer{};
  const DnsQuestion question{name("www.example.org"), 28, kDnsInternet};
  DnsWriter writer(buffer, {.id = 7, .response = true, .recursion_available = true});
  ASSERT_TRUE(writer.question(question));
  ASSERT_TRUE(writer.address(name("www.EXAMPLE.org"), 60, *IpAddress::parse("2001:db8::1")));
  ASSERT_TRUE(writer.edns({.payload = 1232}, DnsCode::kBadVersion));
  const auto view = DnsMessageView::parse(writer.message());
  ASSERT_TRUE(view);
  EXPECT_TRUE(view->header().response);
  EXPECT_EQ(view->question(), question);
  EXPECT_EQ(to_string(*view), "answer 7 AAAA www.example.org 2001:db8::1");
  EXPECT_EQ(view->edns()->payload, 1232);
  // Header 12, question 17 + 4, record 2 + 10 + 16, OPT 11.
  EXPECT_EQ(writer.message().size(), 72U);
}

TEST(DnsWriter, NegativeAnswerSaysHowLongItMayBeKept) {
  std::vector<std::uint8_t> buffer(512, 0xaa);
  DnsWriter writer(buffer, {.response = true, .code = 3});
  ASSERT_TRUE(writer.question({name("www.example.org"), 1, kDnsInternet}));
  ASSERT_TRUE(writer.negative(name("example.org"), 300));
  const auto view = DnsMessageView::parse(writer.message());
  ASSERT_TRUE(view);
  auto it = view->records();
  const auto soa = it.next();
  ASSERT_TRUE(soa);
  EXPECT_FALSE(it.next());
  EXPECT_EQ(soa->section(), DnsSection::kAuthority);
  EXPECT_EQ(soa->type(), 6);
  EXPECT_EQ(soa->name(), name("example.org"));
  EXPECT_EQ(soa->ttl_seconds(), 300U);
  ASSERT_EQ(soa->data().size(), 22U);
  EXPECT_EQ(load_be16(soa->data(), 0), 0);      // two names: the root
  EXPECT_EQ(load_be32(soa->data(), 18), 300U);  // RFC 2308 section 4: the lesser of the two counts
}

TEST(DnsWriter, WhatFindsNoRoomIsLeftOut) {
  std::array<std::uint8_t, 512> buffer{};
  DnsWriter writer(MutableBytes(buffer).first(50), {.response = true});
  ASSERT_TRUE(writer.question({name("www.example.org"), 1, kDnsInternet}));
  ASSERT_TRUE(writer.address(name("www.example.org"), 60, Ipv4Address(192, 0, 2, 1)));
  EXPECT_FALSE(writer.address(name("www.example.org"), 60, Ipv4Address(192, 0, 2, 2)));
  writer.set_truncated();
  const auto view = DnsMessageView::parse(writer.message());
  ASSERT_TRUE(view);
  EXPECT_TRUE(view->header().truncated);
  auto it = view->records();
  EXPECT_TRUE(it.next());
  EXPECT_FALSE(it.next());
}

RC_GTEST_PROP(DnsProperty, EveryNameReadsBack, (const std::vector<std::string>& labels)) {
  std::string text;
  for (const std::string& label : labels) {
    if (label.empty() || label.size() > DnsName::kMaxLabel) continue;
    for (const char c : label) text += fmt::format("\\{:03}", static_cast<std::uint8_t>(c));
    text += '.';
  }
  const auto parsed = DnsName::parse(text.empty() ? "." : text);
  RC_PRE(parsed.has_value());
  RC_ASSERT(DnsName::parse(to_string(*parsed)) == parsed);
  Octets message(DnsMessageView::kHeaderSize);
  message.insert(message.end(), parsed->octets().begin(), parsed->octets().end());
  RC_ASSERT(DnsName::read(message, DnsMessageView::kHeaderSize) == parsed);
}

}  // namespace
}  // namespace vtl::wire
