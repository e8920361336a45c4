#include "vtl/service/anonymizer/dns_stream.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "tests/support/dns_query.h"
#include "tests/support/virtual_reactor.h"

namespace vtl::service {
namespace {

using test::DnsQuery;
using transport::StreamError;
using wire::DnsMessageView, wire::DnsType, wire::IpAddress;

// A guest's side of the stream: what it was told, and the answers it has read.
class Client final : public transport::StreamHandler {
 public:
  explicit Client(DnsMode mode = DnsMode::kPool, DnsStreamOptions options = {})
      : responder_(mode, pool_, egress_) {
    stream = std::make_unique<DnsStream>(
        reactor, responder_, *this, 1,
        [this](const transport::Host& host, transport::LookUpAnswer answer) {
          return std::make_unique<Asked>(*this, std::get<std::string>(host), std::move(answer));
        },
        options);
  }
  void on_open() override { told += "open "; }
  void on_refused(StreamError) override { told += "refused "; }
  void on_readable() override { told += "readable "; }
  void on_writable() override { told += "writable "; }
  void on_reset(StreamError reason) override {
    told += fmt::format("reset:{} ", to_string(reason));
  }

  /// What it was told since the last time.
  std::string news() {
    reactor.run_tasks();
    return std::exchange(told, {});
  }
  /// The summaries of all answers that are there.
  std::vector<std::string> answers(std::size_t at_once = 7) {
    std::vector<std::uint8_t> piece(at_once);
    while (const std::size_t n = stream->read(piece)) {
      inbox_.insert(inbox_.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(n));
    }
    std::vector<std::string> out;
    while (inbox_.size() >= 2 && inbox_.size() >= 2U + load_be16(inbox_, 0)) {
      const std::size_t size = load_be16(inbox_, 0);
      const auto view = DnsMessageView::parse(Bytes(inbox_).subspan(2, size));
      out.push_back(view ? fmt::format("{} {}", view->header().id, test::summary(*view)) : "bad");
      inbox_.erase(inbox_.begin(), inbox_.begin() + static_cast<std::ptrdiff_t>(2 + size));
    }
    return out;
  }
  void answer(const std::string& name, const Result<transport::Host, StreamError>& host) {
    const auto answer = under_way.at(name)->answer;
    answer(host);
  }

  struct Asked final : transport::LookUp {
    Asked(Client& c, std::string n, transport::LookUpAnswer a)
        : client(c), name(std::move(n)), answer(std::move(a)) {
      client.under_way[name] = this;
    }
    ~Asked() override { client.under_way.erase(name); }
    Client& client;
    std::string name;
    transport::LookUpAnswer answer;
  };

  test::VirtualReactor reactor;
  std::map<std::string, Asked*> under_way;
  std::string told;
  std::unique_ptr<DnsStream> stream;

 private:
  Rng rng_{1};
  EgressList egress_;
  NamePool pool_{{}, rng_};
  DnsResponder responder_;
  std::vector<std::uint8_t> inbox_;
};

// A query with its length in front.
std::vector<std::uint8_t> framed(std::string_view name, std::uint16_t id) {
  DnsQuery query(name, DnsType::kA);
  query.header.id = id;
  std::vector<std::uint8_t> out = query.octets();
  const auto size = static_cast<std::uint8_t>(out.size());
  out.insert(out.begin(), {0, size});
  return out;
}

TEST(DnsStream, OpensAndAnswers_ByPostOnly) {
  Client client;
  EXPECT_EQ(client.told, "");
  EXPECT_EQ(client.news(), "open ");
  const auto query = framed("localhost", 7);
  EXPECT_EQ(client.stream->write(query), query.size());
  EXPECT_EQ(client.told, "");
  EXPECT_EQ(client.news(), "readable ");
  EXPECT_EQ(client.answers(), std::vector<std::string>{"7 NOERROR 127.0.0.1"});
  EXPECT_FALSE(client.stream->at_end());
  EXPECT_EQ(client.stream->write(query), query.size());
  EXPECT_EQ(client.stream->write(query), query.size());
  EXPECT_EQ(client.news(), "readable ") << "once, until it has read in vain";
}

TEST(DnsStream, QueryCutAnywhere_OneAnswer) {
  const auto query = framed("localhost", 7);
  for (std::size_t cut = 1; cut < query.size(); ++cut) {
    Client client;
    (void)client.news();
    EXPECT_EQ(client.stream->write(Bytes(query).first(cut)), cut);
    EXPECT_EQ(client.news(), "");
    EXPECT_EQ(client.stream->write(Bytes(query).subspan(cut)), query.size() - cut);
    EXPECT_EQ(client.answers(), std::vector<std::string>{"7 NOERROR 127.0.0.1"});
  }
}

TEST(DnsStream, AsksAndNeverReads_NoMoreIsTaken) {
  Client client;
  (void)client.news();
  const auto query = framed("localhost", 7);
  std::size_t taken = 0;
  for (int i = 0; i < 10000; ++i) taken += client.stream->write(query);
  EXPECT_LT(taken, 16384U);
  EXPECT_GT(taken, 4096U);
  EXPECT_EQ(client.news(), "readable ");
  const auto answers = client.answers();
  EXPECT_EQ(answers.size(), taken / query.size());
  EXPECT_EQ(client.news(), "writable ");
  EXPECT_EQ(client.stream->write(query), query.size());
}

TEST(DnsStream, Malformed_AnsweredAndTheStreamGoesOn) {
  Client client;
  std::vector<std::uint8_t> octets = {0, 0, 0, 3, 1, 2, 3, 0, 13};
  const auto query = framed("localhost", 9);
  octets.insert(octets.end(), query.begin() + 2, query.begin() + 15);
  octets.insert(octets.end(), query.begin(), query.end());
  EXPECT_EQ(client.stream->write(octets), octets.size());
  EXPECT_EQ(client.answers(), (std::vector<std::string>{"9 FORMERR", "9 NOERROR 127.0.0.1"}));
}

TEST(DnsStream, TooLong_BreaksOnceWhatWasAnsweredIsRead) {
  Client client;
  std::vector<std::uint8_t> octets = framed("localhost", 7);
  const std::size_t whole = octets.size();
  octets.insert(octets.end(), {0x10, 0x01, 0});
  EXPECT_EQ(client.stream->write(octets), whole);
  EXPECT_EQ(client.news(), "open readable ");
  EXPECT_EQ(client.answers().size(), 1U);
  EXPECT_EQ(client.news(), fmt::format("reset:{} ", to_string(StreamError::kProtocol)));
  EXPECT_EQ(client.stream->write(octets), 0U);
  EXPECT_EQ(client.news(), "");
  Client longest;
  const std::vector<std::uint8_t> most = {0x10, 0x00};
  EXPECT_EQ(longest.stream->write(most), 2U);
  EXPECT_EQ(longest.news(), "open ");
}

TEST(DnsStream, Shut_AnswersComeThenTheEnd) {
  Client client(DnsMode::kResolve);
  std::vector<std::uint8_t> octets = framed("a.example", 1);
  const auto second = framed("localhost", 2);
  octets.insert(octets.end(), second.begin(), second.end());
  octets.push_back(0);
  EXPECT_EQ(client.stream->write(octets), octets.size());
  client.stream->shutdown();
  EXPECT_EQ(client.stream->write(second), 0U);
  EXPECT_EQ(client.news(), "open readable ");
  EXPECT_EQ(client.answers(), std::vector<std::string>{"2 NOERROR 127.0.0.1"});
  EXPECT_FALSE(client.stream->at_end());
  client.answer("a.example", *IpAddress::parse("1.1.1.1"));
  EXPECT_EQ(client.news(), "readable ");
  EXPECT_EQ(client.answers(), std::vector<std::string>{"1 NOERROR 1.1.1.1"});
  EXPECT_TRUE(client.stream->at_end());
}

TEST(DnsStream, ShutWithoutAQuestion_TheEndIsTold) {
  Client client;
  client.stream->shutdown();
  EXPECT_TRUE(client.stream->at_end());
  EXPECT_EQ(client.news(), "open readable ");
}

TEST(DnsStream, LookUps_AnsweredInAnyOrder) {
  Client client(DnsMode::kResolve);
  for (std::uint16_t i = 1; i <= 3; ++i) {
    const auto query = framed(fmt::format("n{}.example", i), i);
    ASSERT_EQ(client.stream->write(query), query.size());
  }
  EXPECT_EQ(client.news(), "open ");
  client.answer("n3.example", *IpAddress::parse("1.1.1.3"));
  client.answer("n1.example", std::unexpected(StreamError::kHostUnreachable));
  EXPECT_EQ(client.under_way.size(), 3U) << "not destroyed while it calls";
  EXPECT_EQ(client.news(), "readable ");
  EXPECT_EQ(client.under_way.size(), 1U);
  EXPECT_EQ(client.answers(), (std::vector<std::string>{"3 NOERROR 1.1.1.3", "1 NXDOMAIN"}));
}

TEST(DnsStream, TooManyLookUps_WaitForOne) {
  Client client(DnsMode::kResolve, {.max_unread = 16384, .max_look_ups = 2});
  const auto first = framed("n1.example", 1), second = framed("n2.example", 2),
             third = framed("n3.example", 3);
  EXPECT_EQ(client.stream->write(first), first.size());
  EXPECT_EQ(client.stream->write(second), second.size());
  EXPECT_EQ(client.stream->write(third), 0U);
  EXPECT_EQ(client.news(), "open ");
  client.answer("n1.example", *IpAddress::parse("1.1.1.1"));
  EXPECT_EQ(client.news(), "readable writable ");
  EXPECT_EQ(client.stream->write(third), third.size());
}

TEST(DnsStream, Destroyed_LookUpsAreTakenBackAndNothingIsCalled) {
  for (const bool abort : {false, true}) {
    Client client(DnsMode::kResolve);
    (void)client.news();
    const auto query = framed("a.example", 1), local = framed("localhost", 2);
    ASSERT_EQ(client.stream->write(query), query.size());
    ASSERT_EQ(client.stream->write(local), local.size());
    EXPECT_EQ(client.under_way.size(), 1U);
    if (abort) client.stream->abort(StreamError::kReset);
    if (!abort) client.stream.reset();
    EXPECT_EQ(client.under_way.size(), 0U);
    EXPECT_EQ(client.news(), "");
  }
}

TEST(DnsStream, SmallestBounds_StillAnswer) {
  Client client(DnsMode::kPool, {.max_unread = 0, .max_look_ups = 0});
  const auto query = framed("localhost", 7);
  EXPECT_EQ(client.stream->write(query), query.size());
  EXPECT_EQ(client.stream->write(query), 0U);
  EXPECT_EQ(client.answers().size(), 1U);
  EXPECT_EQ(client.stream->write(query), query.size());
}

// However queries and reads are cut, each query is answered once, in order.
RC_GTEST_PROP(DnsStreamProperty, AnyCuts_TheSameAnswers, ()) {
  Client client(DnsMode::kPool,
                {.max_unread = *rc::gen::inRange<std::size_t>(0, 3000), .max_look_ups = 1});
  std::vector<std::uint8_t> octets;
  std::vector<std::string> expected;
  const auto count = *rc::gen::inRange<std::uint16_t>(1, 60);
  for (std::uint16_t i = 0; i < count; ++i) {
    const auto query = framed("localhost", i);
    octets.insert(octets.end(), query.begin(), query.end());
    expected.push_back(fmt::format("{} NOERROR 127.0.0.1", i));
  }
  std::vector<std::string> got;
  for (std::size_t at = 0; at < octets.size();) {
    const auto piece =
        std::min<std::size_t>(*rc::gen::inRange<std::size_t>(1, 200), octets.size() - at);
    at += client.stream->write(Bytes(octets).subspan(at, piece));
    (void)client.news();
    for (auto& one : client.answers(*rc::gen::inRange<std::size_t>(1, 100))) got.push_back(one);
  }
  RC_ASSERT(got == expected);
}

}  // namespace
}  // namespace vtl::service
