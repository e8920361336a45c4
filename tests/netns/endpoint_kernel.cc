// The endpoint against Linux's own TCP, both roles.
//
//   [ kernel: sockets ] eth0 ------- in0 [ host: af_packet, the endpoint ]
//      10.0.0.1, fd00::1                    10.0.0.2, fd00::2 (the endpoint's alone)
#include <gtest/gtest.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <functional>
#include <optional>

#include "lab/lab.h"
#include "lab/must.h"
#include "tests/netns/streams.h"
#include "tests/unit/packet/frames.h"
#include "vtl/base/rng.h"
#include "vtl/endpoint/endpoint.h"
#include "vtl/iface/af_packet.h"
#include "vtl/packet/access.h"
#include "vtl/service/tcp_frame.h"

namespace vtl::endpoint {
namespace {

using lab::must;
using test::Octets;

constexpr std::uint16_t kPort = 5000;
const wire::MacAddress kEndpointMac({0x02, 0, 0, 0, 0xee, 0x01});

// One endpoint that lives on a device: what a service does, and a seeded loss.
class Wired {
 public:
  Wired(std::unique_ptr<iface::Interface> interface, wire::MacAddress peer_mac)
      : interface_(std::move(interface)) {
    path_.source_mac = kEndpointMac;
    path_.destination_mac = peer_mac;
  }

  void connect(const Config& config, wire::FlowKey key) {
    path_.key = key;
    endpoint_ = Endpoint::connect(config, {key.source.port, key.destination.port},
                                  wire::SeqNum(0xffff0000U), now());
  }
  /// Takes the first SYN that comes.
  void listen(const Config& config, bool hold = false) {
    config_ = config;
    listening_ = true;
    hold_ = hold;
  }
  void lose(double share) { loss_ = share; }
  void mark(double share) { marks_ = share; }

  /// One turn: read, process, dispatch, write. Waits up to 1 ms when there is nothing to do.
  void turn(int kernel_fd) {
    Batch batch;
    (void)interface_->read(pool_, now(), batch);
    for (Packet& packet : batch) take(packet);
    dispatch();
    flush();
    if (!batch.empty() || !waiting_.empty()) return;
    const Time at = endpoint_ ? endpoint_->poll_at(now()) : kNever;
    if (at <= now()) return;
    pollfd fds[] = {{interface_->fd(), POLLIN, 0}, {kernel_fd, POLLIN, 0}};
    ::poll(fds, 2, 1);
  }

  Endpoint& endpoint() { return *endpoint_; }
  [[nodiscard]] bool exists() const { return endpoint_.has_value(); }
  [[nodiscard]] Time now() const { return clock_.now(); }
  [[nodiscard]] const iface::InterfaceCounters& counters() const { return interface_->counters(); }
  [[nodiscard]] std::size_t super_frames_out() const { return super_frames_out_; }

 private:
  void take(Packet& packet) {
    if (!is_tcp(packet) || is_fragment(packet)) return;
    if (rng_.chance(loss_)) return;
    congest(packet);
    const auto segment = service::to_segment(packet);
    ASSERT_TRUE(segment.has_value());
    if (endpoint_) {
      endpoint_->process(*segment, now());
    } else if (listening_ && segment->header.flags.syn()) {
      const auto key = flow_of(packet);
      path_.key = key.reversed();
      endpoint_ = Endpoint::accept_syn(config_, {key.destination.port, key.source.port},
                                       wire::SeqNum(0x7fff0000U), *segment, hold_, now());
    }
  }

  static wire::FlowKey flow_of(const Packet& packet) {
    return *flow_key(packet.bytes(), packet.layout());
  }

  /// A queue on the way marks what may be marked (RFC 3168 section 5).
  void congest(Packet& packet) {
    constexpr std::uint8_t kEct0 = 2, kCe = 3;
    if (ecn(packet) == kEct0 && rng_.chance(marks_)) set_ecn(packet, kCe);
  }

  void dispatch() {
    if (!endpoint_ || !waiting_.empty()) return;
    endpoint_->dispatch(now(), [&](const OutSegment& out) {
      if (waiting_.size() >= kMaxBatch) return false;
      if (rng_.chance(loss_)) return true;
      Packet packet = service::make_tcp_frame(pool_, path_, out);
      if (!packet) return false;
      congest(packet);
      if (packet.meta().gso.is_super()) ++super_frames_out_;
      waiting_.push_back(std::move(packet));
      return true;
    });
  }

  void flush() {
    const std::size_t done = interface_->write(waiting_);
    waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(done));
  }

  SystemClock clock_;
  PacketPool pool_;
  std::unique_ptr<iface::Interface> interface_;
  service::FramePath path_;
  std::optional<Endpoint> endpoint_;
  Config config_;
  bool listening_ = false, hold_ = false;
  double loss_ = 0;
  double marks_ = 0;
  Rng rng_{7};
  Batch waiting_;
  std::size_t super_frames_out_ = 0;
};

struct World {
  const char* name;
  bool active;  // the endpoint opens
  bool v6 = false;
  lab::Offloads offloads = lab::Offloads::kKeep;
  bool timestamps = true;
  bool scaling = true;
  double loss = 0;
  std::size_t octets = std::size_t{24} << 20;
  double marks = 0;  // of what is sent as ECT; both ends ask for ECN when not 0
};

class Kernel {
 public:
  explicit Kernel(const World& world) : world_(world) {
    kernel_ = must(lab_.add_host("kernel"));
    host_ = must(lab_.add_host("host", {.ipv6 = lab::Ipv6::kNoNoise}));
    must(lab_.connect({*kernel_, "eth0"}, {*host_, "in0"}, {.offloads = world.offloads}));
    must(
        kernel_->ip("addr add 10.0.0.1/24 dev eth0\naddr add fd00::1/64 dev eth0\n"
                    "neigh add 10.0.0.2 lladdr 02:00:00:00:ee:01 dev eth0\n"
                    "neigh add fd00::2 lladdr 02:00:00:00:ee:01 dev eth0"));
    must(kernel_->set_sysctl("net.ipv4.tcp_timestamps", world.timestamps ? "1" : "0"));
    must(kernel_->set_sysctl("net.ipv4.tcp_window_scaling", world.scaling ? "1" : "0"));
    must(kernel_->set_sysctl("net.ipv4.tcp_ecn", world.marks > 0 ? "1" : "2"));
    const auto mac = must(kernel_->mac("eth0"));
    const auto inside = host_->enter();
    wired_.emplace(must(iface::open_af_packet({.device = "in0"})), mac);
    wired_->lose(world.loss);
    wired_->mark(world.marks);
  }

  static Config config() {
    Config out;
    out.offer_sack = true;
    out.ecn = Ecn::kRequest;
    out.receive_buffer = out.send_buffer = std::size_t{1} << 20;
    return out;
  }

  /// Turns until `done` answers true; false after the bound.
  template <class Done>
  bool until(Done done, Duration bound = 20s) {
    const Time stop = wired_->now() + bound;
    while (!done()) {
      if (wired_->now() > stop || ::testing::Test::HasFatalFailure()) return false;
      wired_->turn(socket_.get());
    }
    return true;
  }

  /// Opens a connection in the world's role; both ends are established then.
  void open(const Config& config = Kernel::config()) {
    begin(config);
    ASSERT_TRUE(until([&] { return established(); })) << "no connection";
  }

  void begin(const Config& config, bool hold = false) {
    if (world_.active) {
      listener_ = test::bound_socket(*kernel_, SOCK_STREAM, kernel_address(), kPort);
      ASSERT_EQ(::listen(listener_.get(), 1), 0);
      connect_out(config, kPort);
      return;
    }
    wired_->listen(config, hold);
    socket_ = test::bound_socket(*kernel_, SOCK_STREAM, kernel_address(), 0);
    const auto [name, size] = test::socket_address(world_.v6 ? "fd00::2" : "10.0.0.2", kPort);
    const int rc = ::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&name), size);
    ASSERT_TRUE(rc == 0 || errno == EINPROGRESS);
  }

  void connect_out(const Config& config, std::uint16_t port) {
    wire::FlowKey key;
    key.source = {*wire::IpAddress::parse(world_.v6 ? "fd00::2" : "10.0.0.2"), wire::Port(4000)};
    key.destination = {*wire::IpAddress::parse(kernel_address()), wire::Port(port)};
    wired_->connect(config, key);
  }

  bool established() {
    if (!wired_->exists() || wired_->endpoint().state() != State::kEstablished) return false;
    if (world_.active && !socket_) {
      socket_ = lab::Fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    }
    return static_cast<bool>(socket_) && test::ready(socket_.get(), POLLOUT, 0);
  }

  // The kernel's program.
  void kernel_sends(const Octets& data, std::size_t& at) {
    while (at < data.size()) {
      const ssize_t n = ::send(socket_.get(), data.data() + at,
                               std::min<std::size_t>(data.size() - at, 1 << 18), MSG_NOSIGNAL);
      if (n <= 0) return;
      at += static_cast<std::size_t>(n);
    }
  }
  /// What recv() said last: 0 at the end of the stream, -1 with errno.
  ssize_t kernel_reads(Octets& into) {
    std::array<std::uint8_t, 1 << 16> chunk;
    for (;;) {
      const ssize_t n = ::recv(socket_.get(), chunk.data(), chunk.size(), 0);
      if (n <= 0) return n;
      into.insert(into.end(), chunk.begin(), chunk.begin() + n);
    }
  }
  // The endpoint's program.
  void endpoint_sends(const Octets& data, std::size_t& at) {
    at += endpoint().write(Bytes(data).subspan(at), now());
  }
  void endpoint_reads(Octets& into) {
    while (endpoint().readable() > 0) {
      const Bytes bytes = endpoint().peek();
      into.insert(into.end(), bytes.begin(), bytes.end());
      endpoint().consume(bytes.size(), now());
    }
  }

  Endpoint& endpoint() { return wired_->endpoint(); }
  Wired& wired() { return *wired_; }
  Time now() const { return wired_->now(); }
  int socket() const { return socket_.get(); }
  void close_socket() { socket_.reset(); }

 private:
  const char* kernel_address() const { return world_.v6 ? "fd00::1" : "10.0.0.1"; }

  World world_;
  lab::Lab lab_;
  lab::Host *kernel_ = nullptr, *host_ = nullptr;
  std::optional<Wired> wired_;
  lab::Fd listener_, socket_;
};

class EndpointKernel : public ::testing::TestWithParam<World> {};

TEST_P(EndpointKernel, BulkBothWaysAtOnceThenCloseArrivesByteForByte) {
  const World& world = GetParam();
  Kernel kernel(world);
  kernel.open();
  const Octets there = test::pattern(world.octets, 1);
  const Octets back = test::pattern(world.octets, 2);
  Octets at_kernel, at_endpoint;
  std::size_t sent = 0, received = 0;
  bool kernel_shut = false, kernel_end = false;
  const bool finished = kernel.until(
      [&] {
        kernel.kernel_sends(back, received);
        if (received == back.size() && !kernel_shut) {
          kernel_shut = true;
          ::shutdown(kernel.socket(), SHUT_WR);
        }
        if (!kernel_end) kernel_end = kernel.kernel_reads(at_kernel) == 0;
        kernel.endpoint_reads(at_endpoint);
        kernel.endpoint_sends(there, sent);
        if (sent == there.size()) kernel.endpoint().shutdown(kernel.now());
        return kernel_end && kernel.endpoint().at_end() && kernel.endpoint().all_acknowledged();
      },
      60s);
  EXPECT_TRUE(finished) << "endpoint " << to_string(kernel.endpoint().state()) << ", sent " << sent
                        << ", kernel got " << at_kernel.size() << ", endpoint got "
                        << at_endpoint.size();
  EXPECT_TRUE(at_kernel == there);
  EXPECT_TRUE(at_endpoint == back);
  EXPECT_EQ(to_string(kernel.endpoint().end_reason()), "none");
  if (world.offloads == lab::Offloads::kKeep) {
    EXPECT_GT(kernel.wired().counters().rx_super_frames.value(), 10U);
    EXPECT_GT(kernel.wired().super_frames_out(), 10U);
  }
  if (world.loss == 0) {
    // Save for probes, which go when this machine stops for a few milliseconds (RFC 8985 section
    // 7).
    const EndpointStats& stats = kernel.endpoint().stats();
    EXPECT_LE(stats.retransmissions, stats.tail_probes);
    EXPECT_EQ(stats.fast_retransmits, 0U);
    EXPECT_EQ(stats.timeouts, 0U);
    EXPECT_EQ(stats.out_of_order, 0U);
  }
  if (world.marks > 0) {
    EXPECT_GT(kernel.endpoint().stats().ce_received, 0U);
    EXPECT_GT(kernel.endpoint().stats().ecn_reductions, 0U);
  }
  EXPECT_EQ(kernel.endpoint().peer_options().timestamps.has_value(), world.timestamps);
  EXPECT_EQ(kernel.endpoint().peer_options().window_scale.has_value(), world.scaling);
}

INSTANTIATE_TEST_SUITE_P(
    Worlds, EndpointKernel,
    ::testing::Values(
        World{.name = "Passive", .active = false}, World{.name = "Active", .active = true},
        World{.name = "PassiveV6", .active = false, .v6 = true},
        World{.name = "ActiveV6", .active = true, .v6 = true},
        World{.name = "PassiveNoOffloads", .active = false, .offloads = lab::Offloads::kOff},
        World{.name = "ActiveNoOffloads", .active = true, .offloads = lab::Offloads::kOff},
        World{.name = "PassiveNoOptions", .active = false, .timestamps = false, .scaling = false},
        World{.name = "ActiveNoOptions", .active = true, .timestamps = false, .scaling = false},
        World{.name = "PassiveLoss1", .active = false, .loss = 0.01, .octets = 4 << 20},
        World{.name = "ActiveLoss1NoOffloads",
              .active = true,
              .offloads = lab::Offloads::kOff,
              .loss = 0.01,
              .octets = 4 << 20},
        World{.name = "PassiveEcn",
              .active = false,
              .offloads = lab::Offloads::kOff,
              .octets = 4 << 20,
              .marks = 0.1},
        World{.name = "ActiveEcnV6",
              .active = true,
              .v6 = true,
              .offloads = lab::Offloads::kOff,
              .octets = 4 << 20,
              .marks = 0.1},
        World{.name = "PassiveLoss5NoOptions",
              .active = false,
              .offloads = lab::Offloads::kOff,
              .timestamps = false,
              .scaling = false,
              .loss = 0.05,
              .octets = 256 << 10}),
    [](const auto& world) { return std::string(world.param.name); });

// The rest holds for either role; each story runs in both.
class EitherRole : public ::testing::TestWithParam<bool> {
 protected:
  World world() const { return {.name = "", .active = GetParam()}; }
};
INSTANTIATE_TEST_SUITE_P(Roles, EitherRole, ::testing::Bool(), [](const auto& role) {
  return std::string(role.param ? "Active" : "Passive");
});

TEST_P(EitherRole, KernelShutsDownItsWriting_EndpointStillAnswers) {
  Kernel kernel(world());
  kernel.open();
  const Octets question = test::pattern(100'000, 3), answer = test::pattern(3 << 20, 4);
  Octets got_question, got_answer;
  std::size_t asked = 0, answered = 0;
  ASSERT_TRUE(kernel.until([&] {
    kernel.kernel_sends(question, asked);
    return asked == question.size();
  }));
  ::shutdown(kernel.socket(), SHUT_WR);
  ASSERT_TRUE(kernel.until([&] {
    kernel.endpoint_reads(got_question);
    return kernel.endpoint().at_end();
  }));
  EXPECT_TRUE(got_question == question);
  EXPECT_EQ(to_string(kernel.endpoint().state()), "close-wait");
  ASSERT_TRUE(kernel.until([&] {
    kernel.endpoint_sends(answer, answered);
    if (answered == answer.size()) kernel.endpoint().shutdown(kernel.now());
    return kernel.kernel_reads(got_answer) == 0;
  }));
  EXPECT_TRUE(got_answer == answer);
  EXPECT_TRUE(kernel.until([&] { return kernel.endpoint().finished(); }));
  EXPECT_EQ(to_string(kernel.endpoint().end_reason()), "none");
}

TEST_P(EitherRole, EndpointShutsDownItsWriting_KernelStillAnswers) {
  Kernel kernel(world());
  kernel.open();
  const Octets question = test::pattern(100'000, 3), answer = test::pattern(3 << 20, 4);
  Octets got_question, got_answer;
  std::size_t asked = 0, answered = 0;
  ASSERT_TRUE(kernel.until([&] {
    kernel.endpoint_sends(question, asked);
    if (asked == question.size()) kernel.endpoint().shutdown(kernel.now());
    return kernel.kernel_reads(got_question) == 0;
  }));
  EXPECT_TRUE(got_question == question);
  EXPECT_TRUE(kernel.until([&] { return kernel.endpoint().state() == State::kFinWait2; }));
  ASSERT_TRUE(kernel.until([&] {
    kernel.kernel_sends(answer, answered);
    kernel.endpoint_reads(got_answer);
    return got_answer.size() == answer.size();
  }));
  EXPECT_TRUE(got_answer == answer);
  ::shutdown(kernel.socket(), SHUT_WR);
  EXPECT_TRUE(kernel.until([&] { return kernel.endpoint().state() == State::kTimeWait; }));
}

TEST_P(EitherRole, KernelResets_EndpointIsReset) {
  Kernel kernel(world());
  kernel.open();
  const linger abort{1, 0};
  ::setsockopt(kernel.socket(), SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
  kernel.close_socket();
  EXPECT_TRUE(kernel.until([&] { return kernel.endpoint().finished(); }));
  EXPECT_EQ(to_string(kernel.endpoint().end_reason()), "reset");
}

TEST_P(EitherRole, EndpointAborts_KernelIsReset) {
  Kernel kernel(world());
  kernel.open();
  std::size_t sent = 0;
  const Octets data = test::pattern(20'000, 5);
  kernel.endpoint_sends(data, sent);
  ASSERT_TRUE(kernel.until([&] { return kernel.endpoint().all_acknowledged(); }));
  kernel.endpoint().abort(kernel.now());
  Octets got;
  EXPECT_TRUE(kernel.until([&] {
    const ssize_t n = kernel.kernel_reads(got);
    return n == 0 || (n < 0 && errno == ECONNRESET);
  }));
  EXPECT_TRUE(kernel.endpoint().finished());
}

TEST_P(EitherRole, KernelsReaderStalls_EndpointProbesAndGoesOn) {
  Kernel kernel(world());
  kernel.open();
  const Octets data = test::pattern(16 << 20, 6);
  Octets got;
  std::size_t sent = 0;
  ASSERT_TRUE(kernel.until([&] {  // until probes of the closed window were sent
    kernel.endpoint_sends(data, sent);
    return kernel.endpoint().stats().zero_window_probes >= 3;
  }));
  EXPECT_LE(kernel.endpoint().memory(), std::size_t{1200} << 10);
  ASSERT_LT(sent, data.size());
  ASSERT_TRUE(kernel.until([&] {
    kernel.endpoint_sends(data, sent);
    (void)kernel.kernel_reads(got);
    return got.size() == data.size();
  }));
  EXPECT_TRUE(got == data);
}

TEST_P(EitherRole, EndpointsReaderStalls_MemoryIsBoundedAndItGoesOn) {
  Kernel kernel(world());
  Config config = Kernel::config();
  config.receive_buffer = 300'000;
  kernel.open(config);
  const Octets data = test::pattern(16 << 20, 7);
  Octets got;
  std::size_t sent = 0;
  // Until the kernel has probed the closed window.
  ASSERT_TRUE(kernel.until([&] {
    kernel.kernel_sends(data, sent);
    tcp_info info{};
    socklen_t size = sizeof info;
    ::getsockopt(kernel.socket(), IPPROTO_TCP, TCP_INFO, &info, &size);
    return info.tcpi_probes >= 2 || info.tcpi_backoff >= 2;
  }));
  EXPECT_LE(kernel.endpoint().readable(), 300'000U);
  EXPECT_GT(kernel.endpoint().readable(), 250'000U);
  EXPECT_LE(kernel.endpoint().memory(), 340'000U);
  ASSERT_TRUE(kernel.until([&] {
    kernel.kernel_sends(data, sent);
    kernel.endpoint_reads(got);
    return got.size() == data.size();
  }));
  EXPECT_TRUE(got == data);
}

TEST(HeldSynAndKernel, Held_ConnectWaits_AcceptConnects) {
  Kernel kernel({.name = "", .active = false});
  kernel.begin(Kernel::config(), true);
  ASSERT_TRUE(kernel.until([&] { return kernel.wired().exists(); }));
  // A second SYN of the kernel's is swallowed.
  ASSERT_TRUE(kernel.until([&] { return kernel.endpoint().stats().duplicates > 0; }));
  EXPECT_FALSE(test::ready(kernel.socket(), POLLOUT, 0));
  kernel.endpoint().accept(kernel.now());
  EXPECT_TRUE(kernel.until([&] { return kernel.established(); }));
}

TEST(HeldSynAndKernel, Held_Refuse_ConnectionRefused) {
  Kernel kernel({.name = "", .active = false});
  kernel.begin(Kernel::config(), true);
  ASSERT_TRUE(kernel.until([&] { return kernel.wired().exists(); }));
  kernel.endpoint().refuse(kernel.now());
  ASSERT_TRUE(kernel.until([&] { return test::ready(kernel.socket(), POLLOUT, 0); }));
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(kernel.socket(), SOL_SOCKET, SO_ERROR, &error, &size);
  EXPECT_EQ(error, ECONNREFUSED);
  EXPECT_TRUE(kernel.endpoint().finished());
}

TEST(ClosedPort, EndpointConnects_Refused) {
  Kernel kernel({.name = "", .active = true});
  kernel.connect_out(Kernel::config(), 9);
  EXPECT_TRUE(kernel.until([&] { return kernel.endpoint().finished(); }));
  EXPECT_EQ(to_string(kernel.endpoint().end_reason()), "refused");
}

TEST(KeepAliveAndKernel, IdleConnection_KernelAnswersTheProbes) {
  Kernel kernel({.name = "", .active = true});
  Config config = Kernel::config();
  config.keep_alive_idle = 100ms;
  config.keep_alive_interval = 600ms;  // Linux answers twice a second at most
  config.keep_alive_probes = 3;
  kernel.open(config);
  const std::uint64_t before = kernel.endpoint().stats().segments_in;
  EXPECT_TRUE(kernel.until([&] { return kernel.endpoint().stats().segments_in >= before + 3; }));
  EXPECT_EQ(to_string(kernel.endpoint().state()), "established");
}

}  // namespace
}  // namespace vtl::endpoint
