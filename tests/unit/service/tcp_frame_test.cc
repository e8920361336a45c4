#include "vtl/service/tcp_frame.h"

#include <gtest/gtest.h>

#include <array>

#include "tests/support/virtual_hosts.h"
#include "tests/support/virtual_reactor.h"

namespace vtl::service {
namespace {

// What a segment becomes: put together, in pieces where the link takes them, and put together after
// the link has refused the pieces.
class EmitTcpFrameTest : public ::testing::Test {
 protected:
  Packet emitted(FramePath& path, const endpoint::OutSegment& segment, bool gathers) {
    context_.gathers_next = gathers;
    EXPECT_TRUE(emit_tcp_frame(context_, engine::Direction::kInbound, path, segment));
    Batch& out = context_.emitted[static_cast<std::size_t>(engine::Direction::kInbound)];
    EXPECT_EQ(out.size(), 1U);
    Packet packet = std::move(out.front());
    out.clear();
    return packet;
  }

  static endpoint::OutSegment segment_of(std::span<const Bytes> payload) {
    endpoint::OutSegment segment;
    segment.payload = payload;
    for (const Bytes piece : payload) segment.payload_size += piece.size();
    segment.segment_size = 1448;
    return segment;
  }
  static FramePath make_path(bool v6) {
    FramePath path;
    path.key.source = *wire::SocketAddress::parse(v6 ? "[fd00::1]:80" : "10.0.0.1:80");
    path.key.destination = *wire::SocketAddress::parse(v6 ? "[fd00::2]:8080" : "10.0.0.2:8080");
    return path;
  }

  test::VirtualReactor reactor_;
  PacketPool pool_;
  test::TestContext context_{reactor_, pool_};
};

TEST_F(EmitTcpFrameTest, PiecesAreTheFrame) {
  std::vector<std::uint8_t> octets(40'000);
  for (std::size_t i = 0; i < octets.size(); ++i) octets[i] = static_cast<std::uint8_t>(i * 7);
  const std::array<Bytes, 3> payload{Bytes(octets).first(11), Bytes(octets).subspan(11, 20'000),
                                     Bytes(octets).subspan(20'011)};
  for (const bool v6 : {false, true}) {
    for (const bool tagged : {false, true}) {
      for (const bool cwr : {false, true}) {
        endpoint::OutSegment segment = segment_of(payload);
        segment.header.flags.bits =
            static_cast<std::uint8_t>(wire::TcpFlags::kAck | (cwr ? wire::TcpFlags::kCwr : 0));
        segment.header.options.timestamps = wire::TcpTimestamps{1, 2};
        FramePath whole_path = make_path(v6);
        whole_path.source_mac = test::kClientMac;
        whole_path.destination_mac = test::kServerMac;
        whole_path.key.vlan = tagged ? 7 : 0;
        whole_path.ip_id = 1000;
        FramePath pieces_path = whole_path;

        const Packet whole = emitted(whole_path, segment, false);
        EXPECT_EQ(std::exchange(context_.gathered, 0), 0U);
        const Packet pieces = emitted(pieces_path, segment, true);
        EXPECT_EQ(std::exchange(context_.gathered, 0), 1U);

        EXPECT_TRUE(std::ranges::equal(whole.bytes(), pieces.bytes()));
        EXPECT_EQ(whole_path.ip_id, pieces_path.ip_id);
        EXPECT_TRUE(pieces.meta().played);
        EXPECT_EQ(pieces.meta().checksum.start, whole.meta().checksum.start);
        EXPECT_EQ(pieces.meta().gso.header_length, whole.meta().gso.header_length);
        EXPECT_EQ(pieces.meta().gso.segment_size, 1448);
        EXPECT_EQ(pieces.meta().gso.ecn, cwr);
        EXPECT_EQ(pieces.meta().gso.kind, v6 ? GsoKind::kTcpV6 : GsoKind::kTcpV4);
      }
    }
  }
}

TEST_F(EmitTcpFrameTest, RefusedPiecesBecomeTheFrameThatWouldHaveGone) {
  const std::vector<std::uint8_t> octets(3000, 'x');
  const std::array<Bytes, 1> payload{Bytes(octets)};
  const endpoint::OutSegment segment = segment_of(payload);
  FramePath path = make_path(false);
  path.ip_id = 7;
  FramePath refused_path = path;
  const Packet whole = emitted(path, segment, false);
  context_.refuses_pieces = true;
  const Packet refused = emitted(refused_path, segment, true);
  EXPECT_EQ(context_.refused_pieces, 1U);
  EXPECT_EQ(context_.gathered, 0U);
  EXPECT_TRUE(std::ranges::equal(whole.bytes(), refused.bytes()));
  EXPECT_EQ(path.ip_id, 10) << "three segments";
  EXPECT_EQ(refused_path.ip_id, 10);
}

TEST_F(EmitTcpFrameTest, WhatIsNoSuperFrameIsPutTogether) {
  const std::vector<std::uint8_t> octets(1448, 'x');
  const std::array<Bytes, 1> payload{Bytes(octets)};
  FramePath path = make_path(false);
  const Packet packet = emitted(path, segment_of(payload), true);
  EXPECT_EQ(context_.gathered, 0U);
  EXPECT_FALSE(packet.meta().gso.is_super());
}

}  // namespace
}  // namespace vtl::service
