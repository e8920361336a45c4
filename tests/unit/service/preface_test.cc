#include "vtl/service/gateway/preface.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "vtl/base/rng.h"

namespace vtl::service {
namespace {

Preface sample(bool v6) {
  Preface p;
  p.key.source = *wire::SocketAddress::parse(v6 ? "[2001:db8::1]:40000" : "192.0.2.1:40000");
  p.key.destination = *wire::SocketAddress::parse(v6 ? "[2001:db8::2]:443" : "198.51.100.2:443");
  p.key.vlan = 7;
  p.client_mac = wire::MacAddress({2, 0, 0, 0, 0, 1});
  p.next_hop_mac = wire::MacAddress({2, 0, 0, 0, 0, 2});
  p.options.mss = 1460;
  p.options.window_scale = 7;
  p.options.timestamps = wire::TcpTimestamps{};
  p.options.sack_permitted = true;
  p.dscp = 46;
  return p;
}

std::vector<std::uint8_t> bytes_of(const Preface& p) {
  std::vector<std::uint8_t> out(p.size(), 0xa5);
  p.emit(out);
  return out;
}

TEST(Preface, WhatIsWrittenIsRead) {
  for (const bool v6 : {false, true}) {
    for (int options = 0; options < 16; ++options) {
      Preface p = sample(v6);
      if ((options & 1) == 0) p.options.mss.reset();
      if ((options & 2) == 0) p.options.window_scale.reset();
      if ((options & 4) == 0) p.options.timestamps.reset();
      p.options.sack_permitted = (options & 8) != 0;
      const auto read = Preface::parse(bytes_of(p));
      ASSERT_TRUE(read.has_value());
      EXPECT_EQ(*read, p);
    }
  }
}

TEST(Preface, CutAnywhereOrTooLongIsRefused) {
  for (const bool v6 : {false, true}) {
    auto bytes = bytes_of(sample(v6));
    for (std::size_t n = 0; n < bytes.size(); ++n) {
      EXPECT_FALSE(Preface::parse(Bytes{bytes.data(), n})) << n;
    }
    bytes.push_back(0);
    EXPECT_EQ(Preface::parse(bytes).error(), wire::WireError::kBadLength);
  }
}

TEST(Preface, ValuesThatNoSynCanHaveAreRefused) {
  const auto with = [](std::size_t at, std::uint8_t value) {
    auto bytes = bytes_of(sample(false));
    bytes[at] = value;
    return Preface::parse(bytes);
  };
  EXPECT_EQ(with(0, 2).error(), wire::WireError::kBadVersion);
  EXPECT_EQ(with(1, 0x1e).error(), wire::WireError::kUnsupported) << "unknown flag";
  EXPECT_EQ(with(2, 0x0f).has_value(), true);
  EXPECT_EQ(with(2, 0x10).error(), wire::WireError::kUnsupported) << "VLAN above 4094";
  EXPECT_EQ(with(6, 15).error(), wire::WireError::kBadOption) << "window scale above 14";
  EXPECT_EQ(with(7, 64).error(), wire::WireError::kUnsupported) << "DSCP above 63";
  EXPECT_EQ(with(8, 0x01).error(), wire::WireError::kUnsupported) << "group MAC as client";
}

TEST(Preface, BelongsToTheWorkerThatSeesTheGuestsFrames) {
  for (std::uint16_t port = 40000; port < 40100; ++port) {
    Preface p = sample(port % 2 == 0);
    p.key.source.port = wire::Port(port);
    EXPECT_EQ(worker_of_preface(bytes_of(p), 4), wire::symmetric_hash(p.key.reversed()) % 4);
  }
  EXPECT_EQ(worker_of_preface({}, 4), 0U);
}

TEST(Preface, ArbitraryBytesAreReadOrRefusedAndWhatIsReadIsWrittenBack) {
  Rng rng(11);
  int read = 0;
  for (int i = 0; i < 200000; ++i) {
    auto bytes = bytes_of(sample(rng.chance(0.5)));
    for (std::uint64_t k = rng.below(4) + 1; k > 0; --k) {
      bytes[rng.below(bytes.size())] = static_cast<std::uint8_t>(rng.next());
    }
    const auto p = Preface::parse(bytes);
    if (!p) continue;
    ++read;
    ASSERT_EQ(bytes_of(*p), bytes);
  }
  EXPECT_GT(read, 1000);
}

}  // namespace
}  // namespace vtl::service
