// Addresses of this host, as the kernel knows them.
#include "vtl/transport/local_addresses.h"

#include <gtest/gtest.h>

namespace vtl::transport {
namespace {

using wire::IpAddress;

TEST(LocalAddresses, LoopbackIsThisHost_TheInternetIsNot) {
  LocalAddresses addresses;
  for (int round = 0; round < 3; ++round) {
    for (const char* text : {"127.0.0.1", "127.9.9.9"}) {
      EXPECT_TRUE(addresses.contains(*IpAddress::parse(text))) << text;
    }
    // Documentation: nobody's, whether there is a way out or not.
    for (const char* text : {"192.0.2.77", "203.0.113.1", "2001:db8::77"}) {
      EXPECT_FALSE(addresses.contains(*IpAddress::parse(text))) << text;
    }
  }
}

}  // namespace
}  // namespace vtl::transport
