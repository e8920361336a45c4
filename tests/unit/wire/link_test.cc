// Ethernet and ARP.
#include <gtest/gtest.h>

#include "frames.h"
#include "vtl/wire/arp.h"
#include "vtl/wire/ethernet.h"

namespace vtl::wire {
namespace {

using test::emitted;
using test::hex;
using test::Octets;

const Octets kQinQ =
    hex("020000000002 020000000001 88a8 3064 8100 b007 0800"
        "ffff");

TEST(EthernetView, ReadsUntagged) {
  const Octets frame = hex("ffffffffffff 020000000001 0806 0102");
  const auto ethernet = EthernetView::parse(frame);
  ASSERT_TRUE(ethernet);
  EXPECT_TRUE(ethernet->destination().is_broadcast());
  EXPECT_EQ(to_string(ethernet->source()), "02:00:00:00:00:01");
  EXPECT_EQ(ethernet->ether_type(), EtherType::kArp);
  EXPECT_EQ(ethernet->vlan(), 0);
  EXPECT_EQ(ethernet->payload().size(), 2U);
}

TEST(EthernetView, ReadsTwoTags) {
  const auto ethernet = EthernetView::parse(kQinQ);
  ASSERT_TRUE(ethernet);
  ASSERT_EQ(ethernet->tag_count(), 2U);
  EXPECT_EQ(ethernet->tag(0), (VlanTag{EtherType::kQinQ, 1, true, 0x064}));
  EXPECT_EQ(ethernet->tag(1), (VlanTag{EtherType::kVlan, 5, true, 7}));
  EXPECT_EQ(ethernet->vlan(), 0x64);
  EXPECT_EQ(ethernet->ether_type(), EtherType::kIpv4);
  EXPECT_EQ(ethernet->header_size(), 22U);
  EXPECT_EQ(emitted(ethernet->fields(), 0xaa), Octets(kQinQ.begin(), kQinQ.end() - 2));
  EXPECT_EQ(to_string(ethernet->fields()),
            "02:00:00:00:00:01 > 02:00:00:00:00:02 s-vlan 100 pcp 1 vlan 7 pcp 5 IPv4");
}

TEST(EthernetView, EveryTruncationIsRefused) {
  for (std::size_t size = 0; size < 22; ++size) {
    const auto ethernet = EthernetView::parse(Bytes(kQinQ).first(size));
    ASSERT_FALSE(ethernet) << size;
    EXPECT_EQ(ethernet.error(), WireError::kTruncated);
  }
  EXPECT_TRUE(EthernetView::parse(Bytes(kQinQ).first(22)));
}

TEST(EthernetView, ThirdTagIsRefused) {
  const Octets frame = hex("020000000002 020000000001 8100 0001 8100 0002 8100 0003 0800");
  EXPECT_EQ(EthernetView::parse(frame).error(), WireError::kTooManyHeaders);
}

const Octets kArp = hex("0001 0800 06 04 0002 020000000001 c0000201 020000000002 c0000202");

TEST(ArpView, ReadsAReplyAndPassesOverPadding) {
  const Octets padded = test::join(kArp, Octets(18));
  const auto arp = ArpView::parse(padded);
  ASSERT_TRUE(arp);
  EXPECT_EQ(arp->operation(), ArpOperation::kReply);
  EXPECT_EQ(to_string(arp->fields()), "192.0.2.1 is-at 02:00:00:00:00:01");
  EXPECT_EQ(emitted(arp->fields(), 0xaa), kArp);
}

TEST(ArpView, EveryTruncationIsRefused) {
  for (std::size_t size = 0; size < kArp.size(); ++size) {
    EXPECT_EQ(ArpView::parse(Bytes(kArp).first(size)).error(), WireError::kTruncated) << size;
  }
}

TEST(ArpView, OtherHardwareProtocolOrLengthsAreRefused) {
  const std::pair<std::size_t, WireError> cases[] = {{1, WireError::kUnsupported},
                                                     {2, WireError::kUnsupported},
                                                     {4, WireError::kBadLength},
                                                     {5, WireError::kBadLength}};
  for (const auto& [at, error] : cases) {
    Octets message = kArp;
    ++message[at];
    EXPECT_EQ(ArpView::parse(message).error(), error) << at;
  }
}

}  // namespace
}  // namespace vtl::wire
