// raw_udt: the UDT library alone, one stream from a client to a server, as the measure of what
// VTL's streams over UDT may cost.
//
//   raw_udt server ADDRESS:PORT            receives one stream, prints one line of JSON, ends
//   raw_udt client ADDRESS:PORT --seconds 10 | --bytes N
//
// Both print {"role", "bytes", "seconds", "bit_per_second", "cpu_seconds"}. The client's bytes are
// those that the server has acknowledged, its time ends with the last of them; the server's time is
// from the first octet to the last. --buffer sets the library's buffers and the window,
// --udp-buffer the kernel's.
#include <fmt/format.h>
#include <sys/resource.h>
#include <udt/udt.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "vtl/transport/socket_address.h"

namespace {

using Clock = std::chrono::steady_clock;

struct Settings {
  std::string address;
  double seconds = 10;
  std::int64_t bytes = 0;
  int buffer = 16 << 20;
  int udp_buffer = 8 << 20;
  int mss = 1500;
};

struct Measured {
  std::int64_t bytes = 0;
  double seconds = 0;
};

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

double since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

[[noreturn]] void stop(const std::string& what) {
  fmt::print(stderr, "raw_udt: {}: {}\n", what, UDT::getlasterror_desc());
  std::_Exit(1);
}

template <class T>
void set(UDTSOCKET u, UDT::SOCKOPT option, T value) {
  if (UDT::setsockopt(u, 0, option, &value, sizeof value) == UDT::ERROR)
    stop("cannot set an option");
}

UDTSOCKET make_socket(const Settings& s, int family) {
  const UDTSOCKET u = UDT::socket(family, SOCK_STREAM, 0);
  if (u == UDT::INVALID_SOCK) stop("no socket");
  set(u, UDT_MSS, s.mss);
  set(u, UDT_FC, std::max(256, s.buffer / (s.mss - 28) + 1));
  set(u, UDT_SNDBUF, s.buffer);
  set(u, UDT_RCVBUF, s.buffer);
  set(u, UDP_SNDBUF, s.udp_buffer);
  set(u, UDP_RCVBUF, s.udp_buffer);
  return u;
}

Measured serve(const Settings& s, const vtl::transport::SystemAddress& address) {
  const UDTSOCKET listener = make_socket(s, address.family());
  if (UDT::bind(listener, address.data(), static_cast<int>(address.size())) == UDT::ERROR ||
      UDT::listen(listener, 1) == UDT::ERROR)
    stop("cannot listen on " + s.address);
  vtl::transport::SystemAddress from;
  int size = static_cast<int>(vtl::transport::SystemAddress::kCapacity);
  const UDTSOCKET u = UDT::accept(listener, from.data(), &size);
  if (u == UDT::INVALID_SOCK) stop("cannot accept");
  std::vector<char> block(1 << 20);
  Measured m;
  Clock::time_point first, last;
  while (true) {
    const int n = UDT::recv(u, block.data(), static_cast<int>(block.size()), 0);
    if (n == UDT::ERROR) break;  // the client has closed
    last = Clock::now();
    if (m.bytes == 0) first = last;
    m.bytes += n;
  }
  m.seconds = std::chrono::duration<double>(last - first).count();
  UDT::close(u);
  UDT::close(listener);
  return m;
}

Measured send(const Settings& s, const vtl::transport::SystemAddress& address) {
  const UDTSOCKET u = make_socket(s, address.family());
  if (UDT::connect(u, address.data(), static_cast<int>(address.size())) == UDT::ERROR)
    stop("cannot connect to " + s.address);
  const std::vector<char> block(1 << 20, 'v');
  const auto start = Clock::now();
  Measured m;
  while (s.bytes > 0 ? m.bytes < s.bytes : since(start) < s.seconds) {
    const std::int64_t left = s.bytes > 0 ? s.bytes - m.bytes : std::ssize(block);
    const int n = UDT::send(u, block.data(),
                            static_cast<int>(std::min<std::int64_t>(left, std::ssize(block))), 0);
    if (n == UDT::ERROR) stop("cannot send");
    m.bytes += n;
  }
  int packets = 1;
  int size = sizeof packets;
  while (packets > 0 && UDT::getsockopt(u, 0, UDT_SNDDATA, &packets, &size) != UDT::ERROR)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  m.seconds = since(start);
  UDT::close(u);
  return m;
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  CLI::App app{"The UDT library alone: one stream, measured"};
  app.require_subcommand(1);
  CLI::App* server = app.add_subcommand("server", "receives one stream");
  CLI::App* client = app.add_subcommand("client", "sends one stream");
  for (CLI::App* each : {server, client}) {
    each->add_option("address", s.address, "ADDRESS:PORT")->required();
    each->add_option("--buffer", s.buffer, "octets of the library's buffers")
        ->check(CLI::Range(65536, 1 << 30));
    each->add_option("--udp-buffer", s.udp_buffer, "octets of the kernel's buffers")
        ->check(CLI::Range(65536, 1 << 28));
    each->add_option("--mss", s.mss, "octets of one IP packet")->check(CLI::Range(576, 9000));
  }
  client->add_option("--seconds", s.seconds, "for how long to send");
  client->add_option("--bytes", s.bytes, "how much to send, instead of --seconds");
  CLI11_PARSE(app, argc, argv);

  const auto parsed = vtl::wire::SocketAddress::parse(s.address);
  if (!parsed) {
    fmt::print(stderr, "raw_udt: '{}' is not ADDRESS:PORT\n", s.address);
    return 1;
  }
  UDT::startup();
  const vtl::transport::SystemAddress address(*parsed);
  const bool is_server = server->parsed();
  const Measured m = is_server ? serve(s, address) : send(s, address);
  fmt::print(
      R"({{"role": "{}", "bytes": {}, "seconds": {:.6f}, "bit_per_second": {:.0f}, "cpu_seconds": {:.3f}}})"
      "\n",
      is_server ? "server" : "client", m.bytes, m.seconds,
      m.seconds > 0 ? static_cast<double>(m.bytes) * 8 / m.seconds : 0.0, cpu_seconds());
  UDT::cleanup();
  return 0;
}
