#include "vtl/base/siphash.h"

#include <gtest/gtest.h>

#include <vector>

namespace vtl {
namespace {

SipKey counting_key() {
  SipKey key;
  for (std::size_t i = 0; i < key.size(); ++i) key[i] = static_cast<std::uint8_t>(i);
  return key;
}

// Key 00 01 .. 0f, input 00 01 .. of each length: the paper's appendix A (15 octets), and the
// vectors published with it.
TEST(SipHash, MatchesThePublishedVectors) {
  std::vector<std::uint8_t> input;
  for (std::uint8_t i = 0; i < 15; ++i) input.push_back(i);
  EXPECT_EQ(siphash(counting_key(), {}), 0x726fdb47dd0e0e31ULL);
  EXPECT_EQ(siphash(counting_key(), Bytes(input).first(1)), 0x74f839c593dc67fdULL);
  EXPECT_EQ(siphash(counting_key(), Bytes(input).first(8)), 0x93f5f5799a932462ULL);
  EXPECT_EQ(siphash(counting_key(), input), 0xa129ca6149be45e5ULL);
}

TEST(SipHash, AnotherKeyIsAnotherHash) {
  SipKey other = counting_key();
  other[15] ^= 1;
  EXPECT_NE(siphash(counting_key(), {}), siphash(other, {}));
}

}  // namespace
}  // namespace vtl
