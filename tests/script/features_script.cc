// What lies beside the sending and recovering of octets: memory, windows that follow the reader,
// ECN, the path's MTU.
#include <gtest/gtest.h>

#include "tests/script/script.h"
#include "vtl/endpoint/connection.h"

namespace vtl::endpoint::script {
namespace {

TEST(Memory, IdleConnectionCostsItsObjectAlone) {
  // The relay of a connection is two of these and an entry of a table: at most 2 KiB in all.
  EXPECT_LE(sizeof(Connection), 768U);
  Script s;
  s.established();
  for (int i = 0; i < 100; ++i) {
    s.send(seg().len(1460)).read_all().swallow();
    s.write(1460).swallow();
    s.send(seg()).swallow();
  }
  EXPECT_EQ(s.endpoint().memory(), sizeof(Endpoint) + sizeof(Connection));
}

}  // namespace
}  // namespace vtl::endpoint::script
