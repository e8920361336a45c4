// Peer authentication: both sides prove that they know the shared key before anything is believed.
//
// Theory of operation. The acceptor speaks first, so that nothing waits: CHALLENGE carries its
// nonce. The opener answers with RESPONSE, its own nonce and its proof, and may send OPEN in the
// same flight. The acceptor answers with WELCOME, its proof, and ACCEPT or REFUSE may follow in the
// same flight. A proof is HMAC-SHA256 (RFC 2104, FIPS 180-4) with the shared key over the role, and
// the transcript: both messages with version, instances and nonces. The preface in OPEN is bound to
// the session by a code of its own, with a counter, as a connection carries streams one after
// another.
//
// What this gives: a peer without the key is refused before its preface is looked at; a replayed
// flight fails on the fresh nonce; a reflected one fails on the role; one relayed back to its own
// sender fails on the instance, a random number that each process or listening port draws. What it
// does not give: secrecy, or protection of the bytes after it. Neither UDT nor TCP encrypts.
//
// Thread rule: one thread per object. Nonces come from the operating system.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "vtl/base/bytes.h"
#include "vtl/base/result.h"
#include "vtl/transport/hmac.h"

namespace vtl::transport {

inline constexpr std::uint16_t kProtocolVersion = 2;
inline constexpr std::size_t kNonceSize = 32;
inline constexpr std::size_t kInstanceSize = 16;
inline constexpr std::size_t kKeyIdSize = 8;
/// magic 4, version 2, flags 2, instance, nonce.
inline constexpr std::size_t kChallengeSize = 8 + kInstanceSize + kNonceSize;
/// magic 4, version 2, flags 2, key id, instance, nonce, proof.
inline constexpr std::size_t kResponseSize = 8 + kKeyIdSize + kInstanceSize + kNonceSize + kMacSize;

using Instance = std::array<std::uint8_t, kInstanceSize>;
using KeyId = std::array<std::uint8_t, kKeyIdSize>;

enum class AuthError : std::uint8_t {
  kNotVtl,      ///< the magic number is not ours
  kVersion,     ///< another protocol version, or flags that we do not know
  kUnknownKey,  ///< no peer has this key
  kBadProof,
  kSelf,  ///< we talk to ourselves
};
[[nodiscard]] std::string_view to_string(AuthError error) noexcept;
/// The same for people, with the numbers when versions differ. `greeting`: the CHALLENGE or
/// RESPONSE that failed, or nothing.
[[nodiscard]] std::string explain(AuthError error, Bytes greeting);

/// Fills `out` from the operating system's random number generator.
void fill_random(MutableBytes out) noexcept;
[[nodiscard]] Instance random_instance() noexcept;

/// The shared key.
class Key {
 public:
  explicit Key(std::string_view secret);
  /// Names the key without telling it: both sides derive the same, and a listener finds the peer.
  [[nodiscard]] KeyId id() const noexcept { return id_; }
  [[nodiscard]] Mac mac(std::string_view label, Bytes a, Bytes b = {}) const noexcept;

 private:
  Mac secret_;  // the digest of the secret
  KeyId id_;
};

/// What remains of a handshake: binds the prefaces of the connection's streams.
class Session {
 public:
  Session() = default;
  explicit Session(Mac key) : key_(key) {}
  /// The code of the next preface in this connection. Both sides call it once per OPEN.
  [[nodiscard]] Mac next_preface_mac(Bytes preface) noexcept;

 private:
  Mac key_{};
  std::uint32_t streams_ = 0;
};

[[nodiscard]] bool equal_constant_time(Bytes a, Bytes b) noexcept;

class OpenerHandshake {
 public:
  OpenerHandshake(const Key& key, const Instance& self) : key_(&key), self_(self) {}
  /// The RESPONSE to a CHALLENGE.
  [[nodiscard]] Result<std::array<std::uint8_t, kResponseSize>, AuthError> on_challenge(
      Bytes challenge) noexcept;
  /// Checks the acceptor's proof. After it session() is meant.
  [[nodiscard]] Result<void, AuthError> on_welcome(Bytes welcome) noexcept;
  /// Valid after on_challenge().
  [[nodiscard]] Session session() const noexcept { return session_; }
  /// The acceptor's instance; valid after on_challenge().
  [[nodiscard]] const Instance& peer() const noexcept { return peer_; }

 private:
  const Key* key_;
  Instance self_;
  Instance peer_{};
  Mac expected_{};
  Session session_;
};

class AcceptorHandshake {
 public:
  explicit AcceptorHandshake(const Instance& self) noexcept;
  [[nodiscard]] Bytes challenge() const noexcept { return challenge_; }
  /// The key id that a RESPONSE names, to find its key.
  [[nodiscard]] static Result<KeyId, AuthError> key_id(Bytes response) noexcept;
  /// Checks the opener's proof and answers with the WELCOME.
  [[nodiscard]] Result<Mac, AuthError> on_response(const Key& key, Bytes response) noexcept;
  /// Valid after on_response() succeeded.
  [[nodiscard]] Session session() const noexcept { return session_; }
  /// The opener's instance; valid after on_response() succeeded.
  [[nodiscard]] const Instance& peer() const noexcept { return peer_; }

 private:
  Instance peer_{};
  std::array<std::uint8_t, kChallengeSize> challenge_{};
  Session session_;
};

}  // namespace vtl::transport
