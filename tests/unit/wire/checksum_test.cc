#include "vtl/wire/checksum.h"

#include <gtest/gtest.h>

#include <numeric>

#include "frames.h"
#include "vtl/base/rng.h"

namespace vtl::wire {
namespace {

using test::hex;
using test::Octets;

// RFC 1071 section 1 word by word: slow and plainly right.
std::uint16_t reference(Bytes bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    sum += i % 2 == 0 ? static_cast<std::uint32_t>(bytes[i]) << 8 : bytes[i];
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return static_cast<std::uint16_t>(~sum);
}

TEST(Checksum, ExampleOfRfc1071) {
  EXPECT_EQ(checksum(hex("0001 f203 f4f5 f6f7")), static_cast<std::uint16_t>(~0xddf2));
}

TEST(Checksum, EmptyIsAllOnes) {
  EXPECT_EQ(checksum({}), 0xffff);
}

TEST(Checksum, EqualsReferenceForEveryLengthAndAlignment) {
  Rng rng(1);
  Octets bytes(600);
  for (auto& b : bytes) b = static_cast<std::uint8_t>(rng.next());
  for (std::size_t start = 0; start < 9; ++start) {
    for (std::size_t size = 0; size + start <= 300; ++size) {
      const Bytes part = Bytes(bytes).subspan(start, size);
      ASSERT_EQ(checksum(part), reference(part)) << start << " " << size;
    }
  }
}

TEST(Checksum, AllOnesOfEveryLengthDoNotOverflow) {
  const Octets bytes(65535, 0xff);
  for (const std::size_t size : {2UL, 8UL, 32UL, 64UL, 1500UL, 65534UL, 65535UL}) {
    const Bytes part = Bytes(bytes).first(size);
    EXPECT_EQ(checksum(part), reference(part)) << size;
  }
}

TEST(Checksum, BlocksAddUpAtEvenOffsets) {
  Octets bytes(101);
  std::iota(bytes.begin(), bytes.end(), 7);
  ChecksumSum sum;
  sum.add(Bytes(bytes).first(38));
  sum.add(Bytes(bytes).subspan(38));
  EXPECT_EQ(sum.checksum(), checksum(bytes));
}

TEST(Checksum, PseudoHeaderEqualsItsBytes) {
  const Ipv4Address a(192, 0, 2, 1);
  const Ipv4Address b(198, 51, 100, 2);
  EXPECT_EQ(pseudo_header_sum(a, b, IpProtocol::kTcp, 20).checksum(),
            checksum(hex("c0000201 c6336402 0006 0014")));
  const Ipv6Address c = *Ipv6Address::parse("2001:db8::1");
  const Ipv6Address d = *Ipv6Address::parse("2001:db8::2");
  EXPECT_EQ(pseudo_header_sum(c, d, IpProtocol::kUdp, 70000).checksum(),
            checksum(hex("20010db8000000000000000000000001 20010db8000000000000000000000002"
                         "00011170 00000011")));
}

TEST(Checksum, UdpChecksumOfZeroBecomesAllOnes) {
  // A datagram made so that its sum is 0xffff and the checksum 0.
  const Ipv4Address zero(0);
  Octets datagram = hex("0000 0000 0008 0000");
  // Pseudo-header and header sum to 0x11 + 8 + 8; the source port makes it 0xffff.
  store_be16(datagram, 0, 0xffff - 0x11 - 8 - 8);
  EXPECT_EQ(transport_checksum(zero, zero, IpProtocol::kUdp, datagram), 0xffff);
  EXPECT_EQ(transport_checksum(zero, zero, IpProtocol::kTcp, datagram),
            0x11 - 6);  // the same without UDP's number and without its rule
}

TEST(Checksum, UpdateFollowsRfc1624Example) {
  // RFC 1624 section 4: HC = 0xdd2f, m = 0x5555, m' = 0x3285 gives 0x0000.
  EXPECT_EQ(checksum_update(0xdd2f, 0x5555, 0x3285), 0x0000);
}

TEST(Checksum, UpdateOf32BitsEqualsTwoOf16) {
  const std::uint16_t before = 0x1234;
  EXPECT_EQ(checksum_update32(before, 0xdeadbeef, 0x00010002),
            checksum_update(checksum_update(before, 0xdead, 0x0001), 0xbeef, 0x0002));
}

}  // namespace
}  // namespace vtl::wire
