#include "vtl/endpoint/reassembly.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "vtl/base/rng.h"

namespace vtl::endpoint {
namespace {

Bytes bytes(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

std::string read_all(ReceiveBuffer& buffer) {
  std::string out;
  while (buffer.readable() > 0) {
    const Bytes front = buffer.front();
    out.append(reinterpret_cast<const char*>(front.data()), front.size());
    buffer.consume(front.size());
  }
  return out;
}

TEST(ReceiveBuffer, InOrderIsReadableAtOnce) {
  ReceiveBuffer buffer(nullptr);
  EXPECT_EQ(buffer.insert(0, bytes("hello ")), 6U);
  EXPECT_EQ(buffer.insert(0, bytes("world")), 5U);
  EXPECT_EQ(read_all(buffer), "hello world");
  EXPECT_TRUE(buffer.front().empty());
}

TEST(ReceiveBuffer, AGapHoldsBackWhatFollows) {
  ReceiveBuffer buffer(nullptr);
  EXPECT_EQ(buffer.insert(3, bytes("def")), 0U);
  EXPECT_TRUE(buffer.has_gaps());
  EXPECT_EQ(buffer.insert(0, bytes("abc")), 6U);
  EXPECT_FALSE(buffer.has_gaps());
  EXPECT_EQ(read_all(buffer), "abcdef");
}

TEST(ReceiveBuffer, RangesAreCountedFromTheEndOfTheReadablePart) {
  ReceiveBuffer buffer(nullptr);
  (void)buffer.insert(0, bytes("ab"));
  (void)buffer.insert(10, bytes("xy"));
  (void)buffer.insert(4, bytes("pq"));
  ASSERT_EQ(buffer.range_count(), 2U);
  EXPECT_EQ(buffer.range(0).begin, 4U);
  EXPECT_EQ(buffer.range(0).end, 6U);
  EXPECT_EQ(buffer.range(1).begin, 10U);
  (void)buffer.insert(6, bytes("mnop"));  // touches both
  ASSERT_EQ(buffer.range_count(), 1U);
  EXPECT_EQ(buffer.range(0).begin, 4U);
  EXPECT_EQ(buffer.range(0).end, 12U);
}

TEST(ReceiveBuffer, EmptyOwnsNoChunk) {
  ReceiveBuffer buffer(nullptr);
  (void)buffer.insert(0, Bytes(std::vector<std::uint8_t>(100'000)));
  EXPECT_GE(buffer.memory(), 100'000U);
  (void)read_all(buffer);
  EXPECT_LT(buffer.memory(), 256U);
}

TEST(ReceiveBuffer, OneOctetInEverySecondPlaceCostsTheWindowAndNoMore) {
  ReceiveBuffer buffer(nullptr);
  constexpr std::size_t kWindow = 200'000;
  for (std::size_t at = 1; at < kWindow; at += 2) (void)buffer.insert(at, bytes("x"));
  EXPECT_EQ(buffer.range_count(), ReceiveBuffer::kMaxRanges);
  EXPECT_LE(buffer.memory(), kWindow + 2 * ChunkPool::kChunk + 8192);
}

TEST(ReceiveBuffer, AtTheBoundTheFarthestRangeIsForgotten) {
  ReceiveBuffer buffer(nullptr);
  for (std::size_t i = 0; i < ReceiveBuffer::kMaxRanges; ++i) {
    (void)buffer.insert(10 + 2 * i, bytes("x"));
  }
  const std::size_t farthest = buffer.range(ReceiveBuffer::kMaxRanges - 1).begin;
  (void)buffer.insert(5'000, bytes("x"));  // farther still: not remembered
  EXPECT_EQ(buffer.range(ReceiveBuffer::kMaxRanges - 1).begin, farthest);
  (void)buffer.insert(5, bytes("x"));
  EXPECT_EQ(buffer.range(0).begin, 5U);
  EXPECT_EQ(buffer.range(ReceiveBuffer::kMaxRanges - 1).begin, farthest - 2);
  EXPECT_EQ(buffer.forgotten(), 2U);
  EXPECT_EQ(buffer.out_of_order(), ReceiveBuffer::kMaxRanges);
}

TEST(ReceiveBuffer, OneOctetInEveryChunkCostsAFewChunksAndTheNearestAreKept) {
  ReceiveBuffer buffer(nullptr);
  constexpr std::size_t kPieces = 64;  // a window of 1 MiB
  for (std::size_t i = kPieces; i > 0; --i) {
    (void)buffer.insert(i * ChunkPool::kChunk, bytes("x"));
    ASSERT_LE(buffer.memory(), ReceiveBuffer::kSparseChunks * ChunkPool::kChunk + 8192);
  }
  EXPECT_EQ(buffer.range_count(), ReceiveBuffer::kSparseChunks);
  EXPECT_EQ(buffer.range(0).begin, ChunkPool::kChunk);
  EXPECT_EQ(buffer.forgotten(), kPieces - ReceiveBuffer::kSparseChunks);
}

TEST(ReceiveBuffer, AQuarterOfAStreamIsKeptWhole) {
  ReceiveBuffer buffer(nullptr);
  const std::string piece(1460, 'p');
  constexpr std::size_t kPieces = 150;
  for (std::size_t i = 0; i < kPieces; ++i) (void)buffer.insert(1460 * (4 * i + 1), bytes(piece));
  EXPECT_EQ(buffer.range_count(), kPieces);
  EXPECT_EQ(buffer.out_of_order(), kPieces * piece.size());
  EXPECT_EQ(buffer.forgotten(), 0U);
}

TEST(ReceiveBuffer, OutOfOrderLeavesTheLastPartOfThePoolToWhatIsInOrder) {
  ChunkPool pool(16 * ChunkPool::kChunk);
  ByteQueue others(&pool);
  (void)others.append(Bytes(std::vector<std::uint8_t>(13 * ChunkPool::kChunk)));
  ReceiveBuffer buffer(&pool);
  (void)buffer.insert(ChunkPool::kChunk, bytes("takes the last that it may"));
  (void)buffer.insert(3 * ChunkPool::kChunk, bytes("finds none"));
  EXPECT_EQ(buffer.range_count(), 1U);
  EXPECT_EQ(buffer.forgotten(), 1U);
  EXPECT_EQ(buffer.insert(0, bytes("in order")), 8U);
  EXPECT_EQ(pool.bytes_in_use(), 15 * ChunkPool::kChunk);
}

TEST(ReceiveBuffer, PoolSpentByItself_TakesWhatFitsInOrderAndLeavesSendingItsShare) {
  ChunkPool pool(3 * ChunkPool::kChunk);
  ReceiveBuffer buffer(&pool);
  EXPECT_EQ(buffer.insert(0, Bytes(std::vector<std::uint8_t>(50'000))), 2 * ChunkPool::kChunk);
  EXPECT_EQ(buffer.insert(0, bytes("x")), 0U);
  EXPECT_EQ(buffer.readable(), 2 * ChunkPool::kChunk);
}

TEST(ReceiveBuffer, PoolSpentByAGap_OrderedDataTakesItsPlace) {
  ChunkPool pool(4 * ChunkPool::kChunk);
  ReceiveBuffer buffer(&pool);
  (void)buffer.insert(5 * ChunkPool::kChunk, bytes("far"));
  (void)buffer.insert(6 * ChunkPool::kChunk, bytes("farther"));
  ByteQueue others(&pool);
  (void)others.append(Bytes(std::vector<std::uint8_t>(2 * ChunkPool::kChunk)));
  EXPECT_EQ(pool.bytes_in_use(), pool.max_bytes());
  EXPECT_EQ(buffer.insert(0, bytes("near")), 4U);
  EXPECT_FALSE(buffer.has_gaps());
  EXPECT_EQ(buffer.forgotten(), 2U);
  EXPECT_EQ(read_all(buffer), "near");
}

// Against the plain model: an array and a set of known octets.
TEST(ReceiveBuffer, AnyOrderOfAnyPiecesGivesTheStream) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    Rng rng(seed);
    ReceiveBuffer buffer(nullptr);
    std::string stream(1 + rng.below(120'000), '\0');
    for (char& c : stream) c = static_cast<char>(rng.next());
    std::size_t next = 0;  // what a connection would acknowledge
    std::size_t read = 0;
    const std::size_t largest = 1 + rng.below(20'000);
    for (int turn = 0; next < stream.size(); ++turn) {
      ASSERT_LT(turn, 2'000'000);
      const bool head = rng.chance(0.1);
      const std::size_t begin =
          head ? next : next + rng.below(std::min<std::size_t>(stream.size() - next, 60'000));
      const std::size_t n = std::min<std::size_t>(1 + rng.below(largest), stream.size() - begin);
      next += buffer.insert(begin - next, bytes(stream).subspan(begin, n));
      ASSERT_LE(next, stream.size());
      if (rng.chance(0.3)) {
        const Bytes front = buffer.front();
        const std::size_t take = rng.below(front.size() + 1);
        ASSERT_TRUE(std::equal(front.begin(), front.begin() + static_cast<std::ptrdiff_t>(take),
                               bytes(stream).begin() + static_cast<std::ptrdiff_t>(read)))
            << "seed " << seed;
        buffer.consume(take);
        read += take;
      }
      ASSERT_EQ(buffer.readable(), next - read);
      std::size_t in_ranges = 0;
      for (std::size_t i = 0; i < buffer.range_count(); ++i) {
        in_ranges += buffer.range(i).end - buffer.range(i).begin;
      }
      ASSERT_EQ(buffer.out_of_order(), in_ranges);
      ASSERT_LE(buffer.memory(), (buffer.readable() + 4 * in_ranges) +
                                     (ReceiveBuffer::kSparseChunks + 2) * ChunkPool::kChunk + 8192);
    }
    EXPECT_EQ(read_all(buffer), stream.substr(read)) << "seed " << seed;
  }
}

// At the bound of ranges a piece takes a place of the farthest, in a chunk that nobody else needs.
TEST(ReceiveBuffer, AtTheBoundAPieceInAChunkOfItsOwn_KeepsItsOctets) {
  ChunkPool pool(64 * ChunkPool::kChunk);
  {  // what was another connection's
    ByteQueue others(&pool);
    (void)others.append(Bytes(std::vector<std::uint8_t>(32 * ChunkPool::kChunk, 'Z')));
  }
  constexpr std::size_t kCrumb = 40;
  for (const std::size_t at : {ChunkPool::kChunk, std::size_t{17'000}}) {
    ReceiveBuffer buffer(&pool);
    for (std::size_t i = 1; i < ReceiveBuffer::kMaxRanges; ++i) {
      (void)buffer.insert(i * (kCrumb + 2), bytes(std::string(kCrumb, 'c')));
    }
    ASSERT_LT(ReceiveBuffer::kMaxRanges * (kCrumb + 2), 2 * ChunkPool::kChunk);
    const std::size_t far = at + 2 * ChunkPool::kChunk;
    (void)buffer.insert(far + 1000, bytes(std::string(100, 'f')));
    (void)buffer.insert(far, bytes(std::string(500, 'p')));
    (void)buffer.insert(0, bytes(std::string(far, 'g')));
    const std::string all = read_all(buffer);
    EXPECT_EQ(all.substr(0, far), std::string(far, 'g'));
    EXPECT_EQ(all.find('Z'), std::string::npos) << "octets of another connection";
  }
}

// Any pieces over several chunks of a pool that others have used, at every bound.
TEST(ReceiveBuffer, NothingButTheStreamIsEverRead) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    Rng rng(seed);
    ChunkPool pool((4 + rng.below(12)) * ChunkPool::kChunk);
    {
      ByteQueue others(&pool);
      (void)others.append(Bytes(std::vector<std::uint8_t>(pool.max_bytes(), 'Z')));
    }
    ReceiveBuffer buffer(&pool);
    const std::size_t window = 1 + rng.below(8 * ChunkPool::kChunk);
    const std::size_t largest = 1 + rng.below(rng.chance(0.5) ? 60 : 4000);
    std::size_t next = 0;
    const auto octet = [](std::size_t at) { return static_cast<std::uint8_t>(at % 25 + 'a'); };
    for (int turn = 0; turn < 3000; ++turn) {
      const std::size_t offset = rng.chance(0.1) ? 0 : rng.below(window);
      std::vector<std::uint8_t> piece(1 + rng.below(largest));
      for (std::size_t i = 0; i < piece.size(); ++i) piece[i] = octet(next + offset + i);
      const std::size_t unread = buffer.readable();
      const std::size_t grown = buffer.insert(offset, piece);
      ASSERT_EQ(buffer.readable(), unread + grown);
      next += grown;
      while (rng.chance(0.7) && buffer.readable() > 0) {
        const Bytes front = buffer.front();
        const std::size_t first = next - buffer.readable();
        for (std::size_t i = 0; i < front.size(); ++i) {
          ASSERT_EQ(front[i], octet(first + i)) << "seed " << seed << ", octet " << first + i;
        }
        buffer.consume(front.size());
      }
    }
  }
}

// A buffer of many chunks gives its memory back as it is read, and is the stream all the while.
TEST(ReceiveBuffer, ALongOneGivesChunksBackAsItIsRead) {
  constexpr std::size_t kChunks = 200;
  ChunkPool pool(2 * kChunks * ChunkPool::kChunk);
  ReceiveBuffer buffer(&pool);
  const auto octet = [](std::size_t i) { return static_cast<char>((i * 2654435761U) >> 13); };
  std::size_t next = 0;
  std::size_t read = 0;
  std::string piece(30'000, '\0');
  Rng rng(1);
  for (int turn = 0; turn < 4000; ++turn) {
    const bool growing = turn / 500 % 2 == 0;
    if (buffer.readable() < kChunks * ChunkPool::kChunk) {
      const std::size_t ahead = rng.chance(0.2) ? rng.below(40'000) : 0;
      const std::size_t n = 1 + rng.below(growing ? piece.size() : 5000);
      for (std::size_t i = 0; i < n; ++i) piece[i] = octet(next + ahead + i);
      next += buffer.insert(ahead, bytes(piece).first(n));
    }
    std::size_t take = std::min(rng.below(growing ? 10'000 : 60'000), buffer.readable());
    for (; take > 0 && rng.chance(0.9);) {
      const std::size_t n = std::min(take, buffer.front().size());
      ASSERT_EQ(static_cast<char>(buffer.front()[0]), octet(read)) << turn;
      ASSERT_EQ(static_cast<char>(buffer.front()[n - 1]), octet(read + n - 1)) << turn;
      if (n == buffer.front().size() && buffer.front_is_alone() && rng.chance(0.3)) {
        pool.release(buffer.release_front(), ChunkPool::Use::kReceived);
      } else {
        buffer.consume(n);
      }
      read += n;
      take -= n;
    }
    ASSERT_EQ(buffer.readable(), next - read);
    ASSERT_EQ(pool.bytes_in_use(), buffer.chunk_count() * ChunkPool::kChunk);
    ASSERT_LE(buffer.memory(), buffer.readable() + 4 * buffer.out_of_order() +
                                   (ReceiveBuffer::kSparseChunks + 2) * ChunkPool::kChunk + 8192);
  }
  buffer.clear();
  EXPECT_EQ(buffer.memory(), 0U);
}

}  // namespace
}  // namespace vtl::endpoint
