#include "vtl/transport/peer_auth.h"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <vector>

namespace vtl::transport {
namespace {

constexpr std::uint32_t kMagic = 0x56544c50;  // "VTLP"
constexpr std::size_t kInstanceInChallenge = 8;
constexpr std::size_t kNonceInChallenge = kInstanceInChallenge + kInstanceSize;
constexpr std::size_t kKeyIdInResponse = 8;
constexpr std::size_t kInstanceInResponse = kKeyIdInResponse + kKeyIdSize;
constexpr std::size_t kNonceInResponse = kInstanceInResponse + kInstanceSize;
constexpr std::size_t kProofInResponse = kNonceInResponse + kNonceSize;

constexpr std::string_view kOpenerLabel = "vtl peer 1 opener";
constexpr std::string_view kAcceptorLabel = "vtl peer 1 acceptor";
constexpr std::string_view kSessionLabel = "vtl peer 1 session";
constexpr std::string_view kPrefaceLabel = "vtl peer 1 preface";
constexpr std::string_view kKeyIdLabel = "vtl peer 1 key id";

Mac hmac(Bytes key, std::string_view label, Bytes a, Bytes b) noexcept {
  std::vector<std::uint8_t> text;
  text.reserve(label.size() + 1 + a.size() + b.size());
  text.insert(text.end(), label.begin(), label.end());
  text.push_back(0);
  text.insert(text.end(), a.begin(), a.end());
  text.insert(text.end(), b.begin(), b.end());
  return hmac_sha256(key, text);
}

void emit_greeting(MutableBytes out) noexcept {
  store_be32(out, 0, kMagic);
  store_be16(out, 4, kProtocolVersion);
  store_be16(out, 6, 0);
}

Result<void, AuthError> check_greeting(Bytes bytes) noexcept {
  if (load_be32(bytes, 0) != kMagic) return std::unexpected(AuthError::kNotVtl);
  if (load_be16(bytes, 4) != kProtocolVersion || load_be16(bytes, 6) != 0)
    return std::unexpected(AuthError::kVersion);
  return {};
}

}  // namespace

std::string_view to_string(AuthError error) noexcept {
  switch (error) {
    case AuthError::kNotVtl:
      return "not a VTL peer";
    case AuthError::kVersion:
      return "another protocol version";
    case AuthError::kUnknownKey:
      return "unknown key";
    case AuthError::kBadProof:
      return "wrong proof of the key";
    case AuthError::kSelf:
      return "connected to itself";
  }
  return "?";
}

std::string explain(AuthError error, Bytes greeting) {
  if (error != AuthError::kVersion || greeting.size() < kInstanceInChallenge)
    return std::string(to_string(error));
  const std::uint16_t theirs = load_be16(greeting, 4);
  if (theirs == kProtocolVersion)
    return fmt::format(
        "it speaks version {} of the peer protocol with an extension ({:#06x}) that this side does "
        "not know: update this side",
        theirs, load_be16(greeting, 6));
  return fmt::format(
      "it speaks version {} of the peer protocol and this side version {}: update the older side, "
      "which is {}",
      theirs, kProtocolVersion, theirs < kProtocolVersion ? "the peer" : "this one");
}

void fill_random(MutableBytes out) noexcept {
  while (!out.empty()) {
    const ssize_t n = ::getrandom(out.data(), out.size(), 0);
    if (n < 0) {
      if (errno == EINTR) continue;
      std::abort();  // no randomness: going on would be unsafe
    }
    out = out.subspan(static_cast<std::size_t>(n));
  }
}

Instance random_instance() noexcept {
  Instance instance;
  fill_random(instance);
  return instance;
}

Key::Key(std::string_view secret) {
  const Bytes bytes(reinterpret_cast<const std::uint8_t*>(secret.data()), secret.size());
  secret_ = hmac(bytes, "vtl peer 1 key", {}, {});
  const Mac digest = mac(kKeyIdLabel, {});
  std::copy_n(digest.begin(), id_.size(), id_.begin());
}

Mac Key::mac(std::string_view label, Bytes a, Bytes b) const noexcept {
  return hmac(secret_, label, a, b);
}

Mac Session::next_preface_mac(Bytes preface) noexcept {
  std::array<std::uint8_t, 4> number;
  store_be32(number, 0, streams_++);
  return hmac(key_, kPrefaceLabel, number, preface);
}

bool equal_constant_time(Bytes a, Bytes b) noexcept {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

Result<std::array<std::uint8_t, kResponseSize>, AuthError> OpenerHandshake::on_challenge(
    Bytes challenge) noexcept {
  if (const auto ok = check_greeting(challenge); !ok) return std::unexpected(ok.error());
  std::copy_n(challenge.begin() + kInstanceInChallenge, kInstanceSize, peer_.begin());
  if (peer_ == self_) return std::unexpected(AuthError::kSelf);
  std::array<std::uint8_t, kResponseSize> response{};
  emit_greeting(response);
  std::copy_n(key_->id().begin(), kKeyIdSize, response.begin() + kKeyIdInResponse);
  std::copy_n(self_.begin(), kInstanceSize, response.begin() + kInstanceInResponse);
  fill_random(MutableBytes(response).subspan(kNonceInResponse, kNonceSize));
  const Bytes said = Bytes(response).first(kProofInResponse);
  const Mac proof = key_->mac(kOpenerLabel, challenge, said);
  std::copy(proof.begin(), proof.end(), response.begin() + kProofInResponse);
  expected_ = key_->mac(kAcceptorLabel, challenge, response);
  session_ = Session(key_->mac(kSessionLabel, challenge, response));
  return response;
}

Result<void, AuthError> OpenerHandshake::on_welcome(Bytes welcome) noexcept {
  if (!equal_constant_time(welcome, expected_)) return std::unexpected(AuthError::kBadProof);
  return {};
}

AcceptorHandshake::AcceptorHandshake(const Instance& self) noexcept {
  emit_greeting(challenge_);
  std::copy_n(self.begin(), kInstanceSize, challenge_.begin() + kInstanceInChallenge);
  fill_random(MutableBytes(challenge_).subspan(kNonceInChallenge));
}

Result<KeyId, AuthError> AcceptorHandshake::key_id(Bytes response) noexcept {
  if (const auto ok = check_greeting(response); !ok) return std::unexpected(ok.error());
  KeyId id;
  std::copy_n(response.begin() + kKeyIdInResponse, kKeyIdSize, id.begin());
  return id;
}

Result<Mac, AuthError> AcceptorHandshake::on_response(const Key& key, Bytes response) noexcept {
  const auto id = key_id(response);
  if (!id) return std::unexpected(id.error());
  if (*id != key.id()) return std::unexpected(AuthError::kUnknownKey);
  const Bytes said = response.first(kProofInResponse);
  const Mac proof = key.mac(kOpenerLabel, challenge_, said);
  if (!equal_constant_time(proof, response.subspan(kProofInResponse)))
    return std::unexpected(AuthError::kBadProof);
  const Bytes self = Bytes(challenge_).subspan(kInstanceInChallenge, kInstanceSize);
  if (equal_constant_time(self, response.subspan(kInstanceInResponse, kInstanceSize)))
    return std::unexpected(AuthError::kSelf);
  session_ = Session(key.mac(kSessionLabel, challenge_, response));
  std::copy_n(response.begin() + kInstanceInResponse, kInstanceSize, peer_.begin());
  return key.mac(kAcceptorLabel, challenge_, response);
}

}  // namespace vtl::transport
