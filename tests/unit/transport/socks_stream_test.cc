// Streams through a SOCKS server, once they are open: the contract of a stream.
#include <sys/resource.h>

#include <array>

#include "socks_lab.h"

namespace vtl::transport::test {
namespace {

class SocksStreams : public SocksLab {};

TEST_F(SocksStreams, EachDirectionClosesOnItsOwn) {
  const auto proxy = make(options());
  const auto end = quiet();
  open(*proxy, *end);
  ASSERT_TRUE(until_open(*end));
  EXPECT_EQ(end->stream->write(bytes_of("ping")), 4U);
  end->stream->shutdown();
  ASSERT_TRUE(reactor.run_until([&] { return server.last().ended; }));
  EXPECT_EQ(server.last().data, "ping");
  EXPECT_EQ(end->stream->write(bytes_of("more")), 0U);
  EXPECT_FALSE(end->stream->at_end());
  server.last().say("pong");
  ASSERT_TRUE(reactor.run_until([&] { return end->text == "pong"; }));
  server.last().shut();
  ASSERT_TRUE(reactor.run_until([&] { return end->ended; }));
  EXPECT_FALSE(end->reset);
  EXPECT_EQ(proxy->counters().reset.value(), 0U);
}

TEST_F(SocksStreams, TheOtherSideClosesFirst) {
  const auto proxy = make(options());
  const auto end = quiet();
  open(*proxy, *end);
  ASSERT_TRUE(until_open(*end));
  server.last().say("all");
  server.last().shut();
  ASSERT_TRUE(reactor.run_until([&] { return end->ended; }));
  EXPECT_EQ(end->text, "all");
  EXPECT_EQ(end->stream->write(bytes_of("later")), 5U);
  ASSERT_TRUE(reactor.run_until([&] { return server.last().data == "later"; }));
  end->stream->shutdown();
  end->stream.reset();
  ASSERT_TRUE(reactor.run_until([&] { return server.last().ended || server.last().error != 0; }));
  EXPECT_EQ(server.last().error, 0);
}

// In order both ways, and the stream is gone at once: what was written arrives all the same.
TEST_F(SocksStreams, WhatWasWrittenArrivesAfterTheStreamIsGone) {
  const auto proxy = make(options());
  const auto end = quiet();
  server.plan.stalls = true;
  open(*proxy, *end);
  ASSERT_TRUE(until_open(*end));
  server.last().keeps = false;
  server.last().shut();
  ASSERT_TRUE(reactor.run_until([&] { return end->ended; }));
  const std::vector<std::uint8_t> block(1U << 20, 7);
  std::size_t written = 0;
  while (const std::size_t n = end->stream->write(block)) written += n;
  end->stream->shutdown();
  end->stream.reset();
  server.last().read_on();
  ASSERT_TRUE(reactor.run_until([&] { return server.last().ended || server.last().error != 0; }));
  EXPECT_EQ(server.last().received, written);
  EXPECT_EQ(server.last().error, 0);
}

TEST_F(SocksStreams, AbortAndDestructionAreResets) {
  const auto proxy = make(options());
  for (const bool abort : {true, false}) {
    const auto end = quiet();
    open(*proxy, *end);
    ASSERT_TRUE(until_open(*end));
    if (abort) {
      end->stream->abort(StreamError::kReset);
      EXPECT_EQ(end->stream->write(bytes_of("x")), 0U);
      std::array<std::uint8_t, 4> out;
      EXPECT_EQ(end->stream->read(out), 0U);
      EXPECT_EQ(end->stream->unsent(), 0U);
      EXPECT_EQ(end->stream->round_trip(), Duration::zero());
    }
    if (!abort) end->stream.reset();
    ASSERT_TRUE(reactor.run_until([&] { return server.last().error != 0; }));
    EXPECT_EQ(server.last().error, ECONNRESET);
    EXPECT_EQ(proxy->status().streams, 0U);
    reactor.run_for(5ms);
    EXPECT_FALSE(end->reset) << "called back after abort()";
  }
}

TEST_F(SocksStreams, AbortBeforeTheAnswer) {
  server.plan.reply.clear();
  const auto proxy = make(options());
  const auto end = quiet();
  open(*proxy, *end);
  ASSERT_TRUE(
      reactor.run_until([&] { return !server.sessions.empty() && server.last().requested; }));
  end->stream->abort(StreamError::kReset);
  ASSERT_TRUE(reactor.run_until([&] { return server.last().error != 0; }));
  EXPECT_EQ(proxy->status().streams, 0U);
  reactor.run_for(5ms);
  EXPECT_FALSE(end->refused);
}

TEST_F(SocksStreams, AResetIsToldBehindWhatHadArrived) {
  const auto proxy = make(options());
  for (const bool reading : {true, false}) {
    const auto end = quiet();
    end->reading = reading;
    open(*proxy, *end);
    ASSERT_TRUE(until_open(*end));
    server.last().say("last words");
    ASSERT_TRUE(reactor.run_until([&] { return end->readable_events > 0; }));
    server.last().reset();
    if (!reading) {
      reactor.run_for(5ms);
      EXPECT_FALSE(end->reset);
      EXPECT_EQ(end->readable_events, 1);
      end->reading = true;
      end->read_all();
    }
    ASSERT_TRUE(reactor.run_until([&] { return end->reset.has_value(); }));
    EXPECT_EQ(end->reset, StreamError::kReset);
    EXPECT_EQ(end->text, "last words");
    EXPECT_FALSE(end->ended);
  }
}

TEST_F(SocksStreams, AResetBehindTheEndIsToldToTheWriter) {
  const auto proxy = make(options());
  for (const bool reading : {true, false}) {
    const auto end = quiet();
    end->reading = reading;
    open(*proxy, *end);
    ASSERT_TRUE(until_open(*end));
    server.last().say("last words");
    server.last().shut();
    ASSERT_TRUE(
        reactor.run_until([&] { return end->readable_events > 0 && (end->ended || !reading); }));
    server.last().reset();
    ASSERT_TRUE(reactor.run_until([&] { return end->stream->write(bytes_of("x")) == 0; }));
    end->reading = true;
    end->read_all();
    ASSERT_TRUE(reactor.run_until([&] { return end->reset.has_value(); }));
    EXPECT_EQ(end->text, "last words");
  }
}

// The writer meets the break first; what had arrived is read before it is told.
TEST_F(SocksStreams, AWriterMeetsTheResetFirst) {
  const auto proxy = make(options());
  const auto end = quiet();
  end->reading = false;
  open(*proxy, *end);
  ASSERT_TRUE(until_open(*end));
  server.last().say("last words");
  ASSERT_TRUE(reactor.run_until([&] { return end->readable_events == 1; }));
  server.last().reset();
  ASSERT_TRUE(reactor.run_until([&] { return end->stream->write(bytes_of("x")) == 0; }));
  reactor.run_for(5ms);
  EXPECT_FALSE(end->reset);
  end->reading = true;
  end->read_all();
  ASSERT_TRUE(reactor.run_until([&] { return end->reset.has_value(); }));
  EXPECT_EQ(end->text, "last words");
  EXPECT_FALSE(end->ended);
  EXPECT_EQ(proxy->counters().reset.value(), 1U);
}

TEST_F(SocksStreams, AWriterThatWaitsIsToldOfTheReset) {
  server.plan.stalls = true;
  const auto proxy = make(options());
  const auto end = quiet();
  end->to_write = 64U << 20;
  open(*proxy, *end);
  ASSERT_TRUE(until_open(*end));
  reactor.run_for(5ms);
  server.last().reset();
  ASSERT_TRUE(reactor.run_until([&] { return end->reset.has_value(); }));
}

/// The far end of a stream: the socket that a server's session was.
class FarEnd {
 public:
  FarEnd(TestReactor& reactor, Descriptor fd, std::uint64_t to_write)
      : fd_(std::move(fd)), to_write_(to_write) {
    watch_ = reactor.watch(fd_.get(), Readiness::kBoth, [this](Readiness) { move(); });
  }
  void pause() { watch_->set(Readiness::kNone); }
  void go_on() { watch_->set(Readiness::kBoth); }
  std::uint64_t read = 0, written = 0, wrong = 0;
  bool ended = false;

 private:
  void move() {
    std::vector<std::uint8_t> block(65536);
    const ssize_t n = ::recv(fd_.get(), block.data(), block.size(), 0);
    for (ssize_t i = 0; i < n; ++i)
      if (block[static_cast<std::size_t>(i)] != pattern(1, read + static_cast<std::uint64_t>(i)))
        ++wrong;
    if (n > 0) read += static_cast<std::uint64_t>(n);
    if (n == 0) ended = true;
    const std::size_t size =
        static_cast<std::size_t>(std::min<std::uint64_t>(block.size(), to_write_ - written));
    for (std::size_t i = 0; i < size; ++i) block[i] = pattern(2, written + i);
    const ssize_t sent = size == 0 ? 0 : ::send(fd_.get(), block.data(), size, MSG_NOSIGNAL);
    if (sent > 0) written += static_cast<std::uint64_t>(sent);
    if (written == to_write_) ::shutdown(fd_.get(), SHUT_WR);
    if (written == to_write_ && ended) watch_.reset();
  }
  Descriptor fd_;
  std::uint64_t to_write_;
  std::unique_ptr<FdWatch> watch_;
};

TEST_F(SocksStreams, BulkBothWaysWithReadersThatStandStill) {
  constexpr std::uint64_t kBulk = 64U << 20;
  const auto proxy = make(options());
  End end;
  end.shut_down_after = false;
  open(*proxy, end);
  ASSERT_TRUE(until_open(end));
  ASSERT_TRUE(reactor.run_until([&] { return server.last().said_all(); }));
  FarEnd far(reactor, server.last().take_over(), kBulk);
  far.pause();
  end.reading = false;
  end.to_write = kBulk;
  end.read_seed = 2;
  end.shut_down_after = true;
  end.pump();
  reactor.run_for(20ms);
  // Nobody reads: the kernel's buffers fill, and that is all.
  EXPECT_LT(end.written, 32U << 20);
  far.go_on();
  ASSERT_TRUE(reactor.run_until([&] { return end.readable_events > 0; }));
  reactor.run_for(20ms);
  EXPECT_LT(far.written, 32U << 20);
  EXPECT_EQ(end.readable_events, 1);
  end.reading = true;
  end.read_all();
  ASSERT_TRUE(reactor.run_until([&] { return end.ended && far.ended; }, 60s));
  EXPECT_EQ(end.read, kBulk);
  EXPECT_EQ(far.read, kBulk);
  EXPECT_EQ(end.wrong + far.wrong, 0U);
  EXPECT_EQ(proxy->counters().bytes_in.value(), kBulk);
  EXPECT_EQ(proxy->counters().bytes_out.value(), kBulk);
  EXPECT_FALSE(end.reset);
}

// --- handlers that destroy their stream ---

/// Destroys its stream in the callback that is named.
class Leaver final : public StreamHandler {
 public:
  explicit Leaver(std::string in) : in_(std::move(in)) {}
  void on_open() override {
    leave("open");
    if (stream) (void)stream->write(std::vector<std::uint8_t>(64U << 20));
  }
  void on_refused(StreamError) override { leave("refused"); }
  void on_readable() override {
    leave("readable");
    std::array<std::uint8_t, 100> out;
    while (stream && stream->read(out) > 0) {
    }
  }
  void on_writable() override { leave("writable"); }
  void on_reset(StreamError) override { leave("reset"); }
  std::unique_ptr<Stream> stream;
  bool left = false;

 private:
  void leave(const std::string& at) {
    if (at != in_) return;
    stream.reset();
    left = true;
  }
  std::string in_;
};

TEST_F(SocksStreams, AHandlerMayDestroyItsStreamInAnyCallback) {
  for (const bool optimistic : {false, true}) {
    for (const std::string in : {"open", "refused", "readable", "writable", "reset"}) {
      if (optimistic && in == "refused") continue;
      SocksOptions with = options();
      with.optimistic = optimistic;
      server.plan.reply[1] = in == "refused" ? '\x05' : '\x00';
      server.plan.behind = in == "readable" ? "hello" : "";
      const auto proxy = make(with);
      Leaver leaver(in);
      leaver.stream = proxy->open(kSomewhere, "", leaver);
      if (in == "reset") {
        ASSERT_TRUE(reactor.run_until(
            [&] { return !server.sessions.empty() && server.last().received > 0; }));
        server.last().reset();
      }
      ASSERT_TRUE(reactor.run_until([&] { return leaver.left; })) << in;
      EXPECT_EQ(proxy->status().streams, 0U);
      reactor.run_for(2ms);
      server.sessions.clear();
    }
  }
}

TEST_F(SocksStreams, RoundTripAndUnsent) {
  server.plan.stalls = true;
  const auto proxy = make(options());
  End end;
  end.to_write = 32U << 20;
  open(*proxy, end);
  EXPECT_EQ(end.stream->round_trip(), Duration::zero());
  ASSERT_TRUE(until_open(end));
  reactor.run_for(5ms);
  EXPECT_GT(end.stream->round_trip(), Duration::zero());
  EXPECT_GT(end.stream->unsent(), 0U);
}

TEST_F(SocksStreams, TwoThousandAtOnce) {
  constexpr std::size_t kMany = 2000;
  rlimit files{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
  files.rlim_cur = std::min<rlim_t>(files.rlim_max, std::max<rlim_t>(files.rlim_cur, 8192));
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &files), 0);
  server.plan.echo = true;
  const auto proxy = make(options());
  std::vector<std::unique_ptr<End>> ends;
  for (std::size_t i = 0; i < kMany; ++i) {
    ends.push_back(std::make_unique<End>());
    ends.back()->to_write = 3000;
    ends.back()->shut_down_after = false;  // a reset at the end: no port stays in TIME-WAIT
    open(*proxy, *ends.back());
  }
  EXPECT_EQ(proxy->status().streams, kMany);
  ASSERT_TRUE(reactor.run_until(
      [&] {
        return std::all_of(ends.begin(), ends.end(),
                           [](const auto& end) { return end->read >= 3000; });
      },
      60s));
  for (const auto& end : ends) {
    EXPECT_EQ(end->read, 3000U);
    EXPECT_EQ(end->wrong, 0U);
    EXPECT_FALSE(end->reset || end->refused);
  }
  EXPECT_EQ(proxy->counters().opened.value(), kMany);
  ends.clear();
  EXPECT_EQ(proxy->status().streams, 0U);
}

// Readers that stand still ask for nothing of the system; a break is found all the same.

class SocksStandstill : public SocksLab {
 protected:
  std::unique_ptr<Proxy> proxy = make(options());
  std::unique_ptr<End> end = quiet();
  void open_and_say(const std::string& text) {
    end->reading = false;
    open(*proxy, *end);
    ASSERT_TRUE(until_open(*end));
    server.last().say(text);
    ASSERT_TRUE(reactor.run_until([&] { return end->readable_events == 1; }));
    ASSERT_TRUE(reactor.run_until([&] { return server.last().said_all(); }));
  }
  void pass(Duration time) {
    reactor.skip(time);
    reactor.run_for(10ms);
  }
};

TEST_F(SocksStandstill, WhoReadsNothingAfterABreakIsToldWithoutTheRest) {
  open_and_say("last words");
  reactor.run_for(10ms);
  server.last().reset();
  pass(14s);
  pass(2s);  // found
  pass(59s);
  EXPECT_FALSE(end->reset);
  EXPECT_EQ(end->stream->write(bytes_of("x")), 0U);
  pass(2s);
  EXPECT_EQ(end->reset, StreamError::kReset);
  EXPECT_EQ(end->readable_events, 1);
}

TEST_F(SocksStandstill, WhoReadsSlowlyAfterABreakReadsAll) {
  const std::string text(5 * 4096 + 1, 'x');
  open_and_say(text);
  reactor.run_for(10ms);
  server.last().reset();
  std::vector<std::uint8_t> part(4096);
  std::size_t got = 0;
  for (int i = 0; i < 5; ++i) {
    pass(59s);
    ASSERT_FALSE(end->reset);
    got += end->stream->read(part);
  }
  EXPECT_EQ(got, text.size() - 1);
  pass(59s);
  EXPECT_FALSE(end->reset);
  got += end->stream->read(part);
  EXPECT_EQ(got, text.size());
  EXPECT_EQ(end->stream->read(part), 0U);
  ASSERT_TRUE(reactor.run_until([&] { return end->reset.has_value(); }));
}

TEST_F(SocksStandstill, ABreakBehindTheEndIsFound) {
  open_and_say("last words");
  server.last().shut();
  end->reading = true;
  end->read_all();
  ASSERT_TRUE(reactor.run_until([&] { return end->ended; }));
  pass(16s);
  pass(16s);
  EXPECT_FALSE(end->reset);
  server.last().reset();
  pass(16s);
  EXPECT_EQ(end->reset, StreamError::kReset);
}

TEST_F(SocksStandstill, NothingIsWrongAndItReadsOnAfterADay) {
  open_and_say("one");
  for (int i = 0; i < 10; ++i) pass(std::chrono::hours(3));
  EXPECT_FALSE(end->reset);
  server.last().say(" two");
  reactor.run_for(5ms);
  EXPECT_EQ(end->readable_events, 1);
  end->reading = true;
  end->read_all();
  EXPECT_EQ(end->text, "one two");
  server.last().say(" three");
  ASSERT_TRUE(reactor.run_until([&] { return end->text == "one two three"; }));
}

// Who serves each event in its turn costs no call but those that move octets.
TEST_F(SocksStreams, WhatIsWaitedForIsSeldomChanged) {
  server.plan.echo = true;
  const auto proxy = make(options());
  const auto end = quiet();
  open(*proxy, *end);
  ASSERT_TRUE(until_open(*end));
  const std::uint64_t before = reactor.interest_changes();
  for (std::size_t i = 1; i <= 200; ++i) {
    EXPECT_EQ(end->stream->write(bytes_of("ping")), 4U);
    ASSERT_TRUE(reactor.run_until([&] { return end->text.size() == 4 * i; }));
  }
  EXPECT_EQ(reactor.interest_changes(), before);
}

}  // namespace
}  // namespace vtl::transport::test
