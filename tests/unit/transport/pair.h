// A pair of transports over loopback on one reactor, and handlers that remember what they were
// told.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/test_reactor.h"
#include "vtl/base/rng.h"
#include "vtl/transport/make_transport.h"
#include "vtl/transport/transport.h"

namespace vtl::transport::test {

using vtl::test::TestReactor;

inline Bytes bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
inline std::string text_of(Bytes bytes) {
  return {bytes.begin(), bytes.end()};
}

/// The octet of the test stream `seed` at `offset`.
inline std::uint8_t pattern(std::uint64_t seed, std::uint64_t offset) {
  std::uint64_t z = (seed + offset / 8 + 1) * 0x9e3779b97f4a7c15ULL;
  z ^= z >> 29;
  return static_cast<std::uint8_t>(z >> (offset % 8 * 8));
}

/// One end of a stream: writes `to_write` octets of a pattern, reads and checks another.
class End final : public StreamHandler {
 public:
  void on_open() override {
    ++opened;
    pump();
  }
  void on_refused(StreamError reason) override {
    refused = reason;
    stream.reset();
  }
  void on_readable() override {
    ++readable_events;
    if (reading) read_all();
  }
  void on_writable() override { pump(); }
  void on_reset(StreamError reason) override {
    reset = reason;
    stream.reset();
  }

  /// Writes as much as the stream takes; shuts down after the last octet.
  void pump() {
    std::vector<std::uint8_t> block(chunk);
    while (stream && written < to_write) {
      const std::size_t n =
          static_cast<std::size_t>(std::min<std::uint64_t>(block.size(), to_write - written));
      for (std::size_t i = 0; i < n; ++i) block[i] = pattern(write_seed, written + i);
      const std::size_t taken = stream->write(Bytes(block).first(n));
      written += taken;
      if (taken < n) return;
    }
    if (stream && shut_down_after && !shut) {
      shut = true;
      stream->shutdown();
    }
  }
  void read_all() {
    std::vector<std::uint8_t> block(65536);
    while (stream) {
      const std::size_t n = stream->read(block);
      if (n == 0) break;
      for (std::size_t i = 0; i < n; ++i)
        if (block[i] != pattern(read_seed, read + i)) ++wrong;
      read += n;
      if (keep) text += text_of(Bytes(block).first(n));
    }
    if (stream && stream->at_end()) ended = true;
  }

  std::unique_ptr<Stream> stream;
  std::uint64_t to_write = 0, written = 0, read = 0, wrong = 0, write_seed = 1, read_seed = 1;
  std::size_t chunk = 65536;
  bool reading = true, keep = false, shut_down_after = true, shut = false, ended = false;
  int opened = 0, readable_events = 0;
  std::string text;
  std::optional<StreamError> refused, reset;
};

using Make = Outcome<std::unique_ptr<Transport>> (*)(const Options&, Reactor&);

struct Case {
  const char* name;
  Make make;
};

class PairTest : public ::testing::TestWithParam<Case> {
 protected:
  static constexpr std::string_view kKey = "correct horse battery staple";

  Options listener_options() {
    Options o;
    o.name = "a";
    o.local = wire::SocketAddress{wire::Ipv4Address(127, 0, 0, 1), wire::Port(0)};
    o.key = kKey;
    o.buffer = std::size_t{4} << 20;
    o.linger = 10s;
    return o;
  }
  Options opener_options(const Transport& to) {
    Options o = listener_options();
    o.name = "b";
    o.local.reset();
    o.remote = to.local_address();
    o.handshake_timeout = 3s;
    return o;
  }
  std::unique_ptr<Transport> make(const Options& options, Reactor* on = nullptr) {
    auto made = GetParam().make(options, on != nullptr ? *on : reactor);
    EXPECT_TRUE(made) << (made ? "" : made.error().message);
    return made ? std::move(*made) : nullptr;
  }
  /// Both transports; what arrives is kept in `requests`.
  void connect_pair() {
    listener = make(listener_options());
    take_requests(*listener);
    opener = make(opener_options(*listener));
  }
  void take_requests(Transport& transport) {
    transport.listen([this](std::unique_ptr<IncomingStream> request) {
      requests.push_back(std::move(request));
    });
  }
  /// Opens a stream from `near` and accepts it with `far`.
  void open_stream(End& near, End& far, std::string_view preface = "hello") {
    const std::size_t before = requests.size();
    near.stream = opener->open(bytes_of(preface), near);
    ASSERT_TRUE(reactor.run_until([&] { return requests.size() > before || near.refused; }));
    ASSERT_FALSE(near.refused);
    far.stream = requests.back()->accept(far);
    ASSERT_TRUE(reactor.run_until([&] { return near.opened == 1; }));
  }
  /// A stream of its own that carries so many octets to the listener, and its end; each is checked.
  void carry_stream(std::uint64_t octets) {
    End near, far;
    near.to_write = octets;
    open_stream(near, far);
    far.pump();
    ASSERT_TRUE(reactor.run_until([&] { return far.ended && near.ended; }));
    EXPECT_EQ(far.read, octets);
    EXPECT_EQ(far.wrong, 0U);
  }

  TestReactor reactor;
  std::unique_ptr<Transport> listener, opener;
  std::vector<std::unique_ptr<IncomingStream>> requests;
};

inline std::string case_name(const ::testing::TestParamInfo<Case>& info) {
  return info.param.name;
}
inline const Case kCases[] = {{"Tcp", make_tcp}, {"Udt", make_udt}};

}  // namespace vtl::transport::test
