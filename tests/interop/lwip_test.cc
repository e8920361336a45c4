// The endpoint against lwIP, a TCP that shares no line and no author with Linux's, over a line that
// VTL impairs, on a virtual clock: every combination of role, IP version, line, MTU and who closes
// first; then, with those, every pair of what the endpoint can be set to
// (tests/support/covering.h), over several seeds; then what a connection goes through besides data.
//
// The packaged lwIP knows window scaling (a shift of 1), keeps data that comes out of order, and
// says so by duplicate acknowledgements only: no timestamps, no SACK, no ECN. So the endpoint sends
// by NewReno's recovery here, whatever it offers.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <optional>
#include <tuple>

#include "tests/interop/lwip_peer.h"
#include "tests/support/covering.h"
#include "tests/support/impaired_endpoint.h"
#include "tests/unit/packet/frames.h"
#include "vtl/wire/ethernet.h"

namespace vtl::endpoint {
namespace {

using service::ImpairSettings;
using test::LwipPeer;
using test::Octets;

constexpr std::size_t kEthernet = wire::EthernetView::kMinSize;

struct Line {
  const char* name;
  ImpairSettings settings;
};

ImpairSettings line(ImpairSettings settings) {
  settings.delay = 5ms;
  return settings;
}

const std::array<Line, 8> kLines{
    Line{"NoLoss", line({})},
    Line{"Loss01", line({.loss = 0.001})},
    Line{"Loss1", line({.loss = 0.01})},
    Line{"Loss5", line({.loss = 0.05})},
    Line{"Reorder10", line({.reorder = 0.1})},
    Line{"Duplicate10", line({.duplicate = 0.1})},
    Line{"Corrupt1", line({.corrupt = 0.01})},
    Line{"AllAtOnce", line({.loss = 0.05, .reorder = 0.1, .duplicate = 0.1, .corrupt = 0.01})},
};

constexpr std::array<std::size_t, 3> kBuffers{1 << 20, 64 << 10, 8 << 10};

struct World {
  bool active = true;  // the endpoint opens
  bool v6 = false;
  std::size_t line = 0;
  bool small_mtu = false;
  bool endpoint_closes_first = true;
  // How the endpoint is set.
  bool no_scale = false;
  bool no_extensions = false;  // neither timestamps nor SACK nor ECN are offered
  bool no_super_frames = false;
  bool nagle = false;
  std::size_t buffers = 0;  // of kBuffers

  [[nodiscard]] std::uint16_t mtu() const {
    if (!small_mtu) return 1500;
    return v6 ? 1280 : 576;
  }
  [[nodiscard]] std::uint64_t number() const {
    return 16 * line + (active ? 8U : 0U) + (v6 ? 4U : 0U) + (small_mtu ? 2U : 0U) +
           (endpoint_closes_first ? 1U : 0U);
  }
  [[nodiscard]] std::string name() const {
    return fmt::format("{}{}_{}_Mtu{}_{}ClosesFirst", active ? "Active" : "Passive",
                       v6 ? "V6" : "V4", kLines[line].name, mtu(),
                       endpoint_closes_first ? "Vtl" : "Lwip");
  }
};

void PrintTo(const World& world, std::ostream* out) {
  *out << world.name();
}

// An endpoint, the line, and lwIP.
class Pair {
 public:
  Pair(const World& world, std::uint64_t seed) : world_(world) {
    static std::uint16_t port = 5000;  // lwIP remembers connections in TIME-WAIT
    path_.source_mac = wire::MacAddress({2, 0, 0, 0, 0, 1});
    path_.destination_mac = wire::MacAddress({2, 0, 0, 0, 0, 2});
    const auto address = [&](const char* v4, const char* v6) {
      return *wire::IpAddress::parse(world.v6 ? v6 : v4);
    };
    path_.key.source = {address("10.0.0.1", "fd00::1"), wire::Port(4000)};
    path_.key.destination = {address("10.0.0.2", "fd00::2"), wire::Port(++port)};
    lwip_.emplace(LwipPeer::Options{path_.key.destination, path_.key.source, world.mtu()});
    ours_.emplace(pool_, path_, kLines[world.line].settings, seed);
    clock_.set(LwipPeer::now());
    seed_ = seed;
  }

  [[nodiscard]] Config config() const {
    Config out;
    out.keep_alive_idle = keep_alive_;
    out.mss = static_cast<std::uint16_t>(world_.mtu() - (world_.v6 ? 60 : 40));
    out.offer_sack = out.offer_timestamps = !world_.no_extensions;
    out.ecn = world_.no_extensions ? Ecn::kOff : Ecn::kRequest;
    out.offer_window_scale = !world_.no_scale;
    if (world_.no_super_frames) out.max_super_frame = out.mss;
    out.nagle = world_.nagle;
    out.receive_buffer = out.send_buffer = kBuffers[world_.buffers];
    out.congestion = seed_ % 2 == 0 ? Congestion::kCubic : Congestion::kNewReno;
    return out;
  }
  void begin() {
    const wire::SeqNum iss(seed_ % 2 == 0 ? 0xffff8000U : 0x7fff8000U);
    if (world_.active) {
      lwip_->listen();
      ours_->connect(config(), iss, now());
    } else {
      ours_->listen(config(), iss);
      lwip_->connect();
    }
  }
  [[nodiscard]] bool open() {
    begin();
    return until([&] { return established(); });
  }
  [[nodiscard]] bool established() {
    return ours_->exists() && endpoint().state() == State::kEstablished &&
           lwip_->state() == "ESTABLISHED";
  }

  /// Works until `done` answers true; false after `bound` of virtual time.
  template <class Done>
  [[nodiscard]] bool until(Done done, Duration bound = 600s) {
    const Time stop = now() + bound;
    while (!done()) {
      if (now() > stop) return false;
      if (exchange()) continue;
      // lwIP counts whole milliseconds.
      Time next = std::min(ours_->poll_at(now()), lwip_->poll_at());
      next = Time{std::chrono::ceil<std::chrono::milliseconds>(next.time_since_epoch())};
      clock_.set(std::max(next, now() + 1ms));
      lwip_->advance_to(now());
    }
    return true;
  }

  void keep_alive(Duration idle) { keep_alive_ = idle; }
  Endpoint& endpoint() { return ours_->endpoint(); }
  test::ImpairedEndpoint& ours() { return *ours_; }
  LwipPeer& lwip() { return *lwip_; }
  [[nodiscard]] Time now() const { return clock_.now(); }

 private:
  // Passes what is on the way; true when there was any.
  bool exchange() {
    const auto sent = lwip_->take_output();
    for (const auto& bytes : sent) {
      Packet packet = pool_.allocate(kEthernet + bytes.size());
      std::ranges::copy(bytes, packet.mutable_bytes().begin() + kEthernet);
      path_.destination_mac.store(packet.mutable_bytes(), 6);
      path_.source_mac.store(packet.mutable_bytes(), 0);
      store_be16(packet.mutable_bytes(), 12, world_.v6 ? 0x86dd : 0x0800);
      packet.headers_changed();
      if (is_tcp(packet)) ours_->arrive(std::move(packet), now());
    }
    Batch out;
    ours_->turn(now(), out);
    for (const Packet& packet : out) {
      if (load_be16(packet.bytes(), 12) != (world_.v6 ? 0x86dd : 0x0800)) continue;  // damaged
      lwip_->input(packet.bytes().subspan(kEthernet));
    }
    return !sent.empty() || !out.empty();
  }

  World world_;
  Duration keep_alive_{};
  std::uint64_t seed_ = 0;
  ManualClock clock_;
  PacketPool pool_;
  service::FramePath path_;
  std::optional<LwipPeer> lwip_;
  std::optional<test::ImpairedEndpoint> ours_;
};

// lwIP's program.
struct LwipProgram {
  Bytes to_send;
  bool closes_first;
  std::size_t sent = 0;
  bool shut = false;
  Octets received{};

  void turn(LwipPeer& lwip) {
    const Octets more = lwip.receive();
    received.insert(received.end(), more.begin(), more.end());
    sent += lwip.send(to_send.subspan(sent));
    if (sent == to_send.size() && !shut && (closes_first || lwip.at_end())) {
      shut = true;
      lwip.shutdown();
    }
  }
};

// Data both ways at once, then shutdown in order.
void exchange(const World& w, std::uint64_t seed, std::size_t octets) {
  SCOPED_TRACE(fmt::format("{}, seed {}", w.name(), seed));
  Pair pair(w, seed);
  ASSERT_TRUE(pair.open());
  const wire::TcpOptions theirs_offer = pair.endpoint().peer_options();
  // In its SYN always, in its SYN,ACK when ours asked.
  EXPECT_EQ(theirs_offer.window_scale.has_value(), !w.active || !w.no_scale);
  EXPECT_EQ(theirs_offer.window_scale.value_or(1), 1);
  EXPECT_FALSE(theirs_offer.timestamps || theirs_offer.sack_permitted);
  EXPECT_EQ(pair.endpoint().effective_mss(), w.mtu() - (w.v6 ? 60 : 40));
  const Octets there = test::pattern(octets, 1), back = test::pattern(octets, 2);
  test::EndpointProgram ours(there, w.endpoint_closes_first);
  LwipProgram theirs{back, !w.endpoint_closes_first};
  const bool finished = pair.until([&] {
    ours.turn(pair.endpoint(), pair.now());
    theirs.turn(pair.lwip());
    return theirs.received.size() >= octets && theirs.shut && pair.endpoint().at_end() &&
           pair.endpoint().all_acknowledged() &&
           pair.lwip().state() == (w.endpoint_closes_first ? "CLOSED" : "TIME_WAIT");
  });
  EXPECT_TRUE(finished) << "endpoint " << to_string(pair.endpoint().state()) << ", lwIP "
                        << pair.lwip().state() << "; sent " << ours.sent() << " and " << theirs.sent
                        << ", arrived " << theirs.received.size() << " and "
                        << ours.received().size();
  EXPECT_TRUE(theirs.received == there);
  EXPECT_TRUE(ours.received() == back);
  EXPECT_EQ(to_string(pair.endpoint().state()), w.endpoint_closes_first ? "time-wait" : "closed");
  EXPECT_EQ(to_string(pair.endpoint().end_reason()), "none");
  const ImpairSettings& line = kLines[w.line].settings;
  EXPECT_EQ(pair.ours().damaged() > 0, line.corrupt > 0);
  EXPECT_EQ(pair.ours().inbound().reordered.value() > 0, line.reorder > 0);
  EXPECT_EQ(pair.ours().inbound().duplicated.value() > 0, line.duplicate > 0);
  const std::uint64_t lost =
      pair.ours().inbound().lost.value() + pair.ours().outbound().lost.value();
  EXPECT_TRUE(line.loss == 0 ? lost == 0 : lost > 0 || line.loss < 0.01);  // too few to tell
}

using Combination = std::tuple<bool, bool, std::size_t, bool, bool>;

class InteropLwip : public ::testing::TestWithParam<Combination> {
 protected:
  static World world(const Combination& of) { return std::make_from_tuple<World>(of); }
};

TEST_P(InteropLwip, BothWaysAtOnceThenShutdownInOrder) {
  const World w = world(GetParam());
  exchange(w, w.number(), 1'000'000);
}

INSTANTIATE_TEST_SUITE_P(Worlds, InteropLwip,
                         ::testing::Combine(::testing::Bool(), ::testing::Bool(),
                                            ::testing::Range(std::size_t{0}, kLines.size()),
                                            ::testing::Bool(), ::testing::Bool()),
                         [](const auto& each) {
                           return std::make_from_tuple<World>(each.param).name();
                         });

// Every pair of settings occurs in some row.
std::vector<World> covering_worlds() {
  std::vector<World> out;
  for (const auto& level :
       test::covering_rows({2, 2, kLines.size(), 2, 2, 2, 2, 2, 2, kBuffers.size()})) {
    out.push_back({.active = level[0] != 0,
                   .v6 = level[1] != 0,
                   .line = level[2],
                   .small_mtu = level[3] != 0,
                   .endpoint_closes_first = level[4] != 0,
                   .no_scale = level[5] != 0,
                   .no_extensions = level[6] != 0,
                   .no_super_frames = level[7] != 0,
                   .nagle = level[8] != 0,
                   .buffers = level[9]});
  }
  return out;
}

class InteropLwipSettings : public ::testing::TestWithParam<World> {};

TEST_P(InteropLwipSettings, BothWaysAtOnceThenShutdownInOrder) {
  for (std::uint64_t seed = 1000; seed < 1008; ++seed) exchange(GetParam(), seed, 300'000);
}

INSTANTIATE_TEST_SUITE_P(Settings, InteropLwipSettings, ::testing::ValuesIn(covering_worlds()),
                         [](const auto& each) {
                           const World& w = each.param;
                           return fmt::format("{}{}{}{}{}_Buffers{}", w.name(),
                                              w.no_scale ? "_NoScaling" : "",
                                              w.no_extensions ? "_NoExtensions" : "",
                                              w.no_super_frames ? "_NoSuperFrames" : "",
                                              w.nagle ? "_Nagle" : "", kBuffers[w.buffers]);
                         });

// What holds for either role and both IP versions.
class LwipStory : public ::testing::TestWithParam<std::tuple<bool, bool>> {
 protected:
  Pair pair_{{.active = std::get<0>(GetParam()), .v6 = std::get<1>(GetParam())}, 2};
  LwipPeer& lwip() { return pair_.lwip(); }
  Endpoint& endpoint() { return pair_.endpoint(); }
  // Passes data of the endpoint's program to lwIP's, and answers what arrived.
  [[nodiscard]] bool send_to_lwip(const Octets& data) {
    std::size_t sent = 0;
    Octets got;
    const bool all = pair_.until([&] {
      sent += endpoint().write(Bytes(data).subspan(sent), pair_.now());
      const Octets more = lwip().receive();
      got.insert(got.end(), more.begin(), more.end());
      return got.size() >= data.size();
    });
    return all && got == data;
  }
};
INSTANTIATE_TEST_SUITE_P(Roles, LwipStory, ::testing::Combine(::testing::Bool(), ::testing::Bool()),
                         [](const auto& each) {
                           return std::string(std::get<0>(each.param) ? "Active" : "Passive") +
                                  (std::get<1>(each.param) ? "V6" : "V4");
                         });

TEST_P(LwipStory, LwipShutsDownItsWriting_EndpointStillSends) {
  ASSERT_TRUE(pair_.open());
  lwip().shutdown();
  ASSERT_TRUE(pair_.until([&] { return endpoint().at_end(); }));
  EXPECT_EQ(to_string(endpoint().state()), "close-wait");
  EXPECT_TRUE(pair_.until([&] { return lwip().state() == "FIN_WAIT_2"; }));
  EXPECT_TRUE(send_to_lwip(test::pattern(200'000, 3)));
  endpoint().shutdown(pair_.now());
  EXPECT_TRUE(pair_.until([&] { return endpoint().finished(); }));
  EXPECT_EQ(to_string(endpoint().end_reason()), "none");
  EXPECT_EQ(lwip().state(), "TIME_WAIT");
}

TEST_P(LwipStory, LwipResets_EndpointIsReset) {
  ASSERT_TRUE(pair_.open());
  lwip().reset();
  EXPECT_TRUE(pair_.until([&] { return endpoint().finished(); }));
  EXPECT_EQ(to_string(endpoint().end_reason()), "reset");
}

TEST_P(LwipStory, EndpointAborts_LwipIsReset) {
  ASSERT_TRUE(pair_.open());
  endpoint().abort(pair_.now());
  EXPECT_TRUE(pair_.until([&] { return lwip().state() == "CLOSED"; }));
  constexpr int kReset = -14;  // ERR_RST
  EXPECT_EQ(lwip().error(), kReset);
}

TEST_P(LwipStory, LwipsReaderStalls_EndpointProbesAndGoesOn) {
  ASSERT_TRUE(pair_.open());
  lwip().hold_reading(true);
  const Octets data = test::pattern(300'000, 4);
  std::size_t sent = 0;
  ASSERT_TRUE(pair_.until([&] {
    sent += endpoint().write(Bytes(data).subspan(sent), pair_.now());
    return endpoint().stats().zero_window_probes >= 4;
  }));
  lwip().hold_reading(false);
  Octets got;
  EXPECT_TRUE(pair_.until([&] {
    const Octets more = lwip().receive();
    got.insert(got.end(), more.begin(), more.end());
    return got.size() == data.size();
  }));
  EXPECT_TRUE(got == data);
}

TEST_P(LwipStory, EndpointsReaderStalls_LwipProbesAndGoesOn) {
  ASSERT_TRUE(pair_.open());
  const Octets data = test::pattern(2'000'000, 5);
  std::size_t sent = 0;
  const Time begun = pair_.now();
  ASSERT_TRUE(pair_.until([&] {
    sent += lwip().send(Bytes(data).subspan(sent));
    return pair_.now() > begun + 30s;
  }));
  EXPECT_LT(sent, data.size());
  test::EndpointProgram reader({}, false);
  EXPECT_TRUE(pair_.until([&] {
    sent += lwip().send(Bytes(data).subspan(sent));
    reader.turn(endpoint(), pair_.now());
    return reader.received().size() == data.size();
  }));
  EXPECT_TRUE(reader.received() == data);
}

TEST_P(LwipStory, IdleConnection_LwipAnswersKeepAlives) {
  pair_.keep_alive(10s);
  ASSERT_TRUE(pair_.open());
  const std::uint64_t before = endpoint().stats().segments_in;
  EXPECT_TRUE(pair_.until([&] { return endpoint().stats().segments_in >= before + 5; }));
  EXPECT_EQ(to_string(endpoint().state()), "established");
}

TEST(LwipClosedPort, EndpointConnects_Refused) {
  Pair pair({.active = true}, 4);
  pair.ours().connect(pair.config(), wire::SeqNum(7), pair.now());
  EXPECT_TRUE(pair.until([&] { return pair.endpoint().finished(); }));
  EXPECT_EQ(to_string(pair.endpoint().end_reason()), "refused");
}

}  // namespace
}  // namespace vtl::endpoint
