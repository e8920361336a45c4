#include "vtl/packet/packet.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/packet/frames.h"

namespace vtl {
namespace {

TEST(PacketPool, AllocatesFromTheSmallestClassThatHoldsBoth) {
  PacketPool pool;
  const Packet small = pool.allocate(kSmallFrame);
  const std::size_t small_bytes = pool.bytes_in_use();
  EXPECT_EQ(small.size(), kSmallFrame);
  EXPECT_EQ(small.headroom(), kPacketHeadroom);
  EXPECT_LT(small_bytes, 4096U);
  const Packet jumbo = pool.allocate(kSmallFrame + 1);
  const std::size_t jumbo_bytes = pool.bytes_in_use() - small_bytes;
  EXPECT_GT(jumbo_bytes, kJumboFrame);
  EXPECT_LT(jumbo_bytes, 10'000U);
  const Packet large = pool.allocate(kJumboFrame + 1);
  EXPECT_GT(pool.bytes_in_use() - small_bytes - jumbo_bytes, kMaxFrame);
  const Packet super = pool.allocate(kMaxFrame);
  EXPECT_EQ(super.size(), kMaxFrame);
}

TEST(PacketPool, AtItsBoundItGivesNoPacketAndRecoversWhenOneDies) {
  PacketPool pool({.max_bytes = 200'000});
  Packet first = pool.allocate(kMaxFrame), second = pool.allocate(kMaxFrame);
  ASSERT_TRUE(first && second);
  EXPECT_TRUE(pool.allocate(100));
  std::vector<Packet> rest;
  while (Packet p = pool.allocate(kMaxFrame)) rest.push_back(std::move(p));
  EXPECT_EQ(rest.size(), 1U);
  EXPECT_FALSE(pool.allocate(kMaxFrame));
  first.reset();
  EXPECT_TRUE(pool.allocate(kMaxFrame));
  EXPECT_LE(pool.bytes_in_use(), 200'000U);
}

TEST(PacketPool, ImpossibleSizesGiveNoPacket) {
  PacketPool pool;
  EXPECT_FALSE(pool.allocate(100'000));
  EXPECT_FALSE(pool.allocate(10, ~std::size_t{0} - 5));
  EXPECT_EQ(pool.bytes_in_use(), 0U);
}

TEST(PacketPool, AReusedBufferHasFreshMetadata) {
  PacketPool pool;
  Packet p = pool.allocate(60);
  p.meta().checksum = {.kind = ChecksumKind::kPartial, .start = 34, .offset = 16};
  p.meta().gso.kind = GsoKind::kTcpV4;
  p.reset();
  const Packet again = pool.allocate(60);
  EXPECT_EQ(again.meta().checksum.kind, ChecksumKind::kComplete);
  EXPECT_FALSE(again.meta().gso.is_super());
}

TEST(PacketPool, ACloneHoldsTheSameOctetsAndMetadataInTheSmallClass) {
  PacketPool pool;
  const test::Octets frame = test::make_frame({.payload = test::pattern(100)});
  Packet large = pool.allocate(kMaxFrame);
  large.resize(frame.size());
  std::copy(frame.begin(), frame.end(), large.mutable_bytes().begin());
  large.meta().arrival = Time{7s};
  const std::size_t before = pool.bytes_in_use();
  EXPECT_TRUE(PacketPool::is_oversized(large));
  const Packet copy = pool.clone(large);
  EXPECT_FALSE(PacketPool::is_oversized(copy));
  EXPECT_LT(pool.bytes_in_use() - before, 4096U);
  EXPECT_TRUE(std::ranges::equal(copy.bytes(), frame));
  EXPECT_EQ(copy.meta().arrival, Time{7s});
  EXPECT_EQ(copy.layout().transport, TransportKind::kTcp);
}

TEST(Packet, PushAndPullMoveTheFrontAndTheMetadataWithIt) {
  PacketPool pool;
  Packet p = pool.copy_of(test::make_frame({.payload = {1, 2, 3}}));
  p.meta().checksum = {.kind = ChecksumKind::kPartial, .start = 34, .offset = 16};
  p.meta().gso = {.kind = GsoKind::kTcpV4, .segment_size = 1, .header_length = 54};
  const std::size_t room = p.headroom(), size = p.size();
  p.push_front(4);
  EXPECT_EQ(p.headroom(), room - 4);
  EXPECT_EQ(p.size(), size + 4);
  EXPECT_EQ(p.meta().checksum.start, 38);
  EXPECT_EQ(p.meta().gso.header_length, 58);
  p.pull_front(4);
  EXPECT_EQ(p.meta().checksum.start, 34);
  EXPECT_EQ(p.layout().transport, TransportKind::kTcp);
}

TEST(Packet, TheLayoutIsParsedOnceAndAgainAfterHeadersChanged) {
  PacketPool pool;
  Packet p = pool.copy_of(test::make_frame({.protocol = 17}));
  EXPECT_EQ(p.layout().transport, TransportKind::kUdp);
  store_u8(p.mutable_bytes(), 23, 6);
  EXPECT_EQ(p.layout().transport, TransportKind::kUdp) << "cached";
  p.headers_changed();
  EXPECT_EQ(p.layout().error, DropReason::kMalformedTransport);
}

TEST(Packet, AMovedFromPacketIsEmptyAndTheBufferLivesOnce) {
  PacketPool pool;
  Packet a = pool.allocate(60);
  Packet b = std::move(a);
  EXPECT_FALSE(a);  // NOLINT(bugprone-use-after-move): what is tested
  EXPECT_TRUE(b);
  b = Packet{};
  EXPECT_EQ(pool.bytes_in_use(), 0U);
}

}  // namespace
}  // namespace vtl
