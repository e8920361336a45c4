#include "vtl/service/icmp_error.h"

#include <gtest/gtest.h>

#include "vtl/packet/access.h"
#include "vtl/service/tcp_frame.h"

namespace vtl::service {
namespace {

/// What is read of the ICMP "packet too big" about a segment of `payload` octets.
std::optional<TcpIcmpError> too_big(std::size_t payload, std::uint16_t mtu, bool v6 = false) {
  static PacketPool pool;
  FramePath path;
  path.key.source = {v6 ? wire::IpAddress(*wire::Ipv6Address::parse("fd00::1"))
                        : wire::IpAddress(wire::Ipv4Address(10, 0, 0, 1)),
                     wire::Port(80)};
  path.key.destination = {v6 ? wire::IpAddress(*wire::Ipv6Address::parse("fd00::2"))
                             : wire::IpAddress(wire::Ipv4Address(10, 0, 0, 2)),
                          wire::Port(4000)};
  path.key.protocol = wire::IpProtocol::kTcp;
  endpoint::OutSegment segment;
  segment.header.source = wire::Port(80);
  segment.header.destination = wire::Port(4000);
  segment.header.seq = wire::SeqNum(77);
  segment.header.flags.bits = wire::TcpFlags::kAck;
  const std::vector<std::uint8_t> octets(payload);
  const Bytes piece(octets);
  segment.payload = {&piece, 1};
  segment.payload_size = payload;
  const Packet frame = make_tcp_frame(pool, path, segment);
  const Packet error = icmp_error_for(frame, IcmpError::kPacketTooBig, mtu);
  if (!error) {
    ADD_FAILURE() << "no error was made";
    return std::nullopt;
  }
  return read_tcp_icmp_error(error);
}

TEST(TcpIcmpError, PacketTooBig_TellsTheMssOfTheLink) {
  const auto error = too_big(1460, 1400);
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->mss, 1360);
  EXPECT_EQ(error->seq, wire::SeqNum(77));
  EXPECT_FALSE(error->hard);
  EXPECT_EQ(too_big(1440, 1400, true)->mss, 1340);
}

TEST(TcpIcmpError, PacketTooBigWithoutAnMtu_TheNextPlateauBelow) {
  EXPECT_EQ(too_big(1460, 0)->mss, 1492 - 40);
  EXPECT_EQ(too_big(1452, 0)->mss, 1006 - 40);
  EXPECT_EQ(too_big(200, 0)->mss, 68 - 40);
}

TEST(TcpIcmpError, PacketTooBigForNoLinkThatIs_MeansNothing) {
  EXPECT_FALSE(too_big(1460, 67).has_value());
  EXPECT_TRUE(too_big(1460, 68).has_value());
  EXPECT_FALSE(too_big(1440, 1279, true).has_value());
  EXPECT_TRUE(too_big(1440, 1280, true).has_value());
  EXPECT_FALSE(too_big(1440, 0, true).has_value());
}

TEST(TcpIcmpError, PacketTooBigForALinkThatWouldHaveCarriedIt_MeansNothing) {
  EXPECT_FALSE(too_big(1460, 1500).has_value());
  EXPECT_TRUE(too_big(1460, 1499).has_value());
}

}  // namespace
}  // namespace vtl::service
