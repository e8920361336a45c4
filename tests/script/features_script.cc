// What lies beside the sending and recovering of octets: memory, windows that follow the reader,
// ECN, the path's MTU.
#include <gtest/gtest.h>

#include "tests/script/script.h"
#include "vtl/endpoint/connection.h"

namespace vtl::endpoint::script {
namespace {

// One octet in every chunk of the offered window is the cheapest way to make a receiver hold much.
TEST(Reassembly, OneOctetInEveryChunk_CostsAFewChunksAndIsCounted) {
  Config config = plain();
  config.offer_window_scale = true;
  config.receive_buffer = std::size_t{1} << 20;
  Script s(config, {.scale = 7, .window = 1000});
  s.established();
  constexpr std::uint32_t kChunk = ChunkPool::kChunk;
  for (std::uint32_t at = 63; at > 0; --at) {
    s.send(seg().seq(1 + at * kChunk / 2).data("x")).swallow();
  }
  EXPECT_LE(s.endpoint().memory(), 4 * kChunk);
  EXPECT_GE(s.endpoint().stats().pieces_forgotten, 30U);
  // Nothing is lost: what was forgotten was never acknowledged, and is taken when it comes again.
  for (std::uint32_t next = 1; next < 40 * kChunk / 2; next += 1000) {
    s.send(seg().seq(next).len(1000)).swallow();
  }
  EXPECT_EQ(s.endpoint().readable(), s.endpoint().stats().bytes_in);
  EXPECT_GE(s.endpoint().readable(), 40U * kChunk / 2);
}

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
