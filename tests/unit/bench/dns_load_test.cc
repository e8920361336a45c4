// The load of name look-ups: what it asks, what it takes for an answer, and what it counts.
#include "bench/dns_load.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <functional>
#include <thread>

#include "lab/fd.h"

namespace vtl::bench {
namespace {

using testing::HasSubstr;
using Message = std::vector<std::uint8_t>;

TEST(DnsLoad, AQueryIsOneQuestionForAnAddress) {
  const Message expected = {0x12, 0x34, 1,   0,   0,   1,   0,   0,   0,   0,   0,   0,   6,
                            'h',  'o',  's', 't', '-', '7', 5,   'b', 'e', 'n', 'c', 'h', 7,
                            'e',  'x',  'a', 'm', 'p', 'l', 'e', 0,   0,   1,   0,   1};
  EXPECT_EQ(make_query(0x1234, 7), expected);
}

/// The answer to `query`: `records` of them, by the count alone, and an error's number.
Message answer_to(Message query, std::uint8_t records, std::uint8_t error = 0) {
  query[2] |= 0x80;
  query[3] = error;
  query[7] = records;
  return query;
}

TEST(DnsLoad, AnAnswerIsARecordOrARefusalAndAQueryIsNone) {
  const Message query = make_query(0xABCD, 1);
  std::uint16_t id = 0;
  EXPECT_EQ(read_answer(query, id), Answer::kNone);
  EXPECT_EQ(read_answer(answer_to(query, 1), id), Answer::kRecord);
  EXPECT_EQ(id, 0xABCD);
  EXPECT_EQ(read_answer(answer_to(query, 0), id), Answer::kRefusal);
  EXPECT_EQ(read_answer(answer_to(query, 1, 3), id), Answer::kRefusal);
  const Message whole = answer_to(query, 1);
  for (std::size_t n = 0; n < 12; ++n)
    EXPECT_EQ(read_answer(std::span(whole).first(n), id), Answer::kNone) << n;
}

TEST(DnsLoad, TheReportIsReadAsItWasWritten) {
  const auto report = parse_dns_report(to_line({12, 3, 4, 0.5}));
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->answered, 12U);
  EXPECT_EQ(report->refused, 3U);
  EXPECT_EQ(report->lost, 4U);
  EXPECT_EQ(report->seconds, 0.5);
  EXPECT_FALSE(parse_dns_report("nobody answered"));
}

/// A name server on the loopback that answers as it is told to; an empty answer is silence.
class Responder {
 public:
  explicit Responder(std::function<Message(const Message&)> answer) : answer_(std::move(answer)) {
    socket_ = lab::Fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_in own{};
    own.sin_family = AF_INET;
    own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof own;
    if (bind(socket_.get(), reinterpret_cast<sockaddr*>(&own), size) != 0 ||
        getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&own), &size) != 0)
      ADD_FAILURE() << "no socket on the loopback";
    port_ = ntohs(own.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~Responder() {
    stop_ = true;
    thread_.join();
  }
  [[nodiscard]] DnsRun run() const {
    return {.server = "127.0.0.1", .port = port_, .span = 50ms, .names = 10, .in_flight = 8};
  }

 private:
  void serve() {
    std::array<std::uint8_t, 512> octets;
    while (!stop_) {
      pollfd waiting{.fd = socket_.get(), .events = POLLIN, .revents = 0};
      if (poll(&waiting, 1, 10) <= 0) continue;
      sockaddr_in from{};
      socklen_t size = sizeof from;
      auto* peer = reinterpret_cast<sockaddr*>(&from);
      const ssize_t n = recvfrom(socket_.get(), octets.data(), octets.size(), 0, peer, &size);
      if (n <= 0) continue;
      const Message reply = answer_(Message(octets.begin(), octets.begin() + n));
      if (!reply.empty()) sendto(socket_.get(), reply.data(), reply.size(), 0, peer, size);
    }
  }
  std::function<Message(const Message&)> answer_;
  lab::Fd socket_;
  std::uint16_t port_ = 0;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

TEST(DnsLoad, EveryQueryIsAnsweredByAServerThatAnswers) {
  std::atomic<std::uint64_t> asked = 0;
  const Responder server([&](const Message& query) {
    ++asked;
    return answer_to(query, 1);
  });
  const auto report = measure_dns(server.run());
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_GT(report->answered, 0U);
  EXPECT_LE(report->answered, asked);
  EXPECT_EQ(report->refused, 0U);
  EXPECT_GT(report->seconds, 0);
}

TEST(DnsLoad, RefusalsAreNoAnswers) {
  const Responder server([](const Message& query) { return answer_to(query, 0, 5); });
  const auto report = measure_dns(server.run());
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->answered, 0U);
  EXPECT_GT(report->refused, 0U);
}

TEST(DnsLoad, ASilentServerLosesWhatIsUnderWayAndEndsTheRun) {
  const Responder server([](const Message&) { return Message{}; });
  const auto report = measure_dns(server.run());
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->answered, 0U);
  EXPECT_EQ(report->lost, 8U);
}

TEST(DnsLoad, AnAnswerToNothingThatWasAskedIsNone) {
  const Responder server([](Message query) {
    query[0] = static_cast<std::uint8_t>(query[0] + 1);
    return answer_to(query, 1);
  });
  const auto report = measure_dns(server.run());
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->answered, 0U);
  EXPECT_EQ(report->lost, 8U);
}

TEST(DnsLoad, WhatCannotBeRunIsSaidSo) {
  const auto nobody = measure_dns({.server = "dns.example"});
  ASSERT_FALSE(nobody);
  EXPECT_THAT(nobody.error().message, HasSubstr("'dns.example' is no IPv4 address"));
  EXPECT_FALSE(measure_dns({.server = "127.0.0.1", .in_flight = 0}));
  EXPECT_FALSE(measure_dns({.server = "127.0.0.1", .in_flight = 257}));
}

}  // namespace
}  // namespace vtl::bench
