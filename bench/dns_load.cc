#include "bench/dns_load.h"

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

namespace vtl::bench {
namespace {

constexpr std::size_t kHeader = 12;
constexpr std::size_t kMostOctets = 512;  // of a message over UDP (RFC 1035 section 2.3.4)
constexpr std::size_t kBatch = 64;
constexpr std::uint16_t kMostInFlight = 256;
constexpr Duration kPatience = 1s;
constexpr Duration kLook = 100ms;

std::unexpected<Error> system_failure(std::string_view what) {
  return fail(fmt::format("{}: {}", what, std::strerror(errno)));
}

void append(std::vector<std::uint8_t>& message, std::uint16_t number) {
  message.push_back(static_cast<std::uint8_t>(number >> 8));
  message.push_back(static_cast<std::uint8_t>(number));
}

void append_label(std::vector<std::uint8_t>& message, std::string_view label) {
  message.push_back(static_cast<std::uint8_t>(label.size()));
  message.insert(message.end(), label.begin(), label.end());
}

std::uint16_t number_at(std::span<const std::uint8_t> message, std::size_t at) {
  return static_cast<std::uint16_t>(message[at] << 8 | message[at + 1]);
}

/// The queries under way. Each has a place; its identifier is the place and, above it, how often
/// the place was taken, so that a late answer is none to the query that is there now.
class Load {
 public:
  Load(int fd, const DnsRun& run) : fd_(fd), run_(run), places_(run.in_flight) {
    for (std::size_t i = 0; i < kBatch; ++i) {
      pieces_[i] = {octets_[i].data(), kMostOctets};
      messages_[i].msg_hdr.msg_iov = &pieces_[i];
      messages_[i].msg_hdr.msg_iovlen = 1;
    }
  }

  Outcome<DnsReport> measure() {
    const SystemClock clock;
    const Time start = clock.now();
    const Time end = start + run_.span;
    Time last = start, looked = start;
    for (Time now = start; now < end || under_way_ > 0; now = clock.now()) {
      if (now < end && under_way_ < run_.in_flight)
        if (auto sent = send(now); !sent) return std::unexpected(sent.error());
      if (take()) last = clock.now();
      if (now - looked < kLook) continue;
      looked = now;
      give_up(now);
    }
    report_.seconds = std::chrono::duration<double>(last - start).count();
    return report_;
  }

 private:
  struct Place {
    std::uint8_t taken = 0;  // how often
    bool busy = false;
    Time since{};
  };

  Outcome<void> send(Time now) {
    unsigned n = 0;
    std::array<std::size_t, kBatch> chosen;
    for (std::size_t i = 0; i < places_.size() && n < kBatch; ++i) {
      if (places_[i].busy) continue;
      chosen[n] = i;
      const auto id = static_cast<std::uint16_t>(places_[i].taken << 8 | i);
      const auto query = make_query(id, next_++ % run_.names);
      std::ranges::copy(query, queries_[n].begin());
      query_pieces_[n] = {queries_[n].data(), query.size()};
      query_messages_[n].msg_hdr.msg_iov = &query_pieces_[n];
      query_messages_[n].msg_hdr.msg_iovlen = 1;
      ++n;
    }
    // ECONNREFUSED tells of an earlier query: it is lost, and so are those that find no room.
    const int sent = sendmmsg(fd_, query_messages_.data(), n, 0);
    if (sent < 0 && errno != ENOBUFS && errno != EAGAIN && errno != ECONNREFUSED)
      return system_failure("sendmmsg");
    for (unsigned i = 0; i < n; ++i) {
      places_[chosen[i]].busy = true;
      places_[chosen[i]].since = now;
    }
    under_way_ += n;
    return {};
  }

  /// Waits for answers for a short time; whether one came.
  bool take() {
    pollfd waiting{.fd = fd_, .events = POLLIN, .revents = 0};
    if (poll(&waiting, 1, static_cast<int>(kLook / 1ms)) <= 0) return false;
    const int n = recvmmsg(fd_, messages_.data(), kBatch, MSG_DONTWAIT, nullptr);
    bool any = false;
    for (int i = 0; i < n; ++i) {
      const auto at = static_cast<std::size_t>(i);
      any = count(std::span(octets_[at]).first(messages_[at].msg_len)) || any;
    }
    return any;
  }

  bool count(std::span<const std::uint8_t> message) {
    std::uint16_t id = 0;
    const Answer answer = read_answer(message, id);
    const std::size_t place = id & 0xFF;
    if (answer == Answer::kNone || place >= places_.size() || !places_[place].busy ||
        places_[place].taken != id >> 8)
      return false;
    ++(answer == Answer::kRecord ? report_.answered : report_.refused);
    leave(places_[place]);
    return true;
  }

  void give_up(Time now) {
    for (Place& place : places_) {
      if (!place.busy || now - place.since < kPatience) continue;
      ++report_.lost;
      leave(place);
    }
  }

  void leave(Place& place) {
    place.busy = false;
    ++place.taken;
    --under_way_;
  }

  int fd_;
  const DnsRun& run_;
  std::vector<Place> places_;
  std::uint32_t next_ = 0;
  unsigned under_way_ = 0;
  DnsReport report_;
  std::array<std::array<std::uint8_t, kMostOctets>, kBatch> octets_{}, queries_{};
  std::array<iovec, kBatch> pieces_{}, query_pieces_{};
  std::array<mmsghdr, kBatch> messages_{}, query_messages_{};
};

}  // namespace

std::vector<std::uint8_t> make_query(std::uint16_t id, std::uint32_t name) {
  constexpr std::uint16_t kRecursionDesired = 0x0100, kA = 1, kInternet = 1;
  std::vector<std::uint8_t> message;
  message.reserve(64);
  for (const std::uint16_t number : {id, kRecursionDesired, std::uint16_t{1}, std::uint16_t{0},
                                     std::uint16_t{0}, std::uint16_t{0}})
    append(message, number);
  append_label(message, fmt::format("host-{}", name));
  append_label(message, "bench");
  append_label(message, "example");
  message.push_back(0);
  append(message, kA);
  append(message, kInternet);
  return message;
}

Answer read_answer(std::span<const std::uint8_t> message, std::uint16_t& id) {
  constexpr std::uint8_t kResponse = 0x80, kErrorMask = 0x0F;
  constexpr std::size_t kAnswers = 6;  // the count of records that answer
  if (message.size() < kHeader || (message[2] & kResponse) == 0) return Answer::kNone;
  id = number_at(message, 0);
  const bool well = (message[3] & kErrorMask) == 0 && number_at(message, kAnswers) > 0;
  return well ? Answer::kRecord : Answer::kRefusal;
}

Outcome<DnsReport> measure_dns(const DnsRun& run) {
  if (run.in_flight == 0 || run.in_flight > kMostInFlight || run.names == 0)
    return fail(fmt::format("{} queries under way for {} names: 1 to {}, and at least one name",
                            run.in_flight, run.names, kMostInFlight));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(run.port);
  if (inet_pton(AF_INET, run.server.c_str(), &to.sin_addr) != 1)
    return fail(fmt::format("'{}' is no IPv4 address", run.server));
  const lab::Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return system_failure("socket");
  if (connect(socket.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) != 0)
    return system_failure("connect");
  return Load(socket.get(), run).measure();
}

std::string to_line(const DnsReport& report) {
  return fmt::format("{} {} {} {:.6f}", report.answered, report.refused, report.lost,
                     report.seconds);
}

Outcome<DnsReport> parse_dns_report(std::string_view line) {
  std::istringstream words{std::string(line)};
  DnsReport report;
  if (words >> report.answered >> report.refused >> report.lost >> report.seconds) return report;
  return fail(fmt::format("'{}' is no account of name look-ups", line));
}

}  // namespace vtl::bench
