// vtl-raw-udt: the UDT library and nothing else, one stream from a sender to a receiver.
//
//   vtl-raw-udt receive ADDRESS PORT SECONDS WINDOW
//   vtl-raw-udt send    ADDRESS PORT SECONDS WINDOW
//
// ADDRESS is where the receiver listens, WINDOW the octets in flight at most. The sender sends for
// SECONDS. The receiver counts what its program reads in the SECONDS after the first octet and
// prints "octets seconds"; it gives up when no sender comes within 20 s. Sockets are set as VTL
// sets its own, kernel buffers too, so that the comparison is of what stands above the library.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <udt/udt.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr int kMss = 1500;
constexpr int kPayload = kMss - 44;  // IPv4, UDP and UDT headers, as the library counts them
constexpr int kKernelBuffer = 8 << 20;
constexpr std::size_t kPiece = 256 << 10;
constexpr auto kPatience = std::chrono::seconds(20);

struct Options {
  sockaddr_in address{};
  double seconds = 0;
  int window = 0;
};

[[noreturn]] void die(std::string_view what, std::string_view why) {
  fmt::print(stderr, "vtl-raw-udt: {}: {}\n", what, why);
  std::exit(1);
}

[[noreturn]] void die_of_udt(std::string_view what) {
  die(what, UDT::getlasterror().getErrorMessage());
}

sockaddr* generic(sockaddr_in& address) {
  return reinterpret_cast<sockaddr*>(&address);
}

void set(UDTSOCKET socket, UDT::SOCKOPT option, int value) {
  if (UDT::setsockopt(socket, 0, option, &value, sizeof value) == UDT::ERROR)
    die_of_udt("setsockopt");
}

/// A UDT socket on a UDP socket of ours, whose kernel buffers may be forced above the limit.
UDTSOCKET make_socket(const Options& options, const sockaddr_in* listen_on) {
  const int udp = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (udp < 0) die("socket", std::strerror(errno));
  for (const auto& [forced, plain] :
       {std::pair{SO_SNDBUFFORCE, SO_SNDBUF}, std::pair{SO_RCVBUFFORCE, SO_RCVBUF}})
    if (setsockopt(udp, SOL_SOCKET, forced, &kKernelBuffer, sizeof kKernelBuffer) != 0)
      setsockopt(udp, SOL_SOCKET, plain, &kKernelBuffer, sizeof kKernelBuffer);
  sockaddr_in own{};
  own.sin_family = AF_INET;
  if (listen_on != nullptr) own = *listen_on;
  if (bind(udp, generic(own), sizeof own) != 0) die("bind", std::strerror(errno));

  const UDTSOCKET socket = UDT::socket(AF_INET, SOCK_STREAM, 0);
  if (socket == UDT::INVALID_SOCK) die_of_udt("socket");
  set(socket, UDT_MSS, kMss);
  set(socket, UDT_FC, options.window / kPayload);
  set(socket, UDT_SNDBUF, options.window);
  set(socket, UDT_RCVBUF, options.window);
  set(socket, UDP_SNDBUF, kKernelBuffer);
  set(socket, UDP_RCVBUF, kKernelBuffer);
  if (UDT::bind2(socket, udp) == UDT::ERROR) die_of_udt("bind");
  return socket;
}

int send(Options& options) {
  const UDTSOCKET socket = make_socket(options, nullptr);
  if (UDT::connect(socket, generic(options.address), sizeof options.address) == UDT::ERROR)
    die_of_udt("connect");
  const std::vector<char> piece(kPiece, 'v');
  const auto end = Clock::now() + Seconds(options.seconds);
  while (Clock::now() < end)
    if (UDT::send(socket, piece.data(), kPiece, 0) == UDT::ERROR) break;  // the receiver has enough
  // What is still on the way does not count: the receiver's clock began later than ours.
  linger none{1, 0};
  UDT::setsockopt(socket, 0, UDT_LINGER, &none, sizeof none);
  UDT::close(socket);
  return 0;
}

/// Accepts one sender.
UDTSOCKET accept_one(UDTSOCKET listener) {
  set(listener, UDT_RCVSYN, 0);
  for (const auto end = Clock::now() + kPatience; Clock::now() < end;) {
    const UDTSOCKET socket = UDT::accept(listener, nullptr, nullptr);
    if (socket != UDT::INVALID_SOCK) return socket;
    if (UDT::getlasterror().getErrorCode() != UDT::ERRORINFO::EASYNCRCV) die_of_udt("accept");
    poll(nullptr, 0, 5);
  }
  die("accept", "no sender came");
}

int receive(Options& options) {
  const UDTSOCKET listener = make_socket(options, &options.address);
  if (UDT::listen(listener, 1) == UDT::ERROR) die_of_udt("listen");
  fmt::print("listening\n");
  std::fflush(stdout);
  const UDTSOCKET socket = accept_one(listener);
  set(socket, UDT_RCVSYN, 1);
  set(socket, UDT_RCVTIMEO, 5000);
  std::vector<char> piece(kPiece);
  std::optional<Clock::time_point> first;
  double octets = 0;
  Seconds span{0};
  while (span.count() < options.seconds) {
    const int n = UDT::recv(socket, piece.data(), kPiece, 0);
    if (n <= 0) break;
    if (!first) first = Clock::now();
    octets += n;
    span = Clock::now() - *first;
  }
  if (span.count() <= 0) die("receive", "nothing came");
  fmt::print("{:.0f} {:.6f}\n", octets, span.count());
  std::fflush(stdout);
  UDT::close(socket);
  UDT::close(listener);
  return 0;
}

template <class Number>
void read_number(std::string_view text, Number& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc() || end != text.data() + text.size() || out <= 0)
    die(text, "not a number above 0");
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() != 5 || (words[0] != "send" && words[0] != "receive")) {
    fmt::print(stderr, "usage: vtl-raw-udt send|receive ADDRESS PORT SECONDS WINDOW\n");
    return 2;
  }
  Options options;
  int port = 0;
  options.address.sin_family = AF_INET;
  if (inet_pton(AF_INET, words[1].c_str(), &options.address.sin_addr) != 1)
    die(words[1], "no IPv4 address");
  read_number(words[2], port);
  read_number(words[3], options.seconds);
  read_number(words[4], options.window);
  options.address.sin_port = htons(static_cast<std::uint16_t>(port));
  UDT::startup();
  const int code = words[0] == "send" ? send(options) : receive(options);
  UDT::cleanup();
  return code;
}
