// The peer as a whole: authentication on the wire, garbage, absence and return, bounds, sharing.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "tests/unit/transport/pair.h"
#include "vtl/base/descriptor.h"
#include "vtl/transport/framing.h"
#include "vtl/transport/peer_auth.h"
#include "vtl/transport/socket_address.h"

namespace vtl::transport::test {
namespace {

class PeerTest : public PairTest {};

/// A port that nobody uses now, for UDP or for TCP, where it may still be in TIME-WAIT.
wire::SocketAddress free_address() {
  for (;;) {
    SystemAddress address(wire::SocketAddress{wire::Ipv4Address(127, 0, 0, 1), wire::Port(0)});
    const Descriptor tcp(::socket(AF_INET, SOCK_STREAM, 0));
    EXPECT_EQ(::bind(tcp.get(), address.data(), address.size()), 0);
    socklen_t size = SystemAddress::kCapacity;
    ::getsockname(tcp.get(), address.data(), &size);
    const Descriptor udp(::socket(AF_INET, SOCK_DGRAM, 0));
    if (::bind(udp.get(), address.data(), address.size()) == 0) return address.value();
  }
}

TEST_P(PeerTest, AnOpenerWithTheWrongKeyIsRefusedAndCountedOnBothSides) {
  listener = make(listener_options());
  take_requests(*listener);
  Options wrong = opener_options(*listener);
  wrong.key = "quite another key than that";
  wrong.warm = 0;
  opener = make(wrong);
  End near;
  near.stream = opener->open(bytes_of("x"), near);
  ASSERT_TRUE(reactor.run_until([&] { return near.refused.has_value(); }));
  EXPECT_EQ(near.refused, StreamError::kNotAuthenticated);
  EXPECT_TRUE(requests.empty());
  EXPECT_EQ(listener->counters().authentication_failures.value(), 1U);
  EXPECT_EQ(opener->counters().authentication_failures.value(), 1U);
  EXPECT_FALSE(opener->peer_up());
}

TEST_P(PeerTest, AnAbsentListenerMakesThePeerDownAndItsReturnMakesItUp) {
  Options absent = listener_options();
  absent.local = free_address();
  Options o = listener_options();
  o.name = "b";
  o.remote = absent.local;
  o.local.reset();
  o.handshake_timeout = 300ms;
  o.probe_min = o.probe_max = 50ms;
  opener = make(o);
  End first;
  first.stream = opener->open(bytes_of("x"), first);
  ASSERT_TRUE(reactor.run_until([&] { return first.refused.has_value(); }));
  EXPECT_EQ(first.refused, StreamError::kPeerDown);
  EXPECT_FALSE(opener->peer_up());
  End second;  // fails fast now
  second.stream = opener->open(bytes_of("x"), second);
  EXPECT_FALSE(second.refused);
  ASSERT_TRUE(reactor.run_until([&] { return second.refused.has_value(); }, 100ms));
  EXPECT_EQ(second.refused, StreamError::kPeerDown);

  listener = make(absent);
  take_requests(*listener);
  ASSERT_TRUE(reactor.run_until([&] { return opener->peer_up(); }));
  End near, far;
  near.to_write = 1000;
  open_stream(near, far);
  far.pump();
  ASSERT_TRUE(reactor.run_until([&] { return near.ended && far.ended; }));
}

TEST_P(PeerTest, AListenerThatEndsResetsItsStreamsAndMayComeBackOnTheSamePort) {
  connect_pair();
  const Options same = [&] {
    Options o = listener_options();
    o.local = listener->local_address();
    return o;
  }();
  End near, far;
  near.shut_down_after = false;
  open_stream(near, far);
  requests.clear();
  listener.reset();
  ASSERT_TRUE(reactor.run_until([&] { return near.reset.has_value(); }, 30s));
  EXPECT_EQ(near.reset, StreamError::kPeerDown);
  listener = make(same);
  take_requests(*listener);
  End again, other;
  again.to_write = 10;
  ASSERT_TRUE(reactor.run_until([&] { return opener->peer_up(); }));
  ASSERT_TRUE(reactor.run_until([&] {  // one of the old warm connections may still be thought alive
    if (again.stream == nullptr && requests.empty()) {
      again.refused.reset();
      again.stream = opener->open(bytes_of("x"), again);
    }
    return !requests.empty();
  }));
  other.stream = requests.back()->accept(other);
  ASSERT_TRUE(reactor.run_until([&] { return other.read == 10; }));
}

TEST_P(PeerTest, APeerThatFallsSilentResetsItsStreamsAndIsDown) {
  TestReactor far_reactor(0);
  listener = make(listener_options(), &far_reactor);
  take_requests(*listener);
  Options o = opener_options(*listener);
  o.handshake_timeout = 2s;
  o.keepalive = 20ms;
  o.silence = 3s;
  opener = make(o);
  End near, far;
  near.shut_down_after = false;
  near.stream = opener->open(bytes_of("x"), near);
  for (int i = 0; i < 400 && near.opened == 0; ++i) {
    reactor.run_for(5ms);
    far_reactor.run_for(5ms);
    if (!requests.empty() && far.stream == nullptr) far.stream = requests[0]->accept(far);
  }
  ASSERT_EQ(near.opened, 1);
  for (int i = 0; i < 400; ++i) {  // alive for longer than `silence`
    reactor.run_for(5ms);
    far_reactor.run_for(5ms);
  }
  EXPECT_FALSE(near.reset);
  // The far side's loop stands still from here: to the opener it is gone.
  ASSERT_TRUE(reactor.run_until([&] { return near.reset.has_value(); }));
  EXPECT_EQ(near.reset, StreamError::kPeerDown);
  ASSERT_TRUE(reactor.run_until([&] { return !opener->peer_up(); }));
  opener.reset();
  far.stream.reset();
  requests.clear();
  listener.reset();
}

/// Reads 10'000 octets in each turn until the end or the reset, as a slow reader does.
bool read_slowly(TestReactor& reactor, End& end, Duration bound = 20s) {
  std::vector<std::uint8_t> block(10'000);
  return reactor.run_until(
      [&] {
        const std::size_t n = end.stream ? end.stream->read(block) : 0;
        for (std::size_t i = 0; i < n; ++i)
          if (block[i] != pattern(end.read_seed, end.read + i)) ++end.wrong;
        end.read += n;
        if (end.stream && end.stream->at_end()) end.ended = true;
        return end.ended || end.reset;
      },
      bound);
}

TEST_P(PeerTest, WhatArrivedBeforeThePeerWentIsReadBeforeTheReset) {
  // With octets that the peer has not read, the kernel's TCP ends with a reset.
  for (const std::uint64_t unread_by_peer : {0, 1000}) {
    connect_pair();
    End near, far;
    near.to_write = 6'000'000;
    near.shut_down_after = far.shut_down_after = false;
    near.reading = false;
    far.to_write = unread_by_peer;
    open_stream(near, far);
    far.pump();
    ASSERT_TRUE(reactor.run_until([&] { return far.read == near.to_write; }));
    far.reading = false;  // the window has grown by now
    near.to_write += 1'500'000;
    near.pump();
    ASSERT_TRUE(reactor.run_until(
        [&] { return near.written == near.to_write && near.stream->unsent() == 0; }));
    opener.reset();
    reactor.run_for(300ms);
    EXPECT_FALSE(far.reset) << "not before what was received is read";
    ASSERT_TRUE(read_slowly(reactor, far));
    EXPECT_EQ(far.read, near.to_write);
    EXPECT_EQ(far.wrong, 0U);
    EXPECT_EQ(far.reset, StreamError::kPeerDown);
    EXPECT_FALSE(far.ended);
    near.stream.reset();
    requests.clear();
    listener.reset();
  }
}

TEST_P(PeerTest, AnEndInOrderThatArrivedBeforeThePeerWentIsAnEndInOrder) {
  connect_pair();
  End near, far;
  near.shut_down_after = false;
  far.reading = false;
  open_stream(near, far);
  far.pump();  // nothing, and the end
  ASSERT_TRUE(reactor.run_until([&] { return near.ended; }));
  near.to_write = 200'000;
  near.shut_down_after = true;
  near.pump();
  ASSERT_TRUE(reactor.run_until([&] { return near.shut && near.stream->unsent() == 0; }));
  opener.reset();
  reactor.run_for(300ms);
  ASSERT_TRUE(read_slowly(reactor, far));
  EXPECT_EQ(far.read, near.to_write);
  EXPECT_EQ(far.wrong, 0U);
  EXPECT_TRUE(far.ended);
  reactor.run_for(100ms);
  EXPECT_FALSE(far.reset);
}

TEST_P(PeerTest, WhatASilentPeerHadSentIsReadBeforeTheReset) {
  TestReactor far_reactor(0);
  listener = make(listener_options(), &far_reactor);
  take_requests(*listener);
  Options o = opener_options(*listener);
  o.handshake_timeout = 2s;
  o.keepalive = 20ms;
  o.silence = 3s;
  opener = make(o);
  End near, far;
  near.shut_down_after = far.shut_down_after = false;
  near.reading = false;
  far.to_write = 200'000;
  near.stream = opener->open(bytes_of("x"), near);
  for (int i = 0; i < 400 && (far.written < far.to_write || far.stream->unsent() > 0); ++i) {
    reactor.run_for(5ms);
    far_reactor.run_for(5ms);
    if (!requests.empty() && far.stream == nullptr) {
      far.stream = requests[0]->accept(far);
      far.pump();
    }
  }
  ASSERT_EQ(far.written, far.to_write);
  // The far side's loop stands still from here.
  ASSERT_TRUE(reactor.run_until([&] { return !opener->peer_up(); }));
  EXPECT_FALSE(near.reset);
  ASSERT_TRUE(read_slowly(reactor, near));
  EXPECT_EQ(near.read, far.to_write);
  EXPECT_EQ(near.wrong, 0U);
  EXPECT_EQ(near.reset, StreamError::kPeerDown);
  opener.reset();
  far.stream.reset();
  requests.clear();
  listener.reset();
}

TEST_P(PeerTest, AStreamOnAWarmConnectionNeedsNoNewOne) {
  connect_pair();
  reactor.run_for(300ms);  // the warm ones are ready
  for (int i = 0; i < 20; ++i) {
    End near, far;
    near.to_write = far.to_write = 10;
    open_stream(near, far);
    far.pump();
    ASSERT_TRUE(reactor.run_until([&] { return near.ended && far.ended; }));
    EXPECT_EQ(near.wrong + far.wrong, 0U);
  }
  EXPECT_EQ(opener->counters().opened.value(), 20U);
  EXPECT_EQ(opener->counters().reset.value() + listener->counters().reset.value(), 0U);
}

TEST_P(PeerTest, BeyondMaxStreamsOpenersAreRefusedWithLimit) {
  listener = make(listener_options());
  take_requests(*listener);
  Options o = opener_options(*listener);
  o.max_streams = 2;
  opener = make(o);
  End ends[3];
  for (End& end : ends) end.stream = opener->open(bytes_of("x"), end);
  ASSERT_TRUE(reactor.run_until([&] { return ends[2].refused && requests.size() == 2; }));
  EXPECT_EQ(ends[2].refused, StreamError::kLimit);
  EXPECT_FALSE(ends[0].refused || ends[1].refused);
}

/// Destroys its stream in the callback that it is told to.
class Suicide final : public StreamHandler {
 public:
  explicit Suicide(int in) : in_(in) {}
  void on_open() override {
    opened = true;
    at(0);
  }
  void on_refused(StreamError) override { at(1); }
  void on_readable() override { at(2); }
  void on_writable() override { at(3); }
  void on_reset(StreamError) override { at(4); }
  std::unique_ptr<Stream> stream;
  bool died = false, opened = false;

 private:
  void at(int callback) {
    EXPECT_FALSE(died);
    if (callback != in_) return;
    died = true;
    stream.reset();
  }
  int in_;
};

TEST_P(PeerTest, AHandlerMayDestroyItsStreamInAnyCallback) {
  connect_pair();
  for (int callback = 0; callback < 5; ++callback) {
    Suicide near(callback);
    End far;
    far.shut_down_after = false;
    far.to_write = 100;
    const std::size_t before = requests.size();
    near.stream = opener->open(bytes_of("x"), near);
    ASSERT_TRUE(reactor.run_until([&] { return requests.size() > before; }));
    if (callback == 1) {
      requests.back()->refuse(StreamError::kRefused);
    } else {
      far.stream = requests.back()->accept(far);
      if (callback == 2) far.pump();
      if (callback == 4) far.stream->abort(StreamError::kReset);
      if (callback == 3) {
        ASSERT_TRUE(reactor.run_until([&] { return near.opened; }));
        const std::vector<std::uint8_t> block(32 << 20);
        ASSERT_TRUE(reactor.run_until(
            [&] { return near.died || near.stream->write(block) < block.size(); }));
      }
    }
    ASSERT_TRUE(reactor.run_until([&] { return near.died; })) << callback;
    if (callback == 0 || callback == 2 || callback == 3) {
      ASSERT_TRUE(reactor.run_until([&] { return far.reset.has_value(); }, 30s)) << callback;
    }
  }
}

TEST_P(PeerTest, PeersWithDifferentKeysShareOnePort) {
  Options first = listener_options();
  first.local = free_address();
  Options second = first;
  second.name = "c";
  second.key = "the key of the second peer";
  listener = make(first);
  auto other = make(second);
  int to_first = 0, to_second = 0;
  listener->listen([&](std::unique_ptr<IncomingStream> request) {
    ++to_first;
    request->refuse(StreamError::kRefused);
  });
  other->listen([&](std::unique_ptr<IncomingStream> request) {
    ++to_second;
    request->refuse(StreamError::kHostUnreachable);
  });
  Options o = opener_options(*listener);
  opener = make(o);
  o.key = second.key;
  auto opener2 = make(o);
  End a, b;
  a.stream = opener->open(bytes_of("x"), a);
  b.stream = opener2->open(bytes_of("x"), b);
  ASSERT_TRUE(reactor.run_until([&] { return a.refused && b.refused; }));
  EXPECT_EQ(a.refused, StreamError::kRefused);
  EXPECT_EQ(b.refused, StreamError::kHostUnreachable);
  EXPECT_EQ(to_first, 1);
  EXPECT_EQ(to_second, 1);
}

TEST_P(PeerTest, AStreamIsDeliveredToTheWorkerThatOwnsItsFlow) {
  Options o = listener_options();
  o.local = free_address();
  o.worker_for = [](Bytes preface) -> std::uint32_t { return preface[0] == '1' ? 1 : 0; };
  listener = make(o);
  take_requests(*listener);
  opener = make(opener_options(*listener));

  TestReactor second(1);
  std::unique_ptr<Transport> on_second = make(o, &second);
  std::unique_ptr<IncomingStream> there;
  on_second->listen([&](std::unique_ptr<IncomingStream> request) { there = std::move(request); });

  End near, far;
  near.to_write = far.to_write = 100'000;
  near.stream = opener->open(bytes_of("1"), near);
  const auto both = [&](auto state) {
    for (int i = 0; i < 2000 && !state(); ++i) {
      reactor.run_for(5ms);
      second.run_for(5ms);
    }
    return state();
  };
  ASSERT_TRUE(both([&] { return there != nullptr; }));
  EXPECT_EQ(text_of(there->preface()), "1");
  EXPECT_TRUE(requests.empty());
  far.stream = there->accept(far);
  far.pump();
  ASSERT_TRUE(both([&] { return near.ended && far.ended; }));
  EXPECT_EQ(near.read + far.read, 200'000U);
  EXPECT_EQ(near.wrong + far.wrong, 0U);

  End back, home;  // the connection is used again, for a flow of the first worker
  back.to_write = 10;
  back.stream = opener->open(bytes_of("0"), back);
  ASSERT_TRUE(both([&] { return !requests.empty(); }));
  home.stream = requests.back()->accept(home);
  home.pump();
  ASSERT_TRUE(both([&] { return back.ended && home.ended; }));
}

INSTANTIATE_TEST_SUITE_P(Kinds, PeerTest, ::testing::ValuesIn(kCases), case_name);

/// A plain TCP client of the listener: garbage and silence need no UDT to be tried.
class StrangerTest : public PairTest {
 protected:
  void SetUp() override {
    Options o = listener_options();
    o.handshake_timeout = 300ms;
    o.max_half_open = 4;
    listener = make(o);
    take_requests(*listener);
  }
  int connect_to_listener() {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    const SystemAddress to(listener->local_address());
    EXPECT_TRUE(::connect(fd, to.data(), to.size()) == 0 || errno == EINPROGRESS);
    return fd;
  }
  bool closed(int fd) {
    char waste[4096];
    ssize_t n = 0;
    do n = ::recv(fd, waste, sizeof waste, 0);
    while (n > 0);
    return n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
  }
};

TEST_P(StrangerTest, GarbageIsClosedWithoutARequest) {
  Rng rng(1);
  for (int i = 0; i < 50; ++i) {
    const int fd = connect_to_listener();
    std::vector<std::uint8_t> garbage(1 + rng.below(2000));
    for (auto& octet : garbage) octet = static_cast<std::uint8_t>(rng.next());
    if (i % 2 == 0) garbage[0] = static_cast<std::uint8_t>(1 + rng.below(12));
    ASSERT_TRUE(reactor.run_until(
        [&] { return ::send(fd, garbage.data(), garbage.size(), MSG_NOSIGNAL) > 0; }));
    ASSERT_TRUE(reactor.run_until([&] { return closed(fd); }));
    ::close(fd);
  }
  EXPECT_TRUE(requests.empty());
}

TEST_P(StrangerTest, SilenceIsClosedAfterTheHandshakeTimeoutAndHalfOpenIsBounded) {
  int fds[8];
  for (int& fd : fds) fd = connect_to_listener();
  ASSERT_TRUE(
      reactor.run_until([&] { return listener->counters().half_open_limited.value() == 4; }));
  for (const int fd : fds) {
    ASSERT_TRUE(reactor.run_until([&] { return closed(fd); }));
    ::close(fd);
  }
}

TEST_P(StrangerTest, RecordsBeforeAuthenticationAreRefused) {
  for (const auto type : {RecordType::kOpen, RecordType::kData, RecordType::kAccept,
                          RecordType::kFin, RecordType::kPing, RecordType::kWelcome}) {
    const int fd = connect_to_listener();
    std::vector<std::uint8_t> wire;
    append_record(
        wire, type,
        std::vector<std::uint8_t>(type == RecordType::kOpen || type == RecordType::kData ||
                                          type == RecordType::kWelcome
                                      ? kMacSize
                                      : 0));
    ASSERT_TRUE(
        reactor.run_until([&] { return ::send(fd, wire.data(), wire.size(), MSG_NOSIGNAL) > 0; }));
    ASSERT_TRUE(reactor.run_until([&] { return closed(fd); }));
    ::close(fd);
  }
  EXPECT_TRUE(requests.empty());
}

INSTANTIATE_TEST_SUITE_P(Kinds, StrangerTest, ::testing::Values(kCases[0]), case_name);

TEST(MakeTransport, EveryMistakeIsOneClearLine) {
  TestReactor reactor;
  const auto says = [&](const Options& o, Make make) {
    const auto made = make(o, reactor);
    return made ? std::string() : made.error().message;
  };
  Options o;
  o.name = "siteb";
  o.key = "sixteen octets at least";
  EXPECT_EQ(says(o, make_tcp), "peer siteb: needs an address to reach it at, or one to listen on");
  o.remote = wire::SocketAddress::parse("127.0.0.1:9");
  o.key = "short";
  EXPECT_EQ(says(o, make_tcp), "peer siteb: the key must have at least 16 characters, and has 5");
  o.key = "sixteen octets at least";
  o.buffer = 1;
  EXPECT_EQ(says(o, make_udt), "peer siteb: buffer must be 64 KiB to 1 GiB");
  o.buffer = 1 << 20;
  o.local = wire::SocketAddress::parse("[::1]:0");
  EXPECT_NE(says(o, make_udt).find("one is IPv4, the other IPv6"), std::string::npos);
  o.local = wire::SocketAddress::parse("192.0.2.77:9000");
  EXPECT_NE(says(o, make_udt).find("cannot use 192.0.2.77:9000 (udp): Cannot assign"),
            std::string::npos);
  EXPECT_NE(says(o, make_tcp).find("cannot listen on 192.0.2.77:9000 (tcp): Cannot assign"),
            std::string::npos);
  o.local.reset();
  o.congestion = "no-such";
  EXPECT_NE(says(o, make_tcp).find("no congestion control 'no-such'"), std::string::npos);
}

TEST(MakeTransport, APortInUseIsTold) {
  TestReactor reactor;
  for (const int type : {SOCK_STREAM, SOCK_DGRAM}) {
    const int fd = ::socket(AF_INET, type, 0);
    SystemAddress address(wire::SocketAddress{wire::Ipv4Address(127, 0, 0, 1), wire::Port(0)});
    ASSERT_EQ(::bind(fd, address.data(), address.size()), 0);
    if (type == SOCK_STREAM) {
      ASSERT_EQ(::listen(fd, 1), 0);
    }
    socklen_t size = SystemAddress::kCapacity;
    ::getsockname(fd, address.data(), &size);
    Options o;
    o.name = "siteb";
    o.key = "sixteen octets at least";
    o.local = address.value();
    const auto made = type == SOCK_STREAM ? make_tcp(o, reactor) : make_udt(o, reactor);
    ASSERT_FALSE(made);
    EXPECT_NE(made.error().message.find("Address already in use"), std::string::npos)
        << made.error().message;
    ::close(fd);
  }
}

}  // namespace
}  // namespace vtl::transport::test
