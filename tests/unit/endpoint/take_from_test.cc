// Octets that go from one connection's receive buffer to another's send queue: chunk by chunk where
// both cut the stream alike, copied where they do not, and never lost, doubled or out of order.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "vtl/base/byte_queue.h"
#include "vtl/base/rng.h"
#include "vtl/endpoint/endpoint.h"
#include "vtl/endpoint/reassembly.h"

namespace vtl::endpoint {
namespace {

constexpr std::size_t kChunk = ChunkPool::kChunk;

std::vector<std::uint8_t> noise(Rng& rng, std::size_t size) {
  std::vector<std::uint8_t> octets(size);
  for (auto& octet : octets) octet = static_cast<std::uint8_t>(rng.next());
  return octets;
}

std::vector<std::uint8_t> content(const ByteQueue& queue) {
  std::vector<std::uint8_t> octets(queue.size());
  queue.copy(0, octets);
  return octets;
}

void hand_over(ReceiveBuffer& from, ByteQueue& to) {
  const std::size_t size = from.front().size();
  const std::size_t offset = from.front_offset();
  to.adopt(from.release_front(), offset, size);
}

TEST(TakeFrom, AChunkChangesHandsAsItIs) {
  ChunkPool pool(16 * kChunk);
  ReceiveBuffer received(&pool);
  ByteQueue to_send(&pool);
  Rng rng(1);
  const auto stream = noise(rng, 2 * kChunk + 100);
  (void)received.insert(0, stream);
  received.consume(10);
  const std::uint8_t* const there = received.front().data();
  const std::size_t used = pool.bytes_in_use();
  for (int chunk = 0; chunk < 3; ++chunk) {
    ASSERT_TRUE(received.front_is_alone() && to_send.fits(received.front_offset())) << chunk;
    hand_over(received, to_send);
  }
  EXPECT_EQ(to_send.front().data(), there);
  EXPECT_EQ(pool.bytes_in_use(), used);
  EXPECT_EQ(received.memory(), 0U);
  EXPECT_EQ(content(to_send), std::vector<std::uint8_t>(stream.begin() + 10, stream.end()));
}

TEST(TakeFrom, WhatFollowsAnUnfinishedChunkHasOneOfItsOwn) {
  ChunkPool pool(16 * kChunk);
  ReceiveBuffer received(&pool);
  ByteQueue to_send(&pool);
  Rng rng(1);
  const auto stream = noise(rng, kChunk + 300);
  const Bytes octets(stream);
  (void)received.insert(0, octets.first(100));
  hand_over(received, to_send);
  EXPECT_FALSE(received.front_is_alone());
  // A range in the chunk, a gap before it.
  (void)received.insert(200, octets.subspan(300, kChunk));
  EXPECT_EQ(received.insert(0, octets.subspan(100, 100)), 100U);
  EXPECT_FALSE(received.front_is_alone());
  EXPECT_FALSE(to_send.fits(received.front_offset()));
  EXPECT_EQ(to_send.append(received.front()), 100U);
  received.consume(100);
  EXPECT_EQ(received.insert(0, octets.subspan(200, 100)), kChunk + 100);
  EXPECT_EQ(to_send.append(received.front()), kChunk - 200);
  received.consume(kChunk - 200);
  ASSERT_TRUE(received.front_is_alone() && to_send.fits(received.front_offset()));
  hand_over(received, to_send);
  EXPECT_EQ(content(to_send), stream);
  EXPECT_EQ(received.memory(), 0U);
}

/// Two connections whose handshakes are done, each with a peer that is an endpoint too; what the
/// first peer writes goes through both to the second.
class Chain {
 public:
  explicit Chain(ChunkPool& pool, std::size_t buffer) {
    Config config;
    config.pool = &pool;
    config.receive_buffer = config.send_buffer = buffer;
    Config peer;
    peer.receive_buffer = peer.send_buffer = 300'000;
    open(peer, config, source, near);
    open(config, peer, far, sink);
  }
  /// One turn: what is due travels on both halves.
  void turn() {
    now += 100us;
    exchange(*source, *near);
    exchange(*far, *sink);
  }

  Time now{1h};
  std::unique_ptr<Endpoint> source, near, far, sink;
  /// What every segment said of itself, in order.
  std::vector<std::uint32_t> told;

 private:
  void open(const Config& a, const Config& b, std::unique_ptr<Endpoint>& from,
            std::unique_ptr<Endpoint>& to) {
    from = std::make_unique<Endpoint>(
        Endpoint::connect(a, {wire::Port(1), wire::Port(2)}, wire::SeqNum(0xffff0000), now));
    from->dispatch(now, [&](const OutSegment& syn) {
      to = std::make_unique<Endpoint>(
          Endpoint::accept_syn(b, {wire::Port(2), wire::Port(1)}, wire::SeqNum(7),
                               Segment{.header = syn.header, .payload = {}}, false, now));
      return true;
    });
    for (int i = 0; i < 4; ++i) exchange(*from, *to);
  }
  void exchange(Endpoint& a, Endpoint& b) {
    const auto carry = [this](Endpoint& from, Endpoint& to) {
      from.dispatch(now, [&](const OutSegment& segment) {
        std::vector<std::uint8_t> text;
        for (const Bytes piece : segment.payload)
          text.insert(text.end(), piece.begin(), piece.end());
        const auto size = static_cast<std::uint32_t>(text.size());
        told.insert(told.end(), {segment.header.seq.value(), segment.header.ack.value(),
                                 segment.header.window, segment.header.flags.bits, size});
        Segment in{.header = segment.header, .payload = text};
        in.segments = static_cast<std::uint16_t>(text.size() / 1400 + 1);
        to.process(in, now);
        return true;
      });
    };
    carry(a, b);
    carry(b, a);
  }
};

TEST(TakeFrom, AnyStreamArrivesWholeWhateverTheReaderTakes) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    Rng rng(seed);
    ChunkPool pool(std::size_t{2} << 20);
    {
      Chain chain(pool, 20'000 + rng.below(300'000));
      const auto stream = noise(rng, 1 + rng.below(1'500'000));
      const std::size_t step = 1 + rng.below(100'000);
      std::size_t written = 0;
      std::vector<std::uint8_t> arrived;
      for (int turn = 0; arrived.size() < stream.size(); ++turn) {
        ASSERT_LT(turn, 200'000) << seed << ": " << arrived.size() << " of " << stream.size();
        const std::size_t some = std::min(stream.size() - written, rng.below(step) + 1);
        written += chain.source->write(Bytes(stream).subspan(written, some), chain.now);
        if (rng.chance(0.8)) {
          const std::size_t most = 1 + rng.below(200'000);
          const std::size_t before = chain.near->readable();
          const std::size_t taken = chain.far->take_from(*chain.near, most, chain.now);
          ASSERT_EQ(chain.near->readable(), before - taken);
        }
        if (rng.chance(0.7)) {
          while (chain.sink->readable() > 0) {
            const Bytes front = chain.sink->peek();
            arrived.insert(arrived.end(), front.begin(), front.end());
            chain.sink->consume(front.size(), chain.now);
          }
        }
        chain.turn();
      }
      EXPECT_EQ(arrived, stream) << seed;
    }
    EXPECT_EQ(pool.bytes_in_use(), 0U);
  }
}

TEST(TakeFrom, APoolFullOfWhatArrivedMovesOn) {
  constexpr std::size_t kChains = 8;
  ChunkPool pool((kChains + 1) * kChunk);
  std::vector<std::unique_ptr<Chain>> chains;
  for (std::size_t i = 0; i < kChains; ++i)
    chains.push_back(std::make_unique<Chain>(pool, std::size_t{1} << 20));
  Rng rng(1);
  const auto stream = noise(rng, 5 * kChunk + 1);
  const auto begin = Bytes(stream).first(100);
  for (auto& chain : chains) {
    ASSERT_EQ(chain->source->write(begin, chain->now), begin.size());
    chain->turn();
  }
  ASSERT_TRUE(pool.spent(ChunkPool::Use::kReceived));
  std::size_t done = 0;
  for (auto& chain : chains) (void)chain->source->write(Bytes(stream).subspan(100), chain->now);
  for (int turn = 0; done < kChains; ++turn) {
    ASSERT_LT(turn, 100'000) << done << " of " << kChains;
    done = 0;
    for (auto& chain : chains) {
      if (chain->near->receive_starved()) chain->near->consume(0, chain->now);
      (void)chain->far->take_from(*chain->near, kChunk, chain->now);
      chain->turn();
      if (chain->sink->readable() == stream.size()) ++done;
    }
  }
  for (auto& chain : chains) {
    std::vector<std::uint8_t> arrived;
    for (; chain->sink->readable() > 0;
         chain->sink->consume(chain->sink->peek().size(), chain->now))
      arrived.insert(arrived.end(), chain->sink->peek().begin(), chain->sink->peek().end());
    EXPECT_EQ(arrived, stream);
  }
}

/// As take_from() is described: what arrived is written and consumed, front by front.
std::size_t copy_from(Endpoint& from, Endpoint& to, std::size_t most, Time now) {
  std::size_t moved = 0;
  while (moved < most && from.readable() > 0) {
    const std::size_t n = to.write(from.peek(), now);
    if (n == 0) break;
    from.consume(n, now);
    moved += n;
  }
  return moved;
}

TEST(TakeFrom, TheSegmentsAreThoseOfACopy) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Rng rng(seed);
    ChunkPool pool(std::size_t{64} << 20);
    const std::size_t buffer = 20'000 + rng.below(1'000'000);
    Chain taking(pool, buffer);
    Chain copying(pool, buffer);
    const auto stream = noise(rng, 1 + rng.below(3'000'000));
    std::size_t written = 0;
    std::size_t read = 0;
    for (int turn = 0; read < stream.size(); ++turn) {
      ASSERT_LT(turn, 100'000) << seed << ": " << read << " of " << stream.size();
      const std::size_t some = std::min(stream.size() - written, rng.below(200'000) + 1);
      const std::size_t most = 1 + rng.below(300'000);
      const bool moves = rng.chance(0.8);
      const bool reads = rng.chance(0.7);
      std::size_t took = 0;
      std::size_t moved = 0;
      std::size_t readable = 0;
      for (Chain* chain : {&taking, &copying}) {
        took = chain->source->write(Bytes(stream).subspan(written, some), chain->now);
        const std::size_t before = moved;
        if (moves) {
          moved = (chain == &taking) ? chain->far->take_from(*chain->near, most, chain->now)
                                     : copy_from(*chain->near, *chain->far, most, chain->now);
        }
        if (chain == &copying) {
          ASSERT_EQ(moved, before) << seed;
        }
        readable = chain->sink->readable();
        if (reads) chain->sink->consume(readable, chain->now);
        chain->turn();
      }
      written += took;
      if (reads) read += readable;
      ASSERT_EQ(taking.told, copying.told) << seed << ", turn " << turn;
      taking.told.clear();
      copying.told.clear();
    }
  }
}

}  // namespace
}  // namespace vtl::endpoint
