// The client's part of SOCKS 5, against octets written down from the RFCs.
#include "vtl/transport/socks_handshake.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace vtl::transport {
namespace {

using State = SocksHandshake::State;
using Octets = std::vector<std::uint8_t>;

SocksRequest request(std::variant<wire::IpAddress, std::string> host,
                     std::optional<SocksCredentials> credentials = {}) {
  return {SocksCommand::kConnect, std::move(host), wire::Port(443), std::move(credentials)};
}
const SocksCredentials kUser{"me", "pw"};

Octets octets(Bytes bytes) {
  return {bytes.begin(), bytes.end()};
}
Octets join(Octets a, const Octets& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}
// Takes all that is to be sent now.
Octets send(SocksHandshake& handshake) {
  Octets out = octets(handshake.to_send());
  handshake.sent(out.size());
  return out;
}

const Octets kReplyV4 = {5, 0, 0, 1, 192, 0, 2, 7, 0x1f, 0x90};

TEST(SocksHandshake, StepByStep) {
  SocksHandshake handshake(request(wire::Ipv4Address(198, 51, 100, 1), kUser), false);
  EXPECT_EQ(send(handshake), (Octets{5, 1, 2}));
  EXPECT_EQ(handshake.receive(Octets{5, 2}), 2U);
  EXPECT_EQ(send(handshake), (Octets{1, 2, 'm', 'e', 2, 'p', 'w'}));
  EXPECT_TRUE(send(handshake).empty());
  EXPECT_EQ(handshake.receive(Octets{1, 0}), 2U);
  EXPECT_EQ(send(handshake), (Octets{5, 1, 0, 1, 198, 51, 100, 1, 0x01, 0xbb}));
  EXPECT_EQ(handshake.state(), State::kUnderWay);
  EXPECT_EQ(handshake.receive(kReplyV4), kReplyV4.size());
  ASSERT_EQ(handshake.state(), State::kDone);
  EXPECT_EQ(std::get<wire::IpAddress>(handshake.host()),
            wire::IpAddress(wire::Ipv4Address(192, 0, 2, 7)));
  EXPECT_EQ(handshake.port(), wire::Port(8080));
}

TEST(SocksHandshake, PipelinedAllGoesAtOnce) {
  SocksHandshake handshake(request("ab", kUser), true);
  EXPECT_EQ(send(handshake),
            (Octets{5, 1, 2, 1, 2, 'm', 'e', 2, 'p', 'w', 5, 1, 0, 3, 2, 'a', 'b', 0x01, 0xbb}));
  // All answers in one piece, and the stream's first octets behind them.
  const Octets answers = join(join({5, 2, 1, 0}, kReplyV4), {'h', 'i'});
  EXPECT_EQ(handshake.receive(answers), answers.size() - 2);
  EXPECT_EQ(handshake.state(), State::kDone);
}

TEST(SocksHandshake, WithoutCredentialsNoneAreOffered) {
  SocksHandshake handshake(request(*wire::IpAddress::parse("2001:db8::1")), true);
  Octets want = {5, 1, 0, 5, 1, 0, 4, 0x20, 1, 0xd, 0xb8, 0,   0,
                 0, 0, 0, 0, 0, 0, 0, 0,    0, 1,   1,    0xbb};
  EXPECT_EQ(send(handshake), want);
  EXPECT_EQ(handshake.receive(join({5, 0}, kReplyV4)), 12U);
  EXPECT_EQ(handshake.state(), State::kDone);
}

TEST(SocksHandshake, OctetByOctet) {
  const Octets v6 = {5, 0, 0, 4, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 80};
  const Octets name = {5, 0, 0, 3, 3, 'a', '.', 'b', 0, 0};
  const Octets empty_name = {5, 0, 0, 3, 0, 0, 0};
  for (const Octets& reply : {kReplyV4, v6, name, empty_name}) {
    SocksHandshake handshake(request("host", kUser), false);
    for (const std::uint8_t octet : join({5, 2, 1, 0}, reply)) {
      ASSERT_EQ(handshake.state(), State::kUnderWay);
      EXPECT_EQ(handshake.receive(Octets{octet}), 1U);
    }
    EXPECT_EQ(handshake.state(), State::kDone);
    EXPECT_EQ(handshake.receive(Octets{1, 2, 3}), 0U) << "they are the stream's";
  }
}

TEST(SocksHandshake, CutAnywhereItGoesOnWaiting) {
  const Octets answers = join({5, 2, 1, 0}, kReplyV4);
  for (std::size_t cut = 0; cut < answers.size(); ++cut) {
    SocksHandshake handshake(request("host", kUser), false);
    EXPECT_EQ(handshake.receive(Bytes(answers).first(cut)), cut);
    EXPECT_EQ(handshake.state(), State::kUnderWay) << cut;
    EXPECT_EQ(handshake.receive(Bytes(answers).subspan(cut)), answers.size() - cut);
    EXPECT_EQ(handshake.state(), State::kDone) << cut;
  }
}

struct Refusal {
  Octets answers;
  SocksFailure failure;
  StreamError met;
};

TEST(SocksHandshake, Refusals) {
  const auto reply = [](std::uint8_t reason) {
    return Octets{5, 2, 1, 0, 5, reason, 0, 1, 0, 0, 0, 0, 0, 0};
  };
  const Refusal refusals[] = {
      {{4, 91}, SocksFailure::kNotSocks, StreamError::kProtocol},
      {{'H', 'T', 'T', 'P'}, SocksFailure::kNotSocks, StreamError::kProtocol},
      {{5, 0xff}, SocksFailure::kNoMethod, StreamError::kNotAuthenticated},
      {{5, 0}, SocksFailure::kNotSocks, StreamError::kProtocol},  // not offered
      {{5, 2, 1, 1}, SocksFailure::kCredentials, StreamError::kNotAuthenticated},
      {{5, 2, 5, 0}, SocksFailure::kNotSocks, StreamError::kProtocol},
      {reply(1), SocksFailure::kGeneral, StreamError::kRefused},
      {reply(2), SocksFailure::kNotAllowed, StreamError::kRefused},
      {reply(3), SocksFailure::kNetworkUnreachable, StreamError::kNetworkUnreachable},
      {reply(4), SocksFailure::kHostUnreachable, StreamError::kHostUnreachable},
      {reply(5), SocksFailure::kRefused, StreamError::kRefused},
      {reply(6), SocksFailure::kTtlExpired, StreamError::kHostUnreachable},
      {reply(7), SocksFailure::kCommandNotSupported, StreamError::kRefused},
      {reply(8), SocksFailure::kAddressNotSupported, StreamError::kNetworkUnreachable},
      {reply(9), SocksFailure::kUnknownReason, StreamError::kRefused},
      {reply(0xf0), SocksFailure::kOnionNotFound, StreamError::kHostUnreachable},
      {reply(0xf7), SocksFailure::kOnionIntroTimedOut, StreamError::kTimedOut},
      {reply(0xf8), SocksFailure::kUnknownReason, StreamError::kRefused},
      {{5, 2, 1, 0, 4, 0, 0, 1, 0}, SocksFailure::kNotSocks, StreamError::kProtocol},
      {{5, 2, 1, 0, 5, 0, 0, 2, 0}, SocksFailure::kNotSocks, StreamError::kProtocol},
  };
  for (const Refusal& refusal : refusals) {
    SocksHandshake handshake(request("host", kUser), true);
    (void)handshake.receive(refusal.answers);
    EXPECT_EQ(handshake.state(), State::kFailed) << to_string(refusal.failure);
    EXPECT_EQ(handshake.failure(), refusal.failure)
        << to_string(handshake.failure()) << " for " << to_string(refusal.failure);
    EXPECT_EQ(to_stream_error(handshake.failure()), refusal.met) << to_string(refusal.failure);
    EXPECT_TRUE(handshake.to_send().empty());
    EXPECT_EQ(handshake.receive(Octets{1}), 0U);
  }
}

TEST(SocksHandshake, TorResolves) {
  SocksRequest ask = request("www.example.org");
  ask.command = SocksCommand::kResolve;
  SocksHandshake handshake(ask, true);
  EXPECT_EQ(send(handshake)[4], 0xf0);
  (void)handshake.receive(join({5, 0}, kReplyV4));
  EXPECT_EQ(std::get<wire::IpAddress>(handshake.host()),
            wire::IpAddress(wire::Ipv4Address(192, 0, 2, 7)));

  ask.command = SocksCommand::kResolveAddress;
  ask.host = wire::IpAddress(wire::Ipv4Address(192, 0, 2, 7));
  SocksHandshake reverse(ask, true);
  EXPECT_EQ(send(reverse)[4], 0xf1);
  (void)reverse.receive(Octets{5, 0, 5, 0, 0, 3, 3, 'a', '.', 'b', 0, 0});
  EXPECT_EQ(std::get<std::string>(reverse.host()), "a.b");
}

TEST(SocksHandshake, SentInPieces) {
  SocksHandshake handshake(request(std::string(255, 'n'),
                                   SocksCredentials{std::string(255, 'u'), std::string(255, 'p')}),
                           true);
  Octets all;
  while (!handshake.to_send().empty()) {
    const Bytes piece =
        handshake.to_send().first(std::min<std::size_t>(7, handshake.to_send().size()));
    all = join(all, octets(piece));
    handshake.sent(piece.size());
  }
  EXPECT_EQ(all.size(), 3U + 1 + 256 + 256 + 4 + 256 + 2);
}

// As Tor 0.4.9 answers when all came in one piece.
TEST(SocksHandshake, TheAnswerToTheMethodMayBeLeftOutWhenAllWasSent) {
  const Octets answers = join(join({1, 0}, kReplyV4), {'h', 'i'});
  for (std::size_t cut = 1; cut <= answers.size(); ++cut) {
    SocksHandshake handshake(request("host", kUser), true);
    EXPECT_EQ(handshake.missing(), 2U + 7U);
    const std::size_t taken = handshake.receive(Bytes(answers).first(cut));
    EXPECT_EQ(taken + handshake.receive(Bytes(answers).subspan(taken)), answers.size() - 2);
    EXPECT_EQ(handshake.state(), State::kDone);
  }
  SocksHandshake refused(request("host", kUser), true);
  (void)refused.receive(Octets{1});
  EXPECT_EQ(refused.missing(), 1U + 7U);
  (void)refused.receive(Octets{1});
  EXPECT_EQ(refused.failure(), SocksFailure::kCredentials);
  for (const bool pipelined : {false, true}) {  // it was not asked, or had nothing to answer
    SocksHandshake handshake(request("host", pipelined ? std::nullopt : std::optional(kUser)),
                             pipelined);
    (void)handshake.receive(Octets{1, 0});
    EXPECT_EQ(handshake.failure(), SocksFailure::kNotSocks);
  }
}

// So much may be read at once: with the shortest reply there is not an octet more.
TEST(SocksHandshake, MissingIsWhatIsSurelyAnswer) {
  SocksHandshake handshake(request("host", kUser), false);
  EXPECT_FALSE(handshake.negotiated());
  EXPECT_EQ(handshake.missing(), 2U + 2U + 7U);
  (void)handshake.receive(Octets{5});
  EXPECT_EQ(handshake.missing(), 1U + 2U + 7U);
  (void)handshake.receive(Octets{2});
  EXPECT_EQ(handshake.missing(), 2U + 7U);
  EXPECT_FALSE(handshake.negotiated());
  EXPECT_FALSE(handshake.all_sent());
  (void)handshake.receive(Octets{1, 0});
  EXPECT_TRUE(handshake.negotiated());
  EXPECT_EQ(handshake.missing(), 7U);
  (void)handshake.receive(Octets{5, 0, 0, 1, 192});
  EXPECT_EQ(handshake.missing(), 5U);
  (void)send(handshake);
  EXPECT_TRUE(handshake.all_sent());
  (void)handshake.receive(Octets{0, 2, 7, 0, 80});
  EXPECT_EQ(handshake.state(), State::kDone);
  EXPECT_EQ(handshake.missing(), 0U);
}

TEST(SocksHandshake, WhatCanBeAskedFor) {
  EXPECT_TRUE(can_be_asked_for("a"));
  EXPECT_TRUE(can_be_asked_for(std::string(255, 'a')));
  EXPECT_FALSE(can_be_asked_for(std::string(256, 'a')));
  EXPECT_FALSE(can_be_asked_for(""));
  EXPECT_TRUE(can_be_asked_for(wire::IpAddress(wire::Ipv4Address(1, 2, 3, 4))));
  EXPECT_FALSE(can_be_asked_for(wire::IpAddress()));
}

}  // namespace
}  // namespace vtl::transport
