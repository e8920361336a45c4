// Text that is read as it arrives, before it is stored: nothing is lost, doubled or out of order,
// however much the reader takes and whatever the path does to the segments.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <deque>
#include <string>
#include <vector>

#include "vtl/base/rng.h"
#include "vtl/endpoint/endpoint.h"

namespace vtl::endpoint {
namespace {

using Octets = std::vector<std::uint8_t>;

struct Sent {
  wire::TcpFields header;
  Octets text;
};

/// A sender, and a receiver whose segments have a reader that takes at most `appetite` octets.
class Pair {
 public:
  explicit Pair(ChunkPool* pool = nullptr) {
    Config config;
    config.pool = pool;
    config.receive_buffer = config.receive_buffer_initial = 64 << 10;
    source.emplace(
        Endpoint::connect({}, {wire::Port(1), wire::Port(2)}, wire::SeqNum(0xffffff00), now));
    source->dispatch(now, [&](const OutSegment& syn) {
      sink.emplace(Endpoint::accept_syn(config, {wire::Port(2), wire::Port(1)}, wire::SeqNum(7),
                                        Segment{.header = syn.header, .payload = {}}, false, now));
      return true;
    });
    for (int i = 0; i < 4; ++i) turn();
  }

  [[nodiscard]] static std::deque<Sent> take(Endpoint& from, Time now) {
    std::deque<Sent> out;
    from.dispatch(now, [&](const OutSegment& segment) {
      Octets text;
      for (const Bytes piece : segment.payload) text.insert(text.end(), piece.begin(), piece.end());
      out.push_back({segment.header, std::move(text)});
      return true;
    });
    return out;
  }
  void deliver(const Sent& sent) {
    const auto read = [this](Bytes bytes) {
      const std::size_t n = std::min(bytes.size(), appetite);
      got.insert(got.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n));
      ++asked;
      return n;
    };
    const Reader reader(read);
    sink->process({.header = sent.header, .payload = sent.text, .reader = &reader}, now);
  }
  void turn() {
    now += 1ms;
    for (const Sent& sent : take(*source, now)) deliver(sent);
    for (const Sent& sent : take(*sink, now)) {
      source->process({.header = sent.header, .payload = sent.text}, now);
    }
  }
  void drain() {
    while (sink->readable() > 0) {
      const Bytes bytes = sink->peek();
      got.insert(got.end(), bytes.begin(), bytes.end());
      sink->consume(bytes.size(), now);
    }
  }

  Time now{1h};
  std::optional<Endpoint> source, sink;
  std::size_t appetite = 1 << 20;
  std::size_t asked = 0;
  Octets got;
};

Octets noise(std::size_t size, std::uint64_t seed = 1) {
  Rng rng(seed);
  Octets out(size);
  for (auto& octet : out) octet = static_cast<std::uint8_t>(rng.next());
  return out;
}

TEST(ReadAtOnce, AReaderThatTakesAll_NothingIsStoredAndTheWindowStaysOpen) {
  ChunkPool pool(std::size_t{1} << 20);
  Pair pair(&pool);
  const Octets stream = noise(400'000);
  std::size_t written = 0;
  for (int i = 0; i < 1000 && pair.got.size() < stream.size(); ++i) {
    written += pair.source->write(Bytes(stream).subspan(written), pair.now);
    pair.turn();
    EXPECT_EQ(pair.sink->chunks().received, 0U);
  }
  EXPECT_EQ(pair.got, stream);
  EXPECT_EQ(pair.sink->stats().bytes_in, stream.size());
  EXPECT_EQ(pair.source->stats().zero_window_probes, 0U);
}

TEST(ReadAtOnce, WhatTheReaderLeaves_WaitsAndIsReadFirst) {
  Pair pair;
  const Octets stream = noise(10'000);
  pair.appetite = 100;
  ASSERT_EQ(pair.source->write(Bytes(stream).first(4000), pair.now), 4000U);
  pair.turn();
  const std::size_t asked = pair.asked;
  EXPECT_GT(pair.sink->readable(), 0U);
  pair.appetite = 1 << 20;
  ASSERT_EQ(pair.source->write(Bytes(stream).subspan(4000), pair.now), 6000U);
  for (int i = 0; i < 5; ++i) pair.turn();
  EXPECT_EQ(pair.asked, asked) << "unread octets lie before it";
  pair.drain();
  EXPECT_EQ(pair.got, stream);
}

TEST(ReadAtOnce, TextBehindAGap_IsNotShown) {
  Pair pair;
  const Octets stream = noise(2 * 1460);
  ASSERT_EQ(pair.source->write(Bytes(stream).first(1460), pair.now), 1460U);
  const auto first = Pair::take(*pair.source, pair.now);
  ASSERT_EQ(pair.source->write(Bytes(stream).subspan(1460), pair.now), 1460U);
  const auto second = Pair::take(*pair.source, pair.now);
  ASSERT_EQ(first.size() + second.size(), 2U);
  pair.deliver(second[0]);
  EXPECT_EQ(pair.asked, 0U);
  pair.deliver(first[0]);
  pair.drain();
  EXPECT_EQ(pair.got, stream);
}

// Segments are lost, doubled and shuffled; the reader takes what it likes.
RC_GTEST_PROP(ReadAtOnce, OnAnyPath_TheStreamIsWhole, ()) {
  Rng rng(*rc::gen::arbitrary<std::uint64_t>());
  ChunkPool pool(std::size_t{1} << 20);
  Pair pair(&pool);
  const Octets stream = noise(60'000, rng.next());
  std::size_t written = 0;
  for (int i = 0; i < 20000 && pair.got.size() < stream.size(); ++i) {
    const std::size_t piece = std::min<std::size_t>(rng.below(9000), stream.size() - written);
    written += pair.source->write(Bytes(stream).subspan(written, piece), pair.now);
    pair.now += 20ms;
    auto segments = Pair::take(*pair.source, pair.now);
    if (segments.size() > 1 && rng.chance(0.3)) std::swap(segments.front(), segments.back());
    for (const Sent& sent : segments) {
      if (rng.chance(0.1)) continue;
      pair.appetite = rng.chance(0.5) ? rng.below(2000) : 1 << 20;
      pair.deliver(sent);
      if (rng.chance(0.1)) pair.deliver(sent);
    }
    if (rng.chance(0.5)) pair.drain();
    for (const Sent& sent : Pair::take(*pair.sink, pair.now)) {
      pair.source->process({.header = sent.header, .payload = sent.text}, pair.now);
    }
  }
  RC_ASSERT(pair.got == stream);
}

}  // namespace
}  // namespace vtl::endpoint
