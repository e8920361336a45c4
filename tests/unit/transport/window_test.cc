// The windows of streams: they grow for readers that keep up, and add up to no more than the
// transport's memory.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/transport/pair.h"
#include "vtl/transport/connection.h"

namespace vtl::transport::test {
namespace {

constexpr std::size_t kFirst = Connection::kFirstWindow;

class WindowTest : public PairTest {
 protected:
  void connect_with_memory(std::size_t memory) {
    Options o = listener_options();
    o.memory = memory;
    listener = make(o);
    take_requests(*listener);
    opener = make(opener_options(*listener));
  }
  [[nodiscard]] std::uint64_t windows() const { return listener->counters().window_bytes.value(); }
};

TEST_P(WindowTest, GrowForAReaderThatKeepsUpAndAreGivenBackAtTheEnd) {
  connect_pair();
  End near, far;
  near.to_write = std::uint64_t{40} << 20;
  far.shut_down_after = false;
  open_stream(near, far);
  std::uint64_t largest = 0;
  ASSERT_TRUE(reactor.run_until(
      [&] {
        largest = std::max(largest, windows());
        return far.ended;
      },
      60s));
  EXPECT_GT(largest, 4 * kFirst);
  EXPECT_LE(largest, std::size_t{8} << 20) << "twice the buffer";
  EXPECT_EQ(opener->counters().window_bytes.value(), kFirst) << "nothing came the other way";
  far.shut_down_after = true;
  far.pump();
  ASSERT_TRUE(reactor.run_until(
      [&] { return windows() == 0 && opener->counters().window_bytes.value() == 0; }));

  // The connection carries another stream, which begins with the first window.
  End again, other;
  again.to_write = std::uint64_t{40} << 20;
  other.reading = false;
  open_stream(again, other);
  EXPECT_EQ(windows(), kFirst);
  ASSERT_TRUE(reactor.run_until([&] { return again.written == kFirst; }));
  again.stream->abort(StreamError::kReset);
  other.reading = true;
  other.read_all();
  ASSERT_TRUE(reactor.run_until([&] { return other.reset && windows() == 0; }));
}

TEST_P(WindowTest, AReaderThatStandsStillHoldsUpItsOwnDirectionOnly) {
  connect_pair();
  End near, far;
  near.to_write = far.to_write = std::uint64_t{10} << 20;
  near.reading = false;
  open_stream(near, far);
  far.pump();
  ASSERT_TRUE(reactor.run_until([&] { return far.ended; }, 60s));
  EXPECT_EQ(far.read, near.to_write);
  EXPECT_LE(far.written, kFirst);
  near.reading = true;
  near.read_all();
  ASSERT_TRUE(reactor.run_until([&] { return near.ended; }, 60s));
  EXPECT_EQ(near.read, far.to_write);
  EXPECT_EQ(near.wrong + far.wrong, 0U);
}

TEST_P(WindowTest, AStreamThatFindsNoFirstWindowIsRefusedAndCounted) {
  connect_with_memory(std::size_t{1} << 20);
  End ends[4], far[4];
  for (int i = 0; i < 4; ++i) {
    ends[i].shut_down_after = false;
    open_stream(ends[i], far[i]);
  }
  EXPECT_EQ(windows(), 4 * kFirst);
  End fifth;
  fifth.stream = opener->open(bytes_of("x"), fifth);
  ASSERT_TRUE(reactor.run_until([&] { return fifth.refused.has_value(); }));
  EXPECT_EQ(fifth.refused, StreamError::kLimit);
  EXPECT_EQ(listener->counters().memory_refused.value(), 1U);
  ends[0].stream.reset();
  ASSERT_TRUE(reactor.run_until([&] { return far[0].reset.has_value(); }));
  End sixth, last;
  sixth.shut_down_after = false;
  open_stream(sixth, last);
}

TEST_P(WindowTest, ManyReadersShareTheMemoryAndAllArrives) {
  connect_with_memory(std::size_t{2} << 20);
  constexpr int kStreams = 6;
  End near[kStreams], far[kStreams];
  for (int i = 0; i < kStreams; ++i) {
    near[i].shut_down_after = false;
    near[i].write_seed = far[i].read_seed = static_cast<std::uint64_t>(i);
    open_stream(near[i], far[i]);
  }
  for (End& end : near) {  // the windows of the first must not leave the last without one
    end.to_write = std::uint64_t{6} << 20;
    end.shut_down_after = true;
    end.pump();
  }
  std::uint64_t largest = 0;
  ASSERT_TRUE(reactor.run_until(
      [&] {
        largest = std::max(largest, windows());
        return std::ranges::all_of(far, [](const End& e) { return e.ended; });
      },
      60s));
  EXPECT_LE(largest, std::size_t{2} << 20);
  EXPECT_GT(listener->counters().window_limited.value(), 0U);
  for (const End& end : far) {
    EXPECT_EQ(end.read, std::uint64_t{6} << 20);
    EXPECT_EQ(end.wrong, 0U);
  }
}

TEST_P(WindowTest, ASlowReadersWindowShrinksWhenMemoryIsShort) {
  connect_with_memory(std::size_t{4} << 20);
  End near, slow;
  near.to_write = std::uint64_t{30} << 20;
  open_stream(near, slow);
  ASSERT_TRUE(reactor.run_until([&] { return windows() == std::size_t{2} << 20; }));
  slow.reading = false;
  constexpr int kOthers = 5;
  End others[kOthers], ends[kOthers];
  for (int i = 0; i < kOthers; ++i) {
    others[i].shut_down_after = false;
    open_stream(others[i], ends[i]);
  }
  // Always behind: what it reads is never all there is.
  std::vector<std::uint8_t> block(10'000);
  ASSERT_TRUE(reactor.run_until([&] {
    if (near.written - slow.read < 2 * block.size()) return false;
    const std::size_t n = slow.stream->read(block);
    for (std::size_t i = 0; i < n; ++i)
      if (block[i] != pattern(slow.read_seed, slow.read + i)) ++slow.wrong;
    slow.read += n;
    return windows() <= std::size_t{3} << 20 || slow.read == near.to_write;
  }));
  EXPECT_LE(windows(), std::size_t{3} << 20) << "three quarters";
  EXPECT_LT(slow.read, near.to_write);
  slow.reading = true;
  slow.read_all();
  ASSERT_TRUE(reactor.run_until([&] { return slow.ended; }, 60s));
  EXPECT_EQ(slow.read, near.to_write);
  EXPECT_EQ(slow.wrong, 0U);
}

INSTANTIATE_TEST_SUITE_P(Kinds, WindowTest, ::testing::ValuesIn(kCases), case_name);

}  // namespace
}  // namespace vtl::transport::test
