// One connection on a scripted channel and a virtual clock: what a peer that keeps no rules costs,
// and a reader that does not read.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "tests/support/virtual_reactor.h"
#include "tests/unit/transport/pair.h"
#include "vtl/transport/connection.h"
#include "vtl/transport/framing.h"

namespace vtl::transport::test {
namespace {

/// What the peer does, and what it was sent.
struct Script {
  std::vector<std::uint8_t> arrived;
  std::size_t taken = 0;        ///< of `arrived`
  std::uint64_t unwritten = 0;  ///< octets behind `arrived` that count and are never looked at
  std::vector<std::uint8_t> endless;  ///< arrives again and again behind all else
  bool broken = false;                ///< the channel ends once everything was read
  bool takes_writes = true;
  std::vector<std::uint8_t> sent;
  int reads = 0;
};

class ScriptedChannel final : public Channel {
 public:
  explicit ScriptedChannel(Script& script) : script_(script) {}
  void set_handler(ChannelHandler&) noexcept override {}
  Result<std::size_t, ChannelError> write(std::span<const Bytes> pieces) override {
    std::size_t n = 0;
    for (const Bytes piece : pieces) {
      if (!script_.takes_writes) break;
      script_.sent.insert(script_.sent.end(), piece.begin(), piece.end());
      n += piece.size();
    }
    return n;
  }
  Result<std::size_t, ChannelError> read(std::span<const MutableBytes> pieces) override {
    ++script_.reads;
    std::size_t n = 0;
    for (const MutableBytes piece : pieces) n += fill(piece);
    if (n == 0 && script_.broken) return std::unexpected(ChannelError::kBroken);
    return n;
  }
  void want(Readiness) override {}
  void end_writing() override {}
  bool gathers() const noexcept override { return true; }
  Duration round_trip() const noexcept override { return {}; }
  std::size_t unsent() const noexcept override { return 0; }
  wire::SocketAddress peer_address() const noexcept override { return {}; }
  int release() noexcept override { return -1; }

 private:
  std::size_t fill(MutableBytes out) {
    if (script_.taken == script_.arrived.size() && script_.unwritten == 0 &&
        !script_.endless.empty()) {
      script_.arrived = script_.endless;
      script_.taken = 0;
    }
    const std::size_t n = std::min(out.size(), script_.arrived.size() - script_.taken);
    if (n > 0) std::memcpy(out.data(), script_.arrived.data() + script_.taken, n);
    script_.taken += n;
    const auto more =
        static_cast<std::size_t>(std::min<std::uint64_t>(out.size() - n, script_.unwritten));
    script_.unwritten -= more;
    return n + more;
  }
  Script& script_;
};

class ScriptedOwner final : public ConnectionOwner {
 public:
  Reactor& reactor() noexcept override { return clock; }
  TransportCounters& counters_mutable() noexcept override { return counters; }
  std::optional<Key> find_key(const KeyId&) noexcept override { return std::nullopt; }
  const Key& own_key() const noexcept override { return key_; }
  const Instance& instance() const noexcept override { return instance_; }
  void defer(Connection&) override { deferred = true; }
  void on_ready(Connection&) override {}
  bool on_open_request(Connection&, Bytes) override { return false; }
  void on_free(Connection&) override {}
  void on_dead(Connection&, std::optional<StreamError> why) override {
    dead = true;
    reason = why;
  }
  void on_authentication_failure(const Connection&, std::string_view) override {}
  bool widen(std::size_t more) noexcept override {
    if (is_tight) return false;
    widened += more;
    return true;
  }
  void narrow(std::size_t less) noexcept override { widened -= less; }
  bool tight() const noexcept override { return is_tight; }
  std::size_t share() const noexcept override { return std::size_t{512} << 10; }
  std::size_t max_window() const noexcept override { return std::size_t{2} << 20; }
  Duration linger() const noexcept override { return 10s; }
  Duration handshake_timeout() const noexcept override { return 5s; }
  Duration answer_timeout() const noexcept override { return 5s; }

  vtl::test::VirtualReactor clock;
  TransportCounters counters;
  bool deferred = false, dead = false, is_tight = false;
  std::size_t widened = 0;
  std::optional<StreamError> reason;

 private:
  Key key_{"correct horse battery staple"};
  Instance instance_{};
};

/// Reads all that there is and looks at nothing.
class Drain final : public StreamHandler {
 public:
  void on_open() override {}
  void on_refused(StreamError) override {}
  void on_readable() override {
    while (stream) {
      const std::size_t n = stream->read(block_);
      if (n == 0) break;
      read += n;
    }
  }
  void on_writable() override {}
  void on_reset(StreamError why) override {
    reset = why;
    stream.reset();
  }
  std::unique_ptr<Stream> stream;
  std::uint64_t read = 0;
  std::optional<StreamError> reset;

 private:
  std::vector<std::uint8_t> block_ = std::vector<std::uint8_t>(std::size_t{128} << 10);
};

class ConnectionTest : public ::testing::Test {
 protected:
  static constexpr int kRecordsPerTurn = 64;

  /// The peer's stream, open.
  std::unique_ptr<Stream> accept(StreamHandler& handler) {
    auto stream = connection.take_request({})->accept(handler);
    turn();
    return stream;
  }
  void say(RecordType type, Bytes body = {}) { append_record(script.arrived, type, body); }
  /// DATA with the next n octets of the pattern of seed 1.
  void say_data(std::size_t n) {
    const std::size_t at = script.arrived.size();
    script.arrived.resize(at + kHeaderSize + n);
    emit_header(MutableBytes(script.arrived).subspan(at), RecordType::kData, n);
    for (std::size_t i = 0; i < n; ++i)
      script.arrived[at + kHeaderSize + i] = pattern(1, said_ + i);
    said_ += n;
  }
  /// DATA of n octets that nobody looks at.
  void say_unwritten(std::size_t n) {
    script.arrived.assign(kHeaderSize, 0);
    script.taken = 0;
    emit_header(script.arrived, RecordType::kData, n);
    script.unwritten = n;
  }
  /// The channel is readable for so many turns of the reactor.
  void readable(int turns = 4) {
    for (int i = 0; i < turns && !owner.dead; ++i) {
      connection.on_channel_ready(Readiness::kReadable);
      turn();
    }
  }
  void turn() {
    if (std::exchange(owner.deferred, false)) connection.run_deferred();
  }
  /// Turns until the stream's end was told.
  void turns_until_reset(const End& end, int bound = 100) {
    for (int i = 0; i < bound && !end.reset; ++i) turn();
  }
  /// Time passes. True: the link ended meanwhile.
  bool wait(Duration time) {
    bool over = false;
    Timer end([&over] { over = true; });
    owner.clock.timers().arm(end, owner.clock.now() + time);
    owner.clock.run_until([&] { return over || owner.dead; }, time + 1s);
    return owner.dead;
  }
  [[nodiscard]] int count_sent(RecordType type) const {
    int count = 0;
    for (std::size_t at = 0; at + kHeaderSize <= script.sent.size();) {
      const std::uint32_t header = load_be32(script.sent, at);
      count += header >> 24 == static_cast<std::uint32_t>(type) ? 1 : 0;
      at += kHeaderSize + (header & 0xffffff);
    }
    return count;
  }

  ScriptedOwner owner;
  Script script;
  Connection connection{owner, std::make_unique<ScriptedChannel>(script), Connection::Moved{}};

 private:
  std::uint64_t said_ = 0;
};

TEST_F(ConnectionTest, EndFollowsTheLastReadAndNotFin) {
  End end;
  end.reading = false;
  end.stream = accept(end);
  say_data(100'000);
  say(RecordType::kFin);
  readable();
  EXPECT_EQ(script.taken, script.arrived.size()) << "FIN was read";
  EXPECT_EQ(count_sent(RecordType::kEnd), 0);
  std::vector<std::uint8_t> block(50'000);
  ASSERT_EQ(end.stream->read(block), block.size());
  turn();
  EXPECT_EQ(count_sent(RecordType::kEnd), 0);
  ASSERT_EQ(end.stream->read(block), block.size());
  EXPECT_TRUE(end.stream->at_end());
  turn();
  EXPECT_EQ(count_sent(RecordType::kEnd), 1);
}

TEST_F(ConnectionTest, ALostPeerThatGoesOnSendingTakesAPartOfEachTurnOnly) {
  End end;
  end.reading = false;
  end.stream = accept(end);
  say_data(1000);
  append_record(script.endless, RecordType::kPing, {});
  const std::array<std::uint8_t, 4> nothing{};
  append_record(script.endless, RecordType::kCredit, nothing);
  const int reads_before = script.reads;
  connection.lose(StreamError::kPeerDown);
  EXPECT_LE(script.reads - reads_before, kRecordsPerTurn);
  for (int i = 0; i < 10; ++i) {
    const int reads = script.reads;
    turn();
    EXPECT_LE(script.reads - reads, kRecordsPerTurn);
  }
  EXPECT_FALSE(end.reset);
  script.endless.clear();
  end.reading = true;
  end.read_all();
  turns_until_reset(end);
  EXPECT_EQ(end.read, 1000U);
  EXPECT_EQ(end.wrong, 0U);
  EXPECT_EQ(end.reset, StreamError::kPeerDown);
}

TEST_F(ConnectionTest, WhatALostPeerSentBehindManyRecordsIsReadBeforeTheReset) {
  End end;
  end.stream = accept(end);
  say_data(1000);
  for (int i = 0; i < 5 * kRecordsPerTurn; ++i) say(RecordType::kPing);
  say_data(1000);
  script.broken = true;
  connection.lose(StreamError::kPeerDown);
  turns_until_reset(end);
  EXPECT_EQ(end.read, 2000U);
  EXPECT_EQ(end.wrong, 0U);
  EXPECT_EQ(end.reset, StreamError::kPeerDown);
}

TEST_F(ConnectionTest, ALostStreamWaitsForAReaderThatReadsAndNotForOneThatDoesNot) {
  End end;
  end.reading = false;
  end.stream = accept(end);
  say_data(200'000);
  script.broken = true;
  connection.lose(StreamError::kPeerDown);
  turn();
  std::vector<std::uint8_t> block(4096);
  for (int i = 0; i < 10; ++i) {
    ASSERT_FALSE(wait(59s)) << i;
    ASSERT_EQ(end.stream->read(block), block.size());
    turn();
  }
  EXPECT_FALSE(end.reset);
  block.resize(10);
  for (int i = 0; i < 13 && !owner.dead; ++i) {  // what is too little is as nothing
    if (wait(10s)) break;
    ASSERT_EQ(end.stream->read(block), block.size());
    turn();
  }
  EXPECT_TRUE(owner.dead);
  turns_until_reset(end);
  EXPECT_EQ(end.reset, StreamError::kPeerDown);
}

TEST_F(ConnectionTest, APeerThatSendsAndNeverReadsIsCutOff) {
  Drain reader;
  reader.stream = accept(reader);
  script.takes_writes = false;
  owner.is_tight = true;  // the window stays, and each quarter of it costs a record
  std::size_t most = 0;
  for (int i = 0; i < 100'000 && !owner.dead; ++i) {
    say_unwritten(Connection::kFirstWindow / 4);
    readable(1);
    most = std::max(most, connection.unsent());
  }
  EXPECT_TRUE(owner.dead);
  EXPECT_EQ(owner.reason, StreamError::kProtocol);
  EXPECT_LT(most, std::size_t{520} << 10);
  turn();
  EXPECT_EQ(reader.reset, StreamError::kProtocol);
}

TEST_F(ConnectionTest, AWindowAboveItsShareShrinksForAFastReaderTooWhenMemoryIsTight) {
  Drain reader;
  reader.stream = accept(reader);
  const auto flow = [&](std::size_t octets) {
    for (std::size_t n = 0; n < octets; n += Connection::kFirstWindow / 4) {
      say_unwritten(Connection::kFirstWindow / 4);
      readable(1);
    }
  };
  flow(std::size_t{16} << 20);
  ASSERT_EQ(connection.window(), owner.max_window());
  owner.is_tight = true;
  flow(std::size_t{16} << 20);
  EXPECT_EQ(connection.window(), owner.share());
  EXPECT_EQ(owner.widened, owner.share() - Connection::kFirstWindow) << "the rest was given back";
  owner.is_tight = false;
  flow(std::size_t{16} << 20);
  EXPECT_EQ(connection.window(), owner.max_window());
  EXPECT_FALSE(owner.dead);
  EXPECT_EQ(reader.read, std::uint64_t{48} << 20);
}

}  // namespace
}  // namespace vtl::transport::test
