#include "bench/frames.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <sstream>

#include "lab/fd.h"
#include "vtl/base/time.h"

namespace vtl::bench {
namespace {

constexpr std::size_t kPayload = 18;  // makes an Ethernet frame of 60 octets
constexpr std::size_t kBatch = 32;
constexpr std::uint32_t kLast = 0xFFFFFFFF;
constexpr std::uint32_t kAccountEvery = 64;
constexpr int kStallMs = 100;
constexpr int kStallsInARow = 50;
constexpr int kSilenceMs = 20'000;

using Payload = std::array<char, kPayload>;

struct Account {
  std::uint32_t delivered = 0;
  std::uint32_t reached = 0;  // highest number seen, plus one
};

std::uint32_t load(const char* octets) {
  std::uint32_t value = 0;
  std::memcpy(&value, octets, sizeof value);
  return ntohl(value);
}

void store(char* octets, std::uint32_t value) {
  value = htonl(value);
  std::memcpy(octets, &value, sizeof value);
}

/// Messages for recvmmsg() and sendmmsg(), each with a payload of its own.
struct Batch {
  std::array<Payload, kBatch> payloads{};
  std::array<iovec, kBatch> pieces{};
  std::array<mmsghdr, kBatch> messages{};
  Batch() {
    for (std::size_t i = 0; i < kBatch; ++i) {
      pieces[i] = {payloads[i].data(), kPayload};
      messages[i].msg_hdr.msg_iov = &pieces[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
  }
};

std::unexpected<Error> system_failure(std::string_view what) {
  return fail(fmt::format("{}: {}", what, std::strerror(errno)));
}

bool readable(int fd, int timeout_ms) {
  pollfd waiting{fd, POLLIN, 0};
  return poll(&waiting, 1, timeout_ms) > 0;
}

class Sender {
 public:
  Sender(int fd, const FrameRun& run) : fd_(fd), run_(run) {}

  Outcome<FrameReport> send() {
    const Time start = SystemClock{}.now();
    for (int stalls = 0; next_ < run_.count && stalls < kStallsInARow;) {
      if (const std::uint32_t room = run_.window - (next_ - account_.reached); room > 0) {
        if (auto sent = send_batch(std::min(room, run_.count - next_)); !sent)
          return std::unexpected(sent.error());
        take_accounts(0);
      } else if (take_accounts(kStallMs)) {
        stalls = 0;
      } else {  // the frames on the way, or the word about them, are lost
        account_.reached = next_;
        ++stalls;
      }
    }
    const double seconds = std::chrono::duration<double>(SystemClock{}.now() - start).count();
    if (next_ < run_.count || !ask_for_the_last())
      return fail(fmt::format("the receiver at {} has stopped answering", run_.server));
    return FrameReport{next_, account_.delivered, seconds};
  }

 private:
  Outcome<void> send_batch(std::uint32_t room) {
    const unsigned n = std::min<unsigned>(room, kBatch);
    for (unsigned i = 0; i < n; ++i) store(batch_.payloads[i].data(), next_ + i);
    const int sent = sendmmsg(fd_, batch_.messages.data(), n, 0);
    if (sent < 0 && errno != ENOBUFS && errno != ECONNREFUSED) return system_failure("sendmmsg");
    next_ += static_cast<std::uint32_t>(std::max(sent, 0));
    return {};
  }

  /// Whether any account came within the time.
  bool take_accounts(int timeout_ms) {
    bool any = false;
    Payload words{};
    while (true) {
      if (recv(fd_, words.data(), words.size(), MSG_DONTWAIT) < 8) {
        if (any || timeout_ms == 0 || !readable(fd_, timeout_ms)) return any;
        timeout_ms = 0;
        continue;
      }
      any = true;
      account_.delivered = std::max(account_.delivered, load(words.data()));
      account_.reached = std::max(account_.reached, std::min(load(words.data() + 4), next_));
      last_ = last_ || load(words.data() + 8) == kLast;
    }
  }

  bool ask_for_the_last() {
    Payload question{};
    store(question.data(), kLast);
    for (int tries = 0; tries < 20 && !last_; ++tries) {
      (void)::send(fd_, question.data(), question.size(), 0);
      (void)take_accounts(kStallMs);
    }
    return last_;
  }

  int fd_;
  const FrameRun& run_;
  Batch batch_;
  std::uint32_t next_ = 0;
  Account account_;
  bool last_ = false;
};

void tell(int fd, const sockaddr_in& to, const Account& account, bool last) {
  Payload words{};
  store(words.data(), account.delivered);
  store(words.data() + 4, account.reached);
  store(words.data() + 8, last ? kLast : 0);
  sockaddr_in address = to;
  (void)sendto(fd, words.data(), words.size(), 0, reinterpret_cast<sockaddr*>(&address),
               sizeof address);
}

}  // namespace

Outcome<FrameReport> send_frames(const FrameRun& run) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(run.port);
  if (inet_pton(AF_INET, run.server.c_str(), &to.sin_addr) != 1)
    return fail(fmt::format("'{}' is no IPv4 address", run.server));
  const lab::Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return system_failure("socket");
  if (connect(socket.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) != 0)
    return system_failure("connect");
  return Sender(socket.get(), run).send();
}

Outcome<void> receive_frames(std::uint16_t port) {
  const lab::Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return system_failure("socket");
  sockaddr_in own{};
  own.sin_family = AF_INET;
  own.sin_port = htons(port);
  if (bind(socket.get(), reinterpret_cast<sockaddr*>(&own), sizeof own) != 0)
    return system_failure(fmt::format("bind to port {}", port));
  Batch batch;
  sockaddr_in from{};
  batch.messages[0].msg_hdr.msg_name = &from;  // one sender: the first message tells it
  Account account;
  std::uint32_t told = 0;
  for (bool done = false; readable(socket.get(), done ? 10 * kStallMs : kSilenceMs);) {
    batch.messages[0].msg_hdr.msg_namelen = sizeof from;
    const int n = recvmmsg(socket.get(), batch.messages.data(), kBatch, MSG_DONTWAIT, nullptr);
    bool asked = false;
    for (int i = 0; i < n; ++i) {
      if (batch.messages[static_cast<std::size_t>(i)].msg_len < kPayload) continue;
      const std::uint32_t number = load(batch.payloads[static_cast<std::size_t>(i)].data());
      if (number == kLast) {
        asked = true;
        continue;
      }
      ++account.delivered;
      account.reached = std::max(account.reached, number + 1);
    }
    if (asked || account.delivered - told >= kAccountEvery) {
      tell(socket.get(), from, account, asked);
      told = account.delivered;
    }
    done = done || asked;
  }
  return {};
}

std::string to_line(const FrameReport& report) {
  return fmt::format("{} {} {:.6f}", report.sent, report.delivered, report.seconds);
}

Outcome<FrameReport> parse_frame_report(std::string_view line) {
  std::istringstream in{std::string(line)};
  FrameReport report;
  if (in >> report.sent >> report.delivered >> report.seconds && report.delivered <= report.sent)
    return report;
  return fail(fmt::format("'{}' is no account of frames", line));
}

}  // namespace vtl::bench
