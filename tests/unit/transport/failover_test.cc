// Several proxies as one: which is tried, and when the next one is.
#include "vtl/transport/failover.h"

#include "socks_lab.h"

namespace vtl::transport::test {
namespace {

const std::string kRefusal = raw("\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00");

class Failovers : public SocksLab {
 protected:
  SocksServer second{reactor};
  SocksServer third{reactor};
  std::unique_ptr<Proxy> a, b, c;
  std::unique_ptr<Proxy> all;

  void make_all(bool tor = false) {
    SocksServer* servers[] = {&server, &second, &third};
    std::unique_ptr<Proxy>* proxies[] = {&a, &b, &c};
    for (int i = 0; i < 3; ++i) {
      SocksOptions with = options_for(*servers[i]);
      with.probe_min = with.probe_max = 60s;
      with.tor = tor;
      *proxies[i] = make(with);
    }
    all = make_failover({a.get(), b.get(), c.get()});
  }
  // An open stream at the server: which server that is.
  int where() {
    const auto end = quiet();
    open(*all, *end);
    if (!until_open(*end)) return 0;
    const std::size_t before[] = {server.sessions.size(), second.sessions.size(),
                                  third.sessions.size()};
    int found = 0;
    for (int i = 0; i < 3; ++i) {
      SocksServer& at = i == 0 ? server : i == 1 ? second : third;
      if (before[i] > 0 && at.last().open() && at.last().requested && !at.last().ended &&
          at.last().error == 0)
        found = found * 10 + i + 1;
    }
    end->stream.reset();
    for (SocksServer* at : {&server, &second, &third}) at->sessions.clear();
    return found;
  }
};

TEST_F(Failovers, TheFirstThatIsUp) {
  make_all();
  EXPECT_TRUE(all->up());
  EXPECT_EQ(where(), 1);
  EXPECT_EQ(b->counters().opened.value() + c->counters().opened.value(), 0U);
  EXPECT_EQ(all->counters().opened.value(), 1U);
}

// Tor refuses addresses of its own host; of two proxies the one that does not counts.
TEST_F(Failovers, AddressesOfThisHostAreThoseOfAnyThatCouldBeAskedForThem) {
  SocksOptions with = options();
  with.tor = true;
  const auto tor = make(with);
  const auto plain = make(options());
  const wire::IpAddress here = wire::Ipv4Address(127, 0, 0, 1);
  const wire::IpAddress elsewhere = wire::Ipv4Address(192, 0, 2, 77);
  EXPECT_FALSE(make_failover({tor.get()})->stands_at(here));
  for (const auto& some : {std::vector{plain.get()}, std::vector{tor.get(), plain.get()}}) {
    const auto together = make_failover(some);
    EXPECT_TRUE(together->stands_at(here));
    EXPECT_FALSE(together->stands_at(elsewhere));
  }
}

TEST_F(Failovers, TheNextWhenItFailsAndTheFirstAgainOnceItIsBack) {
  make_all();
  server.kill();
  EXPECT_EQ(where(), 2);
  EXPECT_FALSE(a->up());
  EXPECT_EQ(a->counters().connect_failures.value(), 1U);
  EXPECT_EQ(where(), 2);
  EXPECT_EQ(a->counters().connect_failures.value(), 1U) << "what is down is not tried first";
  second.kill();
  EXPECT_EQ(where(), 3);
  EXPECT_EQ(a->counters().connect_failures.value(), 1U);
  third.kill();
  server.restart();
  EXPECT_EQ(where(), 1) << "when none is up all are tried";
  EXPECT_TRUE(a->up());
  EXPECT_EQ(all->counters().opened.value(), 4U);
}

TEST_F(Failovers, EachOnceAndThenTheRefusal) {
  make_all();
  for (SocksServer* at : {&server, &second, &third}) at->kill();
  for (std::uint64_t round = 1; round <= 2; ++round) {
    const auto end = quiet();
    open(*all, *end);
    EXPECT_EQ(until_refused(*end), StreamError::kPeerDown);
    for (const Proxy* proxy : {a.get(), b.get(), c.get()})
      EXPECT_EQ(proxy->counters().connect_failures.value(), round);
    EXPECT_FALSE(all->up());
    EXPECT_FALSE(all->status().up);
    EXPECT_EQ(all->counters().refused.value(), round);
  }
}

TEST_F(Failovers, BrokenOffOrNotSocksIsAFailureToo) {
  make_all();
  server.plan.method = "HT";
  second.plan.reply.clear();
  second.plan.close_after = true;
  third.plan.method = raw("\x05\xff");
  const auto end = quiet();
  open(*all, *end);
  ASSERT_TRUE(
      reactor.run_until([&] { return !second.sessions.empty() && second.last().requested; }));
  second.last().close();
  EXPECT_EQ(until_refused(*end), StreamError::kNotAuthenticated);
  EXPECT_FALSE(a->up());
  EXPECT_TRUE(b->up());
  EXPECT_FALSE(c->up());
}

TEST_F(Failovers, WhatTheDestinationRefusesIsRefused) {
  make_all();
  server.plan.reply = kRefusal;
  const auto end = quiet();
  open(*all, *end);
  EXPECT_EQ(until_refused(*end), StreamError::kRefused);
  EXPECT_TRUE(second.sessions.empty());
}

TEST_F(Failovers, AnOpenStreamIsNotMoved) {
  make_all();
  const auto end = quiet();
  open(*all, *end);
  ASSERT_TRUE(until_open(*end));
  EXPECT_EQ(all->status().streams, 1U);
  EXPECT_EQ(end->stream->write(bytes_of("ping")), 4U);
  ASSERT_TRUE(reactor.run_until([&] { return server.last().data == "ping"; }));
  server.last().say("pong");
  ASSERT_TRUE(reactor.run_until([&] { return end->text == "pong"; }));
  EXPECT_EQ(all->counters().bytes_in.value(), 4U);
  EXPECT_EQ(all->counters().bytes_out.value(), 4U);
  server.kill();
  ASSERT_TRUE(reactor.run_until([&] { return end->reset.has_value(); }));
  EXPECT_TRUE(second.sessions.empty());
  EXPECT_EQ(all->counters().reset.value(), 1U);
  EXPECT_EQ(all->status().streams, 0U);
}

TEST_F(Failovers, EndsAndRoomAreToldThroughIt) {
  make_all();
  server.plan.echo = true;
  End end;
  end.to_write = 4U << 20;
  open(*all, end);
  ASSERT_TRUE(reactor.run_until([&] { return end.ended; }));
  EXPECT_EQ(end.read, 4U << 20);
  EXPECT_EQ(end.wrong, 0U);
}

TEST_F(Failovers, TakenBackBetweenTwoAttempts) {
  make_all();
  server.kill();
  second.plan.silent = true;
  const auto end = quiet();
  open(*all, *end);
  ASSERT_TRUE(reactor.run_until([&] { return !second.sessions.empty(); }));
  end->stream->abort(StreamError::kReset);
  end->stream.reset();
  ASSERT_TRUE(reactor.run_until([&] { return second.last().error != 0 || second.last().ended; }));
  EXPECT_TRUE(third.sessions.empty());
  EXPECT_EQ(b->status().streams, 0U);
}

TEST_F(Failovers, LookUps) {
  make_all(true);
  server.kill();
  const auto ask = [&] {
    std::optional<Result<Host, StreamError>> answer;
    const auto look_up = all->look_up(std::string("a"), "", [&](auto got) { answer = got; });
    EXPECT_TRUE(reactor.run_until([&] { return answer.has_value(); }));
    return answer.value_or(std::unexpected(StreamError::kReset));
  };
  EXPECT_TRUE(all->looks_up());
  EXPECT_TRUE(ask());
  EXPECT_EQ(b->counters().look_ups.value(), 1U);
  EXPECT_EQ(c->counters().look_ups.value(), 0U);
  second.plan.reply = kRefusal;
  EXPECT_EQ(ask(), std::unexpected(StreamError::kRefused));
  EXPECT_EQ(c->counters().look_ups.value(), 0U);
  second.kill();
  third.kill();
  EXPECT_EQ(ask(), std::unexpected(StreamError::kPeerDown));
  EXPECT_EQ(c->counters().look_ups.value(), 1U);
  EXPECT_EQ(all->counters().look_ups.value(), 3U);
}

TEST_F(Failovers, LookUpsGoWhereTheyAreMade) {
  SocksOptions with = options_for(second);
  with.tor = true;
  const auto plain = make(options());
  const auto tor = make(with);
  const auto mixed = make_failover({plain.get(), tor.get()});
  EXPECT_TRUE(mixed->looks_up());
  bool answered = false;
  auto look_up = mixed->look_up(std::string("a"), "", [&](auto answer) {
    EXPECT_TRUE(answer);
    answered = true;
  });
  ASSERT_TRUE(reactor.run_until([&] { return answered; }));
  EXPECT_TRUE(server.sessions.empty());
  const auto none = make_failover({plain.get()});
  EXPECT_FALSE(none->looks_up());
  answered = false;
  look_up = none->look_up(std::string("a"), "", [&](auto answer) {
    EXPECT_EQ(answer, std::unexpected(StreamError::kRefused));
    answered = true;
  });
  ASSERT_TRUE(reactor.run_until([&] { return answered; }));
}

TEST_F(Failovers, OfManyEachIsTriedOnce) {
  server.kill();
  std::vector<std::unique_ptr<Proxy>> many;
  std::vector<Proxy*> order;
  for (int i = 0; i < 70; ++i) {
    many.push_back(make(options_for(i == 69 ? second : server)));
    order.push_back(many.back().get());
  }
  const auto together = make_failover(order);
  const auto end = quiet();
  open(*together, *end);
  ASSERT_TRUE(until_open(*end));
  for (int i = 0; i < 69; ++i) EXPECT_FALSE(order[static_cast<std::size_t>(i)]->up());
  EXPECT_EQ(order.back()->counters().opened.value(), 1U);
}

}  // namespace
}  // namespace vtl::transport::test
