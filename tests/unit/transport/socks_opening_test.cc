// Streams through a SOCKS server, until they are open: the handshake over real sockets.
#include "socks_lab.h"

namespace vtl::transport::test {
namespace {

class SocksOpening : public SocksLab {};

const std::string kV6Reply = raw("\x05\x00\x00\x04") + std::string(16, '\x20') + raw("\x00\x50");
const std::string kNameReply = raw("\x05\x00\x00\x03\x03") + "a.b" + raw("\x00\x50");
const std::string kEmptyNameReply = raw("\x05\x00\x00\x03\x00\x00\x00");

struct Variant {
  bool credentials, pipelined, optimistic;
  bool method_left_out = false;  // as Tor does
};
const std::vector<Variant> kVariants = {
    {false, false, false}, {true, false, false}, {false, true, false},     {true, true, false},
    {true, true, true},    {false, false, true}, {true, true, false, true}};

std::string method(const Variant& variant) {
  if (variant.method_left_out) return "";
  return variant.credentials ? raw("\x05\x02") : raw("\x05\x00");
}

// Behind the answer, and in the same segment, comes what the destination said first.
TEST_F(SocksOpening, EveryAnswerCutAtEveryOctet) {
  for (const Variant& variant : kVariants) {
    for (const std::string& reply : {server.plan.reply, kV6Reply, kNameReply, kEmptyNameReply}) {
      for (std::size_t cut = 1; cut < method(variant).size() + 2 + reply.size() + 5; ++cut) {
        SocksOptions with = options();
        if (variant.credentials) with.credentials = {"me", "secret"};
        with.pipelined = variant.pipelined;
        with.optimistic = variant.optimistic;
        server.plan.reply = reply;
        server.plan.method = method(variant);
        server.plan.behind = "hello";
        server.plan.first = cut;
        const auto proxy = make(with);
        const auto end = quiet();
        open(*proxy, *end);
        ASSERT_TRUE(reactor.run_until([&] { return end->text.size() >= 5 || end->refused; }));
        EXPECT_EQ(end->text, "hello");
        EXPECT_EQ(end->opened, 1);
        EXPECT_EQ(server.last().user, variant.credentials ? "me" : "");
        EXPECT_EQ(server.last().password, variant.credentials ? "secret" : "");
        EXPECT_EQ(proxy->counters().opened.value(), 1U);
        EXPECT_EQ(proxy->counters().bytes_in.value(), 5U);
        end->stream.reset();
        server.sessions.clear();
      }
    }
  }
}

TEST_F(SocksOpening, OneOctetATurn) {
  for (const Variant& variant : kVariants) {
    SocksOptions with = options();
    if (variant.credentials) with.credentials = {"me", "secret"};
    with.pipelined = variant.pipelined;
    with.optimistic = variant.optimistic;
    server.plan.method = method(variant);
    server.plan.behind = "hello";
    server.plan.piece = 1;
    const auto proxy = make(with);
    const auto end = quiet();
    open(*proxy, *end);
    ASSERT_TRUE(reactor.run_until([&] { return end->text.size() >= 5 || end->refused; }));
    EXPECT_EQ(end->text, "hello");
    end->stream.reset();
    server.sessions.clear();
  }
}

// All answers are there before anything was asked.
TEST_F(SocksOpening, AnswersBeforeTheQuestions) {
  server.plan.at_once = true;
  server.plan.credentials.clear();
  server.plan.behind = "hello";
  for (const bool pipelined : {false, true}) {
    SocksOptions with = options();
    with.pipelined = pipelined;
    const auto proxy = make(with);
    const auto end = quiet();
    open(*proxy, *end);
    ASSERT_TRUE(reactor.run_until([&] { return end->text.size() >= 5 || end->refused; }));
    EXPECT_EQ(end->text, "hello");
    ASSERT_TRUE(reactor.run_until([&] { return server.last().requested; }));
    end->stream.reset();
  }
}

TEST_F(SocksOpening, TheRequestAsSent) {
  const auto proxy = make(options());
  const auto name = quiet(), v4 = quiet(), v6 = quiet();
  open(*proxy, *name);
  ASSERT_TRUE(until_open(*name));
  EXPECT_EQ(server.last().request,
            raw("\x05\x01\x00\x05\x01\x00\x03\x0b") + "example.org" + raw("\x01\xbb"));
  open(*proxy, *v4, "", {wire::IpAddress(wire::Ipv4Address(192, 0, 2, 9)), wire::Port(80)});
  ASSERT_TRUE(until_open(*v4));
  EXPECT_EQ(server.last().request, raw("\x05\x01\x00\x05\x01\x00\x01\xc0\x00\x02\x09\x00\x50"));
  open(*proxy, *v6, "", {*wire::IpAddress::parse("2001:db8::1"), wire::Port(80)});
  ASSERT_TRUE(until_open(*v6));
  EXPECT_EQ(server.last().request.substr(3),
            raw("\x05\x01\x00\x04\x20\x01\x0d\xb8") + std::string(11, '\0') + raw("\x01\x00\x50"));
}

// Isolation is a pair of user and password that no other isolation has; printable.
TEST_F(SocksOpening, IsolationIsToldAsCredentials) {
  server.plan.method = raw("\x05\x02");
  const auto proxy = make(options());
  const std::string longest(Proxy::kMaxIsolation, '\xff');
  std::vector<std::pair<std::string, std::string>> seen;
  for (const std::string& isolation : {std::string("a"), raw("a\0"), std::string(64, 'a'),
                                       std::string(65, 'a'), raw("\x00\xff"), longest}) {
    const auto end = quiet();
    open(*proxy, *end, isolation);
    ASSERT_TRUE(until_open(*end));
    seen.emplace_back(server.last().user, server.last().password);
  }
  EXPECT_EQ(seen[0], (std::pair<std::string, std::string>("61", "-")));
  EXPECT_EQ(seen[4], (std::pair<std::string, std::string>("00ff", "-")));
  for (std::size_t i = 0; i < seen.size(); ++i) {
    EXPECT_LE(seen[i].first.size(), 255U);
    EXPECT_LE(seen[i].second.size(), 255U);
    for (std::size_t j = 0; j < i; ++j) EXPECT_NE(seen[i], seen[j]);
  }
  SocksOptions with = options();
  with.credentials = {"me", "secret"};
  const auto own = make(with);
  const auto end = quiet();
  open(*own, *end, "a");
  ASSERT_TRUE(until_open(*end));
  EXPECT_EQ(server.last().user, "me");
}

TEST_F(SocksOpening, EveryReasonOfARefusal) {
  const auto proxy = make(options());
  for (int reason = 1; reason < 256; ++reason) {
    server.plan.reply = {5, static_cast<char>(reason), 0, 1, 0, 0, 0, 0, 0, 0};
    server.plan.close_after = true;
    const auto end = quiet();
    open(*proxy, *end);
    const bool known = reason <= 8 || (reason >= 0xf0 && reason <= 0xf7);
    EXPECT_EQ(until_refused(*end), to_stream_error(known ? static_cast<SocksFailure>(reason)
                                                         : SocksFailure::kUnknownReason))
        << reason;
    EXPECT_TRUE(proxy->up()) << reason;
    server.sessions.clear();
  }
  EXPECT_EQ(proxy->counters().refused.value(), 255U);
  EXPECT_EQ(proxy->counters().opened.value(), 0U);
  EXPECT_EQ(proxy->status().streams, 0U);
}

TEST_F(SocksOpening, WhatIsNoSocksServerIsDown) {
  struct Wrong {
    std::string method, credentials, reply;
    StreamError reason;
    bool up;
    std::uint64_t protocol_errors;
  };
  const std::vector<Wrong> all = {
      {raw("\x04\x00"), "", "", StreamError::kProtocol, false, 1},
      {"HT", "", "", StreamError::kProtocol, false, 1},
      {raw("\x05\x00"), "", "", StreamError::kProtocol, false, 1},  // not what was offered
      {raw("\x05\xff"), "", "", StreamError::kNotAuthenticated, false, 0},
      {raw("\x05\x02"), raw("\x01\x01"), "", StreamError::kNotAuthenticated, false, 0},
      {raw("\x05\x02"), raw("\x05\x00"), "", StreamError::kProtocol, false, 1},
      {raw("\x05\x02"), raw("\x01\x00"), raw("\x04\x00\x00\x01\x00"), StreamError::kProtocol, true,
       1},
      {raw("\x05\x02"), raw("\x01\x00"), raw("\x05\x00\x00\x02\x00"), StreamError::kProtocol, true,
       1},
  };
  SocksOptions with = options();
  with.credentials = {"me", "secret"};
  with.probe_min = with.probe_max = 30s;
  for (const Wrong& wrong : all) {
    server.plan.method = wrong.method;
    server.plan.credentials = wrong.credentials;
    server.plan.reply = wrong.reply;
    const auto proxy = make(with);
    const auto end = quiet();
    open(*proxy, *end);
    EXPECT_EQ(until_refused(*end), wrong.reason);
    EXPECT_EQ(proxy->up(), wrong.up);
    EXPECT_EQ(proxy->status().error.empty(), wrong.up);
    EXPECT_EQ(proxy->counters().protocol_errors.value(), wrong.protocol_errors);
    EXPECT_EQ(proxy->counters().connect_failures.value(), wrong.up ? 0U : 1U);
  }
}

TEST_F(SocksOpening, ClosedInTheMiddle) {
  SocksOptions with = options();
  with.probe_min = with.probe_max = 30s;
  const std::string reply = server.plan.reply;
  for (const bool reset : {false, true}) {
    for (std::size_t said = 0; said < 2 + reply.size(); ++said) {
      server.plan.silent = true;
      const auto proxy = make(with);
      const auto end = quiet();
      open(*proxy, *end);
      ASSERT_TRUE(reactor.run_until(
          [&] { return !server.sessions.empty() && server.last().request.size() >= 3; }));
      server.last().say((raw("\x05\x00") + reply).substr(0, said));
      if (said > 1) {
        ASSERT_TRUE(reactor.run_until([&] { return server.last().requested; }));
      }
      if (reset)
        server.last().reset();
      else
        server.last().close();
      EXPECT_EQ(until_refused(*end), StreamError::kPeerDown) << said;
      EXPECT_EQ(proxy->up(), said > 1) << said;
      server.sessions.clear();
    }
  }
}

TEST_F(SocksOpening, SilenceBeforeTheMethodIsAProxyThatIsDown) {
  server.plan.silent = true;
  SocksOptions with = options();
  with.connect_timeout = 100ms;
  with.probe_min = with.probe_max = 30s;
  const auto proxy = make(with);
  const auto end = quiet();
  open(*proxy, *end);
  EXPECT_EQ(until_refused(*end), StreamError::kPeerDown);
  EXPECT_FALSE(proxy->up());
  EXPECT_EQ(proxy->counters().timed_out.value(), 1U);
  EXPECT_NE(proxy->status().error.find("takes connections and does not answer"), std::string::npos);
}

TEST_F(SocksOpening, SilenceBehindTheMethodIsATimeout) {
  server.plan.reply.clear();
  SocksOptions with = options();
  with.connect_timeout = 100ms;
  with.answer_timeout = 1s;
  const auto proxy = make(with);
  const auto end = quiet();
  open(*proxy, *end);
  EXPECT_EQ(until_refused(*end), StreamError::kTimedOut);
  EXPECT_TRUE(proxy->up());
  EXPECT_EQ(proxy->counters().timed_out.value(), 1U);
}

TEST_F(SocksOpening, WhatCannotBeAskedForIsRefused) {
  const auto proxy = make(options());
  for (const Host& host :
       {Host(std::string()), Host(std::string(256, 'a')), Host(wire::IpAddress())}) {
    const auto end = quiet();
    open(*proxy, *end, "", {host, wire::Port(80)});
    EXPECT_EQ(until_refused(*end), StreamError::kHostUnreachable);
  }
  const auto end = quiet();
  open(*proxy, *end, "", {std::string(255, 'a'), wire::Port(80)});
  EXPECT_TRUE(until_open(*end));
}

// --- optimistic ---

TEST_F(SocksOpening, DataFollowsAnOptimisticRequest) {
  SocksOptions with = options();
  with.optimistic = true;
  with.pipelined = true;
  server.plan.silent = true;
  const auto proxy = make(with);
  const auto end = quiet();
  open(*proxy, *end);
  ASSERT_TRUE(until_open(*end));
  EXPECT_EQ(proxy->counters().opened.value(), 0U);
  EXPECT_EQ(end->stream->write(bytes_of("early")), 5U);
  end->stream->shutdown();
  ASSERT_TRUE(reactor.run_until([&] { return server.last().ended; }));
  EXPECT_EQ(server.last().data, "early");
  server.last().say(raw("\x05\x00") + server.plan.reply + "answer");
  ASSERT_TRUE(reactor.run_until([&] { return end->text == "answer"; }));
  EXPECT_EQ(end->opened, 1);
  EXPECT_EQ(proxy->counters().opened.value(), 1U);
}

TEST_F(SocksOpening, ARefusalOfAnOptimisticStreamIsAReset) {
  SocksOptions with = options();
  with.optimistic = true;
  server.plan.silent = true;
  with.pipelined = true;
  for (const bool stalls : {false, true}) {
    server.plan.stalls = stalls;
    const auto proxy = make(with);
    const auto end = quiet();
    end->to_write = stalls ? 64U << 20 : 100;
    open(*proxy, *end);
    ASSERT_TRUE(until_open(*end));
    ASSERT_TRUE(reactor.run_until([&] { return server.last().requested; }));
    server.last().say(raw("\x05\x00\x05\x04\x00\x01\x00\x00\x00\x00\x00\x00"));
    ASSERT_TRUE(reactor.run_until([&] { return end->reset.has_value(); }));
    EXPECT_EQ(end->reset, StreamError::kHostUnreachable);
    EXPECT_EQ(proxy->counters().refused.value(), 1U);
    EXPECT_EQ(proxy->counters().reset.value(), 0U);
  }
}

TEST_F(SocksOpening, AnOptimisticWriterIsToldWhenThereIsRoom) {
  SocksOptions with = options();
  with.optimistic = true;
  with.pipelined = true;
  server.plan.silent = true;
  server.plan.stalls = true;
  const auto proxy = make(with);
  End end;
  end.to_write = 16U << 20;
  open(*proxy, end);
  ASSERT_TRUE(until_open(end));
  ASSERT_TRUE(reactor.run_until([&] { return server.last().requested; }));
  server.last().keeps = false;
  reactor.run_for(5ms);
  EXPECT_LT(end.written, end.to_write);
  server.last().read_on();
  ASSERT_TRUE(reactor.run_until([&] { return server.last().ended; }));
  EXPECT_EQ(server.last().received, 16U << 20);
}

}  // namespace
}  // namespace vtl::transport::test
