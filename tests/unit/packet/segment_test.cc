#include "vtl/packet/segment.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>

#include "tests/unit/packet/frames.h"
#include "vtl/packet/access.h"
#include "vtl/packet/checksum.h"

namespace vtl {
namespace {

using test::FrameSpec;
using test::make_frame;
using test::Octets;

Packet make_super(PacketPool& pool, const FrameSpec& spec, std::uint16_t segment_size) {
  Packet p = pool.copy_of(make_frame(spec));
  const Layout layout = parse_layout(p.bytes(), true);
  const GsoKind tcp = spec.v6 ? GsoKind::kTcpV6 : GsoKind::kTcpV4;
  p.meta().gso = {.kind = spec.protocol == 6 ? tcp : GsoKind::kUdp,
                  .segment_size = segment_size,
                  .header_length = layout.payload_offset};
  if (!spec.finish) {
    p.meta().checksum = {.kind = ChecksumKind::kPartial,
                         .start = layout.transport_offset,
                         .offset = static_cast<std::uint16_t>(test::checksum_at(spec.protocol))};
  }
  return p;
}

// Independent of the code under test: the pseudo-header and sums by hand.
bool checksums_are_right(const Packet& p) {
  const Layout l = parse_layout(p.bytes(), false);
  const Bytes frame = p.bytes();
  const bool v4 = l.network == NetworkKind::kIpv4;
  if (v4 && test::naive_checksum(frame.subspan(l.network_offset, 20U)) != 0) return false;
  const Bytes addresses = frame.subspan(l.network_offset + (v4 ? 12U : 8U), v4 ? 8 : 32);
  Octets pseudo(addresses.begin(), addresses.end());
  test::append32(pseudo, l.end - l.transport_offset);
  test::append32(pseudo, l.ip_protocol);
  const Bytes covered = frame.subspan(l.transport_offset, l.end - l.transport_offset);
  pseudo.insert(pseudo.end(), covered.begin(), covered.end());
  return test::naive_checksum(pseudo) == 0;
}

RC_GTEST_PROP(Segment, SegmentsConcatenateToThePayloadAndEachVerifies,
              (bool v6, bool udp, bool finished, bool tagged, std::uint64_t seed)) {
  Rng rng(seed);
  PacketPool pool;
  const auto mss = static_cast<std::uint16_t>(100 + rng.below(9000));
  const std::size_t size = std::min<std::size_t>(rng.below(60'000), kMaxSegments * mss);
  FrameSpec spec{.v6 = v6,
                 .protocol = static_cast<std::uint8_t>(udp ? 17 : 6),
                 .seq = static_cast<std::uint32_t>(rng.next()),
                 .flags = 0x99,  // CWR ACK PSH FIN
                 .ip_id = static_cast<std::uint16_t>(rng.next()),
                 .tcp_options = Octets(4 * rng.below(11), 1),
                 .payload = test::pattern(size, seed),
                 .finish = finished};
  if (tagged) spec.vlans = {42};
  const Packet super = make_super(pool, spec, mss);
  Batch out;
  const auto count = segment(super, pool, out);
  RC_ASSERT(count.has_value());
  RC_ASSERT(*count == out.size());
  RC_ASSERT(*count == segment_count(super));
  Octets joined;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const Packet& one = out[i];
    RC_ASSERT(!one.layout().error);
    RC_ASSERT(one.layout().end == one.size());
    RC_ASSERT(one.meta().checksum.kind == ChecksumKind::kComplete);
    RC_ASSERT(!one.meta().gso.is_super());
    RC_ASSERT(checksums_are_right(one));
    RC_ASSERT(verify_checksums(one));
    const Bytes part = payload(one);
    if (i + 1 < out.size()) RC_ASSERT(part.size() == mss);
    if (!udp) {
      RC_ASSERT(tcp_seq(one).value() == spec.seq + static_cast<std::uint32_t>(joined.size()));
      RC_ASSERT(tcp_flags(one).fin() == (i + 1 == out.size()));
      RC_ASSERT(tcp_flags(one).psh() == (i + 1 == out.size()));
      RC_ASSERT(tcp_flags(one).cwr() == (i == 0));
      RC_ASSERT(tcp_flags(one).ack());
    }
    if (!v6) {
      RC_ASSERT(load_be16(one.bytes(), one.layout().network_offset + 4U) ==
                static_cast<std::uint16_t>(spec.ip_id + i));
    }
    joined.insert(joined.end(), part.begin(), part.end());
  }
  RC_ASSERT(joined == spec.payload);
}

TEST(Segment, AnOrdinaryFrameIsCopiedWithItsChecksumFinished) {
  PacketPool pool;
  Packet p = pool.copy_of(make_frame({.payload = test::pattern(99), .finish = false}));
  p.meta().checksum = {.kind = ChecksumKind::kPartial, .start = 34, .offset = 16};
  Batch out;
  ASSERT_EQ(segment(p, pool, out).value(), 1U);
  EXPECT_TRUE(checksums_are_right(out[0]));
}

TEST(Segment, AUdpSuperFrameWithoutChecksumStaysWithout) {
  PacketPool pool;
  FrameSpec spec{.protocol = 17, .payload = test::pattern(3000)};
  Packet p = make_super(pool, spec, 1000);
  store_be16(p.mutable_bytes(), 34 + 6, 0);
  Batch out;
  ASSERT_EQ(segment(p, pool, out).value(), 3U);
  for (const Packet& one : out) EXPECT_EQ(load_be16(one.bytes(), 34 + 6), 0);
}

TEST(Segment, HeadersThatAreNotWhatTheMetadataSaysAreRefused) {
  PacketPool pool;
  Batch out;
  const FrameSpec spec{.payload = test::pattern(3000)};
  Packet p = make_super(pool, spec, 1000);
  p.meta().gso.kind = GsoKind::kTcpV6;
  EXPECT_EQ(segment(p, pool, out).error(), DropReason::kMalformedIp);
  p.meta().gso.kind = GsoKind::kUdp;
  EXPECT_EQ(segment(p, pool, out).error(), DropReason::kMalformedTransport);
  p.meta().gso = {.kind = GsoKind::kTcpV4, .segment_size = 0};
  EXPECT_EQ(segment(p, pool, out).error(), DropReason::kMalformedTransport);
  p.meta().gso.segment_size = 1;
  EXPECT_EQ(segment(p, pool, out).error(), DropReason::kMalformedTransport) << "too many";
  EXPECT_TRUE(out.empty());
}

TEST(Segment, APoolAtItsBoundLeavesTheBatchAsItWas) {
  PacketPool pool, tight({.max_bytes = 10'000});
  const Packet p = make_super(pool, {.payload = test::pattern(20'000)}, 1000);
  Batch out;
  EXPECT_EQ(segment(p, tight, out).error(), DropReason::kNoPacketBuffer);
  EXPECT_TRUE(out.empty());
  EXPECT_EQ(tight.bytes_in_use(), 0U);
}

TEST(SegmentAll, ReplacesSuperFramesInOrderAndCountsWhatItCannotCut) {
  PacketPool pool;
  DropCounters drops;
  Batch batch;
  batch.push_back(pool.copy_of(make_frame({.seq = 1})));
  batch.push_back(make_super(pool, {.seq = 2, .payload = test::pattern(2500)}, 1000));
  batch.push_back(make_super(pool, {.seq = 3, .payload = test::pattern(2500)}, 0));
  batch.push_back(pool.copy_of(make_frame({.seq = 4})));
  segment_all(batch, pool, drops);
  std::vector<std::uint32_t> seqs;
  for (const Packet& p : batch) seqs.push_back(tcp_seq(p).value());
  EXPECT_EQ(seqs, (std::vector<std::uint32_t>{1, 2, 1002, 2002, 4}));
  EXPECT_EQ(drops.value(DropReason::kMalformedTransport), 1U);
}

}  // namespace
}  // namespace vtl
