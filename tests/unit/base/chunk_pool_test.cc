#include "vtl/base/chunk_pool.h"

#include <gtest/gtest.h>

#include <vector>

#include "vtl/base/byte_queue.h"

namespace vtl {
namespace {

using Use = ChunkPool::Use;
constexpr std::size_t kChunk = ChunkPool::kChunk;

/// Takes chunks for `use` as a buffer with `held` may, until there is none.
std::size_t take_all(ChunkPool& pool, Use use, std::size_t held, std::vector<std::uint8_t*>& out) {
  std::size_t n = 0;
  for (; pool.available(use, held) > 0; ++n) {
    out.push_back(pool.allocate(use));
    EXPECT_NE(out.back(), nullptr);
  }
  return n;
}
void give_back(ChunkPool& pool, Use use, std::vector<std::uint8_t*>& chunks) {
  for (auto* chunk : chunks) pool.release(chunk, use);
  chunks.clear();
}

TEST(ChunkPool, NeitherUseTakesTheOthersShareNorThatOfFirstChunks) {
  for (const std::size_t size : {2U, 3U, 4U, 7U, 8U, 64U, 1000U}) {
    for (const auto& [one, other] :
         {std::pair{Use::kReceived, Use::kToSend}, std::pair{Use::kToSend, Use::kReceived}}) {
      ChunkPool pool(size * kChunk);
      const std::size_t share = std::max<std::size_t>(size / 8, 1);
      std::vector<std::uint8_t*> mine;
      std::vector<std::uint8_t*> theirs;
      EXPECT_EQ(take_all(pool, one, ChunkPool::kModest, mine), size - 2 * share) << size;
      EXPECT_FALSE(pool.spent(one)) << size;
      EXPECT_EQ(take_all(pool, one, 0, mine), share) << size;
      EXPECT_TRUE(pool.spent(one) && !pool.spent(other)) << size;
      EXPECT_EQ(pool.available(other, ChunkPool::kModest), 0U) << size;
      EXPECT_EQ(take_all(pool, other, 0, theirs), share) << size;
      EXPECT_EQ(pool.bytes_in_use(), size * kChunk);
      EXPECT_EQ(pool.allocate(one), nullptr);
      give_back(pool, one, mine);
      give_back(pool, other, theirs);
    }
  }
}

TEST(ChunkPool, AModestBufferIsToldNoMoreThanItMayHave) {
  ChunkPool pool(8 * kChunk);
  std::vector<std::uint8_t*> others;
  EXPECT_EQ(pool.available(Use::kReceived, 0), 6U);
  take_all(pool, Use::kReceived, ChunkPool::kModest, others);
  EXPECT_EQ(pool.available(Use::kReceived, 0), 1U);
  EXPECT_EQ(pool.available(Use::kToSend, 0), 2U);
  EXPECT_EQ(pool.available(Use::kToSend, 1), 1U);
  EXPECT_EQ(pool.available(Use::kReceived, 5), 0U);
  give_back(pool, Use::kReceived, others);
}

TEST(ChunkPool, AHandOverIsNeverRefused) {
  ChunkPool pool(8 * kChunk);
  std::vector<std::uint8_t*> chunks;
  take_all(pool, Use::kReceived, 0, chunks);
  ASSERT_TRUE(pool.spent(Use::kReceived));
  for (std::size_t i = 0; i < chunks.size(); ++i) pool.hand_over();
  EXPECT_FALSE(pool.spent(Use::kReceived));
  EXPECT_TRUE(pool.spent(Use::kToSend));
  give_back(pool, Use::kToSend, chunks);
  EXPECT_EQ(pool.bytes_in_use(), 0U);
}

TEST(ChunkPool, OneChunkAloneCanBeUsed) {
  ChunkPool pool(kChunk);
  EXPECT_EQ(pool.available(Use::kReceived, 0), 1U);
  EXPECT_EQ(pool.available(Use::kToSend, 0), 1U);
}

TEST(ChunkPool, WhatIsFreeBeyondTheReserveGoesBack) {
  ChunkPool pool(3 * ChunkPool::kMostFree * kChunk);
  std::vector<std::uint8_t*> chunks;
  take_all(pool, Use::kReceived, 0, chunks);
  ASSERT_GT(chunks.size(), 2 * ChunkPool::kMostFree);
  const std::size_t peak = pool.bytes_held();
  EXPECT_EQ(peak, pool.bytes_in_use());
  give_back(pool, Use::kReceived, chunks);
  EXPECT_EQ(pool.bytes_in_use(), 0U);
  EXPECT_EQ(pool.bytes_held(), ChunkPool::kMostFree * kChunk);
}

/// An octet of a known stream.
std::uint8_t octet(std::size_t i) {
  return static_cast<std::uint8_t>((i * 2654435761U) >> 13);
}

TEST(ByteQueue, ALongOneIsTheStreamWhereverItIsCut) {
  ChunkPool pool(std::size_t{400} * kChunk);
  ByteQueue queue(&pool);
  std::size_t written = 0;
  std::size_t read = 0;
  std::vector<std::uint8_t> piece(50'000);
  std::uint64_t step = 1;
  const auto next = [&] { return step = step * 6364136223846793005U + 1442695040888963407U; };
  for (int turn = 0; turn < 3000; ++turn) {
    // Grows long, then short, again and again.
    const bool growing = turn / 300 % 2 == 0;
    const std::size_t in = next() % (growing ? 50'000 : 10'000);
    for (std::size_t i = 0; i < in; ++i) piece[i] = octet(written + i);
    written += queue.append(Bytes(piece).first(in));
    std::size_t out = std::min<std::size_t>(next() % (growing ? 20'000 : 60'000), queue.size());
    ASSERT_EQ(queue.size(), written - read);
    ASSERT_LE(queue.chunk_count() * kChunk, queue.size() + 2 * kChunk);
    ASSERT_EQ(pool.bytes_in_use(), queue.chunk_count() * kChunk);
    if (queue.size() > 100) {
      std::uint8_t one = 0;
      const std::size_t at = next() % queue.size();
      queue.copy(at, {&one, 1});
      ASSERT_EQ(one, octet(read + at)) << turn;
    }
    while (out > 0) {
      const Bytes front = queue.front().first(std::min(out, queue.front().size()));
      ASSERT_EQ(front.front(), octet(read)) << turn;
      ASSERT_EQ(front.back(), octet(read + front.size() - 1)) << turn;
      read += front.size();
      out -= front.size();
      queue.consume(front.size());
    }
  }
  queue.clear();
  EXPECT_EQ(pool.bytes_in_use(), 0U);
  EXPECT_EQ(queue.memory(), 0U);
}

}  // namespace
}  // namespace vtl
