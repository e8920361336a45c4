// DHCP messages.
#include <gtest/gtest.h>

#include "frames.h"
#include "vtl/wire/dhcpv4.h"

namespace vtl::wire {
namespace {

using test::emitted;
using test::hex;
using test::Octets;

DhcpFields offer() {
  DhcpFields f;
  f.reply = true;
  f.type = DhcpType::kOffer;
  f.transaction = 0x12345678;
  f.seconds = 3;
  f.broadcast = true;
  f.yours = Ipv4Address(10, 64, 0, 2);
  f.next_server = Ipv4Address(10, 64, 0, 1);
  f.hardware = MacAddress({2, 0, 0, 0, 0, 1});
  f.server = Ipv4Address(10, 64, 0, 1);
  f.lease_seconds = 3600;
  f.renewal_seconds = 1800;
  f.rebinding_seconds = 3150;
  f.mask = Ipv4Address(255, 255, 0, 0);
  f.router = Ipv4Address(10, 64, 0, 1);
  f.dns = Ipv4Address(10, 64, 0, 1);
  f.mtu = 1400;
  return f;
}

// The fixed part, and `options` behind it.
Octets message(std::string_view options) {
  DhcpFields f;
  f.transaction = 7;
  Octets out = emitted(f);
  out.resize(DhcpView::kMinSize);
  const Octets tail = hex(options);
  out.insert(out.end(), tail.begin(), tail.end());
  return out;
}

TEST(Dhcp, WhatIsWrittenReadsBack) {
  const Octets bytes = emitted(offer());
  const auto view = DhcpView::parse(bytes);
  ASSERT_TRUE(view);
  EXPECT_EQ(view->fields(), offer());
  EXPECT_EQ(to_string(view->fields()),
            "offer to 02:00:00:00:00:01, transaction 0x12345678, address 10.64.0.2");
}

TEST(Dhcp, MessageIsFilledUp) {
  DhcpFields f;
  f.hardware = MacAddress({2, 0, 0, 0, 0, 1});
  f.requested = Ipv4Address(10, 0, 0, 9);
  const Octets bytes = emitted(f);
  EXPECT_EQ(bytes.size(), 300U);
  EXPECT_EQ(DhcpView::parse(bytes)->fields(), f);
  EXPECT_EQ(to_string(f), "discover from 02:00:00:00:00:01, transaction 0x00000000");
}

TEST(Dhcp, CutAtEveryOctet) {
  const Octets bytes = message("35 01 01 32 04 0a000009 37 03 010306 ff");
  ASSERT_TRUE(DhcpView::parse(bytes));
  for (std::size_t size = 0; size < DhcpView::kMinSize; ++size) {
    EXPECT_EQ(DhcpView::parse(Bytes(bytes).first(size)).error(), WireError::kTruncated);
  }
  // Behind the fixed part an option is whole or it is not; an end is not asked for.
  for (std::size_t size = DhcpView::kMinSize; size < bytes.size(); ++size) {
    const auto view = DhcpView::parse(Bytes(bytes).first(size));
    const std::size_t options = size - DhcpView::kMinSize;
    EXPECT_EQ(view.has_value(), options == 3 || options == 9 || options == 14) << options;
  }
}

TEST(Dhcp, OptionsOfTheWrongLength) {
  for (const char* options : {"35 02 0101 ff", "35 01 01 32 03 0a0000 ff", "35 01 01 03 00 ff",
                              "35 01 01 06 05 0a00000101", "35 01 01 1a 01 05 ff",
                              "35 01 01 36 05 0a00000101 ff", "35 01 01 0c ff 61"}) {
    EXPECT_EQ(DhcpView::parse(message(options)).error(), WireError::kBadOption) << options;
  }
}

TEST(Dhcp, TheFirstOfAnOptionCounts) {
  const Octets bytes = message("00 00 35 01 03 35 01 01 0c 00 06 08 0a000001 0a000002");
  const auto view = DhcpView::parse(bytes);
  ASSERT_TRUE(view);
  EXPECT_EQ(view->fields().type, DhcpType::kRequest);
  EXPECT_EQ(view->fields().dns, Ipv4Address(10, 0, 0, 1));
  EXPECT_EQ(view->option(DhcpOption::kDnsServer)->size(), 8U);
  EXPECT_FALSE(view->option(DhcpOption::kClientId));
}

TEST(Dhcp, WhatIsNotRead) {
  EXPECT_EQ(DhcpView::parse(message("ff")).error(), WireError::kUnsupported) << "BOOTP";
  EXPECT_EQ(DhcpView::parse(message("35 01 09 ff")).error(), WireError::kUnsupported);
  Octets bytes = emitted(offer());
  for (const std::size_t at : {0U, 1U, 2U, 236U}) {  // op, hardware type and length, cookie
    Octets other = bytes;
    other[at] = 9;
    EXPECT_EQ(DhcpView::parse(other).error(), WireError::kUnsupported) << at;
  }
}

}  // namespace
}  // namespace vtl::wire
