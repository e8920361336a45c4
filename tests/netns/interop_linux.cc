// The endpoint against Linux's TCP over a line that VTL impairs: data both ways at once, octet for
// octet, shutdown in order, and the states that both ends are left in.
//
//   [ kernel: sockets ] eth0 ------ in0 [ host: af_packet, impair, the endpoint ]
//      10.0.0.1, fd00::1                 10.0.0.2, fd00::2 (the endpoint's alone)
//
// Settings and their levels are below. Every pair of levels occurs together in some row
// (tests/support/covering.h), the first test says so. A row's number is its seed; its name tells
// its levels. A row that fails leaves the capture of the kernel's device.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <optional>

#include "lab/capture.h"
#include "lab/lab.h"
#include "lab/must.h"
#include "tests/netns/streams.h"
#include "tests/support/covering.h"
#include "tests/support/impaired_endpoint.h"
#include "tests/unit/packet/frames.h"
#include "vtl/iface/af_packet.h"
#include "vtl/wire/ethernet.h"

namespace vtl::endpoint {
namespace {

using lab::must;
using service::ImpairSettings;
using test::Octets;

struct Line {
  const char* name;
  ImpairSettings settings;
  std::size_t octets;  // each way, at an MTU of 1500
};

ImpairSettings line(ImpairSettings settings) {
  settings.delay = 1ms;
  return settings;
}

const std::array<Line, 8> kLines{
    Line{"NoLoss", line({}), 4 << 20},
    Line{"Loss01", line({.loss = 0.001}), 2 << 20},
    Line{"Loss1", line({.loss = 0.01}), 1 << 20},
    Line{"Loss5", line({.loss = 0.05}), 256 << 10},
    Line{"Reorder10", line({.reorder = 0.1}), 1 << 20},
    Line{"Duplicate10", line({.duplicate = 0.1}), 2 << 20},
    Line{"Corrupt1", line({.corrupt = 0.01}), 1 << 20},
    Line{"AllAtOnce", line({.loss = 0.05, .reorder = 0.1, .duplicate = 0.1, .corrupt = 0.01}),
         256 << 10},
};
constexpr std::array<const char*, 3> kControls{"cubic", "bbr", "reno"};
// IPv6 asks for 1280 at least (RFC 8200, section 5): the smallest level is that there.
constexpr std::array<int, 3> kMtus{576, 1500, 9000};

enum Setting : std::size_t {
  kRole,
  kFamily,
  kLine,
  kSack,
  kTimestamps,
  kScaling,
  kEcn,
  kControl,
  kMtu,
  kTso,
  kGro,
  kFirst,
  kOurs,
  kSettings
};
const std::vector<std::size_t> kLevels{2, 2, kLines.size(), 2, 2, 2, 2, 3, 3, 2, 2, 2, 2};

struct Row {
  std::size_t number = 0;
  test::CoveringRow level;

  [[nodiscard]] bool on(Setting setting) const { return level[setting] != 0; }
  [[nodiscard]] bool active() const { return on(kRole); }
  [[nodiscard]] bool v6() const { return on(kFamily); }
  [[nodiscard]] bool endpoint_closes_first() const { return on(kFirst); }
  [[nodiscard]] const Line& line() const { return kLines[level[kLine]]; }
  [[nodiscard]] std::string control() const { return kControls[level[kControl]]; }
  [[nodiscard]] int mtu() const { return std::max(kMtus[level[kMtu]], v6() ? 1280 : 576); }
  [[nodiscard]] std::size_t octets() const {
    const std::size_t full = line().octets * static_cast<std::size_t>(mtu()) / 1500;
    return std::min<std::size_t>(full, (VTL_SANITIZED ? 1 : 4) << 20);
  }
  [[nodiscard]] std::string name() const {
    const auto without = [&](Setting setting, const char* what) {
      return on(setting) ? std::string() : fmt::format("_No{}", what);
    };
    return fmt::format("Row{:02}_{}{}_{}_{}_Mtu{}{}{}{}{}{}{}_{}ClosesFirst_Our{}", number,
                       active() ? "Active" : "Passive", v6() ? "V6" : "V4", line().name, control(),
                       mtu(), without(kSack, "Sack"), without(kTimestamps, "Timestamps"),
                       without(kScaling, "Scaling"), without(kEcn, "Ecn"), without(kTso, "Tso"),
                       without(kGro, "Gro"), endpoint_closes_first() ? "Vtl" : "Linux",
                       on(kOurs) ? "Cubic" : "Reno");
  }
};

void PrintTo(const Row& row, std::ostream* out) {
  *out << row.name();
}

// Two coverings: most triples of levels occur as well.
std::vector<Row> rows() {
  std::vector<Row> out;
  for (const std::uint64_t seed : {1, 2}) {
    for (auto& level : test::covering_rows(kLevels, seed)) {
      out.push_back({out.size(), std::move(level)});
    }
  }
  return out;
}

TEST(InteropRows, EveryPairOfLevelsIsInSomeRow) {
  auto open = test::covering_pairs(kLevels);
  for (const Row& row : rows()) {
    ASSERT_EQ(row.level.size(), kSettings);
    for (std::size_t a = 0; a < kSettings; ++a) {
      for (std::size_t b = a + 1; b < kSettings; ++b)
        open.erase({a, row.level[a], b, row.level[b]});
    }
  }
  EXPECT_TRUE(open.empty()) << open.size() << " pairs are missing";
}

class InteropLinux : public ::testing::TestWithParam<Row> {
 protected:
  static constexpr std::uint16_t kKernelPort = 5000, kOurPort = 4000;
  static constexpr const char* kOurMac = "02:00:00:00:ee:01";

  [[nodiscard]] const Row& row() const { return GetParam(); }
  [[nodiscard]] const char* kernel_address() const { return row().v6() ? "fd00::1" : "10.0.0.1"; }
  [[nodiscard]] const char* our_address() const { return row().v6() ? "fd00::2" : "10.0.0.2"; }

  // The two hosts, the kernel's settings, and the endpoint on its device.
  void set_up() {
    kernel_ = must(lab_.add_host("kernel"));
    const auto known = kernel_->congestion_controls();
    if (std::ranges::find(known, row().control()) == known.end()) {
      GTEST_SKIP() << fmt::format(
          "this kernel has no congestion control '{}', only {}; its module is tcp_{}",
          row().control(), fmt::join(known, ", "), row().control());
    }
    host_ = must(lab_.add_host("host", {.ipv6 = lab::Ipv6::kNoNoise}));
    const auto put = [&](const char* key, bool on) {
      must(kernel_->set_sysctl(std::string("net.ipv4.") + key, on ? "1" : "0"));
    };
    put("tcp_sack", row().on(kSack));
    put("tcp_timestamps", row().on(kTimestamps));
    put("tcp_window_scaling", row().on(kScaling));
    put("tcp_ecn", row().on(kEcn));
    must(lab_.connect({*kernel_, "eth0"}, {*host_, "in0"}, {.mtu = row().mtu()}));
    must(kernel_->set_tcp({.congestion_control = row().control()}));
    must(kernel_->ip(fmt::format("addr add {0}/{1} dev eth0\nneigh add {2} lladdr {3} dev eth0",
                                 kernel_address(), row().v6() ? 64 : 24, our_address(), kOurMac)));
    must(kernel_->set_features("eth0", {{"tx-tcp-segmentation", row().on(kTso)},
                                        {"tx-tcp6-segmentation", row().on(kTso)},
                                        {"tx-generic-segmentation", row().on(kTso)},
                                        {"rx-gro", row().on(kGro)}}));
    capture_ =
        must(lab::Capture::start(*kernel_, "eth0", {.file = {}, .filter = {}, .snap_length = 128}));
    service::FramePath path;
    path.source_mac = *wire::MacAddress::parse(kOurMac);
    path.destination_mac = must(kernel_->mac("eth0"));
    path.key.source = {*wire::IpAddress::parse(our_address()), wire::Port(kOurPort)};
    path.key.destination = {*wire::IpAddress::parse(kernel_address()), wire::Port(kKernelPort)};
    const auto inside = host_->enter();
    interface_ = must(iface::open_af_packet({.device = "in0"}));
    ours_.emplace(pool_, path, row().line().settings, row().number);
  }

  [[nodiscard]] Config config() const {
    Config out;
    out.mss = static_cast<std::uint16_t>(row().mtu() - (row().v6() ? 60 : 40));
    out.offer_sack = true;
    out.ecn = Ecn::kRequest;
    out.congestion = row().on(kOurs) ? Congestion::kCubic : Congestion::kNewReno;
    return out;
  }

  // One turn of the wire: waits up to a millisecond when there is nothing to do.
  void turn() {
    Batch in;
    (void)interface_->read(pool_, now(), in);
    for (Packet& packet : in) {
      if (!is_tcp(packet)) continue;
      largest_ = std::max(largest_, packet.size());
      ours_->arrive(std::move(packet), now());
    }
    ours_->turn(now(), waiting_);
    const std::size_t done = interface_->write(waiting_);
    waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(done));
    if (!in.empty() || !waiting_.empty() || ours_->poll_at(now()) <= now()) return;
    std::array<pollfd, 2> fds{pollfd{interface_->fd(), POLLIN, 0},
                              pollfd{socket_.get(), POLLIN, 0}};
    ::poll(fds.data(), fds.size(), 1);
  }
  template <class Done>
  [[nodiscard]] bool until(Done done, Duration bound = 60s) {
    const Time stop = now() + bound;
    while (!done()) {
      if (now() > stop) return false;
      turn();
    }
    return true;
  }

  [[nodiscard]] bool open() {
    const wire::SeqNum iss(row().number % 2 == 0 ? 0xffff0000U : 0x7fff0000U);
    lab::Fd listener;
    if (row().active()) {
      listener = test::bound_socket(*kernel_, SOCK_STREAM, kernel_address(), kKernelPort);
      if (::listen(listener.get(), 1) != 0) test::throw_errno("listen");
      ours_->connect(config(), iss, now());
    } else {
      ours_->listen(config(), iss);
      socket_ = test::bound_socket(*kernel_, SOCK_STREAM, kernel_address(), kKernelPort);
      const auto [name, size] = test::socket_address(our_address(), kOurPort);
      (void)::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&name), size);
    }
    return until([&] {
      if (!socket_) {
        socket_ =
            lab::Fd(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      }
      return socket_ && test::ready(socket_.get(), POLLOUT, 0) && ours_->exists() &&
             ours_->endpoint().state() == State::kEstablished;
    });
  }

  // The kernel's program.
  void kernel_turn(const Octets& data) {
    while (kernel_sent_ < data.size()) {
      const ssize_t n =
          ::send(socket_.get(), data.data() + kernel_sent_,
                 std::min<std::size_t>(data.size() - kernel_sent_, 1 << 18), MSG_NOSIGNAL);
      if (n <= 0) break;
      kernel_sent_ += static_cast<std::size_t>(n);
    }
    std::array<std::uint8_t, 1 << 16> chunk;
    while (!kernel_at_end_) {
      const ssize_t n = ::recv(socket_.get(), chunk.data(), chunk.size(), 0);
      if (n < 0) break;
      if (n == 0) kernel_at_end_ = true;
      at_kernel_.insert(at_kernel_.end(), chunk.begin(), chunk.begin() + n);
    }
    if (kernel_sent_ == data.size() && !kernel_shut_ &&
        (!row().endpoint_closes_first() || kernel_at_end_)) {
      kernel_shut_ = true;
      ::shutdown(socket_.get(), SHUT_WR);
    }
  }

  [[nodiscard]] tcp_info info() const {
    tcp_info out{};
    socklen_t size = sizeof out;
    if (::getsockopt(socket_.get(), IPPROTO_TCP, TCP_INFO, &out, &size) != 0)
      test::throw_errno("TCP_INFO");
    return out;
  }
  [[nodiscard]] std::string kernels_control() const {
    std::array<char, 16> out{};
    socklen_t size = out.size();
    ::getsockopt(socket_.get(), IPPROTO_TCP, TCP_CONGESTION, out.data(), &size);
    return out.data();
  }

  // What was agreed on is what the row says: in the kernel's SYN, and as the kernel tells it.
  void expect_agreement() {
    const unsigned options = info().tcpi_options;
    EXPECT_EQ((options & TCPI_OPT_SACK) != 0, row().on(kSack));
    EXPECT_EQ((options & TCPI_OPT_TIMESTAMPS) != 0, row().on(kTimestamps));
    EXPECT_EQ((options & TCPI_OPT_WSCALE) != 0, row().on(kScaling));
    const wire::TcpOptions syn = ours_->endpoint().peer_options();
    const int headers = row().v6() ? 60 : 40;
    EXPECT_EQ(syn.sack_permitted, row().on(kSack));
    EXPECT_EQ(syn.timestamps.has_value(), row().on(kTimestamps));
    EXPECT_EQ(syn.window_scale.has_value(), row().on(kScaling));
    EXPECT_EQ(syn.mss, row().mtu() - headers);
    EXPECT_EQ(ours_->endpoint().effective_mss(),
              row().mtu() - headers - (row().on(kTimestamps) ? 12 : 0));
    // A SYN that has to go again no longer asks for it (RFC 3168, section 6.1.1.1).
    const ImpairSettings& line = row().line().settings;
    ecn_ = (options & TCPI_OPT_ECN) != 0;
    EXPECT_TRUE(ecn_ == row().on(kEcn) || (!ecn_ && (line.loss > 0 || line.corrupt > 0)));
    EXPECT_EQ(kernels_control(), row().control());
  }
  // What was agreed on was used. Call when all data has arrived.
  void expect_use() {
    EXPECT_EQ((info().tcpi_options & TCPI_OPT_ECN_SEEN) != 0, ecn_) << "data came as ECT";
    const auto frame = static_cast<std::size_t>(row().mtu()) + wire::EthernetView::kMinSize;
    if (row().on(kTso)) {
      EXPECT_GT(largest_, frame) << "the kernel left its segments together";
    } else {
      EXPECT_LE(largest_, frame) << "the kernel cut its segments";
    }
  }
  // The line did what the row says.
  void expect_impairment() {
    const ImpairSettings& line = row().line().settings;
    const auto both = [&](Counter service::ImpairCounters::* what) {
      return (ours_->inbound().*what).value() + (ours_->outbound().*what).value();
    };
    using C = service::ImpairCounters;
    EXPECT_TRUE((both(&C::lost) > 0) == (line.loss > 0) || line.loss == 0.001);  // too few to tell
    EXPECT_EQ(both(&C::reordered) > 0, line.reorder > 0);
    EXPECT_EQ(both(&C::duplicated) > 0, line.duplicate > 0);
    EXPECT_EQ(both(&C::corrupted) > 0, line.corrupt > 0);
    EXPECT_EQ(both(&C::bound), 0U);
    EXPECT_TRUE(line.corrupt > 0 || ours_->damaged() == 0);
  }

  [[nodiscard]] Time now() const { return clock_.now(); }

  SystemClock clock_;
  lab::Lab lab_;
  lab::Host *kernel_ = nullptr, *host_ = nullptr;
  std::optional<lab::Capture> capture_;
  PacketPool pool_;
  std::unique_ptr<iface::Interface> interface_;
  std::optional<test::ImpairedEndpoint> ours_;
  Batch waiting_;
  lab::Fd socket_;
  Octets at_kernel_;
  std::size_t kernel_sent_ = 0;
  bool kernel_shut_ = false, kernel_at_end_ = false;
  bool ecn_ = false;
  std::size_t largest_ = 0;  // frame of the kernel's, octets
};

TEST_P(InteropLinux, BothWaysAtOnceThenShutdownInOrder) {
  SCOPED_TRACE(fmt::format("{}, seed {}", row().name(), row().number));
  set_up();
  if (IsSkipped()) return;
  ASSERT_TRUE(open());
  expect_agreement();
  const Octets there = test::pattern(row().octets(), 1), back = test::pattern(row().octets(), 2);
  test::EndpointProgram program(there, row().endpoint_closes_first());
  const auto work = [&] {
    kernel_turn(back);
    program.turn(ours_->endpoint(), now());
  };
  const bool finished = until([&] {
    work();
    return kernel_at_end_ && kernel_shut_ && ours_->endpoint().at_end() &&
           ours_->endpoint().all_acknowledged() && info().tcpi_state == TCP_CLOSE;
  });
  Endpoint& endpoint = ours_->endpoint();
  EXPECT_TRUE(finished) << "endpoint " << to_string(endpoint.state()) << ", kernel "
                        << unsigned{info().tcpi_state} << "; sent " << program.sent() << " and "
                        << kernel_sent_ << " of " << row().octets() << ", arrived "
                        << at_kernel_.size() << " and " << program.received().size();
  EXPECT_TRUE(at_kernel_ == there);
  EXPECT_TRUE(program.received() == back);
  EXPECT_EQ(to_string(endpoint.state()), row().endpoint_closes_first() ? "time-wait" : "closed");
  EXPECT_EQ(to_string(endpoint.end_reason()), "none");
  expect_use();
  expect_impairment();
}

INSTANTIATE_TEST_SUITE_P(Rows, InteropLinux, ::testing::ValuesIn(rows()),
                         [](const auto& each) { return each.param.name(); });

}  // namespace
}  // namespace vtl::endpoint
