// Two endpoints and a bad path between them, on virtual time: whatever the path does, the bytes
// that come out are the bytes that went in, both ends finish, nobody sends beyond what the other
// allowed, and memory stays inside its bound.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "tests/sim/path.h"
#include "vtl/base/rng.h"
#include "vtl/endpoint/endpoint.h"

namespace vtl::endpoint {
namespace {

using sim::Link;
using sim::LinkConfig;
using sim::WireSegment;

constexpr Time kStart{Duration{3600s}};

std::uint8_t octet(std::uint64_t seed, std::size_t at) {
  return static_cast<std::uint8_t>((at * 2654435761U + seed) >> 7);
}

// One end: the endpoint, a program that writes and reads, and what the peer was promised.
struct End {
  std::string name;
  std::unique_ptr<ChunkPool> pool;  // before the endpoint: it outlives it
  std::optional<Endpoint> endpoint;
  Config config;
  wire::SeqNum iss;
  std::uint64_t seed = 0;
  std::size_t to_write = 0, written = 0;
  std::size_t to_read = 0, read = 0;
  std::size_t read_step = 0;  // octets a visit; 0: all
  Duration read_pause{};      // between visits
  Time read_at = kStart;
  bool shut = false;
  // What the peer may send: the rightmost edge ever announced.
  std::optional<wire::SeqNum> edge;
  unsigned scale = 0;
  wire::TcpOptions syn_options;
};

class World {
 public:
  World(std::uint64_t seed, const LinkConfig& there, const LinkConfig& back)
      : rng_(seed), links_{Link(there, seed * 2 + 1), Link(back, seed * 2 + 2)} {}

  /// Every `one_in`th segment finds the interface full at its first try; 0: none.
  void congest_interface(std::uint64_t one_in) { refuse_one_in_ = one_in; }

  /// `pools`: the chunks of each end's pool; 0: the heap.
  void start(Config a, Config b, wire::SeqNum iss_a, wire::SeqNum iss_b, std::size_t pools) {
    if (pools > 0) {
      for (End& end : ends_) end.pool = std::make_unique<ChunkPool>(pools * ChunkPool::kChunk);
      a.pool = ends_[0].pool.get();
      b.pool = ends_[1].pool.get();
    }
    ends_[0].name = "client";
    ends_[0].config = a;
    ends_[0].iss = iss_a;
    ends_[1].name = "server";
    ends_[1].config = b;
    ends_[1].iss = iss_b;
    ends_[0].endpoint = Endpoint::connect(a, {wire::Port(4000), wire::Port(80)}, iss_a, now_);
  }

  End& end(int i) { return ends_[i]; }
  Time now() const { return now_; }

  std::string describe() const {
    std::string out = "after " + std::to_string((now_ - kStart) / 1s) + " s";
    for (const End& end : ends_) {
      out += "; " + end.name;
      if (!end.endpoint) continue;
      out += " " + std::string(to_string(end.endpoint->state())) + ", wrote " +
             std::to_string(end.written) + " of " + std::to_string(end.to_write) + ", read " +
             std::to_string(end.read) + ", unread " + std::to_string(end.endpoint->readable()) +
             ", writable " + std::to_string(end.endpoint->writable()) + ", pool " +
             std::to_string(end.pool ? end.pool->bytes_in_use() : 0) + " of " +
             std::to_string(end.pool ? end.pool->max_bytes() : 0) + ", wakes after " +
             std::to_string((end.endpoint->poll_at(now_) - now_) / 1ms) + " ms";
    }
    return out;
  }

  // Until both are finished; false when virtual time runs out.
  bool run(Duration limit) {
    const Time stop = kStart + limit;
    for (std::size_t turn = 0; turn < 5'000'000; ++turn) {
      for (int i = 0; i < 2; ++i) program(i);
      for (int i = 0; i < 2; ++i) dispatch(i);
      if (::testing::Test::HasFatalFailure()) return false;
      if (done(0) && done(1)) return true;
      Time next = std::min(links_[0].next(), links_[1].next());
      for (int i = 0; i < 2; ++i) {
        if (ends_[i].endpoint) next = std::min(next, ends_[i].endpoint->poll_at(now_));
        if (ends_[i].endpoint && ends_[i].endpoint->readable() > 0) {
          next = std::min(next, ends_[i].read_at);
        }
      }
      if (next == kNever || next > stop) return false;
      now_ = std::max(now_, next);
      for (int i = 0; i < 2; ++i) {
        while (auto in = links_[i].pop(now_)) deliver(1 - i, *in);
      }
    }
    ADD_FAILURE() << "no end of events";
    return false;
  }

 private:
  bool done(int i) const {
    const auto& e = ends_[i].endpoint;
    return e && (e->finished() || e->state() == State::kTimeWait) && e->readable() == 0;
  }

  void program(int i) {
    End& end = ends_[i];
    if (!end.endpoint) return;
    if (now_ >= end.read_at) read(i);
    while (end.written < end.to_write) {
      std::uint8_t chunk[3000];
      const std::size_t want =
          std::min<std::size_t>(end.to_write - end.written, 1 + rng_.below(sizeof chunk));
      for (std::size_t k = 0; k < want; ++k) chunk[k] = octet(end.seed, end.written + k);
      const std::size_t n = end.endpoint->write(Bytes(chunk, want), now_);
      end.written += n;
      if (n < want) break;
    }
    if (end.written == end.to_write && !end.shut) {
      end.shut = true;
      end.endpoint->shutdown(now_);
    }
  }

  void read(int i) {
    End& end = ends_[i];
    std::size_t budget = end.read_step == 0 ? SIZE_MAX : end.read_step;
    while (budget > 0 && end.endpoint->readable() > 0) {
      const Bytes bytes = end.endpoint->peek();
      const std::size_t n = std::min(bytes.size(), budget);
      for (std::size_t k = 0; k < n; ++k) {
        ASSERT_EQ(bytes[k], octet(ends_[1 - i].seed, end.read + k))
            << end.name << " reads a wrong octet at " << end.read + k;
      }
      end.endpoint->consume(n, now_);
      end.read += n;
      budget -= n;
    }
    end.read_at = now_ + end.read_pause;
  }

  void dispatch(int i) {
    End& end = ends_[i];
    if (!end.endpoint) return;
    for (int turn = 0; end.endpoint->poll_at(now_) <= now_; ++turn) {
      ASSERT_LT(turn, 10000) << end.name << ": poll_at() says now and dispatch() moves nothing";
      end.endpoint->dispatch(now_, [&](const OutSegment& out) {
        if (refuse_one_in_ > 0 && rng_.below(refuse_one_in_) == 0) return false;
        check(i, out);
        links_[i].push(out, now_);
        return true;
      });
    }
    const std::size_t bound =
        end.config.receive_buffer + end.config.send_buffer + 4 * ChunkPool::kChunk + 16384;
    ASSERT_LE(end.endpoint->memory(), bound) << end.name;
  }

  void check(int i, const OutSegment& out) {
    End& end = ends_[i];
    const wire::TcpFields& h = out.header;
    if (h.flags.syn()) end.syn_options = h.options;
    const bool scaled =
        !h.flags.syn() && end.syn_options.window_scale && ends_[1 - i].syn_options.window_scale;
    if (h.flags.ack() && !h.flags.rst()) {
      const wire::SeqNum edge = h.ack + (static_cast<std::uint32_t>(h.window)
                                         << (scaled ? *end.syn_options.window_scale : 0));
      end.edge = end.edge ? max(*end.edge, edge) : edge;
    }
    if (out.payload_size == 0) return;
    ASSERT_LE(out.segment_size, end.config.mss);
    ASSERT_TRUE(ends_[1 - i].edge.has_value()) << "data before the peer offered a window";
    const wire::SeqNum last = h.seq + static_cast<std::uint32_t>(out.payload_size);
    const std::int32_t beyond = last - *ends_[1 - i].edge;
    ASSERT_LE(beyond, out.payload_size == 1 ? 1 : 0) << end.name << " sends beyond the window";
  }

  void deliver(int i, const WireSegment& in) {
    Segment segment;
    segment.header = in.header;
    segment.payload = Bytes(reinterpret_cast<const std::uint8_t*>(in.data.data()), in.data.size());
    segment.segments = in.segments;
    End& end = ends_[i];
    if (!end.endpoint) {
      if (!in.header.flags.syn() || in.header.flags.ack()) return;
      end.endpoint = Endpoint::accept_syn(end.config, {wire::Port(80), wire::Port(4000)}, end.iss,
                                          segment, false, now_);
      return;
    }
    if (end.endpoint->state() == State::kClosed) {  // what the table does without a connection
      if (auto reset = reset_for(segment)) {
        OutSegment out;
        out.header = *reset;
        out.segment_size = 536;
        links_[i].push(out, now_);
      }
      return;
    }
    end.endpoint->process(segment, now_);
  }

  Rng rng_;
  std::uint64_t refuse_one_in_ = 0;
  Time now_ = kStart;
  Link links_[2];
  End ends_[2];
};

Config random_config(Rng& rng) {
  Config config;
  config.mss = static_cast<std::uint16_t>(200 + rng.below(1300));
  config.offer_timestamps = rng.chance(0.5);
  config.offer_window_scale = rng.chance(0.5);
  config.offer_sack = rng.chance(0.5);
  config.window_scale = static_cast<std::uint8_t>(rng.below(9));
  config.receive_buffer = 1000 + rng.below(rng.chance(0.5) ? 8000 : 200000);
  config.send_buffer = 1000 + rng.below(rng.chance(0.5) ? 8000 : 200000);
  config.max_super_frame = rng.chance(0.5) ? config.mss : 65000;
  config.nagle = rng.chance(0.3);
  config.congestion = rng.chance(0.5) ? Congestion::kCubic : Congestion::kNewReno;
  config.syn_retries = 20;
  config.user_timeout = 6h;  // nobody gives up: whoever hangs is found by the limit of virtual time
  config.time_wait = 6h;     // no backed-off retransmission of a FIN comes too late
  return config;
}

// Sequence numbers begin within 1 MiB of where they wrap, and of where their sign does.
wire::SeqNum random_iss(Rng& rng) {
  const std::uint32_t around = rng.chance(0.5) ? 0U : 0x80000000U;
  return wire::SeqNum(around - static_cast<std::uint32_t>(rng.below(1U << 20)));
}

// More for a long search: VTL_PROPERTY_SEEDS=10000.
std::uint64_t seeds() {
  const char* text = std::getenv("VTL_PROPERTY_SEEDS");
  return text == nullptr ? 200 : std::strtoull(text, nullptr, 10);
}

struct Weather {
  const char* name;
  double loss, duplicate, reorder;
};

class EndpointPair : public ::testing::TestWithParam<Weather> {};

TEST_P(EndpointPair, DeliversTheSameBytesBothWaysAndFinishes) {
  const Weather& weather = GetParam();
  for (std::uint64_t seed = 1; seed <= seeds(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Rng rng(seed * 7919);
    LinkConfig there;
    there.delay = Duration{static_cast<std::int64_t>(rng.below(60'000'000))};
    there.jitter = rng.chance(0.3) ? there.delay / 2 : Duration::zero();
    there.loss = weather.loss;
    there.duplicate = weather.duplicate;
    there.reorder = weather.reorder;
    there.merge = rng.chance(0.5);
    LinkConfig back = there;
    back.merge = rng.chance(0.5);
    World world(seed, there, back);
    world.start(random_config(rng), random_config(rng), random_iss(rng), random_iss(rng),
                rng.chance(0.3) ? 2 + rng.below(12) : 0);
    if (rng.chance(0.3)) world.congest_interface(2 + rng.below(10));
    for (int i = 0; i < 2; ++i) {
      End& end = world.end(i);
      end.seed = rng.next();
      end.to_write = rng.chance(0.2) ? 0 : rng.below(150'000);
      if (rng.chance(0.4)) {
        end.read_step = 8 + rng.below(5000);  // all of it in two hours at the slowest
        end.read_pause = Duration{static_cast<std::int64_t>(rng.below(400'000'000))};
      }
    }
    ASSERT_TRUE(world.run(12h)) << world.describe();
    for (int i = 0; i < 2; ++i) {
      const End& end = world.end(i);
      EXPECT_EQ(to_string(end.endpoint->end_reason()), to_string(EndReason::kNone)) << end.name;
      EXPECT_EQ(end.read, world.end(1 - i).to_write) << end.name;
      EXPECT_TRUE(end.endpoint->at_end()) << end.name;
    }
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Weather, EndpointPair,
                         ::testing::Values(Weather{"Fair", 0, 0, 0}, Weather{"Loss1", 0.01, 0, 0},
                                           Weather{"Loss10", 0.1, 0, 0},
                                           Weather{"Loss25", 0.25, 0, 0},
                                           Weather{"Reorder", 0, 0, 0.1},
                                           Weather{"Duplicate", 0, 0.2, 0},
                                           Weather{"Everything", 0.05, 0.1, 0.1}),
                         [](const auto& weather) { return std::string(weather.param.name); });

}  // namespace
}  // namespace vtl::endpoint
