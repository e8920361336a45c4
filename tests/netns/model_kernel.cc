// TcpModel against the real kernel: it follows every frame of real connections, and tells the
// states that the two kernels tell of themselves.
//
//   client eth0 ------- in0 [ host ] out0 ------- eth0 server
//   10.0.0.1, fd00::1    the model               10.0.0.2, fd00::2

#include <gtest/gtest.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <map>
#include <mutex>

#include "lab/must.h"
#include "tests/netns/forwarder.h"
#include "tests/netns/streams.h"
#include "tests/support/three_hosts.h"
#include "vtl/base/rng.h"
#include "vtl/iface/af_packet.h"
#include "vtl/iface/decorator.h"
#include "vtl/model/tcp_model.h"

namespace vtl {
namespace {

using lab::must;
using model::End;
using model::TcpState;

constexpr std::uint16_t kPort = 5000;

// What the model made of the frames that passed. Two forwarding directions share it, on one thread;
// the test looks at it under the lock.
class Watcher {
 public:
  void see(const Packet& packet) {
    const std::lock_guard lock(mutex_);
    const bool is_super = packet.meta().gso.is_super();
    if (!model_) {
      if (auto met = model::TcpModel::initialise(packet.bytes(), is_super)) model_ = *met;
      return;
    }
    const model::Sync result = model_->sync(packet.bytes(), is_super);
    if (result != model::Sync::kMalformed) ++seen_[result];  // ARP and the like are no TCP frames
  }
  [[nodiscard]] std::optional<model::TcpModel> model() {
    const std::lock_guard lock(mutex_);
    return model_;
  }
  [[nodiscard]] std::map<model::Sync, std::size_t> seen() {
    const std::lock_guard lock(mutex_);
    return seen_;
  }

 private:
  std::mutex mutex_;
  std::optional<model::TcpModel> model_;
  std::map<model::Sync, std::size_t> seen_;
};

// Where frames get lost: on their way to the model, or behind it.
enum class Loss : std::uint8_t { kNone, kBefore, kBehind };

// Shows a Watcher what is read from an interface, and loses one frame in kOneIn.
class Watched final : public iface::Decorator {
 public:
  static constexpr std::uint64_t kOneIn = 30;
  Watched(std::unique_ptr<iface::Interface> inner, Watcher& watcher, Loss loss)
      : Decorator(std::move(inner)), watcher_(watcher), loss_(loss) {}

  iface::ReadStatus read(PacketPool& pool, Time now, Batch& batch) override {
    const auto first = static_cast<std::ptrdiff_t>(batch.size());
    const iface::ReadStatus status = inner_->read(pool, now, batch);
    const auto remove = std::remove_if(batch.begin() + first, batch.end(), [this](Packet& packet) {
      const bool lost = loss_ != Loss::kNone && rng_.below(kOneIn) == 0;
      if (!lost || loss_ == Loss::kBehind) watcher_.see(packet);
      return lost;
    });
    batch.erase(remove, batch.end());
    return status;
  }
  std::size_t write(std::span<Packet> batch) override { return inner_->write(batch); }

 private:
  Watcher& watcher_;
  Loss loss_;
  Rng rng_{7};
};

// The state that a kernel tells of its socket, in the model's words.
TcpState kernel_state(int fd) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) test::throw_errno("TCP_INFO");
  static const std::map<int, TcpState> kStates{
      {TCP_ESTABLISHED, TcpState::kEstablished}, {TCP_SYN_SENT, TcpState::kSynSent},
      {TCP_SYN_RECV, TcpState::kSynReceived},    {TCP_FIN_WAIT1, TcpState::kFinWait1},
      {TCP_FIN_WAIT2, TcpState::kFinWait2},      {TCP_CLOSE, TcpState::kClosed},
      {TCP_CLOSE_WAIT, TcpState::kCloseWait},    {TCP_LAST_ACK, TcpState::kLastAck},
      {TCP_LISTEN, TcpState::kListen},           {TCP_CLOSING, TcpState::kClosing},
      {TCP_TIME_WAIT, TcpState::kTimeWait}};
  return kStates.at(info.tcpi_state);
}

class ModelOfKernel : public ::testing::TestWithParam<std::tuple<bool, Loss>> {
 protected:
  [[nodiscard]] static bool v6() { return std::get<0>(GetParam()); }
  [[nodiscard]] static std::string client_address() { return v6() ? "fd00::1" : "10.0.0.1"; }
  [[nodiscard]] static std::string server_address() { return v6() ? "fd00::2" : "10.0.0.2"; }

  std::unique_ptr<iface::Interface> open(const std::string& device) {
    const auto inside = hosts_.host.enter();
    return std::make_unique<Watched>(must(iface::open_af_packet({.device = device})), watcher_,
                                     std::get<1>(GetParam()));
  }

  [[nodiscard]] testing::AssertionResult reaches(TcpState a, TcpState b) {
    const bool reached = lab::wait_until(
        [&] {
          const auto model = watcher_.model();
          return model && model->state(End::kA) == a && model->state(End::kB) == b;
        },
        20s);
    if (reached) return testing::AssertionSuccess();
    const auto model = watcher_.model();
    return testing::AssertionFailure() << (model ? to_string(*model) : "no connection was met");
  }

  // Nothing that a real kernel sends may be refused.
  void expect_all_followed() {
    for (const auto& [result, count] : watcher_.seen()) {
      EXPECT_TRUE(followed(result)) << count << " frames " << to_string(result);
    }
  }

  test::ThreeHosts hosts_;
  Watcher watcher_;
};

TEST_P(ModelOfKernel, FollowsEveryFrameAndTellsTheKernelsStates) {
  const test::Forwarder forwarder(open("in0"), open("out0"));
  auto [client, server] =
      test::connected(hosts_.client, client_address(), hosts_.server, server_address(), kPort);
  ASSERT_TRUE(reaches(kernel_state(client.get()), kernel_state(server.get())));
  EXPECT_EQ(watcher_.model()->state(End::kA), TcpState::kEstablished);
  const wire::SeqNum first = watcher_.model()->next(End::kA);

  std::vector<std::uint8_t> data(4 << 20);
  Rng rng(1);
  for (auto& octet : data) octet = static_cast<std::uint8_t>(rng.next());
  EXPECT_TRUE(test::transfer(client.get(), server.get(), data) == data);
  EXPECT_TRUE(test::transfer(server.get(), client.get(), data) == data);

  ASSERT_EQ(::shutdown(client.get(), SHUT_WR), 0);
  EXPECT_TRUE(reaches(TcpState::kFinWait2, TcpState::kCloseWait));
  // The model sees an acknowledgement before its receiver does, who may have to wait for another.
  const auto kernel_reaches = [](int fd, TcpState state) {
    return lab::wait_until([&] { return kernel_state(fd) == state; }, 20s);
  };
  EXPECT_TRUE(kernel_reaches(client.get(), TcpState::kFinWait2));
  EXPECT_TRUE(kernel_reaches(server.get(), TcpState::kCloseWait));
  server.reset();
  EXPECT_TRUE(reaches(TcpState::kTimeWait, TcpState::kClosed));
  EXPECT_EQ(watcher_.model()->next(End::kA), first + (4 << 20) + 1);
  EXPECT_EQ(watcher_.model()->in_flight(End::kB), 0U);
  EXPECT_TRUE(watcher_.model()->uses_timestamps());
  expect_all_followed();
}

// A lost reset is not repeated, so these go without loss.
class ModelOfKernelWithoutLoss : public ModelOfKernel {};

TEST_P(ModelOfKernelWithoutLoss, AbortedConnectionIsClosed) {
  const test::Forwarder forwarder(open("in0"), open("out0"));
  auto [client, server] =
      test::connected(hosts_.client, client_address(), hosts_.server, server_address(), kPort);
  ASSERT_EQ(::send(client.get(), "half a quest", 12, MSG_NOSIGNAL), 12);
  const linger now{1, 0};
  ASSERT_EQ(::setsockopt(server.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
  server.reset();
  EXPECT_TRUE(reaches(TcpState::kClosed, TcpState::kClosed));
  expect_all_followed();
}

TEST_P(ModelOfKernelWithoutLoss, RefusedConnectionIsClosed) {
  const test::Forwarder forwarder(open("in0"), open("out0"));
  const lab::Fd client = test::bound_socket(hosts_.client, SOCK_STREAM, client_address(), 0);
  const auto [name, size] = test::socket_address(server_address(), kPort);
  (void)::connect(client.get(), reinterpret_cast<const sockaddr*>(&name), size);
  EXPECT_TRUE(reaches(TcpState::kClosed, TcpState::kClosed));
  expect_all_followed();
}

std::string case_name(const testing::TestParamInfo<std::tuple<bool, Loss>>& each) {
  static constexpr std::array<const char*, 3> kLoss{"NoLoss", "LossBefore", "LossBehind"};
  const std::string family = std::get<0>(each.param) ? "Ipv6" : "Ipv4";
  return family + kLoss[static_cast<std::size_t>(std::get<1>(each.param))];
}

INSTANTIATE_TEST_SUITE_P(
    Connections, ModelOfKernel,
    testing::Combine(testing::Bool(), testing::Values(Loss::kNone, Loss::kBefore, Loss::kBehind)),
    case_name);

INSTANTIATE_TEST_SUITE_P(Connections, ModelOfKernelWithoutLoss,
                         testing::Combine(testing::Bool(), testing::Values(Loss::kNone)),
                         case_name);

}  // namespace
}  // namespace vtl
