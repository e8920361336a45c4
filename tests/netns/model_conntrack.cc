// TcpModel against the kernel's conntrack (window tracking on), on the same frames: after every
// single one both say the same of the connection, but for the differences listed in
// conntrack_stories.h and docs/rfc.md.
//
// The scripted stories play both ends, hostile ones too; the others are kernel sockets, through a
// path that loses frames before or behind the router. The recorded frames are fed to models
// afterwards, and compared frame by frame with what conntrack said then.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>

#include <functional>
#include <map>
#include <set>

#include "lab/must.h"
#include "tests/netns/conntrack_stories.h"
#include "tests/netns/streams.h"
#include "tests/support/routed_pair.h"
#include "tests/unit/model/builder.h"
#include "vtl/model/tcp_model.h"

namespace vtl {
namespace {

using lab::must;
using model::End;
using model::Sync;
using model::TcpModel;
using model::TcpState;
using model::test::Net;
using model::test::segment;
using test::RoutedPair;
using namespace test;  // the stories and their words

// What one frame made of a connection, in both eyes.
struct Step {
  const test::PassedFrame* passed = nullptr;
  wire::TcpFields segment;
  Sync sync = Sync::kAdvanced;
  std::string model;  // the model's states, in conntrack's word
};

std::string conntrack_word(const TcpModel& model) {
  const TcpState a = model.state(End::kA), b = model.state(End::kB);
  const auto either = [&](TcpState s) { return a == s || b == s; };
  if (a == TcpState::kClosed && b == TcpState::kClosed) return "CLOSE";
  if (either(TcpState::kTimeWait)) return "TIME_WAIT";
  const auto finished = [](TcpState s) {
    return s == TcpState::kFinWait1 || s == TcpState::kFinWait2 || s == TcpState::kClosing ||
           s == TcpState::kLastAck;
  };
  if (finished(a) && finished(b)) return "LAST_ACK";
  if (either(TcpState::kFinWait2)) return "CLOSE_WAIT";
  if (either(TcpState::kFinWait1)) return "FIN_WAIT";
  if (either(TcpState::kSynReceived)) return "SYN_RECV";
  if (a == TcpState::kSynSent && b == TcpState::kSynSent) return "SYN_SENT2";
  if (either(TcpState::kSynSent)) return "SYN_SENT";
  return "ESTABLISHED";
}

// Follows the frames of one connection, and says of each how the two differ; fails the test where
// the difference is none of those listed.
class Comparison {
 public:
  Differs take(const test::PassedFrame& passed) {
    Step step{
        .passed = &passed, .segment = fields(passed.frame), .sync = Sync::kAdvanced, .model = {}};
    if (!model_) {
      begin(passed);
    } else {
      step.sync = model_->sync(passed.frame);
      if (step.sync == Sync::kNewConnection) begin(passed);
    }
    if (!model_) {
      ADD_FAILURE() << "no model of " << to_string(step.segment);
      return Differs::kNot;
    }
    step.model = conntrack_word(*model_);
    const std::size_t from = index(passed.from);
    if (step.segment.flags.fin()) {
      fin_repeated_ |= fin_sent_[from];
      fin_sent_[from] = true;
    }
    if (step.segment.flags.rst() && step.sync == Sync::kAdvanced &&
        step.segment.seq != acknowledged_[1 - from] &&
        step.segment.seq != model_->next(passed.from)) {
      reset_between_ = true;
    }
    if (step.sync == Sync::kBadAck && step.model == "SYN_SENT") wrong_answer_ = true;
    if (step.segment.flags.ack()) acknowledged_[from] = step.segment.ack;
    return judge(step);
  }

  /// What the model says now, in conntrack's word.
  [[nodiscard]] std::string model() const { return model_ ? conntrack_word(*model_) : "none"; }

 private:
  static wire::TcpFields fields(Bytes frame) {
    const Layout layout = parse_layout(frame, false);
    return wire::TcpView::parse(layout_segment(frame, layout))->fields();
  }
  static Bytes layout_segment(Bytes frame, const Layout& layout) {
    return frame.subspan(layout.transport_offset, layout.end - layout.transport_offset);
  }

  void begin(const test::PassedFrame& passed) {
    if (auto made = TcpModel::initialise(passed.frame)) {
      model_ = passed.from == End::kA ? *made : made->swapped();
    }
    fin_repeated_ = reset_between_ = false;
    // Where conntrack held the connection before for closed, it looks at the SYN and waits.
    wrong_answer_ = wrong_answer_ && passed.state == "CLOSE";
    fin_sent_ = {};
    acknowledged_ = {};
  }

  Differs judge(const Step& step) const {
    if (step.model != step.passed->state) return judge_state(step);
    const bool counts = step.sync == Sync::kNewConnection || followed(step.sync);
    if (counts == !step.passed->invalid) return Differs::kNot;
    if (!counts && wrong_answer_ && step.model == "SYN_SENT") return Differs::kWrongAnswer;
    if (!counts && step.sync == Sync::kOutOfWindow) {
      if (step.segment.flags.rst()) return Differs::kResetInWindow;
      if (step.segment.flags.syn()) return Differs::kSynInOpen;
      return Differs::kAcrossTheEdge;
    }
    return unlisted(step);
  }

  Differs judge_state(const Step& step) const {
    const std::string& kernel = step.passed->state;
    const auto are = [&](const char* model, const char* conntrack) {
      return step.model == model && kernel == conntrack;
    };
    if (reset_between_ && step.model == "CLOSE") return Differs::kResetBetween;
    if (step.segment.flags.rst() && are("CLOSE", "gone")) return Differs::kForgotten;
    if (are("ESTABLISHED", "SYN_RECV") && step.segment.flags.syn()) return Differs::kSynAckOpens;
    if (wrong_answer_ && (kernel == "CLOSE" || are("SYN_SENT", "SYN_RECV"))) {
      return Differs::kWrongAnswer;
    }
    if (fin_repeated_ && (are("FIN_WAIT", "LAST_ACK") || are("FIN_WAIT", "TIME_WAIT") ||
                          are("CLOSE_WAIT", "LAST_ACK") || are("CLOSE_WAIT", "TIME_WAIT") ||
                          are("LAST_ACK", "TIME_WAIT"))) {
      return Differs::kRepeatedFin;
    }
    if (are("FIN_WAIT", "CLOSE_WAIT") || are("LAST_ACK", "TIME_WAIT")) {
      return Differs::kAnyAckForAFin;
    }
    return unlisted(step);
  }

  static Differs unlisted(const Step& step) {
    ADD_FAILURE() << (step.passed->from == End::kA ? "A: " : "B: ") << to_string(step.segment)
                  << "\n  the model: " << step.model << ", " << to_string(step.sync)
                  << "\n  conntrack: " << step.passed->state
                  << (step.passed->invalid ? ", invalid" : "");
    return Differs::kNot;
  }

  std::optional<TcpModel> model_;
  bool fin_repeated_ = false, reset_between_ = false, wrong_answer_ = false;
  std::array<bool, 2> fin_sent_{};
  std::array<wire::SeqNum, 2> acknowledged_{};
};

class Scripted : public ::testing::TestWithParam<bool> {};

TEST_P(Scripted, AfterEveryFrameTheyDifferAsListedAndNotOtherwise) {
  RoutedPair pair(GetParam());
  std::set<Differs> seen;
  Net net;
  net.v6 = GetParam();
  for (const Story& story : stories()) {
    SCOPED_TRACE(story.name);
    ++net.port[0];
    Comparison comparison;
    std::size_t number = 0;
    for (const Say& say : story.says) {
      SCOPED_TRACE(++number);
      const auto fields = segment(say.flags, say.seq, say.ack, say.window);
      pair.inject(say.from, net.tcp(say.from, fields, say.payload));
      const Differs differs = comparison.take(pair.record().back());
      EXPECT_EQ(name(differs), name(say.differs));
      seen.insert(differs);
    }
  }
  EXPECT_EQ(seen.size(), std::size(kDiffersNames)) << "each difference is shown by a story";
}

INSTANTIATE_TEST_SUITE_P(Families, Scripted, testing::Bool(),
                         [](const auto& v6) { return v6.param ? "Ipv6" : "Ipv4"; });

// ---- Kernel sockets at both ends.

using Loss = RoutedPair::Loss;
constexpr std::uint16_t kPort = 5000;

class Sockets : public ::testing::TestWithParam<std::tuple<bool, Loss>> {
 protected:
  [[nodiscard]] bool v6() const { return std::get<0>(GetParam()); }
  [[nodiscard]] std::string address(End end) const { return wire::to_string(net().address(end)); }
  [[nodiscard]] Net net() const {
    Net out;
    out.v6 = v6();
    return out;
  }
  lab::Fd bound(End end, std::uint16_t port) {
    return test::bound_socket(pair_.host(end), SOCK_STREAM, address(end), port);
  }
  void connect(const lab::Fd& socket, End to, std::uint16_t port) {
    const auto [name, size] = test::socket_address(address(to), port);
    const int rc = ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&name), size);
    ASSERT_TRUE(rc == 0 || errno == EINPROGRESS) << std::strerror(errno);
  }
  lab::Fd listener(std::uint16_t port = kPort) {
    lab::Fd out = bound(B, port);
    EXPECT_EQ(::listen(out.get(), 64), 0);
    return out;
  }
  static lab::Fd accepted(const lab::Fd& listener) {
    return lab::Fd(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  }
  /// Client, server.
  std::pair<lab::Fd, lab::Fd> opened(const lab::Fd& listener, std::uint16_t port) {
    std::pair<lab::Fd, lab::Fd> ends{bound(A, port), lab::Fd()};
    connect(ends.first, B, kPort);
    EXPECT_TRUE(until([&] {
      if (!ends.second) ends.second = accepted(listener);
      return ends.second && test::ready(ends.first.get(), POLLOUT, 0);
    }));
    return ends;
  }
  static void abort(lab::Fd& socket) {
    const linger now{1, 0};
    ASSERT_EQ(::setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
    socket.reset();
  }

  /// Passes frames, and compares them, until `done` answers true.
  template <class Done>
  [[nodiscard]] bool until(Done done, Duration bound = 30s) {
    return lab::wait_until(
        [&] {
          pair_.pump();
          compare();
          return done();
        },
        bound);
  }

  void compare() {
    for (; compared_ < pair_.record().size(); ++compared_) {
      const test::PassedFrame& passed = pair_.record()[compared_];
      const wire::FlowKey key = *flow_key(passed.frame, parse_layout(passed.frame, false));
      const auto port = (passed.from == A ? key.source : key.destination).port.value();
      Connection& connection = connections_[port];
      SCOPED_TRACE(testing::Message() << "frame " << compared_ << ", client's port " << port);
      const Differs differs = connection.comparison.take(passed);
      ++seen_[name(differs)];
      connection.conntrack = passed.state;
    }
  }
  /// What both say of the client's port.
  [[nodiscard]] bool both_say(std::uint16_t port, const std::string& state) {
    const Connection& c = connections_[port];
    return c.conntrack == state && c.comparison.model() == state;
  }
  [[nodiscard]] std::string said() {
    std::string out;
    for (const auto& [port, c] : connections_) {
      out += fmt::format("{}: model {}, conntrack {}\n", port, c.comparison.model(), c.conntrack);
    }
    return out;
  }
  void expect_only(const std::set<Differs>& allowed) {
    for (const auto& [what, count] : seen_) {
      const bool listed =
          std::ranges::any_of(allowed, [&](Differs differs) { return name(differs) == what; });
      EXPECT_TRUE(listed || what == name(Differs::kNot)) << count << " times " << what;
    }
  }

  struct Connection {
    Comparison comparison;
    std::string conntrack;
  };
  RoutedPair pair_{std::get<0>(GetParam()), std::get<1>(GetParam()), 3};
  std::map<std::uint16_t, Connection> connections_;
  std::size_t compared_ = 0;
  std::map<std::string, std::size_t> seen_;
};

enum class First : std::uint8_t { kClient, kServer, kBoth };

// One connection with its two programs.
struct Talk {
  std::uint16_t port = 0;
  First closes_first = First::kClient;
  struct Program {
    lab::Fd fd;
    std::size_t to_send = 0, got = 0;
    bool shut = false, end = false;

    void turn(bool may_shut) {
      static const std::vector<std::uint8_t> kText(4000, 't');
      while (to_send > 0) {
        const ssize_t n =
            ::send(fd.get(), kText.data(), std::min(kText.size(), to_send), MSG_NOSIGNAL);
        if (n <= 0) break;
        to_send -= static_cast<std::size_t>(n);
      }
      std::array<std::uint8_t, 4096> in;
      for (ssize_t n = 1; n > 0 && !end;) {
        n = ::recv(fd.get(), in.data(), in.size(), 0);
        if (n > 0) got += static_cast<std::size_t>(n);
        if (n == 0) end = true;
      }
      if (to_send == 0 && !shut && may_shut) {
        shut = true;
        ::shutdown(fd.get(), SHUT_WR);
      }
    }
  };
  Program client, server;

  [[nodiscard]] bool over() {
    client.turn(closes_first != First::kServer || client.end);
    server.turn(closes_first != First::kClient || server.end);
    return client.end && server.end;
  }
};

TEST_P(Sockets, ManyConnectionsAtOnceAgreeAfterEveryFrame) {
  const lab::Fd server = listener();
  std::vector<Talk> talks(9);
  for (std::size_t i = 0; i < talks.size(); ++i) {
    Talk& talk = talks[i];
    talk.port = static_cast<std::uint16_t>(40000 + i);
    talk.closes_first = static_cast<First>(i % 3);
    std::tie(talk.client.fd, talk.server.fd) = opened(server, talk.port);
    talk.client.to_send = i / 3 == 1 ? 0 : 30'000;
    talk.server.to_send = i / 3 == 2 ? 0 : 40'000;
  }
  const auto all = [&](auto predicate) { return std::ranges::all_of(talks, predicate); };
  EXPECT_TRUE(until([&] {
    bool over = true;
    for (Talk& talk : talks) over &= talk.over();
    return over;
  }));
  EXPECT_TRUE(until([&] {
    // A segment sent twice that comes after its receiver has forgotten is answered by a reset.
    return all([&](Talk& talk) {
      return both_say(talk.port, "TIME_WAIT") || both_say(talk.port, "CLOSE");
    });
  })) << said();
  for (std::size_t i = 0; i < talks.size(); ++i) {
    EXPECT_EQ(talks[i].server.got, i / 3 == 1 ? 0U : 30'000U);
    EXPECT_EQ(talks[i].client.got, i / 3 == 2 ? 0U : 40'000U);
  }
  expect_only({kAnyAckForAFin, kRepeatedFin});
}

const auto family_and_loss = [](const auto& each) {
  static constexpr std::array<const char*, 3> kLoss{"NoLoss", "LossBefore", "LossBehind"};
  return std::string(std::get<0>(each.param) ? "Ipv6" : "Ipv4") +
         kLoss[static_cast<std::size_t>(std::get<1>(each.param))];
};
INSTANTIATE_TEST_SUITE_P(
    Paths, Sockets,
    testing::Combine(testing::Bool(), testing::Values(Loss::kNone, Loss::kBefore, Loss::kBehind)),
    family_and_loss);

class SocketsWithoutLoss : public Sockets {};
INSTANTIATE_TEST_SUITE_P(Paths, SocketsWithoutLoss,
                         testing::Combine(testing::Bool(), testing::Values(Loss::kNone)),
                         family_and_loss);

TEST_P(SocketsWithoutLoss, ResetByEitherEnd) {
  const lab::Fd server = listener();
  auto first = opened(server, 40000);
  abort(first.first);
  auto second = opened(server, 40001);
  ASSERT_EQ(::send(second.first.get(), "question", 8, MSG_NOSIGNAL), 8);
  ASSERT_TRUE(until([&] { return test::ready(second.second.get(), POLLIN, 0); }));
  abort(second.second);
  EXPECT_TRUE(until([&] { return both_say(40000, "CLOSE") && both_say(40001, "CLOSE"); }));
  expect_only({});
}

TEST_P(SocketsWithoutLoss, Refused) {
  const lab::Fd client = bound(A, 40000);
  connect(client, B, 9);
  EXPECT_TRUE(until([&] { return test::ready(client.get(), POLLOUT, 0); }));
  EXPECT_EQ(connections_[40000].comparison.model(), "CLOSE");
  EXPECT_EQ(connections_[40000].conntrack, "gone");
  expect_only({kForgotten});
}

TEST_P(SocketsWithoutLoss, OpenedByBothAtOnce) {
  const lab::Fd a = bound(A, 40000), b = bound(B, kPort);
  connect(a, B, kPort);
  connect(b, A, 40000);
  EXPECT_TRUE(until([&] {
    return test::ready(a.get(), POLLOUT, 0) && test::ready(b.get(), POLLOUT, 0) &&
           both_say(40000, "ESTABLISHED");
  }));
  expect_only({kSynAckOpens});
}

// Conntrack forgets by time; a model has no clock: its owner forgets it.
TEST_P(SocketsWithoutLoss, OpeningUnansweredAndGivenUp) {
  must(pair_.router().set_sysctl("net.netfilter.nf_conntrack_tcp_timeout_syn_sent", "3"));
  pair_.lose_all(A, Loss::kBehind);
  lab::Fd client = bound(A, 40000);
  connect(client, B, kPort);
  EXPECT_TRUE(until([&] { return pair_.record().size() >= 2; })) << "the SYN goes out again";
  EXPECT_TRUE(both_say(40000, "SYN_SENT"));
  client.reset();
  wire::FlowKey key;
  key.source = {net().address(A), wire::Port(40000)};
  key.destination = {net().address(B), wire::Port(kPort)};
  EXPECT_TRUE(until([&] { return pair_.conntrack().tcp_state(key) == "gone"; }));
  EXPECT_EQ(connections_[40000].comparison.model(), "SYN_SENT");
  expect_only({});
}

TEST_P(SocketsWithoutLoss, PortsUsedAgainInTimeWait) {
  const lab::Fd server = listener();
  for (int round = 0; round < 3; ++round) {
    Talk talk{.port = 40000, .closes_first = First::kServer, .client = {}, .server = {}};
    std::tie(talk.client.fd, talk.server.fd) = opened(server, talk.port);
    talk.client.to_send = 5000;
    ASSERT_TRUE(until([&] {
      return talk.over() && connections_[40000].comparison.model() == "TIME_WAIT";
    })) << round
        << "\n"
        << said();
  }
  expect_only({kAnyAckForAFin, kRepeatedFin, kWrongAnswer});
}

TEST_P(SocketsWithoutLoss, KeepAlives) {
  const lab::Fd server = listener();
  const auto ends = opened(server, 40000);
  const std::size_t before = pair_.record().size();
  const int one = 1;
  ::setsockopt(ends.first.get(), SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
  ::setsockopt(ends.first.get(), IPPROTO_TCP, TCP_KEEPINTVL, &one, sizeof one);
  ::setsockopt(ends.first.get(), IPPROTO_TCP, TCP_KEEPIDLE, &one, sizeof one);
  EXPECT_TRUE(until([&] { return pair_.record().size() >= before + 4; }));
  EXPECT_TRUE(both_say(40000, "ESTABLISHED"));
  expect_only({});
}

}  // namespace
}  // namespace vtl
