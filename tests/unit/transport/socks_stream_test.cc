// Streams through a SOCKS server: the handshake over real sockets, and the contract of a stream.
#include <sys/resource.h>

#include <array>

#include "socks_lab.h"

namespace vtl::transport::test {
namespace {

class SocksStreams : public SocksLab {};

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
TEST_F(SocksStreams, EveryAnswerCutAtEveryOctet) {
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

TEST_F(SocksStreams, OneOctetATurn) {
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
TEST_F(SocksStreams, AnswersBeforeTheQuestions) {
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

TEST_F(SocksStreams, TheRequestAsSent) {
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
TEST_F(SocksStreams, IsolationIsToldAsCredentials) {
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

TEST_F(SocksStreams, EveryReasonOfARefusal) {
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

TEST_F(SocksStreams, WhatIsNoSocksServerIsDown) {
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

TEST_F(SocksStreams, ClosedInTheMiddle) {
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

TEST_F(SocksStreams, SilenceBeforeTheMethodIsAProxyThatIsDown) {
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

TEST_F(SocksStreams, SilenceBehindTheMethodIsATimeout) {
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

TEST_F(SocksStreams, WhatCannotBeAskedForIsRefused) {
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

// --- the stream ---

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

TEST_F(SocksStreams, DataFollowsAnOptimisticRequest) {
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

TEST_F(SocksStreams, ARefusalOfAnOptimisticStreamIsAReset) {
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

TEST_F(SocksStreams, AnOptimisticWriterIsToldWhenThereIsRoom) {
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
    open(*proxy, *ends.back());
  }
  EXPECT_EQ(proxy->status().streams, kMany);
  ASSERT_TRUE(reactor.run_until(
      [&] {
        return std::all_of(ends.begin(), ends.end(), [](const auto& end) { return end->ended; });
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

}  // namespace
}  // namespace vtl::transport::test
