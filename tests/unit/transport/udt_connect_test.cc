// What becomes of an attempt to connect over UDT that nobody answers: libudt must not be left with
// a pointer to a socket that it has freed. Freed memory is overwritten from here to the end of the
// process, which frees too, so that reading it shows.
#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/socket.h>
#include <udt/udt.h>
#include <unistd.h>

#include "tests/unit/transport/pair.h"
#include "vtl/transport/socket_address.h"
#include "vtl/transport/udt_channel.h"

namespace vtl::transport::test {
namespace {

class UdtConnectTest : public PairTest {
 protected:
  UdtConnectTest() : silent_(::socket(AF_INET, SOCK_DGRAM, 0)) {
    ::mallopt(M_PERTURB, 0xa5);
    SystemAddress address(wire::SocketAddress{wire::Ipv4Address(127, 0, 0, 1), wire::Port(0)});
    EXPECT_EQ(::bind(silent_, address.data(), address.size()), 0);
    socklen_t size = SystemAddress::kCapacity;
    ::getsockname(silent_, address.data(), &size);
    options_ = listener_options();
    options_.name = "silent";
    options_.local.reset();
    options_.remote = address.value();
  }
  ~UdtConnectTest() override { ::close(silent_); }

  /// The number that the next socket will have: libudt counts down.
  static UDTSOCKET next_socket() {
    const UDTSOCKET u = UDT::socket(AF_INET, SOCK_STREAM, 0);
    UDT::close(u);
    return u - 1;
  }
  /// Until libudt has freed `socket`, which was closed or will be.
  void wait_for_the_end_of(UDTSOCKET socket) {
    ASSERT_TRUE(reactor.run_until([&] { return UDT::getsockstate(socket) == NONEXIST; }));
  }
  /// Until libudt has freed every socket that was closed before.
  void wait_for_the_collector() {
    const UDTSOCKET last = UDT::socket(AF_INET, SOCK_STREAM, 0);
    UDT::close(last);
    ASSERT_TRUE(reactor.run_until([&] { return UDT::getsockstate(last) == NONEXIST; }));
  }
  /// A stream through the port, and the receiving thread, that the attempt had.
  void carry() {
    connect_pair();
    carry_stream(kOctets);
  }

  static constexpr std::uint64_t kOctets = 100'000;
  int silent_;
  Options options_;
};

// Where the machine stands still between VTL's end of an attempt and libudt's own, it is the other
// test's case: one more attempt is made.
TEST_P(UdtConnectTest, AnAttemptThatNobodyAnswersLeavesNothingBehind) {
  constexpr Duration kFreed = 6s;  // libudt frees what was closed a second ago
  constexpr int kAttempts = 10;
  options_.warm = 0;
  bool in_time = false;
  for (int i = 0; i < kAttempts && !in_time; ++i) {
    const auto transport = make(options_);
    const UDTSOCKET attempt = next_socket();
    End near;
    near.stream = transport->open(bytes_of("x"), near);
    ASSERT_EQ(UDT::getsockstate(attempt), CONNECTING);
    ASSERT_TRUE(reactor.run_until([&] { return near.refused.has_value(); }));
    EXPECT_EQ(near.refused, StreamError::kPeerDown);
    in_time = reactor.run_until([&] { return UDT::getsockstate(attempt) == NONEXIST; }, kFreed);
  }
  EXPECT_TRUE(in_time) << "no attempt was ended before libudt gave it up";
  carry();
}

TEST_P(UdtConnectTest, AnAttemptThatIsEndedAfterLibudtGaveItUpIsNotFreed) {
  auto carrier = make_udt_carrier(options_, reactor);
  ASSERT_TRUE(carrier) << carrier.error().message;
  const UDTSOCKET attempt = next_socket();
  auto channel = (*carrier)->connect();
  ASSERT_TRUE(channel) << channel.error().message;
  ASSERT_EQ(UDT::getsockstate(attempt), CONNECTING);
  ASSERT_TRUE(reactor.run_until([&] {  // without a handler the channel does not look at its time
    const int none = 0;
    return UDT::setsockopt(attempt, 0, UDT_FC, &none, sizeof none) == UDT::ERROR &&
           UDT::getlasterror_code() == UDT::ERRORINFO::EINVPARAM;
  }));
  channel->reset();
  reactor.run_for(1s);  // twice what an end takes
  wait_for_the_collector();
  EXPECT_EQ(UDT::getsockstate(attempt), CONNECTING) << "it was closed";
  carry();
}

// libudt completes an attempt in its own thread and ends the process when the socket is closed
// meanwhile: the ends are spread over the time that an attempt takes.
TEST_P(UdtConnectTest, AnAttemptMayEndWhileItIsAnswered) {
  constexpr int kAttempts = 50;
  listener = make(listener_options());
  take_requests(*listener);
  options_.remote = listener->local_address();
  auto carrier = make_udt_carrier(options_, reactor);
  ASSERT_TRUE(carrier) << carrier.error().message;
  UDTSOCKET last = UDT::INVALID_SOCK;
  for (int i = 0; i < kAttempts; ++i) {
    last = next_socket();
    auto channel = (*carrier)->connect();
    ASSERT_TRUE(channel) << channel.error().message;
    const Time end = SystemClock().now() + std::chrono::microseconds(40 * i);
    while (SystemClock().now() < end);
  }
  wait_for_the_end_of(last);
  listener.reset();
  carry();
}

INSTANTIATE_TEST_SUITE_P(Udt, UdtConnectTest, ::testing::Values(Case{"Udt", make_udt}), case_name);

}  // namespace
}  // namespace vtl::transport::test
