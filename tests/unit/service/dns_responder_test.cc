#include "vtl/service/anonymizer/dns_responder.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "tests/support/dns_query.h"

namespace vtl::service {
namespace {

using test::DnsQuery;
using wire::DnsCode, wire::DnsMessageView, wire::DnsName, wire::DnsType, wire::IpAddress;

constexpr Time kNow{1h};

class Responder {
 public:
  explicit Responder(DnsMode mode = DnsMode::kPool, bool ipv6 = false,
                     std::vector<EgressRule> rules = {}, std::size_t names = 100)
      : egress_(std::move(rules)),
        pool_(options(ipv6, names), rng_),
        responder_(mode, pool_, egress_) {}

  DnsOutcome ask(Bytes query, std::size_t room = DnsResponder::kMaxAnswer) {
    buffer_.assign(room, 0xaa);
    return responder_.answer(query, buffer_, guest, kNow);
  }
  /// The answer; every one is a whole message.
  std::optional<DnsMessageView> answer(Bytes query) {
    const DnsOutcome outcome = ask(query);
    if (outcome.answer.empty() || outcome.look_up) return std::nullopt;
    const auto view = DnsMessageView::parse(outcome.answer);
    if (!view) return std::nullopt;
    return *view;
  }
  /// "NOERROR 198.18.0.7", "NXDOMAIN", as tools print it.
  std::string told(std::string_view name, DnsType type) {
    const auto view = answer(DnsQuery(name, type).octets());
    return view ? test::summary(*view) : "nothing";
  }
  std::string finished(const DnsAsked& asked,
                       const Result<transport::Host, transport::StreamError>& found) {
    buffer_.assign(DnsResponder::kMaxAnswer, 0xaa);
    const auto view = DnsMessageView::parse(responder_.finish(asked, found, buffer_));
    return view ? test::summary(*view) : "nothing";
  }
  GuestId guest = 1;
  NamePool& pool() { return pool_; }
  const DnsCounters& counters() { return responder_.counters(); }

 private:
  static NamePoolOptions options(bool ipv6, std::size_t names) {
    NamePoolOptions out;
    if (ipv6) out.v6 = *wire::IpNetwork::parse("fd5a:1::/96");
    out.max_names = names;
    return out;
  }
  Rng rng_{1};
  EgressList egress_;
  NamePool pool_;
  DnsResponder responder_;
  std::vector<std::uint8_t> buffer_;
};

TEST(DnsResponder, Address_OfThePool) {
  Responder responder;
  const std::string told = responder.told("www.example.org", DnsType::kA);
  const auto address = responder.pool().give("www.example.org", AddressFamily::kV4, 1, kNow);
  EXPECT_EQ(told, "NOERROR " + to_string(*address));
  EXPECT_EQ(responder.told("WWW.example.ORG", DnsType::kA), told);
  EXPECT_EQ(responder.told("www.example.org", DnsType::kAny), told);
  EXPECT_EQ(responder.told("www.example.org", DnsType::kAaaa), "NOERROR") << "IPv6 is off";
  EXPECT_EQ(responder.counters().addresses.value(), 3U);
  EXPECT_EQ(responder.counters().empty.value(), 1U);
}

TEST(DnsResponder, AnswerIsOneAndAQuestionComesBackAsItWas) {
  Responder responder;
  DnsQuery query("wWw.ExAmPlE.oRg", DnsType::kA);
  query.header.id = 0xbeef;
  query.header.checking_disabled = true;
  const auto view = responder.answer(query.octets());
  ASSERT_TRUE(view);
  EXPECT_EQ(view->header(), (wire::DnsHeader{.id = 0xbeef,
                                             .response = true,
                                             .recursion_desired = true,
                                             .recursion_available = true,
                                             .checking_disabled = true}));
  ASSERT_TRUE(view->question());
  EXPECT_EQ(to_string(view->question()->name), "wWw.ExAmPlE.oRg");
  auto it = view->records();
  const auto record = it.next();
  ASSERT_TRUE(record);
  EXPECT_EQ(record->ttl_seconds(), 60U);
  EXPECT_EQ(to_string(*record->name()), "wWw.ExAmPlE.oRg");
  EXPECT_FALSE(view->edns());
}

TEST(DnsResponder, Ipv6On_BothFamilies) {
  Responder responder(DnsMode::kPool, true);
  const auto six = responder.pool().give("a.onion", AddressFamily::kV6, 1, kNow);
  EXPECT_EQ(responder.told("a.onion", DnsType::kAaaa), "NOERROR " + to_string(*six));
  EXPECT_NE(responder.told("a.onion", DnsType::kA), "NOERROR");
  EXPECT_EQ(responder.told(to_string(DnsName::reverse_of(*six)), DnsType::kPtr), "NOERROR a.onion");
}

TEST(DnsResponder, OtherTypes_EmptyAndKeptForAWhile) {
  Responder responder;
  for (const auto type :
       {DnsType::kHttps, DnsType::kSvcb, DnsType::kTxt, DnsType::kMx, DnsType::kSoa, DnsType::kNs,
        DnsType::kSrv, DnsType::kCname, DnsType{65280}, DnsType{0}}) {
    EXPECT_EQ(responder.told("example.org", type), "NOERROR");
  }
  const auto view = responder.answer(DnsQuery("example.org", DnsType::kHttps).octets());
  auto it = view->records();
  const auto soa = it.next();
  ASSERT_TRUE(soa);
  EXPECT_EQ(soa->section(), wire::DnsSection::kAuthority);
  EXPECT_EQ(soa->ttl_seconds(), 60U);
  EXPECT_EQ(responder.pool().size(), 0U) << "nobody asked for an address";
}

TEST(DnsResponder, MetaTypesAndClasses) {
  Responder responder;
  EXPECT_EQ(responder.told("example.org", DnsType{252}), "REFUSED");
  EXPECT_EQ(responder.told("example.org", DnsType{251}), "REFUSED");
  EXPECT_EQ(responder.told("example.org", DnsType{250}), "NOTIMP");
  EXPECT_EQ(responder.told("example.org", DnsType{128}), "NOTIMP");
  EXPECT_EQ(responder.told("example.org", DnsType::kOpt), "FORMERR");
  DnsQuery chaos("version.bind", DnsType::kTxt);
  chaos.klass = 3;
  EXPECT_EQ(test::summary(*responder.answer(chaos.octets())), "NOTIMP");
}

TEST(DnsResponder, Reverse_OfThePoolOnly) {
  Responder responder;
  const auto given = responder.pool().give("www.example.org", AddressFamily::kV4, 1, kNow);
  EXPECT_EQ(responder.told(to_string(DnsName::reverse_of(*given)), DnsType::kPtr),
            "NOERROR www.example.org");
  EXPECT_EQ(responder.told(to_string(DnsName::reverse_of(*given)), DnsType::kA), "NOERROR");
  const IpAddress other = wire::Ipv4Address(given->v4().value() ^ 1);
  EXPECT_EQ(responder.told(to_string(DnsName::reverse_of(other)), DnsType::kPtr), "NXDOMAIN");
  for (const char* address : {"192.0.2.1", "8.8.8.8", "10.0.0.1", "2001:db8::1"}) {
    EXPECT_EQ(
        responder.told(to_string(DnsName::reverse_of(*IpAddress::parse(address))), DnsType::kPtr),
        "NXDOMAIN");
  }
  EXPECT_EQ(responder.told("18.198.in-addr.arpa", DnsType::kPtr), "NOERROR");
  responder.guest = 2;
  for (const DnsType type : {DnsType::kPtr, DnsType::kAny, DnsType::kA}) {
    EXPECT_EQ(responder.told(to_string(DnsName::reverse_of(*given)), type), "NXDOMAIN")
        << "as where nobody asked for a name";
  }
  (void)responder.told("www.example.org", DnsType::kA);
  EXPECT_EQ(responder.told(to_string(DnsName::reverse_of(*given)), DnsType::kPtr),
            "NOERROR www.example.org");
  EXPECT_EQ(responder.told("in-addr.arpa", DnsType::kNs), "NOERROR");
  EXPECT_EQ(responder.told("1.0.0.127.in-addr.arpa", DnsType::kPtr), "NOERROR localhost");
}

TEST(DnsResponder, SpecialNames) {
  Responder responder(DnsMode::kPool, true);
  for (const char* name : {"localhost", "a.LOCALHOST", "localhost."}) {
    EXPECT_EQ(responder.told(name, DnsType::kA), "NOERROR 127.0.0.1");
    EXPECT_EQ(responder.told(name, DnsType::kAaaa), "NOERROR ::1");
    EXPECT_EQ(responder.told(name, DnsType::kMx), "NOERROR");
  }
  EXPECT_EQ(responder.told("ipv4only.arpa", DnsType::kA), "NOERROR 192.0.0.170 192.0.0.171");
  EXPECT_EQ(responder.told("ipv4only.arpa", DnsType::kAaaa), "NOERROR");
  EXPECT_EQ(responder.told(".", DnsType::kA), "NOERROR");
  EXPECT_EQ(responder.pool().size(), 0U);
  for (const char* name : {"nothing.invalid", "a.onion", "a_b.test", "_dns.resolver.arpa",
                           "0x.example", "1.example"}) {
    EXPECT_NE(responder.told(name, DnsType::kA), "NOERROR") << name;
    EXPECT_TRUE(responder.told(name, DnsType::kA).starts_with("NOERROR 19")) << name;
  }
  for (const char* name : {"printer.local", "intranet"}) {
    EXPECT_EQ(responder.told(name, DnsType::kA), "REFUSED") << name;
  }
  for (const char* name :
       {"127.0.0.1", "127.1", "2130706433", "0x7f000001", "a.0x", "a.1", R"(a\.b.example)",
        R"(a\032b.example)", R"(\000.example)", "a*.example", R"(\195\188.example)"}) {
    EXPECT_EQ(responder.told(name, DnsType::kA), "NXDOMAIN") << name;
  }
}

TEST(DnsResponder, DeniedNames_Refused) {
  Responder responder(DnsMode::kPool, false,
                      {{false, EgressPattern::parse("*.ads.example").value(), {}}});
  EXPECT_EQ(responder.told("x.ads.example", DnsType::kA), "REFUSED");
  EXPECT_EQ(responder.told("x.ads.example", DnsType::kTxt), "REFUSED");
  EXPECT_TRUE(responder.told("ads.example", DnsType::kA).starts_with("NOERROR 19"));
  EXPECT_EQ(responder.counters().refused.value(), 2U);
}

TEST(DnsResponder, PoolSpent_ServerFailure) {
  Responder responder(DnsMode::kPool, false, {}, 1);
  EXPECT_NE(responder.told("a.example", DnsType::kA), "SERVFAIL");
  EXPECT_EQ(responder.told("b.example", DnsType::kA), "SERVFAIL");
  EXPECT_EQ(responder.counters().failed.value(), 1U);
}

TEST(DnsResponder, Edns) {
  Responder responder;
  DnsQuery query("example.org", DnsType::kA);
  query.edns = wire::DnsEdns{4096, 0, true};
  auto view = responder.answer(query.octets());
  EXPECT_EQ(view->edns(), (wire::DnsEdns{1232, 0, true}));
  query.edns = wire::DnsEdns{512, 1, false};
  view = responder.answer(query.octets());
  EXPECT_EQ(test::summary(*view), "NOERROR") << "the lower four bits of BADVERS";
  for (auto it = view->records(); const auto record = it.next();) {
    EXPECT_EQ(record->type(), 41);
    EXPECT_EQ(record->ttl_seconds() >> 24, 1U) << "and its upper ones";
  }
  query.edns = wire::DnsEdns{0, 0, false};  // RFC 6891 section 6.2.3: as 512
  EXPECT_TRUE(test::summary(*responder.answer(query.octets())).starts_with("NOERROR 19"));
  // A cookie (RFC 7873) is not looked at.
  query.options = {0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8};
  EXPECT_TRUE(test::summary(*responder.answer(query.octets())).starts_with("NOERROR 19"));
}

TEST(DnsResponder, Malformed_FormatErrorWithTheIdOrNothing) {
  Responder responder;
  const std::vector<std::uint8_t> good = DnsQuery("www.example.org", DnsType::kA).octets();
  for (std::size_t size = 0; size < good.size(); ++size) {
    const auto view = responder.answer(Bytes(good).first(size));
    EXPECT_EQ(view.has_value(), size >= 12) << size;
    if (!view) continue;
    EXPECT_EQ(test::summary(*view), "FORMERR");
    EXPECT_EQ(view->header().id, DnsQuery::kId);
  }
  const auto changed = [&](std::size_t at, std::uint8_t value) {
    std::vector<std::uint8_t> bad = good;
    bad[at] = value;
    return test::summary(*responder.answer(bad));
  };
  EXPECT_EQ(changed(5, 0), "FORMERR") << "no question";
  EXPECT_EQ(changed(5, 2), "FORMERR") << "two questions";
  EXPECT_EQ(changed(7, 1), "FORMERR") << "an answer that is not there";
  EXPECT_EQ(changed(12, 0xc0), "FORMERR") << "a pointer into the header";
  EXPECT_EQ(changed(12, 0x40), "FORMERR") << "no kind of label";
  EXPECT_EQ(changed(12, 63), "FORMERR") << "a label beyond the end";
  EXPECT_EQ(changed(2, 0x28), "NOTIMP") << "opcode UPDATE";
  std::vector<std::uint8_t> longer = good;
  longer.push_back(0);
  EXPECT_EQ(test::summary(*responder.answer(longer)), "FORMERR");
  std::vector<std::uint8_t> two = good;
  two.insert(two.end(), good.begin() + 12, good.end());
  two[5] = 2;
  EXPECT_EQ(test::summary(*responder.answer(two)), "FORMERR") << "RFC 9619";
}

TEST(DnsResponder, TwoOptRecordsOrOneOfSomebody_FormatError) {
  Responder responder;
  DnsQuery query("www.example.org", DnsType::kA);
  query.edns = wire::DnsEdns{};
  std::vector<std::uint8_t> octets = query.octets();
  std::vector<std::uint8_t> twice = octets;
  twice.insert(twice.end(), octets.end() - 11, octets.end());
  twice[11] = 2;
  EXPECT_EQ(test::summary(*responder.answer(twice)), "FORMERR");
  std::vector<std::uint8_t> answered = octets;
  std::swap(answered[7], answered[11]);
  EXPECT_EQ(test::summary(*responder.answer(answered)), "FORMERR");
  std::vector<std::uint8_t> named = octets;
  named.insert(named.end() - 11, {1, 'a'});
  EXPECT_EQ(test::summary(*responder.answer(named)), "FORMERR");
}

TEST(DnsResponder, Responses_NoAnswer) {
  Responder responder;
  DnsQuery query("www.example.org", DnsType::kA);
  query.header.response = true;
  EXPECT_FALSE(responder.answer(query.octets()));
  EXPECT_EQ(responder.counters().ignored.value(), 1U);
}

TEST(DnsResponder, LongestAnswers_FitAndShortRoomIsTold) {
  Responder responder;
  const std::string label(63, 'a');
  const std::string longest = label + "." + label + "." + label + "." + std::string(61, 'b');
  DnsQuery query(longest, DnsType::kA);
  query.edns = wire::DnsEdns{};
  auto view = responder.answer(query.octets());
  EXPECT_TRUE(test::summary(*view).starts_with("NOERROR 19"));
  EXPECT_FALSE(view->header().truncated);
  const auto given = responder.pool().give(longest, AddressFamily::kV4, 1, kNow);
  EXPECT_EQ(responder.told(to_string(DnsName::reverse_of(*given)), DnsType::kPtr),
            "NOERROR " + longest);
  for (std::size_t room = 12; room < 298; ++room) {
    const auto outcome = responder.ask(query.octets(), room);
    const auto shorter = DnsMessageView::parse(outcome.answer);
    ASSERT_TRUE(shorter) << room;
    EXPECT_TRUE(shorter->header().truncated);
  }
  EXPECT_TRUE(responder.ask(query.octets(), 11).answer.empty());
}

TEST(DnsResponder, ResolveMode_AsksAndAnswersWithWhatIsFound) {
  Responder responder(DnsMode::kResolve, true);
  const auto four = responder.ask(DnsQuery("WWW.example.org", DnsType::kA).octets());
  ASSERT_TRUE(four.look_up);
  EXPECT_TRUE(four.answer.empty());
  EXPECT_EQ(four.look_up->host, transport::Host(std::string("www.example.org")));
  const DnsAsked& asked = four.look_up->asked;
  EXPECT_EQ(responder.finished(asked, *IpAddress::parse("1.1.1.1")), "NOERROR 1.1.1.1");
  EXPECT_EQ(responder.finished(asked, *IpAddress::parse("2606:4700::1111")), "NOERROR");
  EXPECT_EQ(responder.finished(asked, *IpAddress::parse("127.0.0.1")), "REFUSED");
  EXPECT_EQ(responder.finished(asked, *IpAddress::parse("198.18.0.5")), "REFUSED");
  EXPECT_EQ(responder.finished(asked, std::string("a.b")), "SERVFAIL");
  EXPECT_EQ(responder.finished(asked, std::unexpected(transport::StreamError::kHostUnreachable)),
            "NXDOMAIN");
  EXPECT_EQ(responder.finished(asked, std::unexpected(transport::StreamError::kNetworkUnreachable)),
            "NOERROR")
      << "no such addresses; the name may have others";
  EXPECT_EQ(responder.finished(asked, std::unexpected(transport::StreamError::kTimedOut)),
            "SERVFAIL");
  const auto six = responder.ask(DnsQuery("www.example.org", DnsType::kAaaa).octets());
  ASSERT_TRUE(six.look_up);
  EXPECT_EQ(responder.finished(six.look_up->asked, *IpAddress::parse("2606:4700::1111")),
            "NOERROR 2606:4700::1111");
  EXPECT_EQ(responder.finished(six.look_up->asked, *IpAddress::parse("1.1.1.1")), "NOERROR");
  EXPECT_EQ(responder.pool().size(), 0U);
  EXPECT_TRUE(responder.told("a.onion", DnsType::kA).starts_with("NOERROR 19"));
}

TEST(DnsResponder, ResolveMode_Reverse) {
  Responder responder(DnsMode::kResolve);
  const auto outcome = responder.ask(DnsQuery("1.1.1.1.in-addr.arpa", DnsType::kPtr).octets());
  ASSERT_TRUE(outcome.look_up);
  EXPECT_EQ(outcome.look_up->host, transport::Host(*IpAddress::parse("1.1.1.1")));
  EXPECT_EQ(responder.finished(outcome.look_up->asked, std::string("one.one.one.one")),
            "NOERROR one.one.one.one");
  EXPECT_EQ(responder.finished(outcome.look_up->asked, *IpAddress::parse("1.1.1.1")), "SERVFAIL");
  EXPECT_EQ(responder.finished(outcome.look_up->asked, std::string("a..b")), "SERVFAIL");
  EXPECT_EQ(responder.told("1.0.0.10.in-addr.arpa", DnsType::kPtr), "NXDOMAIN");
  EXPECT_EQ(responder.told("1.1.1.1.in-addr.arpa", DnsType::kA), "NOERROR");
  EXPECT_EQ(responder.told("www.example.org", DnsType::kAaaa), "NOERROR") << "IPv6 is off";
  EXPECT_FALSE(responder.ask(DnsQuery("a\\.b.example", DnsType::kA).octets()).look_up);
}

RC_GTEST_PROP(DnsResponderProperty, AnyOctets_AWholeAnswerWithTheIdOrNothing,
              (std::vector<std::uint8_t> octets, bool resolve)) {
  if (octets.size() > 5 && *rc::gen::arbitrary<bool>()) {
    octets[2] = 1;
    octets[4] = 0;
    octets[5] = 1;
  }
  Responder responder(resolve ? DnsMode::kResolve : DnsMode::kPool);
  const DnsOutcome outcome = responder.ask(octets);
  if (outcome.answer.empty()) return;
  const auto view = DnsMessageView::parse(outcome.answer);
  RC_ASSERT(view.has_value());
  RC_ASSERT(view->header().response);
  RC_ASSERT(view->header().id == load_be16(octets, 0));
}

}  // namespace
}  // namespace vtl::service
