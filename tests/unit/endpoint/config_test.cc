// What endpoints share.
#include <gtest/gtest.h>

#include "vtl/endpoint/connection.h"
#include "vtl/endpoint/endpoint.h"

namespace vtl::endpoint {
namespace {

TEST(SharedConfig, IsBroughtWithinItsRanges) {
  Config config;
  config.mss = 1;
  config.window_scale = 30;
  EXPECT_EQ(SharedConfig(config)->mss, kMinMss);
  EXPECT_EQ(SharedConfig(config)->window_scale, kMaxWindowScale);
  config.receive_buffer = 0;
  EXPECT_EQ(SharedConfig(config)->receive_buffer, 1U);
}

// A window that is less than one unit is none: the peer could never send.
TEST(SharedConfig, ScaleOfASmallBuffer_ItsUnitIsASmallPart) {
  Config config;
  config.window_scale = 14;
  config.receive_buffer = 4000;
  EXPECT_EQ(SharedConfig(config)->window_scale, 9);
  config.receive_buffer_initial = 62;
  EXPECT_EQ(SharedConfig(config)->window_scale, 3);
}

TEST(ConfigCache, EqualConfigsAreOne) {
  ConfigCache cache;
  Config config;
  config.mss = 1;  // equal also where it had to be mended
  const SharedConfig first = cache.share(config);
  EXPECT_EQ(&*first, &*cache.share(config));
  config.offer_timestamps = false;
  EXPECT_NE(&*first, &*cache.share(config));
}

TEST(ConfigCache, MoreThanItRemembers_TheOldestIsMadeAnew) {
  ConfigCache cache;
  Config config;
  const SharedConfig first = cache.share(config);
  for (std::size_t i = 0; i < ConfigCache::kMost; ++i) {
    config.keep_alive_probes = static_cast<std::uint8_t>(20 + i);
    (void)cache.share(config);
  }
  const SharedConfig last = cache.share(config);
  EXPECT_EQ(&*last, &*cache.share(config));
  EXPECT_NE(&*first, &*cache.share(Config{}));
  EXPECT_EQ(first->mss, 1460) << "whoever has it keeps it";
}

}  // namespace
}  // namespace vtl::endpoint
