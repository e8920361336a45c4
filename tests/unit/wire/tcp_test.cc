#include "vtl/wire/tcp.h"

#include <gtest/gtest.h>

#include "frames.h"
#include "vtl/wire/checksum.h"

namespace vtl::wire {
namespace {

using test::emitted;
using test::hex;
using test::join;
using test::Octets;

// A SYN as Linux sends it: MSS 1460, SACK permitted, timestamps, window scale 7.
const Octets kSyn =
    hex("9c40 0050 00000001 00000000 a002 ffff 0000 0000"
        "0204 05b4 0402 080a 00000064 00000000 0103 0307");

Octets with_options(std::string_view options) {
  Octets segment = join(hex("9c40 0050 00000001 00000002 0010 ffff 0000 0000"), hex(options));
  segment[12] = static_cast<std::uint8_t>(segment.size() / 4 << 4);
  return segment;
}

TcpFields syn_fields() {
  TcpFields f{Port(40000), Port(80), SeqNum(1), SeqNum(0), {TcpFlags::kSyn}, 65535, 0, {}};
  f.options.mss = 1460;
  f.options.sack_permitted = true;
  f.options.timestamps = TcpTimestamps{100, 0};
  f.options.window_scale = 7;
  return f;
}

TEST(TcpView, ReadsASyn) {
  const auto tcp = TcpView::parse(kSyn);
  ASSERT_TRUE(tcp);
  EXPECT_EQ(tcp->fields(), syn_fields());
  EXPECT_EQ(tcp->header_size(), 40U);
  EXPECT_EQ(tcp->sequence_length(), 1U);
}

TEST(TcpFields, EmitIsWhatLinuxSends) {
  EXPECT_EQ(emitted(syn_fields(), 0xaa), kSyn);
}

TEST(TcpFields, PrintsInOneLine) {
  EXPECT_EQ(to_string(syn_fields()),
            "40000 > 80 [SYN] seq 1 win 65535 <mss 1460, wscale 7, sack-permitted, ts 100 echo 0>");
}

TEST(TcpView, EveryTruncationIsRefused) {
  for (std::size_t size = 0; size < kSyn.size(); ++size) {
    EXPECT_FALSE(TcpView::parse(Bytes(kSyn).first(size))) << size;
  }
}

TEST(TcpView, HeaderLengthBelowTwentyIsRefused) {
  for (int words = 0; words < 5; ++words) {
    Octets segment = kSyn;
    segment[12] = static_cast<std::uint8_t>(words << 4);
    const auto tcp = TcpView::parse(segment);
    ASSERT_FALSE(tcp);
    EXPECT_EQ(tcp.error(), WireError::kBadHeaderLength);
  }
}

TEST(TcpView, MalformedOptionsAreRefused) {
  for (const char* options : {
           "08000000",          // length 0
           "08010000",          // length 1
           "01010108",          // kind without length
           "080a0000",          // longer than the header
           "02030000",          // MSS of three octets
           "03040000",          // window scale of four
           "04030000",          // SACK permitted of three
           "05020000",          // SACK without a block
           "05080000 00000000"  // SACK of six octets
       }) {
    const auto tcp = TcpView::parse(with_options(options));
    ASSERT_FALSE(tcp) << options;
    EXPECT_EQ(tcp.error(), WireError::kBadOption) << options;
  }
}

TEST(TcpView, UnknownOptionsAreSteppedOver) {
  const Octets segment = with_options("fe04abcd 030309 01");
  const auto tcp = TcpView::parse(segment);
  ASSERT_TRUE(tcp);
  EXPECT_EQ(tcp->options().window_scale, 9);
}

TEST(TcpView, NothingBehindEndOfOptionsIsRead) {
  const Octets segment = with_options("00 030300 01010101");
  const auto tcp = TcpView::parse(segment);
  ASSERT_TRUE(tcp);
  EXPECT_EQ(tcp->options(), TcpOptions{});
}

TEST(TcpView, WindowScaleAboveFourteenIsReadAsFourteen) {
  const Octets segment = with_options("0303ff01");
  EXPECT_EQ(TcpView::parse(segment)->options().window_scale, 14);
}

TEST(TcpFields, SackBlocksThatFindNoRoomAreLeftOut) {
  TcpFields f;
  f.options.timestamps = TcpTimestamps{1, 2};
  f.options.sack_count = 4;
  for (std::uint32_t i = 0; i < 4; ++i) f.options.sack[i] = {SeqNum(10 * i), SeqNum(10 * i + 5)};
  EXPECT_EQ(f.size(), TcpView::kMaxSize);
  const Octets bytes = emitted(f);
  const auto tcp = TcpView::parse(bytes);
  ASSERT_TRUE(tcp);
  EXPECT_EQ(tcp->options().sack_count, 3);
  EXPECT_EQ(tcp->options().sack[2], (SackBlock{SeqNum(20), SeqNum(25)}));
}

TEST(TcpView, ChecksumIsVerifiedOverPseudoHeaderAndPayload) {
  const Ipv4Address a(192, 0, 2, 1);
  const Ipv4Address b(198, 51, 100, 2);
  Octets segment = join(kSyn, hex("68656c6c6f"));
  store_be16(segment, TcpView::kChecksumOffset,
             transport_checksum(a, b, IpProtocol::kTcp, segment));
  EXPECT_TRUE(TcpView::parse(segment)->verify_checksum(a, b));
  EXPECT_TRUE(TcpView::parse(segment)->verify_checksum(b, a));
  segment.back() ^= 1;
  EXPECT_FALSE(TcpView::parse(segment)->verify_checksum(a, b));
}

TEST(TcpView, FinAndSynCountInSequenceSpace) {
  TcpFields f;
  f.flags = {TcpFlags::kFin | TcpFlags::kAck};
  const Octets segment = join(emitted(f), hex("616263"));
  EXPECT_EQ(TcpView::parse(segment)->sequence_length(), 4U);
  EXPECT_EQ(TcpView::parse(segment)->payload().size(), 3U);
}

}  // namespace
}  // namespace vtl::wire
