// Octets that whoever has them puts straight into a send queue, in the room that is there: none is
// lost, doubled or out of order, and no chunk stays that holds nothing.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "vtl/base/byte_queue.h"
#include "vtl/endpoint/endpoint.h"

namespace vtl::endpoint {
namespace {

constexpr std::size_t kChunk = ChunkPool::kChunk;

/// A source of `left` octets, each of which tells its place; at most `most` at a time.
struct Source {
  std::size_t left = 0;
  std::size_t most = SIZE_MAX;
  std::size_t given = 0;
  std::vector<std::size_t> offered{};

  std::size_t operator()(MutableBytes out) {
    offered.push_back(out.size());
    const std::size_t n = std::min({out.size(), left, most});
    for (std::size_t i = 0; i < n; ++i) out[i] = octet(given + i);
    given += n;
    left -= n;
    return n;
  }
  static std::uint8_t octet(std::size_t i) { return static_cast<std::uint8_t>(i * 7 + i / 251); }
};

bool holds(const ByteQueue& queue, std::size_t from, std::size_t size) {
  if (queue.size() != size) return false;
  std::vector<std::uint8_t> octets(size);
  queue.copy(0, octets);
  for (std::size_t i = 0; i < size; ++i) {
    if (octets[i] != Source::octet(from + i)) return false;
  }
  return true;
}

using Sizes = std::vector<std::size_t>;

TEST(AppendFrom, FillsTheLastChunkAndThenNewOnes) {
  ChunkPool pool(16 * kChunk);
  ByteQueue queue(&pool);
  Source source{.left = SIZE_MAX};
  EXPECT_EQ(queue.append_from(100, source), 100U);
  EXPECT_EQ(queue.append_from(2 * kChunk, source), 2 * kChunk);
  EXPECT_EQ(source.offered, (Sizes{100, kChunk - 100, kChunk, 100}));
  EXPECT_TRUE(holds(queue, 0, 2 * kChunk + 100));
  EXPECT_EQ(queue.chunk_count(), 3U);
}

TEST(AppendFrom, AShortFillEndsIt) {
  ChunkPool pool(16 * kChunk);
  ByteQueue queue(&pool);
  Source source{.left = SIZE_MAX, .most = 1000};
  EXPECT_EQ(queue.append_from(5 * kChunk, source), 1000U);
  EXPECT_EQ(queue.append_from(5 * kChunk, source), 1000U);
  EXPECT_EQ(source.offered, (Sizes{kChunk, kChunk - 1000}));
  EXPECT_TRUE(holds(queue, 0, 2000));
}

TEST(AppendFrom, AChunkIntoWhichNothingCameIsGivenBack) {
  ChunkPool pool(16 * kChunk);
  ByteQueue queue(&pool);
  Source nothing;
  EXPECT_EQ(queue.append_from(kChunk, nothing), 0U);
  EXPECT_EQ(nothing.offered, (Sizes{kChunk}));
  EXPECT_EQ(pool.bytes_in_use(), 0U);
  EXPECT_EQ(queue.memory(), 0U);
  Source source{.left = 2 * kChunk};
  EXPECT_EQ(queue.append_from(3 * kChunk, source), 2 * kChunk);
  EXPECT_EQ(source.offered, (Sizes{kChunk, kChunk, kChunk}));
  EXPECT_EQ(pool.bytes_in_use(), 2 * kChunk);
  EXPECT_TRUE(holds(queue, 0, 2 * kChunk));
  // What is there stays where it is.
  queue.consume(10);
  EXPECT_EQ(queue.append_from(kChunk, nothing), 0U);
  EXPECT_TRUE(holds(queue, 10, 2 * kChunk - 10));
}

TEST(AppendFrom, ASpentPoolOffersOnlyTheRestOfTheLastChunk) {
  ChunkPool pool(2 * kChunk);
  ByteQueue queue(&pool);
  Source source{.left = SIZE_MAX};
  EXPECT_EQ(queue.append_from(kChunk + 10, source), kChunk + 10);
  EXPECT_EQ(queue.append_from(SIZE_MAX, source), kChunk - 10);
  source.offered.clear();
  EXPECT_EQ(queue.append_from(SIZE_MAX, source), 0U);
  EXPECT_TRUE(source.offered.empty()) << "nobody is asked for octets that have no place";
  EXPECT_TRUE(holds(queue, 0, 2 * kChunk));
  queue.consume(kChunk);
  EXPECT_EQ(queue.append_from(SIZE_MAX, source), kChunk);
  EXPECT_TRUE(holds(queue, kChunk, 2 * kChunk));
}

RC_GTEST_PROP(AppendFrom, IsAQueueWhateverIsFilledAndTaken, ()) {
  ChunkPool pool(8 * kChunk);
  ByteQueue queue(&pool);
  Source source{.left = SIZE_MAX};
  std::size_t taken = 0;
  const auto steps = *rc::gen::inRange(1, 60);
  for (int i = 0; i < steps; ++i) {
    source.most = *rc::gen::element<std::size_t>(0, 1, 700, kChunk - 1, kChunk, SIZE_MAX);
    const auto most = *rc::gen::inRange<std::size_t>(0, 4 * kChunk);
    const std::size_t before = source.given;
    const std::size_t n = queue.append_from(most, source);
    RC_ASSERT(n == source.given - before);
    RC_ASSERT(n <= most);
    const auto gone = *rc::gen::inRange<std::size_t>(0, queue.size() + 1);
    queue.consume(gone);
    taken += gone;
    RC_ASSERT(holds(queue, taken, source.given - taken));
    RC_ASSERT(pool.bytes_in_use() == queue.chunk_count() * kChunk);
  }
  queue.consume(queue.size());
  RC_ASSERT(pool.bytes_in_use() == 0U);
}

/// Two endpoints whose handshake is done, and a wire that loses nothing.
class Pair {
 public:
  explicit Pair(const Config& config)
      : a(Endpoint::connect(config, {wire::Port(1), wire::Port(2)}, wire::SeqNum(0xffff0000),
                            now)) {
    a.dispatch(now, [&](const OutSegment& syn) {
      b.emplace(Endpoint::accept_syn(config, {wire::Port(2), wire::Port(1)}, wire::SeqNum(7),
                                     Segment{.header = syn.header, .payload = {}}, false, now));
      return true;
    });
    for (int i = 0; i < 4; ++i) turn();
  }
  void turn() {
    now += 100us;
    carry(a, *b);
    carry(*b, a);
  }

  Time now{1h};
  Endpoint a;
  std::optional<Endpoint> b;

 private:
  void carry(Endpoint& from, Endpoint& to) {
    from.dispatch(now, [&](const OutSegment& segment) {
      std::vector<std::uint8_t> text;
      for (const Bytes piece : segment.payload) text.insert(text.end(), piece.begin(), piece.end());
      to.process(Segment{.header = segment.header, .payload = text}, now);
      return true;
    });
  }
};

TEST(WriteFrom, WhatIsFilledArrivesWholeAndNoMoreIsAskedForThanThereIsRoom) {
  ChunkPool pool(64 * kChunk);
  Config config;
  config.pool = &pool;
  config.send_buffer = config.send_buffer_initial = 100'000;
  Pair pair(config);
  constexpr std::size_t kSize = 1'000'003;
  Source source{.left = kSize};
  std::size_t arrived = 0;
  for (int turn = 0; arrived < kSize; ++turn) {
    ASSERT_LT(turn, 10'000) << arrived;
    const std::size_t room = pair.a.writable();
    const std::size_t before = source.given;
    source.most = turn % 3 == 0 ? 777 : SIZE_MAX;
    const std::size_t n = pair.a.write_from(60'000, source, pair.now);
    ASSERT_EQ(n, source.given - before);
    ASSERT_LE(n, std::min<std::size_t>(room, 60'000));
    ASSERT_LE(pair.a.unacknowledged(), 100'000U);
    pair.turn();
    while (pair.b->readable() > 0) {
      const Bytes front = pair.b->peek();
      for (std::size_t i = 0; i < front.size(); ++i) {
        ASSERT_EQ(front[i], Source::octet(arrived + i)) << arrived + i;
      }
      arrived += front.size();
      pair.b->consume(front.size(), pair.now);
    }
  }
  EXPECT_EQ(arrived, kSize);
}

TEST(WriteFrom, NobodyIsAskedWhereNothingCanBeWritten) {
  Pair pair(Config{});
  Source source{.left = SIZE_MAX};
  EXPECT_EQ(pair.a.write_from(0, source, pair.now), 0U);
  pair.a.shutdown(pair.now);
  EXPECT_EQ(pair.a.write_from(1000, source, pair.now), 0U);
  pair.b->abort(pair.now);
  EXPECT_EQ(pair.b->write_from(1000, source, pair.now), 0U);
  EXPECT_TRUE(source.offered.empty());
}

TEST(WriteFrom, KeepsToTheShareOfThePoolThatWritableTells) {
  ChunkPool pool(16 * kChunk);
  Config config;
  config.pool = &pool;
  config.send_buffer = config.send_buffer_initial = 64 * kChunk;
  Pair pair(config);
  Source source{.left = SIZE_MAX};
  const std::size_t room = pair.a.writable();
  EXPECT_LT(room, 16 * kChunk) << "the rest is for others";
  EXPECT_EQ(pair.a.write_from(SIZE_MAX, source, pair.now), room);
  EXPECT_EQ(pool.bytes_in_use(), room);
  EXPECT_TRUE(pair.a.send_starved());
}

}  // namespace
}  // namespace vtl::endpoint
