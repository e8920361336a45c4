// Throughput of one endpoint toward another over a simulated path, as a table in the repository:
// tests/sim/throughput.snapshot. Virtual time and fixed seeds make it exact, so any change of
// recovery or congestion control shows as a diff. VTL_UPDATE_SNAPSHOTS=1 writes the new table.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "tests/sim/path.h"
#include "vtl/endpoint/endpoint.h"

namespace vtl::endpoint::sim {
namespace {

struct Case {
  std::uint64_t rate;  // bit/s
  Duration round_trip;
  double loss;
  double reorder;
  std::size_t buffer;
  Congestion congestion;
  bool sack;
};

struct Outcome {
  double megabits = 0;  // per second, payload
  EndpointStats stats;
};

Segment segment_of(const WireSegment& in) {
  Segment out;
  out.header = in.header;
  out.payload = Bytes(reinterpret_cast<const std::uint8_t*>(in.data.data()), in.data.size());
  out.segments = in.segments;
  return out;
}

// Ten seconds of a bulk sender and a reader that keeps up.
Outcome run(const Case& c) {
  constexpr Time kStart{Duration{100s}};
  constexpr Duration kLength = 10s;
  LinkConfig there{.delay = c.round_trip / 2, .rate = c.rate, .loss = c.loss, .merge = true};
  there.reorder = c.reorder;
  there.reorder_by = c.round_trip / 8;
  there.queue = static_cast<std::size_t>(
      std::max<double>(64, static_cast<double>(c.rate) * 0.05 / 8 / 1526));  // 50 ms of the rate
  const LinkConfig back{.delay = c.round_trip / 2, .rate = c.rate};
  Link forth(there, 1), home(back, 2);
  Config config;
  config.receive_buffer = config.send_buffer = c.buffer;
  config.congestion = c.congestion;
  config.offer_sack = c.sack;
  Time now = kStart;
  auto sender = Endpoint::connect(config, {wire::Port(1), wire::Port(2)}, wire::SeqNum(1), now);
  std::optional<Endpoint> receiver;
  std::uint64_t received = 0;
  const std::vector<std::uint8_t> chunk(65536, 'x');
  while (now < kStart + kLength) {
    while (auto in = home.pop(now)) sender.process(segment_of(*in), now);
    while (auto in = forth.pop(now)) {
      if (!receiver) {
        receiver = Endpoint::accept_syn(config, {wire::Port(2), wire::Port(1)},
                                        wire::SeqNum(0x80000000U), segment_of(*in), false, now);
      } else {
        receiver->process(segment_of(*in), now);
      }
      while (receiver->readable() > 0) {
        const std::size_t n = receiver->peek().size();
        received += n;
        receiver->consume(n, now);
      }
      receiver->dispatch(now, [&](const OutSegment& out) {
        home.push(out, now);
        return true;
      });
    }
    while (sender.writable() > 0 && sender.write(chunk, now) > 0) {
    }
    sender.dispatch(now, [&](const OutSegment& out) {
      forth.push(out, now);
      return true;
    });
    if (receiver) {
      receiver->dispatch(now, [&](const OutSegment& out) {
        home.push(out, now);
        return true;
      });
    }
    Time next = std::min({forth.next(), home.next(), sender.poll_at(now)});
    if (receiver) next = std::min(next, receiver->poll_at(now));
    EXPECT_GT(next, now) << "the simulation stands still";
    if (next <= now) break;
    now = next;
  }
  Outcome out;
  out.megabits =
      static_cast<double>(received) * 8 / 1e6 / std::chrono::duration<double>(kLength).count();
  out.stats = sender.stats();
  return out;
}

struct Weather {
  double loss, reorder;
};

std::string table() {
  std::string out =
      "# Bulk throughput over a simulated path of 100 Mbit/s, 10 s from the SYN on; see\n"
      "# throughput_test.cc. rtt: ms; buffer: KiB at both ends; goodput: Mbit/s; undone: "
      "recoveries\n"
      "# that proved needless.\n"
      "congestion sack  rtt  loss%  reorder%  buffer  goodput  again  fast  timeouts  undone\n";
  for (const Congestion congestion : {Congestion::kNewReno, Congestion::kCubic}) {
    for (const bool sack : {true, false}) {
      for (const Duration round_trip : {Duration{1ms}, Duration{20ms}, Duration{60ms}}) {
        for (const Weather w : {Weather{0, 0}, Weather{0.001, 0}, Weather{0.01, 0},
                                Weather{0, 0.02}, Weather{0.001, 0.02}}) {
          for (const std::size_t buffer : {std::size_t{256} << 10, std::size_t{2} << 20}) {
            const Case c{100'000'000, round_trip, w.loss, w.reorder, buffer, congestion, sack};
            const Outcome result = run(c);
            out += fmt::format("{:10} {:4} {:4} {:6} {:9} {:7} {:8.2f} {:6} {:5} {:9} {:7}\n",
                               to_string(congestion), sack ? "yes" : "no", round_trip / 1ms,
                               w.loss * 100, w.reorder * 100, buffer >> 10, result.megabits,
                               result.stats.retransmissions, result.stats.fast_retransmits,
                               result.stats.timeouts, result.stats.needless_recoveries);
          }
        }
      }
    }
  }
  return out;
}

TEST(Throughput, IsThatOfTheSnapshot) {
  const std::string path = VTL_SOURCE_DIR "/tests/sim/throughput.snapshot";
  const std::string now = table();
  if (std::getenv("VTL_UPDATE_SNAPSHOTS") != nullptr) {
    std::ofstream(path) << now;
    return;
  }
  std::stringstream before;
  before << std::ifstream(path).rdbuf();
  EXPECT_EQ(now, before.str()) << "if the change is meant, run with VTL_UPDATE_SNAPSHOTS=1";
}

TEST(Throughput, CleanPathWithEnoughBuffer_FillsNineTenths) {
  for (const Congestion congestion : {Congestion::kNewReno, Congestion::kCubic}) {
    const Outcome out = run({100'000'000, 20ms, 0, 0, std::size_t{2} << 20, congestion, true});
    EXPECT_GT(out.megabits, 85) << to_string(congestion);
  }
}

// What is compared with a sequence number of long ago still compares after half of their space.
TEST(LongLived, WithoutSackAfterMoreThan2To31Octets_FastRetransmitStillWorks) {
  Config config;
  config.offer_sack = false;
  Time now{Duration{100s}};
  auto sender = Endpoint::connect(config, {wire::Port(1), wire::Port(2)}, wire::SeqNum(1), now);
  wire::SeqNum next(2);  // what the peer expects
  const auto drain = [&] {
    sender.dispatch(now, [&](const OutSegment& out) {
      next = max(next, out.header.seq + static_cast<std::uint32_t>(out.payload_size));
      return true;
    });
  };
  const auto answer = [&](wire::SeqNum ack, std::uint8_t flags = wire::TcpFlags::kAck) {
    Segment segment;
    segment.header.ack = ack;
    segment.header.seq = wire::SeqNum((flags & wire::TcpFlags::kSyn) != 0 ? 0 : 1);
    segment.header.flags.bits = flags;
    segment.header.window = 65535;
    if (segment.header.flags.syn()) segment.header.options.window_scale = 7;
    sender.process(segment, now);
  };
  drain();
  answer(next, wire::TcpFlags::kSyn | wire::TcpFlags::kAck);
  const std::vector<std::uint8_t> chunk(1 << 20, 'x');
  std::uint64_t written = 0;
  while (written < (std::uint64_t{1} << 31) + (64U << 20)) {
    written += sender.write(chunk, now);
    drain();
    now += 1ms;
    answer(next);
  }
  while (sender.unacknowledged() > 0) {
    drain();
    now += 1ms;
    answer(next);
  }
  const wire::SeqNum lost = next;
  (void)sender.write(chunk, now);
  drain();
  for (int i = 0; i < 4; ++i) answer(lost);
  EXPECT_EQ(sender.stats().fast_retransmits, 1U);
}

}  // namespace
}  // namespace vtl::endpoint::sim
