// What lies beside the sending and recovering of octets: memory, windows that follow the reader,
// ECN, the path's MTU.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "tests/script/script.h"
#include "vtl/endpoint/connection.h"

namespace vtl::endpoint::script {
namespace {

// One octet in every chunk of the offered window is the cheapest way to make a receiver hold much.
TEST(Reassembly, OneOctetInEveryChunk_CostsAFewChunksAndIsCounted) {
  Config config = plain();
  config.offer_window_scale = true;
  config.receive_buffer = config.receive_buffer_initial = std::size_t{1} << 20;
  Script s(config, {.scale = 7, .window = 1000});
  s.established();
  constexpr std::uint32_t kChunk = ChunkPool::kChunk;
  for (std::uint32_t at = 63; at > 0; --at) {
    s.send(seg().seq(1 + at * kChunk).data("x")).swallow();
  }
  EXPECT_LE(s.endpoint().memory(), 4 * kChunk);
  EXPECT_GE(s.endpoint().stats().pieces_forgotten, 60U);
  // Nothing is lost: what was forgotten was never acknowledged, and is taken when it comes again.
  for (std::uint32_t next = 1; next < 20 * kChunk; next += 1000) {
    s.send(seg().seq(next).len(1000)).swallow();
  }
  EXPECT_EQ(s.endpoint().readable(), s.endpoint().stats().bytes_in);
  EXPECT_GE(s.endpoint().readable(), 20U * kChunk);
}

TEST(Memory, IdleConnectionCostsItsObjectAlone) {
  // The relay of a connection is two of these and an entry of a table: at most 2 KiB in all.
  EXPECT_LE(sizeof(Connection), 808U);
  Script s;
  s.established();
  for (int i = 0; i < 100; ++i) {
    s.send(seg().len(1460)).read_all().swallow();
    s.write(1460).swallow();
    s.send(seg()).swallow();
  }
  EXPECT_EQ(s.endpoint().memory(), sizeof(Endpoint) + sizeof(Connection));
}

// Buffers that follow what is made of them.
Config tuned(ChunkPool* pool = nullptr) {
  Config config = plain();
  config.offer_window_scale = true;
  config.window_scale = 7;
  config.receive_buffer = std::size_t{2} << 20;
  config.receive_buffer_initial = std::size_t{64} << 10;
  config.send_buffer = std::size_t{1} << 20;
  config.send_buffer_initial = std::size_t{64} << 10;
  config.pool = pool;
  return config;
}

constexpr Peer kScaled{.scale = 7, .window = 8000};

/// Established over a path of 100 ms.
Script far_away(const Config& config) {
  Script s(config, kScaled);
  s.connect().expect({seg().flags("S")});
  s.at(100).send(seg().seq(0).flags("SA").ack(1)).expect({seg().flags("A")});
  return s;
}

/// The peer sends `octets`, or all that it may if that is less; returns how many, and takes the
/// edge of the window from the acknowledgements.
struct Pusher {
  Script& s;
  std::uint32_t next = 1;
  std::uint32_t edge = 1 + (64 << 10) - 128;

  std::uint32_t push(std::uint32_t octets) {
    const std::uint32_t before = next;
    while (next < edge && next < before + octets) {
      const std::uint32_t n = std::min({1460U, edge - next, before + octets - next});
      s.send(seg().seq(next).len(n));
      next += n;
      look();
    }
    return next - before;
  }
  /// Time passes; what is sent meanwhile is looked at.
  void wait(double ms) {
    const Time end = s.now() + std::chrono::duration_cast<Duration>(ms * 1ms);
    look();
    while (s.now() < end) {
      s.until_sent(std::chrono::duration<double, std::milli>(end - s.now()).count());
      look();
    }
  }
  void look() {
    for (const auto& sent : s.take()) {
      const auto right = static_cast<std::uint32_t>(sent.header.ack.value() - 5000) +
                         (std::uint32_t{sent.header.window} << 7);
      // A scaled field may round down by less than a unit (RFC 7323 section 2.4).
      ASSERT_GT(right + 128, edge) << "the right edge moved left";
      edge = std::max(edge, right);
    }
  }
  [[nodiscard]] std::uint32_t window() const { return edge - next; }
};

TEST(Autotune, ReaderFollows_WindowDoublesEachRoundTripToItsBound) {
  Script s = far_away(tuned());
  Pusher peer{s};
  std::uint32_t before = peer.window();
  for (int round = 0; round < 12; ++round) {
    const std::uint32_t window = peer.window();
    peer.push(UINT32_MAX / 2);
    peer.wait(100);
    s.read_all();
    peer.look();
    if (round > 1 && before < (1U << 20)) {
      EXPECT_GE(window, 2 * before - 2000) << "round " << round;
    }
    before = window;
    EXPECT_LE(peer.window(), (2U << 20) + 128);
  }
  EXPECT_GE(peer.window(), (2U << 20) - 4000);
}

TEST(Autotune, SenderInSlowStart_NeverWaitsForTheWindow) {
  Script s = far_away(tuned());
  Pusher peer{s};
  peer.push(20);
  peer.wait(100);
  s.read_all();
  peer.look();
  for (std::uint32_t flight = 14600; flight < (1U << 20); flight *= 2) {
    EXPECT_EQ(peer.push(flight), flight);
    peer.wait(100);
    s.read_all();
    peer.look();
  }
}

TEST(Autotune, ReaderTakesLittle_WindowStaysSmall) {
  Script s = far_away(tuned());
  Pusher peer{s};
  for (int round = 0; round < 50; ++round) {
    peer.push(5000);
    peer.wait(100);
    s.read_all();
    peer.look();
  }
  EXPECT_LE(peer.window(), 64U << 10);
}

TEST(Autotune, ReaderStandsStill_NoMoreThanTheInitialBuffer) {
  Script s = far_away(tuned());
  Pusher peer{s};
  peer.push(UINT32_MAX / 2);
  peer.wait(10'000);
  EXPECT_LE(s.endpoint().readable(), 64U << 10);
  EXPECT_LE(peer.window(), 1460U);
}

TEST(Autotune, PoolStrained_WindowDoesNotGrow) {
  ChunkPool pool(std::size_t{8} << 20);
  ByteQueue others(&pool);
  (void)others.append(Bytes(std::vector<std::uint8_t>((std::size_t{4} << 20) + 1)));
  Script s = far_away(tuned(&pool));
  Pusher peer{s};
  for (int round = 0; round < 10; ++round) {
    peer.push(UINT32_MAX / 2);
    peer.wait(100);
    s.read_all();
    peer.look();
  }
  EXPECT_LE(peer.window(), 64U << 10);
  others.clear();
  for (int round = 0; round < 4; ++round) {
    peer.push(UINT32_MAX / 2);
    peer.wait(100);
    s.read_all();
    peer.look();
  }
  EXPECT_GE(peer.window(), 512U << 10) << "it grows as soon as there is memory";
}

TEST(Autotune, PoolScarce_InitialWindowAgainAndNoPromiseIsTakenBack) {
  ChunkPool pool(std::size_t{8} << 20);
  Script s = far_away(tuned(&pool));
  Pusher peer{s};
  for (int round = 0; round < 8; ++round) {
    peer.push(UINT32_MAX / 2);
    peer.wait(100);
    s.read_all();
    peer.look();
  }
  const std::uint32_t grown = peer.window();
  ASSERT_GE(grown, 1U << 20);
  ByteQueue others(&pool);
  (void)others.append(Bytes(std::vector<std::uint8_t>((std::size_t{6} << 20) + 1)));
  // All that was promised is taken; look() sees that the edge never moves back.
  for (int round = 0; round < 100; ++round) {
    peer.push(64 << 10);
    s.read_all();
    peer.wait(100);
  }
  EXPECT_LE(peer.window(), 64U << 10);
  EXPECT_GE(peer.next, 100U * (60 << 10)) << "it goes on, in small windows";
  others.clear();
  peer.push(64 << 10);
  s.read_all();
  peer.look();
  EXPECT_GE(peer.window(), grown - (68U << 10)) << "as soon as there is memory again";
}

TEST(Autotune, SendBufferFollowsTheCongestionWindow) {
  Script s = far_away(tuned());
  EXPECT_EQ(s.endpoint().writable(), 64U << 10);
  s.write(64 << 10);
  std::uint32_t acked = 1;
  for (int round = 0; round < 20; ++round) {
    for (const auto& sent : s.take()) acked += static_cast<std::uint32_t>(sent.data.size());
    s.after(100).send(seg().ack(acked));
    s.write(static_cast<std::uint32_t>(s.endpoint().writable()));
  }
  EXPECT_EQ(s.endpoint().unacknowledged(), 1U << 20);
}

TEST(Autotune, PoolScarce_SendBufferIsTheInitialOne) {
  ChunkPool pool(std::size_t{8} << 20);
  ByteQueue others(&pool);
  Script s = far_away(tuned(&pool));
  s.write(64 << 10);
  std::uint32_t acked = 1;
  for (int round = 0; round < 8; ++round) {
    for (const auto& sent : s.take()) acked += static_cast<std::uint32_t>(sent.data.size());
    s.after(100).send(seg().ack(acked));
    s.write(static_cast<std::uint32_t>(s.endpoint().writable()));
  }
  ASSERT_GT(s.endpoint().unacknowledged(), 128U << 10);
  (void)others.append(Bytes(std::vector<std::uint8_t>((std::size_t{6} << 20) + 1)));
  EXPECT_EQ(s.endpoint().writable(), 0U);
  EXPECT_TRUE(s.endpoint().unacknowledged() > (64U << 10)) << "what was taken is kept";
}

}  // namespace
}  // namespace vtl::endpoint::script
