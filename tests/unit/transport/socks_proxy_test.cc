// A SOCKS proxy as a whole: down and up again, bounds, look-ups, options.
#include <sys/resource.h>

#include "socks_lab.h"

namespace vtl::transport::test {
namespace {

class SocksProxies : public SocksLab {};

TEST_F(SocksProxies, KilledAndRestarted) {
  server.plan.echo = true;
  const auto proxy = make(options());
  EXPECT_TRUE(proxy->up());
  EXPECT_FALSE(proxy->status().tried);
  const auto before = quiet(), during = quiet(), after = quiet();
  open(*proxy, *before);
  ASSERT_TRUE(until_open(*before));
  EXPECT_TRUE(proxy->status().tried);
  server.kill();
  ASSERT_TRUE(reactor.run_until([&] { return before->reset.has_value(); }));
  EXPECT_TRUE(proxy->up()) << "no attempt has failed";
  open(*proxy, *during);
  EXPECT_EQ(until_refused(*during), StreamError::kPeerDown);
  EXPECT_FALSE(proxy->up());
  EXPECT_NE(proxy->status().error.find("Connection refused"), std::string::npos);
  ASSERT_TRUE(reactor.run_until([&] { return proxy->counters().connect_failures.value() >= 4; }))
      << "it is probed";
  server.restart();
  ASSERT_TRUE(reactor.run_until([&] { return proxy->up(); }));
  EXPECT_EQ(proxy->status().error, "");
  const std::uint64_t failures = proxy->counters().connect_failures.value();
  open(*proxy, *after);
  EXPECT_TRUE(until_open(*after));
  EXPECT_EQ(proxy->counters().connect_failures.value(), failures);
  EXPECT_EQ(proxy->counters().opened.value(), 2U) << "a probe is no stream";
}

TEST_F(SocksProxies, AStreamThatSucceedsBringsItUp) {
  SocksOptions with = options();
  with.probe_min = with.probe_max = 60s;
  const auto proxy = make(with);
  server.kill();
  const auto during = quiet(), after = quiet();
  open(*proxy, *during);
  EXPECT_EQ(until_refused(*during), StreamError::kPeerDown);
  server.restart();
  open(*proxy, *after);
  EXPECT_TRUE(until_open(*after));
  EXPECT_TRUE(proxy->up());
}

// A server that takes no isolation is down until it does; without, it would have been up.
TEST_F(SocksProxies, AProbeOffersWhatWasRefused) {
  server.plan.method = raw("\x05\xff");
  const auto proxy = make(options());
  const auto end = quiet();
  open(*proxy, *end, "guest");
  EXPECT_EQ(until_refused(*end), StreamError::kNotAuthenticated);
  ASSERT_TRUE(reactor.run_until([&] { return proxy->counters().connect_failures.value() >= 3; }));
  EXPECT_EQ(server.last().request.substr(0, 3), raw("\x05\x01\x02"));
  EXPECT_FALSE(proxy->up());
  server.plan.method = raw("\x05\x02");
  ASSERT_TRUE(reactor.run_until([&] { return proxy->up(); }));
  EXPECT_FALSE(server.last().requested) << "a probe asks for no connection";
}

TEST_F(SocksProxies, ProbesComeOneAtATimeAndNotFaster) {
  SocksOptions with = options();
  with.connect_timeout = 100ms;
  server.plan.silent = true;
  const auto proxy = make(with);
  const auto end = quiet();
  open(*proxy, *end);
  EXPECT_EQ(until_refused(*end), StreamError::kPeerDown);
  reactor.run_for(250ms);
  EXPECT_LE(server.sessions.size(), 4U);
  server.plan.silent = false;
  ASSERT_TRUE(reactor.run_until([&] { return proxy->up(); }));
}

TEST_F(SocksProxies, DestroyedWhileDown) {
  server.kill();
  {
    const auto proxy = make(options());
    const auto end = quiet();
    open(*proxy, *end);
    EXPECT_EQ(until_refused(*end), StreamError::kPeerDown);
    ASSERT_TRUE(reactor.run_until([&] { return proxy->counters().connect_failures.value() >= 2; }));
  }
  reactor.run_for(20ms);
}

TEST_F(SocksProxies, MaxStreams) {
  SocksOptions with = options();
  with.max_streams = 2;
  with.tor = true;
  server.plan.reply.clear();
  const auto proxy = make(with);
  auto first = quiet(), second = quiet(), third = quiet();
  open(*proxy, *first);
  auto look_up = proxy->look_up(std::string("a"), "", [](auto) {});
  open(*proxy, *second);
  EXPECT_EQ(until_refused(*second), StreamError::kLimit);
  std::optional<Result<Host, StreamError>> answer;
  const auto refused = proxy->look_up(std::string("a"), "", [&](auto got) { answer = got; });
  ASSERT_TRUE(reactor.run_until([&] { return answer.has_value(); }));
  EXPECT_EQ(*answer, std::unexpected(StreamError::kLimit));
  EXPECT_EQ(proxy->counters().limited.value(), 2U);
  EXPECT_TRUE(proxy->up());
  look_up.reset();
  server.plan.reply = SocksPlan().reply;
  open(*proxy, *third);
  EXPECT_TRUE(until_open(*third));
  EXPECT_EQ(proxy->status().streams, 2U);
}

// One that opens all it can leaves the others what is theirs.
TEST_F(SocksProxies, UsersHaveEqualPartsOfMaxStreams) {
  SocksOptions with = options();
  with.max_streams = 5;
  with.tor = true;
  const auto proxy = make(with);
  auto greedy = proxy->share();
  const auto other = proxy->share();
  server.plan.reply.clear();
  auto one = quiet(), two = quiet(), beyond = quiet();
  open(*greedy, *one);
  const auto look_up = greedy->look_up(std::string("a"), "", [](auto) {});
  open(*greedy, *two);
  EXPECT_EQ(until_refused(*two), StreamError::kLimit) << "a half of five is two";
  EXPECT_EQ(greedy->status().streams, 2U);
  server.plan.reply = SocksPlan().reply;
  auto first = quiet(), second = quiet();
  open(*other, *first);
  open(*other, *second);
  EXPECT_TRUE(until_open(*first));
  EXPECT_TRUE(until_open(*second));
  EXPECT_EQ(proxy->status().streams, 4U);
  open(*other, *beyond);
  EXPECT_EQ(until_refused(*beyond), StreamError::kLimit);
  EXPECT_EQ(proxy->counters().limited.value(), 2U);
  first->stream.reset();
  auto again = quiet();
  open(*other, *again);
  EXPECT_TRUE(until_open(*again)) << "what ended is free again";
}

TEST_F(SocksProxies, WhoIsLeftAloneHasAllOfMaxStreams) {
  SocksOptions with = options();
  with.max_streams = 2;
  const auto proxy = make(with);
  const auto stays = proxy->share();
  std::vector<std::unique_ptr<Proxy>> others;
  for (int i = 0; i < 3; ++i) others.push_back(proxy->share());
  auto one = quiet(), two = quiet(), three = quiet();
  open(*stays, *one);
  EXPECT_TRUE(until_open(*one)) << "one at least, however many there are";
  open(*stays, *two);
  EXPECT_EQ(until_refused(*two), StreamError::kLimit);
  others.clear();
  open(*stays, *three);
  EXPECT_TRUE(until_open(*three));
}

TEST_F(SocksProxies, NoDescriptorsLeft) {
  const auto proxy = make(options());
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const Descriptor next(::dup(0));
  rlimit none = before;
  none.rlim_cur = static_cast<rlim_t>(next.get());
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const auto end = quiet();
  open(*proxy, *end);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(until_refused(*end), StreamError::kLimit);
  EXPECT_EQ(proxy->counters().limited.value(), 1U);
  EXPECT_TRUE(proxy->up());
  EXPECT_NE(proxy->status().error.find("Too many open files"), std::string::npos);
  const auto after = quiet();
  open(*proxy, *after);
  EXPECT_TRUE(until_open(*after));
  EXPECT_EQ(proxy->status().error, "");
}

// --- look-ups ---

class SocksLookUps : public SocksLab {
 protected:
  SocksOptions tor() {
    SocksOptions with = options();
    with.tor = true;
    return with;
  }
  Result<Host, StreamError> ask(Proxy& proxy, const Host& host, std::string_view isolation = "") {
    std::optional<Result<Host, StreamError>> answer;
    int answers = 0;
    const auto look_up = proxy.look_up(host, isolation, [&](auto got) {
      answer = got;
      ++answers;
    });
    EXPECT_FALSE(answer) << "called back inside look_up()";
    EXPECT_TRUE(reactor.run_until([&] { return answer.has_value(); }));
    reactor.run_for(2ms);
    EXPECT_EQ(answers, 1);
    return answer.value_or(std::unexpected(StreamError::kReset));
  }
};

TEST_F(SocksLookUps, NamesAndAddresses) {
  const auto proxy = make(tor());
  EXPECT_EQ(proxy->kind(), "tor");
  EXPECT_TRUE(proxy->looks_up());
  server.plan.close_after = true;
  server.plan.reply = raw("\x05\x00\x00\x01\xc0\x00\x02\x07\x00\x00");
  EXPECT_EQ(ask(*proxy, std::string("example.org")),
            Host(wire::IpAddress(wire::Ipv4Address(192, 0, 2, 7))));
  EXPECT_EQ(server.last().request,
            raw("\x05\x01\x00\x05\xf0\x00\x03\x0b") + "example.org" + raw("\x00\x00"));
  server.plan.reply = raw("\x05\x00\x00\x03\x03") + "a.b" + raw("\x00\x00");
  EXPECT_EQ(ask(*proxy, wire::IpAddress(wire::Ipv4Address(192, 0, 2, 7))),
            Host(std::string("a.b")));
  EXPECT_EQ(server.last().request, raw("\x05\x01\x00\x05\xf1\x00\x01\xc0\x00\x02\x07\x00\x00"));
  EXPECT_EQ(proxy->counters().look_ups.value(), 2U);
  EXPECT_EQ(proxy->counters().opened.value(), 0U);
  EXPECT_EQ(proxy->status().streams, 0U);
}

TEST_F(SocksLookUps, IsolationIsTold) {
  server.plan.method = raw("\x05\x02");
  const auto proxy = make(tor());
  EXPECT_TRUE(ask(*proxy, std::string("example.org"), "z"));
  EXPECT_EQ(server.last().user, "7a");
}

TEST_F(SocksLookUps, AnAnswerOfTheWrongKindIsAFault) {
  const auto proxy = make(tor());
  EXPECT_EQ(ask(*proxy, wire::IpAddress(wire::Ipv4Address(192, 0, 2, 7))),
            std::unexpected(StreamError::kProtocol));
  for (const std::string& reply : {raw("\x05\x00\x00\x03\x03") + "a.b" + raw("\x00\x00"),
                                   raw("\x05\x00\x00\x03\x00\x00\x00")}) {
    server.plan.reply = reply;
    EXPECT_EQ(ask(*proxy, std::string("a")), std::unexpected(StreamError::kProtocol));
  }
  EXPECT_EQ(ask(*proxy, wire::IpAddress(wire::Ipv4Address(192, 0, 2, 7))),
            std::unexpected(StreamError::kProtocol))
      << "an empty name";
  EXPECT_EQ(proxy->counters().protocol_errors.value(), 4U);
}

TEST_F(SocksLookUps, RefusedBrokenSilent) {
  SocksOptions with = tor();
  with.connect_timeout = 100ms;
  with.answer_timeout = 1s;
  const auto proxy = make(with);
  server.plan.reply = raw("\x05\x04\x00\x01\x00\x00\x00\x00\x00\x00");
  EXPECT_EQ(ask(*proxy, std::string("a")), std::unexpected(StreamError::kHostUnreachable));
  server.plan.reply = raw("\x05");
  server.plan.close_after = true;
  EXPECT_EQ(ask(*proxy, std::string("a")), std::unexpected(StreamError::kPeerDown));
  server.plan.close_after = false;
  EXPECT_EQ(ask(*proxy, std::string("a")), std::unexpected(StreamError::kTimedOut));
  EXPECT_EQ(proxy->counters().timed_out.value(), 1U);
  EXPECT_EQ(ask(*proxy, std::string()), std::unexpected(StreamError::kRefused));
  server.kill();
  EXPECT_EQ(ask(*proxy, std::string("a")), std::unexpected(StreamError::kPeerDown));
  EXPECT_EQ(proxy->counters().refused.value(), 0U) << "that counts streams";
}

TEST_F(SocksLookUps, TakenBack) {
  server.plan.reply.clear();
  const auto proxy = make(tor());
  bool called = false;
  auto look_up = proxy->look_up(std::string("a"), "", [&](auto) { called = true; });
  ASSERT_TRUE(
      reactor.run_until([&] { return !server.sessions.empty() && server.last().requested; }));
  look_up.reset();
  server.last().say(SocksPlan().reply);
  reactor.run_for(5ms);
  EXPECT_FALSE(called);
  EXPECT_EQ(proxy->status().streams, 0U);
}

TEST_F(SocksLookUps, TheAnswerMayDestroyIt) {
  const auto proxy = make(tor());
  std::unique_ptr<LookUp> look_up;
  bool called = false;
  look_up = proxy->look_up(std::string("a"), "", [&](auto) {
    look_up.reset();
    called = true;
  });
  ASSERT_TRUE(reactor.run_until([&] { return called; }));
}

TEST_F(SocksLookUps, NoneAtOthersThanTor) {
  const auto proxy = make(options());
  EXPECT_EQ(proxy->kind(), "socks5");
  EXPECT_FALSE(proxy->looks_up());
  EXPECT_EQ(ask(*proxy, std::string("a")), std::unexpected(StreamError::kRefused));
  EXPECT_TRUE(server.sessions.empty());
}

// --- options ---

TEST_F(SocksProxies, WrongOptionsAreToldInOneLine) {
  const auto complaint = [&](auto change) {
    SocksOptions with = options();
    change(with);
    const auto made = make_socks(with, reactor);
    return made ? std::string() : made.error().message;
  };
  EXPECT_EQ(complaint([](auto&) {}), "");
  EXPECT_EQ(complaint([](auto& o) { o.address = {}; }), "proxy p: needs an address and a port");
  EXPECT_NE(complaint([](auto& o) { o.address.port = wire::Port(0); }), "");
  EXPECT_EQ(complaint([](auto& o) { o.inner = InnerAddresses::kUnsaid; }),
            "proxy p: needs a word on names that lead to its own host or network");
  EXPECT_NE(complaint([](auto& o) { o.credentials = {"", "x"}; }), "");
  EXPECT_NE(complaint([](auto& o) { o.credentials = {"x", std::string(256, 'x')}; }), "");
  EXPECT_NE(complaint([](auto& o) { o.connect_timeout = 99ms; }), "");
  EXPECT_NE(complaint([](auto& o) { o.connect_timeout = 61s; }), "");
  EXPECT_NE(complaint([](auto& o) { o.answer_timeout = 999ms; }), "");
  EXPECT_NE(complaint([](auto& o) { o.answer_timeout = 601s; }), "");
  EXPECT_NE(complaint([](auto& o) { o.answer_timeout = 9s; }), "");
  EXPECT_NE(complaint([](auto& o) { o.probe_min = 9ms; }), "");
  EXPECT_NE(complaint([](auto& o) { o.probe_max = 9ms; }), "");
  EXPECT_NE(complaint([](auto& o) { o.probe_max = 601s; }), "");
  EXPECT_NE(complaint([](auto& o) { o.max_streams = 0; }), "");
  EXPECT_NE(complaint([](auto& o) { o.max_streams = 1'048'577; }), "");
  TorControlOptions control;
  control.address = server.address();
  EXPECT_EQ(complaint([&](auto& o) { o.control = control; }),
            "proxy p: only Tor has a control port");
  const auto with_control = [&](auto change) {
    return complaint([&](auto& o) {
      o.tor = true;
      o.control = control;
      change(*o.control);
    });
  };
  EXPECT_EQ(with_control([](auto&) {}), "");
  EXPECT_NE(with_control([](auto& c) { c.address = {}; }), "");
  EXPECT_NE(with_control([](auto& c) { c.password = std::string(256, 'x'); }), "");
  EXPECT_NE(with_control([](auto& c) { c.poll = 99ms; }), "");
  EXPECT_NE(with_control([](auto& c) { c.timeout = 61s; }), "");
}

}  // namespace
}  // namespace vtl::transport::test
