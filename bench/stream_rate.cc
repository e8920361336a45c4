// stream_rate: one stream of VTL's transports from a client to a server, without a gateway.
//
//   stream_rate server ADDRESS:PORT --transport udt|tcp
//   stream_rate client ADDRESS:PORT --transport udt|tcp --seconds 10 | --bytes N
//
// Prints one line of JSON; the client's time ends when the server has read everything.
#include <fmt/format.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "vtl/engine/worker.h"
#include "vtl/transport/make_transport.h"

namespace {

using namespace vtl;  // NOLINT: a program, not a header
using Steady = std::chrono::steady_clock;

struct Settings {
  std::string address;
  std::string kind = "udt";
  double seconds = 10;
  std::uint64_t bytes = 0;
  std::size_t buffer = std::size_t{16} << 20;
  std::string congestion;
};

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

class Sender final : public transport::StreamHandler {
 public:
  explicit Sender(const Settings& settings) : settings_(settings), block_(std::size_t{64} << 10) {}
  void on_open() override {
    first = Steady::now();
    pump();
  }
  void on_refused(transport::StreamError reason) override { fail(to_string(reason)); }
  void on_readable() override {
    std::array<std::uint8_t, 1> octet;
    if (stream->read(octet) == 0 && stream->at_end()) {
      last = Steady::now();
      done = true;
    }
  }
  void on_writable() override { pump(); }
  void on_reset(transport::StreamError reason) override { fail(to_string(reason)); }

  std::unique_ptr<transport::Stream> stream;
  std::uint64_t bytes = 0;
  Steady::time_point first, last;
  bool done = false, failed = false;

 private:
  void fail(std::string_view why) {
    fmt::print(stderr, "stream_rate: {}\n", why);
    done = failed = true;
  }
  [[nodiscard]] bool enough() const {
    if (settings_.bytes > 0) return bytes >= settings_.bytes;
    return std::chrono::duration<double>(Steady::now() - first).count() >= settings_.seconds;
  }
  void pump() {
    while (!enough()) {
      const std::size_t n = stream->write(block_);
      bytes += n;
      if (n < block_.size()) return;
    }
    stream->shutdown();
  }
  const Settings& settings_;
  std::vector<std::uint8_t> block_;
};

class Receiver final : public transport::StreamHandler {
 public:
  void on_open() override {}
  void on_refused(transport::StreamError) override {}
  void on_readable() override {
    while (const std::size_t n = stream->read(block_)) {
      last = Steady::now();
      if (bytes == 0) first = last;
      bytes += n;
    }
    if (!stream->at_end()) return;
    stream->shutdown();
    done = true;
  }
  void on_writable() override {}
  void on_reset(transport::StreamError) override { done = true; }

  std::unique_ptr<transport::Stream> stream;
  std::uint64_t bytes = 0;
  Steady::time_point first, last;
  bool done = false;

 private:
  std::vector<std::uint8_t> block_ = std::vector<std::uint8_t>(std::size_t{256} << 10);
};

template <class End>
void report(const char* role, const End& end) {
  const double seconds = std::chrono::duration<double>(end.last - end.first).count();
  fmt::print(
      R"({{"role": "{}", "bytes": {}, "seconds": {:.6f}, "bit_per_second": {:.0f}, "cpu_seconds": {:.3f}}})"
      "\n",
      role, end.bytes, seconds, seconds > 0 ? static_cast<double>(end.bytes) * 8 / seconds : 0.0,
      cpu_seconds());
}

int run(const Settings& s, bool server) {
  const auto address = wire::SocketAddress::parse(s.address);
  auto worker = engine::Worker::create(0, {});
  if (!address || !worker) {
    fmt::print(stderr, "stream_rate: {}\n",
               address ? worker.error().message : s.address + " is not ADDRESS:PORT");
    return 1;
  }
  transport::Options options;
  options.name = "bench";
  options.key = "a key for measurements only";
  options.buffer = s.buffer;
  options.congestion = s.congestion;
  (server ? options.local : options.remote) = address;
  auto made = s.kind == "udt" ? transport::make_udt(options, **worker)
                              : transport::make_tcp(options, **worker);
  if (!made) {
    fmt::print(stderr, "stream_rate: {}\n", made.error().message);
    return 1;
  }
  if (server) {
    Receiver end;
    (*made)->listen([&](std::unique_ptr<transport::IncomingStream> request) {
      end.stream = request->accept(end);
    });
    while (!end.done) (*worker)->turn();
    bool over = false;  // the last records leave meanwhile
    Timer linger([&] { over = true; });
    (*worker)->timers().arm(linger, (*worker)->now() + 500ms);
    while (!over) (*worker)->turn();
    report("server", end);
    return 0;
  }
  Sender end(s);
  end.stream = (*made)->open({}, end);
  while (!end.done) (*worker)->turn();
  report("client", end);
  return end.failed ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  CLI::App app{"One stream of VTL's transports, measured"};
  app.require_subcommand(1);
  CLI::App* server = app.add_subcommand("server", "receives one stream");
  CLI::App* client = app.add_subcommand("client", "sends one stream");
  for (CLI::App* each : {server, client}) {
    each->add_option("address", s.address, "ADDRESS:PORT")->required();
    each->add_option("--transport", s.kind, "udt or tcp")->check(CLI::IsMember({"udt", "tcp"}));
    each->add_option("--buffer", s.buffer, "octets in flight");
    each->add_option("--congestion", s.congestion, "TCP's congestion control");
  }
  client->add_option("--seconds", s.seconds, "for how long to send");
  client->add_option("--bytes", s.bytes, "how much to send, instead of --seconds");
  CLI11_PARSE(app, argc, argv);
  return run(s, server->parsed());
}
