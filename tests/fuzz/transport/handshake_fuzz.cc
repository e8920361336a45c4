// A connection in memory, in either role, whose peer sends any bytes: it never crashes, never asks
// for a stream without the key, and what it holds stays bounded.
#include <algorithm>
#include <memory>

#include "fuzz.h"
#include "vtl/base/timer_wheel.h"
#include "vtl/transport/connection.h"
#include "vtl/transport/streams.h"

namespace {

using namespace vtl;             // NOLINT: a program, not a header
using namespace vtl::transport;  // NOLINT

class NoReactor final : public Reactor {
 public:
  Time now() const noexcept override { return Time(1s); }
  void post(std::function<void()>) override {}
  std::unique_ptr<FdWatch> watch(int, Readiness, std::function<void(Readiness)>) override {
    return nullptr;
  }
  TimerWheel& timers() noexcept override { return timers_; }
  std::uint32_t worker() const noexcept override { return 0; }

 private:
  TimerWheel timers_{1ms, Time(1s)};
};

/// Gives the fuzzer's bytes in pieces, and swallows what is written.
class FuzzChannel final : public Channel {
 public:
  FuzzChannel(Bytes bytes, std::size_t piece) : bytes_(bytes), piece_(piece) {}
  void set_handler(ChannelHandler&) noexcept override {}
  Result<std::size_t, ChannelError> write(std::span<const Bytes> pieces) override {
    std::size_t n = 0;
    for (const Bytes piece : pieces) n += piece.size();
    return n;
  }
  Result<std::size_t, ChannelError> read(std::span<const MutableBytes> pieces) override {
    if (bytes_.empty()) return std::unexpected(ChannelError::kBroken);
    std::size_t got = 0;
    for (const MutableBytes piece : pieces) {
      const std::size_t n = std::min({piece.size(), bytes_.size(), piece_});
      std::copy_n(bytes_.begin(), n, piece.begin());
      bytes_ = bytes_.subspan(n);
      got += n;
      if (n < piece.size()) break;
    }
    return got;
  }
  void want(Readiness) override {}
  void end_writing() override {}
  bool gathers() const noexcept override { return true; }
  Duration round_trip() const noexcept override { return Duration::zero(); }
  std::size_t unsent() const noexcept override { return 0; }
  wire::SocketAddress peer_address() const noexcept override { return {}; }
  int release() noexcept override { return -1; }

 private:
  Bytes bytes_;
  std::size_t piece_;
};

class Owner final : public ConnectionOwner {
 public:
  Reactor& reactor() noexcept override { return reactor_; }
  TransportCounters& counters_mutable() noexcept override { return counters_; }
  std::optional<Key> find_key(const KeyId& id) noexcept override {
    return id == key_.id() ? std::optional<Key>(key_) : std::nullopt;
  }
  const Key& own_key() const noexcept override { return key_; }
  const Instance& instance() const noexcept override { return instance_; }
  void defer(Connection&) override {}
  void on_ready(Connection&) override { FUZZ_CHECK(false); }  // nobody guesses a proof
  bool on_open_request(Connection&, Bytes) override {
    FUZZ_CHECK(false);
    return false;
  }
  void on_free(Connection&) override { FUZZ_CHECK(false); }
  void on_dead(Connection&, std::optional<StreamError>) override {}
  void on_authentication_failure(const Connection&, std::string_view) override {}
  bool widen(std::size_t) noexcept override { return false; }
  void narrow(std::size_t) noexcept override {}
  bool tight() const noexcept override { return false; }
  std::size_t share() const noexcept override { return 1; }
  std::size_t max_window() const noexcept override { return Connection::kFirstWindow; }
  Duration linger() const noexcept override { return 1s; }
  Duration handshake_timeout() const noexcept override { return 1s; }
  Duration answer_timeout() const noexcept override { return 1s; }

 private:
  NoReactor reactor_;
  TransportCounters counters_;
  Key key_{"the key that the fuzzer does not know"};
  Instance instance_{};
};

class Handler final : public StreamHandler {
 public:
  void on_open() override { FUZZ_CHECK(false); }
  void on_refused(StreamError) override {}
  void on_readable() override { FUZZ_CHECK(false); }
  void on_writable() override { FUZZ_CHECK(false); }
  void on_reset(StreamError) override { FUZZ_CHECK(false); }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const Bytes bytes(data + 1, size - 1);
  const std::size_t piece = data[0] % 64 + 1U;
  const bool opener = (data[0] & 0x80) != 0;
  Owner owner;
  Handler handler;
  Connection connection(owner, std::make_unique<FuzzChannel>(bytes, piece),
                        opener ? Connection::Role::kOpener : Connection::Role::kAcceptor);
  std::unique_ptr<Stream> stream;
  if (opener) {
    stream = connection.open({}, handler);
    connection.on_channel_connected();
  }
  for (std::size_t i = 0; i < 8 && !connection.dead(); ++i) {
    connection.on_channel_ready(Readiness::kBoth);
    connection.run_deferred();
  }
  connection.run_deferred();
  return 0;
}
