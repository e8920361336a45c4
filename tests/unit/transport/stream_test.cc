#include <gtest/gtest.h>

#include "tests/support/sanitizer.h"
#include "tests/unit/transport/pair.h"
#include "vtl/transport/connection.h"

namespace vtl::transport::test {
namespace {

// libudt under ThreadSanitizer is many times slower: the same, with less of it.
using vtl::test::kThreadSanitizer;

using StreamTest = PairTest;

TEST_P(StreamTest, OpenCarriesThePrefaceAndAcceptReachesTheOpener) {
  connect_pair();
  End near, far;
  near.stream = opener->open(bytes_of("to 192.0.2.1:80"), near);
  EXPECT_EQ(near.opened, 0);
  ASSERT_TRUE(reactor.run_until([&] { return !requests.empty(); }));
  EXPECT_EQ(text_of(requests[0]->preface()), "to 192.0.2.1:80");
  EXPECT_EQ(near.opened, 0);
  far.stream = requests[0]->accept(far);
  ASSERT_TRUE(reactor.run_until([&] { return near.opened == 1; }));
  EXPECT_EQ(opener->counters().opened.value(), 1U);
  EXPECT_EQ(listener->counters().accepted.value(), 1U);
  EXPECT_TRUE(opener->peer_up());
}

TEST_P(StreamTest, EveryReasonOfARefusalReachesTheOpener) {
  connect_pair();
  for (const auto reason :
       {StreamError::kRefused, StreamError::kHostUnreachable, StreamError::kNetworkUnreachable,
        StreamError::kTimedOut, StreamError::kLimit}) {
    End near;
    const std::size_t before = requests.size();
    near.stream = opener->open(bytes_of("x"), near);
    ASSERT_TRUE(reactor.run_until([&] { return requests.size() > before; }));
    requests.back()->refuse(reason);
    ASSERT_TRUE(reactor.run_until([&] { return near.refused.has_value(); }));
    EXPECT_EQ(near.refused, reason);
    EXPECT_EQ(near.opened, 0);
  }
}

TEST_P(StreamTest, ARequestThatIsDroppedIsRefusedWithLimit) {
  connect_pair();
  End near;
  near.stream = opener->open(bytes_of("x"), near);
  ASSERT_TRUE(reactor.run_until([&] { return !requests.empty(); }));
  requests.clear();
  ASSERT_TRUE(reactor.run_until([&] { return near.refused.has_value(); }));
  EXPECT_EQ(near.refused, StreamError::kLimit);
}

TEST_P(StreamTest, MegabytesBothWaysAtOnceArriveUnchanged) {
  connect_pair();
  End near, far;
  near.to_write = std::uint64_t{kThreadSanitizer ? 6 : 24} << 20;
  far.to_write = std::uint64_t{kThreadSanitizer ? 5 : 20} << 20;
  near.write_seed = far.read_seed = 7;
  far.write_seed = near.read_seed = 8;
  open_stream(near, far);
  far.pump();
  ASSERT_TRUE(reactor.run_until([&] { return near.ended && far.ended; }, 60s))
      << near.read << " " << far.read;
  EXPECT_EQ(far.read, near.to_write);
  EXPECT_EQ(near.read, far.to_write);
  EXPECT_EQ(far.wrong + near.wrong, 0U);
  EXPECT_EQ(opener->counters().bytes_out.value(), near.to_write);
  EXPECT_EQ(opener->counters().bytes_in.value(), far.to_write);
}

TEST_P(StreamTest, SmallWritesOfManySizesArriveUnchanged) {
  connect_pair();
  for (const std::size_t chunk : {std::size_t{1}, std::size_t{7}, std::size_t{1452},
                                  std::size_t{1456}, std::size_t{4096}, std::size_t{300000}}) {
    End near, far;
    near.chunk = chunk;
    near.to_write = std::min<std::uint64_t>(chunk * 1000, 3'000'000);
    open_stream(near, far);
    far.pump();
    ASSERT_TRUE(reactor.run_until([&] { return near.ended && far.ended; })) << chunk;
    EXPECT_EQ(far.read, near.to_write) << chunk;
    EXPECT_EQ(far.wrong, 0U) << chunk;
  }
}

TEST_P(StreamTest, TheOpenerShutsDownAndStillReads) {
  connect_pair();
  End near, far;
  near.to_write = 100;
  far.shut_down_after = false;
  open_stream(near, far);
  ASSERT_TRUE(reactor.run_until([&] { return far.ended; }));
  EXPECT_FALSE(near.ended);
  far.to_write = 200'000;
  far.shut_down_after = true;
  far.pump();
  ASSERT_TRUE(reactor.run_until([&] { return near.ended; }));
  EXPECT_EQ(near.read, 200'000U);
  EXPECT_EQ(near.wrong + far.wrong, 0U);
}

TEST_P(StreamTest, TheAcceptorShutsDownAndStillReads) {
  connect_pair();
  End near, far;
  near.shut_down_after = false;
  far.to_write = 100;
  open_stream(near, far);
  far.pump();
  ASSERT_TRUE(reactor.run_until([&] { return near.ended; }));
  EXPECT_FALSE(far.ended);
  near.to_write = 200'000;
  near.shut_down_after = true;
  near.pump();
  ASSERT_TRUE(reactor.run_until([&] { return far.ended; }));
  EXPECT_EQ(far.read, 200'000U);
}

TEST_P(StreamTest, AnEndThatIsNotReadYetDoesNotSpoilTheNextStream) {
  connect_pair();
  End near, far;
  near.to_write = 200'000;
  far.reading = false;
  open_stream(near, far);
  far.pump();  // nothing, and the end
  ASSERT_TRUE(
      reactor.run_until([&] { return near.ended && near.shut && near.stream->unsent() == 0; }));
  reactor.run_for(200ms);
  EXPECT_GT(opener->counters().window_bytes.value(), 0U) << "free, and the far side still reads";

  End again, other;
  again.to_write = 200'000;
  again.write_seed = other.read_seed = 2;
  open_stream(again, other);
  other.pump();
  ASSERT_TRUE(reactor.run_until([&] { return other.ended && again.ended; }));
  EXPECT_EQ(other.read, again.to_write);
  EXPECT_FALSE(far.reset);
  far.reading = true;
  far.read_all();
  EXPECT_TRUE(far.ended);
  EXPECT_EQ(far.read, near.to_write);
  EXPECT_EQ(far.wrong + other.wrong, 0U);
  ASSERT_TRUE(reactor.run_until([&] { return opener->counters().window_bytes.value() == 0; }));
}

TEST_P(StreamTest, ASlowReaderHoldsTheWriterWithinTheBuffers) {
  connect_pair();
  End near, far;
  near.to_write = std::uint64_t{64} << 20;
  far.reading = false;
  far.shut_down_after = false;
  open_stream(near, far);
  std::uint64_t seen = 0;
  ASSERT_TRUE(reactor.run_until([&] {  // until the writer stands still
    const std::uint64_t before = near.written;
    reactor.run_for(200ms);
    seen = near.written;
    return near.written == before && before > 0;
  }));
  EXPECT_EQ(seen, Connection::kFirstWindow);
  EXPECT_EQ(far.readable_events, 1);
  far.reading = true;
  far.read_all();
  ASSERT_TRUE(reactor.run_until([&] { return far.ended; }, 60s));
  EXPECT_EQ(far.read, near.to_write);
  EXPECT_EQ(far.wrong, 0U);
}

TEST_P(StreamTest, AnAbortReachesTheOtherSideWithItsReason) {
  connect_pair();
  for (const auto reason : {StreamError::kReset, StreamError::kTimedOut}) {
    End near, far;
    near.shut_down_after = far.shut_down_after = false;
    near.to_write = 1000;
    open_stream(near, far);
    ASSERT_TRUE(reactor.run_until([&] { return far.read == 1000; }));
    far.stream->abort(reason);
    ASSERT_TRUE(reactor.run_until([&] { return near.reset.has_value(); }));
    EXPECT_EQ(near.reset, reason);
    EXPECT_FALSE(far.reset);
  }
}

TEST_P(StreamTest, AnAbortInTheMiddleOfATransferEndsIt) {
  connect_pair();
  End near, far;
  near.to_write = std::uint64_t{1} << 30;
  open_stream(near, far);
  ASSERT_TRUE(reactor.run_until([&] { return far.read > 1'000'000; }));
  near.stream->abort(StreamError::kReset);
  near.stream.reset();
  ASSERT_TRUE(reactor.run_until([&] { return far.reset.has_value(); }, 30s));
  EXPECT_EQ(far.wrong, 0U);
}

TEST_P(StreamTest, DestroyingAnOpenStreamIsAReset) {
  connect_pair();
  End near, far;
  near.shut_down_after = far.shut_down_after = false;
  open_stream(near, far);
  near.stream.reset();
  ASSERT_TRUE(reactor.run_until([&] { return far.reset.has_value(); }));
  EXPECT_EQ(far.reset, StreamError::kReset);
}

TEST_P(StreamTest, AnOpenerThatGivesUpCancelsTheRequest) {
  connect_pair();
  End near;
  near.stream = opener->open(bytes_of("x"), near);
  ASSERT_TRUE(reactor.run_until([&] { return !requests.empty(); }));
  bool cancelled = false;
  requests[0]->on_cancelled([&] { cancelled = true; });
  near.stream.reset();
  ASSERT_TRUE(reactor.run_until([&] { return cancelled; }));
  End far;
  EXPECT_EQ(requests[0]->accept(far), nullptr);
}

TEST_P(StreamTest, ManyStreamsInParallel) {
  connect_pair();
  constexpr std::size_t kStreams = kThreadSanitizer ? 40 : 200;
  std::vector<std::unique_ptr<End>> near, far;
  listener->listen([&](std::unique_ptr<IncomingStream> request) {
    auto end = std::make_unique<End>();
    end->write_seed = end->read_seed = std::stoull(text_of(request->preface()));
    end->to_write = 20'000;
    end->stream = request->accept(*end);
    end->pump();
    far.push_back(std::move(end));
  });
  for (std::size_t i = 0; i < kStreams; ++i) {
    auto end = std::make_unique<End>();
    end->write_seed = end->read_seed = i;
    end->to_write = 20'000;
    end->stream = opener->open(bytes_of(std::to_string(i)), *end);
    near.push_back(std::move(end));
  }
  ASSERT_TRUE(reactor.run_until(
      [&] {
        return far.size() == kStreams &&
               std::ranges::all_of(near, [](auto& e) { return e->ended; }) &&
               std::ranges::all_of(far, [](auto& e) { return e->ended; });
      },
      60s));
  for (auto& end : near) EXPECT_EQ(end->read + end->wrong, 20'000U);
  for (auto& end : far) EXPECT_EQ(end->read + end->wrong, 20'000U);
}

INSTANTIATE_TEST_SUITE_P(Kinds, StreamTest, ::testing::ValuesIn(kCases), case_name);

}  // namespace
}  // namespace vtl::transport::test
