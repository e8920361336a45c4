#include "vtl/transport/peer_auth.h"

#include <gtest/gtest.h>

#include <vector>

namespace vtl::transport {
namespace {

const Key kKey("a key of twenty octets");
const Key kOther("a key of thirty octets");

struct Ends {
  Instance opener_instance = random_instance();
  Instance acceptor_instance = random_instance();
  OpenerHandshake opener{kKey, opener_instance};
  AcceptorHandshake acceptor{acceptor_instance};
};

TEST(PeerAuth, BothSidesThatKnowTheKeyProveItAndShareASession) {
  Ends e;
  const auto response = e.opener.on_challenge(e.acceptor.challenge());
  ASSERT_TRUE(response);
  EXPECT_EQ(AcceptorHandshake::key_id(*response), kKey.id());
  const auto welcome = e.acceptor.on_response(kKey, *response);
  ASSERT_TRUE(welcome);
  EXPECT_TRUE(e.opener.on_welcome(*welcome));
  EXPECT_EQ(e.opener.peer(), e.acceptor_instance);
  Session a = e.opener.session(), b = e.acceptor.session();
  const std::vector<std::uint8_t> preface{1, 2, 3};
  const Mac first = a.next_preface_mac(preface);
  EXPECT_EQ(first, b.next_preface_mac(preface));
  EXPECT_NE(first, a.next_preface_mac(preface));  // a replayed OPEN has another number
}

TEST(PeerAuth, AnOpenerWithAnotherKeyIsRefused) {
  Ends e;
  OpenerHandshake stranger(kOther, random_instance());
  const auto response = stranger.on_challenge(e.acceptor.challenge());
  ASSERT_TRUE(response);
  EXPECT_EQ(e.acceptor.on_response(kKey, *response).error(), AuthError::kUnknownKey);
  auto lying = *response;  // claims the right key's name
  const KeyId right = kKey.id();
  std::copy(right.begin(), right.end(), lying.begin() + 8);
  EXPECT_EQ(e.acceptor.on_response(kKey, lying).error(), AuthError::kBadProof);
}

TEST(PeerAuth, AnAcceptorWithAnotherKeyIsRefused) {
  Ends e;
  const auto response = e.opener.on_challenge(e.acceptor.challenge());
  ASSERT_TRUE(response);
  AcceptorHandshake impostor(random_instance());
  EXPECT_FALSE(impostor.on_response(kOther, *response));
  EXPECT_EQ(e.opener.on_welcome(Mac{}).error(), AuthError::kBadProof);
}

TEST(PeerAuth, AnyChangedOctetOfTheFlightsFails) {
  for (std::size_t at = 0; at < kResponseSize; ++at) {
    Ends e;
    auto response = *e.opener.on_challenge(e.acceptor.challenge());
    response[at] ^= 1;
    EXPECT_FALSE(e.acceptor.on_response(kKey, response)) << at;
  }
  for (std::size_t at = 0; at < kChallengeSize; ++at) {
    Ends e;
    std::vector<std::uint8_t> challenge(e.acceptor.challenge().begin(),
                                        e.acceptor.challenge().end());
    challenge[at] ^= 1;
    const auto response = e.opener.on_challenge(challenge);
    EXPECT_TRUE(!response || !e.acceptor.on_response(kKey, *response)) << at;
  }
  for (std::size_t at = 0; at < kMacSize; ++at) {
    Ends e;
    const auto response = e.opener.on_challenge(e.acceptor.challenge());
    auto welcome = *e.acceptor.on_response(kKey, *response);
    welcome[at] ^= 1;
    EXPECT_FALSE(e.opener.on_welcome(welcome)) << at;
  }
}

TEST(PeerAuth, AReplayedResponseFailsOnTheFreshNonce) {
  Ends e;
  const auto response = e.opener.on_challenge(e.acceptor.challenge());
  AcceptorHandshake again(e.acceptor_instance);
  EXPECT_EQ(again.on_response(kKey, *response).error(), AuthError::kBadProof);
}

TEST(PeerAuth, AProofReflectedInTheOtherRoleFails) {
  Ends e;
  const auto response = e.opener.on_challenge(e.acceptor.challenge());
  ASSERT_TRUE(response);
  // The opener's own proof sent back as the acceptor's.
  EXPECT_FALSE(e.opener.on_welcome(Bytes(*response).last(kMacSize)));
}

TEST(PeerAuth, AResponseRelayedToItsOwnSenderFailsOnTheInstance) {
  // One process with one instance both opens and accepts; a man in the middle joins the two.
  const Instance self = random_instance();
  OpenerHandshake opener(kKey, self);
  AcceptorHandshake acceptor(self);
  EXPECT_EQ(opener.on_challenge(acceptor.challenge()).error(), AuthError::kSelf);
  // And if he hides the instance, the transcript differs.
  std::vector<std::uint8_t> hidden(acceptor.challenge().begin(), acceptor.challenge().end());
  hidden[8] ^= 1;
  const auto response = opener.on_challenge(hidden);
  ASSERT_TRUE(response);
  EXPECT_EQ(acceptor.on_response(kKey, *response).error(), AuthError::kBadProof);
}

TEST(PeerAuth, AnotherVersionOrMagicIsToldApart) {
  Ends e;
  std::vector<std::uint8_t> challenge(e.acceptor.challenge().begin(), e.acceptor.challenge().end());
  challenge[5] = kProtocolVersion + 1;
  EXPECT_EQ(e.opener.on_challenge(challenge).error(), AuthError::kVersion);
  challenge[0] = 0;
  EXPECT_EQ(e.opener.on_challenge(challenge).error(), AuthError::kNotVtl);
}

TEST(PeerAuth, TheVersionsAreNamedAndWhoIsToBeUpdated) {
  Ends e;
  std::vector<std::uint8_t> challenge(e.acceptor.challenge().begin(), e.acceptor.challenge().end());
  store_be16(challenge, 4, kProtocolVersion + 1);
  EXPECT_EQ(explain(AuthError::kVersion, challenge),
            "it speaks version 3 of the peer protocol and this side version 2: update the older "
            "side, which is this one");
  store_be16(challenge, 4, kProtocolVersion - 1);
  EXPECT_EQ(explain(AuthError::kVersion, challenge),
            "it speaks version 1 of the peer protocol and this side version 2: update the older "
            "side, which is the peer");
  store_be16(challenge, 4, kProtocolVersion);
  store_be16(challenge, 6, 0x10);
  EXPECT_EQ(explain(AuthError::kVersion, challenge),
            "it speaks version 2 of the peer protocol with an extension (0x0010) that this side "
            "does not know: update this side");
  EXPECT_EQ(explain(AuthError::kUnknownKey, challenge), "unknown key");
}

}  // namespace
}  // namespace vtl::transport
