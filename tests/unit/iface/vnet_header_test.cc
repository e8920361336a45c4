#include "vtl/iface/vnet_header.h"

#include <gtest/gtest.h>

#include "tests/unit/packet/frames.h"
#include "vtl/packet/checksum.h"

namespace vtl::iface {
namespace {

using test::make_frame;

TEST(VnetHeader, ASuperFrameKeepsItsMetadataBothWays) {
  PacketPool pool;
  for (const bool v6 : {false, true}) {
    Packet p = pool.copy_of(make_frame({.v6 = v6, .payload = test::pattern(4000)}));
    const std::uint16_t transport = p.layout().transport_offset;
    const VnetHeader header{
        .flags = VnetHeader::kNeedsChecksum,
        .gso_type = static_cast<std::uint8_t>((v6 ? VnetHeader::kGsoTcpV6 : VnetHeader::kGsoTcpV4) |
                                              VnetHeader::kGsoEcn),
        .header_length = 0,
        .gso_size = 1448,
        .checksum_start = transport,
        .checksum_offset = 16};
    ASSERT_TRUE(read_vnet_header(header, 0, p));
    EXPECT_EQ(p.meta().gso.kind, v6 ? GsoKind::kTcpV6 : GsoKind::kTcpV4);
    EXPECT_TRUE(p.meta().gso.ecn);
    EXPECT_EQ(p.meta().gso.header_length, p.layout().payload_offset) << "the fallback for 0";
    const VnetHeader again = make_vnet_header(p);
    EXPECT_EQ(again.flags, header.flags);
    EXPECT_EQ(again.gso_type, header.gso_type);
    EXPECT_EQ(again.gso_size, 1448);
    EXPECT_EQ(again.checksum_start, transport);
    EXPECT_EQ(again.header_length, transport + 20);
  }
}

TEST(VnetHeader, OffsetsShiftWithARestoredTag) {
  PacketPool pool;
  Packet p = pool.copy_of(make_frame({.vlans = {7}, .payload = test::pattern(100)}));
  const VnetHeader header{
      .flags = VnetHeader::kNeedsChecksum, .checksum_start = 34, .checksum_offset = 16};
  ASSERT_TRUE(read_vnet_header(header, 4, p));
  EXPECT_EQ(p.meta().checksum.start, p.layout().transport_offset);
}

TEST(VnetHeader, DataValidMeansVerified) {
  PacketPool pool;
  Packet p = pool.copy_of(make_frame({}));
  ASSERT_TRUE(read_vnet_header({.flags = VnetHeader::kDataValid}, 0, p));
  EXPECT_EQ(p.meta().checksum.kind, ChecksumKind::kVerified);
  EXPECT_EQ(make_vnet_header(p).flags, 0);
}

TEST(VnetHeader, LiesAreRefused) {
  PacketPool pool;
  const auto frame = make_frame({.payload = test::pattern(100)});
  const auto accepted = [&](const VnetHeader& header) {
    Packet p = pool.copy_of(frame);
    return read_vnet_header(header, 0, p);
  };
  EXPECT_FALSE(accepted({.flags = VnetHeader::kNeedsChecksum, .checksum_start = 65535}));
  EXPECT_FALSE(accepted(
      {.flags = VnetHeader::kNeedsChecksum, .checksum_start = 34, .checksum_offset = 65535}));
  EXPECT_FALSE(accepted({.gso_type = 3, .gso_size = 100})) << "UDP fragmentation: never asked for";
  EXPECT_FALSE(accepted({.gso_type = VnetHeader::kGsoTcpV4, .gso_size = 0}));
}

TEST(VnetHeader, ASuperFrameWithAWholeChecksumIsMadePartial) {
  PacketPool pool;
  Packet p = pool.copy_of(make_frame({.payload = test::pattern(3000)}));
  p.meta().gso = {.kind = GsoKind::kTcpV4, .segment_size = 1000};
  ASSERT_TRUE(prepare_super_frame(p));
  EXPECT_EQ(p.meta().gso.header_length, 54);
  EXPECT_EQ(make_vnet_header(p).flags, VnetHeader::kNeedsChecksum);
  EXPECT_EQ(make_vnet_header(p).checksum_start, 34);
}

}  // namespace
}  // namespace vtl::iface
