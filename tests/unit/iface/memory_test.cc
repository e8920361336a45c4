#include "vtl/iface/memory.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>

#include "tests/unit/packet/frames.h"
#include "vtl/packet/access.h"
#include "vtl/packet/checksum.h"

namespace vtl::iface {
namespace {

using test::make_frame;

bool readable(const Interface& i) {
  pollfd p{i.fd(), POLLIN, 0};
  return ::poll(&p, 1, 0) == 1;
}

Packet super_frame(PacketPool& pool, std::size_t payload, std::uint16_t segment_size) {
  Packet p = pool.copy_of(make_frame({.payload = test::pattern(payload), .finish = false}));
  p.meta().checksum = {.kind = ChecksumKind::kPartial, .start = 34, .offset = 16};
  p.meta().gso = {.kind = GsoKind::kTcpV4, .segment_size = segment_size, .header_length = 54};
  return p;
}

TEST(Memory, WhatOneEndWritesTheOtherReadsWithMetadata) {
  auto [a, b] = open_memory_pair({.name = "a"}, {.name = "b"}).value();
  PacketPool pool;
  Batch out, in;
  out.push_back(super_frame(pool, 5000, 1000));
  out.push_back(pool.copy_of(make_frame({.seq = 9})));
  EXPECT_FALSE(readable(*b));
  EXPECT_EQ(a->write(out), 2U);
  EXPECT_FALSE(out[0] || out[1]);
  EXPECT_TRUE(readable(*b));
  EXPECT_EQ(b->read(pool, Time{5s}, in), ReadStatus::kOk);
  EXPECT_FALSE(readable(*b));
  ASSERT_EQ(in.size(), 2U);
  EXPECT_EQ(in[0].meta().gso.segment_size, 1000);
  EXPECT_EQ(in[0].meta().checksum.kind, ChecksumKind::kPartial);
  EXPECT_EQ(in[0].meta().arrival, Time{5s});
  EXPECT_TRUE(std::ranges::equal(in[1].bytes(), make_frame({.seq = 9})));
  EXPECT_EQ(a->counters().tx_super_frames.value(), 1U);
  EXPECT_EQ(b->counters().rx_frames.value(), 2U);
}

TEST(Memory, AnEndWithoutSuperFramesSendsWireFrames) {
  auto [a, b] = open_memory_pair({.super_frames = false}, {}).value();
  PacketPool pool;
  Batch out, in;
  out.push_back(super_frame(pool, 2500, 1000));
  EXPECT_EQ(a->write(out), 1U);
  (void)b->read(pool, Time{}, in);
  ASSERT_EQ(in.size(), 3U);
  for (const Packet& p : in) {
    EXPECT_TRUE(verify_checksums(p));
    EXPECT_EQ(p.meta().checksum.kind, ChecksumKind::kComplete);
  }
}

TEST(Memory, AFullQueueIsBackpressureAndLosesNothingEvenInsideASuperFrame) {
  auto [a, b] = open_memory_pair({.super_frames = false}, {.queue = 4}).value();
  PacketPool pool;
  Batch out, in;
  out.push_back(super_frame(pool, 6000, 1000));  // six segments
  out.push_back(pool.copy_of(make_frame({.seq = 99'999})));
  EXPECT_EQ(a->write(out), 0U) << "two segments wait inside";
  EXPECT_FALSE(out[0]) << "the super-frame is taken";
  EXPECT_EQ(out[0].size(), 0U);
  EXPECT_TRUE(out[1]);
  EXPECT_EQ(a->write(out), 0U);
  (void)b->read(pool, Time{}, in);
  EXPECT_EQ(in.size(), 4U);
  EXPECT_EQ(a->write(out), 2U);
  (void)b->read(pool, Time{}, in);
  ASSERT_EQ(in.size(), 7U);
  for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(tcp_seq(in[i]).value(), 1000 + 1000 * i);
  EXPECT_EQ(tcp_seq(in[6]).value(), 99'999U);
  EXPECT_EQ(a->counters().drops.total(), 0U);
}

TEST(Memory, AFrameOverTheMtuIsDroppedByName) {
  auto [a, b] = open_memory_pair({.mtu = 100}, {}).value();
  PacketPool pool;
  Batch out;
  out.push_back(pool.copy_of(make_frame({.payload = test::pattern(200)})));
  out.push_back(pool.copy_of(make_frame({.vlans = {3}, .payload = test::pattern(60)})));
  EXPECT_EQ(a->write(out), 2U);
  EXPECT_EQ(a->counters().drops.value(DropReason::kTxTooLarge), 1U);
  EXPECT_EQ(a->counters().tx_frames.value(), 1U);
}

TEST(Memory, WhenOneEndGoesTheOtherReadsTheRestAndThenTheEnd) {
  auto [a, b] = open_memory_pair({}, {}).value();
  PacketPool pool;
  Batch out, in;
  out.push_back(pool.copy_of(make_frame({})));
  out.push_back(pool.copy_of(make_frame({})));
  EXPECT_EQ(a->write(std::span(out).first(1)), 1U);
  a.reset();
  EXPECT_TRUE(readable(*b));
  EXPECT_FALSE(b->is_up());
  EXPECT_EQ(b->read(pool, Time{}, in), ReadStatus::kClosed);
  EXPECT_EQ(in.size(), 1U);
  EXPECT_EQ(b->write(std::span(out).subspan(1)), 1U);
  EXPECT_EQ(b->counters().drops.value(DropReason::kInterfaceDown), 1U);
}

TEST(Memory, AReadersEmptyPoolIsACountedDropNotAStall) {
  auto [a, b] = open_memory_pair({}, {}).value();
  PacketPool pool, tight({.max_bytes = 1});
  Batch out, in;
  out.push_back(pool.copy_of(make_frame({})));
  EXPECT_EQ(a->write(out), 1U);
  EXPECT_EQ(b->read(tight, Time{}, in), ReadStatus::kOk);
  EXPECT_EQ(b->counters().drops.value(DropReason::kNoPacketBuffer), 1U);
  EXPECT_FALSE(readable(*b));
}

}  // namespace
}  // namespace vtl::iface
