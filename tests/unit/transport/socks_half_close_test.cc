// Streams through proxies that end both directions with the first end that they are told of.
#include <array>

#include "socks_lab.h"

namespace vtl::transport::test {
namespace {

class SocksHalfClose : public SocksLab {
 protected:
  SocksOptions waiting(Duration wait = 60s) {
    SocksOptions with = options();
    with.half_close_wait = wait;
    return with;
  }
  /// A stream that has sent "ping", and its end.
  void open_and_shut(Proxy& at) {
    open(at, *end);
    ASSERT_TRUE(until_open(*end));
    EXPECT_EQ(end->stream->write(bytes_of("ping")), 4U);
    end->stream->shutdown();
    EXPECT_EQ(end->stream->write(bytes_of("more")), 0U);
    ASSERT_TRUE(reactor.run_until(
        [&] { return server.last().data == "ping" && end->stream->unsent() == 0; }));
  }
  void pass(Duration time) {
    reactor.skip(time);
    reactor.run_for(10ms);
  }
  [[nodiscard]] bool told() { return server.last().ended; }
  bool until(auto state) { return reactor.run_until(state); }

  std::unique_ptr<End> end = quiet();
};

TEST_F(SocksHalfClose, TorWaitsAndOthersDoNot) {
  SocksOptions with;
  EXPECT_EQ(with.end_waits_for(), 0s);
  with.tor = true;
  EXPECT_EQ(with.end_waits_for(), 60s);
  with.half_close_wait = 0s;
  EXPECT_EQ(with.end_waits_for(), 0s);
  SocksOptions wrong = waiting(1h + 1ns);
  EXPECT_EQ(check(wrong).error().message, "proxy p: half_close_wait must be 0 to 1 h");
}

TEST_F(SocksHalfClose, TheEndWaitsForTheDestinations) {
  const auto proxy = make(waiting());
  open_and_shut(*proxy);
  std::string answer;
  for (int i = 0; i < 20; ++i) {
    server.last().say("pong");
    answer += "pong";
    ASSERT_TRUE(until([&] { return end->text == answer; }));
    pass(59s);
    ASSERT_FALSE(told()) << i;
  }
  server.last().shut();
  ASSERT_TRUE(until([&] { return end->ended && told(); }));
  EXPECT_EQ(server.last().error, 0);
  end->stream.reset();
  reactor.run_for(5ms);
  EXPECT_FALSE(end->reset);
  EXPECT_EQ(end->text, answer);
  EXPECT_EQ(proxy->counters().reset.value(), 0U);
}

TEST_F(SocksHalfClose, AfterSilenceTheEndIsPassedAndWhatEndsThenIsNoOrder) {
  const auto proxy = make(waiting());
  open_and_shut(*proxy);
  server.last().say("so far");
  ASSERT_TRUE(until([&] { return end->text == "so far"; }));
  pass(59s);
  EXPECT_FALSE(told());
  pass(2s);
  ASSERT_TRUE(until([&] { return told(); }));
  EXPECT_EQ(server.last().error, 0);
  server.last().say(" and the rest");
  server.last().shut();
  ASSERT_TRUE(until([&] { return end->reset.has_value(); }));
  EXPECT_EQ(end->reset, StreamError::kTimedOut);
  EXPECT_EQ(end->text, "so far and the rest");
  EXPECT_FALSE(end->ended);
  EXPECT_EQ(proxy->counters().reset.value(), 1U);
}

TEST_F(SocksHalfClose, AProxyThatThenSaysNothingIsNotWaitedForAgain) {
  const auto proxy = make(waiting());
  open_and_shut(*proxy);
  pass(61s);
  ASSERT_TRUE(until([&] { return told() && end->stream->unsent() == 0; }));
  pass(59s);
  EXPECT_FALSE(end->reset);
  pass(2s);
  ASSERT_TRUE(until([&] { return end->reset.has_value(); }));
  EXPECT_EQ(end->reset, StreamError::kTimedOut);
  EXPECT_EQ(proxy->status().streams, 0U);
}

TEST_F(SocksHalfClose, WhatWaitsForItsReaderIsNoSilence) {
  for (const bool with_end : {false, true}) {
    end = quiet();
    end->reading = false;
    const auto proxy = make(waiting());
    open_and_shut(*proxy);
    server.last().say("answer");
    if (with_end) server.last().shut();
    ASSERT_TRUE(until([&] { return end->readable_events == 1; }));
    for (int i = 0; i < 5; ++i) {
      pass(50s);
      EXPECT_FALSE(told() || end->reset);
    }
    end->reading = true;
    end->read_all();
    EXPECT_EQ(end->text, "answer");
    server.last().shut();
    ASSERT_TRUE(until([&] { return end->ended && told(); }));
    EXPECT_FALSE(end->reset);
    end->stream.reset();
  }
}

TEST_F(SocksHalfClose, WhatWaitsForTheProxyIsNoSilence) {
  server.plan.stalls = true;
  const auto proxy = make(waiting());
  open(*proxy, *end);
  ASSERT_TRUE(until_open(*end));
  server.last().keeps = false;
  const std::vector<std::uint8_t> block(1U << 20, 7);
  std::size_t written = 0;
  while (const std::size_t n = end->stream->write(block)) written += n;
  end->stream->shutdown();
  for (int i = 0; i < 5; ++i) {
    pass(50s);
    ASSERT_FALSE(end->reset);
  }
  server.last().read_on();
  ASSERT_TRUE(until([&] { return server.last().received == written; }));
  ASSERT_TRUE(until([&] { return end->stream->unsent() == 0; }));
  EXPECT_FALSE(told());
  pass(61s);
  ASSERT_TRUE(until([&] { return told(); }));
  EXPECT_EQ(server.last().error, 0);
  end->stream.reset();
}

TEST_F(SocksHalfClose, TheDestinationEndsFirst) {
  const auto proxy = make(waiting());
  open(*proxy, *end);
  ASSERT_TRUE(until_open(*end));
  server.last().shut();
  ASSERT_TRUE(until([&] { return end->ended; }));
  EXPECT_EQ(end->stream->write(bytes_of("later")), 5U);
  end->stream->shutdown();
  end->stream.reset();
  ASSERT_TRUE(until([&] { return told() || server.last().error != 0; }));
  EXPECT_EQ(server.last().data, "later");
  EXPECT_EQ(server.last().error, 0);
}

TEST_F(SocksHalfClose, ABreakMeanwhileIsTold) {
  for (const bool reading : {true, false}) {
    end = quiet();
    end->reading = reading;
    const auto proxy = make(waiting());
    open_and_shut(*proxy);
    server.last().say("last words");
    ASSERT_TRUE(until([&] { return end->readable_events > 0; }));
    pass(1s);  // a second event, for the reader that stands still: nothing is waited for after it
    server.last().reset();
    if (!reading) {
      pass(16s);
      end->reading = true;
      end->read_all();
    }
    ASSERT_TRUE(until([&] { return end->reset.has_value(); }));
    EXPECT_EQ(end->reset, StreamError::kReset);
    EXPECT_EQ(end->text, "last words");
    EXPECT_FALSE(end->ended);
  }
}

TEST_F(SocksHalfClose, AnAbortMeanwhileIsAReset) {
  const auto proxy = make(waiting());
  for (const bool abort : {true, false}) {
    end = quiet();
    open_and_shut(*proxy);
    if (abort) end->stream->abort(StreamError::kReset);
    if (!abort) end->stream.reset();
    ASSERT_TRUE(until([&] { return server.last().error != 0; }));
    EXPECT_EQ(server.last().error, ECONNRESET);
    EXPECT_EQ(proxy->status().streams, 0U);
    pass(200s);
    EXPECT_FALSE(end->reset);
  }
}

// The time for the proxy's answer goes on, whatever the end waits for.
TEST_F(SocksHalfClose, AnEndBeforeTheProxysAnswer) {
  for (const bool answers : {true, false}) {
    SocksOptions with = waiting(20s);
    with.optimistic = true;
    const std::string reply = std::exchange(server.plan.reply, "");
    const auto proxy = make(with);
    end = quiet();
    open_and_shut(*proxy);
    pass(100s);
    EXPECT_FALSE(end->reset || told());
    if (answers) {
      server.last().say(reply);
      ASSERT_TRUE(until([&] { return proxy->counters().opened.value() == 1; }));
      server.last().say("pong");
      ASSERT_TRUE(until([&] { return end->text == "pong"; }));
      EXPECT_FALSE(told());
      pass(21s);
      EXPECT_TRUE(until([&] { return told(); }));
      server.last().shut();
    } else {
      pass(21s);
    }
    ASSERT_TRUE(until([&] { return end->reset.has_value(); }));
    EXPECT_EQ(end->reset, StreamError::kTimedOut);
    server.plan.reply = reply;
  }
}

TEST_F(SocksHalfClose, WithoutAWaitTheProxyIsToldAtOnce) {
  const auto proxy = make(waiting(0s));
  open_and_shut(*proxy);
  ASSERT_TRUE(until([&] { return told(); }));
  server.last().say("pong");
  server.last().shut();
  ASSERT_TRUE(until([&] { return end->ended; }));
  EXPECT_EQ(end->text, "pong");
  EXPECT_FALSE(end->reset);
  end->stream.reset();
}

}  // namespace
}  // namespace vtl::transport::test
